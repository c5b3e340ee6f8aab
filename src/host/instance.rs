//! One open capture: hands records to the host, and counts what became of log files.

use std::ffi::CString;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use falco_plugin::FailureReason;
use falco_plugin::event::events::{Event, EventMetadata};
use falco_plugin::source::{EventBatch, PluginEvent, ProgressInfo};

use super::doubles::Doubles;
use super::late::Late;
use super::log::HostLog;
use super::{PLUGIN_ID, capture_error};
use crate::decode::{ArchiveEntry, Chunk, Outcome};
use crate::geo::Atlas;
use crate::log_file::{Ack, Fate, FileError};
use crate::pipeline::{Begun, Next, Pipeline, Step};
use crate::process;
use crate::recent::Recent;
use crate::stats::{Note, Stats, count};
use crate::trail::Interval;

/// A batch ends at this many events or bytes.
const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 512 << 10;
/// If the filter keeps none of so many events of a queue, it may not say what its user means.
const NONE_KEPT: u64 = 1_000;
/// So many problems are not logged a second time: more than the messages that a queue may have in flight (120,000).
const SAID: usize = 125_000;
/// How long the host waits for a first event before it is told to ask again, so that it can do other things in between.
const WAIT: Duration = Duration::from_millis(100);

/// An open capture.
pub struct Instance {
    pipeline: Pipeline,
    stats: Arc<Stats>,
    log: HostLog,
    /// The log file that the host takes now.
    file: Option<Begun>,
    chunk: Option<(Chunk, usize)>,
    /// Acks of the log files that end in the batch that is made now, or that the host has.
    acks: Vec<(Ack, Fate)>,
    /// How the capture ended, which the host is told after all events before are handed over.
    end: Option<Result<()>>,
    progress: CString,
    /// From 0 to 1.
    percent: f64,
    /// The first problem, for a capture that finds nothing else.
    first_problem: Option<String>,
    /// Hashes of the problems that the log has: the messages of a queue whose log files can't be read come again and again.
    said: Recent<u64>,
    hasher: RandomState,
    /// What else those who see no log are told at the end.
    remarks: Vec<String>,
    is_told_of_empty_queue: bool,
    /// `s3Interval`
    asked: Interval,
    /// What the first archive holds that has nothing of it, for a capture that finds nothing else.
    outside: Option<String>,
    late: Late,
    doubles: Doubles,
    atlas: Arc<Atlas>,
}

/// What a capture goes by, beside what it reads.
pub(crate) struct Settled {
    pub log: HostLog,
    /// What is told at the end as well.
    pub remarks: Vec<String>,
    /// `s3Interval`
    pub asked: Interval,
    pub late: Late,
    pub doubles: Doubles,
    pub atlas: Arc<Atlas>,
}

impl Instance {
    pub(crate) fn new(pipeline: Pipeline, stats: Arc<Stats>, settled: Settled) -> Self {
        let Settled {
            log,
            remarks,
            asked,
            late,
            doubles,
            atlas,
        } = settled;
        Self {
            pipeline,
            stats,
            log,
            file: None,
            chunk: None,
            acks: Vec::new(),
            end: None,
            progress: CString::default(),
            percent: 0.0,
            first_problem: None,
            said: Recent::new(SAID),
            hasher: RandomState::new(),
            remarks,
            is_told_of_empty_queue: false,
            asked,
            outside: None,
            late,
            doubles,
            atlas,
        }
    }

    /// Fill the batch, waiting only for the first event.
    fn fill(&mut self, batch: &mut EventBatch) -> Result<()> {
        self.say_notes();
        let began = Instant::now();
        let mut events = 0;
        let mut bytes = 0;
        while events < BATCH_EVENTS && bytes < BATCH_BYTES {
            if events == 0 {
                // The host asks for another batch, so it has consumed all before.
                for (ack, fate) in self.acks.drain(..) {
                    ack(fate);
                }
            }
            if let Some((chunk, next)) = &mut self.chunk {
                if let Some((record, time)) = chunk.record(*next) {
                    let fingerprint = chunk.fingerprint(*next);
                    *next += 1;
                    if !self.late.keeps(record) {
                        self.stats.records_left_out.add(1);
                        continue;
                    }
                    if self.doubles.leave_out(fingerprint) {
                        self.stats.records_repeated.add(1);
                        continue;
                    }
                    add(batch, record, time)?;
                    events += 1;
                    bytes += record.len();
                    continue;
                }
                self.chunk = None;
            }
            // Log files without events do not end the wait, however many there are.
            let wait = match events {
                0 => WAIT.saturating_sub(began.elapsed()),
                _ => Duration::ZERO,
            };
            let is_late = events == 0 && wait.is_zero();
            if is_late || self.end.is_some() || !self.advance(wait) {
                break;
            }
        }
        self.stats.records_handed.add(events as u64);
        match events {
            0 => Err(self.nothing()),
            _ => Ok(()),
        }
    }

    fn say_notes(&mut self) {
        for line in self.atlas.take_notes() {
            self.log.warn(&line);
        }
        for note in self.stats.take_notes() {
            match note {
                Note::Info(line) => self.log.info(&line),
                Note::Warning(line) => self.log.warn(&line),
                Note::Problem(line) => self.warn(line),
                Note::Remark(line) => {
                    self.log.warn(&line);
                    self.remarks.push(line);
                }
            }
        }
    }

    /// Get the next step. False if there is none yet, or none at all.
    fn advance(&mut self, wait: Duration) -> bool {
        match self.pipeline.next(wait) {
            Ok(Next::Item(step)) => self.take(step),
            Ok(Next::Wait) => return false,
            Ok(Next::End) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
        true
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begun(file) => self.file = Some(file),
            Step::Chunk(chunk) => self.chunk = Some((chunk, 0)),
            Step::Entry(ArchiveEntry { name, outcome }) => {
                let file = self.file.as_ref().map_or("", |file| &file.name);
                let name = format!("{file}!{name}");
                self.stats.files_listed.add(1);
                if self.stats.files_expected.get() > 0 {
                    self.stats.files_expected.add(1);
                }
                self.note(&name, outcome);
            }
            Step::Done(outcome) => {
                // Each has begun before.
                let Some(file) = self.file.take() else {
                    return;
                };
                if let Some(delivered) = file.delivered {
                    self.stats
                        .reached
                        .raise(u64::try_from(delivered.as_second()).unwrap_or(0));
                }
                if let (Some(ack), Some(fate)) = (file.ack, fate(&outcome)) {
                    self.acks.push((ack, fate));
                }
                self.note(&file.name, outcome);
            }
        }
    }

    /// Enter what became of a log file into the counters.
    fn note(&mut self, name: &str, outcome: Result<Outcome, FileError>) {
        let stats = &self.stats;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // The log names it already.
            Err(FileError::Withheld) => return stats.files_withheld.add(1),
            Err(FileError::Said) => return stats.files_failed.add(1),
            Err(FileError::Repeated) => return stats.files_repeated.add(1),
            Err(FileError::Capture(error)) => {
                stats.files_withheld.add(1);
                self.end = Some(Err(error));
                return;
            }
            Err(FileError::ThisFile(error) | FileError::Gone(error)) => {
                stats.files_failed.add(1);
                return self.warn(format!("{name}: {error:#}"));
            }
        };
        match &outcome.archive {
            None => stats.files_delivered.add(1),
            Some(files) => {
                stats.archives.add(1);
                stats.passed_over.add(files.passed_over);
                stats.filtered.add(files.filtered);
                if files.read + files.failed == 0 {
                    let asked = self.asked;
                    let outside = || files.outside.describe(asked, name);
                    self.outside = self.outside.take().or_else(outside);
                }
            }
        }
        stats.files_damaged.add(u64::from(outcome.damaged));
        stats.bytes.add(outcome.bytes);
        stats.records_found.add(outcome.found);
        stats.records_passed_over.add(outcome.passed_over);
        stats.records_filtered.add(outcome.filtered);
        stats.records_left_out.add(outcome.left_out);
        stats.records_other.add(outcome.other);
        stats.records_unreadable.add(outcome.unreadable);
        stats.values_redacted.add(outcome.redacted);
        for problem in outcome.problems {
            self.warn(format!("{name}: {problem}"));
        }
        self.warn_of_empty_queue();
    }

    /// Tells once that the filter keeps nothing of a queue, whose messages are consumed all the same.
    fn warn_of_empty_queue(&mut self) {
        let stats = &self.stats;
        let left_out = stats.records_left_out.get();
        let not_kept = left_out
            + stats.records_passed_over.get()
            + stats.records_filtered.get()
            + stats.records_other.get()
            + stats.records_unreadable.get();
        let is_queue = stats.messages_received.get() > 0;
        if is_queue && left_out >= NONE_KEPT && stats.records_found.get() == not_kept {
            let was_told = std::mem::replace(&mut self.is_told_of_empty_queue, true);
            if !was_told {
                stats.remark(format!(
                    "filter keeps none of the first {left_out} events of the queue, whose messages are acknowledged all \
                     the same: look whether it says what you mean"
                ));
            }
        }
    }

    fn say_doubles(&mut self) {
        if let Some(line) = self.doubles.words() {
            self.log.info(&line);
        }
    }

    fn warn(&mut self, problem: String) {
        if self.said.add(self.hasher.hash_one(&problem)) {
            self.log.warn(&problem);
        }
        self.first_problem.get_or_insert(problem);
    }

    /// Why there are no events: not yet, or never again.
    fn nothing(&mut self) -> Error {
        self.say_notes();
        match self.end.take() {
            None => Error::new(FailureReason::Timeout),
            Some(Err(error)) => {
                process::say_error(&format!("{error:#}"));
                self.end = Some(Ok(()));
                error
            }
            Some(Ok(())) => self.finish(),
        }
    }

    /// The end, or the error that nothing at all could be read.
    fn finish(&mut self) -> Error {
        let stats = Arc::clone(&self.stats);
        self.end = Some(Ok(()));
        self.say_doubles();
        let (found, other) = (stats.records_found.get(), stats.records_other.get());
        let nothing_else = other > 0 && found == other;
        let problem = self.first_problem.take();
        let Some(problem) = problem.or_else(|| nothing_else.then(|| self.summary())) else {
            self.log.info(&self.summary());
            if stats.records_handed.get() == 0 {
                self.remarks.extend(self.outside.take());
            }
            // Some hosts show nothing of a capture without events, and sysdig crashes.
            if !self.remarks.is_empty() || stats.records_handed.get() == 0 {
                self.say_in_one_line(None);
            }
            return Error::new(FailureReason::Eof);
        };
        if found == stats.records_unreadable.get() + other {
            let failed = stats.files_failed.get() + stats.files_damaged.get();
            let more = match failed {
                0 | 1 => String::new(),
                n => format!(" (and {} like it)", count(n - 1, "log file")),
            };
            let text = format!("nothing could be read: {problem}{more}");
            process::say_error(&text);
            return anyhow!(text);
        }
        self.log.warn(&self.summary());
        self.say_in_one_line(Some(&problem));
        Error::new(FailureReason::Eof)
    }

    /// The capture in one line, with the dates of the databases.
    fn summary(&self) -> String {
        let summary = self.stats.summary();
        match self.atlas.describe() {
            none if none.is_empty() => summary,
            databases => format!("{summary}; addresses by {databases}"),
        }
    }

    /// The one line at the end, for those who see no log: what was handed over and lost, and what else they should know.
    fn say_in_one_line(&self, problem: Option<&str>) {
        let remarks = self.remarks.iter().cloned();
        let problem = problem.map(|problem| format!("the first: {problem}"));
        let parts: Vec<String> = [self.summary()]
            .into_iter()
            .chain(problem)
            .chain(remarks)
            .collect();
        process::say(&parts.join("; "));
    }
}

/// What became of a log file; none if the capture ends with it.
fn fate(outcome: &Result<Outcome, FileError>) -> Option<Fate> {
    let is_read = match outcome {
        Ok(outcome) => match &outcome.archive {
            None => outcome.found > 0 || !outcome.damaged,
            Some(files) => files.read > 0 || !outcome.damaged && files.failed == 0,
        },
        // There is nothing left to be read.
        Err(FileError::Repeated | FileError::Gone(_)) => true,
        Err(FileError::Capture(_)) => return None,
        Err(FileError::ThisFile(_) | FileError::Withheld | FileError::Said) => false,
    };
    Some(if is_read {
        Fate::Consumed
    } else {
        Fate::Unread
    })
}

/// Add an event to the batch.
fn add(batch: &mut EventBatch, record: &[u8], time: u64) -> Result<()> {
    batch.add(Event {
        metadata: EventMetadata {
            ts: time,
            ..EventMetadata::default()
        },
        params: PluginEvent {
            plugin_id: PLUGIN_ID,
            event_data: record,
        },
    })?;
    Ok(())
}

impl Drop for Instance {
    fn drop(&mut self) {
        let log = self.log;
        let close = || {
            // A live capture ends only when it is closed.
            let is_told = self.first_problem.is_some() || !self.remarks.is_empty();
            if self.end.is_none() && is_told {
                self.say_in_one_line(self.first_problem.as_deref());
            }
            self.say_doubles();
            self.pipeline.close();
            Ok(())
        };
        if let Err(error) = process::guard("closing", close) {
            log.warn(&format!("{error:#}"));
        }
    }
}

impl Instance {
    /// Fill a batch; an error says that there is nothing yet, nothing more, or what is wrong.
    pub(super) fn next_batch(&mut self, batch: &mut EventBatch) -> Result<()> {
        let result = process::guard("handing over events", || self.fill(batch));
        result.map_err(|error| match error.downcast_ref::<FailureReason>() {
            Some(reason) => Error::new(*reason),
            None => capture_error(&error, &self.log),
        })
    }

    /// The progress of the capture.
    pub(super) fn progress(&mut self) -> ProgressInfo<'_> {
        let tell = || {
            // Never backwards.
            self.percent = self.percent.max(self.stats.progress());
            Ok(self.stats.progress_text())
        };
        let text = process::guard("telling the progress", tell)
            .unwrap_or_else(|error| process::printable(&format!("{error:#}")));
        self.progress = CString::new(text).unwrap_or_default();
        ProgressInfo {
            // The SDK hands over hundredths.
            value: self.percent * 100.0,
            detail: Some(&self.progress),
        }
    }
}
