//! Reads events, asks the plugin for their fields, and counts them.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};
use host::{Plugin, Status};

use crate::counts::Counts;
use crate::fields::{COUNT, RULE, fields};
use crate::losses::Losses;
use crate::progress::{Progress, grouped};
use crate::rules::Rules;

/// How the reading ended.
pub enum End {
    /// All was read.
    All,
    /// Somebody did not want to wait.
    Interrupted,
    /// The plugin's error.
    Failed(String),
}

/// Reads all events, or those until `is_over`. An error of opening is the plugin's.
pub fn read(
    plugin: &Plugin,
    url: &str,
    rules: &mut Rules,
    is_over: &AtomicBool,
    progress: &mut Progress,
) -> Result<(Counts, Losses, End)> {
    let mut counts = Counts::default();
    let mut losses = Losses::default();
    let mut names = fields();
    names.extend(rules.telling(&names));
    rules.know(&names);
    let mut question = plugin.question(&names)?;
    let mut instance = plugin.open(url).map_err(|error| {
        losses.listen(plugin);
        anyhow!(in_full(error.to_string(), &losses.summary))
    })?;
    let end = loop {
        let batch = instance.next_batch();
        for event in &batch.events {
            let answer = question.ask(event)?;
            let known: Vec<Option<&str>> = (0..names.len()).map(|at| answer.text(at)).collect();
            let rule = rules.first(&known, event.payload());
            let mut texts: [Option<&str>; COUNT] = [None; COUNT];
            for (text, known) in texts.iter_mut().zip(&known[..RULE]) {
                *text = *known;
            }
            texts[RULE] = rule.map(|rule| rule.name.as_str());
            counts.count(seconds(event.ts()), &texts);
        }
        losses.listen(plugin);
        if progress.is_due() {
            let (percent, words) = instance.progress()?;
            let done = match percent {
                0 => String::new(),
                percent => format!("{:.0} %, ", f64::from(percent) / 100.0),
            };
            let events = grouped(counts.events);
            progress.show(&format!("{events} events; {done}{words}"));
        }
        match batch.status {
            Status::Eof => break End::All,
            Status::Failed(error) => break End::Failed(in_full(error, &losses.summary)),
            _ if is_over.load(Ordering::Relaxed) => break End::Interrupted,
            Status::More | Status::Timeout => {}
        }
    };
    drop(instance);
    losses.finish(plugin);
    Ok((counts, losses, end))
}

/// All of an error, by the log's last line: the plugin ends a long one with `…`, since other programs would cut it.
fn in_full(error: String, logged: &str) -> String {
    match error.strip_suffix('…') {
        Some(start) if logged.starts_with(start) => logged.to_owned(),
        _ => error,
    }
}

/// Seconds since the epoch; none for the number that stands for no time.
fn seconds(nanoseconds: u64) -> Option<i64> {
    let seconds = nanoseconds / 1_000_000_000;
    (nanoseconds != u64::MAX).then_some(seconds as i64)
}
