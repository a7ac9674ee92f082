//! What is not moved: both databases are as they were.

use super::*;

#[test]
fn what_cannot_be_moved_is_refused_and_postgresql_is_untouched() {
    let Some(chat) = Chat::new() else { return };
    let refused = |expected: &str| {
        let error = chat.migrate().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        chat.assert_untouched();
    };
    let store = open(chat.directory.path());
    refused("another server is using it; stop the server first");
    store.finish();
    drop(store);
    let sound = std::fs::read(chat.file()).unwrap();
    for (sql, expected) in [
        ("PRAGMA user_version = 7", "the database has schema version 7"),
        ("PRAGMA user_version = 9", "the database has schema version 9, and this server knows versions up to 8"),
        (
            "UPDATE message SET sender = 99 WHERE n = 7",
            "is damaged, so nothing was moved: message 71 (room 1, seq 7, row 7)",
        ),
        (
            "UPDATE sender SET user = printf('%.700c', 'x') WHERE n = 1; UPDATE client_message SET user = printf('%.700c', 'x') WHERE user = 'ann'",
            "a user_id has 700 characters, and PostgreSQL can index 600",
        ),
    ] {
        chat.sqlite(sql);
        refused(expected);
        std::fs::write(chat.file(), &sound).unwrap();
    }
    std::fs::remove_file(chat.file()).unwrap();
    refused("there is no database here");
}

#[test]
fn a_database_that_is_used_or_not_empty_stays_as_it_is() {
    let Some(chat) = Chat::new() else { return };
    {
        let _runtime = chat.runtime.enter();
        let other =
            Store::<()>::connect(&PostgresConfig { host: "chat-9".to_owned(), ..chat.config() }, &LIMITS).unwrap();
        let error = chat.migrate().unwrap_err().to_string();
        assert!(error.contains("the host chat-9 uses this database"), "{error}");
        chat.runtime.block_on(create(&other, None));
        other.finish();
    }
    let error = chat.migrate().unwrap_err().to_string();
    assert!(error.contains("is not empty: its table room has rows"), "{error}");
    assert_eq!(chat.database.sql("SELECT count(*), (SELECT count(*) FROM message) FROM room").unwrap(), "1|0");
    chat.database.sql("DELETE FROM room").unwrap();
    assert_eq!(chat.migrate().unwrap().messages, 627, "the tables may be there");
}

/// What differs is found in each table, whatever PostgreSQL makes of the rows.
#[test]
fn a_difference_is_found_and_nothing_is_moved() {
    let Some(chat) = Chat::new() else { return };
    chat.in_postgres(|_| ());
    for (table, change, expected) in [
        (
            "message",
            "IF NEW.room = 2 AND NEW.seq = 99 THEN NEW.text := 'x'; END IF; RETURN NEW",
            "room 2: the digests of its 290 ",
        ),
        (
            "message",
            "IF NEW.seq = 340 THEN RETURN NULL; END IF; RETURN NEW",
            "room 2: the file has 290 messages up to seq 340 and id 13402, and PostgreSQL 289 messages up to seq 339",
        ),
        ("sender", "NEW.email := ''; RETURN NEW", "the table sender: 3 rows were read, and 3 are there"),
        ("client_message", "RETURN NULL", "the table client_message: 574 rows were read, and 0 are there"),
        ("room", "NEW.last_id := 0; RETURN NEW", "the table room: "),
        ("component", "NEW.wasm := ''; RETURN NEW", "the table component: "),
        ("release", "NEW.why := ''; RETURN NEW", "the table release: "),
        ("directory", "NEW.host := 'chat-2'; RETURN NEW", "the table directory: "),
    ] {
        chat.database
            .sql(&format!(
                "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change}; END $$;
                 CREATE TRIGGER change BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION change()"
            ))
            .unwrap();
        let error = chat.migrate().unwrap_err().to_string();
        assert!(error.starts_with("the databases differ after the copy, so nothing was moved: "), "{error}");
        assert!(error.contains(expected), "{error}");
        chat.database.sql("DROP FUNCTION change CASCADE").unwrap();
        assert_eq!(chat.database.sql(&format!("SELECT count(*) FROM {table}")).unwrap(), "0");
    }
    assert_eq!(chat.migrate().unwrap().messages, 627);
}

#[test]
fn a_stop_at_any_step_leaves_postgresql_untouched() {
    let Some(chat) = Chat::new() else { return };
    // Enough for a report in each step.
    chat.in_file(|store| {
        store_all(store, (1..=2_500).map(|seq| said(RoomId(3), seq, "bo", Draft::default())));
    });
    for at in ["checking", "reading", "copying", "comparing"] {
        let stop = AtomicBool::new(false);
        let moved = migrate(&chat.file(), &chat.config(), &stop, &mut |step, _, _| {
            stop.fetch_or(step == at, Ordering::Relaxed);
        });
        assert!(matches!(moved, Err(MigrateError::Stopped)), "{at}: {moved:?}");
        chat.assert_untouched();
    }
    assert_eq!(chat.migrate().unwrap().messages, 3_127);
}

#[test]
fn of_two_moves_at_once_one_is_refused() {
    let Some(chat) = Chat::new() else { return };
    let _other = chat.database.hold("SELECT pg_advisory_xact_lock(7230002)").unwrap();
    let error = chat.migrate().unwrap_err().to_string();
    assert!(error.contains("another process uses this database, such as another `ondol migrate`"), "{error}");
}

#[test]
fn a_server_that_starts_meanwhile_waits_and_finds_the_chat() {
    let Some(chat) = Chat::new() else { return };
    chat.in_file(|store| {
        store_all(store, (1..=2_500).map(|seq| said(RoomId(3), seq, "bo", Draft::default())));
    });
    let mut started = None;
    let moved = migrate(&chat.file(), &chat.config(), &AtomicBool::new(false), &mut |step, _, _| {
        if step == "copying" && started.is_none() {
            let config = chat.config();
            started = Some(chat.runtime.spawn_blocking(move || Store::<()>::connect(&config, &LIMITS).unwrap()));
        }
    });
    assert_eq!(moved.unwrap().messages, 3_127);
    let store = chat.runtime.block_on(started.unwrap()).unwrap();
    assert_eq!(chat.runtime.block_on(store.last_seq(RoomId(3))).unwrap(), Seq(2_500));
    let _runtime = chat.runtime.enter();
    store.finish();
}

#[test]
fn a_database_that_cannot_be_reached_is_told_before_the_long_work() {
    let Some(chat) = Chat::new() else { return };
    let config = PostgresConfig { url: "postgres://ondol@127.0.0.1:1/chat".to_owned(), ..chat.config() };
    let moved = migrate(&chat.file(), &config, &AtomicBool::new(false), &mut |step, _, _| panic!("{step}"));
    assert!(matches!(&moved, Err(MigrateError::Store(StoreError::Postgres(_)))), "{moved:?}");
}
