//! The log files that a capture leaves out for their time: whoever has mistaken a day sees what there is.

use jiff::Timestamp;

use super::interval::Interval;

/// When the oldest and the newest of them were delivered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outside(Option<(Timestamp, Timestamp)>);

impl Outside {
    pub fn add(&mut self, delivered: Timestamp) {
        let (oldest, newest) = self.0.unwrap_or((delivered, delivered));
        self.0 = Some((oldest.min(delivered), newest.max(delivered)));
    }

    /// A sentence for a capture that finds nothing at a place. None where nothing was left out.
    pub fn describe(self, asked: Interval, place: impl std::fmt::Display) -> Option<String> {
        let (oldest, newest) = self.0?;
        Some(format!(
            "s3Interval ({asked}) holds nothing of {place}: the oldest log file there was delivered at {oldest}, the newest at \
             {newest}"
        ))
    }
}
