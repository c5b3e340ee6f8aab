//! A capture, as a request in a file says, and what it gave, in another file.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{Fields, Library, LogLine, Plugin, Status, plugin_path};

/// A capture to be run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The library; where there is none, that under test.
    pub plugin: Option<PathBuf>,
    /// Variables to set, for where they can't be given to the process.
    pub env: BTreeMap<String, String>,
    /// What to open.
    pub params: String,
    /// The plugin's configuration.
    pub config: String,
    /// Whether to extract all fields, in one call, and the string form.
    pub fields: bool,
    /// How long the capture may take.
    pub limit: Duration,
    /// Ends the capture after so many events.
    pub enough: Option<usize>,
    /// Leaves SIGPIPE to kill the process.
    pub default_sigpipe: bool,
    /// How often to load the library, open, read a batch, close and unload before the capture.
    pub rounds: u32,
    /// Where the answer goes.
    pub answer: PathBuf,
}

/// What the capture tells, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    /// An event.
    Event {
        /// Nanoseconds since the epoch.
        ts: u64,
        /// Its payload, a character for each byte.
        payload: String,
        /// Its string form, where fields were asked for.
        text: Option<String>,
        /// Its fields, where they were asked for.
        fields: Option<Fields>,
    },
    /// What the plugin logged.
    Log(LogLine),
    /// An error.
    Failed(Stage, String),
    /// The capture is closed.
    End {
        /// Progress at the end.
        progress: (u32, String),
        /// Metrics at the end.
        metrics: BTreeMap<String, u64>,
    },
    /// The library is unloaded; whether it is in memory all the same.
    Unloaded {
        /// It is.
        stays: bool,
    },
}

/// Where a capture failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The configuration was refused.
    Init,
    /// The open params, or what they name.
    Open,
    /// Later.
    Read,
}

/// Runs the capture that a file asks for.
pub fn run(request: &Path) -> Result<()> {
    let text = fs::read(request).with_context(|| request.display().to_string())?;
    let request: Request = serde_json::from_slice(&text)?;
    let mut answer = fs::File::create(&request.answer).context("making the answer's file")?;
    let mut say = |line: &Line| -> Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        answer.write_all(&line).context("answering")
    };
    for (name, value) in &request.env {
        // SAFETY: there are no other threads yet.
        unsafe { env::set_var(name, value) };
    }
    #[cfg(unix)]
    if request.default_sigpipe {
        // SAFETY: the default action has no demands.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    let path = request.plugin.clone().map_or_else(plugin_path, Ok)?;
    for _ in 0..request.rounds {
        let library = Library::load_from(&path)?;
        let plugin = library.init(&request.config)?;
        plugin.open(&request.params)?.next_batch();
    }
    let library = Library::load_from(&path)?;
    match library.init(&request.config) {
        Ok(plugin) => capture(&request, &library, &plugin, &mut say)?,
        Err(error) => say(&Line::Failed(Stage::Init, error.to_string()))?,
    }
    drop(library);
    say(&Line::Unloaded {
        stays: is_loaded(&path),
    })
}

fn capture(
    request: &Request,
    library: &Library,
    plugin: &Plugin,
    say: &mut dyn FnMut(&Line) -> Result<()>,
) -> Result<()> {
    let mut logged = 0;
    let mut say_logs = |say: &mut dyn FnMut(&Line) -> Result<()>| {
        let logs = plugin.logs();
        for line in &logs[logged..] {
            say(&Line::Log(line.clone()))?;
        }
        logged = logs.len();
        anyhow::Ok(())
    };
    let mut instance = match plugin.open(&request.params) {
        Ok(instance) => instance,
        Err(error) => {
            say_logs(say)?;
            return say(&Line::Failed(Stage::Open, error.to_string()));
        }
    };
    let start = Instant::now();
    let mut count = 0;
    loop {
        let batch = instance.next_batch();
        for event in &batch.events {
            let (text, fields) = match request.fields {
                false => (None, None),
                true => (
                    Some(plugin.event_to_string(event)?),
                    Some(plugin.extract(event, &library.field_names())?),
                ),
            };
            let payload = event
                .payload()
                .iter()
                .map(|byte| char::from(*byte))
                .collect();
            say(&Line::Event {
                ts: event.ts(),
                payload,
                text,
                fields,
            })?;
        }
        count += batch.events.len();
        say_logs(say)?;
        match batch.status {
            Status::Eof => break,
            Status::Failed(error) => {
                say(&Line::Failed(Stage::Read, error))?;
                break;
            }
            _ if request.enough.is_some_and(|enough| count >= enough) => break,
            _ if start.elapsed() > request.limit => {
                let error = format!("harness: no end after {:?}", request.limit);
                say(&Line::Failed(Stage::Read, error))?;
                break;
            }
            _ => {}
        }
    }
    let progress = instance.progress()?;
    drop(instance);
    say_logs(say)?;
    // Not every plugin has metrics.
    let metrics = plugin.metrics().unwrap_or_default();
    say(&Line::End { progress, metrics })
}

/// Whether a library is in memory.
fn is_loaded(path: &Path) -> bool {
    #[cfg(windows)]
    {
        libloading::os::windows::Library::open_already_loaded(path).is_ok()
    }
    #[cfg(unix)]
    {
        use libloading::os::unix::Library;
        // SAFETY: nothing is loaded that was not before.
        unsafe { Library::open(Some(path), libc::RTLD_LAZY | libc::RTLD_NOLOAD) }.is_ok()
    }
}
