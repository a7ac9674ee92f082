//! The layers of the configuration, and the errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::io::Write as _;

use super::*;

mod store;

fn load(file: &str, environment: &[(&str, &str)], flags: ConfigFlags) -> Result<Config, String> {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let flags = ConfigFlags { config: Some(toml.path().to_owned()), ..flags };
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_layers(&flags, environment)
        .map_err(|error| error.to_string().replace(&*toml.path().to_string_lossy(), "ondol.toml"))
}

fn wrong(file: &str) -> String {
    load(file, &[], ConfigFlags::default()).expect_err("the config is wrong")
}

fn wrong_variable(name: &str, value: &str) -> String {
    load("", &[(name, value)], ConfigFlags::default()).expect_err("the variable is wrong")
}

#[test]
fn without_settings_the_defaults_apply() {
    let config = load("", &[("PATH", "/bin"), ("ONDOL_BIN", "x")], ConfigFlags::default()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.limits.frame_bytes_max, 65_536);
    assert_eq!(config.cache_dir(), PathBuf::from("ondol-data/cache"));
}

#[test]
fn each_default_is_within_its_range() {
    for limit in Limits::TABLE {
        assert!((limit.min..=limit.max).contains(&limit.default), "{}", limit.name);
    }
}

#[test]
fn a_flag_overrides_the_environment_which_overrides_the_file() {
    let file = "listen = '127.0.0.1:1'\nrefusal = 'close'\nlog = 'warn'\n[limits]\nping_interval_ms = 1_000\n";
    let environment = [("ONDOL_LISTEN", "127.0.0.1:2"), ("ONDOL_REFUSAL", "http"), ("ONDOL_PING_INTERVAL_MS", "2_000")];
    let flags = ConfigFlags { listen: Some("127.0.0.1:3".to_owned()), ..ConfigFlags::default() };
    let config = load(file, &environment, flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.refusal, RefusalStyle::Http);
    assert_eq!(config.limits.ping_interval_ms, 2_000);
    assert_eq!(config.log, "warn");
}

#[test]
fn history_is_the_hosts_or_the_events_handlers() {
    let flags = ConfigFlags { history: Some("events".to_owned()), ..ConfigFlags::default() };
    assert_eq!(load("history = 'host'", &[], flags).unwrap().history, HistoryForm::Events);
    let environment = [("ONDOL_HISTORY", "events")];
    assert_eq!(load("", &environment, ConfigFlags::default()).unwrap().history, HistoryForm::Events);
    assert!(wrong("history = 'client'").contains("`history` takes \"host\" or \"events\""));
}

#[test]
fn the_environment_can_name_the_file() {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(b"synchronous = 'normal'").unwrap();
    let environment = [(OsString::from("ONDOL_CONFIG"), toml.path().as_os_str().to_owned())];
    let config = Config::from_layers(&ConfigFlags::default(), environment).unwrap();
    assert_eq!(config.synchronous, Synchronous::Normal);
}

#[test]
fn setting_values_become_text() {
    let file = "[settings.messages]\ntext_length_max = 500\nloud = true\n[settings.rooms]\ndefault_name = '방'\n";
    let environment = [("ONDOL_SETTINGS_MESSAGES_TEXT_LENGTH_MAX", "600")];
    let flags = ConfigFlags { settings: vec!["events.announce=nothing=now".to_owned()], ..ConfigFlags::default() };
    let settings = load(file, &environment, flags).unwrap().settings;
    assert_eq!(settings.messages["text_length_max"], "600");
    assert_eq!(settings.messages["loud"], "true");
    assert_eq!(settings.rooms["default_name"], "방");
    assert_eq!(settings.events["announce"], "nothing=now");
}

#[test]
fn flags_set_limits_and_origins() {
    let flags = ConfigFlags {
        limits: vec!["room_inbox_max=7".to_owned(), "close_ms_max = 8".to_owned()],
        origins: vec!["https://A.example".to_owned(), "http://localhost:8000".to_owned()],
        ..ConfigFlags::default()
    };
    let config = load("origins = ['https://b.example']", &[], flags).unwrap();
    assert_eq!((config.limits.room_inbox_max, config.limits.close_ms_max), (7, 8));
    assert_eq!(config.origins, ["https://a.example", "http://localhost:8000"]);
}

#[test]
fn a_limit_of_one_handler_overrides_the_general_one() {
    let file = "[limits]\nhandler_deadline_ms = 70\n[limits.messages]\nhandler_deadline_ms = 50\n";
    let environment = [("ONDOL_EVENTS_HANDLER_LOG_BYTES_MAX", "9"), ("ONDOL_HANDLER_DEADLINE_MS", "80")];
    let limits = vec!["rooms.handler_calls_per_instance_max=1".to_owned()];
    let flags = ConfigFlags { limits, ..ConfigFlags::default() };
    let limits = load(file, &environment, flags).unwrap().limits;
    assert_eq!(["rooms", "messages", "events"].map(|of| limits.of(of).handler_deadline_ms), [80, 50, 80]);
    assert_eq!(limits.of("events").handler_log_bytes_max, 9);
    assert_eq!(limits.of("rooms").handler_calls_per_instance_max, 1);
    assert_eq!(limits.of("messages").handler_log_bytes_max, Limits::default().handler_log_bytes_max);
}

#[test]
fn an_unknown_limit_of_one_handler_is_reported() {
    assert_eq!(
        wrong("[limits.message]\nhandler_deadline_ms = 1"),
        "ondol.toml:2: unknown setting `limits.message.handler_deadline_ms`; \
         did you mean `limits.messages.handler_deadline_ms`?"
    );
    assert!(wrong("[limits.messages]\nframe_bytes_max = 1").contains("unknown setting"));
    assert!(wrong("[limits.messages]\nhandler_deadline_ms = 0").contains("takes a time from 1ms to 1min"));
    assert!(Limits::markdown().contains("Can be set per handler. |"));
}

#[test]
fn the_reaction_to_a_failing_handler_can_be_set() {
    let environment = [("ONDOL_FAILURE_EVENTS", "default")];
    let config =
        load("[failure]\nmessages = 'default'\nrooms = 'refuse'", &environment, ConfigFlags::default()).unwrap();
    assert_eq!(
        config.failure,
        Failure { rooms: OnFault::Refuse, messages: OnFault::Default, events: OnFault::Default }
    );
    let flags = ConfigFlags { failures: vec!["messages=refuse".to_owned()], ..ConfigFlags::default() };
    let config = load("[failure]\nmessages = 'default'", &[], flags).unwrap();
    assert_eq!(config.failure, Failure::default());
    assert!(wrong("[failure]\nrooms = 'panic'").ends_with("takes \"refuse\" or \"default\"; got the string \"panic\""));
    assert!(wrong("[failure]\nmessages = 'panic'").contains("takes \"refuse\" or \"default\""));
    assert!(wrong("[failure]\nmessage = 'refuse'").contains("did you mean `failure.messages`?"));
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest() {
    assert_eq!(wrong("\nlisten_ = 1"), "ondol.toml:2: unknown setting `listen_`; did you mean `listen`?");
    assert_eq!(
        wrong("[limits]\n\nframe_byte_max = 1"),
        "ondol.toml:3: unknown setting `limits.frame_byte_max`; did you mean `limits.frame_bytes_max`?"
    );
    assert_eq!(
        wrong("frame_bytes_max = 1"),
        "ondol.toml:1: unknown setting `frame_bytes_max`; did you mean `limits.frame_bytes_max`?"
    );
    assert_eq!(
        wrong("[settings.message]\ntext_length_max = 1"),
        "ondol.toml:2: unknown setting `settings.message.text_length_max`; \
         did you mean `settings.messages.text_length_max`?"
    );
    assert_eq!(wrong("colour = 'red'"), "ondol.toml:1: unknown setting `colour`");
}

#[test]
fn an_unknown_variable_names_the_nearest() {
    assert_eq!(
        wrong_variable("ONDOL_LISTENS", "x"),
        "environment variable ONDOL_LISTENS: unknown setting `ONDOL_LISTENS`; did you mean `ONDOL_LISTEN`?"
    );
    assert!(wrong_variable("ONDOL_SETTINGS_CHAT_X", "1").contains("unknown setting"));
}

#[test]
fn an_invalid_value_is_reported_with_the_valid_ones() {
    assert_eq!(
        wrong("[limits]\npong_ms_max = '10m'"),
        "ondol.toml:2: `limits.pong_ms_max` takes a time from 1ms to 1d, such as \"25s\" or 25000 (ms) \
         (write \"10min\" or \"10ms\"); got the string \"10m\""
    );
    assert_eq!(
        wrong_variable("ONDOL_FRAME_BYTES_MAX", "0"),
        "environment variable ONDOL_FRAME_BYTES_MAX: `limits.frame_bytes_max` takes a size from 1B to 16MiB, such as \
         \"64KiB\" or 65536 (bytes); got `0`"
    );
    assert!(wrong("[limits]\nbody_ms_max = -1").ends_with("got -1"));
    assert!(wrong("[limits]\nbody_ms_max = 99999999999999999999").contains("got 99999999999999999999"));
    assert!(wrong("listen = 8000").contains("takes an address and a port"));
    assert!(wrong("listen = 'localhost'").contains("got the string \"localhost\""));
    assert!(wrong("origins = ['https://a.example/']").contains("no path"));
    assert!(wrong("origins = 'https://a.example'").contains("takes origins"));
    assert!(wrong("log = 'inof'").contains("takes a level"));
    assert!(wrong("data = ''").contains("takes a path"));
    assert!(wrong("limits = 3").contains("limits"));
    for value in ["{ a = 1 }", "1979-05-27", "[1, { a = 1 }]"] {
        assert!(wrong(&format!("[settings.rooms]\nx = {value}")).contains("takes a string"), "{value}");
    }
}

#[test]
fn a_setting_is_text_and_a_list_is_json_text() {
    let text = "[settings.rooms]\na = 1\nb = 1.50\nc = true\nd = ['x', 2, 1.5, [false]]\ne = 'x, y'";
    let rooms = load(text, &[], ConfigFlags::default()).unwrap().settings.rooms;
    let expected = [("a", "1"), ("b", "1.50"), ("c", "true"), ("d", r#"["x",2,1.5,[false]]"#), ("e", "x, y")];
    assert_eq!(rooms, expected.map(|(key, text)| (key.to_owned(), text.to_owned())).into());
}

#[test]
fn sources_of_pictures_cannot_end_their_directive() {
    let config =
        load("img_src = ['self', 'https://pictures.example.com', 'data:']", &[], ConfigFlags::default()).unwrap();
    assert_eq!(config.img_src, ["'self'", "https://pictures.example.com", "data:"]);
    for source in ["*; script-src *", "a b", "'unsafe-inline'", "a,b", "", "\u{e9}"] {
        assert!(wrong(&format!("img_src = [\"{source}\"]")).contains("takes sources"), "{source}");
    }
    assert!(wrong("img_src = []").contains("takes sources"));
}

#[test]
fn a_cookie_needs_a_list_of_origins() {
    let with = |origins: &str| {
        format!("origins = ['{origins}']\n[identity]\nmode = 'jwt'\njwks = 'keys.json'\ncookie = 'session'")
    };
    assert!(wrong(&with("*")).contains("a page of any site could act as its visitor"));
    assert!(load(&with("same-origin"), &[], ConfigFlags::default()).is_ok());
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = wrong("listen = 1\nrefusal = 'loud'\n[limits]\nx = 1\n");
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn a_missing_file_or_invalid_toml_is_reported() {
    assert!(wrong("\nlisten = ").starts_with("ondol.toml:2: not TOML: "));
    let flags = ConfigFlags { config: Some(PathBuf::from("/nowhere/ondol.toml")), ..ConfigFlags::default() };
    let error = Config::from_layers(&flags, []).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/ondol.toml: cannot read the file"), "{error}");
}

#[test]
fn flags_without_an_equals_sign_are_reported() {
    let flags = ConfigFlags {
        limits: vec!["frame_bytes_max".to_owned()],
        settings: vec!["text_length_max=3".to_owned()],
        ..ConfigFlags::default()
    };
    let error = load("", &[], flags).unwrap_err();
    assert_eq!(
        error,
        "--limit: takes NAME=VALUE; got `frame_bytes_max`\n--setting: takes HANDLER.KEY=VALUE; got `text_length_max=3`"
    );
}

/// The text between two marks of a document.
fn marked(document: &str, mark: &str) -> String {
    let path = format!("{}/../../docs/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("<!-- {mark} -->\n")).expect("the part is marked");
    let (part, _) = rest.split_once(&format!("<!-- end of {mark} -->")).expect("its end is marked");
    part.trim().to_owned()
}

#[test]
fn the_documentation_shows_the_declared_limits() {
    assert_eq!(marked("limits.md", "limits"), Limits::markdown().trim(), "`ondol check --limits` prints the tables");
}

#[test]
fn the_documentation_shows_each_option_and_whether_a_reload_changes_it() {
    let table = marked("configuration.md", "options");
    for row in Config::ROWS {
        let name = format!("`{}`", row.name);
        let shown = table.lines().find(|line| line.split('|').nth(1).is_some_and(|cell| cell.contains(&name)));
        let shown = shown.unwrap_or_else(|| panic!("{name} has no row"));
        let reload = shown.split('|').nth(4).unwrap().trim();
        assert_eq!(reload, if row.applies == Applies::Live { "live" } else { "" }, "{shown}");
    }
}

#[test]
fn the_documentation_shows_the_settings_of_the_default_handlers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/handlers.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (handler, key, default, _) in template::SETTINGS {
        let row = format!("| `{handler}` | `{key}` | {} |", default.replace('"', "`"));
        assert!(text.contains(&row), "{row}");
    }
}

#[test]
fn a_limit_takes_units_in_each_layer() {
    let file = "[limits]\nframe_bytes_max = '64KiB'\nmessages_kept_days = '30d'\n[limits.events]\nhandler_deadline_ms = '1.5s'";
    let environment = [("ONDOL_PING_INTERVAL_MS", "2min")];
    let flags = ConfigFlags { limits: vec!["outbox_bytes_max=2MiB".to_owned()], ..ConfigFlags::default() };
    let limits = load(file, &environment, flags).unwrap().limits;
    assert_eq!((limits.frame_bytes_max, limits.messages_kept_days), (65_536, 30));
    assert_eq!((limits.ping_interval_ms, limits.outbox_bytes_max), (120_000, 2_097_152));
    assert_eq!(limits.of("events").handler_deadline_ms, 1_500);
    let error = wrong("[limits]\nframe_bytes_max = '64KB'");
    assert!(error.contains("(write \"64KiB\" or 64000); got the string \"64KB\""), "{error}");
    assert!(wrong("[limits]\nfragments_max = '1s'").contains("takes a whole number from 1 to 1,000,000"));
}

#[test]
fn each_limit_is_in_one_group() {
    let groups = Limits::groups();
    let mut names: Vec<_> = groups.iter().flat_map(|(_, limits)| limits.iter().map(|limit| limit.name)).collect();
    assert_eq!((names.len(), groups[0].1.len()), (Limits::TABLE.len(), 10));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Limits::TABLE.len());
    let mut titles: Vec<_> = groups.iter().map(|(title, _)| *title).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), groups.len(), "a group is in one piece");
}

#[test]
fn a_template_changes_nothing_even_with_its_defaults_uncommented() {
    let file = template();
    assert_eq!(load(&file, &[], ConfigFlags::default()).unwrap(), Config::default());
    let mut uncommented = 0;
    let lines = file.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => {
            uncommented += 1;
            rest
        }
        _ => line,
    });
    let all = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(load(&all, &[], ConfigFlags::default()).unwrap(), Config::default(), "{all}");
    assert!(uncommented > Limits::TABLE.len() + 15, "{uncommented}");
    for name in Config::NAMES
        .iter()
        .chain(IdentityConfig::NAMES)
        .chain(&Limits::TABLE.iter().map(|limit| limit.name).collect::<Vec<_>>())
    {
        assert!(file.contains(&format!("#{name} = ")) || file.contains(&format!("# {name} = ")), "{name}");
    }
}

#[test]
fn a_difference_says_what_is_live() {
    let before = load("admin_token = 'one'\n[settings.rooms]\na = 1\nb = 2", &[], ConfigFlags::default()).unwrap();
    let after = "admin_token = 'two'\nstore = 'postgres://ondol@db-1/chat'\nlog = 'debug'\nlisten = '127.0.0.1:1'\n[limits]\ndrain_ms = 1\nroom_inbox_max = 1\n\
                 [settings.rooms]\nb = 3\n[limits.messages]\nhandler_deadline_ms = 1";
    let after = load(after, &[], ConfigFlags::default()).unwrap();
    let Difference { live, restart } = before.difference(&after);
    assert_eq!(live, ["limits.drain_ms", "log", "settings.rooms.b", "settings.rooms.a"]);
    assert_eq!(
        restart,
        ["admin_token", "limits.messages.handler_deadline_ms", "limits.room_inbox_max", "listen", "store"]
    );
    let running = before.with_live_of(&after);
    assert_eq!(running.difference(&after), Difference { live: vec![], restart });
    let shown =
        |name: &str| after.list().into_iter().find(|listed| listed.name == name).unwrap().value().map(str::to_owned);
    assert_eq!(shown("admin_token").as_deref(), Some("(secret)"));
    assert_eq!(shown("store").as_deref(), Some("\"postgres://ondol@db-1/chat\""));
}

#[test]
fn each_limit_is_live_or_needs_a_restart_as_its_table_says() {
    let running = Config::default();
    for limit in Limits::TABLE {
        let changed = if limit.default == limit.min { limit.max } else { limit.min };
        let given = format!("[limits]\n{} = {changed}", limit.name);
        let given = load(&given, &[], ConfigFlags::default()).unwrap();
        let next = running.with_live_of(&given);
        let Difference { live, restart } = running.difference(&given);
        let is_live = limit.applies == Applies::Live;
        assert_eq!((live.len(), restart.len()), (usize::from(is_live), usize::from(!is_live)), "{}", limit.name);
        let in_force = if is_live { changed } else { limit.default };
        assert_eq!(next.limits.get(limit.name), Some(in_force), "{}", limit.name);
    }
}

#[test]
fn each_value_has_an_origin_or_is_a_default() {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(b"\nlog = 'debug'\n[limits]\ndrain_ms = '1s'").unwrap();
    let flags = ConfigFlags {
        config: Some(toml.path().to_owned()),
        limits: vec!["drain_ms=2s".to_owned()],
        ..ConfigFlags::default()
    };
    let environment = [(OsString::from("ONDOL_DATA"), OsString::from("/d"))];
    let (config, origins) = Config::of_layers(&flags, environment).unwrap();
    assert_eq!(config.limits.drain_ms, 2_000);
    assert_eq!(origins.of("log"), Some(&Origin::File(toml.path().to_owned(), 2)));
    assert_eq!(origins.of("data"), Some(&Origin::Environment("ONDOL_DATA".to_owned())));
    assert_eq!(origins.of("limits.drain_ms"), Some(&Origin::Flag("--limit".to_owned())));
    assert_eq!(origins.of("listen"), None);
}
