//! `[identity]`: how the server knows who calls.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::given::Given;
use super::read;
use super::table::table;

table! {
    /// How the server knows who calls.
    IdentityConfig {}

    /// Where the identity comes from.
    mode: IdentityMode = IdentityMode::Gateway, mode, "\"gateway\", \"signed\" or \"jwt\"", restart;
    /// The networks of gateways, whose headers are believed. None: this machine alone.
    trusted: Option<Vec<IpNet>> = None, networks,
        "networks and addresses, such as 10.0.0.0/8 or 192.168.1.7", restart;
    /// The keys, by id.
    keys: Vec<KeyFile> = Vec::new(), keys,
        "keys as ID=ALGORITHM:FILE, such as 2026=RS256:/etc/ondol/jwt.pem; the algorithms are HS256, RS256, ES256 and EdDSA", restart;
    /// A JSON Web Key Set (RFC 7517) with more keys.
    jwks: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The issuer that a token must name.
    issuer: Option<String> = None, some_text, "a text that is not empty", restart;
    /// The audience that a token must name.
    audience: Option<String> = None, some_text, "a text that is not empty", restart;
    /// How far the clocks may differ, in seconds.
    leeway_s: u64 = 30, leeway, "a whole number of seconds from 0 to 300", restart;
    /// The cookie that may carry a token.
    cookie: Option<String> = None, cookie, "the name of a cookie", restart;
    /// Requests that only read need no identity.
    anonymous_reads: bool = false, read::truth, "true or false", restart;
    /// The claim with the id of the user.
    claim_user_id as "claims.user_id": String = "sub".to_owned(), text, "the name of a claim", restart;
    /// The claim with the nickname.
    claim_nickname as "claims.nickname": String = "nickname".to_owned(), text, "the name of a claim", restart;
    /// The claim with the email address.
    claim_email as "claims.email": String = "email".to_owned(), text, "the name of a claim", restart;
    /// The claim with the picture.
    claim_profile_url as "claims.profile_url": String = "picture".to_owned(), text, "the name of a claim", restart;
}

/// Where the identity of a caller comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityMode {
    /// The query or the headers, as a trusted gateway has written them.
    Gateway,
    /// The same, with a signature over them.
    Signed,
    /// A JSON Web Token (RFC 7519).
    Jwt,
}

/// A file with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Its name in tokens and assertions.
    pub id: String,
    /// The only algorithm that it is used with.
    pub algorithm: KeyAlgorithm,
    /// A secret of 32 bytes or more for HS256, a public key in PEM for the others.
    pub file: PathBuf,
}

/// An algorithm of JSON Web Signatures (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl fmt::Display for IdentityMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Signed => "signed",
            Self::Jwt => "jwt",
        })
    }
}

impl IdentityConfig {
    /// What is wrong with the settings together: with `listen` and `origins`, or with each other.
    pub(super) fn conflicts(&self, listen: SocketAddr, origins: &[String]) -> Vec<String> {
        let mut conflicts = Vec::new();
        if self.cookie.is_some() && origins.iter().any(|origin| origin == read::ANY_ORIGIN) {
            conflicts.push(
                "with identity.cookie and origins = [\"*\"], a page of any site could act as its visitor, whose browser \
                 sends the cookie: list the origins of your own pages"
                    .to_owned(),
            );
        }
        match self.mode {
            IdentityMode::Gateway if self.trusted.is_none() && !listen.ip().is_loopback() => conflicts.push(format!(
                "other machines can reach {listen}, and anyone there could claim any identity: set identity.trusted to the \
                 networks of your gateway, or identity.mode to signed or jwt"
            )),
            IdentityMode::Gateway => {}
            IdentityMode::Signed => {
                if self.keys.is_empty() {
                    conflicts.push("identity.mode = signed needs a key: set identity.keys to ID=HS256:FILE".to_owned());
                }
                if self.keys.iter().any(|key| key.algorithm != KeyAlgorithm::Hs256) || self.jwks.is_some() {
                    conflicts.push("identity.mode = signed takes keys of HS256 alone, and no identity.jwks".to_owned());
                }
            }
            IdentityMode::Jwt => {
                if self.keys.is_empty() && self.jwks.is_none() {
                    conflicts.push("identity.mode = jwt needs a key: set identity.keys or identity.jwks".to_owned());
                }
            }
        }
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        if let Some(id) =
            ids.iter().enumerate().find_map(|(index, id)| ids.iter().take(index).find(|known| *known == id))
        {
            conflicts.push(format!("identity.keys has two keys with the id {id}"));
        }
        conflicts
    }
}

fn mode(given: &Given) -> Option<IdentityMode> {
    match given.as_str()? {
        "gateway" => Some(IdentityMode::Gateway),
        "signed" => Some(IdentityMode::Signed),
        "jwt" => Some(IdentityMode::Jwt),
        _ => None,
    }
}

/// Networks, or single addresses. Never `Some(None)`.
fn networks(given: &Given) -> Option<Option<Vec<IpNet>>> {
    let network = |text: &str| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    given.as_list()?.into_iter().map(network).collect::<Option<Vec<_>>>().map(Some)
}

fn keys(given: &Given) -> Option<Vec<KeyFile>> {
    given.as_list()?.into_iter().map(key).collect()
}

fn key(text: &str) -> Option<KeyFile> {
    let (id, rest) = text.split_once('=')?;
    let (algorithm, file) = rest.split_once(':')?;
    let algorithm = match algorithm {
        "HS256" => KeyAlgorithm::Hs256,
        "RS256" => KeyAlgorithm::Rs256,
        "ES256" => KeyAlgorithm::Es256,
        "EdDSA" => KeyAlgorithm::EdDsa,
        _ => return None,
    };
    let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    (is_id && !file.is_empty()).then(|| KeyFile { id: id.to_owned(), algorithm, file: file.into() })
}

fn leeway(given: &Given) -> Option<u64> {
    given.as_number().filter(|seconds| *seconds <= 300)
}

/// A name that a cookie may have (RFC 6265, section 4.1.1). Never `Some(None)`.
fn cookie(given: &Given) -> Option<Option<String>> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text(given).filter(|name| name.chars().all(is_token)).map(Some)
}

fn text(given: &Given) -> Option<String> {
    given.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Never `Some(None)`.
fn some_text(given: &Given) -> Option<Option<String>> {
    text(given).map(Some)
}
