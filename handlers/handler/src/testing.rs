//! Doubles of what the host offers, for `cargo test`: settings and users. Each test, which has a thread of its own, begins
//! with none.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::{Action, Frame, Refusal, RoomId, User, UserKey};

thread_local! {
    static SETTINGS: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
    static BEHIND: RefCell<Option<Behind>> = const { RefCell::new(None) };
    static USERS: RefCell<Vec<User>> = const { RefCell::new(Vec::new()) };
}

/// What a test puts behind a middleware.
type Behind = Box<dyn Fn(UserKey, RoomId, &Frame) -> Result<Action, Refusal>>;

/// Puts a handler behind the middleware for this test.
pub fn set_behind(receive: impl Fn(UserKey, RoomId, &Frame) -> Result<Action, Refusal> + 'static) {
    BEHIND.with_borrow_mut(|behind| *behind = Some(Box::new(receive)));
}

/// Sets a setting for this test.
pub fn set(key: &str, value: &str) {
    SETTINGS.with_borrow_mut(|settings| settings.insert(key.to_owned(), value.to_owned()));
}

/// Adds a user for this test. The key is what a handler receives as the sender.
pub fn add_user(user: User) -> UserKey {
    USERS.with_borrow_mut(|users| {
        users.push(user);
        users.len() as UserKey
    })
}

/// A user with this nickname, the id `u1` and an address.
#[must_use]
pub fn named(nickname: &str) -> User {
    let (id, email) = ("u1".to_owned(), "u1@example.com".to_owned());
    User { id, nickname: nickname.to_owned(), email, profile_url: None }
}

pub(crate) fn setting(key: &str) -> Option<String> {
    SETTINGS.with_borrow(|settings| settings.get(key).cloned())
}

#[allow(clippy::panic, reason = "so does the host with a call that asks for a user it does not have")]
pub(crate) fn user(key: UserKey) -> User {
    let index = usize::try_from(key).ok().and_then(|key| key.checked_sub(1));
    let found = USERS.with_borrow(|users| index.and_then(|index| users.get(index).cloned()));
    found.unwrap_or_else(|| panic!("no user has the key {key}: add one with ondol_handler::testing::add_user"))
}

#[allow(clippy::panic, reason = "a middleware always has a handler behind it")]
pub(crate) fn behind(sender: UserKey, room: RoomId, frame: &Frame) -> Result<Action, Refusal> {
    BEHIND.with_borrow(|behind| match behind {
        Some(receive) => receive(sender, room, frame),
        None => panic!("no handler is behind the middleware: add one with ondol_handler::testing::set_behind"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{settings, users};

    #[test]
    fn settings_and_users_are_those_of_the_test() {
        assert_eq!(settings::get("mark"), None);
        set("mark", "*");
        let (first, second) = (add_user(named("민지")), add_user(named("준호")));
        assert_eq!(settings::get("mark").as_deref(), Some("*"));
        assert_eq!((users::get(first).nickname, users::get(second).nickname), ("민지".to_owned(), "준호".to_owned()));
        let elsewhere = std::thread::spawn(|| settings::get("mark")).join();
        assert!(matches!(elsewhere, Ok(None)), "another test has its own");
    }

    #[test]
    #[should_panic(expected = "no user has the key 7")]
    fn an_unknown_user_ends_the_test_with_a_sentence() {
        let _ = users::get(7);
    }
}
