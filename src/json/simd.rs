//! JSON by 64 bytes at a time: where its strings are, and which of its characters are structure.

use fearless_simd::{Simd, prelude::*, u8x64};

/// How many bytes are looked at together; a mask has a bit for each of them.
pub(crate) const BLOCK: usize = 64;

/// Where strings are; carries over from block to block.
#[derive(Default)]
pub(crate) struct Strings {
    /// All bits, if the block begins within a string.
    within: u64,
    /// The lowest bit, if a backslash escapes the block's first byte.
    escaped: u64,
}

/// The characters of one block.
pub(crate) struct Masks {
    /// Strings with their opening quotes and without their closing ones.
    pub string: u64,
    /// The quotes of strings, both.
    pub quote: u64,
    pub backslash: u64,
    /// `{` and `[` outside of strings.
    pub open: u64,
    /// `}` and `]` outside of strings.
    pub close: u64,
    /// Outside of strings.
    pub colon: u64,
    /// Outside of strings.
    pub comma: u64,
}

// Inlined, as is all that it calls, into the code that `dispatch` makes for each kind of CPU.
impl Strings {
    #[inline(always)]
    pub fn masks<S: Simd>(&mut self, bytes: u8x64<S>) -> Masks {
        let backslash = bytes.simd_eq(b'\\').to_bitmask();
        let mut quote = bytes.simd_eq(b'"').to_bitmask();
        if backslash | self.escaped != 0 {
            quote &= !escaped(backslash, &mut self.escaped);
        }
        let string = prefix_xor(quote) ^ self.within;
        self.within = (string as i64 >> 63) as u64;
        // The two opening brackets differ in one bit only, as do the closing ones.
        let bracket = bytes | 0x20;
        Masks {
            string,
            quote,
            backslash,
            open: bracket.simd_eq(b'{').to_bitmask() & !string,
            close: bracket.simd_eq(b'}').to_bitmask() & !string,
            colon: bytes.simd_eq(b':').to_bitmask() & !string,
            comma: bytes.simd_eq(b',').to_bitmask() & !string,
        }
    }

    /// Did the last block end within a string?
    pub fn is_within(&self) -> bool {
        self.within != 0
    }
}

/// The bytes that a backslash escapes; `next` carries over from block to block whether the first one is.
#[inline(always)]
fn escaped(backslash: u64, next: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslash = backslash & !*next;
    let follows = (backslash << 1) | *next;
    // An addition carries through each run of backslashes that starts at an odd place; so a run's
    // end tells whether the byte after it is escaped.
    let odd_starts = backslash & !EVEN & !follows;
    let (runs, overflow) = odd_starts.overflowing_add(backslash);
    *next = u64::from(overflow);
    (EVEN ^ (runs << 1)) & follows
}

/// Each bit becomes the parity of those up to it: from quotes to what they enclose.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
