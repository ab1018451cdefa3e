//! Every limit that two programs must agree on, with the reason for its number.
//!
//! A limit that only one program knows stands beside that program's code instead.

use std::time::Duration;

/// Bytes of one gRPC message, either way. Above a full batch plus its envelope; small enough that a
/// hostile peer cannot make the other side hold much per stream.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Events in one batch. Large batches compress and commit better; beyond this they gain nothing.
pub const BATCH_EVENTS_MAX: usize = 512;

/// Bytes of one batch before compression. 512 events with arguments at their limit do not fit: a
/// batch is closed early then.
pub const BATCH_BYTES_MAX: usize = 2 << 20;

/// Bytes of one batch as compressed; zstd can make incompressible input a little longer.
pub const BATCH_COMPRESSED_BYTES_MAX: usize = BATCH_BYTES_MAX + (64 << 10);

/// Batches that an agent may have sent without an acknowledgement. Hides the round trip and the
/// server's commit at 5,000 events/s; bounds what the server may have to hold for one agent.
pub const UPLOAD_BATCHES_IN_FLIGHT_MAX: usize = 8;

/// Arguments of one process that are kept.
pub const ARGV_COUNT_MAX: usize = 512;

/// Bytes of all arguments of one process that are kept: what the kernel sensor reads at exec.
pub const ARGV_BYTES_MAX: usize = 4096;

/// Bytes of a path. Linux: PATH_MAX.
pub const PATH_BYTES_MAX: usize = 4096;

/// Bytes of any other short text in an event: account names, components, details.
pub const TEXT_BYTES_MAX: usize = 256;

/// Bytes of the error or reason texts.
pub const REASON_BYTES_MAX: usize = 1024;

/// Sensors in one health report.
pub const SENSORS_MAX: usize = 32;

/// Addresses in one machine's facts.
pub const ADDRESSES_MAX: usize = 64;

/// Tags on one endpoint, and bytes of one tag.
pub const TAGS_MAX: usize = 64;

/// Bytes of one tag.
pub const TAG_BYTES_MAX: usize = 64;

/// Bytes of one note on an incident.
pub const NOTE_BYTES_MAX: usize = 16 << 10;

/// Bytes of one record of an identity provider, as it stands in a file or in a reply.
pub const PROVIDER_RECORD_BYTES_MAX: usize = 1 << 20;

/// Bytes of one piece of a file on its way to the server.
pub const IMPORT_CHUNK_BYTES: usize = 256 << 10;

/// Problems that an import names one by one; the rest are counted.
pub const IMPORT_PROBLEMS_MAX: usize = 1000;

/// Kinds of records that an import names one by one; the rest are counted together.
pub const IMPORT_KINDS_MAX: usize = 200;

/// Bytes of a mapping file; a mapping of every field and a hundred kinds has a tenth of it.
pub const MAPPING_BYTES_MAX: usize = 64 << 10;

/// Bytes of a live feed's secret: tokens and keys have tens, a private key in PEM a few thousand.
pub const FEED_SECRET_BYTES_MAX: usize = 16 << 10;

/// Bytes of the authorities that a live feed trusts, PEM: a company has a handful.
pub const FEED_CA_BYTES_MAX: usize = 64 << 10;

/// Rows of one page where the caller names no size, and the most it can ask for.
pub const PAGE_SIZE_DEFAULT: u32 = 500;

/// See [`PAGE_SIZE_DEFAULT`].
pub const PAGE_SIZE_MAX: u32 = 5000;

/// A TLS handshake that takes longer is given up.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an agent reports its health.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// HTTP/2 keep-alive: a peer that answers nothing for interval plus timeout is gone.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// See [`KEEPALIVE_INTERVAL`].
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How far an event's time may lie from the time at which the server receives it, into the future.
/// The past has no limit: a spool may be old.
pub const EVENT_TIME_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Names of a flow's remote address. An address with more is shared by so many that a name says little.
pub const FLOW_NAMES_MAX: usize = 8;

/// Bytes of output that a terminal's endpoint may send before the console has taken some: what all programs between
/// them hold of it. At 50 ms of round trip it allows 2.5 MB/s, more than a person reads.
pub const TERMINAL_OUTPUT_WINDOW_BYTES: u32 = 128 << 10;

/// Bytes of input that a console may send before the terminal has taken some.
pub const TERMINAL_INPUT_WINDOW_BYTES: u32 = 32 << 10;

/// Bytes of output or input in one message.
pub const TERMINAL_CHUNK_BYTES_MAX: usize = 16 << 10;

/// Columns of a terminal: no screen has more.
pub const TERMINAL_COLUMNS_MAX: u32 = 1000;

/// Rows of a terminal.
pub const TERMINAL_ROWS_MAX: u32 = 500;

/// Bytes of the name of a terminal's kind (TERM).
pub const TERMINAL_KIND_BYTES_MAX: usize = 64;

/// Processes that a terminal's report names; the rest are counted.
pub const TERMINAL_PROCESSES_NAMED_MAX: usize = 32;
