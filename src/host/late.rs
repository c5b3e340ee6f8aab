//! Conditions of `filter` on what other records tell, such as `ct.origin`: they are decided when an event is handed over, in
//! order; all others while decoding.

use std::sync::Arc;

use crate::fields::Beside;
use crate::fields::origin::{Origins, Sessions};
use crate::filter::Filter;
use crate::geo::{Atlas, Places};
use crate::record::Index;

/// What is left to decide of `filter`.
pub(crate) struct Late {
    /// None if nothing is.
    filter: Option<Filter>,
    beside: Beside,
    index: Index,
}

impl Late {
    pub fn new(filter: &Filter, sessions: &Arc<Sessions>, atlas: &Arc<Atlas>) -> Self {
        Self {
            filter: filter.is_of_others().then(|| filter.clone()),
            beside: Beside {
                origins: Some(Origins::new(sessions)),
                places: Places::new(atlas),
            },
            index: Index::default(),
        }
    }

    /// Whether a record is kept.
    pub fn keeps(&mut self, record: &[u8]) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.keeps(record, &mut self.index, &mut self.beside))
    }
}
