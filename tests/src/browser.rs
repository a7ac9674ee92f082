//! A real browser, driven over the Chrome DevTools Protocol: tabs, keys, an input method, the network pulled out. Knows
//! the protocol and nothing of the page.
//!
//! <https://chromedevtools.github.io/devtools-protocol/> names the calls.
#![allow(clippy::indexing_slicing, reason = "a JSON value without the key gives null, which the next step refuses")]

mod inputs;

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::deadline::{until, within};

/// Browsers at once: each is a dozen processes, and the other stories want to run too.
static TURNS: Semaphore = Semaphore::const_new(2);

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const FLAGS: [&str; 15] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--remote-debugging-port=0",
    // Names for this machine (RFC 2606), so that a page can be one of another site.
    "--host-resolver-rules=MAP *.example 127.0.0.1",
];

/// A headless Chromium with a profile of its own. Killed when the story ends.
#[derive(Debug)]
pub struct Browser {
    _home: Home,
    address: String,
    wire: Wire,
    _turn: SemaphorePermit<'static>,
}

/// One tab: a window of its own, with a session storage of its own.
#[derive(Debug)]
pub struct Tab {
    wire: Wire,
}

impl Browser {
    /// Starts the browser that `CHROMIUM` names, or the first that is on the path. None when there is none: then
    /// `story` is named as skipped, except under CI, where that is an error.
    ///
    /// # Errors
    /// When it does not start, or is missing where it must not be.
    pub async fn start(story: &str) -> Result<Option<Self>> {
        let Some(program) = find() else {
            ensure!(env::var_os("CI").is_none(), "{story}: no chromium on PATH, and CI is set");
            eprintln!("skipped: {story}: no chromium on PATH");
            return Ok(None);
        };
        let turn = TURNS.acquire().await?;
        let profile = TempDir::with_prefix("ondol-browser-")?;
        let process = Command::new(&program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("TMPDIR", profile.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let home = Home { process, profile };
        let port_file = home.profile.path().join("DevToolsActivePort");
        let told = until("the browser's port", async || {
            fs::read_to_string(&port_file).ok().filter(|text| text.lines().count() == 2)
        })
        .await?;
        let (port, path) = told.split_once('\n').context("no port")?;
        let address = format!("127.0.0.1:{port}");
        let wire = Wire::open(&address, path.trim()).await?;
        Ok(Some(Self { _home: home, address, wire, _turn: turn }))
    }

    /// Opens an address in a new tab of a browser in English, and awaits that it is loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&mut self, url: &str) -> Result<Tab> {
        self.open_in("en-US", url).await
    }

    /// Opens an address in a new tab of a browser that prefers `languages`, such as `ko-KR,en`, and awaits that it is
    /// loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open_in(&mut self, languages: &str, url: &str) -> Result<Tab> {
        let made = self.wire.call("Target.createTarget", json!({"url": "about:blank"})).await?;
        let target = made["targetId"].as_str().context("no target")?;
        let mut tab = Tab { wire: Wire::open(&self.address, &format!("/devtools/page/{target}")).await? };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.wire.call(&format!("{domain}.enable"), json!({})).await?;
        }
        let version = self.wire.call("Browser.getVersion", json!({})).await?;
        let agent = json!({"userAgent": version["userAgent"], "acceptLanguage": languages});
        tab.wire.call("Emulation.setUserAgentOverride", agent).await?;
        // A tab behind another believes that it is in front.
        tab.wire.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await?;
        tab.go(url).await?;
        Ok(tab)
    }
}

impl Tab {
    /// Goes to an address, and awaits that it is loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn go(&mut self, url: &str) -> Result<()> {
        let went = self.wire.call("Page.navigate", json!({"url": url})).await?;
        ensure!(went.get("errorText").is_none(), "{url}: {}", went["errorText"]);
        self.until(&format!("location.href.startsWith({}) && document.readyState === 'complete'", json!(url))).await
    }

    /// Runs a script in every page that the tab loads from now on, before the page's own scripts.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn before_each_page(&mut self, script: &str) -> Result<()> {
        self.wire.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await.map(drop)
    }

    /// Loads the page anew.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn reload(&mut self) -> Result<()> {
        self.evaluate("window.isOld = true").await?;
        self.wire.call("Page.reload", json!({})).await?;
        self.until("!window.isOld && document.readyState === 'complete'").await
    }

    /// What a JavaScript expression gives, awaited if it is a promise.
    ///
    /// # Errors
    /// When it throws.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let question = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.wire.call("Runtime.evaluate", question).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{expression} threw {thrown}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// Awaits that a JavaScript expression gives something true.
    ///
    /// # Errors
    /// When it does not in time; with what the page shows then.
    pub async fn until(&mut self, expression: &str) -> Result<()> {
        let look = format!("!!({expression})");
        let came = until(expression, async || {
            let seen = self.evaluate(&look).await;
            matches!(seen, Ok(Value::Bool(true))).then_some(())
        })
        .await;
        if let Err(error) = came {
            let shown = self.evaluate("document.body.innerText").await.unwrap_or_default();
            bail!("{error}; the page shows: {shown}; complaints: {:?}", self.wire.complaints);
        }
        Ok(())
    }

    /// The texts of all elements that fit a selector, in their order.
    ///
    /// # Errors
    /// When the selector is none.
    pub async fn texts(&mut self, selector: &str) -> Result<Vec<String>> {
        let found = self
            .evaluate(&format!("[...document.querySelectorAll({})].map((e) => e.textContent)", json!(selector)))
            .await?;
        Ok(serde_json::from_value(found)?)
    }

    /// Clicks the middle of the first element that fits a selector, as a mouse would.
    ///
    /// # Errors
    /// When there is none in view.
    pub async fn click(&mut self, selector: &str) -> Result<()> {
        let find = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'nearest' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2, r.width]; }})()",
            json!(selector)
        );
        let place = self.evaluate(&find).await?;
        ensure!(place[2].as_f64().is_some_and(|width| width > 0.0), "{selector} is not in view");
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.wire.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Puts text into a field in place of what is there, as a keyboard without an input method would.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn fill(&mut self, selector: &str, text: &str) -> Result<()> {
        self.evaluate(&format!("(e => {{ e.focus(); e.select(); }})(document.querySelector({}))", json!(selector)))
            .await?;
        self.wire.call("Input.insertText", json!({"text": text})).await.map(drop)
    }

    /// Presses and lets go of Enter.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn enter(&mut self) -> Result<()> {
        for (kind, text) in [("keyDown", "\r"), ("keyUp", "")] {
            let event =
                json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": text});
            self.wire.call("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Shows an unfinished syllable in the field that has the focus, as an input method does.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn compose(&mut self, syllable: &str) -> Result<()> {
        let end = syllable.encode_utf16().count();
        let event = json!({"text": syllable, "selectionStart": end, "selectionEnd": end});
        self.wire.call("Input.imeSetComposition", event).await.map(drop)
    }

    /// Presses Enter as it reaches a page while an input method takes it for itself.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn enter_for_the_input_method(&mut self) -> Result<()> {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229});
            self.wire.call("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Finishes the syllable.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn finish_composing(&mut self, syllable: &str) -> Result<()> {
        self.wire.call("Input.insertText", json!({"text": syllable})).await.map(drop)
    }

    /// Gives the window a size in CSS pixels; a narrow one is a phone's.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.wire.call("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// Pulls out the network, or puts it back.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn offline(&mut self, offline: bool) -> Result<()> {
        let network = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.wire.call("Network.emulateNetworkConditions", network).await.map(drop)
    }

    /// Draws the tab into a PNG file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn screenshot(&mut self, file: &Path) -> Result<()> {
        let drawn = self.wire.call("Page.captureScreenshot", json!({"format": "png"})).await?;
        let data = drawn["data"].as_str().context("no picture")?;
        fs::write(file, data_encoding::BASE64.decode(data.as_bytes())?)?;
        Ok(())
    }

    /// Holds that no script has thrown and that the page kept to its own content security policy.
    ///
    /// # Errors
    /// With each complaint.
    pub fn expect_no_complaint(&self) -> Result<()> {
        ensure!(self.wire.complaints.is_empty(), "the page complains: {:?}", self.wire.complaints);
        Ok(())
    }
}

/// One DevTools connection: a call, its answer, and in between what the page complained about.
#[derive(Debug)]
struct Wire {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
    complaints: Vec<String>,
}

impl Wire {
    async fn open(address: &str, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = within("the browser", client_async(format!("ws://{address}{path}"), stream)).await??;
        Ok(Self { socket, calls: 0, complaints: Vec::new() })
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let question = json!({"id": id, "method": method, "params": params});
        self.socket.send(Message::text(question.to_string())).await?;
        within(method, async {
            loop {
                let said = self.socket.next().await.ok_or_else(|| anyhow!("the browser is gone"))??;
                let Message::Text(text) = said else { continue };
                let mut said: Value = serde_json::from_str(&text)?;
                if said["id"] == id {
                    ensure!(said.get("error").is_none(), "{method}: {}", said["error"]);
                    return Ok(said["result"].take());
                }
                self.complaints.extend(complaint(&said));
            }
        })
        .await?
    }
}

/// What a page did wrong, if that is what a DevTools event tells.
fn complaint(event: &Value) -> Option<String> {
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(event["params"]["exceptionDetails"].to_string()),
        "Log.entryAdded" if event["params"]["entry"]["source"] == "security" => {
            Some(event["params"]["entry"]["text"].to_string())
        }
        _ => None,
    }
}

/// The browser's processes, all of one group, and where they write. They end together, and then it is removed; again,
/// if one was still writing.
#[derive(Debug)]
struct Home {
    process: Child,
    profile: TempDir,
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL -{}", self.process.id())]).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = (0..100).any(|_| fs::remove_dir_all(self.profile.path()).is_ok());
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    NAMES.iter().flat_map(|name| env::split_paths(&path).map(move |place| place.join(name))).find(|file| file.is_file())
}
