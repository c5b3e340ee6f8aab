//! Which fields of an event a host was given.

use super::FIELDS;

/// Fields as bits, and in the bits behind them what was asked for with an argument.
#[derive(Default)]
pub(super) struct Given([u64; 4]);

/// What a call asks for: a bit, or none if it is more than one field.
pub(crate) type Asked = Option<u8>;

/// What one request asks for: a field, and its argument as a number, where it has one.
#[inline]
pub(crate) fn asked(field: usize, argument: Option<usize>) -> Asked {
    // Of a field ID too large, which is an error, any bit will do.
    let bit = match argument {
        None => field,
        // Those that share a bit count as one field that is asked for again.
        Some(argument) => FIELDS.len() + argument % (Given::BITS - FIELDS.len()),
    };
    Some(bit as u8)
}

impl Given {
    pub const BITS: usize = 256;

    /// Adds a field, unless it may have been given before.
    #[inline]
    pub fn add(&mut self, asked: Asked) -> bool {
        let Some(bit) = asked else {
            return false;
        };
        let (word, mask) = (&mut self.0[usize::from(bit / 64)], 1 << (bit % 64));
        let is_new = *word & mask == 0;
        *word |= mask;
        is_new
    }

    /// Forgets all others; of several fields any may have been among them.
    #[inline]
    pub fn start(&mut self, asked: Asked) {
        self.0 = match asked {
            None => [!0; 4],
            Some(_) => [0; 4],
        };
        self.add(asked);
    }
}
