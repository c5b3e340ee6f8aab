//! Gzip files of any number of members.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::libdeflate::{Failure, Inflater, with_inflater};

pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The most bytes that deflate makes of one.
pub(crate) const MOST_INFLATED: usize = 1032;

/// Bytes that may follow members. gzip itself allows zeros, which fill up the blocks of tapes, and editors add a line end
/// to a file.
fn is_padding(byte: u8) -> bool {
    matches!(byte, 0 | b'\n' | b'\r' | b' ' | b'\t')
}

/// Inflate all gzip members to the beginning of `data`, and give their length. None where that can't be done at once:
/// broken, of more than `most` bytes, or followed by something that is not a member.
pub(crate) fn inflate(bytes: &[u8], data: &mut Vec<u8>, most: usize) -> Option<usize> {
    with_inflater(|inflater| inflate_with(inflater, bytes, data, most))
}

fn inflate_with(
    inflater: &mut Inflater,
    bytes: &[u8],
    data: &mut Vec<u8>,
    most: usize,
) -> Option<usize> {
    // A member ends with its length. There is one as a rule, and there may be any in between, so that is a guess.
    let told = u32::from_le_bytes(*bytes.last_chunk()?) as usize;
    let guess = match told <= bytes.len().saturating_mul(MOST_INFLATED) {
        true => told,
        false => bytes.len() * 4,
    };
    if guess > most {
        return None;
    }
    if data.capacity() < guess {
        // What is in it is not needed, and fresh zeros cost less than zeroing.
        drop(std::mem::take(data));
        *data = vec![0; guess];
    } else if data.len() < guess {
        data.resize(guess, 0);
    }
    let mut length = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let member = match inflater.inflate(rest, &mut data[length..]) {
            Ok(member) => member,
            Err(Failure::NoSpace) if data.len() < most => {
                let larger = data.len().saturating_mul(2).max(64 << 10);
                data.resize(larger.min(most), 0);
                continue;
            }
            Err(_) => return None,
        };
        length += member.inflated;
        rest = rest.get(member.stored..)?;
        let padding = rest.iter().take_while(|byte| is_padding(**byte)).count();
        rest = &rest[padding..];
    }
    (length <= most).then_some(length)
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
            let padding = skip_padding(&mut input)?;
            match input.fill_buf()? {
                [] => {}
                // The second byte may not be there yet.
                [0x1f] | [0x1f, 0x8b, ..] => self.member = Some(GzDecoder::new(input)),
                _ => self.behind = padding + io::copy(&mut input, &mut io::sink())?,
            }
        }
        Ok(0)
    }
}

/// Read what is no more than padding. Gives its length.
fn skip_padding(input: &mut impl BufRead) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let buffer = input.fill_buf()?;
        let padding = buffer.iter().take_while(|byte| is_padding(**byte)).count();
        if padding == 0 {
            return Ok(length);
        }
        input.consume(padding);
        length += padding as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// A text, and how many bytes are behind it that are not gzip.
    type Streamed = (Vec<u8>, u64);

    /// What both ways make of it.
    fn both(bytes: &[u8]) -> (Option<Vec<u8>>, Option<Streamed>) {
        let mut data = vec![b'?'; 5];
        let at_once = inflate(bytes, &mut data, 1 << 20).map(|length| data[..length].to_vec());
        let mut members = GzipMembers::new(bytes);
        let mut text = Vec::new();
        let streamed = members.read_to_end(&mut text).ok();
        (at_once, streamed.map(|_| (text, members.behind)))
    }

    #[test]
    fn members_follow_each_other() {
        let texts: [&[u8]; 4] = [b"one ", b"", &[b'x'; 100_000], b" last"];
        let whole = texts.concat();
        for order in 0..4 {
            let mut bytes = Vec::new();
            let mut wanted = Vec::new();
            for text in texts.iter().cycle().skip(order).take(4) {
                bytes.extend(gzip(text));
                wanted.extend_from_slice(text);
            }
            assert_eq!(wanted.len(), whole.len());
            assert_eq!(both(&bytes), (Some(wanted.clone()), Some((wanted, 0))));
        }
    }

    #[test]
    fn padding_is_skipped_and_other_bytes_are_counted() {
        let one = gzip(b"one");
        let other = gzip(b" two");
        for padding in ["", "\n", "\r\n", "\0", "\0\0\0 \t"] {
            let padding = padding.as_bytes();
            let text = b"one two".to_vec();
            let bytes = [&one, padding, &other, padding].concat();
            assert_eq!(both(&bytes), (Some(text.clone()), Some((text.clone(), 0))));
            let bytes = [&bytes, &b"x"[..], padding].concat();
            let behind = 1 + 2 * padding.len() as u64;
            assert_eq!(both(&bytes), (None, Some((text, behind))));
        }
    }

    #[test]
    fn a_broken_or_too_large_gzip_is_not_inflated_at_once() {
        let bytes = gzip(&[b'x'; 10_000]);
        let (mut data, whole) = (Vec::new(), bytes.len());
        assert_eq!(inflate(&bytes, &mut data, 10_000), Some(10_000));
        assert_eq!(inflate(&bytes, &mut data, 9_999), None);
        assert_eq!(inflate(&bytes[..whole - 1], &mut data, 1 << 20), None);
        // Several, of which the last one tells little.
        let many = [&*bytes, &bytes, &gzip(b"")].concat();
        assert_eq!(inflate(&many, &mut data, 20_000), Some(20_000));
        assert_eq!(inflate(&many, &mut data, 19_999), None);
        for at in 0..whole {
            let mut broken = bytes.clone();
            broken[at] ^= 0x10;
            // Some bits have no meaning. What is inflated all the same is what it was.
            let inflated = inflate(&broken, &mut data, 1 << 20);
            let is_same = |length: usize| data[..length] == [b'x'; 10_000];
            assert!(inflated.is_none_or(is_same), "{at}");
            let must_be_right = at < 3 || at >= whole - 8;
            assert!(!(must_be_right && inflated.is_some()), "{at}");
        }
    }
}
