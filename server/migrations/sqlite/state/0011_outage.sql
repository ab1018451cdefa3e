-- Attempts that failed from their person's usual place, and sign-ins that succeeded by steps of five minutes: by these an
-- outage of a provider is known.
CREATE TABLE failure (
    identity BLOB NOT NULL REFERENCES identity (id),
    attempt  BLOB NOT NULL,
    provider TEXT NOT NULL,
    time_ms  INTEGER NOT NULL,
    PRIMARY KEY (identity, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX failure_by_time ON failure (provider, time_ms);

CREATE TABLE approval (
    provider TEXT NOT NULL,
    step_ms  INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (provider, step_ms)
) STRICT, WITHOUT ROWID;

-- What follows from them.
CREATE TABLE outage (
    provider TEXT NOT NULL,
    from_ms  INTEGER NOT NULL,
    people   INTEGER NOT NULL,
    PRIMARY KEY (provider, from_ms)
) STRICT, WITHOUT ROWID;

-- Hours, as their beginnings, whose outages may no longer be what follows. A newer mark is a greater one.
CREATE TABLE dirty_hour (
    mark     INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    hour_ms  INTEGER NOT NULL,
    UNIQUE (provider, hour_ms)
) STRICT;

-- A prompt was approved.
ALTER TABLE mfa_event ADD COLUMN is_approval INTEGER NOT NULL DEFAULT 0;

UPDATE mfa_event SET is_approval = 1
WHERE json_valid(CAST(event AS TEXT)) AND json_extract(CAST(event AS TEXT), '$.kind') = 'approved';

INSERT INTO approval (provider, step_ms, count)
SELECT a.provider, e.event_time_ms - ((e.event_time_ms % 300000) + 300000) % 300000, count(*)
FROM mfa_event AS e JOIN account AS a ON a.no = e.account_no WHERE e.is_approval = 1 GROUP BY 1, 2;

-- Whoever was correlated before failures were kept is correlated again.
INSERT OR IGNORE INTO dirty (identity) SELECT DISTINCT identity FROM account;
