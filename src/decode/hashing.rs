//! The SHA-256 of a log file's content, made beside decoding it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use crate::formats::compression::{Compression, ZstdFrames, compression, xz};
use crate::formats::gzip::GzipMembers;
use crate::integrity::hash::Hasher;
use crate::log_file::{Content, FileError, Sha256};

/// Whether a log file is hashed.
#[derive(Clone, Default)]
pub(crate) enum Hashing {
    #[default]
    Off,
    /// For the [`Outcome`](super::Outcome).
    Along,
    /// Before any record is given, which happens only if this allows it.
    First(Admit),
}

/// Asked whether a log file may be handed over.
pub(crate) type Admit = Arc<dyn Fn(Content) -> Result<(), FileError> + Send + Sync>;

impl fmt::Debug for Hashing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Off => "Off",
            Self::Along => "Along",
            Self::First(_) => "First",
        })
    }
}

pub(super) fn content(hash: Option<Sha256>) -> Content {
    hash.map_or(Content::Broken, Content::Whole)
}

/// The SHA-256 of what an input inflates to; none where it does not to its end, or something follows it.
pub(super) fn hash_of(input: impl Read) -> Option<Sha256> {
    let mut input = BufReader::new(input);
    let hash = |input: &mut dyn Read| Hashed::new(input, &Hashing::Along).finish();
    match compression(input.fill_buf().ok()?) {
        Some(Compression::Gzip) => {
            let mut members = GzipMembers::new(input);
            let hash = hash(&mut members);
            hash.filter(|_| members.behind == 0)
        }
        Some(Compression::Xz) => hash(&mut xz(input)),
        Some(Compression::Zstd) => hash(&mut ZstdFrames::new(input)),
        None => hash(&mut input),
    }
}

/// Hashes what is read, where that is asked for.
pub(super) struct Hashed<R> {
    input: R,
    /// None where nobody asks, or the input could not be read.
    hash: Option<Hasher>,
}

impl<R: Read> Hashed<R> {
    pub fn new(input: R, hashing: &Hashing) -> Self {
        let hash = matches!(hashing, Hashing::Along).then(Hasher::default);
        Self { input, hash }
    }

    /// The hash of all of the input, to the end of which is read.
    pub fn finish(mut self) -> Option<Sha256> {
        if self.hash.is_some() {
            io::copy(&mut self, &mut io::sink()).ok()?;
        }
        Some(self.hash?.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer);
        match &read {
            Ok(n) => {
                if let Some(hash) = &mut self.hash {
                    hash.update(&buffer[..*n]);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.hash = None,
        }
        read
    }
}
