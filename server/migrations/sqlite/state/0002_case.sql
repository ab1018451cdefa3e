-- MFA events, identities and incidents (server/src/store/case.rs says what each column means).
-- Times are Unix milliseconds, 0 = never.

CREATE TABLE feed (
    no                INTEGER PRIMARY KEY,
    provider          TEXT NOT NULL,
    kind              TEXT NOT NULL,
    mfa_events        INTEGER NOT NULL DEFAULT 0,
    malformed         INTEGER NOT NULL DEFAULT 0,
    event_time_max_ms INTEGER NOT NULL DEFAULT 0,
    receive_time_ms   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (provider, kind)
) STRICT;

CREATE TABLE identity (
    id               BLOB PRIMARY KEY,
    display_name     TEXT NOT NULL DEFAULT '',
    privileged       INTEGER NOT NULL DEFAULT 0,
    -- What was usual before the oldest stored event (JSON), where older ones were removed.
    baseline         BLOB NOT NULL DEFAULT x'',
    removed_until_ms INTEGER NOT NULL DEFAULT 0,
    next_change_ms   INTEGER,
    telemetry_sha256 BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE INDEX identity_waiting ON identity (next_change_ms) WHERE next_change_ms IS NOT NULL;

CREATE TABLE identity_alias (
    alias    BLOB PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identity (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX identity_alias_of ON identity_alias (identity);

-- What accounts are found by.
CREATE TABLE identity_key (
    key      TEXT PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identity (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX identity_key_of ON identity_key (identity);

CREATE TABLE account (
    no                INTEGER PRIMARY KEY,
    provider          TEXT NOT NULL,
    provider_id       TEXT NOT NULL,
    login             TEXT NOT NULL,
    identity          BLOB NOT NULL REFERENCES identity (id),
    mfa_events        INTEGER NOT NULL DEFAULT 0,
    event_time_min_ms INTEGER NOT NULL DEFAULT 0,
    event_time_max_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (provider, provider_id, login)
) STRICT;

CREATE INDEX account_of ON account (identity);
CREATE INDEX account_by_login ON account (login);

CREATE TABLE mfa_event (
    no              INTEGER PRIMARY KEY,
    id              BLOB NOT NULL UNIQUE,
    account_no      INTEGER NOT NULL REFERENCES account (no),
    feed_no         INTEGER NOT NULL REFERENCES feed (no),
    event_time_ms   INTEGER NOT NULL,
    receive_time_ms INTEGER NOT NULL,
    event           BLOB NOT NULL,
    -- The provider's record, zstd, and the SHA-256 of it before that.
    raw             BLOB NOT NULL,
    raw_sha256      BLOB NOT NULL
) STRICT;

CREATE INDEX mfa_event_of_account ON mfa_event (account_no, event_time_ms);

CREATE TABLE link (
    identity       BLOB NOT NULL REFERENCES identity (id),
    endpoint       BLOB NOT NULL,
    user           TEXT NOT NULL,
    uid            TEXT NOT NULL,
    source         TEXT NOT NULL,
    confidence     TEXT NOT NULL,
    linked_by      TEXT NOT NULL,
    reason         TEXT NOT NULL,
    linked_time_ms INTEGER NOT NULL,
    PRIMARY KEY (identity, endpoint, user, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE incident (
    id                  BLOB PRIMARY KEY,
    identity            BLOB NOT NULL REFERENCES identity (id),
    severity            INTEGER NOT NULL,
    score               INTEGER NOT NULL,
    first_event_time_ms INTEGER NOT NULL,
    last_event_time_ms  INTEGER NOT NULL,
    summary             BLOB NOT NULL,
    draft               BLOB NOT NULL,
    draft_sha256        BLOB NOT NULL,
    state               INTEGER NOT NULL,
    verdict             INTEGER NOT NULL,
    assignee            TEXT NOT NULL,
    opened_time_ms      INTEGER NOT NULL,
    updated_time_ms     INTEGER NOT NULL,
    state_time_ms       INTEGER NOT NULL,
    is_touched          INTEGER NOT NULL,
    is_frozen           INTEGER NOT NULL,
    version             INTEGER NOT NULL
) STRICT;

CREATE INDEX incident_by_severity ON incident (severity DESC, last_event_time_ms DESC, id);
CREATE INDEX incident_of ON incident (identity);

CREATE TABLE incident_alias (
    alias    BLOB PRIMARY KEY,
    incident BLOB NOT NULL REFERENCES incident (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX incident_alias_of ON incident_alias (incident);

CREATE TABLE incident_note (
    no       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident BLOB NOT NULL REFERENCES incident (id),
    time_ms  INTEGER NOT NULL,
    author   TEXT NOT NULL,
    text     TEXT NOT NULL
) STRICT;

CREATE INDEX incident_note_of ON incident_note (incident);

CREATE TABLE incident_activity (
    no       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident BLOB NOT NULL REFERENCES incident (id),
    time_ms  INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    what     TEXT NOT NULL
) STRICT;

CREATE INDEX incident_activity_of ON incident_activity (incident);

-- People whose incidents may no longer be what follows from what is stored. A newer mark is a greater one.
CREATE TABLE dirty (
    mark     INTEGER PRIMARY KEY AUTOINCREMENT,
    identity BLOB NOT NULL UNIQUE REFERENCES identity (id)
) STRICT;
