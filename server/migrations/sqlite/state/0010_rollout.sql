-- Rollouts of releases, and how far each endpoint is.

CREATE TABLE rollout (
    id              TEXT    PRIMARY KEY,
    version         TEXT    NOT NULL,
    -- Word of RolloutState.
    state           TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    -- Which ring it is at, from 1.
    ring            INTEGER NOT NULL,
    -- As they were asked for, separated by spaces.
    rings           TEXT    NOT NULL,
    created_by      TEXT    NOT NULL,
    created_time_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE rollout_member (
    rollout  TEXT    NOT NULL REFERENCES rollout (id),
    endpoint BLOB    NOT NULL,
    ring     INTEGER NOT NULL,
    -- Word of RolloutMemberState.
    state    TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    time_ms  INTEGER NOT NULL,
    PRIMARY KEY (rollout, endpoint)
) STRICT, WITHOUT ROWID;
