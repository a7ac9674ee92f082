//! The address and the token of the admin API.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use url::{Host, Url};

use super::read::is_origin;

/// The address of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A TCP port of a host that is named.
    Http {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// A TCP port with TLS.
    Https {
        /// A name or an address, the latter without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket, private to this user.
    Unix(PathBuf),
}

impl AdminAddress {
    /// Reads `HOST:PORT`, the same as a URL, or `unix:PATH`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty() && !path.contains('\0')).then(|| Self::Unix(path.into()));
        }
        if text.starts_with("https://") {
            return Self::read_https(text);
        }
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.strip_suffix('/').unwrap_or(address);
        address.parse().ok().map(Self::Tcp).or_else(|| Self::read_name(address))
    }

    fn read_name(address: &str) -> Option<Self> {
        let (name, port) = address.split_once(':')?;
        match Host::parse(name).ok()? {
            Host::Domain(host) => Some(Self::Http { host, port: port.parse().ok()? }),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    fn read_https(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        is_origin(&url).then_some(Self::Https { host, port: url.port_or_known_default()? })
    }

    /// A port with TLS.
    pub(crate) fn https(address: SocketAddr) -> Self {
        Self::Https { host: address.ip().to_string(), port: address.port() }
    }

    /// Whether only this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Http { host, .. } => host == "localhost",
            Self::Https { host, .. } => host.parse().map_or(host == "localhost", |ip: IpAddr| ip.is_loopback()),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Http { host, port } => write!(f, "http://{host}:{port}"),
            Self::Https { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Https { host, port } => write!(f, "https://{host}:{port}"),
            // Of a path that begins with two slashes, they would be read as those of a URL.
            Self::Unix(path) if path.to_string_lossy().starts_with("//") => write!(f, "unix://{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A secret. Its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token, trimmed. None if nothing is left.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_may_be_a_port_a_url_or_a_socket() {
        let tcp = AdminAddress::Tcp("127.0.0.1:8001".parse().unwrap());
        assert_eq!(AdminAddress::read("127.0.0.1:8001"), Some(tcp.clone()));
        assert_eq!(AdminAddress::read("http://127.0.0.1:8001/"), Some(tcp.clone()));
        assert_eq!(AdminAddress::read("unix:/run/o.sock"), Some(AdminAddress::Unix("/run/o.sock".into())));
        let https = AdminAddress::Https { host: "ondol.example.com".to_owned(), port: 8001 };
        assert_eq!(AdminAddress::read("https://ondol.example.com:8001/"), Some(https));
        let local = AdminAddress::read("https://[::1]:8001").unwrap();
        assert_eq!((local.to_string().as_str(), local.is_local()), ("https://[::1]:8001", true));
        assert_eq!(AdminAddress::read("https://ondol.example.com/path"), None);
        assert_eq!(AdminAddress::read("unix:"), None);
        let named = AdminAddress::read("localhost:8001").unwrap();
        assert_eq!((named.to_string().as_str(), named.is_local()), ("http://localhost:8001", true));
        assert!(!AdminAddress::read("http://ondol.example.com:8001/").unwrap().is_local());
        for bad in ["here", "localhost", "localhost:", "local host:1", "localhost:70000", "127.0.0.1", "1.2.3:4:5"] {
            assert_eq!(AdminAddress::read(bad), None, "{bad}");
        }
        assert!(tcp.is_local());
        assert!(!AdminAddress::read("0.0.0.0:8001").unwrap().is_local());
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new(" abc\n")), "Some((secret))");
        assert_eq!(Token::new(" abc\n").unwrap().secret(), "abc");
        assert_eq!(Token::new(" "), None);
    }
}
