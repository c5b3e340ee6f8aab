//! What a file is compressed by, other than gzip.

use std::io::{self, BufRead, BufReader, Read};

use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::gzip::is_gzip;

/// What a decoder may look back at, and so hold. Programs use 8 MB unless they are told to use more.
const WINDOW: usize = 64 << 20;

/// A way of compressing that can be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Compression {
    Gzip,
    Xz,
    Zstd,
}

/// How a file that begins with these bytes is compressed, if it is.
pub(crate) fn compression(head: &[u8]) -> Option<Compression> {
    if is_gzip(head) {
        return Some(Compression::Gzip);
    }
    match head {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
        // A frame, or one that programs skip.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Some(Compression::Zstd)
        }
        _ => None,
    }
}

/// The kind of a file that may hold events and can't be read here, going by its first bytes.
pub(crate) fn unread(head: &[u8]) -> Option<&'static str> {
    const PI: &[u8] = &[0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
    match head {
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if rest.starts_with(PI) => {
            Some("compressed by bzip2")
        }
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some("a 7z archive"),
        [b'R', b'a', b'r', b'!', 0x1a, 0x07, ..] => Some("a rar archive"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("compressed by lz4"),
        [0x1f, 0x9d, ..] => Some("compressed by compress"),
        [b'L', b'Z', b'I', b'P', ..] => Some("compressed by lzip"),
        [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] => Some("a cabinet of Windows"),
        [0xff, 0x06, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y', ..] => Some("compressed by snappy"),
        _ => None,
    }
}

/// Inflates xz of any number of streams.
pub(crate) fn xz<'a>(input: impl Read + 'a) -> impl Read + 'a {
    XzReader::new_mem_limit(input, true, (WINDOW >> 10) as u32 + 1024)
}

/// Inflates zstd frames in a row.
pub(crate) struct ZstdFrames<R> {
    input: BufReader<R>,
    decoder: FrameDecoder,
}

impl<R: Read> ZstdFrames<R> {
    pub fn new(input: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW as u64);
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            decoder,
        }
    }

    /// Begin the next frame. False at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                // What programs put beside the data.
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = Read::take(&mut self.input, length.into());
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn check(&self) -> io::Result<()> {
        let told = self.decoder.get_checksum_from_data();
        match told.is_none() || told == self.decoder.get_calculated_checksum() {
            true => Ok(()),
            false => Err(io::Error::other("a frame's checksum is wrong")),
        }
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.decoder.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            if self.decoder.is_finished() {
                self.check()?;
                if !self.begin()? {
                    return Ok(0);
                }
            }
            self.decoder
                .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
        }
    }
}
