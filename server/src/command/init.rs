//! `init`: everything a server needs, made once.

use clap::Args;
use tocsin_proto::profile::{PROFILE_VERSION, Profile};

use super::{CommandError, DataArgs, tell};
use crate::audit::AuditEntry;
use crate::ca::{self, Authority, Facts, Validity};
use crate::clock::now_ms;
use crate::config::{self, Config, ConfigError};
use crate::data_dir::{self, DataDir};
use crate::role::Role;
use crate::rpc::status::chain;
use crate::store::sqlite::{SqliteState, SqliteTelemetry};
use crate::store::trust::{AnalystRow, TrustStore};

/// Name of the first administrator.
const ADMIN: &str = "admin";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Host names and addresses by which agents and consoles reach the server, the best first.
    #[arg(
        long = "name",
        value_name = "HOST[,HOST...]",
        required = true,
        value_delimiter = ','
    )]
    names: Vec<String>,
}

pub(super) async fn init(args: InitArgs) -> Result<(), CommandError> {
    let names = config::names(&args.names).map_err(|error| {
        CommandError::Usage(match error {
            ConfigError::Value {
                value, expected, ..
            } => format!("--name {value} is not {expected}"),
            other => format!("--name: {}", chain(&other)),
        })
    })?;
    let data = DataDir::create(&args.data.data)?;
    if let Err(error) = make(&data, &names).await {
        // Half a data directory is in the way of the next try.
        data.clear();
        return Err(error);
    }
    let folder = data.path().display();
    tell(&format!(
        "made {folder}\n\
         next:\n  \
         tocsin-server run --data {folder}                run the server; {folder}/config.toml says where it listens\n  \
         tocsin-server token create --data {folder}       a token, to enroll an endpoint with\n  \
         tocsin --profile {folder}/admin.profile endpoints list\n\
         keep {folder}/ca.key secret: whoever has it can enroll anything",
    ));
    Ok(())
}

/// Fills an empty directory.
async fn make(data: &DataDir, names: &[String]) -> Result<(), CommandError> {
    let now = now_ms();
    let text = config_text(names);
    let config = Config::parse(&text, &data.config())?;
    let life = config.certificate;
    let (authority, key) = Authority::create(Validity::starting(now, life.ca_lifetime))?;
    data_dir::write(&data.ca_key(), &key)?;
    let pem = ca::certificate_to_pem(&authority.certificate());
    data_dir::write(&data.ca_certificate(), &pem)?;
    let server = authority.server(&config.names, Validity::starting(now, life.server_lifetime))?;
    data_dir::write(&data.server_key(), &server.key)?;
    data_dir::write(&data.server_certificate(), &server.certificate)?;

    let state = SqliteState::open(&data.state()).await?;
    SqliteTelemetry::open(&data.telemetry())
        .await?
        .close()
        .await;
    let entry = AuditEntry::server("server.init", &config.names.join(","), "");
    state.append_audit(&entry).await?;
    let profile = NewProfile::make(&authority, ADMIN, Role::Admin, &config)?;
    let entry = AuditEntry::operator("analyst.add", ADMIN, Role::Admin.word());
    state.add_analyst(&profile.row, &entry).await?;
    data_dir::write(&data.admin_profile(), &profile.text(Vec::new())?)?;
    state.close().await;
    // Last: with it the directory counts as made.
    data_dir::write(&data.config(), &text)?;
    Ok(())
}

/// The default file with these names.
fn config_text(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    config::DEFAULT.replace(
        "names = [\"localhost\"]",
        &format!("names = [{}]", quoted.join(", ")),
    )
}

/// An analyst with the secrets that make the profile.
pub(super) struct NewProfile {
    /// What the store keeps.
    pub(super) row: AnalystRow,
    ca_certificate: String,
    certificate: String,
    key: String,
}

impl NewProfile {
    /// Makes key and certificate.
    pub(super) fn make(
        authority: &Authority,
        name: &str,
        role: Role,
        config: &Config,
    ) -> Result<Self, CommandError> {
        let now = now_ms();
        let validity = Validity::starting(now, config.certificate.analyst_lifetime);
        let issued = authority.analyst(name, validity)?;
        Ok(Self {
            row: AnalystRow {
                name: name.to_owned(),
                role,
                key_pin: issued.pin,
                added_time_ms: now,
                certificate_expiry_time_ms: ca::certificate_from_pem(&issued.certificate)
                    .and_then(|certificate| Facts::of(&certificate))
                    .map_or(0, |facts| facts.expiry_time_ms),
                revoked_time_ms: 0,
            },
            ca_certificate: ca::certificate_to_pem(&authority.certificate()),
            certificate: issued.certificate,
            key: issued.key,
        })
    }

    /// The profile's text.
    pub(super) fn text(self, servers: Vec<String>) -> Result<String, CommandError> {
        let profile = Profile {
            version: PROFILE_VERSION,
            name: self.row.name,
            role: self.row.role.word().to_owned(),
            servers,
            ca_certificate: self.ca_certificate,
            certificate: self.certificate,
            private_key: self.key,
        };
        Ok(profile.to_toml()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_file_that_is_written() {
        let names = ["a.example".to_owned(), "10.0.0.1".to_owned()];
        let config = Config::parse(&config_text(&names), "config.toml".as_ref()).unwrap();
        assert_eq!(config.names, names);
    }
}
