//! What a file is, and where the records in it are.

pub(crate) mod archive;
pub(crate) mod compression;
pub(crate) mod gzip;
mod libdeflate;
pub(crate) mod shapes;
pub(crate) mod split;
pub(crate) mod splitter;
pub(crate) mod utf16;

use std::io::Read;

use archive::Kind;
use compression::{Compression, ZstdFrames};
use gzip::GzipMembers;
pub(crate) use shapes::ValueKind;
use utf16::Utf8;

/// Compressed data within compressed data within …: Firehose can compress what CloudWatch Logs has compressed.
pub(crate) const LAYERS: u8 = 3;

/// How much of a file is looked at for signs of events: what is before them may be long where keys are sorted.
const LOOK: u64 = 64 << 10;
/// So many bytes tell in any case what a file is.
const ENOUGH: usize = 4 << 10;

/// Documents and programs that are zip archives, too, by the endings of their names.
const OTHER_ZIPS: [&str; 24] = [
    ".aar", ".apk", ".crx", ".docm", ".docx", ".ear", ".epub", ".ipa", ".jar", ".key", ".kmz",
    ".nupkg", ".numbers", ".odp", ".ods", ".odt", ".pages", ".pptx", ".vsix", ".war", ".whl",
    ".xlsm", ".xlsx", ".xpi",
];

/// Does a file that is not named as a log file begin as one, or as an archive? This is also true of one that can't be
/// opened here, or is damaged, since it may hold events and should not be passed over silently.
pub(crate) fn holds_events(name: &str, input: &mut dyn Read) -> bool {
    let Ok(head) = first_bytes(input, 0) else {
        return true;
    };
    match archive::kind(&head) {
        Some(Kind::Zip) => {
            let name = name.to_ascii_lowercase();
            !OTHER_ZIPS.iter().any(|ending| name.ends_with(ending))
        }
        Some(Kind::Tar) => true,
        None => compression::unread(&head).is_some() || shapes::may_hold_events(&head),
    }
}

/// The record that this is, by itself or wrapped.
pub(crate) fn record_within(text: &str) -> Option<Vec<u8>> {
    match look_into_text(text) {
        (data, ValueKind::Record(range)) => Some(data[range].to_vec()),
        _ => None,
    }
}

/// What a text is that comes by itself, and the bytes that a record's place is in.
pub(crate) fn look_into_text(text: &str) -> (Vec<u8>, ValueKind) {
    let mut data = text.trim_ascii().as_bytes().to_vec();
    let kind = match serde_json::from_slice::<serde::de::IgnoredAny>(&data) {
        Ok(_) => {
            let end = data.len();
            shapes::look_into(&mut data, 0..end)
        }
        Err(error) if shapes::is_event(&data) => ValueKind::Broken(format!("is broken: {error}")),
        Err(_) => ValueKind::Unknown("is text"),
    };
    (data, kind)
}

/// The first bytes of what is compressed so often, as they are when they are inflated, in UTF-8. An error where damage leaves
/// too few of them to tell.
fn first_bytes(input: &mut dyn Read, layers: u8) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = Read::take(&mut *input, LOOK).read_to_end(&mut head);
    let compression = compression::compression(&head).filter(|_| layers < LAYERS);
    if compression.is_none() && !utf16::is_utf16(&head) {
        return match read {
            Err(error) if head.len() < ENOUGH => Err(error),
            _ => Ok(head),
        };
    }
    let mut all: &mut dyn Read = &mut Read::chain(&*head, input);
    match compression {
        Some(Compression::Gzip) => first_bytes(&mut GzipMembers::new(&mut all), layers + 1),
        Some(Compression::Xz) => first_bytes(&mut compression::xz(&mut all), layers + 1),
        Some(Compression::Zstd) => first_bytes(&mut ZstdFrames::new(&mut all), layers + 1),
        None => {
            let mut text = Vec::new();
            _ = Read::take(Utf8::new(all), LOOK).read_to_end(&mut text);
            Ok(text)
        }
    }
}
