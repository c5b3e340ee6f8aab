//! What was not read, and what else the plugin says.

use std::collections::BTreeMap;

use host::{LogLine, Plugin};
use serde::Serialize;

/// As many warnings are kept, at most, of this many characters each.
const MOST: usize = 100;
const LONGEST: usize = 500;
/// Falco's severity of a warning; graver ones have smaller numbers.
const WARNING: u32 = 4;

/// What the plugin said.
#[derive(Debug, Default, Serialize)]
pub struct Losses {
    /// Its warnings, the first of them.
    pub warnings: Vec<String>,
    /// How many more there were.
    pub more_warnings: u64,
    /// The last line of its log, which sums up a capture that was read to its end.
    pub summary: String,
    /// Its metrics, save those that are 0.
    pub metrics: BTreeMap<String, u64>,
}

impl Losses {
    /// Takes note of what was said since the last call.
    pub fn listen(&mut self, plugin: &Plugin) {
        for LogLine { severity, message } in plugin.take_logs() {
            if severity <= WARNING {
                match self.warnings.len() {
                    MOST.. => self.more_warnings += 1,
                    _ => self.warnings.push(shortened(&message)),
                }
            }
            self.summary = message;
        }
    }

    /// The same at the end, with the metrics.
    pub fn finish(&mut self, plugin: &Plugin) {
        self.listen(plugin);
        // What the summary says needs no warning.
        self.warnings
            .retain(|line| *line != shortened(&self.summary));
        let metrics = plugin.metrics().unwrap_or_default();
        self.metrics = metrics
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
