-- What providers call endpoints (server/src/store/device.rs says what each column means).
CREATE TABLE device (
    provider        TEXT NOT NULL,
    device_id       TEXT NOT NULL,
    endpoint        BLOB NOT NULL,
    source          TEXT NOT NULL,
    confidence      TEXT NOT NULL,
    bound_by        TEXT NOT NULL,
    reason          TEXT NOT NULL,
    bound_time_ms   INTEGER NOT NULL,
    -- 0: it is bound. Else when an analyst took it from this endpoint: no import binds it to it again.
    unbound_time_ms INTEGER NOT NULL,
    PRIMARY KEY (provider, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_of ON device (endpoint);
