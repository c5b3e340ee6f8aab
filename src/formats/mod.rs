//! What a file is, and where the records in it are.

pub(crate) mod archive;
pub(crate) mod gzip;
pub(crate) mod shapes;
pub(crate) mod split;
pub(crate) mod splitter;

use std::io::Read;

use archive::Kind;
use gzip::{GzipMembers, is_gzip};
use shapes::ValueKind;

/// Compressed data within compressed data within …: Firehose can compress what CloudWatch Logs has compressed.
pub(crate) const LAYERS: u8 = 3;

/// Does a file that is not named as a log file begin as one, or as an archive?
pub(crate) fn holds_events(name: &str, input: &mut dyn Read) -> bool {
    let head = first_bytes(input, 0);
    match archive::kind(&head) {
        // Documents and programs are zip archives, too.
        Some(Kind::Zip) => !name
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(name)
            .contains('.'),
        Some(Kind::Tar) => true,
        None => shapes::may_hold_events(&head),
    }
}

/// The record that this is, by itself or wrapped.
pub(crate) fn record_within(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut data = text.as_bytes().to_vec();
    let end = data.len();
    match shapes::look_into(&mut data, 0..end) {
        ValueKind::Record(range) => Some(data[range].to_vec()),
        _ => None,
    }
}

/// The first bytes of what is compressed so often, inflated.
fn first_bytes(input: &mut dyn Read, layers: u8) -> Vec<u8> {
    let mut head = Vec::new();
    // What is before damage may do.
    _ = Read::take(&mut *input, 4 << 10).read_to_end(&mut head);
    match is_gzip(&head) && layers < LAYERS {
        true => {
            let mut rest: &mut dyn Read = &mut Read::chain(&*head, input);
            first_bytes(&mut GzipMembers::new(&mut rest), layers + 1)
        }
        false => head,
    }
}
