//! Filter patterns for JSON, as far as they are not open to interpretation: no regular expressions, and no escapes.

use serde_json::Value;

/// The most characters.
const LONGEST: usize = 1024;

/// What a message must be.
pub enum Pattern {
    All,
    Json(Condition),
}

pub enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Is(Vec<Step>, Test),
}

pub enum Step {
    Member(String),
    Item(usize),
}

pub enum Test {
    /// Text with wildcards.
    Text(bool, String),
    Number(&'static str, f64),
    Bool(bool),
    Null,
    Missing,
}

impl Pattern {
    /// None where it can't be read.
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().count() > LONGEST {
            return None;
        }
        let text = text.trim();
        if matches!(text, "" | "\" \"") {
            return Some(Self::All);
        }
        let mut parser = Parser(text.strip_prefix('{')?.strip_suffix('}')?);
        let condition = parser.or()?;
        parser.0.trim().is_empty().then_some(Self::Json(condition))
    }

    pub fn fits(&self, message: &str) -> bool {
        match self {
            Self::All => true,
            Self::Json(condition) => {
                serde_json::from_str(message).is_ok_and(|json: Value| condition.holds(&json))
            }
        }
    }
}

struct Parser<'a>(&'a str);

impl<'a> Parser<'a> {
    fn eat(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !is(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn or(&mut self) -> Option<Condition> {
        let mut all = vec![self.and()?];
        while self.eat("||") {
            all.push(self.and()?);
        }
        Some(Condition::Or(all))
    }

    fn and(&mut self) -> Option<Condition> {
        let mut all = vec![self.term()?];
        while self.eat("&&") {
            all.push(self.term()?);
        }
        Some(Condition::And(all))
    }

    fn term(&mut self) -> Option<Condition> {
        if self.eat("(") {
            let inner = self.or()?;
            return self.eat(")").then_some(inner);
        }
        self.eat("$").then_some(())?;
        let mut steps = vec![];
        loop {
            if let Some(rest) = self.0.strip_prefix('.') {
                self.0 = rest;
                let name = self.take(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                (!name.is_empty()).then_some(())?;
                steps.push(Step::Member(name.into()));
            } else if let Some(rest) = self.0.strip_prefix('[') {
                self.0 = rest;
                steps.push(Step::Item(self.take(|c| c.is_ascii_digit()).parse().ok()?));
                self.eat("]").then_some(())?;
            } else {
                break;
            }
        }
        (!steps.is_empty()).then_some(())?;
        Some(Condition::Is(steps, self.test()?))
    }

    fn test(&mut self) -> Option<Test> {
        if self.eat("NOT") {
            return self.eat("EXISTS").then_some(Test::Missing);
        }
        if self.eat("IS") {
            return match () {
                () if self.eat("TRUE") => Some(Test::Bool(true)),
                () if self.eat("FALSE") => Some(Test::Bool(false)),
                () => self.eat("NULL").then_some(Test::Null),
            };
        }
        let operators = ["!=", ">=", "<=", "=", ">", "<"];
        let operator = operators.into_iter().find(|operator| self.eat(operator))?;
        if self.eat("\"") {
            let text = self.take(|c| !"\"\\".contains(c));
            self.0 = self.0.strip_prefix('"')?;
            matches!(operator, "=" | "!=").then_some(())?;
            return Some(Test::Text(operator == "=", text.into()));
        }
        self.0 = self.0.trim_start();
        let word = self.take(|c| c.is_ascii_alphanumeric() || "_*.-".contains(c));
        if let Ok(number) = word.parse() {
            return Some(Test::Number(operator, number));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_*".contains(c);
        match (operator, word) {
            ("=", "TRUE") => Some(Test::Bool(true)),
            ("=", "FALSE") => Some(Test::Bool(false)),
            ("=" | "!=", word) if !word.is_empty() && word.chars().all(is_word) => {
                Some(Test::Text(operator == "=", word.into()))
            }
            _ => None,
        }
    }
}

impl Condition {
    fn holds(&self, json: &Value) -> bool {
        match self {
            Self::Or(all) => all.iter().any(|one| one.holds(json)),
            Self::And(all) => all.iter().all(|one| one.holds(json)),
            Self::Is(steps, test) => {
                let found = steps.iter().try_fold(json, |value, step| match step {
                    Step::Member(name) => value.get(name),
                    Step::Item(item) => value.get(item),
                });
                test.holds(found)
            }
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Missing, found) => found.is_none(),
            (_, None) => false,
            (Self::Null, Some(value)) => value.is_null(),
            (Self::Bool(is), Some(value)) => value.as_bool() == Some(*is),
            (Self::Text(is, text), Some(Value::String(value))) => is_like(value, text) == *is,
            (Self::Number(operator, number), Some(value)) => {
                let Some(value) = value.as_f64() else {
                    return false;
                };
                match *operator {
                    "=" => value == *number,
                    "!=" => value != *number,
                    ">" => value > *number,
                    "<" => value < *number,
                    ">=" => value >= *number,
                    _ => value <= *number,
                }
            }
            _ => false,
        }
    }
}

/// Is a text what one with `*` for any characters says?
fn is_like(text: &str, like: &str) -> bool {
    let Some((first, rest)) = like.split_once('*') else {
        return text == like;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_or_are_refused() {
        let message = r#"{"a":{"b":"x-y"},"n":5,"yes":true,"list":[{"id":"i-1"}],"null":null}"#;
        let fits = |pattern: &str| Pattern::parse(pattern).map(|pattern| pattern.fits(message));
        for (pattern, wanted) in [
            ("", Some(true)),
            (r#"{ $.a.b = "x-y" }"#, Some(true)),
            (
                r#"{ $.a.b = "x*" && ($.n = 4 || $.yes IS TRUE) }"#,
                Some(true),
            ),
            (r#"{ $.n = 4 && $.n = 5 || $.yes = TRUE }"#, Some(true)),
            (r#"{ $.a.b = "*z*" || $.yes IS FALSE }"#, Some(false)),
            (
                r#"{ $.list[0].id = "i-*" && $.none NOT EXISTS && $.null IS NULL }"#,
                Some(true),
            ),
            (r#"{ $.a = "x-y" }"#, Some(false)),
            (r#"{ $.none != "x" }"#, Some(false)),
            (r#"{ $.a.b = x-y }"#, None),
            (r#"{ $.a.b = "x\"y" }"#, None),
            (r#"{ $.a.b > "x" }"#, None),
            (r#"{ $.a.b = "x-y" "#, None),
            ("word", None),
        ] {
            assert_eq!(fits(pattern), wanted, "{pattern}");
        }
        assert!(Pattern::parse(&format!("{{ $.a = \"{}\" }}", "x".repeat(1024))).is_none());
        assert!(!Pattern::parse("{ $.n = 5 }").unwrap().fits("no JSON"));
    }
}
