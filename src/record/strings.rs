//! The texts of JSON strings, made fit for C strings.

use std::borrow::Cow;

/// The text of a JSON string, made fit for a C string.
pub(crate) fn unescape(string: &[u8]) -> Cow<'_, [u8]> {
    printable(text(string))
}

/// The text of a JSON string.
pub(crate) fn text(string: &[u8]) -> Cow<'_, [u8]> {
    if !string.contains(&b'\\') {
        return string.into();
    }
    let mut text = Vec::with_capacity(string.len());
    let mut rest = string;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        let Some(&escape) = rest.get(at + 1) else {
            rest = &rest[at..];
            break;
        };
        rest = &rest[at + 2..];
        text.push(match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let char = unicode_escape(&mut rest);
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        });
    }
    text.extend_from_slice(rest);
    text.into()
}

/// Takes the rest of a `\u` escape, and the low surrogate after a high one.
fn unicode_escape(rest: &mut &[u8]) -> char {
    fn unit(digits: &[u8]) -> Option<u32> {
        let digits = digits.first_chunk::<4>()?;
        digits.iter().try_fold(0, |unit, &digit| {
            Some((unit << 4) | char::from(digit).to_digit(16)?)
        })
    }
    let Some(first) = unit(rest) else {
        return char::REPLACEMENT_CHARACTER;
    };
    *rest = &rest[4..];
    if let 0xd800..0xdc00 = first
        && let Some(second @ 0xdc00..0xe000) = rest.strip_prefix(br"\u").and_then(unit)
    {
        *rest = &rest[6..];
        let char = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return char::from_u32(char).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Shows NUL, which ends a C string, as JSON writes it, and what isn't UTF-8 as replacement characters.
pub(super) fn printable(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match str::from_utf8(&text) {
        Ok(utf8) if !utf8.contains('\0') => text,
        _ => String::from_utf8_lossy(&text)
            .replace('\0', r"\u0000")
            .into_bytes()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decoded_as_json_and_fit_a_c_string() {
        for (string, text) in [
            (r"plain".as_bytes(), "plain"),
            (r#"\"\\\/\b\f\n\r\t"#.as_bytes(), "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u00e9\u4e2D\u00000".as_bytes(), "\u{e9}\u{4e2d}\\u00000"),
            (r"\ud83d\ude00!".as_bytes(), "\u{1f600}!"),
            (r"\ud83d!".as_bytes(), "\u{fffd}!"),
            (r"\ude00\ud83d".as_bytes(), "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00".as_bytes(), "\u{fffd}\u{1f600}"),
            (r"\ud83d\u0041".as_bytes(), "\u{fffd}A"),
            (r"\u12".as_bytes(), "\u{fffd}12"),
            (r"\".as_bytes(), "\\"),
            (b"a\0b", "a\\u0000b"),
            (b"a\xffb\\n\xe2\x82", "a\u{fffd}b\n\u{fffd}"),
            ("Zo\u{eb}".as_bytes(), "Zo\u{eb}"),
        ] {
            assert_eq!(str::from_utf8(&unescape(string)), Ok(text), "{string:?}");
        }
    }
}
