//! Generated chats: what is written is read, and the same chat is written again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ondol_inputs::proptest::collection::vec;
use ondol_inputs::proptest::option;
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::{holds_for_a_server, text};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::config::Limits;
use ondol_host_model::{Draft, Message, MessageId, Room, RoomId, Seq, Speaker, Timestamp, User};

fn user() -> impl Strategy<Value = User> {
    let name = text().prop_filter_map("a nickname", |text| {
        let name: String = ondol_text::name(&text).chars().take(20).filter(|c| !c.is_control()).collect();
        let name = ondol_text::name(&name).into_owned();
        (!ondol_text::is_blank(&name) && !ondol_text::is_longer(&name, 64)).then_some(name)
    });
    (0..5_u8, name, any::<bool>()).prop_map(|(id, nickname, has_picture)| User {
        id: format!("사용자 {id}"),
        nickname,
        email: "ann@example.com".to_owned(),
        profile_url: has_picture.then(|| "/ann.png".to_owned()),
    })
}

/// The gaps before `seq` and id, the time, the sender, the text, whether there are a `client_id`, a reply and data.
type Said = (u64, u64, u64, User, String, [bool; 3]);

fn said() -> impl Strategy<Value = Said> {
    let gap = prop_oneof![4 => Just(0_u64), 1 => 1..70_u64, 1 => 1_000..2_000_u64];
    let text = text().prop_map(|text| text.replace('\0', ""));
    (gap.clone(), gap, 0..253_402_300_000_000_u64, user(), text, any::<[bool; 3]>())
}

/// A room with its messages.
type Talk = (Option<u64>, Vec<Said>);

/// The lines of a chat, without the first and the last.
fn lines(chat: &[Talk]) -> Vec<Vec<u8>> {
    let (mut lines, mut id) = (Vec::new(), 0);
    for (number, (gap, talk)) in (1..).zip(chat) {
        let room = Room {
            id: RoomId(number * 3),
            name: "방".to_owned(),
            post_id: gap.map(|post| post * 100 + number),
            owner: gap.map(|_| "ann".to_owned()),
            created_at: Timestamp(number),
        };
        let mut line = Vec::new();
        written::room(&mut line, &room);
        lines.push(line);
        let (mut seq, mut first) = (0, None);
        for (seq_gap, id_gap, time, user, text, [has_client_id, is_reply, has_extra]) in talk {
            seq += 1 + seq_gap;
            id += 1 + id_gap;
            let draft = Draft {
                text: text.clone(),
                client_id: has_client_id.then(|| format!("c{id}")),
                parent: first.filter(|_| *is_reply).map(MessageId),
                extra: has_extra.then(|| "{\"me\":true}".to_owned()),
            };
            first = first.or(Some(id));
            let sender = Arc::new(Speaker::new(user.clone()));
            let (room, created_at) = (room.id, Timestamp(*time));
            let message = Message { id: MessageId(id), room, seq: Seq(seq), sender, draft, created_at, origin: None };
            let mut line = Vec::new();
            written::message(&mut line, &message);
            lines.push(line);
        }
    }
    lines
}

fn watcher() -> Watcher {
    Watcher::new(&Arc::new(AtomicBool::new(false)), Box::new(|_, _, _| {}))
}

fn move_in_and_out(directory: &Path, lines: &[Vec<u8>]) -> anyhow::Result<(String, Vec<u8>)> {
    let (file, database, out) = (directory.join("in"), directory.join("ondol.db"), directory.join("out"));
    std::fs::write(&file, [&b"{\"type\":\"ondol.export\",\"format\":1}\n"[..], &lines.concat()].concat())?;
    let rules = Rules::new(&Limits::default());
    let imported = import_file(&file, &database, &rules, &mut watcher()).map_err(|error| match error {
        ImportError::Problems(problems) => anyhow::anyhow!("{:?}", problems.shown().collect::<Vec<_>>()),
        error => error.into(),
    })?;
    let exported = export_to_file(&database, &out, &rules, &mut watcher())?;
    assert_eq!(imported.sha256.as_ref(), Some(&exported.sha256));
    let checked = ondol_host_store::verify(&database, &|_, _| {})?;
    assert_eq!(checked.problems.count(), 0, "{}", checked.problems);
    Ok((exported.sha256, std::fs::read(&out)?))
}

#[test]
fn any_chat_is_the_same_after_a_move() {
    let chat = vec((option::of(0..100_u64), vec(said(), 0..12)), 0..5);
    holds_for_a_server([], chat, |chat| {
        let directory = tempfile::tempdir().unwrap();
        let lines = lines(&chat);
        let (sha256, out) = match move_in_and_out(directory.path(), &lines) {
            Ok(moved) => moved,
            Err(error) => return Err(TestCaseError::fail(format!("{error:#}"))),
        };
        let first = out.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let last = out[..out.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        prop_assert_eq!(&out[first..last], &lines.concat());
        prop_assert_eq!(sha256, reader::hex(Sha256::new_with_prefix(lines.concat())));
        Ok(())
    });
}
