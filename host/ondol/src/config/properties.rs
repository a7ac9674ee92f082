//! What holds for every configuration: each layer takes the same values, a value is in its range, and an error is one line that
//! names the setting and shows no secret.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::collections::BTreeSet;

use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::proptest::test_runner::TestCaseResult;
use ondol_inputs::{corpus, holds, misspelt, text};

use super::*;

/// Options that are a text in each layer.
const TEXTS: [&str; 23] = [
    "listen",
    "tls_certificate",
    "tls_key",
    "store",
    "store_password_file",
    "host",
    "bus",
    "bus_credentials_file",
    "bus_authority_file",
    "cluster",
    "data",
    "handlers",
    "cache",
    "admin",
    "admin_tls_certificate",
    "admin_tls_key",
    "admin_ca",
    "admin_token",
    "public_url",
    "refusal",
    "history",
    "synchronous",
    "log",
];

/// Values of which one or another option takes each.
const VALUES: [&str; 22] = [
    "127.0.0.1:8000",
    "[::1]:0",
    "0.0.0.0:1",
    "localhost:8001",
    "https://example.com:8443/",
    "http://127.0.0.1:1",
    "unix:/run/o.sock",
    "unix:///x",
    "https://[::1]",
    "https://u:p@example.com",
    "postgres://u@db-1,[::1]:5433/chat?sslmode=require",
    "postgres://u:p@db-1/chat",
    "nats://127.0.0.1:4222,tls://[::1]",
    "nats://u:p@127.0.0.1",
    "http",
    "close",
    "host",
    "events",
    "full",
    "normal",
    "info,ondol=debug",
    "/a/b",
];

/// The config of a file and variables. The file is only read where there is one.
fn load(file: &str, variables: &[(String, String)], flags: ConfigFlags) -> Result<Config, ConfigError> {
    let toml = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(toml.path(), file).unwrap();
    let config = (!file.is_empty()).then(|| toml.path().to_owned());
    let flags = ConfigFlags { config, ..flags };
    Config::from_layers(&flags, variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn variable(name: &str) -> String {
    format!("ONDOL_{}", name.to_ascii_uppercase().replace('.', "_"))
}

/// Each problem is a line of its own, and steers no terminal.
fn check(error: &ConfigError) -> TestCaseResult {
    let text = error.to_string();
    prop_assert_eq!(text.lines().count(), error.0.len(), "{}", text);
    prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    Ok(())
}

#[test]
fn a_limit_takes_the_same_numbers_in_each_layer_and_only_those_of_its_range() {
    let names: Vec<String> =
        Limits::TABLE.iter().map(|limit| limit.name.to_owned()).chain(Limits::names_of_handlers()).collect();
    let number = |name: String| {
        let limit = Limits::TABLE
            .iter()
            .find(|limit| name.ends_with(limit.name) && (name.len() == limit.name.len() || name.contains('.')))
            .unwrap();
        let near = |bound: u64| bound.saturating_sub(2)..=bound.saturating_add(2);
        (Just(name), Just(limit), prop_oneof![near(limit.min), near(limit.max), limit.min..=limit.max, any::<u64>()])
    };
    holds([], select(names).prop_flat_map(number), |(name, limit, number)| {
        let (table, key) = name
            .split_once('.')
            .map_or(("limits".to_owned(), name.as_str()), |(handler, key)| (format!("limits.{handler}"), key));
        let in_file = load(&format!("[{table}]\n{key} = {number}"), &[], ConfigFlags::default());
        let in_variable = load("", &[(variable(&name), number.to_string())], ConfigFlags::default());
        let flags = ConfigFlags { limits: vec![format!("{name}={number}")], ..ConfigFlags::default() };
        let is_valid = (limit.min..=limit.max).contains(&number);
        for outcome in [in_file, in_variable, load("", &[], flags)] {
            match outcome {
                Ok(config) => {
                    prop_assert!(is_valid, "{name} = {number}");
                    let handler = name.split_once('.').map_or("rooms", |(handler, _)| handler);
                    let shown = format!("{:?}", config.limits.of(handler));
                    prop_assert!(shown.contains(&format!("{key}: {number}, ")), "{name} = {number} in {shown}");
                }
                Err(error) => {
                    prop_assert!(!is_valid, "{error}");
                    check(&error)?;
                    prop_assert!(
                        [" a whole number", " a size", " a time"]
                            .iter()
                            .any(|kind| error.to_string().contains(&format!("`limits.{name}` takes{kind} from"))),
                        "{error}"
                    );
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_limit_takes_the_same_units_in_each_layer() {
    let unit = select(vec!["B", "KiB", "MiB", "KB", "ms", "s", "min", "h", "d", "m", "", " s", "K"]);
    let limit = select(Limits::TABLE.iter().collect::<Vec<_>>());
    let number = prop_oneof![
        (0..5_000_u64).prop_map(|n| n.to_string()),
        (0..99_u64, 0..99_u64).prop_map(|(n, m)| format!("{n}.{m}"))
    ];
    holds([], (limit, number, unit), |(limit, number, unit)| {
        let (name, value) = (limit.name, format!("{number}{unit}"));
        let in_file = load(&format!("[limits]\n{name} = \"{value}\""), &[], ConfigFlags::default());
        let in_variable = load("", &[(variable(name), value.clone())], ConfigFlags::default());
        let flags = ConfigFlags { limits: vec![format!("{name}={value}")], ..ConfigFlags::default() };
        let by_flag = load("", &[], flags);
        let read = limit.measure().read(&value).ok().filter(|read| (limit.min..=limit.max).contains(read));
        for outcome in [in_file, in_variable, by_flag] {
            match outcome {
                Ok(config) => prop_assert_eq!(config.limits.get(name), read),
                Err(error) => {
                    check(&error)?;
                    prop_assert!(read.is_none() && error.to_string().contains(name), "{error}");
                }
            }
        }
        Ok(())
    });
}

#[test]
fn an_option_takes_the_same_texts_in_each_layer() {
    let value = prop_oneof![4 => misspelt(select(VALUES.as_slice()).prop_map(str::to_owned)), 1 => text()];
    holds([], (select(TEXTS.as_slice()), value), |(name, value)| {
        let in_file = load(&format!("{name} = {}", toml::Value::from(value.as_str())), &[], ConfigFlags::default());
        let in_variable = load("", &[(variable(name), value.clone())], ConfigFlags::default());
        match (in_file, in_variable) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
            (Err(one), Err(other)) => {
                for error in [one, other] {
                    check(&error)?;
                    let shown = error.to_string();
                    prop_assert!(shown.contains(name) || matches!(error.0[..], [Problem::Conflict(_)]), "{error}");
                    prop_assert!(
                        name != "admin_token" || value.trim().len() < 4 || !shown.contains(value.trim()),
                        "{error}"
                    );
                }
            }
            (one, other) => prop_assert!(false, "{one:?} {other:?}"),
        }
        Ok(())
    });
}

#[test]
fn a_file_is_a_config_or_each_of_its_problems_is_a_line() {
    let line = (
        prop_oneof![8 => select(Config::NAMES).prop_map(str::to_owned), 1 => text().prop_map(|text| toml::Value::from(text).to_string())],
        prop_oneof![
            select(VALUES.as_slice()).prop_map(|text| toml::Value::from(text).to_string()),
            select(vec!["1", "-1", "0x1f", "1e9", "true", "[]", "['a']", "{ a = 1 }", "1979-05-27", "''"])
                .prop_map(str::to_owned)
        ],
    );
    let file = prop::collection::vec(line, 0..6).prop_map(|lines| {
        let mut names = BTreeSet::new();
        let lines = lines.into_iter().filter(|(name, _)| names.insert(name.clone()));
        lines.map(|(name, value)| format!("{name} = {value}\n")).collect::<String>()
    });
    let generated =
        prop_oneof![2 => file.clone(), 1 => misspelt(file), 2 => misspelt(select(corpus::configs())), 1 => text()];
    holds(corpus::configs(), generated, |file| match load(&file, &[], ConfigFlags::default()) {
        Err(error) => check(&error),
        Ok(config) => {
            let url = config.public_url.as_ref();
            let is_origin = |url: &Url| url.as_str() == format!("{}/", url.origin().ascii_serialization());
            prop_assert!(url.is_none_or(is_origin), "{url:?}");
            for origin in &config.origins {
                prop_assert_eq!(read::origins(&Given::Word(origin.clone())), Some(vec![origin.clone()]));
            }
            Ok(())
        }
    });
}

#[test]
fn no_error_shows_a_secret() {
    const SECRET: &str = "4815162342";
    let written = [
        SECRET.to_owned(),
        format!("'{SECRET}'"),
        format!("['{SECRET}']"),
        format!("{{ a = {SECRET} }}"),
        format!("{SECRET}.5"),
        format!("\"\"\"{SECRET}"),
    ];
    let tokens = written.map(|value| format!("data = 'x'\nadmin_token = {value}\n[limits]\nframe_bytes_max = 0\n"));
    let urls =
        ["postgres://u:4815162342@db-1/x", "postgres://u@db-1/x?password=4815162342", "http://u:4815162342@a.example"];
    let urls = urls.iter().flat_map(|url| ["store", "otlp"].map(|name| format!("{name} = '{url}'\n")));
    let written: Vec<_> = tokens.into_iter().chain(urls).collect();
    holds(written.clone(), misspelt(select(written)), |file| {
        if let Err(error) = load(&file, &[], ConfigFlags::default()) {
            prop_assert!(!error.to_string().contains(SECRET), "{error}");
        }
        Ok(())
    });
}

#[test]
fn an_address_of_the_admin_api_is_read_as_it_is_shown() {
    let address = select(vec![
        "127.0.0.1:8001",
        "localhost:8001",
        "http://a.example:1/",
        "https://a.example",
        "https://[::1]:8001/",
        "unix:/run/o.sock",
        "unix:///x",
        "[::1]:1",
    ]);
    holds(corpus::texts(), prop_oneof![4 => misspelt(address.prop_map(str::to_owned)), 1 => text()], |text| {
        if let Some(address) = AdminAddress::read(&text) {
            prop_assert_eq!(AdminAddress::read(&address.to_string()), Some(address));
        }
        Ok(())
    });
}
