//! Rules files of Falco, read as Falco reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
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
    /// Reads a rules file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads the text of a rules file. An error names the item that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let yaml = Yaml::load_from_str(text)?;
        let items = yaml.first().and_then(|yaml| yaml.as_sequence());
        let mut all = Self {
            lists: BTreeMap::new(),
            macros: BTreeMap::new(),
            rules: vec![],
        };
        for item in items.context("rules are a sequence of items")? {
            let string = |key: &str| {
                item.as_mapping_get(key)?
                    .as_str()
                    .map(|text| text.trim().to_owned())
            };
            let strings = |key: &str| -> Result<Vec<String>> {
                let items = item
                    .as_mapping_get(key)
                    .and_then(|items| items.as_sequence());
                let items = items.with_context(|| format!("no {key} in {item:?}"))?;
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                let texts: Option<Vec<String>> = texts.collect();
                texts.with_context(|| format!("{key} are texts in {item:?}"))
            };
            if let Some(name) = string("list") {
                let known = all.lists.insert(name.clone(), strings("items")?);
                ensure!(known.is_none(), "the list {name} is there twice");
            } else if let Some(name) = string("macro") {
                let condition =
                    string("condition").with_context(|| format!("no condition in {name}"))?;
                let known = all.macros.insert(name.clone(), condition);
                ensure!(known.is_none(), "the macro {name} is there twice");
            } else if let Some(name) = string("rule") {
                let keys = item.as_mapping().into_iter().flat_map(|item| item.keys());
                all.rules.push(Rule {
                    keys: keys
                        .filter_map(|key| key.as_str().map(str::to_owned))
                        .collect(),
                    name,
                    text: ["desc", "condition", "output", "priority", "source"]
                        .into_iter()
                        .filter_map(|key| Some((key, string(key)?)))
                        .collect(),
                    tags: strings("tags")?,
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
            rest[1..].find(first).map_or(rest.len(), |end| end + 2)
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
