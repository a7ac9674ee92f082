//! Values as a file has them. Secrets are masked by the caller.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use ondol_host_store::{PostgresUrl, Synchronous};
use toml::Value;
use url::Url;

use super::admin::{AdminAddress, Token};
use super::bus::BusUrl;
use super::history::HistoryForm;
use super::identity::{IdentityMode, KeyAlgorithm, KeyFile};
use super::log_format::LogFormat;
use super::refusal::RefusalStyle;

/// A value as a file has it. None: it has none.
pub(super) trait Shown {
    fn shown(&self) -> Option<String>;
}

/// A text in the quotes of TOML.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Shown::shown)
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().filter_map(Shown::shown).collect::<Vec<_>>().join(", ")))
    }
}

impl Shown for bool {
    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Shown for u64 {
    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Shown for u8 {
    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Types whose value is a text.
macro_rules! texts {
    ($($type:ty: $value:ident => $text:expr;)+) => {
        $(impl Shown for $type {
            fn shown(&self) -> Option<String> {
                let $value = self;
                Some(quoted(&$text))
            }
        })+
    };
}

texts! {
    String: text => text.clone();
    PathBuf: path => path.to_string_lossy();
    SocketAddr: address => address.to_string();
    Url: url => if url.path() == "/" { url.origin().ascii_serialization() } else { url.to_string() };
    PostgresUrl: url => url.as_str();
    BusUrl: url => url.as_str();
    AdminAddress: address => address.to_string();
    Token: token => token.secret();
    IpNet: network => network.to_string();
    IdentityMode: mode => mode.to_string();
    KeyFile: key => format!("{}={}:{}", key.id, algorithm(key.algorithm), key.file.display());
    RefusalStyle: style => match style {
        RefusalStyle::Http => "http",
        RefusalStyle::Close => "close",
    };
    LogFormat: form => match form {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    HistoryForm: form => match form {
        HistoryForm::Host => "host",
        HistoryForm::Events => "events",
    };
    Synchronous: mode => match mode {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
}

fn algorithm(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::Hs256 => "HS256",
        KeyAlgorithm::Rs256 => "RS256",
        KeyAlgorithm::Es256 => "ES256",
        KeyAlgorithm::EdDsa => "EdDSA",
    }
}
