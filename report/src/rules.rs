//! What our own rules for Falco would report, by the conditions of the rules file itself.

use anyhow::{Context, Result};
use cloudtrail::filter::Several;
use serde::Serialize;

const FILE: &str = include_str!("../../plugin-config/falco/cloudtrail_rules.yaml");

/// The priorities that count as grave, the gravest first.
const GRAVE: [&str; 2] = ["CRITICAL", "WARNING"];

/// A rule whose condition is asked.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// `CRITICAL` or `WARNING`
    pub priority: String,
    /// What it is about.
    pub desc: String,
    /// With the contents of macros and lists.
    pub condition: String,
}

/// A rule whose condition can't be asked.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    /// What it is called.
    pub name: String,
    /// Why.
    pub why: String,
}

/// The rules of grave priorities, in their order.
pub struct Rules {
    rules: Vec<Rule>,
    conditions: Several,
    /// Those that can't be asked, or that are off in the file.
    pub left_out: Vec<LeftOut>,
}

impl Rules {
    /// Our own.
    pub fn ours() -> Result<Self> {
        Self::of(FILE).context("the rules that this program was built with")
    }

    fn of(text: &str) -> Result<Self> {
        let file = host::rules::Rules::parse(text)?;
        let mut all = Self {
            rules: Vec::new(),
            conditions: Several::default(),
            left_out: Vec::new(),
        };
        for rule in &file.rules {
            let text = |key: &str| {
                let text = rule.text.get(key).cloned();
                text.with_context(|| format!("{}: no {key}", rule.name))
            };
            let priority = text("priority")?;
            if !GRAVE.contains(&priority.as_str()) {
                continue;
            }
            // None is there to say that it is on.
            if rule.keys.contains("enabled") {
                all.left_out.push(LeftOut {
                    name: rule.name.clone(),
                    why: "it is off until its lists are filled".to_owned(),
                });
                continue;
            }
            let condition = file.expand(&text("condition")?);
            match all.conditions.add(&condition) {
                Ok(()) => all.rules.push(Rule {
                    name: rule.name.clone(),
                    priority,
                    desc: one_line(&text("desc")?),
                    condition: one_line(&condition),
                }),
                Err(why) => all.left_out.push(LeftOut {
                    name: rule.name.clone(),
                    why: format!("{why:#}"),
                }),
            }
        }
        Ok(all)
    }

    /// The fields by which most rules are told not to fit, besides these.
    pub fn telling(&self, besides: &[&str]) -> Vec<&'static str> {
        let telling = self.conditions.telling().into_iter();
        telling.filter(|field| !besides.contains(field)).collect()
    }

    /// Takes note of the fields whose texts [`Rules::first`] is given, in their order.
    pub fn know(&mut self, fields: &[&str]) {
        self.conditions.know(fields);
    }

    /// The first rule that fits an event, as Falco shows it.
    pub fn first(&mut self, texts: &[Option<&str>], record: &[u8]) -> Option<&Rule> {
        self.rules.get(self.conditions.first(texts, record)?)
    }

    /// The rule of this name.
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// How many are asked.
    pub fn asked(&self) -> usize {
        self.rules.len()
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grave_rule_is_asked_or_named() {
        let file = host::rules::Rules::parse(FILE).unwrap();
        let grave = file.rules.iter();
        let grave = grave.filter(|rule| GRAVE.contains(&rule.text["priority"].as_str()));
        let rules = Rules::ours().unwrap();
        assert_eq!(rules.asked() + rules.left_out.len(), grave.count());
        let left_out: Vec<(&str, &str)> = rules
            .left_out
            .iter()
            .map(|rule| (&*rule.name, &*rule.why))
            .collect();
        let off = "it is off until its lists are filled";
        assert_eq!(
            left_out,
            [
                ("Resources Launched In Unused Region", off),
                ("Console Login From Unknown Address", off),
                (
                    "Sign In From Unexpected Country",
                    "ct.geo.country is not in the event itself"
                ),
                ("Instance Credentials Used Elsewhere", off),
            ]
        );
    }

    #[test]
    fn the_gravest_rule_that_fits_is_told() {
        let mut rules = Rules::ours().unwrap();
        let mut first = |record: &str| {
            let rule = rules.first(&[], record.as_bytes());
            rule.map(|rule| rule.name.clone())
        };
        assert_eq!(
            first(r#"{"eventName":"DeactivateMFADevice"}"#).as_deref(),
            Some("MFA Device Removed")
        );
        assert_eq!(
            first(r#"{"eventName":"DeactivateMFADevice","errorCode":"AccessDenied"}"#),
            None
        );
    }
}
