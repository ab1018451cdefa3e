//! The console's profile: which server, and as whom. The server writes it, the console reads it.
//!
//! It holds a private key: whoever writes it to disk does so with mode 0600, and the console refuses one
//! that others may read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Newest version of the format that this build writes and reads.
pub const PROFILE_VERSION: u32 = 1;

/// Bytes of a profile at most.
pub const PROFILE_BYTES_MAX: usize = 64 << 10;

/// A profile that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML of this shape.
    #[error(
        "profile is not readable: have the server's operator make a new one ('tocsin-server analyst renew')"
    )]
    Parse(#[from] toml::de::Error),
    /// Written by a newer server.
    #[error(
        "profile has version {found}, this program reads up to {PROFILE_VERSION}: update the console"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// Its server address is not `HOST:PORT`.
    #[error("profile's server address '{address}' is not HOST:PORT")]
    Address {
        /// What it says.
        address: String,
    },
}

/// A profile. Its `Debug` hides the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this format.
    pub version: u32,
    /// Name of the analyst.
    pub name: String,
    /// Role at the time of writing; the server decides anew at every call.
    pub role: String,
    /// `HOST:PORT`, the first that answers is used. Empty until the server has run once.
    pub servers: Vec<String>,
    /// The CA's certificate, PEM.
    pub ca_certificate: String,
    /// The analyst's certificate, PEM.
    pub certificate: String,
    /// Its private key, PKCS #8, PEM.
    pub private_key: String,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// Reads a profile's text.
    ///
    /// # Errors
    /// Every [`ProfileError`].
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = toml::from_str(text)?;
        if head.version > PROFILE_VERSION {
            return Err(ProfileError::Version {
                found: head.version,
            });
        }
        let profile: Self = toml::from_str(text)?;
        for address in &profile.servers {
            split_address(address).ok_or_else(|| ProfileError::Address {
                address: address.clone(),
            })?;
        }
        Ok(profile)
    }

    /// Its text.
    ///
    /// # Errors
    /// None in practice: every field is text.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let head = "# Profile of a Tocsin console. It contains a private key: keep it secret.\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }
}

/// Splits `HOST:PORT`, `1.2.3.4:PORT` or `[v6]:PORT`; the host comes without brackets.
pub fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            version: 1,
            name: "admin".into(),
            role: "admin".into(),
            servers: vec!["localhost:7443".into()],
            ca_certificate: "ca\n".into(),
            certificate: "cert\n".into(),
            private_key: "hidden\n".into(),
        }
    }

    #[test]
    fn goes_there_and_back_and_hides_its_key() {
        let text = profile().to_toml().unwrap();
        assert_eq!(Profile::from_toml(&text).unwrap(), profile());
        assert!(!format!("{:?}", profile()).contains("hidden"));
    }

    #[test]
    fn a_newer_version_says_what_to_update() {
        let text = profile()
            .to_toml()
            .unwrap()
            .replace("version = 1", "version = 2\nnew = true");
        let error = Profile::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("update the console"), "{error}");
    }

    #[test]
    fn addresses_are_split() {
        assert_eq!(split_address("host:1"), Some(("host", 1)));
        assert_eq!(split_address("[::1]:7443"), Some(("::1", 7443)));
        for bad in [
            "host",
            "host:",
            ":1",
            "host:0",
            "host:70000",
            "::1:7443",
            "[::1:1",
            "",
        ] {
            assert_eq!(split_address(bad), None, "{bad}");
        }
    }
}
