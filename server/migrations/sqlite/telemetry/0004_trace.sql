-- Traces: the few events by which the provenance of sign-ins is judged, apart from their batches, so that they are found
-- by what they are and outlive them (server/src/store/trace.rs says what each column means).

CREATE TABLE trace (
    endpoint_no   INTEGER NOT NULL,
    class         INTEGER NOT NULL,
    event_time_ms INTEGER NOT NULL,
    run_no        INTEGER NOT NULL REFERENCES run (no),
    sequence      INTEGER NOT NULL,
    event         BLOB NOT NULL,
    PRIMARY KEY (endpoint_no, class, event_time_ms, run_no, sequence)
) STRICT, WITHOUT ROWID;

-- Of each endpoint and class: how many there are, and since when none is missing.
CREATE TABLE trace_class (
    endpoint_no INTEGER NOT NULL,
    class       INTEGER NOT NULL,
    traces      INTEGER NOT NULL,
    since_ms    INTEGER NOT NULL,
    PRIMARY KEY (endpoint_no, class)
) STRICT, WITHOUT ROWID;

-- Nobody has looked for traces in what was stored before.
INSERT INTO trace_class (endpoint_no, class, traces, since_ms)
SELECT endpoint_no, class.value, 0, max(last_event_time_ms) + 1
FROM run CROSS JOIN json_each('[1, 2, 3, 4, 5, 6, 7, 8]') AS class
GROUP BY endpoint_no, class.value;

-- Of which times endpoints have sent something that nobody has looked at yet. A newer number is a greater one.
CREATE TABLE news (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_no INTEGER NOT NULL UNIQUE REFERENCES endpoint (no),
    from_ms     INTEGER NOT NULL,
    until_ms    INTEGER NOT NULL
) STRICT;
