//! The sources of a machine, behind one call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use jiff::tz::TimeZone;

use super::LoginConfig;
use super::account_names::AccountNames;
use super::audit_stream::{self, AuditStream};
use super::journal_child::{self, From, JournalChild};
use super::state::State;
use super::tail::{Cut, Tail};
use super::watch::Watch;
use crate::sensor::process::in_initial;
use crate::sensor::session::power::{Power, PowerActivity};
use crate::sensor::session::record::{Record, Source};
use crate::sensor::session::utmp::{Entry, Layout, Machine};
use crate::sensor::session::{message, syslog};

/// Bytes of a log, and of an accounting file, that the first start reads at most.
const HISTORY_BYTES: u64 = 4 << 20;

/// A journalctl that ended is started again after so long.
const RESTART_MS: i64 = 5_000;

/// The log in the programs' own words.
#[derive(Debug)]
enum Text {
    Journal {
        child: Option<JournalChild>,
        from: From,
        ended_ms: i64,
    },
    File(Tail),
    None,
}

/// What one call read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) records: Vec<Record>,
    pub(super) power: Vec<Power>,
    /// A source lost something.
    pub(super) lost: bool,
    /// There is more to read at once.
    pub(super) more: bool,
    /// A source has only been read up to this time.
    pub(super) behind_ms: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sources {
    text: Text,
    wtmp: Tail,
    btmp: Tail,
    audit: Option<AuditStream>,
    /// Why the audit stream says nothing.
    audit_lacks: Option<String>,
    watch: Watch,
    zone: TimeZone,
    /// Records before this are history that nobody asked for.
    since_ms: i64,
}

impl Sources {
    /// Opens what there is.
    pub(super) fn open(config: &LoginConfig, state: &State, now_ms: i64) -> io::Result<Self> {
        let since_ms = now_ms.saturating_sub(config.history_ms);
        let tail = |path: &Path, cut| {
            Tail::new(path, cut, HISTORY_BYTES, state.positions.get(path).copied())
        };
        let text = if config.journal && journal_child::is_there() {
            Text::Journal {
                child: None,
                from: state
                    .cursor
                    .clone()
                    .map_or(From::Time(since_ms), From::Cursor),
                ended_ms: i64::MIN,
            }
        } else {
            let exists = |path: &&std::path::PathBuf| path.exists();
            match config.logs.iter().find(exists).or(config.logs.first()) {
                Some(path) => Text::File(tail(path, Cut::Lines)),
                None => Text::None,
            }
        };
        let (audit, audit_lacks) = open_audit(config);
        let mut files = vec![config.wtmp.clone(), config.btmp.clone()];
        if let Text::File(tail) = &text {
            files.push(tail.path().to_owned());
        }
        let records = Cut::Records(Layout::NATIVE.size());
        Ok(Self {
            text,
            wtmp: tail(&config.wtmp, records),
            btmp: tail(&config.btmp, records),
            audit,
            audit_lacks,
            watch: Watch::new(files)?,
            zone: TimeZone::system(),
            since_ms,
        })
    }

    /// What is missing, for the sensor's state.
    pub(super) fn detail(&self) -> String {
        let text = match &self.text {
            Text::Journal { .. } => "reads the journal".to_owned(),
            Text::File(tail) => format!("reads {}", tail.path().display()),
            Text::None => "no log of logins".to_owned(),
        };
        match &self.audit_lacks {
            Some(reason) => format!("{text}; {reason}"),
            None => format!("{text} and the audit stream"),
        }
    }

    /// Whether a source is read that records every terminal of a login.
    pub(super) fn record_terminals(&self) -> bool {
        self.wtmp.exists()
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut descriptors = vec![self.watch.as_fd()];
        descriptors.extend(self.audit.as_ref().map(AsFd::as_fd));
        if let Text::Journal { child, .. } = &self.text {
            descriptors.extend(child.as_ref().map(AsFd::as_fd));
        }
        descriptors
    }

    /// Notes how far everything was read.
    pub(super) fn note_positions(&self, state: &mut State) {
        let mut tails = vec![&self.wtmp, &self.btmp];
        match &self.text {
            Text::File(tail) => tails.push(tail),
            Text::Journal {
                from: From::Cursor(cursor),
                ..
            } => state.cursor = Some(cursor.clone()),
            _ => {}
        }
        for tail in tails {
            if let Some(position) = tail.position() {
                state.positions.insert(tail.path().to_owned(), position);
            }
        }
    }

    /// Reads what is new everywhere.
    pub(super) fn read(&mut self, names: &mut AccountNames, now_ms: i64) -> io::Result<Read> {
        let mut read = Read::default();
        self.watch.drain();
        // The stream that is not kept first: it must not overflow while the others are read.
        if let Some(audit) = &mut self.audit {
            let heard = audit.read()?;
            read.records.extend(heard.records);
            read.lost |= heard.lost;
            read.more |= heard.more;
        }
        self.read_text(&mut read, now_ms)?;
        self.read_accounting(&mut read, names, now_ms)?;
        let since_ms = self.since_ms;
        read.records.retain(|record| record.time_ms >= since_ms);
        read.power.retain(|power| power.time_ms >= since_ms);
        Ok(read)
    }

    fn read_text(&mut self, read: &mut Read, now_ms: i64) -> io::Result<()> {
        let mut last_ms = None;
        let more = match &mut self.text {
            Text::None => false,
            Text::File(tail) => {
                let found = tail.read()?;
                read.lost |= found.lost;
                let calendar = syslog::Calendar::new(self.zone.clone(), now_ms);
                for piece in &found.pieces {
                    let line = String::from_utf8_lossy(piece);
                    let Some(line) = syslog::parse(&line, &calendar) else {
                        continue;
                    };
                    last_ms = Some(line.time_ms);
                    read.records.extend(record(&line));
                }
                found.more
            }
            Text::Journal {
                child,
                from,
                ended_ms,
            } => {
                if child.is_none() && now_ms - RESTART_MS >= *ended_ms {
                    *child = Some(JournalChild::start(from)?);
                }
                let Some(running) = child else {
                    return Ok(());
                };
                let found = running.read()?;
                for line in found.lines {
                    last_ms = Some(line.time_ms);
                    *from = From::Cursor(line.cursor);
                    read.records.extend(line.record);
                }
                if found.ended {
                    *child = None;
                    *ended_ms = now_ms;
                }
                found.more
            }
        };
        read.more |= more;
        if more {
            read.behind_ms = last_ms.or(Some(self.since_ms));
        }
        Ok(())
    }

    fn read_accounting(
        &mut self,
        read: &mut Read,
        names: &mut AccountNames,
        now_ms: i64,
    ) -> io::Result<()> {
        let entry = |bytes: &Vec<u8>| Entry::parse(bytes, Layout::NATIVE);
        let mut last_ms = Vec::new();
        let found = self.wtmp.read()?;
        for entry in found.pieces.iter().filter_map(entry) {
            if found.more {
                last_ms.push(entry.time_ms());
            }
            read.records.extend(entry.login());
            read.power
                .extend(entry.machine().and_then(|machine| power(machine, &entry)));
        }
        read.lost |= found.lost;
        read.more |= found.more;
        let found = self.btmp.read()?;
        for entry in found.pieces.iter().filter_map(entry) {
            if found.more {
                last_ms.push(entry.time_ms());
            }
            if let Some(mut record) = entry.failure() {
                names.note_existence(&mut record, now_ms);
                read.records.push(record);
            }
        }
        read.lost |= found.lost;
        read.more |= found.more;
        if let Some(&last_ms) = last_ms.iter().max() {
            read.behind_ms = Some(read.behind_ms.map_or(last_ms, |behind| behind.min(last_ms)));
        }
        Ok(())
    }
}

fn open_audit(config: &LoginConfig) -> (Option<AuditStream>, Option<String>) {
    if !config.audit {
        return (None, Some("the audit stream is not asked for".to_owned()));
    }
    let lacks = |error: io::Error| Some(format!("no audit stream: {error}"));
    // The kernel multicasts only in the initial network namespace.
    let opened = in_initial(AuditStream::open).unwrap_or_else(|_| AuditStream::open());
    let stream = match opened {
        Ok(stream) => stream,
        Err(error) => return (None, lacks(error)),
    };
    let reason = match audit_stream::is_enabled() {
        Ok(true) => None,
        Ok(false) => Some("auditing is not enabled".to_owned()),
        Err(error) => Some(format!("whether auditing is enabled is unknown: {error}")),
    };
    // It may be enabled later.
    (Some(stream), reason)
}

fn record(line: &syslog::Line<'_>) -> Option<Record> {
    let saying = message::understand(line.program, line.message)?;
    Some(Record {
        time_ms: line.time_ms,
        source: Source::Text,
        service: saying.service,
        pid: line.pid,
        sign: saying.sign,
        count: saying.count,
        detail: Box::new(saying.detail),
    })
}

/// The boot is known from the kernel; its record in wtmp says nothing more.
fn power(machine: Machine, entry: &Entry) -> Option<Power> {
    match machine {
        Machine::Booted => None,
        Machine::ShutDown => Some(Power {
            activity: PowerActivity::ShutDown,
            time_ms: entry.time_ms(),
            until_ms: entry.time_ms(),
        }),
    }
}
