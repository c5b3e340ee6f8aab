//! What is in log events: CloudTrail's records, and what others have written to the same group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::aws::logs::LogEvent;
use crate::formats::{self, ValueKind};
use crate::record::{Index, Member, Record};
use crate::settings::Settings;
use crate::source::timeline::Event;
use crate::state;
use crate::stats::Stats;
use crate::trail::Listed;

/// Tells records from other messages, and takes those of some accounts and regions.
pub(super) struct Messages {
    accounts: Listed,
    regions: Listed,
    said_others: AtomicBool,
    said_broken: AtomicBool,
    stats: Arc<Stats>,
}

impl Messages {
    pub fn new(settings: &Settings, stats: &Arc<Stats>) -> Self {
        Self {
            accounts: settings.accounts.clone(),
            regions: settings.regions.clone(),
            said_others: AtomicBool::new(false),
            said_broken: AtomicBool::new(false),
            stats: Arc::clone(stats),
        }
    }

    /// What stands for a log event.
    pub fn id(event: &LogEvent) -> u64 {
        // Other servers may give none.
        state::hash(match event.id.is_empty() {
            true => &event.message,
            false => &event.id,
        })
    }

    /// The record in a log event. None where it has none that is read, which is counted.
    pub fn event(&self, event: &LogEvent) -> Option<Event> {
        let id = Self::id(event);
        let (text, kind) = formats::look_into_text(&event.message);
        let record = match kind {
            ValueKind::Record(range) => &text[range],
            // A check whether a subscription works.
            ValueKind::Nothing => return None,
            ValueKind::Other | ValueKind::Unknown(_) => {
                self.stats.records_found.add(1);
                self.stats.records_other.add(1);
                if !self.said_others.swap(true, Ordering::Relaxed) {
                    self.stats.note(
                        "there are messages of others than CloudTrail in the log group, which are left out and counted"
                            .to_owned(),
                    );
                }
                return None;
            }
            ValueKind::Broken(why) => {
                self.stats.records_found.add(1);
                self.stats.records_unreadable.add(1);
                if !self.said_broken.swap(true, Ordering::Relaxed) {
                    self.stats.warn(format!(
                        "the log event {} {why}; such events are left out and counted",
                        event.id
                    ));
                }
                return None;
            }
        };
        if !self.takes(record) {
            self.stats.records_found.add(1);
            self.stats.records_elsewhere.add(1);
            return None;
        }
        Some(Event {
            time: event.time,
            id,
            json: String::from_utf8_lossy(record).into_owned(),
        })
    }

    /// Is it of one of the accounts and regions that are read?
    fn takes(&self, record: &[u8]) -> bool {
        if self.accounts.are_all() && self.regions.are_all() {
            return true;
        }
        let mut index = Index::default();
        let mut record = Record::new(record, &mut index);
        let mut takes = |list: &Listed, members: &[Member]| {
            let value = members.iter().find_map(|member| record.text(*member));
            let name = value
                .as_deref()
                .and_then(|value| std::str::from_utf8(value).ok());
            list.are_all() || list.contain(name)
        };
        takes(
            &self.accounts,
            &[Member::RecipientAccountId, Member::AccountId],
        ) && takes(&self.regions, &[Member::AwsRegion])
    }
}
