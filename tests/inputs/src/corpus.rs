//! The kept inputs: hand-picked ones, and those at which a property once failed.

/// Texts as people and gateways write them.
#[must_use]
pub fn texts() -> Vec<String> {
    parse(include_str!("../../corpus/texts.json"))
}

/// Frames of a WebSocket, and bodies of requests.
#[must_use]
pub fn frames() -> Vec<String> {
    parse(include_str!("../../corpus/frames.json"))
}

/// Queries of a URL.
#[must_use]
pub fn queries() -> Vec<String> {
    parse(include_str!("../../corpus/queries.json"))
}

/// Config files.
#[must_use]
pub fn configs() -> Vec<String> {
    parse(include_str!("../../corpus/configs.json"))
}

#[allow(clippy::expect_used, reason = "a file that cannot be read should fail the test")]
fn parse(file: &str) -> Vec<String> {
    serde_json::from_str(file).expect("a JSON array of strings")
}
