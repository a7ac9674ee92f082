//! The caller's identity. Knows requests, and nothing of rooms.
//!
//! Where it comes from is the operator's choice (`[identity]`): the values that a trusted gateway writes, the same with a
//! signature over them, or a token. What the choice rules out is refused, never ignored: a client that sends it expects it
//! to count.

mod assertion;
mod keys;
mod mangled;
mod token;
mod values;

use std::net::IpAddr;
use std::time::SystemTime;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request};
use ipnet::IpNet;

use super::rates::TooFast;
use crate::config::{Config, IdentityConfig, IdentityMode, Limits};
pub(crate) use assertion::text as assertion_text;
use keys::Keys;
pub(crate) use keys::secret;
use mangled::{Mangled, Reports};
use ondol_host_model::User;
use values::Values;

/// Why a request has no usable identity. No error contains a value of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    /// The request carries no identity.
    #[error("user_id, nickname and email are required, in the query or as X-User-ID, X-Nickname and X-Email")]
    Absent,
    /// A required value is missing or empty.
    #[error("{0} is missing or empty")]
    Missing(&'static str),
    /// A value is given more than once.
    #[error("{0} is given more than once")]
    Twice(&'static str),
    /// The header and the query differ.
    #[error("{0} differs between the header and the query")]
    Differs(&'static str),
    /// A claim is not a text.
    #[error("{0} is not a text")]
    NotText(&'static str),
    /// A value that a gateway mangled.
    #[error(transparent)]
    Mangled(#[from] Mangled),
    /// A value is too long.
    #[error("{key} is longer than {limit} = {chars_max} characters")]
    TooLong { key: &'static str, limit: &'static str, chars_max: usize },
    /// A value contains control characters.
    #[error("{0} contains control characters")]
    Control(&'static str),
    /// An address that a page must not load.
    #[error("{0} must be an http or https address, or an absolute path")]
    NotUrl(&'static str),
    /// No gateway vouches for the values.
    #[error("an identity is accepted from the gateway alone: this connection is from none of identity.trusted")]
    Untrusted,
    /// The request carries values where a token is required.
    #[error("this server takes the identity from a token: user_id, nickname, email and profile_url are not accepted")]
    Unexpected,
    /// There is no token.
    #[error("a token is required, as Authorization: Bearer, in Sec-WebSocket-Protocol or in a cookie")]
    TokenAbsent,
    /// The token is not acceptable.
    #[error("the token {0}")]
    Token(&'static str),
    /// The signature of the values is not acceptable.
    #[error("X-Ondol-Assertion {0}")]
    Assertion(&'static str),
    /// Too many identities from the same address were rejected.
    #[error(transparent)]
    TooFast(#[from] TooFast),
}

impl IdentityError {
    /// The challenge of a 401 (RFC 9110, section 11.6.1; RFC 6750, section 3).
    pub(super) fn challenge(&self) -> &'static str {
        match self {
            Self::TokenAbsent => "Bearer realm=\"chat\"",
            Self::Token(_) | Self::Unexpected => "Bearer realm=\"chat\", error=\"invalid_token\"",
            _ => "Gateway realm=\"chat\"",
        }
    }

    /// Whether there was an identity to look at.
    pub(super) fn is_rejection(&self) -> bool {
        !matches!(self, Self::Absent | Self::TokenAbsent | Self::TooFast(_))
    }
}

/// A caller whose identity is established.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) user: User,
    /// When the token expires that says so.
    pub(super) expires: Option<SystemTime>,
}

/// What is known of a request's way here, and what it says of its caller.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// The address of the other end of the connection.
    pub(super) peer: IpAddr,
}

impl<'a> Asked<'a> {
    pub(super) fn of<B>(request: &'a Request<B>, peer: IpAddr) -> Self {
        let (uri, method, headers) = (request.uri(), request.method(), request.headers());
        Self { method, path: uri.path(), query: uri.query().unwrap_or_default(), headers, peer }
    }
}

/// How callers are identified.
pub(crate) struct Identity {
    config: IdentityConfig,
    limits: Limits,
    keys: Keys,
    reports: Reports,
}

impl Identity {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// When a key cannot be read.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let keys = Keys::read(&config.identity.keys, config.identity.jwks.as_deref())?;
        Ok(Self { config: config.identity.clone(), limits: config.limits.clone(), keys, reports: Reports::default() })
    }

    /// The caller, if the request names one.
    ///
    /// # Errors
    ///
    /// When what it says of the caller is incomplete, ambiguous, or not proven.
    pub(super) fn optional(&self, asked: &Asked<'_>) -> Result<Option<Caller>, IdentityError> {
        let values = self.values(asked)?;
        match self.config.mode {
            IdentityMode::Gateway => {
                let Some(values) = values else { return Ok(None) };
                if !self.trusts(asked.peer) {
                    return Err(IdentityError::Untrusted);
                }
                Ok(Some(Caller { user: values.user(&self.limits)?, expires: None }))
            }
            IdentityMode::Signed => {
                let header = assertion::find(asked.headers)?;
                match (values, header) {
                    (None, None) => Ok(None),
                    (None, Some(_)) => Err(IdentityError::Absent),
                    (Some(_), None) => Err(IdentityError::Assertion("is missing: the identity is not signed")),
                    (Some(values), Some(header)) => {
                        let user = values.user(&self.limits)?;
                        let keys = self.keys.current();
                        assertion::check(&keys, header, asked, values.signed(), self.config.leeway_s)?;
                        Ok(Some(Caller { user, expires: None }))
                    }
                }
            }
            IdentityMode::Jwt if values.is_some() => Err(IdentityError::Unexpected),
            IdentityMode::Jwt => {
                let token = token::find(asked.headers, self.config.cookie.as_deref())?;
                token.map(|token| self.of_token(token)).transpose()
            }
        }
    }

    /// The values of a request. The operator hears of those that the gateway mangled.
    fn values(&self, asked: &Asked<'_>) -> Result<Option<Values>, IdentityError> {
        let from_gateway = match self.config.mode {
            IdentityMode::Gateway => self.trusts(asked.peer),
            IdentityMode::Signed => true,
            IdentityMode::Jwt => false,
        };
        let read = Values::in_query(asked.query).and_then(|query| Ok((query, Values::in_headers(asked.headers)?)));
        if !from_gateway {
            return read.and_then(|(query, headers)| Values::merged(query, headers));
        }
        let (query, headers) = read.inspect_err(|error| {
            if let IdentityError::Mangled(mangled) = error {
                self.reports.tell(*mangled);
            }
        })?;
        for mangled in Values::mangled(&query, &headers) {
            self.reports.tell(mangled);
            if mangled.is_refused() {
                return Err(mangled.into());
            }
        }
        Values::merged(query, headers)
    }

    /// The caller.
    ///
    /// # Errors
    ///
    /// As [`Identity::optional`], and when the request names none.
    pub(super) fn required(&self, asked: &Asked<'_>) -> Result<Caller, IdentityError> {
        let absent = match self.config.mode {
            IdentityMode::Jwt => IdentityError::TokenAbsent,
            IdentityMode::Gateway | IdentityMode::Signed => IdentityError::Absent,
        };
        self.optional(asked)?.ok_or(absent)
    }

    /// Whether a request that only reads may be answered.
    ///
    /// # Errors
    ///
    /// Where callers prove who they are, and the request does not.
    pub(super) fn may_read(&self, asked: &Asked<'_>) -> Result<(), IdentityError> {
        match self.config.mode {
            IdentityMode::Gateway => Ok(()),
            _ if self.config.anonymous_reads => self.optional(asked).map(drop),
            _ => self.required(asked).map(drop),
        }
    }

    /// Whether a room may be created without an identity.
    pub(super) fn allows_anonymous(&self) -> bool {
        self.config.mode == IdentityMode::Gateway
    }

    /// The caller that a token names.
    ///
    /// # Errors
    ///
    /// When the token does not hold.
    pub(super) fn of_token(&self, token: &str) -> Result<Caller, IdentityError> {
        token::check(&self.keys.current(), token, &self.config, &self.limits)
    }

    /// Whether an address is one of a gateway's.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        match &self.config.trusted {
            None => peer.is_loopback(),
            Some(networks) => networks.iter().any(|network: &IpNet| network.contains(&peer)),
        }
    }
}

/// The subprotocol that answers a client's offer: one that the operator lists, or the one that stands before a token.
pub(super) fn chosen_subprotocol(headers: &HeaderMap, listed: &[String]) -> Option<HeaderValue> {
    let offered = || token::offered(headers);
    let chosen = offered().find(|name| listed.iter().any(|listed| listed == name));
    let chosen = chosen.or_else(|| offered().find(|name| *name == token::SUBPROTOCOL));
    chosen.and_then(|name| HeaderValue::from_str(name).ok())
}

#[cfg(test)]
mod proofs;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
