//! Globs and regular expressions, as they are in libsinsp's filters.

use anyhow::{Context, Error, Result, anyhow, bail};
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, Ast, ClassSet, ClassSetBinaryOp, ClassSetItem, RepetitionKind, RepetitionRange, Visitor,
};

use super::condition::Pattern;

/// A compiled pattern's memory in bytes, at most.
const LARGEST: usize = 1 << 20;
/// RE2 repeats something so often, at most, repetitions within each other multiplied.
const MOST_REPEATED: u32 = 1000;

/// `glob` and `iglob`: as glibc's `fnmatch` matches a whole text in the C locale, `iglob` with `FNM_CASEFOLD`.
pub(super) fn glob(pattern: &str, ignore_case: bool) -> Result<Pattern> {
    let mut regex = String::from(if ignore_case { "(?si-u)" } else { "(?s-u)" });
    let mut literals = vec![vec![String::new()]];
    let mut rest = pattern.chars();
    while let Some(char) = rest.next() {
        let literal = match char {
            '*' => {
                regex.push_str(".*");
                None
            }
            '?' => {
                regex.push('.');
                None
            }
            '[' => match class(rest.as_str(), ignore_case)? {
                Some((class, after)) => {
                    regex.push_str(&class);
                    rest = after.chars();
                    None
                }
                None => Some('['),
            },
            '\\' => Some(rest.next().context(
                "ends with a backslash, which matches nothing: \\\\ stands for a backslash",
            )?),
            other => Some(other),
        };
        match literal {
            Some(char) => {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    push_byte(&mut regex, byte);
                }
                if let Some([last]) = literals.last_mut().map(Vec::as_mut_slice) {
                    last.push(char);
                }
            }
            None => literals.push(vec![String::new()]),
        }
    }
    if ignore_case {
        literals.clear();
    }
    Ok(Pattern {
        regex: build(&regex, true)?,
        literals,
    })
}

fn push_byte(regex: &mut String, byte: u8) {
    match byte.is_ascii_alphanumeric() {
        true => regex.push(char::from(byte)),
        false => regex.push_str(&format!("\\x{byte:02x}")),
    }
}

/// A bracket expression behind its `[`, as a regular expression, and what is behind it. `None` if it does not end, so that
/// the bracket stands for itself.
fn class(text: &str, ignore_case: bool) -> Result<Option<(String, &str)>> {
    // A byte is folded before it is compared with a character or a range, and not where a class of characters is named.
    let folded = |byte: u8| match ignore_case {
        true => byte.to_ascii_lowercase(),
        false => byte,
    };
    let mut class = String::from("(?-i:[");
    let mut add = |is_in: &dyn Fn(u8) -> bool| {
        let bytes = (0..=u8::MAX).filter(|byte| is_in(*byte));
        bytes.for_each(|byte| push_byte(&mut class, byte));
    };
    let negated = text.strip_prefix(['!', '^']);
    let mut rest = negated.unwrap_or(text);
    let mut is_first = true;
    loop {
        if let Some(after) = rest.strip_prefix(']').filter(|_| !is_first) {
            class.push_str("])");
            if negated.is_some() {
                class = class.replacen('[', "[^", 1);
            }
            return Ok(Some((class, after)));
        }
        is_first = false;
        if let Some(named) = rest.strip_prefix("[:")
            && let Some((name, after)) = named.split_once(":]")
        {
            let Some((_, is_in)) = CLASSES.iter().find(|(known, _)| *known == name) else {
                let known: Vec<_> = CLASSES.iter().map(|(name, _)| *name).collect();
                bail!(
                    "[:{name}:] is not a class of characters: {}",
                    known.join(", ")
                );
            };
            add(&|byte| is_in(&byte));
            rest = after;
            continue;
        }
        if rest.starts_with("[.") || rest.starts_with("[=") {
            bail!("[. and [= in brackets are not read here");
        }
        let Some((from, after)) = one_of_class(rest)? else {
            return Ok(None);
        };
        rest = after;
        let mut to = from;
        if let Some(after) = rest.strip_prefix('-').filter(|rest| !rest.starts_with(']')) {
            let Some((last, after)) = one_of_class(after)? else {
                return Ok(None);
            };
            (to, rest) = (last, after);
        }
        let range = folded(from)..=folded(to);
        if range.is_empty() {
            bail!("a range in brackets ends before it begins");
        }
        add(&|byte| range.contains(&folded(byte)));
    }
}

/// Whether a byte is in a class.
type IsIn = fn(&u8) -> bool;

/// The classes of characters that POSIX names, in the C locale.
const CLASSES: [(&str, IsIn); 12] = [
    ("alnum", u8::is_ascii_alphanumeric),
    ("alpha", u8::is_ascii_alphabetic),
    ("blank", |byte| matches!(byte, b' ' | b'\t')),
    ("cntrl", u8::is_ascii_control),
    ("digit", u8::is_ascii_digit),
    ("graph", u8::is_ascii_graphic),
    ("lower", u8::is_ascii_lowercase),
    ("print", |byte| matches!(byte, b' '..=b'~')),
    ("punct", u8::is_ascii_punctuation),
    ("space", |byte| matches!(byte, b' ' | b'\t'..=b'\r')),
    ("upper", u8::is_ascii_uppercase),
    ("xdigit", u8::is_ascii_hexdigit),
];

/// A character in brackets, which a backslash may stand before; none at the end of the text.
fn one_of_class(text: &str) -> Result<Option<(u8, &str)>> {
    let mut chars = text.chars();
    let char = match chars.next() {
        Some('\\') => chars.next(),
        other => other,
    };
    let Some(char) = char else {
        return Ok(None);
    };
    let byte = u8::try_from(char)
        .ok()
        .filter(u8::is_ascii)
        .with_context(|| {
            format!("{char:?} can't stand in brackets, since a text is matched byte by byte")
        })?;
    Ok(Some((byte, chars.as_str())))
}

/// `regex`: as RE2 with POSIX syntax matches a whole text. What RE2 does not take, or takes otherwise, is refused.
pub(super) fn regex(pattern: &str) -> Result<Pattern> {
    let parsed = ast::parse::ParserBuilder::new()
        .nest_limit(50)
        .build()
        .parse(pattern)
        .map_err(|error| anyhow!("is not a valid regular expression: {}", error.kind()))?;
    ast::visit(
        &parsed,
        Posix {
            left: vec![MOST_REPEATED],
        },
    )?;
    Ok(Pattern {
        regex: build(pattern, false)?,
        literals: literals(&parsed),
    })
}

/// What is in all that a regular expression matches: one text of each of these.
fn literals(ast: &Ast) -> Vec<Vec<String>> {
    match ast {
        Ast::Literal(literal) => vec![vec![literal.c.to_string()]],
        Ast::Group(group) => literals(&group.ast),
        Ast::Concat(concat) => {
            let mut all: Vec<Vec<String>> = Vec::new();
            let mut run = String::new();
            for part in &concat.asts {
                if let Ast::Literal(literal) = part {
                    run.push(literal.c);
                    continue;
                }
                all.push(vec![std::mem::take(&mut run)]);
                all.extend(literals(part));
            }
            all.push(vec![run]);
            all
        }
        // The longest text of each branch.
        Ast::Alternation(branches) => {
            let longest = |branch: &Ast| {
                let all = literals(branch).into_iter();
                let single = all.filter_map(|one_of| <[String; 1]>::try_from(one_of).ok());
                single.map(|[text]| text).max_by_key(String::len)
            };
            let longest: Option<Vec<_>> = branches.asts.iter().map(longest).collect();
            longest.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn build(pattern: &str, is_glob: bool) -> Result<Regex> {
    // Without flags for the whole, RE2 lets ^ and $ match at each line's ends.
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .multi_line(!is_glob)
        .size_limit(LARGEST)
        .dfa_size_limit(LARGEST)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => anyhow!("is too large a pattern"),
            error => anyhow!("is not a valid pattern: {error}"),
        })
}

/// Refuses what RE2 with POSIX syntax does not take or takes otherwise.
struct Posix {
    /// How often what is within the repetitions that are being visited may be repeated yet, the innermost last.
    left: Vec<u32>,
}

impl Visitor for Posix {
    type Output = ();
    type Err = Error;

    fn finish(self) -> Result<()> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<()> {
        match ast {
            Ast::Literal(literal) => refuse_escape(literal),
            Ast::ClassPerl(class) => {
                let instead = match class.kind {
                    ast::ClassPerlKind::Digit => "[0-9]",
                    ast::ClassPerlKind::Space => "[[:space:]]",
                    ast::ClassPerlKind::Word => "[0-9A-Za-z_]",
                };
                bail!(
                    "uses \\d, \\s or \\w, which RE2 in the hosts' filters does not have: {instead} is the same"
                );
            }
            Ast::ClassUnicode(_) => {
                bail!("uses \\p, which RE2 in the hosts' filters does not have")
            }
            Ast::ClassBracketed(class) => refuse_inner_hyphen(&class.kind),
            Ast::Assertion(assertion) => match assertion.kind {
                ast::AssertionKind::StartLine | ast::AssertionKind::EndLine => Ok(()),
                _ => bail!(
                    "uses \\b, \\A, \\z or the like, which RE2 in the hosts' filters does not have; a whole text is matched"
                ),
            },
            Ast::Flags(_) => bail!(
                "sets flags such as (?i), which RE2 in the hosts' filters does not have: tolower(FIELD) ignores case"
            ),
            Ast::Group(group) if !matches!(group.kind, ast::GroupKind::CaptureIndex(_)) => {
                bail!("uses (?…), which RE2 in the hosts' filters does not have: (…) groups")
            }
            Ast::Repetition(repetition) => self.enter(repetition),
            _ => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<()> {
        if let Ast::Repetition(_) = ast {
            self.left.pop();
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<()> {
        match item {
            ClassSetItem::Literal(literal) => refuse_escape(literal),
            ClassSetItem::Range(range) => {
                refuse_escape(&range.start).and_then(|()| refuse_escape(&range.end))
            }
            ClassSetItem::Bracketed(_) => bail!("has a [ in brackets, which is to be written \\["),
            ClassSetItem::Perl(_) | ClassSetItem::Unicode(_) => bail!(
                "uses \\d, \\s, \\w or \\p in brackets, which RE2 in the hosts' filters does not have"
            ),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<()> {
        bail!("has &&, -- or ~~ in brackets, whose characters are to be written \\& \\- \\~")
    }
}

impl Posix {
    fn enter(&mut self, repetition: &ast::Repetition) -> Result<()> {
        if !repetition.greedy {
            bail!("has a ? behind a repetition, which RE2 in the hosts' filters takes for (…)?");
        }
        let times = match &repetition.op.kind {
            RepetitionKind::Range(
                RepetitionRange::Exactly(times)
                | RepetitionRange::AtLeast(times)
                | RepetitionRange::Bounded(_, times),
            ) => (*times).max(1),
            _ => 1,
        };
        let left = self.left.last().copied().unwrap_or(MOST_REPEATED) / times;
        if left == 0 {
            bail!("repeats something more than {MOST_REPEATED} times, the most of RE2");
        }
        self.left.push(left);
        Ok(())
    }
}

/// Refuses escapes that RE2 does not know.
fn refuse_escape(literal: &ast::Literal) -> Result<()> {
    use ast::{HexLiteralKind::X, LiteralKind};
    match &literal.kind {
        LiteralKind::HexFixed(kind) | LiteralKind::HexBrace(kind) if *kind != X => {
            bail!("uses \\u, which RE2 in the hosts' filters does not have: \\x{{…}} is the same")
        }
        _ => Ok(()),
    }
}

/// Refuses a hyphen in brackets that is neither first nor last: RE2 takes it for a range or not at all.
fn refuse_inner_hyphen(class: &ClassSet) -> Result<()> {
    let ClassSet::Item(ClassSetItem::Union(union)) = class else {
        return Ok(());
    };
    let is_hyphen = |item: &ClassSetItem| matches!(item, ClassSetItem::Literal(literal) if literal.c == '-' && literal.kind == ast::LiteralKind::Verbatim);
    let last = union.items.len().saturating_sub(1);
    match union
        .items
        .get(1..last)
        .is_some_and(|inner| inner.iter().any(is_hyphen))
    {
        true => {
            bail!("has a - within brackets, which is to be written \\-, or to be first or last")
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_those_of_fnmatch() {
        for (pattern, text, matches, matches_any_case) in [
            ("[a-c]", "b", true, true),
            ("[a-c]", "B", false, true),
            ("[!a-c]", "B", true, false),
            ("[^P]", "p", true, false),
            // Named classes are not folded.
            ("[[:lower:]]", "p", true, true),
            ("[[:lower:]]", "P", false, false),
            ("[![:upper:]]", "P", false, false),
            ("[![:upper:]]", "p", true, true),
            ("[[:punct:]x]", "-", true, true),
            ("[[:space:]]", "\u{b}", true, true),
            // Between the cases: as bytes, and folded.
            ("[A-z]", "_", true, false),
            ("[]-]", "]", true, true),
            ("[]-]", "-", true, true),
            ("[\\]]", "]", true, true),
            ("[!]]", "a", true, true),
            ("[a", "[a", true, true),
            ("?", "\u{e9}", false, false),
            ("??", "\u{e9}", true, true),
            ("[!x]?", "\u{e9}", true, true),
            ("\u{e9}", "\u{c9}", false, false),
        ] {
            for (ignore_case, expected) in [(false, matches), (true, matches_any_case)] {
                let glob = glob(pattern, ignore_case).unwrap();
                assert_eq!(
                    glob.regex.is_match(text.as_bytes()),
                    expected,
                    "{pattern} {text} {ignore_case}"
                );
            }
        }
        assert!(glob("[Z-a]", false).is_ok());
        for (pattern, ignore_case) in [
            ("[Z-a]", true),
            ("[A-_]", true),
            ("[z-a]", false),
            ("[\u{e9}]", false),
            ("[[:x:]]", false),
        ] {
            assert!(glob(pattern, ignore_case).is_err(), "{pattern}");
        }
    }

    #[test]
    fn regular_expressions_that_re2_reads_otherwise_are_refused() {
        for pattern in [
            r"a+?",
            r"a*?",
            r"a??",
            r"a{2}?",
            r"\u0041",
            r"\u{41}",
            r"\U00000041",
            r"[\u0041]",
            r"[a-\u0062]",
            r"[a-b-c]",
            r"[--a]",
            r"[]-a]",
            r"[[:alpha:]-z]",
            r"a{1001}",
            r"(a{100}){100}",
            r"(a{32}b){32,}",
            r"a{,3}",
            r"\d",
            r"[\w]",
            r"\bx",
            r"\Ax",
            r"\pL",
            r"(?i)a",
            r"(?:a)",
            r"(?P<a>b)",
            r"[a&&b]",
            r"[[a]]",
            r"\<a",
            r"(",
        ] {
            assert!(regex(pattern).is_err(), "{pattern}");
        }
        for (pattern, text) in [
            (r"\x41\x{42}", "AB"),
            (r"\_[\_]", "__"),
            (r"[a-]", "-"),
            (r"[-a]", "-"),
            (r"[^-a]", "b"),
            (r"[]a]", "]"),
            (r"[a\-z]", "-"),
            (r"(a{10}){100}", &"a".repeat(1000)),
            (r"a{0}b{1000}", &"b".repeat(1000)),
            (r"[^x]", "\n"),
            (r"[[:^alpha:]]", "1"),
        ] {
            let found = regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(found.regex.is_match(text.as_bytes()), "{pattern}");
        }
        assert!(!regex(".").unwrap().regex.is_match(b"\n"));
    }
}
