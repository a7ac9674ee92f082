//! The documents for tools: the server is held to docs/openapi.yaml and docs/asyncapi.yaml.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};
use ondol_tests::{
    Client, TestResult, TestServer, User,
    handlers::{target, workspace},
    signing,
};
use serde_json::{Value, json};

use crate::keeping::delete;

/// The schema of AsyncAPI documents.
const SCHEMA: &str = "node_modules/@asyncapi/specs/schemas/3.0.0.json";

/// A tool below `target/tools`, where `.ci/run` installs it, or on the path. None when it is missing: then the story is named
/// as skipped, except under CI, where that is an error.
pub(crate) fn tool(story: &str, file: &str) -> TestResult<Option<PathBuf>> {
    let name = PathBuf::from(file);
    let name = name.file_name().context("no name")?;
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let found = [target().join("tools").join(file)].into_iter().chain(on_path.map(|place| place.join(name)));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        ensure!(std::env::var_os("CI").is_none(), "{story}: no {file}, and CI is set");
        eprintln!("skipped: {story}: no {file}");
    }
    Ok(found)
}

#[tokio::test]
async fn schemathesis_finds_no_difference_between_server_and_document() -> TestResult {
    let story = "schemathesis_finds_no_difference_between_server_and_document";
    let Some(schemathesis) = tool(story, "bin/schemathesis")? else { return Ok(()) };
    let server = TestServer::start().await?;
    let home = tempfile::tempdir()?;
    let mut command = Command::new(schemathesis);
    command.arg("--config-file").arg(workspace().join("tests/schemathesis.toml"));
    command.arg("run").arg(workspace().join("docs/openapi.yaml"));
    command.args(["--url", &format!("http://{}", server.address())]).current_dir(home.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && told.contains("No issues found"), "{told}");
    ensure!(told.contains("Operations:       7 selected / 7 total"), "{told}");
    Ok(())
}

/// Runs `tests/asyncapi.py` on a document and the frames of a server.
fn check_frames(python: &Path, schema: &Path, document: &Path, frames: &[Value]) -> TestResult<Output> {
    let input = tempfile::NamedTempFile::new()?;
    fs::write(input.path(), frames.iter().map(|frame| format!("{frame}\n")).collect::<String>())?;
    let script = workspace().join("tests/asyncapi.py");
    let mut command = Command::new(python);
    command.arg(script).arg(document).arg(schema).arg("toClient").stdin(fs::File::open(input.path())?);
    Ok(command.output()?)
}

#[tokio::test]
async fn each_frame_is_one_of_the_asyncapi_document_and_each_of_those_is_sent() -> TestResult {
    let story = "each_frame_is_one_of_the_asyncapi_document_and_each_of_those_is_sent";
    let (Some(python), Some(schema)) = (tool(story, "bin/python3")?, tool(story, SCHEMA)?) else { return Ok(()) };
    let key = format!("keys=k=HS256:{}", signing::key_file("hs256.secret").display());
    let setup = TestServer::setup().admin().config("heartbeats = true");
    let setup =
        ["mode=jwt", "leeway_s=0", &key].iter().fold(setup, |setup, value| setup.flag("--identity").flag(*value));
    let server = setup.start().await?;
    let bearer = |user: &str, seconds: u64| -> TestResult<String> {
        let mut claims = signing::claims(&User::named(user));
        claims["exp"] = json!(signing::now() + seconds);
        Ok(format!("Bearer {}", signing::token("HS256", &claims)?))
    };
    let create =
        server.request("POST", "/chat/v1/create-room/").json("{}").header("Authorization", bearer("ann", 600)?);
    create.send().await?.expect(201)?;
    let join = async |user: &str, seconds: u64| -> TestResult<Client> {
        server.knock("/ws/chat/1/chat/", &[("Authorization", &bearer(user, seconds)?)]).await?.opened()
    };
    let mut ann = join("ann", 600).await?;
    let bob = join("bob", 10).await?;
    let token = signing::token("HS256", &signing::claims(&User::named("ann")))?;
    for frame in [
        json!({"type": "chat.message", "message": "안녕하세요", "client_id": "a1"}),
        json!({"type": "chat.message", "message": "again", "parent": "1"}),
        json!({"type": "chat.message", "message": ""}),
        json!({"type": "chat.message", "message": "x", "parent": 99, "client_id": "a2"}),
        json!({"type": "dance"}),
        json!({"type": "ping"}),
        json!({"type": "chat.token", "token": "garbage"}),
        json!({"type": "chat.token", "token": token}),
    ] {
        ann.send(frame.to_string()).await?;
    }

    let fay = &[("Authorization", &*bearer("fay", 600)?)];
    let mut fay = server.knock("/ws/chat/1/chat/?after=0", fay).await?.opened()?;
    let sync = fay.next_json().await?;
    while delete(&server, 1, 1).await?.status == 404 {}

    // Ann sees all but the notice of the end of Bob's token, which ends his socket as well.
    let mut frames = vec![sync];
    for (mut client, last) in [(bob, "chat.token.expires"), (ann, "chat.user.leave")] {
        while frames.last().is_none_or(|frame: &Value| frame["type"] != last) {
            frames.push(client.next_json().await?);
        }
    }
    let document = workspace().join("docs/asyncapi.yaml");
    let output = check_frames(&python, &schema, &document, &frames)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let mut lines = told.lines().map(serde_json::from_str::<Vec<String>>);
    let mut unseen = lines.next().context("no messages")??;
    for (frame, names) in frames.iter().zip(lines) {
        let names = names?;
        ensure!(!names.is_empty(), "the document has no such frame: {frame}");
        unseen.retain(|name| !names.contains(name));
    }
    assert_eq!(unseen, Vec::<String>::new());

    let broken = tempfile::NamedTempFile::new()?;
    fs::write(broken.path(), fs::read_to_string(&document)?.replace("address: /ws", "adress: /ws"))?;
    assert!(!check_frames(&python, &schema, broken.path(), &frames)?.status.success(), "it is no AsyncAPI document");
    Ok(())
}
