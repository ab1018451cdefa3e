//! The proc connector sensor: the kernel tells each fork, exec, change of user and exit over netlink.
//!
//! Promises: every process is seen, however short its life; what a full socket buffer dropped is counted by the
//! kernel's own counts and becomes a gap, after which the table is brought in line with `/proc`.
//! What it cannot promise: the command line of a process that ended before it was read; that one is marked. And a
//! process can arrange its memory so that reading its command line takes for ever: the sensor then stands still,
//! which health shows; only a sensor inside the kernel is safe from that.
//!
//! It wakes for each notification and at real-time priority, since a command line that is read later is read less
//! often. Storms cannot make it take a processor for itself: it has nothing to do but what ordinary threads had time
//! to start. It needs root, and the initial pid and user namespaces; in another network namespace it restricts itself to that one's processes.
//!
//! Everything that decides is in [`super::table`] and [`super::datagram`]; here are the socket and the loop.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_CONNECTOR;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::datagram::{self, DATAGRAM_BYTES_MAX, LossCounter, What};
use super::namespace::{in_initial, own_network};
use super::procfs::ProcFiles;
use super::table::Table;
use crate::config::Scope;
use crate::hash::Hasher;
use crate::sensor::{LossReason, Observation, Output, Sensor, SensorError, Stop};

/// Its name in health and gaps.
pub(crate) const NAME: &str = "process/proc_connector";

/// Multicast group of the process events.
const CN_IDX_PROC: u32 = 1;

/// Buffer of the socket: some 10,000 notifications, three seconds of a storm.
const SOCKET_BYTES: usize = 8 << 20;

/// Notifications between two hand-overs and looks at the clock.
const GROUP_MAX: usize = 256;

/// What it does not see.
const MISSES: &str = "misses arguments of processes that end before they are read";

/// How long the kernel may take to answer the subscription; it answers before the request returns.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The sensor.
#[derive(Debug)]
pub(crate) struct ProcConnector {
    scope: Scope,
    hasher: Arc<Hasher>,
}

impl ProcConnector {
    /// Reports what is in `scope`; executables are hashed by `hasher`.
    pub(crate) fn new(scope: Scope, hasher: Arc<Hasher>) -> Self {
        Self { scope, hasher }
    }
}

impl Sensor for ProcConnector {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
        let (source, is_initial) = Source::open(SOCKET_BYTES)?;
        let namespace = match self.scope {
            Scope::Machine => None,
            Scope::Auto if is_initial => None,
            Scope::Auto | Scope::Namespace => Some(own_namespace()?),
        };
        let (wake, woken) = UnixStream::pair().map_err(SensorError::failed("make a waker"))?;
        // Closing one end wakes the other.
        let wake = std::sync::Mutex::new(Some(wake));
        stop.wake_by(move || {
            if let Ok(mut wake) = wake.lock() {
                wake.take();
            }
        });
        let files = ProcFiles::new(self.hasher.clone());
        let mut watch = Watch::new(source, Table::new(files, namespace), output);
        watch.scan()?;
        output.running(detail(namespace, raise_priority().err()));
        while !stop.is_stopped() {
            watch.wait(&woken)?;
            watch.drain()?;
        }
        watch.table.look();
        watch.hand_over();
        Ok(())
    }
}

/// Whether it can run here and now: what it sees, or why not.
pub(crate) fn probe(scope: Scope) -> Result<String, SensorError> {
    let (_source, is_initial) = Source::open(SOCKET_BYTES)?;
    let whose = match scope {
        Scope::Machine => "of the machine",
        Scope::Auto if is_initial => "of the machine",
        Scope::Auto | Scope::Namespace => "in the agent's network namespace",
    };
    Ok(format!(
        "every process {whose}, by the kernel's events; {MISSES}"
    ))
}

fn own_namespace() -> Result<u64, SensorError> {
    own_network().ok_or_else(|| {
        SensorError::Unavailable("the agent's own network namespace cannot be read".into())
    })
}

fn detail(namespace: Option<u64>, no_priority: Option<io::Error>) -> String {
    let mut said = vec![MISSES.to_owned()];
    if !nix::unistd::geteuid().is_root() {
        said.push("not root: executables of other accounts' processes cannot be read".to_owned());
    }
    if let Some(inode) = namespace {
        said.push(format!("only processes in network namespace {inode}"));
    }
    if let Some(error) = no_priority {
        said.push(format!(
            "no priority over other threads, so command lines of short processes are read less often: {error}"
        ));
    }
    said.join("; ")
}

/// The socket.
#[derive(Debug)]
struct Source(Socket);

impl Drop for Source {
    fn drop(&mut self) {
        // Older kernels count subscribers by their farewells. The socket is gone either way.
        if let Err(error) = self.0.send(&datagram::ignore(), 0) {
            tracing::debug!(%error, "end the subscription to process events");
        }
    }
}

impl Source {
    /// Subscribes. Also says whether this is the machine's initial network namespace: only there does the kernel
    /// answer.
    fn open(buffer_bytes: usize) -> Result<(Self, bool), SensorError> {
        let open_here = || Self::open_here(buffer_bytes);
        match open_here() {
            Err(error) if refused(&error) => {}
            Err(error) => return Err(explain(error)),
            Ok(source) => return Ok((source, true)),
        }
        let moved = in_initial(open_here).and_then(|opened| opened);
        match moved {
            Ok(source) => Ok((source, false)),
            Err(error) if permission(&error) => Err(SensorError::Unavailable(format!(
                "the kernel sends process events in the machine's own network namespace, which cannot be entered from here: {error}"
            ))),
            Err(error) => Err(explain(error)),
        }
    }

    fn open_here(buffer_bytes: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_CONNECTOR)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &buffer_bytes).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &buffer_bytes)?;
        }
        socket.bind(&SocketAddr::new(0, CN_IDX_PROC))?;
        socket.set_non_blocking(true)?;
        let source = Self(socket);
        source.0.send(&datagram::listen(), 0)?;
        source.await_answer()?;
        Ok(source)
    }

    /// A kernel that does not answer ignores those outside the initial pid and user namespaces.
    fn await_answer(&self) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let asked = Instant::now();
        loop {
            // Notifications may come without an answer where somebody else has subscribed.
            let left = ANSWER_TIMEOUT.saturating_sub(asked.elapsed());
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let left_ms = u16::try_from(left.as_millis()).unwrap_or(0);
            if left_ms == 0 || poll(&mut fds, left_ms)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the kernel does not answer",
                ));
            }
            match self.receive(&mut buffer) {
                Ok(bytes) => {
                    if let Some(What::Answered { error }) =
                        datagram::parse(bytes).map(|notification| notification.what)
                    {
                        return match i32::try_from(error) {
                            Ok(0) => Ok(()),
                            Ok(errno) => Err(io::Error::from_raw_os_error(errno)),
                            Err(_) => Err(io::Error::other("an unknown answer")),
                        };
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One datagram of the kernel; empty for one of somebody else.
    fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (length, from) = self.0.recv_from(&mut &mut *buffer, 0)?;
        if from.port_number() != 0 {
            return Ok(&[]);
        }
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

fn refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

fn permission(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn explain(error: io::Error) -> SensorError {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "the kernel's process events need root (CAP_NET_ADMIN): run the agent as root"
        }
        io::ErrorKind::TimedOut => {
            "the kernel sends no process events here: the agent must run in the machine's own pid and user namespaces"
        }
        io::ErrorKind::Unsupported => "this kernel has no proc connector (CONFIG_PROC_EVENTS)",
        _ if error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32) => {
            "this kernel has no proc connector (CONFIG_PROC_EVENTS)"
        }
        _ => {
            return SensorError::Failed {
                doing: "subscribe to the kernel's process events",
                source: error,
            };
        }
    };
    SensorError::Unavailable(reason.into())
}

/// Lets this thread run before others, so that command lines are read before their processes end: a process of a
/// millisecond is over before an ordinary thread gets its turn on a busy machine. The thread sleeps between
/// notifications, and the kernel itself keeps a twentieth of each second free of real-time threads. Where that is
/// not permitted it takes what it gets, and the sensor's health says so.
fn raise_priority() -> io::Result<()> {
    real_time().or_else(|_| less_nice())
}

fn less_nice() -> io::Result<()> {
    use nix::libc;
    const NICE: libc::c_int = -10;
    // SAFETY: plain numbers; 0 is the calling thread.
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

fn real_time() -> io::Result<()> {
    use nix::libc;
    // SAFETY: sched_param is plain numbers, for which zeros are valid.
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    let mut lowest: libc::sched_param = unsafe { std::mem::zeroed() };
    lowest.sched_priority = 1;
    // What this thread may start is not to inherit it.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread; the kernel only reads the parameter, which outlives the call.
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const lowest) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

/// The loop's state.
struct Watch<'a> {
    source: Source,
    losses: LossCounter,
    table: Table<ProcFiles>,
    output: &'a Output,
    overflowed: bool,
}

impl<'a> Watch<'a> {
    fn new(source: Source, table: Table<ProcFiles>, output: &'a Output) -> Self {
        Self {
            source,
            losses: LossCounter::default(),
            table,
            output,
            overflowed: false,
        }
    }

    fn scan(&mut self) -> Result<(), SensorError> {
        self.table
            .scan()
            .map_err(SensorError::failed("read the process table"))?;
        super::hand_over_inventory(self.output, self.table.take());
        Ok(())
    }

    /// Waits for a notification, for something that is due, or for the end.
    fn wait(&mut self, woken: &UnixStream) -> Result<(), SensorError> {
        let timeout = match self.table.next_look_ns() {
            None => PollTimeout::NONE,
            Some(at_ns) => {
                self.table.set_clocks();
                let wait_ns = at_ns.saturating_sub(self.table.clocks().monotonic_ns);
                // Rounded up, or the last millisecond would be spent in waking for nothing.
                u16::try_from(wait_ns / 1_000_000 + 1).map_or(PollTimeout::MAX, PollTimeout::from)
            }
        };
        let mut fds = [
            PollFd::new(self.source.0.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(SensorError::failed("wait for process events")(error.into())),
        }
    }

    /// Takes all that the kernel has.
    fn drain(&mut self) -> Result<(), SensorError> {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        loop {
            self.table.set_clocks();
            self.output.busy(self.now_ms());
            let more = self.take_group(&mut buffer)?;
            self.table.look();
            self.hand_over();
            if !more {
                break;
            }
        }
        self.report_losses()?;
        self.output.paused();
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        let clocks = self.table.clocks();
        clocks.wall_ms(clocks.monotonic_ns)
    }

    /// Takes one group; true where there may be more.
    fn take_group(&mut self, buffer: &mut [u8]) -> Result<bool, SensorError> {
        for _ in 0..GROUP_MAX {
            match self.source.receive(buffer) {
                Ok(bytes) => {
                    if let Some(notification) = datagram::parse(bytes) {
                        self.losses.note(&notification);
                        self.table.apply(&notification);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    self.overflowed = true;
                }
                Err(error) => return Err(SensorError::failed("receive process events")(error)),
            }
        }
        Ok(true)
    }

    fn hand_over(&mut self) {
        let observations = self.table.take();
        if !observations.is_empty() {
            let boxed = |process| Observation::Process(Box::new(process));
            self.output.send(observations.into_iter().map(boxed));
        }
    }

    fn report_losses(&mut self) -> Result<(), SensorError> {
        let now_ms = self
            .table
            .clocks()
            .wall_ms(self.table.clocks().monotonic_ns);
        let untracked = self.table.take_untracked();
        if untracked > 0 {
            self.output
                .lost(LossReason::Overflow, Some(untracked), now_ms, now_ms);
        }
        let lost = self.losses.take();
        if lost.is_none() && !self.overflowed {
            return Ok(());
        }
        if let Some(lost) = lost {
            let clocks = self.table.clocks();
            let (from_ms, until_ms) = (clocks.wall_ms(lost.from_ns), clocks.wall_ms(lost.until_ns));
            tracing::error!(lost = lost.count, "the kernel dropped process events");
            self.output
                .lost(LossReason::Overflow, Some(lost.count), from_ms, until_ms);
        }
        // Without a hole in the counts the dropped ones are the last of their CPUs: their number is told when
        // those CPUs speak again. The table can be brought in line now in either case.
        self.overflowed = false;
        self.scan()
    }
}

#[cfg(test)]
mod tests;
