//! The table of fields, as JSON for hosts and as Markdown for docs/fields.md.

use std::ffi::{CStr, CString};
use std::sync::LazyLock;

use serde_json::json;

use super::{FIELDS, Field, OFFICIAL};

/// The fields as JSON, for `plugin_get_fields`.
pub fn schema() -> &'static CStr {
    static SCHEMA: LazyLock<CString> = LazyLock::new(|| {
        let field = |field: &Field| {
            let mut json = json!({
                "name": field.name,
                "type": field.kind(),
                "isList": field.is_list(),
                "display": field.display,
                "desc": field.description,
                "properties": field.properties,
            });
            if field.is_list() {
                json["arg"] = json!({ "isIndex": true, "isRequired": false });
            }
            if field.is_pointed() {
                json["arg"] = json!({ "isKey": true, "isRequired": false });
            }
            json
        };
        let json = FIELDS.iter().map(field).collect::<serde_json::Value>();
        CString::new(json.to_string()).unwrap_or_default()
    });
    &SCHEMA
}

/// The fields as a table in Markdown, for docs/fields.md: with + those that the official plugin doesn't have, with † those that
/// Stratoshark and strato don't have, which take neither hidden fields nor lists.
pub fn markdown() -> String {
    let mut table = String::from("| field | type | what it tells | from |\n|---|---|---|---|\n");
    for (at, field) in FIELDS.iter().enumerate() {
        let mark = if at < OFFICIAL { "" } else { "+ " };
        let not_there = match field.is_list() || field.properties.contains(&"hidden") {
            true => " †",
            false => "",
        };
        let kind = match (field.is_list(), field.is_pointed()) {
            (true, _) => format!("list of {}s, index possible", field.kind()),
            (_, true) => format!("{}, JSON pointer possible", field.kind()),
            _ => field.kind().to_owned(),
        };
        let paths = field.paths().into_iter().map(|path| format!("`{path}`"));
        let or = if field.is_joined() { ", " } else { ", else " };
        let from = match paths.collect::<Vec<_>>().join(or) {
            none if none.is_empty() => "computed".to_owned(),
            paths => paths,
        };
        table += &format!(
            "| {mark}`{}`{not_there} | {kind} | {} | {from} |\n",
            field.name, field.description
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_can_show_the_table() {
        let schema: serde_json::Value = serde_json::from_slice(schema().to_bytes()).expect("JSON");
        assert_eq!(schema.as_array().map(Vec::len), Some(FIELDS.len()));
        assert_eq!(FIELDS[OFFICIAL].name, "ct.value");
        for field in FIELDS {
            assert!(
                field.name.len() < 64 && field.display.len() < 64,
                "{}",
                field.name
            );
            assert!(
                field.description.len() < 1024 && field.description.ends_with('.'),
                "{}",
                field.name
            );
            assert_eq!(
                FIELDS
                    .iter()
                    .filter(|other| other.name == field.name)
                    .count(),
                1,
                "{}",
                field.name
            );
        }
    }
}
