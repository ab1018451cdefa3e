//! `doctor`: what may be wrong with a data directory, and what to do about it. It changes nothing but
//! what any start of this version would: databases of an older version are brought up to date.

use std::path::Path;

use clap::Args;

use super::{CommandError, DataArgs, answer};
use crate::audit::Verifier;
use crate::ca::{self, Facts};
use crate::certificate::open_authority;
use crate::clock::now_ms;
use crate::config::Config;
use crate::data_dir::{self, DataDir, DataDirError};
use crate::geo;
use crate::rpc::status::chain;
use crate::seal;
use crate::store::StoreError;
use crate::store::connection::ConnectionStore;
use crate::store::sqlite::{SqliteState, SqliteTelemetry};
use crate::store::trust::TrustStore;
use crate::task::feed::bound_to;

/// Bytes that should be free, and that must be.
const FREE_WANTED_BYTES: u64 = 5 << 30;
const FREE_NEEDED_BYTES: u64 = 512 << 20;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Days after which a file that tells where addresses lie is old.
const GEO_DAYS_MAX: i64 = 60;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Also read all stored events; takes long.
    #[arg(long)]
    full: bool,
}

/// What a check found.
enum Finding {
    Good(String),
    /// It works, and somebody should look at it.
    Doubt(String),
    Bad(String),
}

use Finding::{Bad, Doubt, Good};

/// Findings, said as they come.
#[derive(Default)]
struct Report {
    bad: usize,
}

impl Report {
    fn say(&mut self, what: &str, finding: Finding) -> Result<(), CommandError> {
        let (word, detail) = match finding {
            Good(detail) => ("ok  ", detail),
            Doubt(detail) => ("warn", detail),
            Bad(detail) => {
                self.bad += 1;
                ("FAIL", detail)
            }
        };
        answer(&format!("{word}  {what}: {detail}"))
    }
}

pub(super) async fn doctor(args: DoctorArgs) -> Result<(), CommandError> {
    let data = DataDir::open(&args.data.data)?;
    let mut report = Report::default();
    report.say("server", running(&data))?;
    report.say("rights", rights(&data))?;
    let config = Config::load(&data.config());
    report.say(
        "configuration",
        match &config {
            Ok(_) => Good("in order".into()),
            Err(error) => Bad(chain(error)),
        },
    )?;
    for path in config.iter().flat_map(|config| &config.geo) {
        report.say("network.geo", geo_file(path, now_ms()))?;
    }
    report.say("CA", authority(&data))?;
    report.say("server certificate", server_certificate(&data))?;
    report.say("disk", disk(&data))?;
    match SqliteState::open_existing(&data.state()).await {
        Err(error) => report.say("state", Bad(chain(&error)))?,
        Ok(state) => {
            report.say("state", integrity(state.check().await))?;
            let (audit, newest_ms) = audit(&state).await;
            report.say("audit log", audit)?;
            report.say("clock", clock(newest_ms))?;
            report.say("live feeds", feeds(&data, &state).await)?;
            state.close().await;
        }
    }
    report.say("telemetry", telemetry(&data, args.full).await)?;
    match report.bad {
        0 => Ok(()),
        bad => Err(CommandError::NotInOrder(format!(
            "{bad} of these are not in order"
        ))),
    }
}

/// A file of `network.geo`.
fn geo_file(path: &Path, now_ms: i64) -> Finding {
    let facts = match geo::facts(path) {
        Ok(facts) => facts,
        Err(error) => return Bad(chain(&error)),
    };
    let tells = match (facts.tells_asn, facts.tells_country) {
        (true, true) => "ASN and country",
        (true, false) => "ASN",
        _ => "country",
    };
    let built = tocsin_proto::json::format_time_ms(facts.build_time_ms);
    let days = now_ms.saturating_sub(facts.build_time_ms).max(0) / DAY_MS;
    let text = format!(
        "{}: {}, tells {tells}, built {}, {days} days old",
        path.display(),
        facts.kind,
        built.as_deref().unwrap_or("at no known time")
    );
    match days > GEO_DAYS_MAX {
        true => Doubt(format!(
            "{text}: addresses have moved since, get a newer one"
        )),
        false => Good(text),
    }
}

fn running(data: &DataDir) -> Finding {
    match data.lock() {
        Ok(_) => Good("not running".into()),
        Err(DataDirError::Locked { .. }) => Good("running".into()),
        Err(error) => Bad(chain(&error)),
    }
}

#[cfg(unix)]
fn rights(data: &DataDir) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let open = [
        data.path().to_owned(),
        data.ca_key(),
        data.server_key(),
        data.feed_key(),
        data.state(),
        data.telemetry(),
        data.admin_profile(),
    ]
    .into_iter()
    .find(|path| std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0));
    match open {
        None => Good("for its owner only".into()),
        Some(path) => Bad(format!(
            "others may get at {0}: chmod go= {0}",
            path.display()
        )),
    }
}

#[cfg(not(unix))]
fn rights(_data: &DataDir) -> Finding {
    Doubt("not checked on this system".into())
}

fn until(facts: Option<Facts>) -> Finding {
    let Some(facts) = facts else {
        return Bad("not readable: restore it from a backup".into());
    };
    let until = tocsin_proto::json::format_time_ms(facts.expiry_time_ms).unwrap_or_default();
    if facts.expiry_time_ms <= now_ms() {
        Doubt(format!(
            "ended at {until}: the server renews it when it starts"
        ))
    } else {
        Good(format!("good until {until}"))
    }
}

fn authority(data: &DataDir) -> Finding {
    match open_authority(data) {
        Ok(authority) => until(Facts::of(&authority.certificate())),
        Err(error) => Bad(chain(&error)),
    }
}

fn server_certificate(data: &DataDir) -> Finding {
    match data_dir::read(&data.server_certificate()) {
        Ok(Some(pem)) => {
            until(ca::certificate_from_pem(&pem).and_then(|certificate| Facts::of(&certificate)))
        }
        Ok(None) => Doubt("missing: the server makes it when it starts".into()),
        Err(error) => Bad(chain(&error)),
    }
}

#[cfg(unix)]
fn disk(data: &DataDir) -> Finding {
    let free = match nix::sys::statvfs::statvfs(data.path()) {
        Ok(disk) => disk.blocks_available().saturating_mul(disk.fragment_size()),
        Err(error) => return Doubt(format!("free space is not known: {error}")),
    };
    let text = format!("{} MiB free", free >> 20);
    match free {
        0..FREE_NEEDED_BYTES => Bad(format!("{text}: make room, or nothing more can be stored")),
        FREE_NEEDED_BYTES..FREE_WANTED_BYTES => {
            Doubt(format!("{text}: make room, or lower retention.events_size"))
        }
        _ => Good(text),
    }
}

#[cfg(not(unix))]
fn disk(_data: &DataDir) -> Finding {
    let (_, _) = (FREE_NEEDED_BYTES, FREE_WANTED_BYTES);
    Doubt("not checked on this system".into())
}

fn integrity(result: Result<Option<String>, StoreError>) -> Finding {
    match result {
        Ok(None) => Good("intact".into()),
        Ok(Some(damage)) => Bad(format!("damaged ({damage}): restore it from a backup")),
        Err(error) => Bad(chain(&error)),
    }
}

/// The chain, and the time of the newest row.
async fn audit(state: &SqliteState) -> (Finding, i64) {
    const PAGE: u32 = 5000;
    let mut verifier = Verifier::new();
    let (mut after, mut newest_ms) = (0, 0);
    loop {
        let rows = match state.audit_rows(after, PAGE).await {
            Ok(rows) => rows,
            Err(error) => return (Bad(chain(&error)), newest_ms),
        };
        let Some(last) = rows.last() else { break };
        after = last.number;
        for row in &rows {
            newest_ms = newest_ms.max(row.time_ms);
            verifier.take(row);
        }
    }
    let finding = match verifier.bad() {
        None => Good(format!(
            "{} rows, head {}",
            verifier.rows(),
            data_encoding::HEXLOWER.encode(&verifier.head())
        )),
        Some((row, why)) => Bad(format!("row {row}: {why}: somebody has changed it")),
    };
    (finding, newest_ms)
}

fn clock(newest_ms: i64) -> Finding {
    let now = now_ms();
    let time = tocsin_proto::json::format_time_ms(now).unwrap_or_default();
    if now < newest_ms {
        Bad(format!(
            "it is {time}, and the audit log has been further already: set the clock"
        ))
    } else {
        Good(time)
    }
}

/// Whether the secrets of live feeds open.
async fn feeds(data: &DataDir, state: &SqliteState) -> Finding {
    let rows = match state.connections().await {
        Ok(rows) => rows,
        Err(error) => return Bad(chain(&error)),
    };
    for row in &rows {
        let bound = bound_to(&row.name, &row.provider, &row.settings);
        if let Err(error) = seal::open(&data.feed_key(), &row.secret, &bound) {
            return Bad(format!("{}: {}", row.name, chain(&error)));
        }
    }
    Good(match rows.len() {
        0 => "none".to_owned(),
        n => format!("{n}, whose secrets open (tocsin feeds status says how they are)"),
    })
}

async fn telemetry(data: &DataDir, full: bool) -> Finding {
    let telemetry = match SqliteTelemetry::open_existing(&data.telemetry()).await {
        Ok(telemetry) => telemetry,
        Err(error) => return Bad(chain(&error)),
    };
    let finding = if full {
        integrity(telemetry.check().await)
    } else {
        Good("opens (--full reads all of it)".into())
    };
    telemetry.close().await;
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::tests::{BUILT, Files};

    #[test]
    fn an_old_file_of_places_is_told_with_its_age() {
        let files = Files::new();
        let path = files.path("asn.mmdb");
        let built_ms = i64::try_from(BUILT).unwrap() * 1000;
        let say = |days: i64| geo_file(&path, built_ms + days * DAY_MS);
        let Good(text) = say(60) else {
            panic!("60 days are not old")
        };
        assert!(
            text.contains("asn.mmdb: Test[2J-ASN, tells ASN, built 2026-03-12T"),
            "{text}"
        );
        assert!(text.ends_with("60 days old"), "{text}");
        let Doubt(text) = say(61) else {
            panic!("61 days are old")
        };
        assert!(text.ends_with("get a newer one"), "{text}");
        let Good(text) = say(-1) else {
            panic!("a clock that is behind")
        };
        assert!(text.ends_with(" 0 days old"), "{text}");
        let Bad(text) = geo_file(&files.path("none.mmdb"), built_ms) else {
            panic!("there is none")
        };
        assert!(text.contains("none.mmdb of network.geo"), "{text}");
    }
}
