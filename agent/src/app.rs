//! The running agent: the only file that knows all stages. Builds them, joins them, ends them in order.
//!
//! Order of the end: terminals, then sensors, then what they had seen goes through the pipeline into the spool, then the uplink gets
//! a moment to send it, then the last status is written. A second signal changes nothing; all of it is bounded.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tocsin_proto::id::RunId;
use tocsin_spool::SpoolError;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::command::Commands;
use crate::config::Config;
use crate::file::FileError;
use crate::hash::Hasher;
use crate::health::{self, ConnectionState, Health};
use crate::identity::{CurrentIdentity, Identity, IdentityError};
use crate::machine;
use crate::memory;
use crate::outbox::Outbox;
use crate::pipeline::{FormerRun, Pipeline, Stages};
use crate::queue::Queue;
use crate::sensor::supervisor::{self, Running};
use crate::sensor::{Loss, LossPlace, LossReason, Observation, file, network, process, session};
use crate::state::{LockError, StateDirectory};
use crate::status::{RunFacts, Status};
use crate::text::chain;
use crate::uplink::Uplink;

/// How often the status is written.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// How long the uplink may take to send the last events.
const LAST_SEND: Duration = Duration::from_secs(3);

/// How often, and after how long each time, it is looked whether nobody uses the spool any more.
const CLOSE_LOOKS: u32 = 200;
/// See [`CLOSE_LOOKS`].
const CLOSE_LOOK: Duration = Duration::from_millis(10);

/// Before an uplink that panicked is started anew.
const UPLINK_RESTART: Duration = Duration::from_secs(5);

/// Threads for work that waits for the disk.
const BLOCKING_THREADS_MAX: usize = 4;

/// An agent that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The state directory cannot be used.
    #[error("use the state directory")]
    State(#[from] FileError),
    /// Another one runs.
    #[error("start the agent")]
    Lock(#[from] LockError),
    /// The machine is not enrolled, or its identity cannot be used.
    #[error("start the agent")]
    Identity(#[from] IdentityError),
    /// The spool cannot be opened.
    #[error("open the spool")]
    Spool(#[from] SpoolError),
    /// A broken invariant.
    #[error("keep running: the pipeline panicked, see the log")]
    Pipeline,
    /// Threads, signals or the runtime cannot be had.
    #[error("{doing}")]
    System {
        /// What was to be had.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RunError {
    fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config, state: StateDirectory, guarded: bool) -> Result<(), RunError> {
    state.create()?;
    let _lock = state.lock()?;
    let identity = Identity::load(&state)?;
    memory::prepare();
    if guarded {
        end_with_the_guard();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(RunError::system("start the runtime"))?;
    // Before anything runs: a signal from now on ends the agent in order.
    let mut signals = runtime
        .block_on(async { Signals::listen() })
        .map_err(RunError::system("listen to signals"))?;
    let commands = Arc::new(Commands::new(config, &state, guarded));
    let mut app = App::start(config, state.clone(), identity, &commands)?;
    let ended = loop {
        match runtime.block_on(app.run_until(signals.received())) {
            Ok(End::Run) => {
                let identity = Identity::load(&state)?;
                app = App::start(config, state.clone(), identity, &commands)?;
            }
            Ok(End::Agent) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // A lookup of a name may still hang in a thread; it is not waited for.
    runtime.shutdown_background();
    ended
}

/// A guard that was killed must not leave an agent behind that no other guard can stop.
#[cfg(target_os = "linux")]
fn end_with_the_guard() {
    let asked = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
    if let Err(error) = asked {
        tracing::warn!(%error, "this agent will not notice the end of its guard");
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_the_guard() {}

/// What has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The agent: somebody wants it to.
    Agent,
    /// Its run: the next one begins.
    Run,
}

/// Runs the uplink; should it ever panic, it is started anew.
async fn keep_uplink(uplink: Arc<Uplink>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let (running, stop) = (uplink.clone(), stop.clone());
        match tokio::spawn(async move { running.run(stop).await }).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "the uplink failed and is started anew"),
        }
        sleep(UPLINK_RESTART).await;
    }
}

/// The stages at work.
struct App {
    state: StateDirectory,
    facts: RunFacts,
    queue: Arc<Queue>,
    health: Arc<Health>,
    outbox: Arc<Outbox>,
    uplink: Arc<Uplink>,
    commands: Arc<Commands>,
    sensors: Vec<Running>,
    pipeline: JoinHandle<()>,
}

impl App {
    fn start(
        config: &Config,
        state: StateDirectory,
        identity: Identity,
        commands: &Arc<Commands>,
    ) -> Result<Self, RunError> {
        let start_ms = clock::now_ms();
        let former = former_run(&state);
        let facts = RunFacts {
            run: RunId::from_random(rand::random()),
            start_ms,
            hostname: machine::hostname(),
        };
        let boot = machine::boot_id();
        let (health, queue) = (Arc::new(Health::default()), Arc::new(Queue::default()));
        health.set_identity(&identity);
        let outbox = open_spool(&state, config.spool_bytes_max, &health)?;
        let hasher = Hasher::start(config.process.hash_bytes_max)
            .map(Arc::new)
            .map_err(RunError::system("start the hasher's thread"))?;
        let stages = Stages {
            queue: queue.clone(),
            outbox: outbox.clone(),
            health: health.clone(),
            hasher: hasher.clone(),
        };
        let pipeline = Pipeline::new(stages, facts.run, boot, former);
        let pipeline = start_pipeline(pipeline)?;
        if let Some(former) = former {
            queue.push("agent", [stopped(&former, start_ms)]);
        }
        let [changes, openings] = file::chains(&config.file);
        let chains = [
            ("process", process::chain(&config.process, &hasher)),
            ("session", session::chain(state.logins_path())),
            ("network", network::chain(config.flow_source)),
            changes,
            openings,
        ];
        let mut sensors = Vec::with_capacity(chains.len());
        for (what, chain) in chains.into_iter().filter(|(_, chain)| !chain.is_empty()) {
            let running = supervisor::start(what, chain, &queue, &health)
                .map_err(RunError::system("start a sensor's thread"))?;
            sensors.push(running);
        }
        let uplink = Uplink {
            commands: commands.clone(),
            identity: Arc::new(CurrentIdentity::new(state.clone(), identity)),
            outbox: outbox.clone(),
            queue: queue.clone(),
            health: health.clone(),
            run: facts.run,
            boot,
            start_ms,
            sent: Arc::default(),
            anew: CancellationToken::new(),
        };
        tracing::info!(run = %facts.run, version = crate::version::text(), "started");
        Ok(Self {
            state,
            facts,
            queue,
            health,
            outbox,
            uplink: Arc::new(uplink),
            commands: commands.clone(),
            sensors,
            pipeline,
        })
    }

    async fn run_until(self, end: impl Future<Output = &'static str>) -> Result<End, RunError> {
        let stop = CancellationToken::new();
        let uplink = tokio::spawn(keep_uplink(self.uplink.clone(), stop.clone()));
        let mut tick = interval(STATUS_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(end);
        let end = loop {
            tokio::select! {
                signal = &mut end => {
                    tracing::info!(signal, "ending");
                    break Ok(End::Agent);
                }
                () = self.uplink.anew.cancelled() => break Ok(End::Run),
                () = self.commands.updates.installed() => {
                    tracing::info!("ending: another version was installed");
                    break Ok(End::Agent);
                }
                // Without it every event would be lost; whoever started the agent starts it anew.
                _ = tick.tick() => if self.pipeline.is_finished() {
                    break Err(RunError::Pipeline);
                },
            }
            let time_ms = clock::now_ms();
            if self.health.note_stuck(time_ms) {
                let changed = Observation::SensorsChanged { time_ms };
                self.queue.push("health", [changed]);
            }
            self.write_status().await;
        };
        self.end(stop, uplink).await;
        end
    }

    async fn write_status(&self) {
        let status = self.status();
        let state = self.state.clone();
        let stored = tokio::task::spawn_blocking(move || status.store(&state)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(error = chain(&error), "the status cannot be written");
        }
    }

    fn status(&self) -> Status {
        let status = Status::of_run(
            &self.facts,
            self.health.report(),
            health::usage(),
            clock::now_ms(),
        );
        Status {
            terminals: self.commands.terminals.list(),
            ..status
        }
    }

    async fn end(self, stop: CancellationToken, uplink: tokio::task::JoinHandle<()>) {
        // While there is a server to report to.
        self.commands.end().await;
        let last = Status {
            pid: 0,
            ..self.status()
        };
        let (queue, sensors, pipeline) = (self.queue.clone(), self.sensors, self.pipeline);
        let flushed = tokio::task::spawn_blocking(move || {
            for sensor in sensors {
                sensor.stop();
            }
            queue.close();
            pipeline.join()
        });
        if !matches!(flushed.await, Ok(Ok(()))) {
            tracing::error!("the pipeline panicked: its last events are lost");
        }
        let sent = async {
            while self.health.connection_state() == ConnectionState::Connected
                && self.health.report().spool.events > 0
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(LAST_SEND, sent).await.is_err() {
            tracing::info!("the last events are kept for the next start");
        }
        stop.cancel();
        if let Err(error) = uplink.await {
            tracing::error!(%error, "the uplink ended badly");
        }
        drop(self.uplink);
        let (outbox, state) = (self.outbox, self.state);
        let report = self.health.report();
        let last = Status {
            updated_time: clock::now_ms(),
            spool_events: report.spool.events,
            last_sequence: report.last_sequence,
            acknowledged_sequence: report.acknowledged_sequence,
            acknowledged_events: report.acknowledged_events,
            ..last
        };
        let written = tokio::task::spawn_blocking(move || {
            outbox.checkpoint();
            close(outbox);
            last.store(&state)
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(error = chain(&error), "the last status cannot be written");
        }
        tracing::info!("ended");
    }
}

fn start_pipeline(pipeline: Pipeline) -> Result<JoinHandle<()>, RunError> {
    std::thread::Builder::new()
        .name("pipeline".into())
        .spawn(move || pipeline.run())
        .map_err(RunError::system("start the pipeline's thread"))
}

/// Closes the spool once nobody uses it: a lease that a broken connection left behind may take a moment.
fn close(outbox: Arc<Outbox>) {
    for _look in 0..CLOSE_LOOKS {
        if Arc::strong_count(&outbox) == 1 {
            return;
        }
        std::thread::sleep(CLOSE_LOOK);
    }
    tracing::error!("the spool is still in use");
}

fn open_spool(
    state: &StateDirectory,
    bytes_max: u64,
    health: &Arc<Health>,
) -> Result<Arc<Outbox>, RunError> {
    let (outbox, recovery) = Outbox::open(&state.spool(), bytes_max, health.clone())?;
    if recovery.events > 0 {
        tracing::info!(
            events = recovery.events,
            "events of earlier runs wait in the spool"
        );
    }
    if recovery.damaged > 0 || recovery.torn_bytes > 0 || !recovery.set_aside.is_empty() {
        tracing::error!(
            damaged = recovery.damaged,
            torn_bytes = recovery.torn_bytes,
            set_aside = recovery.set_aside.len(),
            "the spool was damaged"
        );
    }
    Ok(Arc::new(outbox))
}

/// The run before this one, as its status tells.
fn former_run(state: &StateDirectory) -> Option<FormerRun> {
    let status = Status::load(state).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "the former status cannot be read");
        None
    });
    status?.former_run()
}

/// The time in which no agent ran.
fn stopped(former: &FormerRun, start_ms: i64) -> Observation {
    Observation::Loss(Box::new(Loss {
        place: LossPlace::Sensor,
        reason: LossReason::AgentStopped,
        component: "agent",
        lost: None,
        // A clock that was set back makes no gap that ends before it begins.
        from_ms: former.alive_ms.min(start_ms),
        until_ms: start_ms,
    }))
}

/// Signals that end a program.
#[cfg(unix)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Signals that end a program.
#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn received(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "ctrl-c",
            Err(error) => {
                tracing::error!(%error, "signals cannot be received");
                std::future::pending().await
            }
        }
    }
}
