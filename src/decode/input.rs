//! What is decoded, as it is read: in pieces, looked at first, counted.

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

/// Reads what has been looked at, and the rest.
pub(super) struct Peeked<'a> {
    pub head: io::Cursor<Vec<u8>>,
    /// What ended the look.
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

/// Counts what is read.
pub(super) struct Counted<R> {
    input: R,
    pub bytes: u64,
}

impl<R> Counted<R> {
    pub fn new(input: R) -> Self {
        Self { input, bytes: 0 }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

/// Fails once, where there is an error, and is empty then.
pub(super) struct Failing(pub Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
