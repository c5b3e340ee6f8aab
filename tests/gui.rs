//! The plugin in Stratoshark's window, on a display of its own: `scripts/test --gui`.
//!
//! What the window shows is read off its picture. The pictures stay in target/tmp/hosts-gui.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::aws::Aws;
use harness::hosts::{Hosts, built};
use harness::needs::skip;
use harness::sample;

/// A display, and the programs on it.
struct Screen {
    hosts: Hosts,
    display: String,
    programs: Vec<Child>,
    /// Pixels of the display for one of the window.
    scale: u32,
}

/// A part of the capture dialog's title.
const DIALOG: &str = "Interface Options";

impl Screen {
    fn new(hosts: Hosts) -> Self {
        let display = format!(":{}", 100 + std::process::id() % 900);
        let mut screen = Self {
            hosts,
            display,
            programs: vec![],
            scale: 2,
        };
        let display = screen.display.clone();
        screen.start(&[
            "Xvfb",
            &display,
            "-screen",
            "0",
            "2560x1600x24",
            "-nolisten",
            "tcp",
        ]);
        screen.until("a display", |screen| {
            screen.tool(&["xdotool", "getmouselocation"]).is_some()
        });
        screen.start(&["openbox"]);
        screen
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // The display lives as long as the test.
        let mut command = self.hosts.command_within(900, arguments);
        command
            .env("DISPLAY", &self.display)
            .env("QT_QPA_PLATFORM", "xcb")
            // Large enough to be read off the picture.
            .env("QT_SCALE_FACTOR", self.scale.to_string())
            .env("XDG_RUNTIME_DIR", &self.hosts.folder);
        command
    }

    fn start(&mut self, arguments: &[&str]) {
        let child = self
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.programs.push(child.unwrap());
    }

    /// Start Stratoshark, and give its window the whole display.
    fn stratoshark(&mut self, arguments: &[&str]) {
        self.start(&[&["stratoshark"], arguments].concat());
        self.until("a window", |screen| {
            screen.windows("Stratoshark|Falco|scap").is_some()
        });
        sleep(Duration::from_secs(2));
        let windows = self.windows("Stratoshark|Falco|scap").unwrap();
        let window = windows.lines().next_back().unwrap();
        self.tool(&[
            "xdotool",
            "windowmove",
            window,
            "0",
            "22",
            "windowsize",
            window,
            "2560",
            "1510",
        ]);
    }

    /// End what was started last.
    fn stop(&mut self) {
        let mut program = self.programs.pop().unwrap();
        // Its own end, for `timeout` hands it on to the program.
        _ = Command::new("kill").arg(program.id().to_string()).status();
        _ = program.wait();
    }

    /// What a tool prints, if it succeeds.
    fn tool(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command(arguments).output().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Wait for a window of this name; its number.
    fn window(&self, name: &str) -> String {
        self.until(name, |screen| screen.windows(name).is_some());
        let windows = self.windows(name).unwrap();
        windows.lines().next_back().unwrap().to_owned()
    }

    fn windows(&self, name: &str) -> Option<String> {
        self.tool(&["xdotool", "search", "--onlyvisible", "--name", name])
    }

    /// How high the capture dialog is, in pixels.
    fn dialog_height(&self) -> u32 {
        let windows = self.windows(DIALOG).unwrap();
        let window = windows.lines().next().unwrap();
        let shown = self
            .tool(&["xdotool", "getwindowgeometry", "--shell", window])
            .unwrap();
        let height = shown.split("HEIGHT=").nth(1).unwrap();
        height.lines().next().unwrap().trim().parse().unwrap()
    }

    /// Click where it is on a display of 1280 by 800.
    fn click(&self, x: u32, y: u32) {
        // Below the window's title, which does not grow.
        let [x, y] = [self.scale * x, 22 + self.scale * (y - 22)].map(|at| at.to_string());
        self.tool(&["xdotool", "mousemove", &x, &y, "click", "1", "sleep", "1"])
            .unwrap();
    }

    fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.tool(&["xdotool", "key", key, "sleep", "1"]).unwrap();
        }
    }

    /// Wait until the display shows all of these words, and keep a picture of it.
    fn shows(&self, picture: &str, words: &[&str]) {
        let picture = format!("{picture}.png");
        self.until(&format!("{picture}: {words:?}"), |screen| {
            // They fail now and then on a busy machine.
            let read = screen
                .tool(&["scrot", "--overwrite", &picture])
                .and_then(|_| screen.tool(&["tesseract", &picture, "-", "--psm", "11"]));
            let read = read.unwrap_or_default();
            let read: String = read.split_whitespace().collect();
            words
                .iter()
                .all(|words| read.contains(&words.replace(' ', "")))
        });
    }

    fn until(&self, what: &str, there: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !there(self) {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "there is not: {what}"
            );
            sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        while !self.programs.is_empty() {
            self.stop();
        }
    }
}

#[test]
fn stratoshark_shows_a_trail() {
    if env::var_os("CLOUDTRAIL_GUI").is_none() {
        skip("scripts/test --gui runs it");
        return;
    }
    let Some(hosts) = Hosts::new("gui") else {
        return;
    };
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let built = built();
    hosts.stdout(&["bash", install.to_str().unwrap(), built.to_str().unwrap()]);
    let aws = Aws::start();
    for file in sample::files() {
        file.put(&aws, "sample-trail");
    }
    let endpoint = format!("extcap.cloudtrail.cloudtrailawsendpoint:{}", aws.endpoint());
    hosts.run_lua_scripts();
    let mut screen = Screen::new(hosts);
    let profile = [
        "-C",
        "CloudTrail Analysis",
        // The first events stay in sight.
        "-o",
        "capture.auto_scroll:FALSE",
        "-i",
        "cloudtrail",
        "-k",
        "-o",
        &endpoint,
        "-o",
    ];

    // The dialog, by the gear beside the interface.
    screen.stratoshark(&[]);
    screen.shows("start", &["Enter a capture filter"]);
    screen.click(73, 255);
    screen.shows(
        "dialog",
        &[
            "Log data URL",
            "Profile",
            "Region",
            "Time interval",
            "Other settings",
        ],
    );
    screen.stop();
    // It neither scrolls nor shrinks, and has to fit on a display of 1366 by 768.
    screen.scale = 1;
    screen.stratoshark(&[]);
    screen.click(73, 255);
    screen.until("a dialog", |screen| screen.windows(DIALOG).is_some());
    let height = screen.dialog_height();
    assert!((300..=680).contains(&height), "{height} pixels");
    screen.stop();
    screen.scale = 2;

    // What is wrong is said in a dialog.
    screen.stratoshark(
        &[
            &profile[..],
            &["extcap.cloudtrail.pluginsource:s3://no-such-bucket/AWSLogs/"],
        ]
        .concat(),
    );
    screen.shows(
        "error",
        &[
            "listing s3://no-such-bucket/AWSLogs/",
            "there is no such bucket",
        ],
    );
    screen.stop();

    // And what was lost.
    aws.put(
        "lossy",
        "AWSLogs/123456789012/CloudTrail/us-east-1/2024/03/06/123456789012_CloudTrail_us-east-1_20240306T0015Z_q7RkTz0dLwPfX3vB.json.gz",
        b"no gzip and no JSON",
    );
    sample::files()[0].put(&aws, "lossy");
    screen.stratoshark(
        &[
            &profile[..],
            &["extcap.cloudtrail.pluginsource:s3://lossy/AWSLogs/"],
        ]
        .concat(),
    );
    screen.shows(
        "loss",
        &["file could not be read", "it has 15 bytes that are not"],
    );
    screen.stop();

    // A capture file, in which sessions are followed as well.
    let endpoint_option = aws.endpoint();
    let options = ["--cloudtrail-aws-endpoint", &endpoint_option];
    let saved = screen
        .hosts
        .falcodump("s3://sample-trail/AWSLogs/", "sample.scap", &options);
    assert!(saved.status.success(), "{saved:?}");
    let whose = r#"ct.origin == "backup-service""#;
    let count = |filter| {
        let strato = ["strato", "-r", "sample.scap", "-Y", filter];
        screen.hosts.stdout(&strato).lines().count()
    };
    let displayed = count(whose);
    // A role's session is among them.
    assert_eq!(displayed, count(r#"ct.user == "backup-service""#) + 1);
    let displayed = format!("Displayed: {displayed}");
    screen.stratoshark(&[
        "-C",
        "CloudTrail Analysis",
        "-r",
        "sample.scap",
        "-Y",
        whose,
    ]);
    screen.shows("file", &["Events: 613", &displayed]);
    // Lists of what is displayed, and the filter that one of their buttons sets.
    let names = screen.hosts.stdout(&[
        "strato",
        "-r",
        "sample.scap",
        "-Y",
        whose,
        "-T",
        "fields",
        "-e",
        "ct.name",
    ]);
    let mut counts = BTreeMap::<_, usize>::new();
    for name in names.lines() {
        *counts.entry(name).or_default() += 1;
    }
    let most = *counts.values().max().unwrap();
    assert!(most < names.lines().count(), "{names}");
    let heading = format!(
        "Event names: {} in {} events that fit the display filter",
        counts.len(),
        names.lines().count()
    );
    screen.keys(&[
        "alt+t", "Right", "Down", "Down", "Down", "Down", "Down", "Return",
    ]);
    let list = screen.window("CloudTrail: Event names");
    screen.shows("list", &[&heading, names.lines().next().unwrap()]);
    screen.tool(&["xdotool", "windowmove", &list, "0", "22"]);
    screen.click(310, 448);
    screen.keys(&["Escape"]);
    screen.shows("listed", &[&format!("Displayed: {most} (")]);
    screen.keys(&["alt+t", "Right", "Down", "Down", "Return"]);
    screen.window("CloudTrail: Colours");
    screen.shows("colours", &["Root user", "white on red"]);
    screen.stop();

    // A live capture of a bucket, with our columns and buttons.
    screen.stratoshark(
        &[
            &profile[..],
            &["extcap.cloudtrail.pluginsource:s3://sample-trail/AWSLogs/"],
        ]
        .concat(),
    );
    screen.shows(
        "capture",
        &[
            "Events: 613",
            "Profile: CloudTrail Analysis",
            "mallory",
            "Account",
            "Region",
            "Console logins",
        ],
    );
    // The third event, its user in the tree, which is marked in the JSON and told in the status bar.
    screen.click(400, 163);
    screen.click(100, 456);
    screen.keys(&["Right"]);
    screen.click(100, 554);
    screen.shows("details", &["(ct.user)", "9 byte"]);
    // All of its user: the first of the button's menu.
    screen.click(988, 95);
    screen.keys(&["Down", "Return"]);
    screen.shows("user", &["Displayed: 8"]);
    screen.keys(&["alt+s", "Down", "Return"]);
    screen.until("a graph", |screen| screen.windows("I/O Graphs").is_some());
    screen.shows("graph", &["All events", "Changes", "Console logins"]);
    screen.keys(&["Escape", "alt+s", "Down", "Down", "Return"]);
    screen.until("plots", |screen| screen.windows("Plots").is_some());
    screen.shows("plots", &["Bytes moved by S3", "Events so far"]);
}
