//! Which fields a host has asked for.

use falco_plugin::api::ss_plugin_extract_field;

use super::FIELDS;

/// Fields as bits, and in the bits behind them what is asked for with an argument.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked([u64; 4]);

impl Asked {
    pub const BITS: usize = 256;
    /// All that can be asked for.
    pub const ALL: Self = Self([!0; 4]);

    /// Adds a request of a host.
    #[inline]
    pub fn insert(&mut self, request: &ss_plugin_extract_field) {
        let bit = match request.arg_present {
            0 => request.field_id as usize,
            // A host keeps the argument of a condition in one place. Those that share a bit count as
            // one field that is asked for again.
            _ => {
                let argument = (request.arg_key.addr() >> 3) ^ request.arg_index as usize;
                FIELDS.len() + argument % (Self::BITS - FIELDS.len())
            }
        };
        // Of a field ID too large, which is an error, any bit will do.
        self.0[bit / 64 % 4] |= 1 << (bit % 64);
    }

    /// Whether anything is in both.
    #[inline]
    pub fn meets(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .any(|(one, other)| one & other != 0)
    }

    /// What is in either.
    #[inline]
    pub fn with(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }
}
