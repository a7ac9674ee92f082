//! Progress of long work: a bar on a terminal, lines elsewhere, and nothing on standard output.

use std::{env, fs, process::Command};

use ondol_tests::system::children;
use ondol_tests::{TestResult, TestServer, command, until};

use super::compiling::sums;
use super::trials;

/// A component that takes seconds to compile, and a cache that does not know it.
struct Long {
    directory: tempfile::TempDir,
}

impl Long {
    fn new() -> TestResult<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("sums.wasm"), sums(1_200, 1_000))?;
        Ok(Self { directory })
    }

    /// A command as words of a shell, in the directory of the component.
    fn run(&self, words: &str) -> String {
        let (directory, binary) = (self.directory.path().display(), command::binary());
        let binary = binary.canonicalize().unwrap_or(binary);
        format!("cd {directory} && ONDOL_CACHE={directory}/cache '{}' {words}", binary.display())
    }
}

fn shell(words: &str) -> TestResult<command::Output> {
    command::run(Command::new("sh").args(["-c", words]))
}

#[test]
fn a_pipe_gets_lines() -> TestResult {
    for words in
        ["inspect sums.wasm", "call sums.wasm a.b", "test sums.wasm --cases cases.toml", "check rooms=sums.wasm"]
    {
        let long = Long::new()?;
        fs::write(long.directory.path().join("cases.toml"), "[[case]]\nname = 'x'\ncall = 'a.b'\nreturns = 1\n")?;
        let first = shell(&long.run(words))?;
        assert!(first.stderr.starts_with("compiling sums.wasm ("), "{first:?}");
        assert!(!first.stderr.contains(['\r', '\u{1b}', '[']), "{first:?}");
        assert!(!first.stdout.contains("compiling"), "{first:?}");
        // Its code is in the cache now.
        let second = shell(&long.run(words))?;
        assert!(!second.stderr.contains("compiling"), "{second:?}");
        assert_eq!((second.status, &second.stdout), (first.status, &first.stdout), "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deploy_says_how_long_it_waited_for_another_one() -> TestResult {
    let server = TestServer::setup().admin().limit("handler_compile_ms_max", 3_000).start().await?;
    let long = server.admin("POST", "/v1/handlers/rooms")?.body("application/wasm", sums(2_000, 1_000));
    let long = tokio::spawn(long.send());
    until("a process that compiles", async || children(server.pid()).ok()?.pop()).await?;
    // Its component is compiled already.
    trials::command(&server, &["deploy", "--setting", "events.announce=nothing"])?
        .expect_parts(0, &[" is active", "waited ", " s for another deploy"])?;
    long.await??.expect(422)?;
    Ok(())
}

#[test]
fn a_terminal_gets_a_bar_which_is_gone_at_the_end() -> TestResult {
    let long = Long::new()?;
    let typescript = long.directory.path().join("typescript");
    let words =
        format!("TERM=xterm script -qec \"{} >/dev/null\" {}", long.run("inspect sums.wasm"), typescript.display());
    let ran = shell(&words)?;
    if ran.stderr.contains("script: not found") {
        anyhow::ensure!(env::var_os("CI").is_none(), "a_terminal_gets_a_bar: no `script`, and CI is set");
        eprintln!("skipped: a_terminal_gets_a_bar_which_is_gone_at_the_end: no `script` on PATH");
        return Ok(());
    }
    let shown = fs::read_to_string(typescript)?;
    let (before, last) = shown.rsplit_once("compiling sums.wasm (").expect("a bar was drawn");
    assert!(before.contains("compiling sums.wasm ("), "it was drawn once: {shown:?}");
    assert!(last.contains("\u{1b}[2K"), "its line is still there: {shown:?}");
    Ok(())
}
