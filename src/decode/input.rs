//! Readers for decoding: of pieces, of input whose beginning was looked at, and readers that count.

use std::cell::Cell;
use std::io::{self, Read};

use super::HEAD;

/// Reads pieces as they arrive.
pub(super) struct Pieces {
    pub pieces: tokio::sync::mpsc::Receiver<io::Result<Vec<u8>>>,
    pub current: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.current.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = io::Cursor::new(piece?),
                None => return Ok(0),
            }
        }
    }
}

/// Reads input whose beginning was looked at.
pub(super) struct Peeked<'a> {
    pub head: io::Cursor<Vec<u8>>,
    /// The error that ended the look.
    pub error: Option<io::Error>,
    input: &'a mut dyn Read,
}

impl<'a> Peeked<'a> {
    pub fn new(input: &'a mut dyn Read) -> Self {
        let mut head = Vec::new();
        let error = Read::take(&mut *input, HEAD).read_to_end(&mut head).err();
        Self {
            head: io::Cursor::new(head),
            error,
            input,
        }
    }
}

impl Read for Peeked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.head.read(buffer)?, self.error.take()) {
            (0, Some(error)) => Err(error),
            (0, None) => self.input.read(buffer),
            (n, error) => {
                self.error = error;
                Ok(n)
            }
        }
    }
}

/// How much of a file may be inflated, which limits the work that it can cause. Compressed data within compressed data
/// within an archive would multiply, from some KB to years of work.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// Bytes read, as stored.
    pub stored: Cell<u64>,
    /// Bytes inflated, in all layers.
    inflated: Cell<u64>,
}

impl Allowance {
    /// Allowed bytes per stored byte: somewhat more than deflate can make of one.
    const RATIO: u64 = 1100;
    /// Allowed bytes in addition, because other compressions make more of the same text.
    const BESIDES: u64 = 64 << 20;

    pub fn stored(bytes: u64) -> Self {
        Self {
            stored: Cell::new(bytes),
            ..Self::default()
        }
    }

    /// How many bytes may still be inflated.
    pub fn left(&self) -> u64 {
        let all = self.stored.get().saturating_mul(Self::RATIO);
        all.saturating_add(Self::BESIDES)
            .saturating_sub(self.inflated.get())
    }

    pub fn spend(&self, bytes: u64) {
        self.inflated.set(self.inflated.get().saturating_add(bytes));
    }
}

/// Counts what is inflated, and ends when it is too much.
pub(super) struct Inflated<'a, R> {
    input: R,
    allowance: &'a Allowance,
}

impl<'a, R> Inflated<'a, R> {
    pub fn new(input: R, allowance: &'a Allowance) -> Self {
        Self { input, allowance }
    }
}

impl<R: Read> Read for Inflated<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance.left() == 0 {
            return Err(io::Error::other(format!(
                "it inflates to more than {} times its size, as bombs do",
                Allowance::RATIO
            )));
        }
        let read = self.input.read(buffer)?;
        self.allowance.spend(read as u64);
        Ok(read)
    }
}

/// Counts what is read.
pub(super) struct Counted<'a, R> {
    input: R,
    bytes: &'a Cell<u64>,
}

impl<'a, R> Counted<'a, R> {
    pub fn new(input: R, bytes: &'a Cell<u64>) -> Self {
        Self { input, bytes }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

/// Fails once if there is an error, and is empty after that.
pub(super) struct Failing(pub Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
