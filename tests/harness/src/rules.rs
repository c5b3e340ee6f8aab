//! Rules files of Falco, read as Falco reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use saphyr::{LoadableYamlNode, Yaml};

/// The documents of a rules file.
#[derive(Debug)]
pub struct Rules {
    /// Lists by name.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Conditions by the name of their macro.
    pub macros: BTreeMap<String, String>,
    /// In the order of the file, in which Falco tries them.
    pub rules: Vec<Rule>,
}

/// A rule of a rules file.
#[derive(Debug)]
pub struct Rule {
    /// The names of its members.
    pub keys: BTreeSet<String>,
    /// What it is called.
    pub name: String,
    /// Its `desc`, `condition`, `output`, `priority` and `source`.
    pub text: BTreeMap<&'static str, String>,
    /// Its tags, in their order.
    pub tags: Vec<String>,
}

impl Rules {
    /// Reads a rules file; its items have to be right.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let yaml = Yaml::load_from_str(&text)?;
        let mut all = Self {
            lists: BTreeMap::new(),
            macros: BTreeMap::new(),
            rules: vec![],
        };
        for item in yaml[0].as_sequence().unwrap() {
            let string = |key: &str| {
                item.as_mapping_get(key)?
                    .as_str()
                    .map(|text| text.trim().to_owned())
            };
            let strings = |key: &str| -> Vec<String> {
                let items = item
                    .as_mapping_get(key)
                    .and_then(|items| items.as_sequence());
                let items = items.unwrap_or_else(|| panic!("no {key} in {item:?}"));
                items
                    .iter()
                    .map(|item| item.as_str().unwrap().to_owned())
                    .collect()
            };
            if let Some(name) = string("list") {
                assert!(
                    all.lists.insert(name.clone(), strings("items")).is_none(),
                    "{name}"
                );
            } else if let Some(name) = string("macro") {
                let condition = string("condition").unwrap();
                assert!(
                    all.macros.insert(name.clone(), condition).is_none(),
                    "{name}"
                );
            } else if let Some(name) = string("rule") {
                let keys = item.as_mapping().unwrap().keys();
                all.rules.push(Rule {
                    keys: keys.map(|key| key.as_str().unwrap().to_owned()).collect(),
                    name,
                    text: ["desc", "condition", "output", "priority", "source"]
                        .into_iter()
                        .filter_map(|key| Some((key, string(key)?)))
                        .collect(),
                    tags: strings("tags"),
                });
            }
        }
        Ok(all)
    }

    /// `condition` with the contents of macros and lists for their names.
    pub fn expand(&self, condition: &str) -> String {
        let mut out = String::new();
        for word in words(condition) {
            if let Some(condition) = self.macros.get(word) {
                out += &self.expand(condition);
            } else if let Some(items) = self.lists.get(word) {
                let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
                out += &items.join(", ");
            } else {
                out += word;
            }
        }
        out
    }
}

/// The words of a condition and what is between them; a quoted text is one of them.
pub fn words(condition: &str) -> Vec<&str> {
    let between = |c: char| c.is_whitespace() || "(),".contains(c);
    let mut words = vec![];
    let mut rest = condition;
    while let Some(first) = rest.chars().next() {
        let end = if first == '"' || first == '\'' {
            rest[1..].find(first).expect("a closing quote") + 2
        } else if between(first) {
            first.len_utf8()
        } else {
            rest.find(|c| between(c) || c == '"' || c == '\'')
                .unwrap_or(rest.len())
        };
        let (word, others) = rest.split_at(end);
        words.push(word);
        rest = others;
    }
    words
}
