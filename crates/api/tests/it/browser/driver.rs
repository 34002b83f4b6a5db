//! A headless Chromium, driven over WebDriver.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// With this, tests in a browser run, and fail where Chromium is missing.
const REQUIRE: &str = "LARDER_REQUIRE_CHROMIUM";
/// How long something on the page is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tab and Enter, as WebDriver writes them.
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';

/// Whether to skip `test`: it was not asked for.
pub(crate) fn skip_without_chromium(test: &str) -> bool {
    if std::env::var_os(REQUIRE).is_none() {
        eprintln!("SKIPPED {test}: it takes minutes in a browser (make test-dashboard runs it)");
        return true;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    let missing: Vec<&str> =
        ["chromium", "chromedriver"].into_iter().filter(|name| !there(name)).collect();
    assert!(missing.is_empty(), "{REQUIRE} is set, and {missing:?} missing");
    false
}

/// A browser with one page, and what it has done. Its processes end with it.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Child,
    _profile: TempDir,
}

/// A command of Chromium's own: its logs, and its DevTools.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        let session = session.expect("a session was begun");
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// Opens `url` in a window that is `width` pixels wide.
    pub(crate) async fn open(url: &str, width: u32) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("chromedriver");
        // A group of its own, so that the browser's processes can be ended with it.
        command.arg("--port=0").process_group(0).stdin(Stdio::null()).stderr(Stdio::null());
        let mut driver = command.stdout(Stdio::piped()).spawn().expect("the driver starts");
        let port = port(&mut driver);
        let capabilities = json!({
            "goog:chromeOptions": { "args": [
                "--headless=new",
                // Tests may run as root, which the sandbox refuses.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--hide-scrollbars",
                format!("--window-size={width},1203"),
                format!("--user-data-dir={}", profile.path().display()),
            ] },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let driver_url = format!("http://127.0.0.1:{port}");
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver_url)
            .await
            .expect("Chromium starts");
        let browser = Self { client, driver, _profile: profile };
        browser.client.goto(url).await.expect("the page loads");
        browser
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.expect("the script runs")
    }

    /// Waits until a script returns true.
    pub(crate) async fn until(&self, what: &str, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        let script = format!("return {condition};");
        while self.run(&script).await != true {
            if Instant::now() > deadline {
                let shown = self.run("return document.body.innerText;").await;
                panic!("not within {PATIENCE:?}: {what}; the page shows {shown}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the element `id` shows.
    pub(crate) async fn text(&self, id: &str) -> String {
        let element = self.client.find(Locator::Id(id)).await.expect("the element is there");
        element.text().await.expect("it has a text")
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: impl IntoIterator<Item = char>) {
        let actions = keys.into_iter().fold(KeyActions::new("keyboard".into()), |actions, key| {
            actions.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key })
        });
        self.client.perform_actions(actions).await.expect("the keys are pressed");
    }

    /// Presses Tab until the focus is on the element `id`.
    pub(crate) async fn tab_to(&self, id: &str) {
        for _ in 0..40 {
            if self.run("return document.activeElement.id;").await == id {
                return;
            }
            self.press([TAB]).await;
        }
        panic!("{id} cannot be reached by Tab");
    }

    /// A command of Chromium's DevTools.
    pub(crate) async fn devtools(&self, cmd: &str, params: Value) {
        let body = json!({ "cmd": cmd, "params": params });
        let command = Own { path: "goog/cdp/execute", body };
        self.client.issue_cmd(command).await.expect("Chromium knows the command");
    }

    /// Makes the page that of a phone.
    pub(crate) async fn be_a_phone(&self) {
        let screen = json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Sets what the system prefers: `light` or `dark`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }

    /// What the page has said on the console.
    pub(crate) async fn console(&self) -> Vec<Value> {
        self.log("browser").await
    }

    /// The addresses that pages of `site` have asked for.
    pub(crate) async fn requests(&self, site: &str) -> Vec<String> {
        let messages = self.log("performance").await.into_iter().map(|entry| {
            let text = entry["message"].as_str().expect("a message").to_owned();
            let message: Value = serde_json::from_str(&text).expect("JSON");
            message["message"].clone()
        });
        // Chromium's own first page asks for things, too.
        let of_site = |message: &Value| {
            message["params"]["documentURL"].as_str().is_some_and(|url| url.starts_with(site))
        };
        messages
            .filter(|message| message["method"] == "Network.requestWillBeSent")
            .filter(of_site)
            .map(|message| message["params"]["request"]["url"].as_str().unwrap_or("").to_owned())
            .collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let command = Own { path: "se/log", body: json!({ "type": kind }) };
        let log = self.client.issue_cmd(command).await.expect("Chromium has this log");
        log.as_array().expect("a list").clone()
    }

    /// Keeps what the page looks like as `target/screenshots/<name>.png`.
    pub(crate) async fn picture(&self, name: &str) -> PathBuf {
        let image = self.client.screenshot().await.expect("a picture");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
            PathBuf::from,
        );
        let folder = target.join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, image).expect("a file");
        file
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process_group(group.expect("a process id"), Signal::KILL);
        let _ = self.driver.wait();
    }
}

/// The port that the driver says it has taken.
fn port(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("its output is a pipe");
    let mut said = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.expect("text");
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().expect("a port");
        }
        writeln!(said, "{line}").expect("writing to a String cannot fail");
    }
    panic!("the driver has not started: {said}");
}
