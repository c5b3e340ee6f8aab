//! What an event is known by where it comes more than once: in the log files of several trails, or in copies of them.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;

use crate::record::{Index, Member, Record, Value};

/// An event by its ID, its recipient and its addendum.
///
/// The hash has 127 bits, so among the two million events of the largest window there is another one's with a probability
/// of 2⁻¹⁰⁶. Its key is made at random for each capture, so nobody can write events that are taken for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(NonZero<u64>, u64);

/// Which events get a fingerprint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fingerprints {
    of: Events,
    key: RandomState,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Events {
    #[default]
    None,
    Sample,
    All,
}

impl Fingerprints {
    /// One event of so many is in the sample.
    pub const SAMPLE: u64 = 64;

    /// Of all events, or of a sample of them.
    pub fn new(of_all: bool) -> Self {
        Self {
            of: match of_all {
                true => Events::All,
                false => Events::Sample,
            },
            key: RandomState::new(),
        }
    }

    /// The fingerprint of a record, which has this time in ns since the epoch. `index` is scratch space.
    ///
    /// The sample is one of seconds, since events that are the same have the same time. So most records are not looked at.
    #[inline]
    pub fn of(&self, record: &[u8], time: u64, index: &mut Index) -> Option<Fingerprint> {
        let wanted = match self.of {
            Events::None => false,
            Events::Sample => is_sampled(time),
            Events::All => true,
        };
        if wanted {
            self.make(record, index)
        } else {
            None
        }
    }

    /// None where a record has no ID that it can be known by.
    fn make(&self, record: &[u8], index: &mut Index) -> Option<Fingerprint> {
        let mut record = Record::new(record, index);
        // As `ct.id`.
        let id = record
            .get(Member::EventId)
            .or_else(|| record.get(Member::EventIdOfAggregate))
            .filter(|id| id.is_string())?
            .text()
            .filter(|id| is_name(id))?;
        // The accounts that an event concerns each have their own.
        let recipient = record.text(Member::RecipientAccountId);
        if recipient.as_ref().is_some_and(|account| !is_name(account)) {
            return None;
        }
        // An event that is sent again with one tells more. It is compared as it stands, so that what differs stays.
        let addendum = record.get(Member::Addendum);
        let addendum = addendum
            .filter(|addendum| !addendum.is_null())
            .map(Value::json);
        let content = (id, recipient, addendum);
        let [first, second] = [0, 1].map(|half: u8| self.key.hash_one((half, &content)));
        // Never 0, so that a place for one that may be missing takes no more memory.
        Some(Fingerprint(NonZero::<u64>::MIN | first, second))
    }
}

/// Whether events of this time, in ns since the epoch, are in the sample. Multiplied so, the seconds that are in it are
/// spread evenly: there are some in any three minutes.
fn is_sampled(time: u64) -> bool {
    let spread = (time / 1_000_000_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread < u64::MAX / Fingerprints::SAMPLE
}

/// Whether this tells something from all others: it has no asterisks, which redaction leaves, nor anything that texts
/// show for what they can't hold.
fn is_name(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'\\');
    !text.is_empty() && text.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fingerprints of records, all with the same key.
    fn of<const N: usize>(records: [&str; N]) -> [Option<Fingerprint>; N] {
        let fingerprints = Fingerprints::new(true);
        let mut index = Index::default();
        records.map(|record| fingerprints.of(record.as_bytes(), 0, &mut index))
    }

    fn assert_same(one: &str, other: &str) {
        let [a, b] = of([one, other]);
        assert!(a.is_some() && a == b, "{one} and {other}");
    }

    fn assert_differ(one: &str, other: &str) {
        let [a, b] = of([one, other]);
        assert!(a.is_some() && b.is_some() && a != b, "{one} and {other}");
    }

    #[test]
    fn the_same_event_is_known_however_it_is_written() {
        let event = r#"{"eventName":"X","eventID":"a1-b2","recipientAccountId":"1"}"#;
        for other in [
            r#"{"recipientAccountId":"1","eventID":"a1-b2"}"#,
            "{ \"eventID\" :\t\"a1-b2\" ,\n\"recipientAccountId\" : \"1\" }",
            r#"{"eventID":"\u00611\u002db2","recipientAccountId":"\u0031"}"#,
            r#"{"event\u0049D":"a1-b2","recipientAccountId":"1"}"#,
            r#"{"eventID":"a1-b2","recipientAccountId":"1","addendum":null}"#,
            r#"{"requestParameters":{"eventID":"z"},"eventID":"a1-b2","recipientAccountId":"1"}"#,
            r#"{"requestParameters":"\"eventID\":\"z\"","eventID":"a1-b2","recipientAccountId":"1"}"#,
            // Of members with the same name, the first one counts, as everywhere.
            r#"{"eventID":"a1-b2","recipientAccountId":"1","eventID":"z"}"#,
            r#"{"eventID":"a1-b2","eventId":"z","recipientAccountId":"1"}"#,
            r#"{"eventId":"a1-b2","recipientAccountId":"1"}"#,
        ] {
            assert_same(event, other);
        }
        let with = r#"{"eventID":"a","addendum":{"reason":"DELIVERY_DELAY"}}"#;
        assert_same(
            with,
            r#"{"addendum":{"reason":"DELIVERY_DELAY"},"eventID":"a"}"#,
        );
    }

    #[test]
    fn other_events_are_told_apart() {
        let event = r#"{"eventID":"a","recipientAccountId":"1"}"#;
        for other in [
            r#"{"eventID":"b","recipientAccountId":"1"}"#,
            r#"{"eventID":"A","recipientAccountId":"1"}"#,
            r#"{"eventID":"a","recipientAccountId":"2"}"#,
            r#"{"eventID":"a"}"#,
            r#"{"eventID":"a1"}"#,
            r#"{"eventID":"a","recipientAccountId":"1","addendum":{}}"#,
            r#"{"eventID":"a","recipientAccountId":"1","addendum":{"reason":"SERVICE_OUTAGE"}}"#,
            r#"{"eventID":"b","sharedEventID":"a","recipientAccountId":"1"}"#,
            r#"{"eventID":"b","requestParameters":{"eventID":"a"},"recipientAccountId":"1"}"#,
            r#"{"eventID":"b","eventID":"a","recipientAccountId":"1"}"#,
        ] {
            assert_differ(event, other);
        }
        assert_differ(
            r#"{"eventID":"a","addendum":{"reason":"UPDATED_DATA"}}"#,
            r#"{"eventID":"a","addendum":{"reason":"DELIVERY_DELAY"}}"#,
        );
        assert_differ(
            r#"{"eventID":"a","recipientAccountId":"1"}"#,
            r#"{"eventID":"a","addendum":1}"#,
        );
    }

    #[test]
    fn what_has_no_usable_id_has_no_fingerprint() {
        for record in [
            "",
            "{}",
            "[]",
            "{",
            r#"{"eventID":}"#,
            r#"{"eventID":null}"#,
            r#"{"eventID":""}"#,
            r#"{"eventID":7}"#,
            r#"{"eventID":{"a":"b"}}"#,
            r#"{"eventID":["a"]}"#,
            r#"{"eventID":"******"}"#,
            r#"{"eventID":"12345***"}"#,
            r#"{"eventID":"\ud800"}"#,
            r#"{"eventID":"\u0000"}"#,
            r#"{"eventID":"a b"}"#,
            r#"{"sharedEventID":"a"}"#,
            r#"{"requestParameters":{"eventID":"a"}}"#,
            r#"{"detail":{"eventID":"a"}}"#,
            r#"{"eventID":"a","recipientAccountId":"************"}"#,
            r#"{"eventID":null,"requestParameters":{"eventID":"a"}}"#,
        ] {
            assert_eq!(of([record]), [None], "{record}");
        }
        let broken = b"{\"eventID\":\"\xff\"}";
        let fingerprints = Fingerprints::new(true);
        assert_eq!(fingerprints.of(broken, 0, &mut Index::default()), None);
    }

    #[test]
    fn captures_have_keys_of_their_own() {
        let record = br#"{"eventID":"a"}"#;
        let make = || Fingerprints::new(true).of(record, 0, &mut Index::default());
        assert_ne!(make(), make());
    }

    #[test]
    fn a_sample_is_one_of_seconds() {
        let record = br#"{"eventID":"a"}"#;
        let fingerprints = Fingerprints::new(false);
        let mut index = Index::default();
        let mut is_in = |second: u64, nanoseconds: u64| {
            let time = second * 1_000_000_000 + nanoseconds;
            fingerprints.of(record, time, &mut index).is_some()
        };
        let first = 1_700_000_000;
        let seconds = first..first + 64 * 1000;
        let sampled: Vec<u64> = seconds.filter(|second| is_in(*second, 0)).collect();
        assert!((990..=1010).contains(&sampled.len()), "{}", sampled.len());
        assert!(sampled.iter().all(|second| is_in(*second, 999_999_999)));
        assert!(sampled.windows(2).all(|pair| pair[1] - pair[0] <= 180));
        let off = Fingerprints::default();
        assert_eq!(off.of(record, 0, &mut index), None);
    }

    /// A place for one takes as much memory as it has bytes.
    #[test]
    fn a_missing_one_takes_no_more_memory() {
        assert_eq!(size_of::<Option<Fingerprint>>(), 16);
    }
}
