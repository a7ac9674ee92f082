//! Round trips of generated chats.
