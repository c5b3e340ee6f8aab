//! What is known beside a record, which some fields show.

use crate::geo::Places;

use super::origin::Origins;

/// What is known beside a record.
#[derive(Default)]
pub(crate) struct Beside {
    /// Who stands behind sessions, which other records tell; none while that is not known yet.
    pub origins: Option<Origins>,
    /// Where addresses are from.
    pub places: Places,
}

impl Beside {
    /// Another record is asked about.
    pub fn forget(&mut self) {
        if let Some(origins) = &mut self.origins {
            origins.forget();
        }
    }
}
