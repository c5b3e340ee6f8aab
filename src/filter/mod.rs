//! The setting `filter`: a condition that events are kept by, in the language of libsinsp's filters, which users of
//! Falco and sysdig write already. docs/filter.md is for users.
//!
//! ```text
//! text ─parser─▶ expression ─compile─▶ condition ─evaluate─▶ kept or not
//!                                          └──literals: most records are told by a look at their bytes
//! ```

mod compile;
mod condition;
mod literals;
mod parser;
mod pattern;
mod required;
mod several;

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};

use crate::fields::Beside;
use crate::record::{Index, Record};
use condition::Condition;
use literals::Needs;
use parser::Fault;
pub(crate) use required::Required;
pub use several::Several;

/// A condition's text in bytes, at most.
const LONGEST: usize = 64 << 10;

/// Which events to keep.
#[derive(Clone, Default)]
pub(crate) struct Filter(Option<Arc<Kept>>);

struct Kept {
    text: String,
    condition: Condition,
    /// What a record has to hold for that.
    needs: Needs,
}

impl Filter {
    /// Reads a condition; blank text keeps everything.
    ///
    /// # Errors
    /// Where the text is not a condition. The error shows the place.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(
            text.len() <= LONGEST,
            "is longer than {LONGEST} bytes, the most that is read"
        );
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let condition = parser::parse(text).and_then(compile::compile);
        let condition = condition.map_err(|fault| anyhow!(shown(text, &fault)))?;
        Ok(Self(Some(Arc::new(Kept {
            text: text.to_owned(),
            needs: Needs::of(&condition),
            condition,
        }))))
    }

    /// Whether every event is kept.
    pub fn keeps_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a record may be kept, going by what its bytes hold. It costs far less than [`Filter::keeps`].
    pub fn may_keep(&self, record: &[u8]) -> bool {
        let kept = self.0.as_ref();
        kept.is_none_or(|kept| kept.needs.may_be_met(record))
    }

    /// Whether a record is kept, or may be, as far as it and what is known beside it tell. `index` is scratch space.
    pub fn keeps(&self, record: &[u8], index: &mut Index, beside: &mut Beside) -> bool {
        let Some(kept) = self.0.as_ref() else {
            return true;
        };
        beside.forget();
        let mut record = Record::new(record, index);
        kept.condition.holds(&mut record, beside) != Some(false)
    }

    /// Whether what other records tell decides, so that [`Filter::keeps`] is not enough.
    pub fn is_of_others(&self) -> bool {
        let kept = self.0.as_ref();
        kept.is_some_and(|kept| kept.condition.is_of_others())
    }

    /// What some fields have to be, whatever else the condition says.
    pub fn required(&self) -> Vec<Required> {
        let condition = self.0.as_ref().map(|kept| &kept.condition);
        condition.map(required::required).unwrap_or_default()
    }

    /// The condition as the user has written it.
    pub fn text(&self) -> &str {
        self.0.as_ref().map_or("", |kept| &kept.text)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(formatter)
    }
}

/// What is wrong, and below it the place in the condition.
fn shown(text: &str, fault: &Fault) -> String {
    const AROUND: usize = 30;
    let begin = fault.at.start.min(text.len());
    let end = fault.at.end.clamp(begin, text.len());
    let (before, rest) = text.split_at_checked(begin).unwrap_or((text, ""));
    let place = rest.get(..end - begin).unwrap_or(rest);
    let after = rest.get(end - begin..).unwrap_or_default();
    let line = |text: &str| text.replace(['\n', '\r', '\t'], " ");
    let last: String = {
        let mut last: Vec<char> = before.chars().rev().take(AROUND).collect();
        last.reverse();
        last.into_iter().collect()
    };
    let place: String = place.chars().take(AROUND).collect();
    let first: String = after.chars().take(AROUND).collect();
    format!(
        "{}\n{}\n{}{}",
        fault.words,
        line(&format!("{last}{place}{first}")),
        " ".repeat(last.chars().count()),
        "^".repeat(place.chars().count().max(1))
    )
}

/// See [`crate::fuzz`].
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzz {
    use super::condition::{Check, Operand, OwnedArgument, Test, TextTest};
    use super::*;
    use crate::fields::FIELDS;

    /// Reads a condition. What is wrong with it has a place in it.
    pub fn parse(text: &str) -> Option<Filter> {
        if let Ok(filter) = Filter::parse(text) {
            return Some(filter);
        }
        if text.len() <= LONGEST {
            let condition = parser::parse(text).and_then(compile::compile);
            let fault = condition.err().expect("a condition with a fault");
            assert!(text.get(fault.at.clone()).is_some(), "{fault:?}");
            assert!(!fault.words.is_empty());
        }
        None
    }

    /// A record that is kept has the literals that are looked for first, and what is required of its fields.
    pub fn assert_kept_by_all(filter: &Filter, record: &[u8]) {
        let mut index = Index::default();
        if !filter.keeps(record, &mut index, &mut Beside::default()) {
            return;
        }
        assert!(filter.may_keep(record), "{filter:?}: literals");
        for Required { field, values } in filter.required() {
            let values = values.into_iter().map(String::into_bytes).collect();
            let named = FIELDS.iter().find(|known| known.name == field);
            let check = Condition::Check(Check {
                left: Operand {
                    field: named.expect("a field"),
                    argument: OwnedArgument::None,
                    transformers: Vec::new(),
                },
                test: Test::Text(TextTest::In(values)),
            });
            let holds = check.holds(&mut Record::new(record, &mut index), &mut Beside::default());
            assert_eq!(holds, Some(true), "{filter:?} requires too much of {field}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(filter: &str, record: impl AsRef<[u8]>) -> bool {
        let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error:#}"));
        let record = record.as_ref();
        let keeps = filter.keeps(record, &mut Index::default(), &mut Beside::default());
        assert!(
            filter.may_keep(record) || !keeps,
            "{filter:?} needs more than it should"
        );
        keeps
    }

    fn error(filter: &str) -> String {
        match Filter::parse(filter) {
            Ok(_) => panic!("{filter} is taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    const RECORD: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ops/Alice","userName":"Alice","accountId":"111122223333"},"eventTime":"2024-03-05T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","awsRegion":"eu-west-1","sourceIPAddress":"10.1.2.3","userAgent":"[aws-cli/2.0 \"x\\y\"]","requestParameters":{"bucketName":"logs","key":"a/b/c.txt","tags":["x","y"],"n":5},"responseElements":null,"additionalEventData":{"bytesTransferredIn":100,"bytesTransferredOut":7},"readOnly":false,"eventID":"id-1"}"#;

    #[test]
    fn operators_mean_what_they_mean_in_libsinsp() {
        for (filter, kept) in [
            ("ct.name=PutObject", true),
            ("ct.name == 'PutObject'", true),
            ("ct.name = putobject", false),
            ("ct.name != PutObject", false),
            ("ct.name != x", true),
            ("ct.error != x", false),
            ("not ct.error = x", true),
            ("ct.error exists", false),
            ("ct.name exists", true),
            ("not not ct.name exists", true),
            ("ct.name in (GetObject, PutObject)", true),
            ("ct.name in ()", false),
            ("ct.name intersects (\"PutObject\")", true),
            ("ct.name contains Obj", true),
            ("ct.name contains obj", false),
            ("ct.name icontains obj", true),
            ("ct.name contains ''", true),
            ("ct.name startswith Put and ct.name endswith ject", true),
            ("ct.name glob 'P?t*'", true),
            ("ct.name glob 'p*'", false),
            ("ct.name iglob 'p*'", true),
            ("ct.user.arn glob 'arn:*:user/*'", true),
            ("ct.name glob '[!a-oQ-Z]ut*'", true),
            ("ct.name regex 'Put(Object|Item)'", true),
            ("ct.name regex Put", false),
            ("ct.readonly=false", true),
            ("ct.failed=false", true),
            ("s3.bytes > 106 and s3.bytes <= 107", true),
            ("s3.bytes in (1, 107)", true),
            ("s3.bytes = 107", true),
            ("len(ct.name) = 9", true),
            ("len(ct.error) = 0", false),
            ("tolower(ct.user) = alice", true),
            ("toupper(ct.user) in (ALICE, BOB)", true),
            ("basename(s3.key) = c.txt", true),
            ("tolower(basename(ct.user.arn)) = tolower(ct.user)", true),
            ("ct.user = val(ct.originaluser)", true),
            ("ct.name = val(ct.user)", false),
            ("ct.name != val(ct.error)", false),
            ("ct.value[/requestParameters/tags/1] = y", true),
            ("ct.value[/requestParameters/n] = 5", true),
            ("ct.value[\"/requestParameters/n\"] exists", true),
            ("ct.value[/responseElements] exists", false),
            ("ct.response = null", true),
            ("ct.useragent contains '\\\\y'", true),
            ("ct.useragent contains '\"x'", true),
            ("(ct.name=x or ct.user=Alice) and not (ct.name=y)", true),
            ("ct.name=x or ct.user=Bob and ct.name=PutObject", false),
            ("ct.name=PutObject or ct.user=Bob and ct.name=x", true),
            ("not ct.name=x and ct.user=Alice", true),
            ("not(ct.name=PutObject)", false),
            (" \n ct.name\n=\tPutObject ", true),
            ("ec2.imageids exists", false),
        ] {
            assert_eq!(keeps(filter, RECORD), kept, "{filter}");
        }
    }

    #[test]
    fn escapes_hide_nothing() {
        for (name, filter) in [
            (r"Console\u004cogin", "ct.name=ConsoleLogin"),
            (r"\u0043onsoleLogin", "ct.name startswith Console"),
            (r"a\/bcdef", "ct.name = a/bcdef"),
            (r"abc\/def", "ct.name endswith c/def"),
            (r#"say \"abc\""#, "ct.name contains '\"abc'"),
            (r"tab\tabc", "ct.name contains 'tab\\tabc'"),
            (r"back\\slash", "ct.name = 'back\\\\slash'"),
        ] {
            let record = format!(r#"{{"eventName":"{name}"}}"#);
            assert!(keeps(filter, &record), "{filter} {record}");
        }
        // Several values that are shown as one text, and what is shown of bytes that are not UTF-8.
        let joined = r#"{"requestParameters":{"groupSet":{"items":[{"groupId":"sg-1"},{"groupId":"sg-2"}]}}}"#;
        assert!(keeps("ec2.groupid='sg-1,sg-2'", joined));
        assert!(keeps(
            "ct.name='abc\u{fffd}'",
            b"{\"eventName\":\"abc\xff\"}"
        ));
        assert!(keeps("ct.error exists", r#"{"error\u0043ode":"x"}"#));
        assert!(keeps("ct.value[/a~1b] = x", r#"{"a\/b":"x"}"#));
    }

    #[test]
    fn what_is_wrong_is_shown() {
        for (filter, words, place) in [
            (
                "ct.nme=x",
                "\"ct.nme\" is not a field, the nearest is ct.name",
                "^^^^^^",
            ),
            (
                "eventName=x",
                "\"eventName\" is not a field: ct.name shows it",
                "^^^^^^^^^",
            ),
            ("ct.name", "expected an operator", "       ^"),
            ("ct.name=", "expected a value", "        ^"),
            (
                "ct.name like x",
                "\"like\" is not an operator",
                "        ^^^^",
            ),
            (
                "ct.name=x ct.user=y",
                "expected \"and\" or \"or\"",
                "          ^^",
            ),
            ("ct.name=x or", "expected a field", "            ^"),
            ("(ct.name=x", "the closing ) is missing", "^^^^^^^^^^"),
            ("ct.name='x", "the closing ' is missing", "        ^^"),
            ("ct.name='\\q'", "the escapes in quotes are", "         ^^"),
            (
                "ct.name < x",
                "< does not compare a text, which ct.name is",
                "        ^",
            ),
            ("ct.time > 2024", "s3Interval chooses by time", "        ^"),
            (
                "s3.bytes contains 1",
                "contains does not compare a number",
                "         ^^^^^^^^",
            ),
            ("s3.bytes = -1", "is not a whole number", "           ^^"),
            (
                "s3.bytes > 0x10",
                "is not a whole number",
                "           ^^^^",
            ),
            (
                "s3.bytes > '5'",
                "> takes a number without quotes",
                "           ^^^",
            ),
            (
                "ec2.imageids = x",
                "intersects if some of it is",
                "             ^",
            ),
            (
                "ct.srcip in (10.0.0.0/8)",
                "is a network",
                "             ^^^^^^^^^^",
            ),
            (
                "ct.user = ct.originaluser",
                "is a field's name: val(ct.originaluser)",
                "          ^^^^^^^^^^^^^^^",
            ),
            (
                "tolower(ct.user) = Bob",
                "letters of the other case",
                "                   ^^^",
            ),
            (
                "basename(tolower(ct.user)) = Bob",
                "letters of the other case",
                "                             ^^^",
            ),
            (
                "ct.name regex '\\\\d+'",
                "[0-9] is the same",
                "              ^^^^^^",
            ),
            (
                "ct.name regex '('",
                "is not a valid regular expression",
                "              ^^^",
            ),
            ("ct.name[0]=x", "ct.name takes no argument", "        ^"),
            ("ct.value[a]=x", "ct.value[/a]", "         ^"),
            ("ct.name in a", "expected a list of values", "           ^"),
            ("ct.name in (a,)", "expected a value", "              ^"),
            ("len(s3.bytes) = 1", "is a number here", "^^^"),
            ("b64(ct.name) = x", "is not a transformer", "^^^"),
            (
                "ct.name pmatch (/etc)",
                "startswith compares",
                "        ^^^^^^",
            ),
            (
                "ct.name glob val(ct.user)",
                "takes a pattern, not a field",
                "                 ^^^^^^^",
            ),
        ] {
            let error = error(filter);
            let lines: Vec<&str> = error.lines().collect();
            assert!(lines[0].contains(words), "{filter}: {error}");
            assert_eq!(&lines[1..], [filter, place], "{filter}: {error}");
        }
    }

    #[test]
    fn long_and_deep_conditions_are_bounded() {
        let long = format!("ct.name in ({})", vec!["abcdef"; 20_000].join(","));
        assert!(error(&long).contains("is longer than 65536 bytes"));
        let deep = "(".repeat(10_000) + "ct.name=x" + &")".repeat(10_000);
        assert!(error(&deep).contains("more than 64 levels deep"));
        let deep = "tolower(".repeat(7_000) + "ct.name";
        assert!(error(&deep).contains("more than 64 levels deep"));
        let negations = "not ".repeat(10_000) + "ct.name=x";
        assert!(keeps(&negations, r#"{"eventName":"x"}"#));
        let many = vec!["ct.name glob a*"; 65].join(" or ");
        assert!(error(&many).contains("a condition has 64 at most"));
        let large = format!("ct.name regex '({}){{1000}}'", ".".repeat(100));
        assert!(error(&large).contains("too large"));
        let often = "ct.name regex '((a{1000}){1000}){1000}'";
        assert!(error(often).contains("more than 1000 times"));
        // The place is shown with what is around it only.
        let far = format!(
            "ct.name={} and ct.nam=x and ct.user={}",
            "y".repeat(500),
            "z".repeat(500)
        );
        let error = error(&far);
        let lines: Vec<&str> = error.lines().collect();
        assert!(
            lines[1].len() < 80 && lines[1].contains("and ct.nam=x and"),
            "{error}"
        );
        assert_eq!(lines[2].trim_start(), "^^^^^^");
    }
}
