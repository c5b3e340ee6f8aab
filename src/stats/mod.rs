//! What was found, handed over and lost: the counters of one capture.
//!
//! They add up: log files listed = delivered + failed + withheld + repeated + archives, whose own log files are listed as well, and
//! records found = handed over + passed over + filtered + elsewhere + left out + repeated + of others + unreadable.
//! What is not a log file is counted apart, as passed over.

use jiff::Timestamp;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::process::lock;

/// One count, shared by the threads of a capture.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Raise to `n` where it is below.
    pub fn raise(&self, n: u64) {
        self.0.fetch_max(n, Relaxed);
    }
}

/// A line for the host's log.
#[derive(Debug)]
pub(crate) enum Note {
    Info(String),
    Warning(String),
    /// A warning that is told at the end as well, to those who see no log.
    Problem(String),
    /// The same, where nothing is lost by it: what a user has asked for may not be what they meant.
    Remark(String),
}

/// The counts of one capture. Bytes are compressed ones, as stored.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Log files that the source named.
    pub files_listed: Count,
    /// Log files whose readable records were all handed over; a part of one may be lost and named.
    pub files_delivered: Count,
    /// Log files of which nothing could be read.
    pub files_failed: Count,
    /// Archives that were read.
    pub archives: Count,
    /// Delivered files and archives that have lost a part.
    pub files_damaged: Count,
    /// Log files that are the same as others.
    pub files_repeated: Count,
    /// Log files that were not handed over because they are not proven.
    pub files_withheld: Count,
    /// Log files that are as their digest says.
    pub files_proven: Count,
    /// Log files that are not.
    pub files_modified: Count,
    /// Log files that a digest names and that are gone.
    pub files_missing: Count,
    /// Log files that no digest proves, though there should be one.
    pub files_unsigned: Count,
    /// Log files that no digest can prove yet.
    pub files_uncovered: Count,
    /// Log files of which nobody can tell, since a digest or its key can't be had.
    pub files_unchecked: Count,
    /// Digest files with a good signature.
    pub digests_proven: Count,
    /// Digest files without, or missing.
    pub digests_failed: Count,
    /// Digest files that, or whose keys, can't be had.
    pub digests_unchecked: Count,
    /// Files and folders that hold no CloudTrail events.
    pub passed_over: Count,
    /// Log files outside the interval or of other accounts or regions, where the source saw them.
    pub filtered: Count,
    /// How many log files there are in all, once that is known.
    pub files_expected: Count,
    /// Times of delivery, in seconds since the epoch: where the capture begins, how far it got, and where it ends,
    /// as far as that is known.
    pub from: Count,
    /// See `from`.
    pub reached: Count,
    /// See `from`.
    pub to: Count,
    /// The capture goes back in time: `reached` is as far from `from` as the time reached is from `to`.
    pub newest_first: AtomicBool,
    /// Pages of the event history.
    pub pages: Count,
    /// Pages of log groups.
    pub log_pages: Count,
    /// Lines for the host's log, which is written to on its own thread only.
    notes: Mutex<Vec<Note>>,
    /// Messages that a queue gave, each time that it did.
    pub messages_received: Count,
    /// Messages deleted from the queue.
    pub messages_deleted: Count,
    /// Messages that tell of no new object, such as tests.
    pub messages_passed_over: Count,
    /// Messages that can't be understood and are left in the queue, each time that they came.
    pub messages_unknown: Count,
    /// Notifications of log files that are under way or consumed already.
    pub duplicates: Count,
    /// Log files that were read from the cache.
    pub cache_hits: Count,
    /// Log files that were put into the cache.
    pub cache_stored: Count,
    /// Files of the cache that were not as they were written, and are fetched again.
    pub cache_damaged: Count,
    /// Bytes of log files fetched.
    pub bytes: Count,
    /// Records found in log files.
    pub records_found: Count,
    /// Records handed to the host.
    pub records_handed: Count,
    /// Insights records left out because the user said so.
    pub records_passed_over: Count,
    /// Records outside the interval of events.
    pub records_filtered: Count,
    /// Records of other accounts or regions than are read, where the source saw them.
    pub records_elsewhere: Count,
    /// Records that `filter` does not keep.
    pub records_left_out: Count,
    /// Records that `dedupe` leaves out, since they were handed over before.
    pub records_repeated: Count,
    /// Events of others than CloudTrail, among its own.
    pub records_other: Count,
    /// Records that are not JSON object.
    pub records_unreadable: Count,
    /// Values replaced in records.
    pub values_redacted: Count,
    /// Requests or reads that were tried again.
    pub retries: Count,
}

impl Stats {
    /// Say something to those who read the host's log.
    pub fn note(&self, line: String) {
        self.push(Note::Info(line));
    }

    /// The same, where something is wrong.
    pub fn warn(&self, line: String) {
        self.push(Note::Warning(line));
    }

    /// The same, to be told at the end as well.
    pub fn problem(&self, line: String) {
        self.push(Note::Problem(line));
    }

    /// The same, where nothing is lost by it.
    pub fn remark(&self, line: String) {
        self.push(Note::Remark(line));
    }

    fn push(&self, note: Note) {
        lock(&self.notes).push(note);
    }

    /// What was noted since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut lock(&self.notes))
    }

    fn files_done(&self) -> u64 {
        let lost = self.files_failed.get() + self.files_withheld.get();
        self.files_delivered.get() + self.files_repeated.get() + lost + self.archives.get()
    }

    /// What validation found, in words; none where there was none.
    fn integrity(&self) -> Option<String> {
        let found = [
            (self.files_proven.get(), "proven"),
            (self.files_modified.get(), "modified"),
            (self.files_missing.get(), "missing"),
            (self.files_unsigned.get(), "unsigned"),
            (self.files_uncovered.get(), "not covered yet"),
            (self.files_unchecked.get(), "could not be checked"),
        ];
        let digests = [
            (self.digests_failed.get(), "invalid or missing"),
            (self.digests_unchecked.get(), "could not be checked"),
        ];
        if digests.iter().all(|(n, _)| *n == 0) && found.iter().all(|(n, _)| *n == 0) {
            return None;
        }
        let words: Vec<String> = found
            .iter()
            .filter(|(n, what)| *n > 0 || *what == "proven")
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        let mut line = format!("log files {}", words.join(", "));
        for (n, what) in digests.iter().filter(|(n, _)| *n > 0) {
            _ = write!(line, "; {} {what}", count(*n, "digest"));
        }
        if self.files_withheld.get() > 0 {
            let withheld = count(self.files_withheld.get(), "log file");
            _ = write!(line, "; {withheld} not shown, since not proven");
        }
        Some(line)
    }

    /// How much of the capture is done, from 0 to 1: by files where their number is known, else by time of delivery.
    pub fn progress(&self) -> f64 {
        let done = self.files_done();
        let expected = self.files_expected.get();
        if expected > 0 {
            return done as f64 / expected as f64;
        }
        let (from, reached, to) = (self.from.get(), self.reached.get(), self.to.get());
        if from == 0 || to <= from {
            return 0.0;
        }
        (reached.saturating_sub(from) as f64 / (to - from) as f64).min(1.0)
    }

    /// The same in words.
    pub fn progress_text(&self) -> String {
        let reached = match (self.reached.get(), self.newest_first.load(Relaxed)) {
            (0, _) => 0,
            (mirrored, true) => (self.from.get() + self.to.get()).saturating_sub(mirrored),
            (reached, false) => reached,
        };
        let reached = i64::try_from(reached)
            .ok()
            .and_then(|time| Timestamp::from_second(time).ok());
        let reached = reached
            .filter(|time| time.as_second() > 0)
            .map_or_else(String::new, |time| format!("{time}, "));
        let messages = match self.messages_received.get() {
            0 => String::new(),
            n => format!("{}, ", count(n, "message")),
        };
        let left_out = match self.records_left_out.get() {
            0 => String::new(),
            n => format!(", {n} left out by filter"),
        };
        format!(
            "{reached}{messages}{}, {:.1} MB, {}{left_out}",
            self.parts(self.files_done()),
            self.bytes.get() as f64 / 1e6,
            count(self.records_handed.get(), "event")
        )
    }

    /// What the events came in: so many log files, or pages.
    fn parts(&self, files: u64) -> String {
        match (self.pages.get(), self.log_pages.get()) {
            (0, 0) => count(files, "log file"),
            (0, pages) => count(pages, "page") + " of CloudWatch Logs",
            (pages, _) => count(pages, "page") + " of the event history",
        }
    }

    /// The capture in one line, for the log and, where something was lost, for the user.
    pub fn summary(&self) -> String {
        let mut line = format!(
            "{} from {}",
            count(self.records_handed.get(), "event"),
            self.parts(self.files_delivered.get())
        );
        if self.archives.get() > 0 {
            _ = write!(
                line,
                ", with those of {}",
                count(self.archives.get(), "archive")
            );
        }
        if self.cache_hits.get() > 0 {
            _ = write!(line, ", {} of them from the cache", self.cache_hits.get());
        }
        for (n, what) in [
            (self.files_failed.get(), "could not be read"),
            (self.files_damaged.get(), "lost a part"),
        ] {
            if n > 0 {
                _ = write!(line, "; {} {what}", count(n, "log file"));
            }
        }
        for (n, what) in [
            (self.records_unreadable.get(), "could not be read"),
            (
                self.records_passed_over.get(),
                "of Insights left out as configured",
            ),
            (self.records_filtered.get(), "outside s3Interval"),
            (
                self.records_elsewhere.get(),
                "outside s3AccountList or s3RegionList",
            ),
            (self.records_left_out.get(), "left out by filter"),
            (self.records_repeated.get(), "left out by dedupe"),
            (self.records_other.get(), "of others than CloudTrail"),
        ] {
            if n > 0 {
                _ = write!(line, "; {} {what}", count(n, "record"));
            }
        }
        if self.files_repeated.get() > 0 {
            let repeated = count(self.files_repeated.get(), "log file");
            _ = write!(line, "; {repeated} left out, the same as others");
        }
        if let Some(integrity) = self.integrity() {
            _ = write!(line, "; {integrity}");
        }
        if self.values_redacted.get() > 0 {
            _ = write!(
                line,
                "; {} redacted",
                count(self.values_redacted.get(), "value")
            );
        }
        if self.filtered.get() > 0 {
            _ = write!(
                line,
                "; {} outside s3Interval, s3AccountList or s3RegionList",
                count(self.filtered.get(), "log file")
            );
        }
        if self.passed_over.get() > 0 {
            _ = write!(
                line,
                "; passed over {} of other services or without CloudTrail events",
                count(self.passed_over.get(), "file or folder")
            );
        }
        line
    }
}

/// `1 file`, `2 files`; of `file or folder`, `2 files or folders`.
pub(crate) fn count(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {}s", what.replace(" or ", "s or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_was_lost() {
        let stats = Stats::default();
        stats.files_listed.add(3);
        stats.files_delivered.add(2);
        stats.files_failed.add(1);
        stats.records_found.add(8);
        stats.records_handed.add(7);
        stats.records_unreadable.add(1);
        stats.passed_over.add(2);
        assert_eq!(
            stats.summary(),
            "7 events from 2 log files; 1 log file could not be read; 1 record could not be read; \
             passed over 2 files or folders of other services or without CloudTrail events"
        );
    }

    #[test]
    fn unchecked_log_files_do_not_count_as_tampered_with() {
        let stats = Stats::default();
        assert_eq!(stats.integrity(), None);
        stats.digests_unchecked.add(2);
        stats.files_unchecked.add(3);
        assert_eq!(
            stats.integrity().unwrap(),
            "log files 0 proven, 3 could not be checked; 2 digests could not be checked"
        );
    }
}
