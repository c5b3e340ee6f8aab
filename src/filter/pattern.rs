//! Globs and regular expressions, as they are in libsinsp's filters.

use anyhow::{Context, Error, Result, anyhow, bail};
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, Ast, ClassSetBinaryOp, ClassSetItem, RepetitionKind, RepetitionRange, Visitor,
};

use super::condition::Pattern;

/// A compiled pattern's memory in bytes, at most.
const LARGEST: usize = 4 << 20;
/// RE2 repeats something so often, at most.
const MOST_REPEATED: u32 = 1000;

/// `glob` and `iglob`: as glibc's `fnmatch` without flags, in the C locale, matches a whole text.
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
            '[' => match class(rest.as_str())? {
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
                push_literal(&mut regex, char);
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

/// Adds a character's bytes, each as it is.
fn push_literal(regex: &mut String, char: char) {
    for byte in char.encode_utf8(&mut [0; 4]).bytes() {
        push_byte(regex, byte);
    }
}

fn push_byte(regex: &mut String, byte: u8) {
    match byte.is_ascii_alphanumeric() {
        true => regex.push(char::from(byte)),
        false => regex.push_str(&format!("\\x{byte:02x}")),
    }
}

/// A bracket expression behind its `[`, as a regular expression, and what is behind it. `None` if it does not end, so that
/// the bracket stands for itself.
fn class(text: &str) -> Result<Option<(String, &str)>> {
    let mut class = String::from("[");
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(['!', '^']) {
        class.push('^');
        rest = after;
    }
    let mut is_first = true;
    loop {
        if let Some(after) = rest.strip_prefix(']').filter(|_| !is_first) {
            class.push(']');
            return Ok(Some((class, after)));
        }
        is_first = false;
        if let Some(named) = rest.strip_prefix("[:")
            && let Some((name, after)) = named.split_once(":]")
        {
            if !CLASSES.contains(&name) {
                bail!(
                    "[:{name}:] is not a class of characters: {}",
                    CLASSES.join(", ")
                );
            }
            class.push_str(&format!("[:{name}:]"));
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
        push_byte(&mut class, from);
        let to = rest.strip_prefix('-').filter(|rest| !rest.starts_with(']'));
        if let Some(after) = to {
            let Some((to, after)) = one_of_class(after)? else {
                return Ok(None);
            };
            if to < from {
                bail!("a range in brackets ends before it begins");
            }
            class.push('-');
            push_byte(&mut class, to);
            rest = after;
        }
    }
}

/// The classes of characters that POSIX names.
const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "xdigit",
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
    ast::visit(&parsed, Posix)?;
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
struct Posix;

impl Visitor for Posix {
    type Output = ();
    type Err = Error;

    fn finish(self) -> Result<()> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<()> {
        match ast {
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
            Ast::Repetition(repetition) => {
                let most = match &repetition.op.kind {
                    RepetitionKind::Range(
                        RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n),
                    ) => *n,
                    RepetitionKind::Range(RepetitionRange::Bounded(_, n)) => *n,
                    _ => 0,
                };
                match most > MOST_REPEATED {
                    true => {
                        bail!("repeats something more than {MOST_REPEATED} times, the most of RE2")
                    }
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<()> {
        match item {
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
