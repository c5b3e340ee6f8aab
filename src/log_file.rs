//! Log files on their way from a source to the host: the words that all rooms share.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::budget::Room;
use crate::concurrency::Pace;

/// A body of more bytes than this, as stored or inflated, is never held as a whole: it is streamed and decoded piece by
/// piece. CloudTrail's own log files stay far below.
pub(crate) const LARGEST_WHOLE: usize = 32 << 20;

/// A log file to be fetched.
pub(crate) struct LogFile {
    /// A path, or an `s3://` URL: what errors call it.
    pub name: String,
    /// Its size in bytes as stored; 0 where unknown.
    pub size: u64,
    /// When it was delivered: the time in its name, else the file's or object's own.
    pub delivered: Option<Timestamp>,
    /// How to get its bytes without a request, if they may be in a cache.
    pub cached: Option<Cached>,
    /// How to get its bytes.
    pub fetch: Fetch,
    /// Who waits for what becomes of it, if anybody does.
    pub ack: Option<Ack>,
    /// What proves it, where log files are validated.
    pub proof: Option<Box<dyn Proof>>,
}

/// What became of a log file in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    /// The host has consumed every event of it.
    Consumed,
    /// Nothing of it could be read, and the capture goes on.
    Unread,
}

/// Called with what became of a log file, once the host has come back for what follows; dropped where it never does.
pub(crate) type Ack = Box<dyn FnOnce(Fate) + Send>;

/// Gets a log file's bytes from a cache. None if they are not there.
pub(crate) type Cached = Box<dyn FnOnce(Room) -> BoxFuture<'static, Option<Body>> + Send>;

/// Gets a log file's bytes.
pub(crate) type Fetch =
    Box<dyn FnOnce(Room, Pace) -> BoxFuture<'static, Result<Body, FileError>> + Send>;

/// A log file's bytes as stored, compressed or not.
pub(crate) enum Body {
    /// In a file, to be read by whoever decodes it.
    File(PathBuf),
    /// All of them.
    Bytes(Vec<u8>),
    /// Pieces in order, for a body that is too large to hold or has no room. An error ends them.
    Stream(mpsc::Receiver<std::io::Result<Vec<u8>>>),
}

/// Why a log file is not handed over, and what that means for the rest.
#[derive(Debug)]
pub(crate) enum FileError {
    /// It can't be read; others can.
    ThisFile(anyhow::Error),
    /// It was there, and is not any more.
    Gone(anyhow::Error),
    /// Nothing more can be read: the capture ends.
    Capture(anyhow::Error),
    /// It is not proven, which was counted and logged. The capture goes on.
    Withheld,
    /// It can't be read, for a reason that was logged once for all such files.
    Said,
    /// It is the same as another one, which is read.
    Repeated,
}

impl FileError {
    /// The reason alone, without what it means for the capture.
    #[cfg(any(fuzzing, test))]
    pub fn into_reason(self) -> anyhow::Error {
        match self {
            Self::ThisFile(error) | Self::Gone(error) | Self::Capture(error) => error,
            Self::Withheld => anyhow::anyhow!("is not proven"),
            Self::Repeated => anyhow::anyhow!("is the same as another log file"),
            Self::Said => anyhow::anyhow!("can't be read, as others before it"),
        }
    }
}

impl From<anyhow::Error> for FileError {
    fn from(error: anyhow::Error) -> Self {
        Self::ThisFile(error)
    }
}

/// A SHA-256.
pub(crate) type Sha256 = [u8; 32];

/// What a log file turned out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// It inflates to its end, to something with this SHA-256.
    Whole(Sha256),
    /// It does not.
    Broken,
    /// It is too large to be held until its hash is known.
    TooLarge,
}

/// What CloudTrail's digests say of a log file, as soon as that is known.
pub(crate) trait Proof: Send {
    /// Must the judgement come before any event?
    fn is_strict(&self) -> bool;

    /// Compare a log file with what the digests say, and count the result. An error says that it may not be handed over.
    fn judge(self: Box<Self>, content: Content) -> BoxFuture<'static, Result<(), FileError>>;
}
