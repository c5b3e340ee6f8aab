//! The tables of the README are those of the plugin. `UPDATE_README=1 cargo test --test readme` writes them anew.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use harness::host::Library;
use serde_json::Value;

#[test]
fn the_tables_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let schema = Library::load().unwrap().schema().unwrap();
    let mut settings = String::from("| key | in the dialog | meaning |\n| --- | --- | --- |\n");
    rows(&schema, &schema, "", &mut settings);
    let expected = replace(&readme, "settings", &settings);
    let expected = replace(&expected, "fields", &cloudtrail::fields::markdown());
    if env::var_os("UPDATE_README").is_some() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            readme == expected,
            "a table is not current: UPDATE_README=1 cargo test --test readme"
        );
    }
}

/// A row for each setting, in the order of the schema.
fn rows(root: &Value, schema: &Value, path: &str, out: &mut String) {
    for (name, property) in schema["properties"].as_object().unwrap() {
        // `#/$defs/Aws`
        let property = match property["$ref"].as_str() {
            Some(pointer) => root.pointer(&pointer[1..]).unwrap(),
            None => property,
        };
        if property["properties"].is_object() {
            rows(root, property, &format!("{path}{name}."), out);
            continue;
        }
        let [title, meaning] = ["title", "description"].map(|key| property[key].as_str().unwrap());
        // Of other types the description says it, since the dialog needs that.
        let default = match property["default"].as_str() {
            None | Some("") => String::new(),
            Some(default) => format!(" (Default: {default})"),
        };
        let meaning = meaning.replace('\n', " ");
        writeln!(out, "| `{path}{name}` | {title} | {meaning}{default} |").unwrap();
    }
}

/// `readme` with what is between the marks of a table's name.
fn replace(readme: &str, name: &str, table: &str) -> String {
    let (start, end) = (
        format!("<!-- {name}: made by tests/readme.rs -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = readme.split_once(&start).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}{start}{}\n{end}{after}", table.trim_end())
}
