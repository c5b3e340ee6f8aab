//! What became of a log file, or of an archive of such.

use crate::log_file::Sha256;
use crate::trail::Outside;

/// What became of a log file.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Bytes read, as stored.
    pub bytes: u64,
    /// Records found, readable or not.
    pub found: u64,
    /// Insights records that the user does not want.
    pub passed_over: u64,
    /// Records outside the interval of events.
    pub filtered: u64,
    /// Records that the filter does not keep.
    pub left_out: u64,
    /// Events of others than CloudTrail, in a form that may hold those as well.
    pub other: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Values replaced.
    pub redacted: u64,
    /// What was lost, in words.
    pub problems: Vec<String>,
    /// A part of the file is missing beyond the records counted as unreadable.
    pub damaged: bool,
    /// Where it is asked for, the SHA-256 of what the file inflates to, if it does to its end.
    pub hash: Option<Sha256>,
    /// Where it is an archive of log files, what became of these.
    pub archive: Option<ArchiveCounts>,
    /// What that took, which tests and fuzzing bound.
    #[cfg(any(fuzzing, test))]
    pub work: Work,
}

/// What decoding took.
#[cfg(any(fuzzing, test))]
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Work {
    /// Bytes that were split.
    pub split: u64,
    /// Bytes that the splitter looked at for that, each as often as it did.
    pub scanned: u64,
    /// The most bytes held at a time of the file and the places found in it.
    pub held: usize,
}

/// The files of an archive.
#[derive(Debug, Default)]
pub(crate) struct ArchiveCounts {
    /// Log files that were read.
    pub read: u64,
    /// Log files that could not be read.
    pub failed: u64,
    /// Files that hold no events.
    pub passed_over: u64,
    /// Log files that are not asked for.
    pub filtered: u64,
    /// Those of them that were delivered at another time.
    pub outside: Outside,
}
