-- Live feeds: connections to identity providers (server/src/store/connection.rs says what each column means).
-- Times are Unix milliseconds, 0 = never.

CREATE TABLE feed_connection (
    no            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    provider      TEXT NOT NULL,
    settings      BLOB NOT NULL,
    secret        BLOB NOT NULL,
    added_by      TEXT NOT NULL,
    added_time_ms INTEGER NOT NULL,
    cursor        TEXT NOT NULL DEFAULT '',
    page_time_ms  INTEGER NOT NULL DEFAULT 0,
    pages         INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Up to when the provider has said everything, and why the newest malformed record was refused; live feeds only.
ALTER TABLE feed ADD COLUMN complete_until_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE feed ADD COLUMN malformed_reason TEXT NOT NULL DEFAULT '';
