-- Event batches (server/src/store/telemetry.rs says what each column means).

-- Ids of 16 bytes become small numbers here once.
CREATE TABLE endpoint (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE run (
    no INTEGER PRIMARY KEY,
    endpoint_no INTEGER NOT NULL REFERENCES endpoint (no),
    id BLOB NOT NULL,
    boot_id BLOB NOT NULL,
    -- Mark: every sequence up to here is stored, was removed by retention, or is named by a gap.
    committed_through INTEGER NOT NULL,
    -- Events stored now.
    stored_events INTEGER NOT NULL,
    -- Of all events ever stored, also of those that were removed.
    first_event_time_ms INTEGER NOT NULL,
    last_event_time_ms INTEGER NOT NULL,
    last_receive_time_ms INTEGER NOT NULL,
    UNIQUE (endpoint_no, id)
) STRICT;

CREATE TABLE batch (
    -- Order of commit: retention removes from the low end.
    no INTEGER PRIMARY KEY,
    run_no INTEGER NOT NULL REFERENCES run (no),
    endpoint_no INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    events INTEGER NOT NULL,
    event_time_min_ms INTEGER NOT NULL,
    event_time_max_ms INTEGER NOT NULL,
    kinds INTEGER NOT NULL,
    receive_time_ms INTEGER NOT NULL,
    -- 1: made by the server for sequences that never came.
    hole INTEGER NOT NULL DEFAULT 0,
    payload BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX batch_by_sequence ON batch (run_no, first_sequence);
CREATE INDEX batch_by_newest ON batch (event_time_max_ms);
CREATE INDEX batch_by_oldest ON batch (event_time_min_ms);
CREATE INDEX batch_of_endpoint_by_newest ON batch (endpoint_no, event_time_max_ms);
CREATE INDEX batch_of_endpoint_by_oldest ON batch (endpoint_no, event_time_min_ms);

-- Few batches span more than a minute. Those that do are found apart, so that a look at one minute need not look at
-- every newer batch for one that reaches back.
CREATE INDEX batch_wide ON batch (event_time_max_ms) WHERE event_time_max_ms - event_time_min_ms > 60000;

CREATE INDEX batch_wide_oldest ON batch (event_time_min_ms) WHERE event_time_max_ms - event_time_min_ms > 60000;

-- So are batches with gaps, which tell what is not known of an endpoint.
CREATE INDEX batch_gap ON batch (endpoint_no, event_time_min_ms) WHERE kinds & 2 != 0;

-- Holes are few; they go when their endpoint says what was lost.
CREATE INDEX batch_hole ON batch (run_no, first_sequence) WHERE hole = 1;

-- Where each run's processes stood at one sequence (server/src/search/process.rs).
CREATE TABLE process_snapshot (
    run_no INTEGER PRIMARY KEY REFERENCES run (no),
    through_sequence INTEGER NOT NULL,
    event_time_max_ms INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
