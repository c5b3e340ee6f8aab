//! A capture in a process of its own, with an environment of the test's choosing.
//!
//! The environment belongs to a whole process, and the plugin reads much of it: so a test that
//! minds it starts its own program again for the capture. The test file has one function for
//! that:
//!
//! ```text
//! /// Runs the captures that the tests of this file start.
//! #[test]
//! #[ignore = "not a test: the process that a capture runs in"]
//! fn child() {
//!     harness::capture::child();
//! }
//! ```

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    mem,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub use host::capture::Stage;
use host::{
    Event, Fields, LIMIT, LogLine,
    capture::{Line, Request},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    aws::{ACCESS_KEY, Aws, REGION, SECRET_KEY},
    platform::Platform,
    proxy::Proxy,
};

const REQUEST: &str = "HARNESS_CAPTURE";

/// A capture to be run.
pub struct Capture {
    request: Request,
    config: Value,
    env: BTreeMap<String, String>,
    platform: Option<Platform>,
    bound: bool,
    home: TempDir,
}

/// What a capture gave.
#[derive(Debug)]
pub struct Seen {
    /// All events.
    pub events: Vec<Event>,
    /// Their fields, where they were asked for.
    pub fields: Vec<Fields>,
    /// Their string forms, where fields were asked for.
    pub texts: Vec<String>,
    /// Lines that the plugin logged.
    pub logs: Vec<LogLine>,
    /// How it failed, if it did.
    pub error: Option<(Stage, String)>,
    /// What was written to stderr.
    pub stderr: String,
    /// How the process ended.
    pub status: ExitStatus,
    /// Progress at the end.
    pub progress: (u32, String),
    /// Metrics at the end.
    pub metrics: BTreeMap<String, u64>,
    /// Whether the library stayed in memory when it was unloaded.
    pub stays_loaded: Option<bool>,
}

impl Capture {
    /// A capture of these open params without configuration, in an empty environment and home.
    pub fn new(params: impl Into<String>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let request = Request {
            plugin: None,
            env: BTreeMap::new(),
            params: params.into(),
            config: String::new(),
            fields: false,
            limit: LIMIT,
            enough: None,
            default_sigpipe: false,
            rounds: 0,
            answer: home.path().join("capture.out"),
        };
        Self {
            request,
            config: json!({}),
            env: BTreeMap::new(),
            platform: Platform::of_environment(),
            bound: false,
            home,
        }
    }

    /// Merges keys into the configuration.
    pub fn config(mut self, config: Value) -> Self {
        merge(&mut self.config, config);
        self
    }

    /// Reads from this AWS with its long-lived key, given in the environment.
    pub fn aws(self, aws: &Aws) -> Self {
        self.endpoint(aws).keys().env("AWS_REGION", REGION)
    }

    /// Reads from this AWS.
    pub fn endpoint(self, aws: &Aws) -> Self {
        self.config(json!({"aws": {"endpoint": aws.endpoint()}}))
    }

    /// Reads by AWS's own host names, which a proxy takes to this AWS.
    pub fn by_name(self, aws: &Aws, proxy: &Proxy) -> Self {
        self.env("HTTPS_PROXY", proxy.url())
            .env("AWS_CA_BUNDLE", aws.ca_file().to_str().unwrap())
    }

    /// The long-lived key, in the environment.
    pub fn keys(self) -> Self {
        self.env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Writes a file below the home folder, `.aws/config` say.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// The home folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Extracts all fields of each event, in one call, and the string form.
    pub fn fields(mut self) -> Self {
        self.request.fields = true;
        self
    }

    /// Loads, opens, reads a bit, closes and unloads so often before the capture.
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.request.rounds = rounds;
        self
    }

    /// Runs on another platform. Paths in open params and configuration must be those of [`Platform::path`].
    pub fn on(mut self, platform: &Platform) -> Self {
        self.platform = Some(platform.clone());
        self
    }

    /// Runs as users do, whom permissions of files hold back.
    pub fn bound_by_permissions(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Ends the capture once there are so many events.
    pub fn enough(mut self, events: usize) -> Self {
        self.request.enough = Some(events);
        self
    }

    /// How long it may take.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.request.limit = limit;
        self
    }

    /// Leaves SIGPIPE to kill the process, as it does in sysdig and falcodump. Rust programs, a
    /// test among them, ignore it.
    pub fn default_sigpipe(mut self) -> Self {
        self.request.default_sigpipe = true;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        if self.config != json!({}) {
            self.request.config = self.config.to_string();
        }
        let request = self.home.path().join("capture.json");
        let answer = self.request.answer.clone();
        let stderr = self.home.path().join("capture.err");
        let mut command = match &self.platform {
            None => {
                let program = env::current_exe().unwrap();
                let mut command = match self.bound {
                    true => bound_by_permissions(program),
                    false => Command::new(program),
                };
                command.args([
                    "child",
                    "--exact",
                    "--ignored",
                    "--nocapture",
                    "--test-threads=1",
                ]);
                command
            }
            Some(platform) => {
                // Emulators have an environment of their own.
                self.request.env = mem::take(&mut self.env);
                let home = platform.path(self.home.path());
                for name in ["HOME", "USERPROFILE"] {
                    self.request.env.entry(name.into()).or_insert(home.clone());
                }
                self.request.plugin = Some(platform.path(&platform.plugin).into());
                self.request.answer = platform.path(&self.request.answer).into();
                platform.command(&request)
            }
        };
        fs::write(&request, serde_json::to_vec(&self.request).unwrap()).unwrap();
        clean(&mut command, self.home.path())
            .current_dir(self.home.path())
            .envs(&self.env)
            .env(REQUEST, &request)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&stderr).unwrap());
        let child = command.spawn().unwrap();
        Running {
            child,
            answer,
            stderr,
            limit: self.request.limit,
            _home: self.home,
        }
    }

    /// Runs it to its end.
    pub fn run(self) -> Seen {
        self.start().wait()
    }

    /// Runs it and demands that it ends without an error.
    pub fn events(self) -> Vec<Event> {
        let seen = self.run();
        assert_eq!(seen.error, None, "stderr: {}", seen.stderr);
        seen.events
    }

    /// Runs it and demands that opening it fails; the plugin's words.
    pub fn open_error(self) -> String {
        match self.run() {
            Seen {
                error: Some((Stage::Open, text)),
                ..
            } => text,
            seen => panic!(
                "no error on open, but {:?} and {} events",
                seen.error,
                seen.events.len()
            ),
        }
    }
}

/// Merges keys into a configuration.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A capture under way.
pub struct Running {
    child: Child,
    answer: PathBuf,
    stderr: PathBuf,
    limit: Duration,
    _home: TempDir,
}

impl Running {
    /// The ID of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Seen {
        // The child minds its own limit; this one is for a child that hangs.
        let patience = self.limit + Duration::from_secs(30);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > patience {
                self.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let stderr = fs::read(&self.stderr).unwrap_or_default();
        let mut seen = Seen {
            events: vec![],
            fields: vec![],
            texts: vec![],
            logs: vec![],
            error: None,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            status,
            progress: Default::default(),
            metrics: BTreeMap::new(),
            stays_loaded: None,
        };
        let Ok(answer) = fs::File::open(&self.answer) else {
            panic!(
                "the capture said nothing ({status}); is there a `child` in the test file? {}",
                seen.stderr
            );
        };
        for line in BufReader::new(answer).lines() {
            // The last line is cut where the process was killed.
            let Ok(line) = serde_json::from_str(&line.unwrap()) else {
                break;
            };
            match line {
                Line::Event {
                    ts,
                    payload,
                    text,
                    fields,
                } => {
                    let payload: Vec<u8> = payload.chars().map(|byte| byte as u8).collect();
                    seen.events
                        .push(Event::new(seen.events.len() as u64 + 1, ts, &payload));
                    seen.texts.extend(text);
                    seen.fields.extend(fields);
                }
                Line::Log(line) => seen.logs.push(line),
                Line::Failed(stage, text) => seen.error = Some((stage, text)),
                Line::End { progress, metrics } => {
                    seen.progress = progress;
                    seen.metrics = metrics;
                }
                Line::Unloaded { stays } => seen.stays_loaded = Some(stays),
            }
        }
        seen
    }
}

impl Seen {
    /// The `eventID`s, in the order of the events.
    pub fn ids(&self) -> Vec<String> {
        host::ids(&self.events)
    }

    /// The log as one text.
    pub fn log(&self) -> String {
        let lines = self.logs.iter().map(|line| line.message.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Every word that the plugin said, wherever it said it.
    pub fn words(&self) -> String {
        let error = self.error.as_ref().map_or("", |(_, text)| text);
        format!(
            "{error}\n{}\n{}\n{}",
            self.log(),
            self.stderr,
            self.progress.1
        )
    }
}

/// Runs a part of a test in a process of its own, with a clean environment: what counts threads,
/// say, or closes stderr. `name` is that of the test, which comes here again in the other process.
pub fn alone(name: &str, part: impl FnOnce()) {
    const ALONE: &str = "HARNESS_ALONE";
    if env::var(ALONE).is_ok_and(|alone| alone == name) {
        return part();
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    clean(&mut command, home.path()).env(ALONE, name);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{}: {stdout}{stderr}",
        output.status
    );
}

/// A command for a program that permissions of files hold back, as they do users. Root they don't.
pub fn bound_by_permissions(program: impl AsRef<OsStr>) -> Command {
    #[cfg(unix)]
    if fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0) {
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search");
        command.arg(program.as_ref());
        return command;
    }
    Command::new(program)
}

/// The environment of a process that nothing of this one's may reach.
fn clean<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    let kept = [
        "PATH",
        "CLOUDTRAIL_PLUGIN",
        "FAULT_RUNS",
        "LD_LIBRARY_PATH",
        "SYSTEMROOT",
        "TMPDIR",
    ];
    command
        .env_clear()
        .envs(
            env::vars_os()
                .filter(|(name, _)| kept.iter().any(|kept| name.eq_ignore_ascii_case(kept))),
        )
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", home)
        .env("USERPROFILE", home)
}

/// Runs the capture that [`Capture::start`] asked this process for.
pub fn child() {
    let request = env::var_os(REQUEST).expect("`child` is for captures to run");
    if let Err(error) = host::capture::run(request.as_ref()) {
        panic!("{error:#}");
    }
}
