//! What a tab is given beside a mouse and keys: files, a colour scheme, a script of a test's own; and what is read of it beside
//! its page: cookies.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Tab;

impl Tab {
    /// Chooses files in the file input that fits a selector.
    ///
    /// # Errors
    /// When there is no such input.
    pub async fn choose_files(&mut self, selector: &str, files: &[&Path]) -> Result<()> {
        // A browser takes no path with dots.
        let files = files.iter().map(fs::canonicalize).collect::<Result<Vec<_>, _>>()?;
        let question = json!({"expression": format!("document.querySelector({})", json!(selector))});
        let found = self.wire.call("Runtime.evaluate", question).await?;
        let input = found["result"]["objectId"].as_str().with_context(|| format!("no {selector}"))?;
        self.wire.call("DOM.setFileInputFiles", json!({"files": files, "objectId": input})).await.map(drop)
    }

    /// Drops a file onto the middle of the first element that fits a selector, as a mouse would.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn drop_file(&mut self, selector: &str, file: &Path) -> Result<()> {
        let place = self
            .evaluate(&format!(
                "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
                 const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
                json!(selector)
            ))
            .await?;
        let file = fs::canonicalize(file)?;
        let data = json!({"items": [], "files": [file], "dragOperationsMask": 1});
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "data": data});
            self.wire.call("Input.dispatchDragEvent", event).await?;
        }
        Ok(())
    }

    /// Makes the system prefer a colour scheme: `light` or `dark`.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn prefer(&mut self, scheme: &str) -> Result<()> {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.wire.call("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// The cookies that the browser would send to the tab's page.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn cookies(&mut self) -> Result<Vec<Value>> {
        let got = self.wire.call("Network.getCookies", json!({})).await?;
        got["cookies"].as_array().cloned().context("no cookies")
    }

    /// What axe-core finds serious or critical in the page, with the elements. The script of axe-core is put into the page
    /// past its content security policy.
    ///
    /// # Errors
    /// When the script cannot be read, or throws.
    pub async fn accessibility_faults(&mut self, axe: &Path) -> Result<Vec<String>> {
        let script = fs::read_to_string(axe).with_context(|| format!("{}", axe.display()))?;
        self.evaluate(&format!("{script}; 0")).await?;
        let found = self
            .evaluate(
                "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map((v) => \
                 [v.impact, `${v.impact}: ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(' | ')}`]))",
            )
            .await?;
        let found: Vec<(String, String)> = serde_json::from_value(found)?;
        Ok(found
            .into_iter()
            .filter(|(impact, _)| matches!(&**impact, "serious" | "critical"))
            .map(|(_, what)| what)
            .collect())
    }

    /// Draws the whole page, beyond the window, into a PNG file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn screenshot_whole(&mut self, file: &Path) -> Result<()> {
        let metrics = self.wire.call("Page.getLayoutMetrics", json!({})).await?;
        let size = &metrics["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let question = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let drawn = self.wire.call("Page.captureScreenshot", question).await?;
        let data = drawn["data"].as_str().context("no picture")?;
        fs::write(file, data_encoding::BASE64.decode(data.as_bytes())?)?;
        ensure!(fs::metadata(file)?.len() > 0, "an empty picture");
        Ok(())
    }
}
