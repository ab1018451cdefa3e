//! `tocsin releases`: what endpoints may update to. Keys, roots and signatures are made without any server; publishing
//! brings what was signed to one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp};
use serde::Serialize;
use tocsin_proto::console::v1::{PublishReleasesResponse, Release};
use tocsin_proto::release::{Kind, Version};

use super::Session;
use super::watch_list::Watch;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::output::{Output, Row};
use crate::release::repository::{Addition, Edition, Order, sign_folder};
use crate::release::root::{Progress, Wanted};
use crate::release::{key, root};
use crate::{text, time};

/// Longest that anything is good for.
const DAYS_MAX: i64 = 3660;

#[derive(Debug, Subcommand)]
pub(crate) enum Releases {
    /// What is published: what endpoints may be rolled out to.
    List(Watch),
    /// Make a key pair: FILE, which stays with its owner, and FILE.pub. Needs no server.
    Key {
        /// The private key's file; it must not be there.
        file: PathBuf,
    },
    /// Make the root of update trust in a folder, or the next one. Needs no server.
    ///
    /// A root after a first one is a rotation: it needs enough signatures of the former root's keys too.
    InitRoot(InitRoot),
    /// Add signatures to the newest root of a folder. Needs no server.
    SignRoot {
        /// The folder.
        folder: PathBuf,
        /// Private keys to sign with.
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
    },
    /// Sign what may be installed: add a release, or renew what is there. Needs no server.
    Sign(Sign),
    /// Bring a signed folder to the server.
    Publish {
        /// The folder.
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitRoot {
    /// The folder; it is made where it is not there.
    folder: PathBuf,
    /// Public keys of the root.
    #[arg(long = "root-key", value_name = "FILE.pub", required = true)]
    root: Vec<PathBuf>,
    /// How many of them must sign a root.
    #[arg(long, default_value_t = 1)]
    threshold: u64,
    /// Public keys that sign what may be installed.
    #[arg(long = "release-key", value_name = "FILE.pub", required = true)]
    release: Vec<PathBuf>,
    /// How many of them must sign it.
    #[arg(long, default_value_t = 1)]
    release_threshold: u64,
    /// Public keys that sign the timestamp [default: the release keys].
    #[arg(long = "timestamp-key", value_name = "FILE.pub")]
    timestamp: Vec<PathBuf>,
    /// Private keys to sign with.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// For how many days it is good; without a next one by then, updates stop.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    days: i64,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The folder.
    folder: PathBuf,
    /// Private keys to sign with.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// A tocsin-agent to add.
    #[arg(
        long,
        value_name = "FILE",
        requires = "version",
        conflicts_with = "timestamp_only"
    )]
    add: Option<PathBuf>,
    /// Its version.
    #[arg(long)]
    version: Option<Version>,
    /// The lowest version that endpoints may still install once they have seen this [default: 0.0.0].
    #[arg(long, value_name = "VERSION")]
    minimum: Option<Version>,
    /// Its operating system.
    #[arg(long, default_value = std::env::consts::OS)]
    os: String,
    /// Its processor.
    #[arg(long, default_value = std::env::consts::ARCH)]
    arch: String,
    /// A version to take away, so that it is installed no more.
    #[arg(long, value_name = "VERSION", conflicts_with = "timestamp_only")]
    remove: Option<Version>,
    /// Sign the timestamp only: what a timer does every day.
    #[arg(long)]
    timestamp_only: bool,
    /// For how many days the list of releases is good.
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    days: i64,
    /// For how many days the timestamp is good; without a next one by then, updates stop.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    timestamp_days: i64,
}

/// A key that was made.
#[derive(Debug, Serialize)]
struct Made {
    id: String,
    private: String,
    public: String,
}

/// A root that was signed.
#[derive(Debug, Serialize)]
struct Signed {
    id: String,
    version: u64,
    complete: bool,
}

impl Releases {
    /// Does it; connects only where a server is needed.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(
        self,
        connect: impl AsyncFnOnce() -> Result<Session, Failure>,
        mut out: Output,
        now: Timestamp,
    ) -> Result<Exit, Failure> {
        match self {
            Self::List(watch) => list(connect().await?, &watch).await,
            Self::Key { file } => {
                let made = Made {
                    id: key::make(&file).await?,
                    private: text::path(&file),
                    public: text::path(&key::public_path(&file)),
                };
                out.object(&made, |made, page| {
                    page.field("Key", &made.id);
                    page.field("Private", &made.private);
                    page.field("Public", &made.public);
                })?;
                Ok(Exit::Done)
            }
            Self::InitRoot(wanted) => {
                let (folder, keys) = (wanted.folder.clone(), wanted.keys.clone());
                let progress = root::init(&folder, &wanted.root(now)?, &keys).await?;
                tell_root(&mut out, &progress)
            }
            Self::SignRoot { folder, keys } => {
                let progress = root::add(&folder, &keys).await?;
                tell_root(&mut out, &progress)
            }
            Self::Sign(sign) => {
                let (folder, keys) = (sign.folder.clone(), sign.keys.clone());
                let edition = sign_folder(&folder, &sign.order(now)?, &keys).await?;
                out.object(&edition, describe_edition)?;
                Ok(Exit::Done)
            }
            Self::Publish { folder } => publish(connect().await?, folder).await,
        }
    }
}

impl InitRoot {
    fn root(self, now: Timestamp) -> Result<Wanted, Failure> {
        let timestamp = match self.timestamp.is_empty() {
            true => self.release.clone(),
            false => self.timestamp,
        };
        Ok(Wanted {
            root: self.root,
            threshold: self.threshold,
            release: self.release,
            release_threshold: self.release_threshold,
            timestamp,
            expires: after(now, self.days)?,
        })
    }
}

impl Sign {
    fn order(self, now: Timestamp) -> Result<Order, Failure> {
        let add = match (self.add, self.version) {
            (Some(program), Some(version)) => Some(Addition {
                program,
                version,
                os: self.os,
                architecture: self.arch,
                minimum: self.minimum.unwrap_or(Version {
                    major: 0,
                    minor: 0,
                    patch: 0,
                }),
            }),
            (None, None) => None,
            _ => return Err(Failure::Usage("--version goes with --add".into())),
        };
        Ok(Order {
            add,
            remove: self.remove,
            expires: after(now, self.days)?,
            timestamp_expires: after(now, self.timestamp_days)?,
            timestamp_only: self.timestamp_only,
        })
    }
}

/// So many days from now, to the second.
fn after(now: Timestamp, days: i64) -> Result<String, Failure> {
    let later = now.checked_add(Span::new().hours(days * 24));
    let later = later.map_err(|error| Failure::Usage(format!("count days: {error}")))?;
    Ok(format!("{later:.0}"))
}

fn tell_root(out: &mut Output, progress: &Progress) -> Result<Exit, Failure> {
    let signed = Signed {
        id: text::path(&progress.path),
        version: progress.version,
        complete: progress.is_complete,
    };
    out.object(&signed, |signed, page| {
        page.field("Root", &signed.id);
        page.field("Version", &signed.version.to_string());
        match signed.complete {
            true => page.paragraph("It has all the signatures it needs.", Style::Good),
            false => page.paragraph(
                "More signatures are needed: 'tocsin releases sign-root' where the other keys are.",
                Style::Medium,
            ),
        }
    })?;
    Ok(match progress.is_complete {
        true => Exit::Done,
        false => Exit::Partly,
    })
}

fn describe_edition(edition: &Edition, page: &mut Page) {
    page.field("Timestamp", &edition.timestamp_version.to_string());
    page.field("Releases", &edition.targets_version.to_string());
    for name in &edition.releases {
        page.item("-", name);
    }
}

async fn list(mut session: Session, watch: &Watch) -> Result<Exit, Failure> {
    if watch.is_on {
        return session.watch(Client::releases).await;
    }
    let releases = session.client.releases().await?;
    let mut rows = session.out.rows();
    rows.write(&releases)?;
    rows.finish()?;
    Ok(Exit::Done)
}

async fn publish(mut session: Session, folder: PathBuf) -> Result<Exit, Failure> {
    let failure = |file: String| move |source| Failure::Input { file, source };
    let mut names = Vec::new();
    let entries = std::fs::read_dir(&folder).map_err(failure(text::path(&folder)))?;
    for entry in entries {
        let name = entry.map_err(failure(text::path(&folder)))?.file_name();
        // Whatever else lies there, keys above all, is not sent.
        names.extend(
            name.into_string()
                .ok()
                .filter(|name| Kind::of(name).is_some()),
        );
    }
    names.sort();
    let sent = session.client.publish_releases(&folder, names).await?;
    let published = sent.map_err(|(name, source)| Failure::Input {
        file: text::line(&name).into_owned(),
        source,
    })?;
    session.out.object(&published, describe_published)?;
    Ok(Exit::Done)
}

fn describe_published(published: &PublishReleasesResponse, page: &mut Page) {
    let files = super::count(published.files.into(), "new file");
    let bytes = super::bytes(published.bytes);
    page.paragraph(&format!("published: {files}, {bytes}"), Style::Good);
}

impl Row for Release {
    const PLURAL: &'static str = "releases";
    const COLUMNS: &'static [Column] = &[
        Column::whole("VERSION"),
        Column::whole("OS"),
        Column::whole("ARCHITECTURE"),
        Column::whole("MINIMUM"),
        Column::number("BYTES").optional(1),
        Column::whole("UPDATES UNTIL (UTC)"),
        Column::text("ID", 8).optional(2),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.version.as_str().into(),
            self.os.as_str().into(),
            self.architecture.as_str().into(),
            self.minimum_version.as_str().into(),
            self.bytes.to_string().into(),
            time::second(self.expiry_time_ms).into(),
            self.id.as_str().into(),
        ]
    }
}
