//! The latest messages of one room. Answers a page exactly as the database would, or not at all.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::page::{Cut, Page};
use ondol_host_model::{Message, Seq};

/// The most messages of a room.
pub(crate) const MESSAGES_MAX: usize = 256;

/// Consecutive messages up to a room's last one. Those that were deleted are missing among them. The room forgets it when
/// more are deleted.
pub(crate) struct Ring {
    /// The first number that it covers.
    first: Seq,
    /// The room's last number.
    last: Seq,
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl Ring {
    /// Of what was read: all messages from `first` to `last`, the room's last number.
    pub(crate) fn new(first: Seq, last: Seq, messages: Vec<Message>) -> Self {
        let messages: VecDeque<_> = messages.into_iter().map(Arc::new).collect();
        let bytes = messages.iter().map(|message| bytes(message)).sum();
        Self { first, last, messages, bytes }
    }

    /// The first number that it covers.
    pub(super) fn first(&self) -> Seq {
        self.first
    }

    /// The size of its messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next message. False: it is not the next one.
    pub(super) fn push(&mut self, message: &Arc<Message>, bytes_max: usize) -> bool {
        // It was committed before the read and reported after it.
        if message.seq <= self.last {
            return true;
        }
        if message.seq != self.last.next() {
            return false;
        }
        self.last = message.seq;
        self.bytes += bytes(message);
        self.messages.push_back(Arc::clone(message));
        while self.messages.len() > MESSAGES_MAX || self.bytes > bytes_max {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= bytes(&oldest);
            self.first = oldest.seq.next();
        }
        true
    }

    /// A page, oldest first. None: it needs messages before the first one.
    pub(super) fn page(&self, page: Page, limit: usize, bytes_max: usize) -> Option<Vec<Arc<Message>>> {
        let mut cut = Cut::new(bytes_max);
        let before = match page {
            Page::After(seq) => {
                let start = self.messages.partition_point(|message| message.seq <= seq);
                let after = self.messages.range(start..).take(limit).take_while(|message| cut.takes(message));
                return (seq.next() >= self.first).then(|| after.cloned().collect());
            }
            Page::Before(seq) => self.messages.partition_point(|message| message.seq < seq),
            Page::Latest => self.messages.len(),
        };
        let (mut messages, mut is_full) = (Vec::new(), limit == 0);
        for message in self.messages.range(..before).rev() {
            if is_full || !cut.takes(message) {
                is_full = true;
                break;
            }
            messages.push(Arc::clone(message));
            is_full = messages.len() >= limit;
        }
        messages.reverse();
        // The room's first message is in memory, so there are no others before it.
        (is_full || self.first <= Seq(1)).then_some(messages)
    }
}

/// About what a message takes in memory.
pub(super) fn bytes(message: &Message) -> usize {
    let (draft, sender) = (&message.draft, &message.sender);
    let optional =
        [&sender.profile_url, &draft.client_id, &draft.extra].map(|text| text.as_ref().map_or(0, String::len));
    let texts = [&draft.text, &sender.id, &sender.email, &sender.nickname].map(String::len);
    size_of::<Message>() + texts.into_iter().chain(optional).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::tests::message;

    fn ring(first: u64, last: u64) -> Ring {
        let messages = (first..=last).map(|seq| message(seq, "text")).collect();
        Ring::new(Seq(first), Seq(last), messages)
    }

    fn seqs(ring: &Ring, page: Page, limit: usize) -> Option<Vec<u64>> {
        ring.page(page, limit, 1_000_000).map(|messages| messages.iter().map(|message| message.seq.0).collect())
    }

    #[test]
    fn a_page_is_answered_from_the_messages_that_are_covered() {
        let ring = ring(5, 9);
        assert_eq!(seqs(&ring, Page::Latest, 3), Some(vec![7, 8, 9]));
        assert_eq!(seqs(&ring, Page::Latest, 6), None);
        assert_eq!(seqs(&ring, Page::After(Seq(6)), 2), Some(vec![7, 8]));
        assert_eq!(seqs(&ring, Page::After(Seq(4)), 100), Some(vec![5, 6, 7, 8, 9]));
        assert_eq!(seqs(&ring, Page::After(Seq(3)), 1), None);
        assert_eq!(seqs(&ring, Page::After(Seq(9)), 1), Some(vec![]));
        assert_eq!(seqs(&ring, Page::Before(Seq(8)), 3), Some(vec![5, 6, 7]));
        assert_eq!(seqs(&ring, Page::Before(Seq(8)), 4), None);
        assert_eq!(seqs(&ring, Page::Before(Seq(3)), 2), None);
        assert_eq!(seqs(&Ring::new(Seq(1), Seq(0), Vec::new()), Page::Latest, 50), Some(vec![]));
    }

    #[test]
    fn a_page_of_full_size_needs_no_older_messages() {
        let ring = ring(5, 9);
        let seqs: Vec<_> = ring.page(Page::Latest, 50, 1).into_iter().flatten().map(|message| message.seq.0).collect();
        assert_eq!(seqs, [9]);
    }

    #[test]
    fn new_messages_push_the_oldest_out() {
        let mut ring = ring(1, MESSAGES_MAX as u64);
        let next = Arc::new(message(MESSAGES_MAX as u64 + 1, "text"));
        assert!(ring.push(&next, usize::MAX) && ring.push(&next, usize::MAX), "a second time it is known");
        assert_eq!(seqs(&ring, Page::After(Seq(0)), 1), None);
        assert_eq!(seqs(&ring, Page::After(Seq(1)), 1), Some(vec![2]));
        assert!(!ring.push(&Arc::new(message(MESSAGES_MAX as u64 + 3, "text")), usize::MAX), "one is missing");
        let size = ring.bytes();
        assert!(ring.push(&Arc::new(message(MESSAGES_MAX as u64 + 2, "text")), size / 2));
        assert!(ring.bytes() <= size / 2);
        assert_eq!(seqs(&ring, Page::Latest, 1), Some(vec![MESSAGES_MAX as u64 + 2]));
    }
}
