//! Pages of a room's messages: which a reader asks for, and where one ends.

use ondol_host_model::{Message, Seq};

/// Which messages of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The last ones.
    Latest,
    /// The first ones after this.
    After(Seq),
    /// The last ones before this.
    Before(Seq),
}

/// What a message takes as JSON beside its strings: keys with their punctuation, four numbers of up to 20 digits, and a time.
pub(super) const MESSAGE_BYTES_MIN: usize = 300;

/// The end of a page that grows too large as JSON. It holds one message at least.
pub(super) struct Cut {
    bytes: usize,
    bytes_max: usize,
}

impl Cut {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: 0, bytes_max }
    }

    /// Whether the next message is still on the page.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let is_first = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(json_bytes(message));
        self.bytes <= self.bytes_max || is_first
    }
}

/// An upper bound of a message's size as JSON: its strings as they are escaped, and the rest.
fn json_bytes(message: &Message) -> usize {
    let escaped = |text: &str| -> usize {
        let bytes = |byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
            0..b' ' => 6,
            _ => 1,
        };
        text.bytes().map(bytes).sum()
    };
    let (draft, sender) = (&message.draft, &message.sender);
    let optional = [sender.profile_url.as_deref(), draft.client_id.as_deref(), draft.extra.as_deref()];
    let texts = [draft.text.as_str(), &sender.id, &sender.email, &sender.nickname];
    MESSAGE_BYTES_MIN + texts.into_iter().chain(optional.into_iter().flatten()).map(escaped).sum::<usize>()
}
