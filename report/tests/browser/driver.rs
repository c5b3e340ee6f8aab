//! Chromium without a window, driven by chromedriver: the little of WebDriver that the tests need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::hosts::{installed, target};
use serde_json::{Value, json};

/// A browser with one page.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// For its profile, and for what tests keep.
    pub folder: PathBuf,
}

impl Browser {
    /// A browser in this language. Nothing where there is none and none is required.
    pub fn start(test: &str, language: &str) -> Option<Self> {
        let run = installed("chromium/run", "scripts/chromium")?;
        let folder = target()
            .canonicalize()
            .unwrap()
            .join("tmp")
            .join(format!("report-{test}"));
        _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut driver = Command::new(run)
            .args(["timeout", "600", "chromedriver", "--port=0"])
            .env_clear()
            .env("HOME", &folder)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.ok()?;
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("a port");
        // What it says later is not to stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            folder,
        };
        let profile = format!(
            "--user-data-dir={}",
            browser.folder.join("profile").display()
        );
        let answer = browser.post(
            "",
            json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": {
                    "binary": "/usr/lib/chromium/chromium",
                    "args": [
                        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                        "--no-first-run", "--disable-background-networking", "--disable-component-update",
                        format!("--lang={language}"), format!("--accept-lang={language}"), profile,
                    ],
                },
                "goog:loggingPrefs": {"browser": "ALL"},
            }}}),
        );
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    fn post(&self, path: &str, body: Value) -> Value {
        self.request("POST", path, &body.to_string())
    }

    /// What WebDriver answers; its errors are the test's.
    fn request(&self, method: &str, path: &str, body: &str) -> Value {
        let mut path = path.to_owned();
        if !self.session.is_empty() {
            path = format!("/{}{path}", self.session);
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /session{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        for line in stream
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
        {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(
            answer["value"]["error"].is_null(),
            "{method} {path}: {answer}"
        );
        answer["value"].take()
    }

    /// Opens a page.
    pub fn open(&self, page: &Path) {
        self.post("/url", json!({"url": format!("file://{}", page.display())}));
    }

    /// What a script gives back; it waits for promises.
    pub fn run(&self, script: &str) -> Value {
        self.run_with(script, json!([]))
    }

    /// The same, with arguments.
    pub fn run_with(&self, script: &str, arguments: Value) -> Value {
        self.post(
            "/execute/sync",
            json!({"script": script, "args": arguments}),
        )
    }

    /// Clicks what a selector names, as a mouse does.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), json!({}));
    }

    /// Clicks so far from the middle of an element that is in view.
    pub fn click_at(&self, selector: &str, (x, y): (i32, i32)) {
        let id = self.element(selector);
        let move_to = json!({"type": "pointerMove", "duration": 0, "x": x, "y": y,
            "origin": {"element-6066-11e4-a52e-4f735466cecf": id}});
        let steps = json!([move_to, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]);
        self.post(
            "/actions",
            json!({"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]}),
        );
    }

    /// Presses keys where the focus is put first.
    pub fn press(&self, selector: &str, keys: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/value"), json!({"text": keys}));
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "/element",
            json!({"using": "css selector", "value": selector}),
        );
        let id = found.as_object().and_then(|found| found.values().next());
        id.and_then(Value::as_str).expect("an element").to_owned()
    }

    /// Asks Chromium itself.
    pub fn command(&self, name: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": name, "params": params}))
    }

    /// The window's size in pixels of the page.
    pub fn size(&self, width: u32, height: u32) {
        let is_phone = width < 700;
        self.command(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}),
        );
    }

    /// Whether people like it dark.
    pub fn dark(&self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        self.command(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// What the console was told since this was asked last: errors, and what the policy has refused.
    pub fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"}));
        let lines = log.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The page on paper.
    pub fn print(&self) -> Vec<u8> {
        decoded(&self.post("/print", json!({"background": true})))
    }

    /// Keeps a picture of what is seen, or of the whole page, in the test's folder.
    pub fn picture(&self, name: &str, whole: bool) -> PathBuf {
        let picture = match whole {
            false => self.request("GET", "/screenshot", ""),
            true => self.command(
                "Page.captureScreenshot",
                json!({"format": "png", "captureBeyondViewport": true}),
            )["data"]
                .take(),
        };
        let file = self.folder.join(name);
        std::fs::write(&file, decoded(&picture)).unwrap();
        file
    }
}

fn decoded(text: &Value) -> Vec<u8> {
    use base64::Engine;
    let text = text.as_str().expect("base64");
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session, also where a test has failed.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let session = &self.session;
            _ = write!(
                stream,
                "DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            );
            _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            _ = stream.read_to_end(&mut Vec::new());
        }
        // The driver ends with what was started to end it in time.
        _ = Command::new("kill")
            .arg(self.driver.id().to_string())
            .status();
        _ = self.driver.wait();
    }
}
