//! Reads events and asks the plugin for their fields; another thread asks the rules and counts.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use host::{Answer, Event, Plugin, Status};

use crate::counts::Counts;
use crate::fields::{COUNT, RULE, TIME, fields};
use crate::interrupt::Interrupt;
use crate::losses::Losses;
use crate::progress::{self, Progress};
use crate::rules::Rules;

/// As many batches wait to be counted, at most.
const WAITING: usize = 4;

/// How the reading ended.
pub enum End {
    /// All was read.
    All,
    /// Somebody did not want to wait.
    Interrupted,
    /// The plugin's error.
    Failed(String),
}

/// Reads all events, or those until an interrupt. An error of opening is the plugin's.
pub fn read(
    plugin: &Plugin,
    url: &str,
    rules: &mut Rules,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<(Counts, Losses, End)> {
    let mut losses = Losses::default();
    let mut names = fields();
    names.extend(rules.telling(&names));
    rules.know(&names);
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(WAITING);
        let counting = scope.spawn(|| count(batches, rules));
        let end = ask(
            plugin,
            url,
            &names,
            sender,
            &mut losses,
            interrupt,
            progress,
        );
        let counts = counting.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok((counts, losses, end?))
    })
}

/// Sends all events with the texts of these fields.
fn ask(
    plugin: &Plugin,
    url: &str,
    names: &[&str],
    to: SyncSender<Batch>,
    losses: &mut Losses,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<End> {
    let mut question = plugin.question(names)?;
    progress.say(&format!("opening {url}"));
    let mut instance = plugin.open(url).map_err(|error| {
        losses.listen(plugin);
        anyhow!(in_full(error.to_string(), &losses.summary))
    })?;
    interrupt.spare_program();
    let mut events = 0;
    let end = loop {
        let batch = instance.next_batch();
        events += batch.events.len() as u64;
        let mut asked = Batch::default();
        for event in batch.events {
            asked.add(&question.ask(&event)?, names.len());
            asked.events.push(event);
        }
        to.send(asked).context("nobody counts any more")?;
        losses.listen(plugin);
        if progress.is_due() {
            let (percent, words) = instance.progress()?;
            let done = match percent {
                0 => String::new(),
                percent => format!("{:.0} %, ", f64::from(percent) / 100.0),
            };
            let events = progress::events(events);
            progress.show(&format!("{events}; {done}{words}"));
        }
        match batch.status {
            Status::Eof => break End::All,
            Status::Failed(error) => break End::Failed(in_full(error, &losses.summary)),
            _ if interrupt.ends_reading() => break End::Interrupted,
            Status::More | Status::Timeout => {}
        }
    };
    drop(instance);
    losses.finish(plugin);
    Ok(end)
}

/// Counts all events that are sent.
fn count(batches: Receiver<Batch>, rules: &mut Rules) -> Counts {
    let mut counts = Counts::default();
    for batch in batches {
        let mut known = Vec::new();
        for (at, event) in batch.events.iter().enumerate() {
            batch.texts_of(at, &mut known);
            let rule = rules.first(&known, event.payload());
            let mut texts: [Option<&str>; COUNT] = [None; COUNT];
            for (text, known) in texts.iter_mut().zip(&known[..RULE]) {
                *text = *known;
            }
            texts[RULE] = rule.map(|rule| rule.name.as_str());
            counts.count(seconds(known[TIME], event.ts()), &texts);
        }
    }
    counts
}

/// Events, and what the plugin told of them.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    /// The texts of all fields of all events, one behind the other.
    texts: String,
    /// Where they are: as many for each event.
    places: Vec<Option<Range<usize>>>,
}

impl Batch {
    /// Adds the texts of an event's fields, of which there are as many for each.
    fn add(&mut self, answer: &Answer<'_>, fields: usize) {
        for at in 0..fields {
            let start = self.texts.len();
            let text = answer.text(at);
            self.texts.push_str(text.unwrap_or_default());
            self.places.push(text.map(|_| start..self.texts.len()));
        }
    }

    /// The texts of an event's fields, in place of those before.
    fn texts_of<'b>(&'b self, event: usize, texts: &mut Vec<Option<&'b str>>) {
        texts.clear();
        let fields = self.places.len() / self.events.len();
        let places = &self.places[event * fields..][..fields];
        texts.extend(places.iter().map(|place| Some(&self.texts[place.clone()?])));
    }
}

/// All of an error, by the log's last line: the plugin ends a long one with `…`, since other programs would cut it.
fn in_full(error: String, logged: &str) -> String {
    match error.strip_suffix('…') {
        Some(start) if logged.starts_with(start) => logged.to_owned(),
        _ => error,
    }
}

/// An event's own time in seconds since the epoch; none where it has none that can be read, and stands where its log file
/// does.
fn seconds(told: Option<&str>, nanoseconds: u64) -> Option<i64> {
    let own = cloudtrail::nanoseconds(told?.as_bytes())?;
    (u64::try_from(own) == Ok(nanoseconds)).then_some(own.div_euclid(1_000_000_000))
}
