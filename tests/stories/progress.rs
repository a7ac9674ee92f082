//! Progress of long work: a bar on a terminal, lines elsewhere, and nothing on standard output.

use std::{env, fs, process::Command};

use ondol_tests::{TestResult, command};

use super::compiling::sums;

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

    /// `ondol inspect` as words of a shell.
    fn inspect(&self) -> String {
        let directory = self.directory.path().display();
        format!("ONDOL_CACHE={directory}/cache '{}' inspect {directory}/sums.wasm", command::binary().display())
    }
}

fn shell(words: &str) -> TestResult<command::Output> {
    command::run(Command::new("sh").args(["-c", words]))
}

#[test]
fn a_pipe_gets_lines() -> TestResult {
    let long = Long::new()?;
    let inspected = shell(&long.inspect())?;
    assert!(inspected.stderr.starts_with("compiling sums.wasm ("), "{inspected:?}");
    assert!(!inspected.stderr.contains(['\r', '\u{1b}', '[']), "{inspected:?}");
    assert!(inspected.stdout.contains("worlds") && !inspected.stdout.contains("compiling"), "{inspected:?}");
    // Its code is in the cache now.
    assert_eq!(shell(&long.inspect())?.stderr, "");
    Ok(())
}

#[test]
fn a_terminal_gets_a_bar_which_is_gone_at_the_end() -> TestResult {
    let long = Long::new()?;
    let typescript = long.directory.path().join("typescript");
    let words = format!("TERM=xterm script -qec \"{} >/dev/null\" {}", long.inspect(), typescript.display());
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
