//! A company's proxy: `HTTPS_PROXY=http://[NAME:PASSWORD@]HOST:PORT`, and `NO_PROXY=host,.domain,*` for what it is not for.
//!
//! It sees the host and what TLS shows, never what is asked: a tunnel by `CONNECT` (RFC 9110). Its answer is at most
//! [`ANSWER_BYTES_MAX`] long.

use data_encoding::BASE64;
use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{HttpError, Origin};

/// Bytes of a proxy's answer to `CONNECT`.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    /// `Proxy-Authorization`, where a name is given.
    authorization: Option<String>,
    /// Hosts that are reached without it, in lower case.
    except: Vec<String>,
}

impl Proxy {
    /// The one that the environment names; letters large or small.
    pub(super) fn from_environment() -> Result<Option<Self>, HttpError> {
        let variable = |large: &str| {
            let small = large.to_ascii_lowercase();
            let said = std::env::var(small).or_else(|_| std::env::var(large));
            said.ok().filter(|value| !value.is_empty())
        };
        let Some(url) = variable("HTTPS_PROXY") else {
            return Ok(None);
        };
        let except = variable("NO_PROXY").unwrap_or_default();
        Self::new(&url, &except).map(Some)
    }

    fn new(url: &str, except: &str) -> Result<Self, HttpError> {
        // Never the value: it may hold a password.
        let wrong = HttpError::Url {
            url: "HTTPS_PROXY".to_owned(),
            why: "is not http://HOST:PORT",
        };
        let full = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let Ok(uri) = full.parse::<Uri>() else {
            return Err(wrong);
        };
        let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
            return Err(wrong);
        };
        let account = authority
            .as_str()
            .rsplit_once('@')
            .map(|(account, _)| account);
        let authorization =
            account.map(|account| format!("Basic {}", BASE64.encode(&decode(account))));
        let except = except.split(',').map(|one| one.trim().to_ascii_lowercase());
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authorization,
            except: except.filter(|one| !one.is_empty()).collect(),
        })
    }

    /// Whether this host is reached by it. Loopback never is.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let is_here = host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        let is_excepted = |one: &String| {
            let domain = one.trim_start_matches('.');
            let below = host.strip_suffix(domain);
            one == "*" || host == domain || below.is_some_and(|rest| rest.ends_with('.'))
        };
        !is_here && !self.except.iter().any(is_excepted)
    }

    /// Opens a tunnel.
    pub(super) async fn tunnel(&self, to: &Origin) -> Result<TcpStream, HttpError> {
        let name = format!("{}:{}", self.host, self.port);
        let failed = |source| HttpError::Connect {
            host: format!("the proxy {name}"),
            source,
        };
        let address = (self.host.as_str(), self.port);
        let mut tcp = TcpStream::connect(address).await.map_err(failed)?;
        let question = self.question(to);
        tcp.write_all(question.as_bytes()).await.map_err(failed)?;
        let mut answer = Vec::new();
        // Byte by byte, so that nothing behind the answer is taken away from TLS. It is short, and once a connection.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == ANSWER_BYTES_MAX {
                return Err(self.refusal("does not speak HTTP"));
            }
            answer.push(tcp.read_u8().await.map_err(failed)?);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split_ascii_whitespace().nth(1).unwrap_or_default();
        match status {
            "200" => Ok(tcp),
            "407" => Err(self
                .refusal("wants a name and password: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT")),
            _ => Err(self.refusal(&format!("answers {} to CONNECT", status.escape_default()))),
        }
    }

    fn question(&self, to: &Origin) -> String {
        let host = match to.host.contains(':') {
            true => format!("[{}]:{}", to.host, to.port),
            false => format!("{}:{}", to.host, to.port),
        };
        let authorization = match &self.authorization {
            Some(value) => format!("Proxy-Authorization: {value}\r\n"),
            None => String::new(),
        };
        format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n")
    }

    fn refusal(&self, why: &str) -> HttpError {
        HttpError::Proxy {
            proxy: format!("{}:{}", self.host, self.port),
            why: why.to_owned(),
        }
    }
}

/// Percent-decodes; what is no escape stays.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = [ahead.next(), ahead.next()].map(|one| one.unwrap_or_default());
        match data_encoding::HEXLOWER_PERMISSIVE.decode(&digits) {
            Ok(decoded) if byte == b'%' => {
                out.extend(decoded);
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_all_but_what_is_excepted() {
        let proxy = Proxy::new("http://proxy.example:3128", "okta.com, .internal.example").unwrap();
        for host in ["example.com", "notokta.com", "internal.example.com"] {
            assert!(proxy.is_for(host), "{host}");
        }
        for host in [
            "okta.com",
            "dana.okta.com",
            "internal.example",
            "a.internal.example",
            "127.0.0.1",
            "::1",
        ] {
            assert!(!proxy.is_for(host), "{host}");
        }
        assert!(!Proxy::new("proxy:1", "*").unwrap().is_for("example.com"));
    }

    #[test]
    fn its_password_goes_to_it_and_into_no_error() {
        let proxy = Proxy::new("http://dana:p%40ss@proxy.example:3128", "").unwrap();
        let (origin, _) = Origin::of("https://example.okta.com/x").unwrap();
        assert_eq!(
            proxy.question(&origin),
            "CONNECT example.okta.com:443 HTTP/1.1\r\nHost: example.okta.com:443\r\nProxy-Authorization: Basic ZGFuYTpwQHNz\r\n\r\n"
        );
        let error = proxy.refusal("says no").to_string();
        assert_eq!(error, "the proxy proxy.example:3128 says no");
        let error = Proxy::new("socks5://dana:secret@proxy", "")
            .err()
            .unwrap()
            .to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
