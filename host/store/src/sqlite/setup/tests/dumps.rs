//! Databases of every earlier version of the schema, as their servers wrote them: see `dumps/`. A new version needs one of
//! the version before: what `sqlite3 ondol.db .dump` prints of a server's database, with short components, and its
//! `PRAGMA user_version`.

use super::*;
use crate::records::StoredRelease;
use crate::{Verified, verify};
use ondol_host_model::{Message, Room};

/// One for each version, in order. The current one may be missing until there is a later one.
const DUMPS: [&str; 7] = [
    include_str!("../dumps/schema-1.sql"),
    include_str!("../dumps/schema-2.sql"),
    include_str!("../dumps/schema-3.sql"),
    include_str!("../dumps/schema-4.sql"),
    include_str!("../dumps/schema-5.sql"),
    include_str!("../dumps/schema-6.sql"),
    include_str!("../dumps/schema-7.sql"),
];

/// What has to stay the same.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    rooms: Vec<Room>,
    messages: Vec<String>,
    releases: Vec<StoredRelease>,
}

/// A database as its own version of the schema shows it.
fn content_before(connection: &Connection, version: i64) -> Content {
    let senders = if version < 4 { "message" } else { "message JOIN sender ON sender.n = message.sender" };
    let user = if version < 4 { "sender" } else { "user" };
    let sql = format!(
        "SELECT room, seq, id, {user}, nickname, email, profile_url, text, client_id, parent, extra, created_at \
         FROM {senders} ORDER BY room, seq"
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let messages = statement.query_map([], |row| {
        let columns: Vec<rusqlite::types::Value> = (0..12).map(|column| row.get(column)).collect::<Result<_, _>>()?;
        Ok(columns.into_iter().map(shown).collect::<Vec<_>>().join("|"))
    });
    let messages = messages.unwrap().collect::<Result<_, _>>().unwrap();
    let releases = if version < 2 { Vec::new() } else { crate::sqlite::releases::list(connection, None, 99).unwrap() };
    Content { rooms: crate::sqlite::room_rows::list(connection, RoomId(0), 99).unwrap(), messages, releases }
}

fn shown(value: rusqlite::types::Value) -> String {
    match value {
        rusqlite::types::Value::Null => String::new(),
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

/// The same, as the store shows it.
async fn content_after(store: &Store<()>) -> Content {
    let rooms = store.rooms(RoomId(0), 99).await.unwrap();
    let mut messages = Vec::new();
    for room in &rooms {
        let page = store.messages(room.id, Page::After(Seq(0)), 999).await.unwrap();
        for message in &page {
            assert!(store.has_message(room.id, message.id).await.unwrap(), "{message:?}");
            if let Some(client_id) = message.draft.client_id.clone() {
                let found = store.by_client_id(room.id, message.sender.id.clone(), client_id).await.unwrap();
                assert_eq!(found.unwrap().id, message.id);
            }
        }
        messages.extend(page.into_iter().map(columns));
    }
    let releases = store.releases().list(None, 99).unwrap();
    Content { rooms, messages, releases }
}

fn columns(Message { id, room, seq, sender, draft, created_at, .. }: Message) -> String {
    let columns = [
        room.to_string(),
        seq.0.to_string(),
        id.0.to_string(),
        sender.id.clone(),
        sender.nickname.clone(),
        sender.email.clone(),
        sender.profile_url.clone().unwrap_or_default(),
        draft.text,
        draft.client_id.unwrap_or_default(),
        draft.parent.map(|parent| parent.0.to_string()).unwrap_or_default(),
        draft.extra.unwrap_or_default(),
        created_at.0.to_string(),
    ];
    columns.join("|")
}

#[tokio::test]
async fn databases_of_every_earlier_schema_are_migrated_with_all_they_hold() {
    assert!(DUMPS.len() >= usize::try_from(SCHEMA_VERSION - 1).unwrap(), "a dump is missing");
    for (version, dump) in (1..).zip(DUMPS) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ondol.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(dump).unwrap();
        let before = content_before(&old, version);
        drop(old);
        let (rooms, messages) = (before.rooms.len() as u64, before.messages.len() as u64);
        assert!(rooms > 2 && messages > 30, "version {version} holds too little");
        let earlier = verify(&path, &|_, _| {}).unwrap();
        assert_eq!(earlier.earlier_schema, (version < SCHEMA_VERSION).then_some(version));
        assert_eq!((earlier.rooms, earlier.messages, earlier.problems.count()), (rooms, messages, 0));

        let store = open_store(directory.path());
        assert_eq!(content_after(&store).await, before, "version {version}");
        let (next, last) = (store.next_id().unwrap().0, store.last_seq(RoomId(1)).await.unwrap().0);
        assert_eq!(store_all(&store, [entry(next, RoomId(1), last + 1)]).stored.len(), 1, "version {version}");
        drop(store);
        let now = verify(&path, &|_, _| {}).unwrap();
        assert_eq!(now, Verified { rooms, messages: messages + 1, segments: now.segments, ..Verified::default() });
    }
}
