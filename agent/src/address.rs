//! A server's address as people write it: `HOST:PORT`, an IPv6 address in brackets.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    /// Name or address, without brackets.
    host: String,
    /// From 1.
    port: u16,
}

/// Text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not HOST:PORT, as in tocsin.example.org:7443 or [2001:db8::1]:7443")]
pub(crate) struct AddressError(String);

impl ServerAddress {
    /// Name or address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the server's certificate must carry.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, AddressError> {
        ServerName::try_from(self.host.clone()).map_err(|_| AddressError(self.to_string()))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError(text.chars().take(64).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner
                .strip_suffix(']')
                .filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
                .ok_or_else(bad)?,
            None if host.contains(':') => return Err(bad()),
            None => host,
        };
        let port: u16 = port.parse().map_err(|_| bad())?;
        let address = Self {
            host: host.to_owned(),
            port,
        };
        if port == 0 || address.server_name().is_err() {
            return Err(bad());
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        for text in [
            "localhost:7443",
            "tocsin.example.org:443",
            "192.0.2.1:7443",
            "[2001:db8::1]:1",
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert!(address.server_name().is_ok());
        }
        let address: ServerAddress = "[::1]:7443".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 7443));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "host",
            "host:",
            ":7443",
            "host:0",
            "host:99999",
            "::1:7443",
            "[host]:7443",
            "[::1:7443",
            "https://host:7443",
            "host :7443",
            "a b:1",
            "host:7443/path",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }
}
