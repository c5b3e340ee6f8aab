//! What hosts see: the only room that names the Falco SDK.
//!
//! Everything that the host calls begins here, behind guards that catch every panic.

mod announced;
mod doubles;
mod event;
mod exports;
pub(crate) mod extract;
mod instance;
mod late;
mod log;
mod object;
mod plugin;

pub use extract::Extractor;
pub use instance::Instance;
pub use plugin::CloudTrail;

use anyhow::anyhow;

/// The ID of the official plugin, which this one replaces.
pub(crate) const PLUGIN_ID: u32 = 2;

/// Text without NUL, since hosts take it as a C string, which a NUL would end.
fn for_host(text: &str) -> String {
    text.replace('\0', "\\0")
}

/// An error as hosts can show it: the SDK hands over the outermost sentence only.
fn host_error(error: &anyhow::Error) -> anyhow::Error {
    anyhow!(for_host(&format!("{error:#}")))
}
