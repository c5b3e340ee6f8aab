//! Gzip files of any number of members.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use libdeflater::Decompressor;
use memchr::memmem;

pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Inflate all gzip members to the beginning of `data`, and give their length. None where that can't be done at once:
/// broken, too large, or followed by something that is no member.
///
/// libdeflate does not tell where a member ended. So ends are guessed, at the end of the data and wherever the magic
/// number of a next member stands, nearest first; libdeflate having checked the member's own length and checksum, an
/// end is right if the eight bytes before it repeat them.
pub(crate) fn inflate(bytes: &[u8], data: &mut Vec<u8>, most: usize) -> Option<usize> {
    let mut inflater = Decompressor::new();
    let mut length = 0;
    let mut start = 0;
    // A few false ends are to be expected in a large file, many in a hostile one.
    let mut guesses = 64;
    while start < bytes.len() {
        let member = &bytes[start..];
        let next = memmem::find_iter(&member[1..], &[0x1f, 0x8b, 0x08]).map(|at| at + 1);
        let (end, inflated) = next.chain([member.len()]).find_map(|end| {
            if guesses == 0 {
                return None;
            }
            let inflated = inflate_member(&mut inflater, &member[..end], data, length, most);
            guesses -= usize::from(inflated.is_none());
            Some((end, inflated?))
        })?;
        start += end;
        length += inflated;
    }
    Some(length)
}

/// Inflate a member that fills `member` exactly to `data[at..]`. Gives its length.
fn inflate_member(
    inflater: &mut Decompressor,
    member: &[u8],
    data: &mut Vec<u8>,
    at: usize,
    most: usize,
) -> Option<usize> {
    let (_, trailer) = member.split_last_chunk::<8>()?;
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    // Deflate makes at most 1032 bytes of one.
    if length > member.len() * 1032 || at + length > most {
        return None;
    }
    if data.len() < at + length {
        data.resize(at + length, 0);
    }
    let target = &mut data[at..at + length];
    let fits = inflater
        .gzip_decompress(member, target)
        .is_ok_and(|n| n == length)
        && libdeflater::crc32(target) == u32::from_le_bytes([c0, c1, c2, c3]);
    fits.then_some(length)
}

/// Inflates gzip members in a row.
pub(crate) struct GzipMembers<R> {
    /// None at the end.
    member: Option<GzDecoder<BufReader<R>>>,
    /// Bytes behind the last one.
    pub behind: u64,
}

impl<R: Read> GzipMembers<R> {
    pub fn new(input: R) -> Self {
        Self {
            member: Some(GzDecoder::new(BufReader::with_capacity(64 << 10, input))),
            behind: 0,
        }
    }
}

impl<R: Read> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What a read has inflated before it comes to damage is lost.
        let portion = buffer.len().min(4 << 10);
        let buffer = &mut buffer[..portion];
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(mut input) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            match input.fill_buf()? {
                [] => {}
                // The second byte may not be there yet.
                [0x1f] | [0x1f, 0x8b, ..] => self.member = Some(GzDecoder::new(input)),
                _ => self.behind = io::copy(&mut input, &mut io::sink())?,
            }
        }
        Ok(0)
    }
}
