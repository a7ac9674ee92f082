//! The identity of a caller, as a gateway passes it on. Knows its form in a query and in headers.

/// A user of a story.
#[derive(Debug, Clone)]
pub struct User {
    /// Identifies the user.
    pub id: String,
    /// The displayed name.
    pub nickname: String,
    /// The address, which is the `sender` of a message.
    pub email: String,
    /// The address of the picture, if there is one.
    pub picture: Option<String>,
}

impl User {
    /// A user whose id and nickname are `name`, with an address to match.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { id: name.into(), nickname: name.into(), email: format!("{name}@example.com"), picture: None }
    }

    /// The same user under another nickname.
    #[must_use]
    pub fn called(mut self, nickname: &str) -> Self {
        self.nickname = nickname.into();
        self
    }

    /// The same user with a picture.
    #[must_use]
    pub fn pictured(mut self, url: &str) -> Self {
        self.picture = Some(url.into());
        self
    }

    /// The identity as a query, without the question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = format!(
            "user_id={}&nickname={}&email={}",
            percent(&self.id),
            percent(&self.nickname),
            percent(&self.email)
        );
        if let Some(picture) = &self.picture {
            query.push_str("&profile_url=");
            query.push_str(&percent(picture));
        }
        query
    }

    /// The identity as the original's gateway sends it: headers with percent-encoded values.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("X-User-ID", percent(&self.id)),
            ("X-Nickname", percent(&self.nickname)),
            ("X-Email", percent(&self.email)),
        ];
        if let Some(picture) = &self.picture {
            headers.push(("X-Profile-URL", percent(picture)));
        }
        headers
    }
}

impl From<&str> for User {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl From<&User> for User {
    fn from(user: &User) -> Self {
        user.clone()
    }
}

/// `text` percent-encoded, all but the characters that RFC 3986 calls unreserved.
#[must_use]
pub fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
