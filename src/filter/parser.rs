//! The text of a condition, read into a tree.
//!
//! The grammar is that of libsinsp's filters (`userspace/libsinsp/filter/parser.cpp` in falcosecurity/libs 0.23):
//! ```text
//! any      := all ("or" all)*
//! all      := one ("and" one)*
//! one      := "not"* ( "(" any ")" | check )
//! check    := operand "exists" | operand operator ( value | operand ) | operand list-operator ( list | operand )
//! operand  := field ("[" argument "]")? | transformer "(" operand ")"
//! ```

use std::ops::Range;

use winnow::combinator::{alt, eof, opt, peek};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location};
use winnow::token::{any as any_char, one_of, take_while};

/// Parentheses, `not`s and transformers within each other, at most.
const DEEPEST: usize = 64;

/// What is wrong with a condition, and where: a range of bytes of its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub at: Range<usize>,
    pub words: String,
}

/// A condition as it is written.
#[derive(Debug, PartialEq)]
pub(super) enum Expression {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Check(Box<Check>),
}

/// One comparison.
#[derive(Debug, PartialEq)]
pub(super) struct Check {
    pub left: Operand,
    pub operator: Operator,
    /// Where the operator is written.
    pub at: Range<usize>,
    pub right: Right,
}

/// What an operand is compared with.
#[derive(Debug, PartialEq)]
pub(super) enum Right {
    /// `exists` compares with nothing.
    Nothing,
    /// One value, or those of a list.
    Values(Vec<Literal>),
    Operand(Operand),
}

/// A field, and the transformers that are applied to it, the first of them first.
#[derive(Debug, PartialEq)]
pub(super) struct Operand {
    pub field: Literal,
    pub argument: Option<Literal>,
    pub transformers: Vec<(Transformer, Range<usize>)>,
}

/// A part of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Literal {
    pub text: String,
    pub at: Range<usize>,
    pub is_quoted: bool,
}

/// The operators, named as in libsinsp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Order(Order),
    In,
    Intersects,
    Contains,
    IContains,
    StartsWith,
    EndsWith,
    Glob,
    IGlob,
    Regex,
    Exists,
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

use Operator::{
    Contains, EndsWith, Exists, Glob, IContains, IGlob, In, Intersects, Regex, StartsWith,
};

/// Longer ones come before those that they begin with.
const SYMBOLS: [(&str, Operator); 7] = [
    ("==", Operator::Order(Order::Equal)),
    ("=", Operator::Order(Order::Equal)),
    ("!=", Operator::Order(Order::NotEqual)),
    ("<=", Operator::Order(Order::LessOrEqual)),
    ("<", Operator::Order(Order::Less)),
    (">=", Operator::Order(Order::GreaterOrEqual)),
    (">", Operator::Order(Order::Greater)),
];

const WORDS: [(&str, Operator); 10] = [
    ("in", In),
    ("intersects", Intersects),
    ("contains", Contains),
    ("icontains", IContains),
    ("startswith", StartsWith),
    ("endswith", EndsWith),
    ("glob", Glob),
    ("iglob", IGlob),
    ("regex", Regex),
    ("exists", Exists),
];

impl Operator {
    /// As users write it.
    pub fn word(self) -> &'static str {
        let mut all = SYMBOLS.iter().skip(1).chain(&WORDS);
        all.find(|(_, operator)| *operator == self)
            .map_or("", |(word, _)| word)
    }

    fn takes_list(self) -> bool {
        matches!(self, In | Intersects)
    }
}

/// What is done to a field's value before it is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Transformer {
    ToLower,
    ToUpper,
    /// What is behind the last slash.
    Basename,
    /// The length of a text in bytes, or of a list.
    Len,
}

const TRANSFORMERS: [(&str, Transformer); 4] = [
    ("tolower", Transformer::ToLower),
    ("toupper", Transformer::ToUpper),
    ("basename", Transformer::Basename),
    ("len", Transformer::Len),
];

/// What stands for a field on the right side, where a text would be taken for itself.
const VALUE_OF: &str = "val";

type Input<'t> = LocatingSlice<&'t str>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

impl ParserError<Input<'_>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'_>) -> Self {
        let at = input.current_token_start();
        Self {
            at: at..at,
            words: "something else is expected here".to_owned(),
        }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    let mut input = Input::new(text);
    let whole = |input: &mut Input<'_>| {
        let expression = any(input, 0)?;
        blanks(input)?;
        match input.is_empty() {
            true => Ok(expression),
            false => Err(expected(input, "\"and\" or \"or\"")),
        }
    };
    whole(&mut input).map_err(|error: ErrMode<Fault>| match error {
        ErrMode::Backtrack(fault) | ErrMode::Cut(fault) => fault,
        ErrMode::Incomplete(_) => Fault {
            at: text.len()..text.len(),
            words: "the condition ends too early".to_owned(),
        },
    })
}

fn any(input: &mut Input<'_>, depth: usize) -> Parsed<Expression> {
    let mut parts = parts(input, "or", |input| all(input, depth))?;
    Ok(match parts.len() {
        1 => parts.swap_remove(0),
        _ => Expression::Any(parts),
    })
}

fn all(input: &mut Input<'_>, depth: usize) -> Parsed<Expression> {
    let mut parts = parts(input, "and", |input| one(input, depth))?;
    Ok(match parts.len() {
        1 => parts.swap_remove(0),
        _ => Expression::All(parts),
    })
}

/// One part at least, and more as long as the word stands between them.
fn parts<'t>(
    input: &mut Input<'t>,
    word: &str,
    mut part: impl FnMut(&mut Input<'t>) -> Parsed<Expression>,
) -> Parsed<Vec<Expression>> {
    let mut parts = vec![part(input)?];
    while keyword(input, word)? {
        parts.push(part(input)?);
    }
    Ok(parts)
}

fn one(input: &mut Input<'_>, depth: usize) -> Parsed<Expression> {
    let mut is_not = false;
    while keyword(input, "not")? {
        is_not = !is_not;
    }
    blanks(input)?;
    let begin = input.current_token_start();
    let expression = match opt('(').parse_next(input)? {
        Some(_) => {
            let within = any(input, deeper(input, depth)?)?;
            close(input, ')', begin)?;
            within
        }
        None => Expression::Check(Box::new(check(input, depth)?)),
    };
    Ok(match is_not {
        true => Expression::Not(Box::new(expression)),
        false => expression,
    })
}

fn check(input: &mut Input<'_>, depth: usize) -> Parsed<Check> {
    let left = operand(input, depth)?;
    blanks(input)?;
    let begin = input.current_token_start();
    let operator = operator(input)?;
    let at = begin..input.previous_token_end();
    blanks(input)?;
    let right = if operator == Exists {
        Right::Nothing
    } else if let Some(operand) = right_operand(input, depth)? {
        Right::Operand(operand)
    } else if operator.takes_list() {
        Right::Values(list(input)?)
    } else {
        Right::Values(vec![value(input)?])
    };
    Ok(Check {
        left,
        operator,
        at,
        right,
    })
}

fn operator(input: &mut Input<'_>) -> Parsed<Operator> {
    for (symbol, operator) in SYMBOLS {
        if opt(symbol).parse_next(input)?.is_some() {
            return Ok(operator);
        }
    }
    let begin = input.current_token_start();
    let word = word(input)?;
    if let Some((_, operator)) = WORDS.iter().find(|(name, _)| *name == word) {
        let followed: Option<char> = peek(opt(any_char)).parse_next(input)?;
        let is_apart = followed.is_none_or(|char| is_blank(char) || char == '(' || char == ')');
        return match is_apart {
            true => Ok(*operator),
            false => Err(expected(input, &format!("a blank behind {word:?}"))),
        };
    }
    let instead = match word {
        "pmatch" => "startswith compares with the beginning of a path, glob with a pattern: /etc/*"
            .to_owned(),
        "bcontains" | "bstartswith" => "it is for bytes, and the fields are texts".to_owned(),
        _ => {
            let known = SYMBOLS.iter().skip(1).chain(&WORDS).map(|(name, _)| *name);
            format!("the operators are {}", known.collect::<Vec<_>>().join(" "))
        }
    };
    Err(match word {
        "" => expected(input, &format!("an operator; {instead}")),
        _ => fault(
            begin..begin + word.len(),
            format!("{word:?} is not an operator here: {instead}"),
        ),
    })
}

/// A field with its argument, or a transformer of one.
fn operand(input: &mut Input<'_>, depth: usize) -> Parsed<Operand> {
    blanks(input)?;
    let begin = input.current_token_start();
    let name: &str = take_while(0.., |char| is_word(char) || char == '.').parse_next(input)?;
    let at = begin..begin + name.len();
    if name.is_empty() {
        return Err(expected(input, "a field, such as ct.name"));
    }
    if opt('(').parse_next(input)?.is_none() {
        return Ok(Operand {
            field: Literal {
                text: name.to_owned(),
                at,
                is_quoted: false,
            },
            argument: argument(input)?,
            transformers: Vec::new(),
        });
    }
    let known = TRANSFORMERS.iter().find(|(known, _)| *known == name);
    let Some((_, transformer)) = known else {
        let words = match name {
            VALUE_OF => "val(…) is for the right side of a comparison".to_owned(),
            _ => format!("{name:?} is not a transformer: tolower, toupper, basename and len are"),
        };
        return Err(fault(at, words));
    };
    let mut operand = operand(input, deeper(input, depth)?)?;
    operand.transformers.push((*transformer, at));
    close(input, ')', begin)?;
    Ok(operand)
}

/// `[/userIdentity/arn]`, `["/tags/a b"]`
fn argument(input: &mut Input<'_>) -> Parsed<Option<Literal>> {
    let begin = input.current_token_start();
    if opt('[').parse_next(input)?.is_none() {
        return Ok(None);
    }
    let argument = match quoted(input)? {
        Some(quoted) => quoted,
        None => bare(input, |char| "[]\"'".contains(char))?
            .ok_or_else(|| expected(input, "an argument, such as /userIdentity/arn"))?,
    };
    close(input, ']', begin)?;
    Ok(Some(argument))
}

/// An operand on the right side: `val(FIELD)` or a transformer.
fn right_operand(input: &mut Input<'_>, depth: usize) -> Parsed<Option<Operand>> {
    let begin = input.current_token_start();
    let name: Option<&str> = peek(opt((take_while(1.., is_word), '(').take())).parse_next(input)?;
    let Some(name) = name.and_then(|name| name.strip_suffix('(')) else {
        return Ok(None);
    };
    if name != VALUE_OF {
        return operand(input, depth).map(Some);
    }
    (VALUE_OF, '(').void().parse_next(input)?;
    let operand = operand(input, depth)?;
    if let Some((_, at)) = operand.transformers.first() {
        let words = "val(…) takes a field; a transformer stands for itself: tolower(ct.user)";
        return Err(fault(at.clone(), words.to_owned()));
    }
    close(input, ')', begin)?;
    Ok(Some(operand))
}

/// The values of a list.
fn list(input: &mut Input<'_>) -> Parsed<Vec<Literal>> {
    let begin = input.current_token_start();
    if opt('(').parse_next(input)?.is_none() {
        return Err(expected(input, "a list of values, such as (a, b)"));
    }
    blanks(input)?;
    let mut values = Vec::new();
    if opt(')').parse_next(input)?.is_some() {
        return Ok(values);
    }
    loop {
        blanks(input)?;
        values.push(value(input)?);
        blanks(input)?;
        if opt(',').parse_next(input)?.is_none() {
            close(input, ')', begin)?;
            return Ok(values);
        }
    }
}

/// A value in quotes, or as it stands.
fn value(input: &mut Input<'_>) -> Parsed<Literal> {
    if let Some(quoted) = quoted(input)? {
        return Ok(quoted);
    }
    bare(input, |char| "()\"'=,".contains(char))?
        .ok_or_else(|| expected(input, "a value; one with blanks or ( ) = , needs quotes"))
}

fn bare(input: &mut Input<'_>, is_end: impl Fn(char) -> bool) -> Parsed<Option<Literal>> {
    let begin = input.current_token_start();
    // Some blanks end a text and can't stand behind it, and \b is the other way round, as in libsinsp.
    let is_space = |char: char| char.is_ascii_whitespace() || char == '\u{b}';
    let text: &str = take_while(0.., |char| !is_end(char) && !is_space(char)).parse_next(input)?;
    Ok((!text.is_empty()).then(|| Literal {
        text: text.to_owned(),
        at: begin..begin + text.len(),
        is_quoted: false,
    }))
}

/// A text in single or double quotes, with libsinsp's escapes.
fn quoted(input: &mut Input<'_>) -> Parsed<Option<Literal>> {
    let begin = input.current_token_start();
    let Some(quote) = opt(one_of(['\'', '"'])).parse_next(input)? else {
        return Ok(None);
    };
    let mut text = String::new();
    loop {
        let at = input.current_token_start();
        match opt(any_char).parse_next(input)? {
            None => return Err(fault(begin..at, format!("the closing {quote} is missing"))),
            Some(char) if char == quote => break,
            Some('\\') => {
                let escaped = opt(any_char).parse_next(input)?;
                let Some(char) = escaped.and_then(|escaped| unescaped(escaped, quote)) else {
                    let at = at..input.current_token_start();
                    return Err(fault(at, ESCAPES.to_owned()));
                };
                text.push(char);
            }
            Some(char) => text.push(char),
        }
    }
    Ok(Some(Literal {
        text,
        at: begin..input.current_token_start(),
        is_quoted: true,
    }))
}

const ESCAPES: &str = r"the escapes in quotes are \\ \/ \b \f \n \r \t and the quote itself; \\ stands for a backslash";

/// What an escape stands for.
fn unescaped(escaped: char, quote: char) -> Option<char> {
    Some(match escaped {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        // A blank is one of libsinsp's, for rules that were written wrong.
        '\\' | ' ' => '\\',
        '/' => '/',
        quoted if quoted == quote => quoted,
        _ => return None,
    })
}

/// Takes a word that stands apart, and says whether it was there.
fn keyword(input: &mut Input<'_>, word: &str) -> Parsed<bool> {
    let blank = one_of(|char| is_blank(char) || char == '(').void();
    let keyword = (
        take_while(0.., is_blank),
        word,
        peek(alt((blank, eof.void()))),
    );
    Ok(opt(keyword).parse_next(input)?.is_some())
}

fn close(input: &mut Input<'_>, bracket: char, begin: usize) -> Parsed<()> {
    blanks(input)?;
    match opt(bracket).parse_next(input)? {
        Some(_) => Ok(()),
        None if input.is_empty() => {
            let at = begin..input.current_token_start();
            Err(fault(at, format!("the closing {bracket} is missing")))
        }
        None => Err(expected(input, &format!("{bracket:?}"))),
    }
}

fn blanks(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., is_blank).void().parse_next(input)
}

/// The letters, digits and underlines that come next.
fn word<'t>(input: &mut Input<'t>) -> Parsed<&'t str> {
    take_while(0.., is_word).parse_next(input)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r' | '\u{8}')
}

fn deeper(input: &Input<'_>, depth: usize) -> Parsed<usize> {
    let at = input.current_token_start();
    match depth < DEEPEST {
        true => Ok(depth + 1),
        false => Err(fault(
            at..at,
            format!("is nested more than {DEEPEST} levels deep"),
        )),
    }
}

fn expected(input: &mut Input<'_>, what: &str) -> ErrMode<Fault> {
    let at = input.current_token_start();
    // Up to the end of what stands there instead.
    let next = input.chars().take_while(|char| is_word(*char)).count();
    let end = at + next.max(input.chars().next().map_or(0, char::len_utf8));
    fault(at..end, format!("expected {what}"))
}

fn fault(at: Range<usize>, words: String) -> ErrMode<Fault> {
    ErrMode::Cut(Fault { at, words })
}
