//! The day of a handler's author: `ondol new` and `ondol dev`. The projects are built with what the workspace has already
//! downloaded, and their dependencies once.

use std::fs;

use anyhow::Context as _;
use ondol_tests::{Client, TestResult, TestServer, User, author::Project, http::Request, ondol};
use serde_json::json;

/// A new handler passes its tests, its cases and the admission checks, with the commands of its README.
fn is_good(world: &str) -> TestResult {
    let project = Project::new("new", world)?;
    let said = project.follow_readme()?;
    assert!(said.contains("test result: ok") && !said.contains("warning"), "{said}");
    assert!(said.contains(" passed, 0 failed") && said.contains("fine   "), "{said}");
    let readme = fs::read_to_string(project.path("README.md"))?;
    let is_filled = readme.contains(&format!("=target/wasm32-wasip2/release/new_{world}.wasm"));
    assert!(is_filled && !readme.contains("{{"), "{readme}");
    Ok(())
}

#[test]
fn a_new_rooms_handler_is_good() -> TestResult {
    is_good("rooms")
}

#[test]
fn a_new_messages_handler_is_good() -> TestResult {
    is_good("messages")
}

#[test]
fn a_new_events_handler_is_good() -> TestResult {
    is_good("events")
}

#[test]
fn a_new_middleware_is_good() -> TestResult {
    is_good("middleware")
}

#[test]
fn a_new_handler_in_another_language_has_what_its_compiler_needs() -> TestResult {
    let home = tempfile::tempdir()?;
    for (lang, world, needed) in [
        ("js", "rooms", &["rooms.js", "package.json", "package-lock.json"][..]),
        ("js", "messages", &["messages.js", "package.json", "package-lock.json"]),
        ("js", "events", &["events.js", "package.json", "package-lock.json"]),
        ("python", "rooms", &["rooms.py", "requirements.txt"]),
        ("python", "messages", &["messages.py", "requirements.txt"]),
        ("python", "events", &["events.py", "requirements.txt"]),
        ("c", "rooms", &["rooms.c", "requirements.txt", "build.sh"]),
        ("c", "middleware", &["middleware.c", "requirements.txt", "build.sh", "behind.sh", "ondol/Cargo.lock"]),
    ] {
        let name = format!("my-{lang}-{world}");
        let path = home.path().join(&name);
        ondol(&["new", &path.display().to_string(), "--lang", lang, "--world", world])?.expect(0)?;
        for file in needed.iter().chain(&["cases.toml", "README.md", "handler.toml", ".gitignore", "wit/worlds.wit"]) {
            let text = fs::read_to_string(path.join(file)).with_context(|| format!("{lang}: {file}"))?;
            assert!(!text.contains("{{") && !text.contains("ondol-messages-javascript"), "{name}: {file}");
        }
        let manifest: toml::Table = fs::read_to_string(path.join("handler.toml"))?.parse()?;
        let behind = if world == "middleware" { "+messages.wasm" } else { "" };
        assert_eq!(manifest["output"].as_str(), Some(&*format!("{name}.wasm{behind}")));
        assert!(!path.join("__pycache__").exists());
        // Nothing of the other handlers.
        let sources = fs::read_dir(&path)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_source = |name: &String| [".js", ".py", ".c"].iter().any(|end| name.ends_with(end));
        assert_eq!(sources.filter(is_source).collect::<Vec<_>>(), [needed[0]], "{name}");
    }
    Ok(())
}

#[test]
fn new_says_what_it_cannot_create() -> TestResult {
    let home = tempfile::tempdir()?;
    let path = |name: &str| home.path().join(name).display().to_string();
    fs::create_dir(path("there"))?;
    for (name, flags, parts) in [
        ("there", &["--world", "rooms"][..], &["there exists already"][..]),
        ("My_Rooms", &["--world", "rooms"], &["lower-case", "My_Rooms"]),
        ("no/such/directory", &["--world", "rooms"], &["cannot create"]),
        ("x", &["--world", "doors"], &["doors", "rooms, messages, events"]),
        ("x", &["--world", "rooms", "--lang", "cobol"], &["cobol", "rust"]),
        ("x", &["--world", "middleware", "--lang", "python"], &["middleware in python", "rooms, messages, events"]),
        ("x", &["--world", "events", "--lang", "c"], &["events in c", "there are rooms, middleware"]),
        ("x", &[], &["--world"]),
    ] {
        ondol(&[&["new", &path(name)], flags].concat())?.expect_parts(2, parts)?;
    }
    assert_eq!(fs::read_dir(home.path())?.count(), 1, "nothing is left behind");
    Ok(())
}

#[tokio::test]
async fn a_save_changes_a_live_chat_once_it_is_good() -> TestResult {
    let project = Project::new("live", "events")?;
    project.build()?;
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let dev = project.dev(&["--admin", server.admin_address()?])?;
    dev.active_since(0).await?;
    ann.say("a warm :ondol:").await?;
    ann.expect_message("a warm ♨").await?;

    // The case still expects the old emoji.
    let mark = dev.log.mark();
    project.edit("src/lib.rs", "♨", "★")?;
    dev.log.line_since(mark, &["rejected at the check `cases`"]).await?;
    dev.log.line_since(mark, &[":ondol: is shown as an emoji", "expected", "a warm ♨", "a warm ★"]).await?;
    ann.say("still :ondol:").await?;
    ann.expect_message("still ♨").await?;

    let mark = dev.log.mark();
    project.edit("cases.toml", "♨", "★")?;
    dev.active_since(mark).await?;
    ann.say("now :ondol:").await?;
    ann.expect_message("now ★").await?;

    // What it prints in the running server, and its faults, are shown here.
    let mark = dev.log.mark();
    project.edit("src/lib.rs", "fn shown(text: &str", "fn shown(text: &str, emoji: &str) -> String {\n    println!(\"a line of its own\");\n    assert_ne!(text, \"a trap\", \"as it was asked\");\n    shown_as(text, emoji)\n}\n\nfn shown_as(text: &str")?;
    dev.active_since(mark).await?;
    ann.say("a line").await?;
    ann.expect_message("a line").await?;
    dev.log.line_since(mark, &["events", "a line of its own"]).await?;
    ann.say("a trap").await?;
    dev.log.line_since(mark, &["FAULT failed", "as it was asked"]).await?;
    ann.expect_message("a trap").await?;
    project.edit("src/lib.rs", "fn shown_as(text: &str", "fn shown_as(text: &Str")?;
    let mark = dev.log.mark();
    dev.log.line_since(mark, &["cannot find type `Str`"]).await?;
    dev.log.line_since(mark, &["the build failed; the active version is unchanged"]).await?;
    ann.say("and :ondol:").await?;
    ann.expect_message("and ★").await?;

    let mark = dev.log.mark();
    project.edit("handler.toml", "handler = ", "handle = ")?;
    dev.log.line_since(mark, &["handler.toml"]).await?;
    ann.expect_nothing_before("the end").await?;
    Ok(())
}

#[tokio::test]
async fn dev_starts_a_server_and_shows_what_the_handler_prints() -> TestResult {
    let project = Project::new("own", "rooms")?;
    project.build()?;
    let dev = project.dev(&["--listen", "127.0.0.1:0"])?;
    let address = dev.address().await?;
    let ann = User::named("ann");
    let create = async |name: &str| {
        let request = Request::new(&address, "POST", "/chat/v1/create-room/").identity(&ann);
        request.json(json!({"name": name}).to_string()).send().await
    };
    let room = create("lobby").await?.expect(201)?;
    assert_eq!(room["name"], "♨ lobby");
    Client::open(&address, room["id"].as_u64().unwrap(), &ann).await?.expect_join("ann").await?;

    let mark = dev.log.mark();
    project.edit("src/lib.rs", "let wanted =", "println!(\"a line of its own\");\n    let wanted =")?;
    dev.active_since(mark).await?;
    create("kitchen").await?.expect(201)?;
    dev.log.line_since(mark, &["a line of its own"]).await?;

    let mark = dev.log.mark();
    project.edit(
        "src/lib.rs",
        "let wanted =",
        "assert_ne!(request.name.as_deref(), Some(\"cellar\"), \"no light\");\n    let wanted =",
    )?;
    dev.active_since(mark).await?;
    create("cellar").await?.expect(503)?;
    dev.log.line_since(mark, &["no light"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_of_its_own_has_the_other_handlers_built_in() -> TestResult {
    for world in ["events", "messages"] {
        let project = Project::new(&format!("alone-{world}"), world)?;
        project.build()?;
        let dev = project.dev(&["--listen", "127.0.0.1:0"])?;
        let address = dev.address().await?;
        let ann = User::named("ann");
        let create = Request::new(&address, "POST", "/chat/v1/create-room/").identity(&ann);
        let room = create.json(json!({"name": "lobby"}).to_string()).send().await?.expect(201)?;
        let mut member = Client::open(&address, room["id"].as_u64().unwrap(), &ann).await?;
        member.expect_join("ann").await?;
        member.say("hi").await?;
        member.expect_message("hi").await?;
    }
    Ok(())
}
