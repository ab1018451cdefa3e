-- Trust: who may do what, who is enrolled, what was done. Times are Unix milliseconds, 0 = never.

CREATE TABLE audit (
    number     INTEGER PRIMARY KEY,
    time_ms    INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    decision   TEXT NOT NULL,
    hash       BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TABLE analyst (
    name                       TEXT PRIMARY KEY,
    role                       TEXT NOT NULL,
    key_pin                    BLOB NOT NULL UNIQUE,
    added_time_ms              INTEGER NOT NULL,
    certificate_expiry_time_ms INTEGER NOT NULL,
    revoked_time_ms            INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE token (
    id             BLOB PRIMARY KEY,
    secret_sha256  BLOB NOT NULL,
    uses_max       INTEGER NOT NULL,
    uses           INTEGER NOT NULL DEFAULT 0,
    created_time_ms INTEGER NOT NULL,
    expiry_time_ms INTEGER NOT NULL,
    ring           TEXT NOT NULL
) STRICT;

CREATE TABLE endpoint (
    id                         BLOB PRIMARY KEY,
    hostname                   TEXT NOT NULL,
    -- What it last said about itself: tocsin.agent.v1.Machine.
    machine                    BLOB NOT NULL,
    agent_version              TEXT NOT NULL,
    capability                 INTEGER NOT NULL DEFAULT 0,
    ring                       TEXT NOT NULL,
    enrolled_time_ms           INTEGER NOT NULL,
    last_seen_time_ms          INTEGER NOT NULL DEFAULT 0,
    certificate_expiry_time_ms INTEGER NOT NULL,
    address                    TEXT NOT NULL,
    run                        BLOB,
    revoked_time_ms            INTEGER NOT NULL DEFAULT 0,
    skew_min_ms                INTEGER,
    skew_max_ms                INTEGER,
    skew_measured_time_ms      INTEGER,
    -- tocsin.telemetry.v1.Health, as last reported.
    health                     BLOB,
    health_time_ms             INTEGER NOT NULL DEFAULT 0,
    former                     BLOB
) STRICT;

CREATE INDEX endpoint_hostname ON endpoint (hostname);

-- Keys of endpoints, by the SHA-256 of the SubjectPublicKeyInfo. A key that was replaced works until
-- retire_time_ms (0 = no end), so that a lost reply locks nobody out.
CREATE TABLE endpoint_key (
    key_pin        BLOB PRIMARY KEY,
    endpoint       BLOB NOT NULL REFERENCES endpoint (id),
    retire_time_ms INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX endpoint_key_endpoint ON endpoint_key (endpoint);

CREATE TABLE endpoint_tag (
    endpoint BLOB NOT NULL REFERENCES endpoint (id),
    tag      TEXT NOT NULL,
    PRIMARY KEY (endpoint, tag)
) STRICT, WITHOUT ROWID;

-- Refused second runs, until one side has enrolled anew.
CREATE TABLE endpoint_conflict (
    endpoint BLOB NOT NULL REFERENCES endpoint (id),
    run      BLOB NOT NULL,
    time_ms  INTEGER NOT NULL,
    hostname TEXT NOT NULL,
    address  TEXT NOT NULL,
    PRIMARY KEY (endpoint, run)
) STRICT, WITHOUT ROWID;

-- When which endpoint was connected. ended = 0: it may still be, and was so until seen_time_ms at least.
CREATE TABLE presence (
    endpoint          BLOB NOT NULL REFERENCES endpoint (id),
    connected_time_ms INTEGER NOT NULL,
    run               BLOB NOT NULL,
    seen_time_ms      INTEGER NOT NULL,
    ended             INTEGER NOT NULL,
    address           TEXT NOT NULL,
    PRIMARY KEY (endpoint, connected_time_ms, run)
) STRICT, WITHOUT ROWID;

CREATE INDEX presence_open ON presence (ended) WHERE ended = 0;
CREATE INDEX presence_seen ON presence (seen_time_ms) WHERE ended = 1;

-- Keys that were revoked, in the order in which they were: a running server follows this.
CREATE TABLE revocation (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key_pin  BLOB NOT NULL UNIQUE,
    time_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
