-- Public addresses of endpoints and how far their clocks stood from the server's, over time
-- (server/src/store/trust.rs says what each column means). Times are Unix milliseconds of the server's clock.

CREATE TABLE public_address (
    no       INTEGER PRIMARY KEY,
    endpoint BLOB NOT NULL REFERENCES endpoint (id),
    -- 4 or 16 bytes, the bits behind the prefix are 0.
    address  BLOB NOT NULL,
    prefix   INTEGER NOT NULL,
    source   TEXT NOT NULL,
    site     TEXT NOT NULL,
    -- By configuration; that several endpoints were behind it at one time is found when it is read.
    shared   INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX public_address_of ON public_address (endpoint, address);
CREATE INDEX public_address_by_address ON public_address (address, from_ms);

CREATE TABLE clock_skew (
    endpoint BLOB NOT NULL REFERENCES endpoint (id),
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    min_ms   INTEGER NOT NULL,
    max_ms   INTEGER NOT NULL,
    PRIMARY KEY (endpoint, from_ms)
) STRICT, WITHOUT ROWID;
