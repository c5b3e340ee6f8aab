//! README and docs/: their tables are those of the plugin, their contents those of the page, and links lead somewhere.
//! `UPDATE_README=1 cargo test --test readme` writes tables and contents anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use cloudtrail::fields::{FIELDS, OFFICIAL};
use cloudtrail::settings::HIDDEN;
use harness::hosts::Hosts;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What README says has to be read in ten minutes.
const WORDS: usize = 2500;

/// Compares a page with what it should be, or makes it so. One page at a time, for a page may have a table and contents.
fn keep_current(path: &Path, make: impl FnOnce(&str) -> String) {
    static PAGES: Mutex<()> = Mutex::new(());
    let guard = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let page = fs::read_to_string(path).unwrap();
    let expected = make(&page);
    if env::var_os("UPDATE_README").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    drop(guard);
    assert!(
        page == expected,
        "{} is not current: UPDATE_README=1 cargo test --test readme",
        path.display()
    );
}

#[test]
fn the_tables_are_current() {
    // With what no dialog shows.
    let schema = serde_json::to_value(cloudtrail::settings::schema()).unwrap();
    let mut settings = "| key | in the dialog | meaning |\n| --- | --- | --- |\n".to_owned();
    rows(&schema, &schema, "", &mut settings);
    for (name, table) in [
        ("settings", settings),
        ("fields", cloudtrail::fields::markdown()),
    ] {
        keep_current(&root().join(format!("docs/{name}.md")), |page| {
            replace(page, name, &table)
        });
    }
}

/// README in both languages, and the pages of docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(["README.md", "README.ja.md"].map(|file| root().join(file)));
    pages
}

/// The level and text of each heading that is not in an example.
fn headings(page: &str) -> Vec<(usize, String)> {
    let mut example = false;
    let mut headings = vec![];
    for line in page.lines() {
        example ^= line.starts_with("```");
        let text = line.trim_start_matches('#');
        let level = line.len() - text.len();
        if !example && level > 0 && text.starts_with(' ') {
            headings.push((level, text.trim().to_owned()));
        }
    }
    headings
}

#[test]
fn each_page_begins_with_its_contents() {
    for path in pages() {
        keep_current(&path, with_contents);
    }
}

/// The page with a list of its headings, between the marks for it or, where there are none yet, before the first heading.
fn with_contents(page: &str) -> String {
    let mut headings = headings(page);
    headings.retain(|(level, _)| *level > 1);
    // A page of one piece is looked through without.
    if headings.len() < 2 {
        return page.to_owned();
    }
    let mut contents = String::new();
    for (level, text) in headings {
        let indent = "  ".repeat(level - 2);
        let text = text.replace('`', "");
        writeln!(contents, "{indent}- [{text}](#{})", anchor(&text)).unwrap();
    }
    if page.contains("<!-- contents: ") {
        return replace(page, "contents", &contents);
    }
    let marks = "\n<!-- contents: made by tests/readme.rs -->\n<!-- end of contents -->\n\n## ";
    replace(&page.replacen("\n## ", marks, 1), "contents", &contents)
}

#[test]
fn the_readme_is_short() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let words = page.split_whitespace().count();
    assert!(
        words <= WORDS,
        "{words} words: move what is rarely needed to docs/"
    );
}

#[test]
fn the_readme_leads_to_every_page() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    for path in files(&root().join("docs"), "md") {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(page.contains(&format!("](docs/{name}")), "{name}");
    }
}

#[test]
fn the_readme_in_japanese_is_in_step() {
    let [english, japanese] =
        ["README.md", "README.ja.md"].map(|file| fs::read_to_string(root().join(file)).unwrap());
    let levels = |page: &str| -> Vec<usize> {
        let headings = headings(page);
        headings.iter().map(|(level, _)| *level).collect()
    };
    assert_eq!(levels(&english), levels(&japanese));
    // Commands, without the comments behind them.
    let examples = |page: &str| -> String {
        let examples = page.split("```").skip(1).step_by(2).collect::<String>();
        let lines = examples
            .lines()
            .map(|line| line.split(" # ").next().unwrap());
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    };
    assert_eq!(examples(&english), examples(&japanese));
    let pictures = |page: &str| -> Vec<String> {
        let pictures = page.split("![").skip(1);
        let paths = pictures.map(|picture| picture.split(['(', ')']).nth(1).unwrap().to_owned());
        paths.collect()
    };
    assert_eq!(pictures(&english), pictures(&japanese));
    for (head, translated) in [
        ("| question | field |", "| 質問 | フィールド |"),
        ("| to | set |", "| したいこと | 設定 |"),
    ] {
        assert_eq!(column(&english, head), column(&japanese, translated));
    }
}

/// The † of docs/fields.md, by strato, which has the fields of Stratoshark.
#[test]
fn fields_that_stratoshark_lacks_are_marked() {
    let Some(hosts) = Hosts::new("fields") else {
        return;
    };
    let all = hosts.stdout(&["strato", "-G", "fields"]);
    let there: BTreeSet<&str> = all
        .lines()
        .filter_map(|line| line.split('\t').nth(2))
        .collect();
    assert!(there.contains("ct.id"), "strato has not loaded the plugin");
    let table = cloudtrail::fields::markdown();
    let mut lacking = 0;
    for (row, field) in table.lines().skip(2).zip(FIELDS) {
        let marked = row.contains(&format!("`{}` † |", field.name));
        assert_eq!(marked, !there.contains(field.name), "{row}");
        lacking += usize::from(marked);
    }
    // Which the page says.
    assert_eq!(lacking, 8);
}

/// The settings of the examples in README's table are known.
#[test]
fn the_settings_of_the_readme_are_known() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let schema = serde_json::to_value(cloudtrail::settings::schema()).unwrap();
    let mut table = String::new();
    rows(&schema, &schema, "", &mut table);
    let examples = column(&page, "| to | set |");
    assert!(examples.len() > 8, "{examples:?}");
    for example in examples {
        let text = example.trim_matches('`');
        let settings: Value = serde_json::from_str(&format!("{{{text}}}")).unwrap();
        for (key, value) in settings.as_object().unwrap() {
            let keys = match value.as_object() {
                Some(members) => members
                    .keys()
                    .map(|member| format!("{key}.{member}"))
                    .collect(),
                None => vec![key.clone()],
            };
            for key in keys {
                assert!(table.contains(&format!("| `{key}` |")), "{key}");
            }
        }
    }
}

#[test]
fn the_fields_that_matter_are_twenty() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let asked = column(&page, "| question | field |");
    assert_eq!(asked.len(), 20, "{asked:?}");
    for row in &asked {
        let name = row.split(['`', '[']).nth(1).unwrap();
        let at = FIELDS.iter().position(|field| field.name == name);
        let at = at.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(row.ends_with(" +"), at >= OFFICIAL, "{row}");
    }
}

/// The second column of the table with this head.
fn column(page: &str, head: &str) -> Vec<String> {
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with(head))
        .skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let second = |row: &str| {
        let cell = row.split(" | ").nth(1).unwrap();
        cell.trim_end_matches(" |").to_owned()
    };
    rows.map(second).collect()
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
fn examples_keep_events_that_lack_a_field() {
    let mut formats = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for example in page.split("```").skip(1).step_by(2) {
            for format in example.split(" -p '").skip(1) {
                formats += 1;
                let format = format.split('\'').next().unwrap();
                assert!(format.starts_with("*%"), "{}: {format}", path.display());
            }
        }
    }
    assert!(formats > 20, "{formats}");
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
        // falcodump has an option for a number, and Stratoshark no row.
        let shown = property[HIDDEN].is_null() && property["type"] != "number";
        let title = if shown { title } else { "–" };
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
    format!(
        "{before}{start}{}\n{end}{after}",
        table.trim_end_matches('\n')
    )
}
