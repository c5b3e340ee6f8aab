//! What `plugin_init` hands to the plugin that falco_plugin makes in its call.

use std::cell::RefCell;
use std::sync::Arc;

use super::log::HostLog;
use crate::fields::origin::Sessions;
use crate::geo::Atlas;

/// What is the plugin object's own and not falco_plugin's.
#[derive(Default)]
pub(super) struct Announced {
    pub log: HostLog,
    /// What is known of sessions, which extraction asks and decoding tells.
    pub sessions: Arc<Sessions>,
    /// Where addresses are from, which the plugin loads.
    pub atlas: Arc<Atlas>,
}

thread_local! {
    static ANNOUNCED: RefCell<Option<Announced>> = const { RefCell::new(None) };
}

impl Announced {
    /// Keeps it for the plugin that is about to be made on this thread.
    pub fn announce(self) {
        ANNOUNCED.set(Some(self));
    }

    /// What was announced. Where nothing was, the log drops its lines.
    pub fn take() -> Self {
        ANNOUNCED.take().unwrap_or_default()
    }
}
