//! One SIMD pass over a record, and walks along what it has found.

use std::ops::ControlFlow;

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use crate::json::simd::{Masks, Strings};

/// A value's place in the record.
#[derive(Clone, Copy, Default)]
pub(super) struct Token {
    pub start: u32,
    /// Behind the value's last byte, so it is never 0 where there is a value.
    pub end: u32,
}

/// Where the structural characters are in 64 bytes of the record, except those in strings.
#[derive(Clone, Copy, Default)]
pub(super) struct Block {
    /// Colons and closing brackets.
    after_name: u64,
    /// Commas and closing brackets.
    after_value: u64,
    bracket: u64,
    /// Bytes that have to be unescaped or checked, also in strings: backslashes, NUL, and bytes that are not ASCII.
    special: u64,
}

/// Notes where a record's structural characters are. True if nothing in the record is special.
pub(super) fn scan(record: &[u8], blocks: &mut Vec<Block>) -> bool {
    dispatch!(Level::new(), simd => scan_with(simd, record, blocks))
}

// This and all that it calls is inlined into the code that `dispatch` makes for each kind of CPU.
#[inline(always)]
fn scan_with<S: Simd>(simd: S, record: &[u8], blocks: &mut Vec<Block>) -> bool {
    blocks.clear();
    blocks.reserve(record.len() / 64 + 2);
    let mut scan = Scan::default();
    let (chunks, rest) = record.as_chunks();
    for chunk in chunks {
        blocks.push(scan.block(simd, chunk));
    }
    if !rest.is_empty() {
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        blocks.push(scan.block(simd, &last));
    }
    // Scanned::next always looks at two of them.
    blocks.push(Block::default());
    scan.special == 0
}

/// What the scan carries over from block to block.
#[derive(Default)]
struct Scan {
    strings: Strings,
    /// What has been special in any block.
    special: u64,
}

impl Scan {
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, bytes: &[u8; 64]) -> Block {
        let bytes = u8x64::load_array_ref(simd, bytes);
        let Masks {
            backslash,
            open,
            close,
            colon,
            comma,
            ..
        } = self.strings.masks(bytes);
        // Subtracting 1 makes NUL wrap around, so that one comparison finds it together with bytes that are not ASCII. The
        // two masks are added because LLVM compiles an OR of them bit by bit.
        let special = backslash + (bytes - 1).simd_ge(0x7f).to_bitmask();
        self.special |= special;
        Block {
            after_name: colon | close,
            after_value: comma | close,
            bracket: open | close,
            special,
        }
    }
}

/// A record's bytes, and what the scan has found in them.
#[derive(Clone, Copy)]
pub(super) struct Scanned<'a> {
    pub bytes: &'a [u8],
    pub blocks: &'a [Block],
    /// There is nothing special in the bytes, see [`Block::special`].
    pub plain: bool,
}

impl<'a> Scanned<'a> {
    /// Calls `each` with the names, as they stand between their quotes, and values of the object at
    /// `start`, if it is one, until it breaks.
    // This is not an iterator, because an iterator's items would go through memory.
    #[inline(always)]
    pub fn members(self, start: usize, mut each: impl FnMut(&'a [u8], Token) -> ControlFlow<()>) {
        let (mut at, mut before) = (start, b'{');
        while self.bytes.get(at) == Some(&before) {
            let name = self.skip_space(at + 1);
            let Some(colon) = self.next(name, |block| block.after_name) else {
                return;
            };
            let Some([b'"', name @ .., b'"']) = self.bytes.get(name..self.skip_space_back(colon))
            else {
                return;
            };
            if self.bytes[colon] != b':' {
                return;
            }
            let Some((value, after)) = self.value_from(colon + 1) else {
                return;
            };
            if each(name, value).is_break() {
                return;
            }
            (at, before) = (after, b',');
        }
    }

    /// The elements of the array at `start`, if it is one.
    pub fn elements(self, start: usize) -> impl Iterator<Item = Token> {
        let (mut at, mut before) = (start, b'[');
        std::iter::from_fn(move || {
            if self.bytes.get(at) != Some(&before) {
                return None;
            }
            let (value, after) = self.value_from(at + 1)?;
            (at, before) = (after, b',');
            Some(value)
        })
    }

    /// Is there nothing special in a token?
    #[inline]
    pub fn is_plain(self, token: Token) -> bool {
        self.plain || self.is_plain_within(token)
    }

    fn is_plain_within(self, Token { start, end }: Token) -> bool {
        let (start, last) = (start as usize, (end as usize).saturating_sub(1));
        let (from_start, to_last) = (!0 << (start % 64), !0 >> (63 - last % 64));
        match self.blocks.get(start / 64..=last / 64) {
            Some([block]) => block.special & from_start & to_last == 0,
            Some([first, between @ .., end]) => {
                first.special & from_start == 0
                    && end.special & to_last == 0
                    && between.iter().all(|block| block.special == 0)
            }
            _ => true,
        }
    }

    /// The value behind `from`, and where the comma or bracket after it is.
    #[inline(always)]
    fn value_from(self, from: usize) -> Option<(Token, usize)> {
        let start = self.skip_space(from);
        let from = match self.bytes.get(start)? {
            b'{' | b'[' => self.closing(start)? + 1,
            _ => start,
        };
        let after = self.next(from, |block| block.after_value)?;
        let end = self.skip_space_back(after);
        (start < end).then_some((
            Token {
                start: start as u32,
                end: end as u32,
            },
            after,
        ))
    }

    /// The first place from `from` on that `bits` has.
    #[inline(always)]
    fn next(self, from: usize, bits: impl Fn(&Block) -> u64) -> Option<usize> {
        let at = from / 64;
        // First the 64 bytes from here on, across the end of a block. They hold most names and values, and a branch on
        // where a block ends could not be predicted.
        let (two, one) = (self.blocks.get(at + 1)?, &self.blocks[at]);
        let near = (bits(one) >> (from % 64)) | (bits(two) << 1 << (63 - from % 64));
        if near != 0 {
            return Some(from + near.trailing_zeros() as usize);
        }
        self.blocks[at + 1..]
            .iter()
            .zip(at + 1..)
            .find_map(|(block, at)| {
                let bits = bits(block);
                (bits != 0).then(|| at * 64 + bits.trailing_zeros() as usize)
            })
    }

    /// The bracket that closes the one at `open`, however deep the nesting between them.
    fn closing(self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        let mut keep = !0 << (open % 64);
        for (block, at) in self.blocks.get(open / 64..)?.iter().zip(open / 64..) {
            let mut brackets = block.bracket & keep;
            keep = !0;
            while brackets != 0 {
                let at = at * 64 + brackets.trailing_zeros() as usize;
                match self.bytes[at] {
                    b'{' | b'[' => depth += 1,
                    _ => depth -= 1,
                }
                if depth == 0 {
                    return Some(at);
                }
                brackets &= brackets - 1;
            }
        }
        None
    }

    /// The first place from `from` on that is not a space. Outside of strings, JSON has no other bytes below the space.
    #[inline(always)]
    pub fn skip_space(self, mut from: usize) -> usize {
        while self.bytes.get(from).is_some_and(|&byte| byte <= b' ') {
            from += 1;
        }
        from
    }

    /// The place behind the last byte before `to` that is not a space.
    #[inline(always)]
    fn skip_space_back(self, mut to: usize) -> usize {
        while to
            .checked_sub(1)
            .and_then(|last| self.bytes.get(last))
            .is_some_and(|&byte| byte <= b' ')
        {
            to -= 1;
        }
        to
    }
}
