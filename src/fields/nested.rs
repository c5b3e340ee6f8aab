//! What a request holds at any depth, JSON documents in its texts included.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::record::{Index, Member, Record, Value};

/// How deeply values are looked for. Requests with a policy in an attribute of a document need half of it.
const DEPTH: u8 = 24;

/// How many texts are looked into. Requests have one policy or two.
const DOCUMENTS: u32 = 1_000;

/// Calls `each` with every value of a request and with the name of the member that it is, or is an element of.
///
/// Texts that are JSON documents, percent-encoded ones too, are looked into as well.
pub(super) fn each_value(record: &mut Record<'_>, each: &mut dyn FnMut(&[u8], Value<'_>)) {
    if let Some(request) = record.get(Member::RequestParameters) {
        let mut search = Search {
            documents: DOCUMENTS,
            each,
        };
        search.below(b"", request, DEPTH);
    }
}

struct Search<'e> {
    /// So many more are looked into.
    documents: u32,
    each: &'e mut dyn FnMut(&[u8], Value<'_>),
}

impl Search<'_> {
    fn below(&mut self, name: &[u8], value: Value<'_>, depth: u8) {
        (self.each)(name, value);
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        if value.is_object() {
            value.each_member(&mut |name, member| self.below(&name, member, depth));
        } else if value.is_array() {
            for element in value.elements() {
                self.below(name, element, depth);
            }
        } else if self.documents > 0
            && let Some(document) = document(value)
        {
            self.documents -= 1;
            let mut index = Index::default();
            if let Some(whole) = Record::new(&document, &mut index).whole() {
                self.below(name, whole, depth);
            }
        }
    }
}

/// The JSON document that a text may be.
fn document(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    let text = value.is_string().then(|| value.text()).flatten()?;
    match text.trim_ascii_start() {
        [b'{' | b'[', ..] => Some(text),
        // Of a document that begins with an encoded blank, brace or bracket.
        [b'%', b'0' | b'2' | b'5' | b'7', ..] => {
            let decoded: Vec<u8> = percent_decode(&text).collect();
            matches!(decoded.trim_ascii_start(), [b'{' | b'[', ..]).then(|| decoded.into())
        }
        _ => None,
    }
}

/// Whether a request may hold such a text, whatever it is escaped by.
pub(super) fn may_hold(record: &mut Record<'_>, texts: &[&[u8]]) -> bool {
    let Some(request) = record.get(Member::RequestParameters) else {
        return false;
    };
    let json = request.raw();
    let has = |text: &[u8]| memchr::memmem::find(json, text).is_some();
    texts.iter().any(|text| has(text)) || has(br"\u") || memchr::memchr(b'%', json).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    fn texts(request: &str) -> Vec<String> {
        let mut found = vec![];
        answer(&format!(r#"{{"requestParameters":{request}}}"#), |record| {
            each_value(record, &mut |name, value| {
                if !value.is_object() && !value.is_array() {
                    let text = value.text().unwrap_or_default();
                    found.push(String::from_utf8_lossy(&[name, b"=", &*text].concat()).into());
                }
            });
        });
        found
    }

    #[test]
    fn values_are_found_in_objects_arrays_and_documents_in_texts() {
        assert_eq!(texts("null"), ["="]);
        assert_eq!(
            texts(r#"{"a":{"b":[1,["x"]]},"c":null}"#),
            ["b=1", "b=x", "c="]
        );
        let inner = r#" {"Statement": {"Sid": "\u0041"}}"#;
        let text = serde_json::to_string(inner).expect("JSON");
        let request = format!(r#"{{"attributes":{{"Policy":{text}}}}}"#);
        assert_eq!(texts(&request), [&format!("Policy={inner}"), "Sid=A"]);
        assert_eq!(
            texts(r#"{"p":"%7B%22a%22%3A%20%22b%22%7D","q":"%41"}"#),
            ["p=%7B%22a%22%3A%20%22b%22%7D", "a=b", "q=%41"]
        );
    }

    #[test]
    fn documents_without_end_are_not_all_looked_into() {
        let many = vec![r#""{\"a\":1}""#; 5_000].join(",");
        let found = texts(&format!("[{many}]"));
        let inner = found.iter().filter(|text| *text == "a=1");
        assert_eq!((found.len(), inner.count()), (6_000, 1_000));
    }

    #[test]
    fn depth_ends_the_search() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(texts(&deep).is_empty());
        let mut text = r#"{"a":"b"}"#.to_owned();
        for _ in 0..8 {
            text = format!(r#"{{"p":{}}}"#, serde_json::to_string(&text).expect("JSON"));
        }
        assert_eq!(texts(&text).last().map(String::as_str), Some("a=b"));
    }
}
