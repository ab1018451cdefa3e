-- People beyond their records (server/src/store/people.rs says what each column means).
-- Times are Unix milliseconds, 0 = never.

ALTER TABLE identity ADD COLUMN imported_name TEXT NOT NULL DEFAULT '';
ALTER TABLE identity ADD COLUMN imported_privileged INTEGER NOT NULL DEFAULT 0;

-- What imports say of people's accounts on every endpoint.
CREATE TABLE claim (
    no       INTEGER PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identity (id),
    sid      TEXT NOT NULL,
    upn      TEXT NOT NULL,
    name     TEXT NOT NULL,
    uid      TEXT NOT NULL,
    mail     TEXT NOT NULL,
    said_by  TEXT NOT NULL,
    UNIQUE (identity, sid, upn, name, uid, mail)
) STRICT;

CREATE INDEX claim_by_sid ON claim (sid) WHERE sid != '';
CREATE INDEX claim_by_upn ON claim (upn) WHERE upn != '';
CREATE INDEX claim_by_name ON claim (name) WHERE name != '';
CREATE INDEX claim_by_uid ON claim (uid) WHERE uid != '';
CREATE INDEX claim_by_mail ON claim (mail) WHERE mail != '';
CREATE INDEX claim_of ON claim (identity);

-- Accounts that events of endpoints have named.
CREATE TABLE local_account (
    no             INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint       BLOB NOT NULL,
    user           TEXT NOT NULL,
    uid            TEXT NOT NULL,
    -- The name without its domain, letters lower.
    folded         TEXT NOT NULL,
    first_seen_ms  INTEGER NOT NULL,
    last_seen_ms   INTEGER NOT NULL,
    interactive_ms INTEGER NOT NULL,
    UNIQUE (endpoint, user, uid)
) STRICT;

CREATE INDEX local_account_by_name ON local_account (folded);
CREATE INDEX local_account_by_uid ON local_account (uid);

-- Links that an analyst took away: no import makes them again.
CREATE TABLE unlinked (
    identity         BLOB NOT NULL REFERENCES identity (id),
    endpoint         BLOB NOT NULL,
    user             TEXT NOT NULL,
    uid              TEXT NOT NULL,
    unlinked_by      TEXT NOT NULL,
    unlinked_time_ms INTEGER NOT NULL,
    PRIMARY KEY (identity, endpoint, user, uid)
) STRICT, WITHOUT ROWID;

CREATE INDEX link_by_account ON link (endpoint, user);
