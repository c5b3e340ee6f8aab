//! Which fields of an event a host was given.

use super::FIELDS;

/// A bit for each field. The remaining bits stand for fields that were asked for with an argument.
#[derive(Default)]
pub(super) struct Given([u64; 4]);

/// The bit of the field that a call asks for. `None` if it asks for several fields.
pub(crate) type Asked = Option<u8>;

/// The bit for a field, with its argument as a number if it has one.
#[inline]
pub(crate) fn asked(field: usize, argument: Option<usize>) -> Asked {
    // A field ID that is too large is reported as an error elsewhere, so any bit will do here.
    let bit = match argument {
        None => field,
        // Arguments that share a bit are treated as one field that is asked for again.
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

    /// Forgets all fields but this one. If several fields were given, any field may have been among them.
    #[inline]
    pub fn start(&mut self, asked: Asked) {
        self.0 = match asked {
            None => [!0; 4],
            Some(_) => [0; 4],
        };
        self.add(asked);
    }
}
