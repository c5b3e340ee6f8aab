//! The form of the AWS CLI's files, as the CLI reads it: Python's `RawConfigParser`, and on top of it values that hold
//! more keys in indented lines.

use std::collections::BTreeMap;

/// What a file holds: keys and values by the name of their section, as it is written between the brackets.
pub(super) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// The section whose keys are those of all others, too.
const OF_ALL: &str = "DEFAULT";

/// A line that can't be read.
#[derive(Debug, PartialEq)]
pub(super) struct BadLine {
    /// From 1.
    pub number: usize,
    pub why: &'static str,
}

/// Read a file. Where a section or a key stands twice, which the CLI refuses, the later one adds to the earlier.
pub(super) fn parse(text: &str) -> Result<Sections, BadLine> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut sections = Sections::new();
    let mut section: Option<String> = None;
    let mut key: Option<String> = None;
    // Of the last line that was no continuation.
    let mut indent = 0;
    for (index, line) in text.split('\n').enumerate() {
        let bad = |why| BadLine {
            number: index + 1,
            why,
        };
        let content = line.trim();
        if content.starts_with(['#', ';']) {
            continue;
        }
        let own_indent = line.chars().take_while(|char| char.is_whitespace()).count();
        let open = section
            .as_ref()
            .zip(key.as_ref())
            .and_then(|(section, key)| sections.get_mut(section)?.get_mut(key));
        match open {
            Some(value) if content.is_empty() || own_indent > indent => {
                value.push('\n');
                value.push_str(content);
                continue;
            }
            _ if content.is_empty() => continue,
            _ => indent = own_indent,
        }
        if let Some(name) = header(content) {
            sections.entry(name.to_owned()).or_default();
            section = Some(name.to_owned());
            key = None;
            continue;
        }
        let Some(section) = &section else {
            return Err(bad(
                "stands before any section: begin with a line such as [default]",
            ));
        };
        let Some(at) = content.find(['=', ':']).filter(|at| *at > 0) else {
            return Err(bad("is neither a section, [name], nor key = value"));
        };
        let name = content[..at].trim_end().to_lowercase();
        let keys = sections.entry(section.clone()).or_default();
        keys.insert(name.clone(), content[at + 1..].trim().to_owned());
        key = Some(name);
    }
    let of_all = sections.remove(OF_ALL).unwrap_or_default();
    for keys in sections.values_mut() {
        for (key, value) in &of_all {
            keys.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for value in keys.values_mut() {
            value.truncate(value.trim_end().len());
        }
    }
    Ok(sections)
}

/// The name in `[name]`, whatever is behind it.
fn header(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?;
    let end = name.rfind(']')?;
    (end > 0).then(|| &name[..end])
}

/// The keys of a value in indented lines: `s3 =`, and below it `addressing_style = path`.
pub(super) fn nested(value: &str) -> BTreeMap<&str, &str> {
    if !value.starts_with('\n') {
        return BTreeMap::new();
    }
    let pairs = value.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect()
}

/// The words of a command, as the AWS CLI takes them apart on this system; none where a quote stays open.
pub(super) fn command(line: &str) -> Option<Vec<String>> {
    match cfg!(windows) {
        true => windows_words(line),
        false => words(line),
    }
}

/// As Windows' programs take their arguments apart: backslashes mean something before `"` only.
fn windows_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut backslashes = 0;
    // The blank ends the last word.
    for char in line.chars().chain(" ".chars()) {
        if char == '\\' {
            backslashes += 1;
            continue;
        }
        let is_quote = char == '"';
        let is_escaped = is_quote && backslashes % 2 == 1;
        let kept = if is_quote {
            backslashes / 2
        } else {
            backslashes
        };
        if kept > 0 {
            word.get_or_insert_default().push_str(&"\\".repeat(kept));
        }
        backslashes = 0;
        match char {
            '"' if !is_escaped => {
                is_quoted = !is_quoted;
                // There may be nothing between two of them.
                word.get_or_insert_default();
            }
            ' ' | '\t' if !is_quoted => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    (!is_quoted).then_some(words)
}

/// The words of a line as a shell takes them apart, and Python's `shlex.split`; none where a quote stays open. The crate
/// of that name takes what begins with `#` for a comment, which Python does not.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        char => word.push(char),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    Some(words)
}

/// What is between `"` and the next one, in which `\` quotes itself and `"` only.
fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                char @ ('"' | '\\') => word.push(char),
                char => word.extend(['\\', char]),
            },
            char => word.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = &'static [(&'static str, &'static str, &'static str)];

    /// A file, and what Python 3.11's `RawConfigParser(strict=False)` reads of it, a line each: section, key, value.
    const READ: &[(&str, Read)] = &[
        ("[a]\nk = v\n", &[("a", "k", "v")]),
        ("[a]\r\nk=v\r\n", &[("a", "k", "v")]),
        ("[a]\rk: v = w\r", &[("a", "k", "v = w")]),
        ("  [a]  \n  K  =  v  \n", &[("a", "k", "v")]),
        ("[a] # text\nk = v # w\n", &[("a", "k", "v # w")]),
        (
            "[profile \"my audit\"]\nk = v\n",
            &[("profile \"my audit\"", "k", "v")],
        ),
        ("[a]\nk = v\n# c\n  ; c\n  w\n", &[("a", "k", "v\nw")]),
        (
            "[a]\nk =\n  x = 1\n\n  y = 2\nl = w\n",
            &[("a", "k", "\nx = 1\n\ny = 2"), ("a", "l", "w")],
        ),
        (
            "[a]\n    k = v\n    l = w\n[b]\n  k = x\n",
            &[("a", "k", "v"), ("a", "l", "w"), ("b", "k", "x")],
        ),
        ("[a]\n  k = v\nl = w\n", &[("a", "k", "v"), ("a", "l", "w")]),
        (
            "[a]\nk = v\n[a]\nk = w\nl =\n",
            &[("a", "k", "w"), ("a", "l", "")],
        ),
        (
            "[DEFAULT]\nk = v\n[a]\nl = w\n",
            &[("a", "k", "v"), ("a", "l", "w")],
        ),
        ("[a]\n[b]]\nk = v\n", &[("b]", "k", "v")]),
        ("\n# only a comment\n", &[]),
    ];

    #[test]
    fn files_are_read_as_python_reads_them() {
        for (text, expected) in READ {
            let sections = parse(text).unwrap();
            let mut found = Vec::new();
            for (section, keys) in &sections {
                for (key, value) in keys {
                    found.push((section.as_str(), key.as_str(), value.as_str()));
                }
            }
            assert_eq!(&found, expected, "{text:?}");
        }
    }

    #[test]
    fn lines_that_python_refuses_are_named() {
        for (text, number) in [
            ("k = v\n", 1),
            ("# c\n\nk\n", 3),
            ("[a]\nk = v\nword\n", 3),
            ("[a]\n= v\n", 2),
            ("[]\n", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().number, number, "{text:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert!(parse("\u{feff}[a]\n").unwrap().contains_key("a"));
    }

    #[test]
    fn indented_lines_of_a_value_are_read_as_keys() {
        assert_eq!(nested("plain"), BTreeMap::new());
        assert_eq!(
            nested("\naddressing_style = path\nother=x=y"),
            BTreeMap::from([("addressing_style", "path"), ("other", "x=y")])
        );
    }

    #[test]
    fn a_command_is_split_into_words_as_a_shell_does() {
        for (line, expected) in [
            ("a b", Some(&["a", "b"][..])),
            (
                " a  'b c' \"d \\\" $e\\f\" ",
                Some(&["a", "b c", "d \" $e\\f"]),
            ),
            ("a\\ b ''", Some(&["a b", ""])),
            ("", Some(&[])),
            ("'open", None),
            ("a\\", None),
        ] {
            let found = words(line);
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }

    /// What botocore 1.46's `_windows_shell_split` gives for each.
    #[test]
    fn words_of_a_command_are_told_apart_as_on_windows() {
        let cases: &[(&str, &[&str])] = &[
            (
                r"C:\tools\keys.exe --for audit",
                &[r"C:\tools\keys.exe", "--for", "audit"],
            ),
            (
                r#""C:\Program Files\keys.exe" "a b""#,
                &[r"C:\Program Files\keys.exe", "a b"],
            ),
            (r#"a\\"b c""#, &[r"a\b c"]),
            (r#"a\"b c"#, &[r#"a"b"#, "c"]),
            (r#""a\\" b"#, &[r"a\", "b"]),
            (r#"a "" b"#, &["a", "", "b"]),
            ("x 'a b'", &["x", "'a", "b'"]),
            ("a\tb  c", &["a", "b", "c"]),
            (r"a\ b", &[r"a\", "b"]),
            (r#""a\"b" c"#, &[r#"a"b"#, "c"]),
            (r#""C:\x\\""#, &[r"C:\x\"]),
            (r#"a"b c"d"#, &["ab cd"]),
            ("", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(windows_words(line).unwrap(), *expected, "{line}");
        }
        assert_eq!(windows_words("\"open"), None);
    }
}
