//! Writing a configuration and looking at it; what shells and `man` read.

use std::{env, fs, process::Command};

use ondol_tests::{TestResult, command, command::ondol_with, ondol};
use serde_json::{Value, json};

/// Runs a program on what the command has written. None: the program is missing, and `story` is named as skipped, except under CI.
fn checked_by(story: &str, program: &str, words: &[&str]) -> TestResult<Option<command::Output>> {
    if Command::new(program).arg("--version").output().is_ok() {
        return Ok(Some(command::run(Command::new(program).args(words))?));
    }
    anyhow::ensure!(env::var_os("CI").is_none(), "{story}: no {program}, and CI is set");
    eprintln!("skipped: {story}: no {program} on PATH");
    Ok(None)
}

#[test]
fn a_written_configuration_changes_nothing_and_is_not_overwritten() -> TestResult {
    let home = tempfile::tempdir()?;
    let file = home.path().join("ondol.toml").display().to_string();
    ondol(&["config", "init", &file])?.expect(0)?;
    let written = fs::read_to_string(&file)?;
    assert_eq!(written, ondol(&["config", "init"])?.stdout);
    assert!(written.contains("#frame_bytes_max = \"64KiB\""), "{written}");
    assert_eq!(ondol(&["config", "show", "--config", &file, "--changed"])?.stdout, cache_line());
    fs::write(&file, "log = 'debug'")?;
    ondol(&["config", "init", &file])?.expect_parts(1, &["exists", "--force"])?;
    assert_eq!(fs::read_to_string(&file)?, "log = 'debug'");
    ondol(&["config", "init", &file, "--force"])?.expect(0)?;
    assert_eq!(fs::read_to_string(&file)?, written);
    Ok(())
}

/// Every command of the stories has a cache of its own.
fn cache_line() -> String {
    let cache = ondol_tests::handlers::target().join("test-cache");
    format!("cache = {}  # environment variable ONDOL_CACHE\n", toml::Value::from(cache.display().to_string()))
}

#[test]
fn each_value_is_shown_with_its_origin_and_no_secret() -> TestResult {
    let home = tempfile::tempdir()?;
    let file = home.path().join("ondol.toml").display().to_string();
    fs::write(
        &file,
        "\nlog = 'debug'\nadmin_token = 'four8fifteen'\n[limits]\nframe_bytes_max = '32KiB'\n[settings.rooms]\na = 1\n",
    )?;
    let words = ["config", "show", "--config", &file, "--limit", "drain_ms=1.5s"];
    let environment = [("ONDOL_PING_INTERVAL_MS", "120000")];
    let shown = ondol_with(&words, &environment)?;
    shown.expect_parts(
        0,
        &[
            &format!("log = \"debug\"  # {file}:2\n"),
            &format!("admin_token = (secret)  # {file}:3\n"),
            &format!("limits.frame_bytes_max = \"32KiB\"  # {file}:5\n"),
            &format!("settings.rooms.a = \"1\"  # {file}:7\n"),
            "limits.ping_interval_ms = \"2min\"  # environment variable ONDOL_PING_INTERVAL_MS\n",
            "limits.drain_ms = \"1500ms\"  # --limit\n",
            "listen = \"127.0.0.1:8000\"  # default\n",
        ],
    )?;
    let as_json = ondol_with(&[&words[..], &["--changed", "--json"]].concat(), &environment)?;
    let values: Value = serde_json::from_str(&as_json.stdout)?;
    assert_eq!(
        values["limits.frame_bytes_max"],
        json!({"value": "\"32KiB\"", "origin": {"from": "file", "file": file, "line": 5}, "live": true})
    );
    assert_eq!((values["admin_token"]["value"].clone(), values.get("listen")), (json!("(secret)"), None));
    assert!(!format!("{shown:?}{as_json:?}").contains("four8fifteen"));
    Ok(())
}

#[test]
fn a_wrong_unit_is_refused_with_what_to_write() -> TestResult {
    let shown = ondol(&["config", "show", "--limit", "frame_bytes_max=64KB", "--limit", "pong_ms_max=5m"])?;
    shown.expect_parts(2, &["write \"64KiB\" or 64000", "write \"5min\" or \"5ms\""])
}

#[test]
fn shells_read_their_completions() -> TestResult {
    let home = tempfile::tempdir()?;
    for (shell, words) in [("bash", "COMPREPLY"), ("zsh", "#compdef ondol"), ("fish", "complete -c ondol")] {
        let script = ondol(&["completions", shell])?;
        assert!(!script.stdout.contains("giving-way"), "a hidden command");
        script.expect_parts(0, &[words, "handlers", "public-url"])?;
        let file = home.path().join(shell).display().to_string();
        fs::write(&file, script.stdout)?;
        // The others are seldom installed, and bash is on every machine that builds this.
        if shell == "bash"
            && let Some(read) = checked_by("shells_read_their_completions", "bash", &["-n", &file])?
        {
            assert_eq!(read.expect(0)?, "");
        }
    }
    Ok(())
}

#[test]
fn each_command_has_a_manual_page() -> TestResult {
    let home = tempfile::tempdir()?;
    let pages = home.path().join("man1");
    ondol(&["man", &pages.display().to_string()])?.expect(0)?;
    let found =
        fs::read_dir(&pages)?.map(|page| Ok(page?.path().display().to_string())).collect::<TestResult<Vec<_>>>()?;
    for name in ["/ondol.1", "/ondol-serve.1", "/ondol-handlers-deploy.1", "/ondol-config-show.1"] {
        assert!(found.iter().any(|page| page.ends_with(name)), "{name} in {found:?}");
    }
    assert!(!found.iter().any(|page| page.ends_with("ondol-compile.1")), "a hidden command");
    for page in &found {
        let words = ["-man", "-Tutf8", "-ww", "-K", "utf8", page];
        let Some(set) = checked_by("each_command_has_a_manual_page", "groff", &words)? else { break };
        assert_eq!((set.status, set.stderr.as_str()), (0, ""), "{page}");
        assert!(set.stdout.lines().count() > 10, "{set:?}");
    }
    Ok(())
}
