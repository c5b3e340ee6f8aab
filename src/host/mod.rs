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

use crate::process::printable;
use log::HostLog;

/// The ID of the official plugin, which this one replaces.
pub(crate) const PLUGIN_ID: u32 = 2;

/// An error as hosts can show it: the SDK hands over the outermost sentence only.
fn host_error(error: &anyhow::Error) -> anyhow::Error {
    anyhow!(printable(&format!("{error:#}")))
}

/// As many bytes as hosts show of an error of a capture, by libscap's `SCAP_LASTERR_SIZE`: sysdig 0.41.4, falcodump 4.6.9.
const SHOWN: usize = 255;

/// An error of a capture. Where hosts would cut it, in the middle of a word maybe, it ends before that word, and the log has
/// all of it.
fn capture_error(error: &anyhow::Error, log: &HostLog) -> anyhow::Error {
    let error = host_error(error).to_string();
    if error.len() <= SHOWN {
        return anyhow!(error);
    }
    log.warn(&error);
    let start = &error[..error.floor_char_boundary(SHOWN - "…".len())];
    // A long key has no blanks.
    let end = start.rfind(' ').filter(|end| end + 100 > SHOWN);
    anyhow!("{}…", start[..end.unwrap_or(start.len())].trim_end())
}
