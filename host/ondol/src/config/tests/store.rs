//! Where the database is, as a config says it.

use super::*;

#[test]
fn a_store_is_a_url_of_postgresql_without_a_password() {
    let config =
        load("store = 'postgres://ondol@db-1,db-2/chat'\nhost = 'chat-1.b'", &[], ConfigFlags::default()).unwrap();
    assert_eq!(config.store.unwrap().as_str(), "postgres://ondol@db-1,db-2/chat");
    assert_eq!(config.host.as_deref(), Some("chat-1.b"));
    for url in
        ["postgres://ondol:four55@db-1/chat", "postgres://ondol@db-1/chat?password=four55", "mysql://four55@db-1/chat"]
    {
        for error in [wrong(&format!("store = '{url}'")), wrong_variable("ONDOL_STORE", url)] {
            assert!(error.contains("`store` takes the URL of a PostgreSQL database without a password"), "{error}");
            assert!(error.contains("store_password_file") && !error.contains("four55"), "{error}");
        }
    }
    let limits = "[limits]\nuser_id_chars_max = 601\ncommit_queue_bytes_max = '1GiB'";
    let error = wrong(&format!("store = 'postgres://ondol@db-1/chat'\n{limits}"));
    assert!(error.starts_with("`limits.user_id_chars_max` is 601: with `store` it is at most 600\n"), "{error}");
    assert!(error.contains("`limits.commit_queue_bytes_max`"), "{error}");
    let error = wrong("store_password_file = '/run/secret'");
    assert!(error.starts_with("`store_password_file` is set without `store`"), "{error}");
}

#[test]
fn a_host_has_a_short_plain_name() {
    for name in ["", "chat 1", "채팅", "chat/1", &"x".repeat(64)] {
        assert!(wrong(&format!("host = '{name}'")).contains("takes a name of 1 to 63 letters"), "{name}");
    }
    let longest = "x".repeat(63);
    let environment = [("ONDOL_HOST", longest.as_str()), ("ONDOL_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(load("", &environment, ConfigFlags::default()).unwrap().host, Some(longest.clone()));
}
