//! The words of the project: none that was retired is left in the host's sources, the documents, the contract and what
//! `--help` prints. A finding says where it stands and what to write instead. Starts no server.

use std::{fmt, fs, path::Path};

use ondol_tests::{TestResult, handlers::workspace, ondol};

/// Phrases that are never right, in whatever case, with what to write instead.
const RETIRED_PHRASES: &[(&str, &str)] = &[
    ("whoever", "the thing or the role: the caller, the client, the operator"),
    ("nobody", "the thing or the role, in a positive sentence"),
    ("somebody else", "another user, another process"),
    ("everybody else", "the other members, the other requests"),
    ("what nobody", "the noun"),
    ("what people say", "the text of messages"),
    ("what people said", "the text of messages"),
    ("what stood", "the active release, the existing room"),
    ("what stands", "the active release, the existing room"),
    ("standing version", "active version"),
    ("standing release", "active release"),
    ("stand in", "fallback"),
    ("stands in", "fallback"),
    ("stood in", "fallback"),
    ("not taken", "rejected"),
    ("way back", "rollback"),
    ("ways back", "rollbacks"),
    ("goes back by itself", "is rolled back automatically"),
    ("leads back", "rolls back to"),
    ("led back", "rolled back to"),
    ("held against", "compared with, counted against"),
    ("holds against", "compares with"),
    ("hold against", "compare with"),
    ("goes on as before", "is unchanged"),
    ("of one mind", "consistent"),
    ("so-manieth", "the nth"),
    ("in so many of", "in this percentage of"),
    ("as many as may be", "up to the limit"),
    ("not seen to", "not shown to"),
    ("to be had", "available"),
    ("can be had", "is available"),
    ("cannot be had", "is not available"),
    ("the gate", "the admission checks"),
    ("past the cache", "direct I/O"),
];

/// Names of the code that were retired, with those that took their place.
const RETIRED_NAMES: &[(&str, &str)] = &[
    ("Ahead", "nothing: runs are delivered in one pass"),
    ("Aside", "CompilerProcess"),
    ("BREATH", "nothing: such sleeps are removed"),
    ("Begun", "RoomTask"),
    ("Crowded", "TooManyConnections"),
    ("Desk", "QueueState, BatchWriter"),
    ("Edge", "PublicApi"),
    ("Held", "ConnContext"),
    ("Kept", "Retention"),
    ("Known", "LastOffered"),
    ("Lead", "LeaderGuard"),
    ("Part", "HandlerChange"),
    ("Posted", "PendingDelivery"),
    ("Rest", "Progress"),
    ("Runs", "RoomIndex"),
    ("Seat", "Permit"),
    ("Seen", "DirectorySnapshot"),
    ("Tail", "Unindexed"),
    ("Trial", "Probation, DynamicCaller"),
    ("Turn::Theirs", "Follower"),
    ("Turn::Yours", "Leader"),
    ("Why", "Provenance, CloseReason"),
    ("Wire", "FrameSink"),
    ("aside", "compiler_process"),
    ("breathe", "nothing: such sleeps are removed"),
    ("bursts", "duty_cycle"),
    ("came_back", "on_committed"),
    ("converse", "serve_connection"),
    ("give_way", "set_background"),
    ("go_round", "publish"),
    ("heed", "nothing: runs are delivered in one pass"),
    ("look_closely", "tick_fast"),
    ("or_instead", "with_fallback"),
    ("prove", "admit"),
    ("revive", "restore"),
    ("standin", "fallback"),
    ("told", "describe"),
    ("under_way", "in_flight"),
];

// ── where ──

/// A text and what it is called in a finding.
struct Text {
    name: String,
    text: String,
}

/// The texts below a path of the repository whose files end so.
fn texts(path: &str, ending: &str) -> TestResult<Vec<Text>> {
    fn collect(path: &Path, ending: &str, found: &mut Vec<Text>) -> TestResult {
        if path.is_dir() {
            let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<TestResult<Vec<_>>>()?;
            entries.sort();
            return entries.iter().try_for_each(|entry| collect(entry, ending, found));
        }
        if path.to_string_lossy().ends_with(ending) {
            let name = path.strip_prefix(workspace()).unwrap_or(path).display().to_string();
            found.push(Text { name, text: fs::read_to_string(path)? });
        }
        Ok(())
    }
    let mut found = Vec::new();
    collect(&workspace().join(path), ending, &mut found)?;
    Ok(found)
}

/// The host's sources.
fn sources() -> TestResult<Vec<Text>> {
    texts("host", ".rs")
}

fn documents() -> TestResult<Vec<Text>> {
    Ok([texts("README.md", ".md")?, texts("README.ko.md", ".md")?, texts("docs", ".md")?]
        .into_iter()
        .flatten()
        .collect())
}

/// What the program prints about itself, and each of its commands, as far down as there are any.
fn help(words: &[&str]) -> TestResult<Vec<Text>> {
    let output = ondol(&[words, &["--help"]].concat())?;
    output.expect(0)?;
    let commands: Vec<String> = commands(&output.stdout).map(str::to_owned).collect();
    let mut found =
        vec![Text { name: ["ondol"].iter().chain(words).copied().collect::<Vec<_>>().join(" "), text: output.stdout }];
    for command in commands {
        found.extend(help(&[words, &[&command]].concat())?);
    }
    Ok(found)
}

/// The commands that a help lists, but for `help` itself.
fn commands(help: &str) -> impl Iterator<Item = &str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that goes on in a second line is indented further.
    listed
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
}

// ── how ──

/// A retired word in a text.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    name: String,
    line: usize,
    retired: &'static str,
    instead: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {:?}; write: {}", self.name, self.line, self.retired, self.instead)
    }
}

/// The words and the other characters of a text, each with its line. Neither what marks a comment at the beginning of a
/// line nor what continues a line at its end is among them, so that a phrase may go on in the next line.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || "/!*>#".contains(c)).trim_end_matches('\\');
        let mut inside_word = false;
        for c in line.chars() {
            let is_word = c.is_alphanumeric() || c == '_';
            match tokens.last_mut() {
                Some((_, word)) if is_word && inside_word => String::push(word, c),
                _ if c.is_whitespace() => {}
                _ => tokens.push((number, c.to_string())),
            }
            inside_word = is_word;
        }
    }
    tokens
}

/// The retired words that a text contains, as whole words; of names the case counts.
fn search(text: &Text, retired: &[(&'static str, &'static str)], case_counts: bool) -> Vec<Finding> {
    let folded = |text: &str| tokens(&if case_counts { text.to_owned() } else { text.to_lowercase() });
    let words = folded(&text.text);
    let mut found = Vec::new();
    for &(retired, instead) in retired {
        let wanted = folded(retired);
        let matches =
            |window: &[(usize, String)]| window.iter().zip(&wanted).all(|((_, one), (_, other))| one == other);
        for window in words.windows(wanted.len()).filter(|window| matches(window)) {
            found.push(Finding { name: text.name.clone(), line: window[0].0, retired, instead });
        }
    }
    found
}

/// A Rust source without comments and without the contents of its strings, line by line.
fn code(source: &str) -> String {
    let (mut code, mut rest) = (String::new(), source);
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => string(rest),
            'r' if rest.starts_with("r#\"") => rest[3..].find("\"#").map_or(rest.len(), |end| end + 5),
            // A quotation mark as a character, which begins no string.
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            _ => 0,
        };
        let (skipped, kept) = rest.split_at(skipped);
        code.extend(skipped.matches('\n'));
        if skipped.is_empty() {
            code.push(c);
        }
        rest = if skipped.is_empty() { &kept[c.len_utf8()..] } else { kept };
    }
    code
}

/// How long the string literal is that a source begins with.
fn string(source: &str) -> usize {
    let mut escaped = false;
    for (at, c) in source.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    source.len()
}

/// What a page sets as code, line by line.
fn code_of_page(page: &str) -> String {
    let mut inside = false;
    let kept = page.chars().filter(|c| {
        inside ^= *c == '`';
        *c == '\n' || inside
    });
    kept.collect()
}

fn assert_none(found: &[Finding]) {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), lines.join("\n"));
}

// ── the stories ──

#[test]
fn no_retired_phrase_is_left() -> TestResult {
    let texts = [sources()?, documents()?, texts("wit", ".wit")?, help(&[])?];
    assert!(texts.iter().all(|texts| !texts.is_empty()), "there is nothing to search");
    let found: Vec<_> = texts.iter().flatten().flat_map(|text| search(text, RETIRED_PHRASES, false)).collect();
    assert_none(&found);
    Ok(())
}

#[test]
fn no_retired_name_is_left() -> TestResult {
    let code_of = |texts: Vec<Text>, code: fn(&str) -> String| {
        texts.into_iter().map(move |text| Text { text: code(&text.text), ..text })
    };
    let texts = code_of(sources()?, code).chain(code_of(documents()?, code_of_page));
    let found: Vec<_> = texts.flat_map(|text| search(&text, RETIRED_NAMES, true)).collect();
    assert_none(&found);
    Ok(())
}

#[test]
fn the_help_of_every_command_is_searched() -> TestResult {
    let names: Vec<String> = help(&[])?.into_iter().map(|text| text.name).collect();
    for name in ["ondol", "ondol serve", "ondol handlers", "ondol handlers deploy", "ondol handlers canary promote"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
    Ok(())
}

/// The lines in which a phrase is found.
fn lines(text: &str, retired: &'static str, case_counts: bool) -> Vec<usize> {
    let text = Text { name: "a text".into(), text: text.into() };
    search(&text, &[(retired, "")], case_counts).into_iter().map(|finding| finding.line).collect()
}

#[test]
fn the_search_finds_whole_words_only() {
    assert_eq!(lines("Whoever asks.\nAnd whoever's next, whoever.", "whoever", false), [1, 2, 2]);
    assert_eq!(lines("whoevers, unwhoever, whoever_1", "whoever", false), [0; 0]);
    assert_eq!(lines("struct Desk;\nlet desk = Desktop;", "Desk", true), [1]);
    assert_eq!(lines("match turn { Turn::Yours => 1, Other::Yours => 2 }", "Turn::Yours", true), [1]);
}

#[test]
fn the_search_follows_a_phrase_into_the_next_line_and_not_into_the_next_sentence() {
    assert_eq!(lines("/// It is held\n    /// against it.", "held against", false), [1]);
    assert_eq!(lines("let words = \"it is held \\\n    against it\";", "held against", false), [1]);
    assert_eq!(lines("It is held. Against it speaks", "held against", false), [0; 0]);
}

#[test]
fn a_name_is_searched_in_code_alone() {
    let source = "let a = Desk; // Desk\nlet b = \"a \\\" Desk\";\nlet c = r#\"Desk\"#;\nlet d = ('\"', Desk);";
    assert_eq!(lines(&code(source), "Desk", true), [1, 4]);
    assert_eq!(lines(&code_of_page("A Desk is\na `Desk`.\n```\nDesk\n```\nDesk"), "Desk", true), [2, 4]);
}
