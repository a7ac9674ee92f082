//! The sessions of the console: who has logged in, from which host, and the form token of each. In memory alone, so a
//! restart ends them. Knows nothing of requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::same;

/// How long a session lasts.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3_600);

/// How many there are at once. One more ends the oldest.
const SESSIONS_MAX: usize = 32;

/// The open sessions, the oldest first.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

struct Session {
    /// The hash of its id: a comparison says nothing of the id itself.
    id: [u8; 32],
    host: String,
    form: FormToken,
    began: Instant,
}

/// What a page has to send with every change. Only a page that may read this server's answers knows it.
#[derive(Clone)]
pub(super) struct FormToken(String);

impl FormToken {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        random().map(Self)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the token.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        same(&hash(given), &hash(self.0.as_bytes()))
    }
}

impl Sessions {
    /// Begins a session of a page that is at `host`, and returns its id.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub(super) fn begin(&self, host: &str) -> Result<String, getrandom::Error> {
        let (id, form) = (random()?, FormToken::new()?);
        let mut open = self.open();
        if open.len() >= SESSIONS_MAX {
            open.remove(0);
        }
        let host = host.to_ascii_lowercase();
        open.push(Session { id: hash(id.as_bytes()), host, form, began: Instant::now() });
        Ok(id)
    }

    /// The form token of the session with this id, if it began at this host and is not over.
    pub(super) fn form(&self, id: &[u8], host: &str) -> Option<FormToken> {
        let id = hash(id);
        let open = self.open();
        let session = open.iter().find(|session| same(&session.id, &id))?;
        session.host.eq_ignore_ascii_case(host).then(|| session.form.clone())
    }

    /// Ends the session with this id.
    pub(super) fn end(&self, id: &[u8]) {
        let id = hash(id);
        self.open().retain(|session| !same(&session.id, &id));
    }

    /// Those that are not over.
    fn open(&self) -> MutexGuard<'_, Vec<Session>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|session| session.began.elapsed() < LIFE);
        open
    }
}

/// 256 random bits of the system, in hexadecimal digits.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(HEXLOWER.encode(&bytes))
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    #[test]
    fn a_session_is_of_one_host_and_ends() {
        let sessions = Sessions::default();
        let id = sessions.begin("Admin.example.com:8001").unwrap();
        assert_eq!(id.len(), 64);
        let form = sessions.form(id.as_bytes(), "admin.example.com:8001").unwrap();
        assert!(form.is(form.as_str().as_bytes()) && !form.is(b"") && form.as_str() != id);
        assert!(sessions.form(id.as_bytes(), "admin.example.com").is_none());
        assert!(sessions.form(b"", "admin.example.com:8001").is_none());
        sessions.end(id.as_bytes());
        assert!(sessions.form(id.as_bytes(), "admin.example.com:8001").is_none());
    }

    #[test]
    fn sessions_are_bounded_and_expire() {
        let sessions = Sessions::default();
        let ids: Vec<String> = (0..=SESSIONS_MAX).map(|_| sessions.begin("localhost").unwrap()).collect();
        let open = |id: &String| sessions.form(id.as_bytes(), "localhost").is_some();
        assert_eq!(ids.iter().map(open).filter(|open| *open).count(), SESSIONS_MAX);
        assert!(!open(&ids[0]), "the oldest ends");
        if let Some(before) = Instant::now().checked_sub(LIFE) {
            sessions.open().iter_mut().for_each(|session| session.began = before);
            assert!(!open(&ids[1]));
        }
    }
}
