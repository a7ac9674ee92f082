//! `ondol token`: a token or an assertion for trying out, signed with a key of the configuration.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use serde_json::{Map, Value};

use crate::config::{Config, ConfigFlags, IdentityConfig, IdentityMode, KeyAlgorithm, KeyFile};
use crate::http::{assertion_text, secret};
use ondol_host_model::User;

/// Make a token or an assertion for trying out identities
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Token {
    /// The id of the user
    #[arg(long, value_name = "ID")]
    user: String,
    /// The nickname [default: the id]
    #[arg(long, value_name = "NAME")]
    nickname: Option<String>,
    /// The email address [default: ID@example.com]
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The address of the picture
    #[arg(long, value_name = "URL")]
    profile_url: Option<String>,
    /// For how long it holds [default: 3600, or 60 for an assertion]
    #[arg(long, value_name = "SECONDS")]
    valid_s: Option<u64>,
    /// Sign with this key of identity.keys [default: the first]
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The private key in PEM, for RS256, ES256 and EdDSA
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// The method of the request, for an assertion
    #[arg(long, default_value = "GET")]
    method: String,
    /// The path of the request, for an assertion
    #[arg(long, default_value = "/ws/chat/1/chat/")]
    path: String,
    #[command(flatten)]
    config: ConfigFlags,
}

const AFTER_HELP: &str = "\
With identity.mode = jwt it prints a token, with identity.mode = signed the value of the header
X-Ondol-Assertion.

Examples:
  ondol token --config ondol.toml --user u1 --nickname 민지
  ondol token --config ondol.toml --user u1 --private-key jwt.private.pem
  ondol token --config ondol.toml --user u1 --method POST --path /chat/v1/message/";

impl Token {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let identity = Config::load(&self.config)?.identity;
        let key = match &self.key {
            Some(id) => {
                identity.keys.iter().find(|key| key.id == *id).with_context(|| format!("identity.keys has no {id}"))
            }
            None => identity.keys.first().context("identity.keys is empty"),
        };
        let key = key?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let printed = match identity.mode {
            IdentityMode::Gateway => bail!("identity.mode = gateway takes no token: set it to jwt or signed"),
            IdentityMode::Jwt => self.token(&identity, key, now + self.valid_s.unwrap_or(3_600))?,
            IdentityMode::Signed => self.assertion(key, now + self.valid_s.unwrap_or(60))?,
        };
        println!("{printed}");
        Ok(ExitCode::SUCCESS)
    }

    fn user(&self) -> User {
        let nickname = self.nickname.clone().unwrap_or_else(|| self.user.clone());
        let email = self.email.clone().unwrap_or_else(|| format!("{}@example.com", self.user));
        User { id: self.user.clone(), nickname, email, profile_url: self.profile_url.clone() }
    }

    fn token(&self, config: &IdentityConfig, key: &KeyFile, expiry: u64) -> anyhow::Result<String> {
        let User { id, nickname, email, profile_url } = self.user();
        let mut claims = Map::new();
        for (claim, value) in
            [(&config.claim_user_id, id), (&config.claim_nickname, nickname), (&config.claim_email, email)]
        {
            claims.insert(claim.clone(), value.into());
        }
        if let Some(profile_url) = profile_url {
            claims.insert(config.claim_profile_url.clone(), profile_url.into());
        }
        for (claim, value) in [("iss", &config.issuer), ("aud", &config.audience)] {
            if let Some(value) = value {
                claims.insert(claim.to_owned(), value.clone().into());
            }
        }
        claims.insert("exp".to_owned(), Value::from(expiry));
        let (algorithm, signer) = self.signer(key)?;
        let mut header = Header::new(algorithm);
        header.kid = Some(key.id.clone());
        encode(&header, &claims, &signer).context("cannot sign the token")
    }

    fn assertion(&self, key: &KeyFile, expiry: u64) -> anyhow::Result<String> {
        let (algorithm, signer) = self.signer(key)?;
        let User { id, nickname, email, profile_url } = self.user();
        let values = [id.as_str(), &nickname, &email, profile_url.as_deref().unwrap_or_default()];
        let text = assertion_text(&key.id, &expiry.to_string(), &self.method, &self.path, values);
        let signature = crypto::sign(text.as_bytes(), &signer, algorithm).context("cannot sign the assertion")?;
        Ok(format!("v1.{}.{expiry}.{signature}", key.id))
    }

    fn signer(&self, key: &KeyFile) -> anyhow::Result<(Algorithm, EncodingKey)> {
        if key.algorithm == KeyAlgorithm::Hs256 {
            let read = std::fs::read(&key.file).with_context(|| format!("cannot read {}", key.file.display()))?;
            return Ok((Algorithm::HS256, EncodingKey::from_secret(secret(&read)?)));
        }
        let file =
            self.private_key.as_ref().context("the configuration has the public key alone: give --private-key")?;
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let signer = match key.algorithm {
            KeyAlgorithm::Rs256 => (Algorithm::RS256, EncodingKey::from_rsa_pem(&pem)),
            KeyAlgorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_pem(&pem)),
            _ => (Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem)),
        };
        Ok((signer.0, signer.1.with_context(|| format!("{} is no private key of this type", file.display()))?))
    }
}
