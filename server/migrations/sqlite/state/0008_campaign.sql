-- Campaigns: one source against many people (server/src/store/case.rs says what each column means).
-- Times are Unix milliseconds.

-- Whose the campaigns' incidents are: nobody's, and in no list of people.
ALTER TABLE identity ADD COLUMN is_nobody INTEGER NOT NULL DEFAULT 0;

ALTER TABLE incident ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE INDEX incident_by_source ON incident (source) WHERE source != '';

-- People's attempts by where they came from, kept until the records of all who were seen with the source are gone.
CREATE TABLE sighting (
    identity BLOB NOT NULL REFERENCES identity (id),
    attempt  BLOB NOT NULL,
    source   TEXT NOT NULL,
    time_ms  INTEGER NOT NULL,
    content  BLOB NOT NULL,
    -- The incident of the campaign that it is part of.
    campaign BLOB,
    PRIMARY KEY (identity, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX sighting_by_source ON sighting (source, time_ms, attempt);
CREATE INDEX sighting_of_campaign ON sighting (campaign) WHERE campaign IS NOT NULL;

-- Sources whose campaigns may no longer be what follows from the sightings. A newer mark is a greater one.
CREATE TABLE dirty_source (
    mark   INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL UNIQUE
) STRICT;

-- Whoever was correlated before sightings were kept is correlated again.
INSERT OR IGNORE INTO dirty (identity) SELECT DISTINCT identity FROM account;
