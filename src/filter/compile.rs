//! From the text's tree to a condition that makes sense: fields and arguments that exist, operators that fit them, values
//! that can be compared. What can only mislead is refused.

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem::Finder;

use super::condition::{
    Check, Condition, NumberTest, Operand, OwnedArgument, Pattern, Relation, Test, TextTest,
};
use super::parser::{self, Expression, Fault, Literal, Operator, Order, Right, Transformer};
use super::pattern;
use crate::fields::{FIELDS, Field};

/// What an operand's values are.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    List,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::List => "a list of texts",
        }
    }
}

type Compiled<T> = Result<T, Fault>;

/// Globs and regular expressions of a condition, at most: each takes memory.
const MOST_PATTERNS: usize = 64;

/// Makes sense of a condition.
pub(super) fn compile(expression: Expression) -> Compiled<Condition> {
    if let Some(at) = patterns(&expression).nth(MOST_PATTERNS) {
        let words = format!("is one pattern too many: a condition has {MOST_PATTERNS} at most");
        return Err(fault(at.clone(), words));
    }
    condition_of(expression)
}

/// Where its globs and regular expressions are.
fn patterns(expression: &Expression) -> Box<dyn Iterator<Item = &Range<usize>> + '_> {
    match expression {
        Expression::All(parts) | Expression::Any(parts) => {
            Box::new(parts.iter().flat_map(patterns))
        }
        Expression::Not(part) => patterns(part),
        Expression::Check(check) => {
            let is_pattern = matches!(
                check.operator,
                Operator::Glob | Operator::IGlob | Operator::Regex
            );
            Box::new(is_pattern.then_some(&check.at).into_iter())
        }
    }
}

fn condition_of(expression: Expression) -> Compiled<Condition> {
    let all = |parts: Vec<Expression>| {
        let parts = parts.into_iter().map(condition_of);
        parts.collect::<Compiled<_>>()
    };
    Ok(match expression {
        Expression::All(parts) => Condition::All(all(parts)?),
        Expression::Any(parts) => Condition::Any(all(parts)?),
        Expression::Not(part) => Condition::Not(Box::new(condition_of(*part)?)),
        Expression::Check(check) => Condition::Check(check_of(*check)?),
    })
}

fn check_of(check: parser::Check) -> Compiled<Check> {
    let parser::Check {
        left,
        operator,
        at,
        right,
    } = check;
    let name = left.field.text.clone();
    let (left, kind) = operand(left)?;
    let fits = match kind {
        _ if operator == Operator::Exists => true,
        Kind::Text => order(operator).is_none_or(|order| !is_less_or_greater(order)),
        Kind::Number => order(operator).is_some() || is_membership(operator),
        Kind::List => is_membership(operator),
    };
    if !fits {
        return Err(unfit(&name, kind, operator, at));
    }
    let test = match right {
        Right::Nothing => Test::Exists,
        Right::Operand(right) => {
            let place = right.field.at.clone();
            let (right, other) = operand(right)?;
            if kind != other {
                let words = format!("{} can't be compared with {}", kind.words(), other.words());
                return Err(fault(place, words));
            }
            Test::Operand(
                relation(operator).ok_or_else(|| {
                    let words = format!("{} takes a pattern, not a field", operator.word());
                    fault(place, words)
                })?,
                right,
            )
        }
        Right::Values(values) if kind == Kind::Number => {
            Test::Number(number_test(operator, &values)?)
        }
        Right::Values(values) => {
            for value in &values {
                refuse_misleading(&left, operator, value)?;
            }
            Test::Text(text_test(operator, values)?)
        }
    };
    Ok(Check { left, test })
}

fn operand(operand: parser::Operand) -> Compiled<(Operand, Kind)> {
    let parser::Operand {
        field: Literal { text: name, at, .. },
        argument,
        transformers,
    } = operand;
    let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
        return Err(fault(at, unknown(&name)));
    };
    let mut kind = match (field.is_list(), field.kind()) {
        (true, _) => Kind::List,
        (_, "uint64") => Kind::Number,
        _ => Kind::Text,
    };
    let argument = match argument {
        None => OwnedArgument::None,
        Some(argument) => argument_of(field, argument)?,
    };
    let mut applied = Vec::with_capacity(transformers.len());
    for (transformer, at) in transformers {
        kind = match (transformer, kind) {
            (_, Kind::Number) => {
                let words = format!("{name} is a number here, which no transformer takes");
                return Err(fault(at, words));
            }
            (Transformer::Len, _) => Kind::Number,
            _ => kind,
        };
        applied.push(transformer);
    }
    let operand = Operand {
        field,
        argument,
        transformers: applied,
    };
    Ok((operand, kind))
}

fn argument_of(field: &Field, argument: Literal) -> Compiled<OwnedArgument> {
    let Literal { text, at, .. } = argument;
    if field.is_pointed() {
        return match text.starts_with('/') {
            true => Ok(OwnedArgument::Pointer(text)),
            false => {
                let words = format!(
                    "is not a JSON pointer, which begins with a slash: {}[/{text}]",
                    field.name
                );
                Err(fault(at, words))
            }
        };
    }
    if !field.is_list() {
        return Err(fault(at, format!("{} takes no argument", field.name)));
    }
    let is_index =
        text == "0" || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(index) if is_index => Ok(OwnedArgument::Index(index)),
        _ => Err(fault(at, "is not an index: 0 is the first".to_owned())),
    }
}

/// What an unknown field was meant to be: the one that shows this member of a record, or the one with the nearest name.
fn unknown(name: &str) -> String {
    let shows = |field: &&Field| {
        let paths = field.paths();
        paths.iter().any(|path| path.eq_ignore_ascii_case(name))
    };
    if let Some(field) = FIELDS.iter().find(shows) {
        return format!("{name:?} is not a field: {} shows it", field.name);
    }
    let nearest = FIELDS.iter().max_by(|one, other| {
        let near = |field: &Field| strsim::jaro_winkler(&name.to_lowercase(), field.name);
        near(one).total_cmp(&near(other))
    });
    let nearest = nearest.map_or("", |field| field.name);
    format!(
        "{name:?} is not a field, the nearest is {nearest}; ct.value[/path/to/member] is any member of a record"
    )
}

fn order(operator: Operator) -> Option<Order> {
    match operator {
        Operator::Order(order) => Some(order),
        _ => None,
    }
}

fn is_less_or_greater(order: Order) -> bool {
    !matches!(order, Order::Equal | Order::NotEqual)
}

fn is_membership(operator: Operator) -> bool {
    matches!(operator, Operator::In | Operator::Intersects)
}

fn relation(operator: Operator) -> Option<Relation> {
    Some(match operator {
        Operator::In => Relation::In,
        Operator::Intersects => Relation::Intersects,
        Operator::Contains => Relation::Contains,
        Operator::IContains => Relation::IContains,
        Operator::StartsWith => Relation::StartsWith,
        Operator::EndsWith => Relation::EndsWith,
        _ => Relation::Order(order(operator)?),
    })
}

fn unfit(name: &str, kind: Kind, operator: Operator, at: Range<usize>) -> Fault {
    let operator = operator.word();
    let instead = match kind {
        Kind::Text if name == "ct.time" => "s3Interval chooses by time, startswith by day or hour",
        Kind::Text => {
            "= != in contains startswith glob regex compare texts, and len(…) is a number"
        }
        Kind::Number => "= != < <= > >= in compare numbers",
        Kind::List => "in holds if all of it is in the list behind it, intersects if some of it is",
    };
    fault(
        at,
        format!(
            "{operator} does not compare {}, which {name} is: {instead}",
            kind.words()
        ),
    )
}

/// Refuses values that nothing can be equal to, though libsinsp takes them.
fn refuse_misleading(left: &Operand, operator: Operator, value: &Literal) -> Compiled<()> {
    let is_field = FIELDS.iter().any(|field| field.name == value.text);
    if is_field && !value.is_quoted {
        let words = format!(
            "is a field's name: val({0}) stands for its value, \"{0}\" for this text",
            value.text
        );
        return Err(fault(value.at.clone(), words));
    }
    let is_equality = order(operator).is_some() || is_membership(operator);
    if is_equality && left.field.is_address() && is_network(&value.text) {
        let words = "is a network, and addresses are compared as texts: startswith 10.1. or glob 10.1.* compares with \
                     the beginning";
        return Err(fault(value.at.clone(), words.to_owned()));
    }
    // Basename leaves the case as it is.
    let mut transformers = left.transformers.iter().rev();
    let is_never = match transformers.find(|one| **one != Transformer::Basename) {
        Some(Transformer::ToLower) => value.text.bytes().any(|byte| byte.is_ascii_uppercase()),
        Some(Transformer::ToUpper) => value.text.bytes().any(|byte| byte.is_ascii_lowercase()),
        _ => false,
    };
    if is_never
        && !matches!(
            operator,
            Operator::IContains | Operator::IGlob | Operator::Regex | Operator::Glob
        )
    {
        let words = "has letters of the other case, so it never compares equal";
        return Err(fault(value.at.clone(), words.to_owned()));
    }
    Ok(())
}

/// `10.0.0.0/8`, `2001:db8::/32`
fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok()
}

fn number_test(operator: Operator, values: &[Literal]) -> Compiled<NumberTest> {
    let numbers = values.iter().map(number).collect::<Compiled<Vec<_>>>()?;
    let (Some(order), [number], [value]) = (order(operator), &numbers[..], values) else {
        return Ok(NumberTest::Among(numbers.into_iter().collect()));
    };
    if is_less_or_greater(order) && value.is_quoted {
        let words = format!("{} takes a number without quotes", operator.word());
        return Err(fault(value.at.clone(), words));
    }
    Ok(NumberTest::Compare(order, *number))
}

fn number(value: &Literal) -> Compiled<u64> {
    let digits = value.text.strip_prefix('+').unwrap_or(&value.text);
    let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(number) if is_digits => Ok(number),
        _ => {
            let words = format!("is not a whole number from 0 to {}", u64::MAX);
            Err(fault(value.at.clone(), words))
        }
    }
}

fn text_test(operator: Operator, values: Vec<Literal>) -> Compiled<TextTest> {
    if is_membership(operator) {
        let values: HashSet<_> = values
            .into_iter()
            .map(|value| value.text.into_bytes())
            .collect();
        return Ok(match operator {
            Operator::In => TextTest::In(values),
            _ => TextTest::Intersects(values),
        });
    }
    // The grammar gives these one value.
    let Some(Literal { text, at, .. }) = values.into_iter().next() else {
        return Err(fault(0..0, "a value is missing".to_owned()));
    };
    let finder = |text: &[u8]| Box::new(Finder::new(text).into_owned());
    let pattern = |pattern: anyhow::Result<Pattern>| {
        pattern
            .map(TextTest::Pattern)
            .map_err(|error| fault(at.clone(), format!("{error:#}")))
    };
    Ok(match operator {
        Operator::Order(Order::NotEqual) => TextTest::NotEqual(text.into_bytes()),
        Operator::Contains => TextTest::Contains(finder(text.as_bytes())),
        Operator::IContains => TextTest::IContains(finder(text.to_ascii_lowercase().as_bytes())),
        Operator::StartsWith => TextTest::StartsWith(text.into_bytes()),
        Operator::EndsWith => TextTest::EndsWith(text.into_bytes()),
        Operator::Glob => pattern(pattern::glob(&text, false))?,
        Operator::IGlob => pattern(pattern::glob(&text, true))?,
        Operator::Regex => pattern(pattern::regex(&text))?,
        // No other is left for texts.
        _ => TextTest::Equal(text.into_bytes()),
    })
}

fn fault(at: Range<usize>, words: String) -> Fault {
    Fault { at, words }
}
