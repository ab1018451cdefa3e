-- Files of which records were refused (server/src/store/case.rs, RefusedRecords): each counts once.

CREATE TABLE refused_file (
    no          INTEGER PRIMARY KEY AUTOINCREMENT,
    feed_no     INTEGER NOT NULL REFERENCES feed (no),
    file_sha256 BLOB NOT NULL,
    UNIQUE (feed_no, file_sha256)
) STRICT;
