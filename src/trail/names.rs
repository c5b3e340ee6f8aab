//! What names of single folders and files are.

/// The folders of a key or path, and the name behind them.
pub(super) fn folders_and_name(key: &str) -> (Vec<&str>, &str) {
    let mut folders: Vec<&str> = key.split(['/', '\\']).collect();
    let name = folders.pop().unwrap_or_default();
    (folders, name)
}

/// The last part of a key or path.
pub(super) fn file_name(key: &str) -> &str {
    key.rsplit(['/', '\\']).next().unwrap_or(key)
}

/// The folder of digests, beside those of the kinds.
pub(crate) const DIGESTS: &str = "CloudTrail-Digest";

/// The folder of what CloudTrail Lake has been asked for.
const LAKE: &str = "CloudTrail-Lake";

/// Is this the name of a folder of log files below an account? Of those that begin with `CloudTrail` all but the
/// two that are known to hold no events, so that new ones are read rather than missed. Copies may have it in small
/// letters.
pub(crate) fn is_kind(folder: &str) -> bool {
    is_of_cloudtrail(folder)
        && ![DIGESTS, LAKE]
            .iter()
            .any(|other| folder.eq_ignore_ascii_case(other))
}

pub(super) fn is_of_cloudtrail(folder: &str) -> bool {
    folder
        .get(.."CloudTrail".len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case("CloudTrail"))
}

/// Twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Words and a number, such as `us-gov-west-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is =
        |part: &&str, of: fn(&u8) -> bool| !part.is_empty() && part.bytes().all(|byte| of(&byte));
    matches!(&parts[..], [words @ .., number]
        if words.len() >= 2
            && words.iter().all(|word| is(word, u8::is_ascii_lowercase))
            && is(number, u8::is_ascii_digit))
}

/// An organization's ID: `o-` and 10 to 32 lower-case letters or digits.
pub(crate) fn is_organization(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|rest| {
        (10..=32).contains(&rest.len())
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}
