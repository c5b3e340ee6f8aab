//! UTF-16, which Windows PowerShell writes when the output of a program is redirected.

use std::io::{self, Read};

/// Does this begin with the byte order mark of UTF-16?
pub(crate) fn is_utf16(head: &[u8]) -> bool {
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff")
}

/// Makes UTF-8 of UTF-16 that has a byte order mark.
pub(crate) struct Utf8<R> {
    input: R,
    /// Bytes that were read and are not decoded yet: an odd byte, and a unit that may be half of a pair.
    rest: Vec<u8>,
    is_big_endian: Option<bool>,
    text: io::Cursor<Vec<u8>>,
}

impl<R: Read> Utf8<R> {
    pub fn new(input: R) -> Self {
        Self {
            input,
            rest: Vec::new(),
            is_big_endian: None,
            text: io::Cursor::default(),
        }
    }

    /// Decode the next bytes. False at the end.
    fn decode(&mut self) -> io::Result<bool> {
        let before = self.rest.len();
        self.rest.resize(before + (8 << 10), 0);
        let read = self.input.read(&mut self.rest[before..]);
        self.rest
            .truncate(before + read.as_ref().map_or(0, |length| *length));
        let is_end = read? == 0;
        if is_end && self.rest.is_empty() {
            return Ok(false);
        }
        let (pairs, odd) = self.rest.as_chunks::<2>();
        let mut units: Vec<u16> = Vec::with_capacity(pairs.len() + 1);
        for pair in pairs {
            let big_endian = u16::from_be_bytes(*pair);
            let is_big_endian = *self.is_big_endian.get_or_insert(big_endian == 0xfeff);
            units.push(match is_big_endian {
                true => big_endian,
                false => big_endian.swap_bytes(),
            });
        }
        let mut kept = odd.len();
        // The second half of a pair of surrogates may come next.
        if !is_end && matches!(units.last(), Some(0xd800..=0xdbff)) {
            units.pop();
            kept += 2;
        }
        if is_end && kept == 1 {
            // Half a unit is not valid.
            units.push(0xfffd);
            kept = 0;
        }
        let text: String = char::decode_utf16(units)
            .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        self.text = io::Cursor::new(text.into_bytes());
        self.rest.drain(..self.rest.len() - kept);
        Ok(true)
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.text.read(buffer)?;
            if length > 0 || buffer.is_empty() || !self.decode()? {
                return Ok(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives this many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn text_is_the_same_whatever_its_order_and_its_pieces() {
        let text = "\u{feff}{\"a\": \"é 日本 🦀\"}".repeat(2000);
        let encoded = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        let orders: [Vec<u8>; 2] = [encoded(u16::to_le_bytes), encoded(u16::to_be_bytes)];
        for bytes in orders {
            assert!(is_utf16(&bytes));
            for size in [1, 3, 4096, 1 << 20] {
                let mut decoded = String::new();
                Utf8::new(Slow(&bytes, size))
                    .read_to_string(&mut decoded)
                    .unwrap();
                assert!(decoded == text, "{size}");
            }
        }
    }

    #[test]
    fn invalid_utf_16_is_replaced() {
        for (units, wanted) in [
            (&b"\xff\xfea\0b"[..], "\u{feff}a\u{fffd}"),
            (b"\xff\xfe\x3d\xd8a\0", "\u{feff}\u{fffd}a"),
            (b"\xff\xfe\x3d\xd8", "\u{feff}\u{fffd}"),
            (b"\xfe\xff\xd8\x3d\xde", "\u{feff}\u{fffd}\u{fffd}"),
        ] {
            let mut decoded = String::new();
            Utf8::new(units).read_to_string(&mut decoded).unwrap();
            assert_eq!(decoded, wanted, "{units:?}");
        }
    }
}
