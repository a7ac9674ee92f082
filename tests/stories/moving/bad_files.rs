//! Files that are wrong: each line is named, nothing is written, and no value is repeated.

use super::*;

const HEADER: &str = r#"{"type":"ondol.export","format":1}"#;
const ROOM: &str = r#"{"type":"room","id":1,"name":"n","created_at":"2026-01-31T09:30:00Z"}"#;

/// A message with these fields changed. Null leaves one out.
fn message(changes: &Value) -> String {
    let mut message = json!({"type": "message", "room": 1, "seq": 1, "id": 1, "created_at": "2026-01-31T09:30:00.5+09:00",
        "user_id": "secret-id", "nickname": "secret-name", "email": "secret@example.com", "text": "secret-text"});
    for (name, value) in changes.as_object().unwrap() {
        message[name] = value.clone();
    }
    message.to_string()
}

/// Checks that a file with these lines is refused with this problem.
fn refused(directory: &Path, lines: &[&str], problem: &str) -> TestResult {
    let file = directory.join("bad.jsonl");
    fs::write(&file, lines.join("\n") + "\n")?;
    refused_file(directory, &file, problem)
}

fn refused_file(directory: &Path, file: &Path, problem: &str) -> TestResult {
    let data = directory.join("data");
    for output in [dry_run(file, &data)?, import(file, &data)?] {
        output.expect_parts(1, &[problem])?;
        ensure!(!output.stdout.contains("secret") && !output.stderr.contains("secret"), "{output:?}");
    }
    ensure!(!data.join("ondol.db").exists(), "a database was created");
    Ok(())
}

#[test]
fn each_kind_of_bad_message_is_named_by_its_line_and_field() -> TestResult {
    let directory = TempDir::new()?;
    for (change, problem) in [
        (json!({"room": 2}), "line 3: room: 2, but the room line before it is of room 1"),
        (json!({"room": "1"}), "line 3: room: not a whole number from 1 to 2147483647"),
        (json!({"seq": 0}), "line 3: seq: not a whole number from 1 to 4294967295"),
        (json!({"seq": -1}), "line 3: seq: not a whole number from 0 on"),
        (json!({"id": 1.5}), "line 3: id: not a whole number"),
        (json!({"id": 1_u64 << 53}), "line 3: id: not a whole number from 1 to 4503599627370496"),
        (json!({"created_at": null}), "line 3: created_at: missing"),
        (json!({"created_at": "2026-01-31 09:30"}), "line 3: created_at: not a time of RFC 3339"),
        (json!({"created_at": "1969-12-31T23:59:59Z"}), "line 3: created_at: not a time"),
        (json!({"user_id": null}), "line 3: user_id: missing"),
        (json!({"user_id": 7}), "line 3: user_id: not a text"),
        (json!({"user_id": "secret".repeat(22)}), "line 3: user_id: more than user_id_chars_max = 128 characters"),
        (json!({"nickname": "secret".repeat(11)}), "line 3: nickname: more than nickname_chars_max = 64 characters"),
        (json!({"nickname": "\u{3164}"}), "line 3: nickname: nothing of it is visible"),
        (json!({"email": "secret\u{7}"}), "line 3: email: it holds a control character"),
        (json!({"email": "secret".repeat(50)}), "line 3: email: more than email_chars_max = 254 characters"),
        (json!({"profile_url": "media/secret.png"}), "line 3: profile_url: neither an http or https URL nor a path"),
        (json!({"profile_url": "/secret".repeat(400)}), "line 3: profile_url: more than profile_url_chars_max"),
        (json!({"text": null}), "line 3: text: missing"),
        (json!({"text": ["secret"]}), "line 3: text: neither a text nor a whole number"),
        (json!({"text": "secret\u{0}"}), "line 3: text: it holds U+0000"),
        (json!({"text": "secret".repeat(50_000)}), "line 3: text: more than handler_answer_bytes_max = 262144 bytes"),
        (json!({"text": "secret".repeat(500_000)}), "line 3: more than "),
        (json!({"parent": 1}), "line 3: parent: not below the message's own id"),
        (json!({"id": null, "parent": 1}), "line 3: parent: only a message with an id has one"),
        (json!({"client_id": ""}), "line 3: client_id: not 1 to 64 characters"),
        (json!({"client_id": "secret".repeat(11)}), "line 3: client_id: not 1 to 64 characters"),
        (json!({"extra": {"a": 1}}), "line 3: extra: neither a text nor a whole number"),
        (json!({"nicknam": "secret"}), "line 3: nicknam: there is no such field"),
        (json!({"owner": "secret"}), "line 3: owner: a message line has no such field"),
        (json!({"type": "massage"}), "line 3: type: neither room, message nor end"),
    ] {
        refused(directory.path(), &[HEADER, ROOM, &message(&change)], problem).with_context(|| problem.to_owned())?;
    }
    Ok(())
}

#[test]
fn numbers_that_do_not_rise_and_lines_out_of_place_are_named() -> TestResult {
    let directory = TempDir::new()?;
    let [one, again] = [json!({}), json!({"seq": 2, "id": 2})].map(|changes| message(&changes));
    let back = message(&json!({"seq": 1, "id": 3}));
    let lower = message(&json!({"seq": 3, "id": 2}));
    let other = |line: &str| line.replace("\"room\":1", "\"room\":2").replace("\"id\":1,\"name\"", "\"id\":2,\"name\"");
    let (two, of_two) = (other(ROOM), other(&one));
    let named = |id: u64, seq: u64| message(&json!({"client_id": "secret", "seq": seq, "id": id}));
    let reply = other(&message(&json!({"id": 5, "parent": 1})));
    let post = |id: u64| ROOM.replace("\"id\":1", &format!("\"id\":{id},\"post_id\":7"));
    let end = r#"{"type":"end","rooms":1,"messages":1,"sha256":"00"}"#;
    for (lines, problem) in [
        (vec![""], "line 1: not the first line of an export"),
        (vec![ROOM], "line 1: not the first line of an export"),
        (vec![r#"{"type":"ondol.export","format":2}"#], "line 1: format: 2, and this program reads format 1"),
        (vec![r#"{"type":"ondol.export"}"#], "line 1: format: missing"),
        (vec![HEADER, HEADER], "line 2: type: a second first line"),
        (vec![HEADER, &one], "line 2: room: no room line before the message"),
        (vec![HEADER, ROOM, &again, &back], "line 4: seq: 1, after 2 in the same room"),
        (vec![HEADER, ROOM, &again, &lower], "line 4: id: 2, after 2 in the same room"),
        (vec![HEADER, ROOM, &one, ROOM], "line 4: id: line 2 has room 1 already"),
        (vec![HEADER, &post(1), &post(2)], "line 3: post_id: line 2 has a room of post 7 already"),
        (vec![HEADER, ROOM, &one, &two, &of_two], "line 5: id: line 3 has message 1 already"),
        (vec![HEADER, ROOM, &named(1, 1), &named(2, 2)], "line 4: client_id: line 3 has it in the same room"),
        (vec![HEADER, ROOM, &one, &two, &reply], "line 5: parent: message 1 is in another room (line 3)"),
        (vec![HEADER, ROOM, "", &one], "line 3: not a JSON object"),
        (vec![HEADER, ROOM, "[]"], "line 3: not a JSON object"),
        (vec![HEADER, r#"{"type":"room","id":1,"id":2}"#], "line 2: id: given twice"),
        (vec![HEADER, &ROOM.replace("\"n\"", "\"\"")], "line 2: name: not 1 to 100 characters"),
        (vec![HEADER, ROOM, &one, end], "line 4: sha256: the lines of the file have "),
        (vec![HEADER, ROOM, end], "line 3: rooms, messages: 1 and 1, but the file has 1 and 0"),
        (
            vec![HEADER, ROOM, &one, &message(&json!({"id": null, "seq": 2}))],
            "line 4: id: all messages of a file have one",
        ),
    ] {
        refused(directory.path(), &lines, problem).with_context(|| problem.to_owned())?;
    }
    Ok(())
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_cut_off_are_named() -> TestResult {
    let directory = TempDir::new()?;
    let file = directory.path().join("bad.jsonl");
    let mut bytes = [HEADER, ROOM, ""].join("\n").into_bytes();
    bytes.extend_from_slice(&message(&json!({})).into_bytes());
    let at = bytes.len() - 5;
    bytes[at] = 0xff;
    fs::write(&file, &bytes)?;
    refused_file(directory.path(), &file, " is not UTF-8")?;
    // A line without an end takes no more memory than another.
    fs::write(&file, [HEADER.as_bytes(), b"\n", &vec![b'x'; 8 << 20]].concat())?;
    refused_file(directory.path(), &file, "line 2: more than ")?;
    fs::write(&file, "")?;
    refused_file(directory.path(), &file, "line 1: the first line is missing: the file is empty")?;
    // An export without its last line, and one in the middle of a line.
    let foreign = foreign_file(directory.path(), 1, 10)?;
    let data = TempDir::new()?;
    import(&foreign, data.path())?.expect(0)?;
    let whole = directory.path().join("whole.jsonl");
    export(data.path(), &whole)?.expect(0)?;
    let text = fs::read_to_string(&whole)?;
    let without_end = text.trim_end().rfind('\n').context("one line")? + 1;
    fs::write(&file, &text[..without_end])?;
    refused_file(directory.path(), &file, "line 12: the last line is missing: the file was cut off")?;
    fs::write(&file, &text.as_bytes()[..without_end - 30])?;
    refused_file(directory.path(), &file, "line 12: not a JSON object, from column")?;
    // One changed letter.
    fs::write(&file, text.replacen("안녕", "안뇽", 1))?;
    refused_file(directory.path(), &file, "line 13: sha256: the lines of the file have ")
}

/// Not even the index, which an import writes to the end before it begins.
#[tokio::test]
async fn a_wrong_file_leaves_a_database_as_it_is() -> TestResult {
    for signal in ["TERM", "KILL"] {
        let (mut server, _) = chat().await?;
        server.signal(signal)?;
        server.exit().await?;
        let database = server.database_file();
        let files = || {
            let log = fs::read(database.with_extension("db-wal")).unwrap_or_default();
            TestResult::Ok((fs::read(&database)?, log))
        };
        let (directory, before) = (TempDir::new()?, files()?);
        let file = directory.path().join("bad.jsonl");
        fs::write(&file, format!("{HEADER}\n{ROOM}\n"))?;
        import(&file, &server.data())?.expect_parts(1, &["the database has a room 1", "nothing was imported"])?;
        ensure!(files()? == before, "the database was changed, after {signal}");
    }
    Ok(())
}

#[test]
fn everything_that_is_used_twice_is_counted() -> TestResult {
    let directory = TempDir::new()?;
    let file = directory.path().join("bad.jsonl");
    let line = |seq: u64, id: u64| message(&json!({"seq": seq, "id": id, "client_id": format!("c{seq}")})) + "\n";
    let other = |line: String| line.replace("\"room\":1,", "\"room\":2,");
    let two = ROOM.replace("\"id\":1,", "\"id\":2,");
    // 300 ids that two rooms have, and one id on 300 lines.
    let first: String = (1..=300).map(|seq| line(seq, seq)).collect();
    let second: String = (1..=300).map(|seq| other(line(seq, seq))).collect();
    fs::write(&file, format!("{HEADER}\n{ROOM}\n{first}{two}\n{second}"))?;
    dry_run(&file, directory.path())?
        .expect_parts(1, &["line 304: id: line 3 has message 1 already", "wrong  … and 280 more", "300 problems"])?;
    let rooms = format!("{ROOM}\n").repeat(301);
    fs::write(&file, format!("{HEADER}\n{rooms}"))?;
    dry_run(&file, directory.path())?.expect_parts(1, &["line 302: id: line 2 has room 1 already", "300 problems"])
}

#[test]
fn the_first_twenty_problems_are_shown() -> TestResult {
    let directory = TempDir::new()?;
    let file = directory.path().join("bad.jsonl");
    fs::write(&file, format!("{HEADER}\n{}", "{}\n".repeat(50)))?;
    let output = dry_run(&file, directory.path())?;
    output.expect_parts(
        1,
        &["wrong  line 2: type: missing", "wrong  line 21: ", "wrong  … and 30 more", "50 problems"],
    )?;
    ensure!(!output.stdout.contains("line 22:"), "{output:?}");
    assert_eq!(names(directory.path())?, ["bad.jsonl"]);
    Ok(())
}
