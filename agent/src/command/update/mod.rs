//! Another version of the agent: asked for by the server, and decided here.
//!
//! ```text
//! verify what is signed (trust) -> get the archive (fetch) -> verify it -> unpack (unpack) -> slot -> trial -> end
//! ```
//!
//! The server only names a version. Whether there is such a release, and whether this endpoint may have it, the signed
//! metadata says, by keys that the server does not hold. Nothing is unpacked or run before it is verified, and until the
//! ledger's switch the running agent is not touched: whatever fails is a reason in the report, and no more. After the
//! switch the agent ends in order, and the guard starts the new version on trial.

pub(crate) mod fetch;
pub(crate) mod source;
pub(crate) mod trust;
pub(crate) mod unpack;

#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tocsin_proto::agent::v1::{StartUpdate, UpdateReport, UpdateState};
use tocsin_proto::release::{Version, VersionError};
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::fetch::{FetchError, fetch};
use self::source::Source;
use self::trust::{Offer, Release, Trust, TrustError};
use self::unpack::{UnpackError, unpack};
use crate::backoff::Backoff;
use crate::file::FileError;
use crate::slot::{Ledger, Slot, Slots};
use crate::state::StateDirectory;
use crate::text::{chain, cut_reason};
use crate::version;

/// Longest delay before it begins that a server may ask for.
const DELAY_MS_MAX: u32 = 3_600_000;

/// Tries to get an archive in one go, each from where the one before ended.
const FETCH_TRIES: u32 = 8;

/// Delays between them.
const FETCH_RETRY_FIRST: Duration = Duration::from_secs(1);
const FETCH_RETRY_CAP: Duration = Duration::from_secs(60);

/// Why a version is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// Policy of the machine.
    #[error("updates are off on this machine (update.enabled in agent.toml)")]
    Off,
    /// Nobody would start it, and nobody would go back.
    #[error("this agent runs without tocsin-guard, which starts other versions: run that instead")]
    NoGuard,
    /// One at a time.
    #[error("another update is going on")]
    Busy,
    /// What the server named.
    #[error("read which version is wanted")]
    Version(#[from] VersionError),
    /// It runs.
    #[error("version {0} runs already")]
    Running(Version),
    /// Going back is the guard's.
    #[error("version {wanted} is older than {running}, which runs")]
    Older {
        /// Wanted.
        wanted: Version,
        /// Running.
        running: Version,
    },
    /// Below what the operator allows.
    #[error(
        "version {wanted} is below {minimum}, the lowest that the operator has signed as allowed"
    )]
    BelowMinimum {
        /// Wanted.
        wanted: Version,
        /// The lowest.
        minimum: Version,
    },
    /// It did not work here.
    #[error("version {version} has failed here before: {reason}")]
    FailedBefore {
        /// Which.
        version: Version,
        /// How.
        reason: String,
    },
    /// The operator has signed no such thing.
    #[error("no version {0} for this system is signed")]
    NotSigned(Version),
    /// See there.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// See there.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// See there.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The state directory.
    #[error("install the release")]
    File(#[from] FileError),
    /// The disk, or a thread.
    #[error("install the release")]
    Io(#[from] std::io::Error),
}

impl UpdateError {
    /// Whether it may work when it is tried again: what came is kept.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_retryable(),
            Self::Trust(error) => error.is_retryable(),
            Self::Busy => true,
            _ => false,
        }
    }
}

/// Installs versions, and knows how that goes.
#[derive(Debug)]
pub(crate) struct Updates {
    enabled: bool,
    guarded: bool,
    trust: Trust,
    slots: Slots,
    at_work: Mutex<()>,
    installed: CancellationToken,
    report: watch::Sender<Option<UpdateReport>>,
    /// What the ledger said when it was looked at last.
    stood: std::sync::Mutex<Option<Standing>>,
}

/// How an update stands by the ledger.
type Standing = (Version, UpdateState, String);

impl Updates {
    /// Of a state directory.
    pub(crate) fn new(state: &StateDirectory, enabled: bool, guarded: bool) -> Self {
        Self {
            enabled,
            guarded,
            trust: Trust::new(state),
            slots: Slots::new(state),
            at_work: Mutex::new(()),
            installed: CancellationToken::new(),
            report: watch::Sender::new(None),
            stood: std::sync::Mutex::default(),
        }
    }

    /// Waits until another version is to be started: this one should end.
    pub(crate) async fn installed(&self) {
        self.installed.cancelled().await;
    }

    /// What is to be told, whenever it changes.
    pub(crate) fn reports(&self) -> watch::Receiver<Option<UpdateReport>> {
        self.report.subscribe()
    }

    /// Reads how a trial stands, which the guard decides.
    pub(crate) fn look(&self) {
        let Ok(ledger) = self.slots.load() else {
            return;
        };
        let stands = standing(&ledger, version::running());
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        if *stood == stands {
            // What was told since, as a refusal, is not told over.
            return;
        }
        stood.clone_from(&stands);
        if let Some((version, state, detail)) = stands {
            self.tell(&version.to_string(), state, detail);
        }
    }

    /// Installs a version, or says why not.
    pub(crate) async fn start(&self, update: &StartUpdate, source: Arc<dyn Source>) {
        let wanted = crate::text::cut(update.version.clone());
        let Ok(_at_work) = self.at_work.try_lock() else {
            tracing::warn!(wanted, "an update was asked for while another goes on");
            return;
        };
        tracing::info!(wanted, "the server asks for another version of this agent");
        let delay_ms = u64::from(update.delay_ms_max.min(DELAY_MS_MAX));
        sleep(Duration::from_millis(delay_ms).mul_f64(rand::random())).await;
        self.tell(&wanted, UpdateState::Fetching, String::new());
        match self.install(&wanted, source).await {
            Ok(()) => {
                tracing::info!(wanted, "the release is installed and begins its trial");
                self.installed.cancel();
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(
                    wanted,
                    reason,
                    "the release is not installed; this version runs on"
                );
                let state = match error.is_retryable() {
                    true => UpdateState::Fetching,
                    false => UpdateState::Refused,
                };
                self.tell(&wanted, state, reason);
            }
        }
    }

    /// The connection ended while it was going on.
    pub(crate) fn interrupted(&self, version: &str) {
        let detail = "the connection ended: what came is kept".to_owned();
        self.tell(version, UpdateState::Fetching, detail);
    }

    async fn install(&self, wanted: &str, source: Arc<dyn Source>) -> Result<(), UpdateError> {
        if !self.enabled {
            return Err(UpdateError::Off);
        }
        if !self.guarded {
            return Err(UpdateError::NoGuard);
        }
        let wanted: Version = wanted.parse()?;
        let slots = self.slots.clone();
        let ledger = tokio::task::spawn_blocking(move || slots.load()).await;
        let ledger = ledger.map_err(std::io::Error::other)??;
        if ledger.trial.is_some() {
            return Err(UpdateError::Busy);
        }
        let offer = self.trust.refresh(source.clone()).await?;
        let release = choose(&offer, wanted, version::running(), &ledger)?;
        let archives = self.slots.archives()?;
        let archive = self.fetch(source.as_ref(), &release, &archives).await?;
        let slots = self.slots.clone();
        let installing = tokio::task::spawn_blocking(move || {
            let unpacked = slots.unpacking()?;
            unpack(&archive, &release.statement, &unpacked)?;
            slots.keep(&unpacked, wanted)?;
            let mut ledger = slots.load()?;
            ledger.begin_trial(Slot {
                version: wanted,
                program_sha256: release.statement.program_sha256.clone(),
            });
            slots.store(&ledger)?;
            std::fs::remove_file(&archive)?;
            Ok(())
        });
        installing.await.map_err(std::io::Error::other)?
    }

    async fn fetch(
        &self,
        source: &dyn Source,
        release: &Release,
        folder: &std::path::Path,
    ) -> Result<std::path::PathBuf, UpdateError> {
        let mut backoff = Backoff::new(FETCH_RETRY_FIRST, FETCH_RETRY_CAP);
        for _try in 1..FETCH_TRIES {
            match fetch(source, release, folder).await {
                Err(error) if error.is_retryable() => {
                    tracing::info!(error = chain(&error), "the release comes in pieces");
                    sleep(backoff.next_delay(rand::random())).await;
                }
                ended => return Ok(ended?),
            }
        }
        Ok(fetch(source, release, folder).await?)
    }

    fn tell(&self, version: &str, state: UpdateState, detail: String) {
        let report = Some(UpdateReport {
            version: version.to_owned(),
            state: state.into(),
            detail: cut_reason(detail),
            running_version: version::text().to_owned(),
        });
        self.report.send_if_modified(|told| {
            let is_new = *told != report;
            *told = report;
            is_new
        });
    }
}

/// How the last update of this endpoint stands.
fn standing(ledger: &Ledger, running: Version) -> Option<Standing> {
    if let Some(trial) = &ledger.trial {
        return Some((trial.slot.version, UpdateState::OnTrial, String::new()));
    }
    // What failed last is told until something newer runs.
    if let Some(failed) = ledger
        .failed
        .last()
        .filter(|failed| failed.version > running)
    {
        return Some((failed.version, UpdateState::Returned, failed.reason.clone()));
    }
    let current = ledger.current.as_ref()?;
    (current.version == running).then(|| (running, UpdateState::Done, String::new()))
}

/// The signed release of this version for this system, where it may be installed.
fn choose(
    offer: &Offer,
    wanted: Version,
    running: Version,
    ledger: &Ledger,
) -> Result<Release, UpdateError> {
    if wanted == running {
        return Err(UpdateError::Running(wanted));
    }
    if wanted < running {
        return Err(UpdateError::Older { wanted, running });
    }
    if let Some(minimum) = offer.minimum.filter(|minimum| wanted < *minimum) {
        return Err(UpdateError::BelowMinimum { wanted, minimum });
    }
    if let Some(failed) = ledger.failure(wanted) {
        return Err(UpdateError::FailedBefore {
            version: wanted,
            reason: failed.reason.clone(),
        });
    }
    let is_wanted = |release: &&Release| {
        let statement = &release.statement;
        statement.version == wanted
            && statement.os == std::env::consts::OS
            && statement.architecture == std::env::consts::ARCH
    };
    let release = offer.releases.iter().find(is_wanted);
    release.cloned().ok_or(UpdateError::NotSigned(wanted))
}
