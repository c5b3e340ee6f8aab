//! The tables of the README are those of the plugin. `UPDATE_README=1 cargo test --test readme` writes them anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cloudtrail::settings::HIDDEN;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_tables_are_current() {
    // With what no dialog shows.
    let schema = serde_json::to_value(cloudtrail::settings::schema()).unwrap();
    let mut settings = String::new();
    rows(&schema, &schema, "", &mut settings);
    let fields = cloudtrail::fields::markdown();
    let (_, fields) = fields.split_once("\n|---|---|---|---|\n").unwrap();
    for (file, key, field) in [
        (
            "README.md",
            "| key | in the dialog | meaning |",
            "| field | type | what it tells | from |",
        ),
        // The texts are those of the dialog and of the hosts, which are English.
        (
            "README.ja.md",
            "| キー | ダイアログでの名前 | 意味 |",
            "| フィールド | 型 | 内容 | 元 |",
        ),
    ] {
        let path = root().join(file);
        let readme = fs::read_to_string(&path).unwrap();
        let settings = format!("{key}\n| --- | --- | --- |\n{settings}");
        let fields = format!("{field}\n|---|---|---|---|\n{fields}");
        let expected = replace(&readme, "settings", &settings);
        let expected = replace(&expected, "fields", &fields);
        if env::var_os("UPDATE_README").is_some() {
            fs::write(&path, &expected).unwrap();
        } else {
            assert!(
                readme == expected,
                "a table of {file} is not current: UPDATE_README=1 cargo test --test readme"
            );
        }
    }
}

/// All files of a folder with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != "target")
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

#[test]
fn errors_with_remedies_are_those_that_the_plugin_tells() {
    // A backslash at the end of a line leaves out the break and the blanks behind it.
    let mut source = String::new();
    for file in files(&root().join("src"), "rs") {
        for line in fs::read_to_string(file).unwrap().lines() {
            let line = line.trim_start();
            match line.strip_suffix('\\') {
                Some(line) => source += line,
                None => _ = writeln!(source, "{line}"),
            }
        }
    }
    let table = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let mut texts = 0;
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        // Between backquotes in the first column.
        let column = row.split(" | ").next().unwrap();
        for text in column.split('`').skip(1).step_by(2) {
            texts += 1;
            for part in text
                .split('…')
                .map(|part| part.trim_matches([' ', ':', ';']))
            {
                assert!(source.contains(part), "nothing says {part:?}: {text}");
            }
        }
    }
    assert!(texts > 60, "{texts}");
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for file in files(root(), "md") {
        let text = fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.parent().unwrap().join(path),
            };
            assert!(target.exists(), "{}: {link}", file.display());
            if heading.is_empty() {
                continue;
            }
            let target = fs::read_to_string(&target).unwrap();
            let mut headings = target
                .lines()
                .filter_map(|line| line.strip_prefix('#'))
                .map(|line| anchor(line.trim_start_matches('#').trim()));
            let found = headings.any(|found| found == heading);
            assert!(found, "{}: {link}", file.display());
        }
    }
    assert!(links > 40, "{links}");
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            _ => Some(character).filter(|character| character.is_alphanumeric()),
        })
        .collect()
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
        let title = match property[HIDDEN].as_bool() {
            Some(true) => "–",
            _ => title,
        };
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
