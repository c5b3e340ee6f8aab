//! The setting `filter` means what libsinsp's own filters mean: sysdig is the judge.
//!
//! Random conditions, all of which libsinsp takes, are asked of sysdig and of the plugin: both keep the same events, of
//! samples and of records that are made here. `CLOUDTRAIL_FILTER_SEED` and `CLOUDTRAIL_FILTER_CONDITIONS` ask for other
//! conditions and for more of them. What one takes and the other refuses stands in tables.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs;

use fastrand::Rng;
use harness::host::{Event, Fields, Library, Plugin};
use harness::hosts::Hosts;
use harness::shared;
use serde_json::{Map, Value, json};

/// How many conditions one start of sysdig is asked.
const AT_ONCE: usize = 25;
/// How many of the samples' records a seed takes.
const SAMPLES: usize = 90;
/// How many records a seed makes.
const MADE: usize = 120;
/// A text in a filter of libsinsp may have so many bytes.
const LONGEST: usize = 255;

/// The events that conditions are asked of.
struct World<'a> {
    hosts: &'a Hosts,
    /// Records in the order of their events.
    events: Vec<Event>,
    /// Where each is in that order, by its bytes.
    places: HashMap<Vec<u8>, usize>,
    fields: Vec<Fields>,
    /// A folder with them, and one with as many copies as conditions are asked at once.
    once: String,
    often: String,
}

impl<'a> World<'a> {
    fn new(hosts: &'a Hosts, records: &[Vec<u8>]) -> Self {
        let [once, often] = ["once", "often"].map(|name| hosts.folder.join(name));
        let log = [&b"{\"Records\":["[..], &records.join(&b","[..]), b"]}"].concat();
        for (folder, copies) in [(&once, 1), (&often, AT_ONCE)] {
            _ = fs::remove_dir_all(folder);
            fs::create_dir(folder).unwrap();
            for copy in 0..copies {
                fs::write(folder.join(format!("{copy:03}.json")), &log).unwrap();
            }
        }
        let [once, often] = [once, often].map(|folder| folder.display().to_string());
        let library = Library::load().unwrap();
        let plugin = library.init("").unwrap();
        let events = plugin.events(&once).unwrap();
        assert_eq!(events.len(), records.len(), "records and their events");
        let copies = plugin.events(&often).unwrap();
        let expected = events.iter().cycle().take(events.len() * AT_ONCE);
        assert!(
            copies
                .iter()
                .map(Event::payload)
                .eq(expected.map(Event::payload)),
            "copies follow each other, each in the same order"
        );
        let names = library.field_names();
        let fields = events
            .iter()
            .map(|event| plugin.extract(event, &names).unwrap());
        let places = events.iter().map(|event| event.payload().to_vec()).zip(0..);
        Self {
            hosts,
            places: places.collect(),
            fields: fields.collect(),
            events,
            once,
            often,
        }
    }

    /// The places of the events that our filter keeps, or why it refuses the condition.
    fn ours(&self, condition: &str) -> Result<BTreeSet<usize>, String> {
        let plugin = filtering(condition)?;
        let events = plugin.events(&self.once).unwrap();
        Ok(events
            .iter()
            .map(|event| self.places[event.payload()])
            .collect())
    }

    /// Those that sysdig's keeps.
    fn sysdigs(&self, condition: &str) -> BTreeSet<usize> {
        let lines = self
            .hosts
            .sysdig(&self.once, "", &["-p", "%evt.num", condition]);
        numbers(&lines).map(|number| number - 1).collect()
    }

    /// Those that sysdig keeps for each of some conditions, in one start: each condition has a copy of the records.
    fn sysdigs_at_once(&self, conditions: &[Tree]) -> Vec<BTreeSet<usize>> {
        let size = self.events.len();
        let parts = conditions.iter().enumerate().map(|(copy, condition)| {
            let (begin, end) = (copy * size, (copy + 1) * size);
            format!("(evt.num > {begin} and evt.num <= {end} and ({condition}))")
        });
        let condition = parts.collect::<Vec<_>>().join(" or ");
        let lines = self
            .hosts
            .sysdig(&self.often, "", &["-p", "%evt.num", &condition]);
        let mut kept = vec![BTreeSet::new(); conditions.len()];
        for number in numbers(&lines) {
            kept[(number - 1) / size].insert((number - 1) % size);
        }
        kept
    }

    /// The smallest part of a condition for which ours differs, or else all of it.
    fn shrunk<'t>(&self, condition: &'t Tree) -> &'t Tree {
        let parts = condition.parts();
        let differs = |part: &&Tree| {
            let text = part.to_string();
            self.ours(&text) != Ok(self.sysdigs(&text))
        };
        match parts.iter().find(differs) {
            Some(part) => self.shrunk(part),
            None => condition,
        }
    }

    /// How ours differs, if it does.
    fn difference(&self, condition: &Tree, sysdigs: &BTreeSet<usize>) -> Option<String> {
        if self.ours(&condition.to_string()).as_ref() == Ok(sysdigs) {
            return None;
        }
        let part = self.shrunk(condition).to_string();
        let (ours, sysdigs) = (self.ours(&part), self.sysdigs(&part));
        let ours = match ours {
            Ok(ours) => ours,
            Err(error) => return Some(format!("{part}\n  ours refuses it: {error}")),
        };
        let show = |who: &str, other: &BTreeSet<usize>, kept: &BTreeSet<usize>| {
            let only: Vec<_> = kept.difference(other).collect();
            only.first().map_or(String::new(), |first| {
                let record = String::from_utf8_lossy(self.events[**first].payload());
                format!(
                    "\n  only {who} keeps {} events, such as {record}",
                    only.len()
                )
            })
        };
        let only = show("ours", &sysdigs, &ours) + &show("sysdig", &ours, &sysdigs);
        // A part may agree where it is asked alone.
        Some(format!("{part}{only}\n  found in {condition}"))
    }
}

fn numbers(lines: &[String]) -> impl Iterator<Item = usize> {
    lines.iter().map(|line| line.trim().parse().unwrap())
}

/// The plugin with a filter, or why it refuses the condition.
fn filtering(condition: &str) -> Result<Plugin, String> {
    let library = Library::load().unwrap();
    let config = json!({ "filter": condition }).to_string();
    library.init(&config).map_err(|error| format!("{error:#}"))
}

/// A condition; what is in parentheses within another is a tree of its own.
enum Tree {
    Check(String),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn parts(&self) -> &[Tree] {
        match self {
            Self::Check(_) => &[],
            Self::Not(part) => std::slice::from_ref(part),
            Self::All(parts) | Self::Any(parts) => parts,
        }
    }
}

impl Display for Tree {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let joined = |formatter: &mut Formatter<'_>, parts: &[Self], word| {
            for (index, part) in parts.iter().enumerate() {
                let word = if index == 0 { "" } else { word };
                match (self, part) {
                    (Self::All(_), Self::Any(_)) => write!(formatter, "{word}({part})")?,
                    _ => write!(formatter, "{word}{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Check(check) => check.fmt(formatter),
            Self::Not(part) => match **part {
                Self::Check(_) | Self::Not(_) => write!(formatter, "not {part}"),
                _ => write!(formatter, "not({part})"),
            },
            Self::All(parts) => joined(formatter, parts, " and "),
            Self::Any(parts) => joined(formatter, parts, "\nor "),
        }
    }
}

/// Makes conditions.
struct Maker<'a> {
    rng: Rng,
    world: &'a World<'a>,
    texts: Vec<String>,
    numbers: Vec<String>,
    lists: Vec<String>,
}

/// What is compared.
struct Left {
    text: String,
    kind: Kind,
    /// Its values for some events.
    values: Vec<Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    List,
}

/// A function on texts that stands for a transformer, to know what its values are.
type OnText = fn(&str) -> String;

const TRANSFORMERS: [(&str, OnText); 3] = [
    ("tolower", str::to_ascii_lowercase),
    ("toupper", str::to_ascii_uppercase),
    ("basename", |text| {
        text.rsplit('/').next().unwrap_or_default().to_owned()
    }),
];

impl<'a> Maker<'a> {
    fn new(seed: u64, world: &'a World<'a>) -> Self {
        let library = Library::load().unwrap();
        let of_kind = |kind: &str, is_list| {
            let fields = library.fields().iter();
            let fields = fields.filter(move |field| field.kind == kind && field.is_list == is_list);
            fields.map(|field| field.name.clone()).collect()
        };
        Self {
            rng: Rng::with_seed(seed),
            world,
            texts: of_kind("string", false),
            numbers: of_kind("uint64", false),
            lists: of_kind("string", true),
        }
    }

    fn tree(&mut self, depth: usize) -> Tree {
        let parts = |maker: &mut Self| {
            let count = maker.rng.usize(2..=4);
            (0..count).map(|_| maker.tree(depth - 1)).collect()
        };
        match self.rng.u8(0..10) {
            0 | 1 if depth > 0 => Tree::All(parts(self)),
            2 | 3 if depth > 0 => Tree::Any(parts(self)),
            4 if depth > 0 => Tree::Not(Box::new(self.tree(depth - 1))),
            _ => Tree::Check(self.check()),
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())].clone()
    }

    /// One in so many times.
    fn one_in(&mut self, times: u8) -> bool {
        self.rng.u8(..times) == 0
    }

    fn blank(&mut self) -> &'static str {
        self.pick(&[" ", " ", " ", "  ", "\t", "\n", "\r\n"])
    }

    /// A field's name, and its values for some events. Mostly it is one that a random event has.
    fn field(&mut self, kind: Kind) -> (String, Vec<Value>) {
        if kind == Kind::Text && self.one_in(4) {
            return self.pointed();
        }
        let all = match kind {
            Kind::Text => self.texts.clone(),
            Kind::Number => self.numbers.clone(),
            Kind::List => self.lists.clone(),
        };
        let event = &self.world.fields[self.rng.usize(..self.world.fields.len())];
        let there: Vec<String> = all
            .iter()
            .filter(|name| event.contains_key(*name))
            .cloned()
            .collect();
        let name = match there.is_empty() || self.one_in(8) {
            true => self.pick(&all),
            false => self.pick(&there),
        };
        let values = self
            .world
            .fields
            .iter()
            .filter_map(|event| event.get(&name));
        let mut values: Vec<Value> = values.map(|found| found.value.clone()).collect();
        if let (true, Some(found)) = (there.contains(&name), event.get(&name)) {
            // The event's own comes first, and so is drawn more often.
            values.insert(0, found.value.clone());
        }
        if kind == Kind::List && self.one_in(2) {
            let index = self.rng.usize(..3);
            return (format!("{name}[{index}]"), values);
        }
        (name, values)
    }

    /// `ct.value[/a/b]` of something that an event has.
    fn pointed(&mut self) -> (String, Vec<Value>) {
        let events = &self.world.events;
        let payload = events[self.rng.usize(..events.len())].payload();
        let record = String::from_utf8_lossy(payload);
        let Ok(mut value) = serde_json::from_str::<Value>(&record) else {
            return (
                self.pick(&["ct.value", "ct.value[/eventName]"]).into(),
                vec![],
            );
        };
        let mut pointer = String::new();
        while pointer.is_empty() || !self.one_in(6) {
            let below = match &value {
                Value::Object(members) if !members.is_empty() => {
                    let index = self.rng.usize(..members.len());
                    let (name, value) = members.iter().nth(index).expect("within");
                    (name.replace('~', "~0").replace('/', "~1"), value.clone())
                }
                Value::Array(items) if !items.is_empty() => {
                    let index = self.rng.usize(..items.len());
                    (index.to_string(), items[index].clone())
                }
                _ => break,
            };
            pointer += &format!("/{}", below.0);
            value = below.1;
        }
        if self.one_in(12) {
            pointer += self.pick(&["/x", "/0", "/", "/-1", "~2"]);
        }
        // libsinsp ends a field's name at its first blank, and the argument at the first bracket.
        if pointer.contains(|char: char| char.is_whitespace() || "[]\"'\\".contains(char)) {
            return self.pointed();
        }
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let argument = match self.rng.u8(0..6) {
            0 => format!("\"{pointer}\""),
            1 => format!("'{pointer}'"),
            _ => pointer,
        };
        (format!("ct.value[{argument}]"), vec![value.into()])
    }

    /// A field, with transformers now and then.
    fn left(&mut self, kind: Kind) -> Left {
        if kind == Kind::Number && self.one_in(2) {
            let of = self.pick(&[Kind::Text, Kind::Text, Kind::List]);
            let inner = match of {
                Kind::List => {
                    let (text, values) = self.field(of);
                    Left { text, kind, values }
                }
                _ => self.left(Kind::Text),
            };
            let length = |value: &Value| match value {
                Value::Array(items) => items.len(),
                value => value.as_str().map_or(0, str::len),
            };
            return Left {
                kind,
                values: inner.values.iter().map(|v| length(v).into()).collect(),
                text: format!("len({})", inner.text),
            };
        }
        let (mut text, mut values) = self.field(kind);
        while kind == Kind::Text && self.one_in(5) {
            let (name, of) = self.pick(&TRANSFORMERS);
            let blank = self.pick(&["", "", " "]);
            text = format!("{name}({blank}{text}{blank})");
            let changed = values.iter().map(|v| of(v.as_str().unwrap_or_default()));
            values = changed.map(Value::from).collect();
        }
        Left { text, kind, values }
    }

    fn check(&mut self) -> String {
        let kind = match self.rng.u8(0..10) {
            0 | 1 => Kind::Number,
            2 => Kind::List,
            _ => Kind::Text,
        };
        let left = self.left(kind);
        if self.one_in(10) {
            return format!("{}{}exists", left.text, self.blank());
        }
        match kind {
            Kind::Text => self.text_check(&left),
            Kind::Number => self.number_check(&left),
            Kind::List => self.list_check(&left),
        }
    }

    fn text_check(&mut self, left: &Left) -> String {
        let operator = self.pick(&[
            "=",
            "=",
            "==",
            "!=",
            "in",
            "intersects",
            "contains",
            "icontains",
            "startswith",
            "endswith",
            "glob",
            "iglob",
            "regex",
        ]);
        let is_list = matches!(operator, "in" | "intersects");
        if !matches!(operator, "glob" | "iglob" | "regex") && self.one_in(8) {
            return self.operand_check(left, operator, !is_list);
        }
        if is_list {
            let count = self.rng.usize(..5);
            let values = (0..count).map(|_| self.value(left)).collect();
            return self.with_values(left, operator, values);
        }
        let value = match operator {
            "glob" | "iglob" => self.glob(left),
            "regex" => self.regex(left),
            "=" | "==" | "!=" => self.value(left),
            _ => {
                let value = self.value(left);
                match self.one_in(3) {
                    true => value,
                    false => self.part(&value),
                }
            }
        };
        let literal = self.literal(&value);
        self.with_value(left, operator, &literal)
    }

    fn with_value(&mut self, left: &Left, operator: &str, literal: &str) -> String {
        let is_symbol = !operator.starts_with(|char: char| char.is_ascii_lowercase());
        let mut blank = || match is_symbol && self.one_in(3) {
            true => "",
            false => self.blank(),
        };
        let (before, behind) = (blank(), blank());
        format!("{}{before}{operator}{behind}{literal}", left.text)
    }

    fn with_values(&mut self, left: &Left, operator: &str, values: Vec<String>) -> String {
        let literals: Vec<_> = values.iter().map(|value| self.literal(value)).collect();
        self.with_list(left, operator, &literals)
    }

    fn with_list(&mut self, left: &Left, operator: &str, literals: &[String]) -> String {
        let comma = self.pick(&[",", ", ", " ,\n"]);
        let blank = self.pick(&["", "", " "]);
        let list = literals.join(comma);
        let behind = self.pick(&["", " "]);
        format!("{} {operator}{behind}({blank}{list}{blank})", left.text)
    }

    /// A comparison with another field.
    fn operand_check(&mut self, left: &Left, operator: &str, is_transformed: bool) -> String {
        let right = match left.kind {
            Kind::List => format!("val({})", self.pick(&self.lists.clone())),
            kind => loop {
                let right = self.left(kind);
                if right.text.contains('(') {
                    if is_transformed {
                        break right.text;
                    }
                } else {
                    break format!("val({})", right.text);
                }
            },
        };
        format!("{} {operator} {right}", left.text)
    }

    fn number_check(&mut self, left: &Left) -> String {
        let operator = self.pick(&["=", "==", "!=", "<", "<=", ">", ">=", "in", "intersects"]);
        if self.one_in(8) {
            return self.operand_check(left, operator, true);
        }
        if matches!(operator, "in" | "intersects") {
            let count = self.rng.usize(1..5);
            let numbers: Vec<_> = (0..count).map(|_| self.number(left, false)).collect();
            return self.with_list(left, operator, &numbers);
        }
        let number = self.number(left, operator.starts_with(['<', '>']));
        self.with_value(left, operator, &number)
    }

    fn number(&mut self, left: &Left, is_bare: bool) -> String {
        let number = match self.rng.u8(0..10) {
            0 => 0,
            1 => u64::MAX,
            2 => self.rng.u64(..100),
            3 => 1 << self.rng.u8(..64),
            4 => (1 << self.rng.u8(..64)) - 1,
            _ if left.values.is_empty() => 1,
            which => {
                let value = self.drawn(left).as_u64().unwrap_or_default();
                match which {
                    5 => value.saturating_sub(1),
                    6 => value.saturating_add(1),
                    _ => value,
                }
            }
        };
        match self.rng.u8(0..12) {
            0 => format!("+{number}"),
            1 => format!("00{number}"),
            2 if !is_bare => format!("'{number}'"),
            3 if !is_bare => format!("\"{number}\""),
            _ => number.to_string(),
        }
    }

    fn list_check(&mut self, left: &Left) -> String {
        let operator = self.pick(&["in", "intersects"]);
        if self.one_in(8) {
            return self.operand_check(left, operator, false);
        }
        let count = self.rng.usize(..5);
        let mut values: Vec<_> = (0..count).map(|_| self.value(left)).collect();
        if let (Value::Array(all), true) = (self.drawn(left), self.one_in(2)) {
            values.extend(all.iter().filter_map(|v| v.as_str()).map(str::to_owned));
        }
        self.with_values(left, operator, values)
    }

    fn drawn(&mut self, left: &Left) -> Value {
        match left.values.first() {
            None => Value::Null,
            Some(first) if self.one_in(2) => first.clone(),
            Some(_) => self.pick(&left.values),
        }
    }

    /// A text to compare with: what some event has, in whole, in part or changed, or a random one. Where a transformer
    /// leaves letters of one case only, it has none of the other, which is refused.
    fn value(&mut self, left: &Left) -> String {
        let value = match self.drawn(left) {
            Value::String(text) => text,
            Value::Array(items) if !items.is_empty() => {
                let item = self.pick(&items);
                item.as_str().unwrap_or_default().to_owned()
            }
            _ => self.pick(ODD).to_owned(),
        };
        let value = match self.rng.u8(0..16) {
            0 => self.part(&value),
            1 => value.to_ascii_uppercase(),
            2 => value.to_lowercase(),
            3 => value + self.pick(ODD),
            4 => self.pick(ODD).to_owned(),
            _ => value,
        };
        cased(left, value)
    }

    fn part(&mut self, text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            return String::new();
        }
        let mut ends = [
            self.rng.usize(..=chars.len()),
            self.rng.usize(..=chars.len()),
        ];
        ends.sort_unstable();
        match self.rng.u8(0..3) {
            0 => chars[..ends[1]].iter().collect(),
            1 => chars[ends[0]..].iter().collect(),
            _ => chars[ends[0]..ends[1]].iter().collect(),
        }
    }

    /// The beginning of one, so that no pattern gets too long.
    fn short_value(&mut self, left: &Left) -> String {
        self.value(left).chars().take(25).collect()
    }

    /// A glob that is near a value.
    fn glob(&mut self, left: &Left) -> String {
        let value = self.short_value(left);
        let mut glob = String::new();
        let mut skip = 0;
        for char in value.chars() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            match self.rng.u8(0..24) {
                0 => {
                    glob.push('*');
                    skip = self.rng.usize(..20);
                }
                1 => glob += &"?".repeat(char.len_utf8()),
                2 => glob.push('?'),
                3 if char.is_ascii() => {
                    let class = [
                        format!("[{}x-z]", bracketed(char)),
                        format!("[!{}]", bracketed(char)),
                        format!("[^a{}]", bracketed(char)),
                        "[a-z]".to_owned(),
                        "[[:alpha:]_-]".to_owned(),
                        "[![:digit:]]".to_owned(),
                        "[[:upper:]]".to_owned(),
                        "[[:lower:].]".to_owned(),
                        "[A-P]".to_owned(),
                        "[]a-]".to_owned(),
                    ];
                    glob += &self.pick(&class);
                }
                4 if char != '\\' => glob += &format!("\\{char}"),
                _ if matches!(char, '*' | '?' | '[' | '\\') => glob += &format!("\\{char}"),
                _ => glob.push(char),
            }
        }
        if self.one_in(3) || value.chars().count() == 25 {
            glob.push('*');
        }
        if self.one_in(20) {
            // It does not end, and so stands for itself.
            glob.push('[');
        }
        glob
    }

    /// A regular expression that is near a value.
    fn regex(&mut self, left: &Left) -> String {
        let value = self.short_value(left);
        let mut regex = self.pick(&["", "", "", "^", ".*"]).to_owned();
        let mut skip = 0;
        for char in value.chars() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let itself = match char.is_ascii_punctuation() && !matches!(char, '<' | '>') {
                true => format!("\\{char}"),
                false => char.to_string(),
            };
            match self.rng.u8(0..28) {
                0 => {
                    regex += ".*";
                    skip = self.rng.usize(..20);
                }
                1 => regex.push('.'),
                2 => regex += &format!("({itself}|x+)"),
                3 => regex += &format!("[{itself}y-z]"),
                4 => regex += &format!("[^{itself}]"),
                5 => regex += &format!("{itself}{{1,3}}"),
                6 => regex += &format!("{itself}?"),
                7 => regex += "[[:alpha:]]",
                8 => regex += "[[:digit:][:punct:]]*",
                9 => regex += "()",
                10 => regex += ".{0,5}",
                11 => regex += &format!("{itself}+"),
                12 => regex = format!("({regex}{itself}|{itself})"),
                _ => regex += &itself,
            }
        }
        let end = match value.chars().count() == 25 {
            true => "(.|\n)*",
            false => self.pick(&["", "", "", "$", ".*"]),
        };
        regex + end
    }

    /// A text as it is written in a condition.
    fn literal(&mut self, text: &str) -> String {
        let mut text = shortened(text);
        let is_bare = !text.is_empty()
            && !text.contains(|char: char| {
                "()\"'=,".contains(char) || char.is_ascii_whitespace() || char.is_control()
            });
        let is_name = [&self.texts, &self.numbers, &self.lists]
            .iter()
            .any(|names| names.contains(&text));
        if is_bare && !is_name && self.one_in(2) {
            return text;
        }
        // libsinsp does not see that a backslash before the closing quote is escaped itself.
        while text.ends_with('\\') {
            text.pop();
        }
        let quote = self.pick(&['"', '\'']);
        let mut literal = quote.to_string();
        for char in text.chars() {
            match char {
                '\u{8}' => literal += "\\b",
                '\u{c}' => literal += "\\f",
                '\n' => literal += "\\n",
                '\r' => literal += "\\r",
                '\t' => literal += "\\t",
                '/' if self.one_in(20) => literal += "\\/",
                '\\' => literal += "\\\\",
                char if char == quote => literal.extend(['\\', quote]),
                char => literal.push(char),
            }
        }
        literal.push(quote);
        literal
    }
}

/// A text of at most so many bytes as libsinsp takes, without NUL.
fn shortened(text: &str) -> String {
    let mut text = text.replace('\0', "");
    while text.len() > LONGEST {
        text.pop();
    }
    text
}

/// With the letters of the case that the last transformer leaves.
fn cased(left: &Left, value: String) -> String {
    // The outermost is the last; basename leaves the case as it is.
    let rest = left.text.trim_start_matches("basename(");
    if rest.starts_with("tolower") {
        value.to_ascii_lowercase()
    } else if rest.starts_with("toupper") {
        value.to_ascii_uppercase()
    } else {
        value
    }
}

fn bracketed(char: char) -> String {
    match char {
        '\\' | '[' | ']' | '-' | '!' | '^' => format!("\\{char}"),
        char => char.to_string(),
    }
}

/// Texts that are easily taken for something else.
const ODD: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "Z",
    "z",
    "a b",
    "a,b",
    ",",
    "=",
    "(",
    ")",
    "x\"y",
    "it's",
    "\"",
    "back\\slash",
    "\\",
    "ünïcödé",
    "ÜNÏCÖDÉ",
    "日本",
    "🦀",
    "ſ",
    "K",
    "*",
    "a*b?c[d]",
    "[",
    "]",
    "tab\tnew\nline",
    "\r",
    "\u{1}",
    "\u{7f}",
    "TRUE",
    "true",
    "null",
    "0",
    "10.0.0.1",
    "a/b/",
    "//",
    "and",
    "exists",
    // Long enough to be looked for in the bytes of a record.
    "she said \"yes\" twice",
    "C:\\some\\folder",
    "one,two,three",
    "folder/of/files.txt",
    "{\"json\":\"text\"}",
    "line\nend\r\n",
];

/// Stand for `\ud800` and for a byte that is not UTF-8, which no text of Rust can hold.
const LONE: char = '\u{e000}';
const BROKEN: char = '\u{e001}';

/// Makes records with odd texts wherever fields come from.
struct Writer {
    rng: Rng,
    escapes: Escapes,
}

/// What a record escapes without need.
#[derive(Clone, Copy, PartialEq)]
enum Escapes {
    Nothing,
    Slashes,
    Anything,
}

impl Writer {
    fn odd(&mut self) -> String {
        match self.rng.u8(0..12) {
            0 => {
                [self.text(), self.text()].join(self.rng.choice(["/", ",", " ", ""]).unwrap_or(""))
            }
            1 => "long/".repeat(self.rng.usize(1..80)),
            2 => self
                .rng
                .choice([LONE, BROKEN, '\0', '\u{fffd}'])
                .map_or(String::new(), |char| format!("a{char}b")),
            _ => self.text(),
        }
    }

    fn text(&mut self) -> String {
        self.rng
            .choice(ODD)
            .map_or(String::new(), |text| (*text).to_owned())
    }

    /// Mostly an odd text, else what is no text at all.
    fn value(&mut self) -> Value {
        match self.rng.u8(0..10) {
            0 => Value::Null,
            1 => self.rng.bool().into(),
            2 => self.rng.i32(-5..500).into(),
            3 => json!([self.odd(), {"a": self.odd()}, 1.50, null]),
            4 => json!({"x": self.odd(), "": [], "a/b": {"c~d": self.odd()}}),
            _ => self.odd().into(),
        }
    }

    fn number(&mut self) -> Value {
        match self.rng.u8(0..8) {
            0 => Value::Null,
            1 => json!("17"),
            2 => json!(-3),
            3 => json!(1.5),
            4 => json!(1e30),
            5 => u64::MAX.into(),
            _ => self.rng.u64(..5000).into(),
        }
    }

    fn members(&mut self, names: &[&str]) -> Map<String, Value> {
        let mut members = Map::new();
        for name in names {
            if self.rng.u8(..4) > 0 {
                let value = self.value();
                members.insert((*name).to_owned(), value);
            }
        }
        members
    }

    fn record(&mut self, number: usize) -> Vec<u8> {
        let mut record = self.members(&[
            "errorCode",
            "errorMessage",
            "userAgent",
            "sourceIPAddress",
            "readOnly",
            "managementEvent",
            "vpcEndpointId",
            "serviceEventDetails",
            "sharedEventID",
            "unknown",
        ]);
        let mut identity = self.members(&[
            "type",
            "principalId",
            "arn",
            "accountId",
            "accessKeyId",
            "userName",
            "invokedBy",
        ]);
        if self.rng.bool() {
            let issuer = self.members(&["type", "arn", "userName", "accountId"]);
            identity.insert("sessionContext".into(), json!({"sessionIssuer": issuer}));
        }
        let mut request = self.members(&[
            "bucketName",
            "key",
            "name",
            "policy",
            "userName",
            "roleName",
            "Host",
            "tags",
        ]);
        if self.rng.bool() {
            let tag = json!({"key": self.odd(), "value": self.odd()});
            request.insert("tagSet".into(), json!({"items": [tag]}));
        }
        let images: Vec<_> = (0..self.rng.usize(..4))
            .map(|_| json!({"imageId": self.odd(), "instanceId": self.odd()}))
            .collect();
        let resources: Vec<_> = (0..self.rng.usize(..3))
            .map(|_| Value::Object(self.members(&["ARN", "type", "accountId"])))
            .collect();
        let data =
            json!({"bytesTransferredIn": self.number(), "bytesTransferredOut": self.number()});
        for (name, value) in [
            ("userIdentity", Value::Object(identity)),
            ("requestParameters", Value::Object(request)),
            (
                "responseElements",
                json!({"instancesSet": {"items": images}}),
            ),
            ("additionalEventData", data),
            ("resources", json!(resources)),
        ] {
            if self.rng.u8(..5) > 0 {
                record.insert(name.to_owned(), value);
            }
        }
        let name = match self.rng.u8(..4) {
            0 => self.value(),
            1 => "GetObject".into(),
            2 => "PutObject".into(),
            _ => "RunInstances".into(),
        };
        for (member, value) in [
            ("eventVersion", json!("1.08")),
            (
                "eventTime",
                json!(format!(
                    "2024-03-06T00:{:02}:{:02}Z",
                    number / 60 % 60,
                    number % 60
                )),
            ),
            (
                "eventSource",
                json!(
                    self.rng
                        .choice(["s3.amazonaws.com", "ec2.amazonaws.com", "x.y"])
                ),
            ),
            ("eventName", name),
            (
                "awsRegion",
                json!(self.rng.choice(["eu-west-1", "us-east-1"])),
            ),
            ("eventID", json!(format!("made-{number}"))),
        ] {
            record.insert(member.to_owned(), value);
        }
        self.escapes = match self.rng.u8(..4) {
            0 => Escapes::Slashes,
            1 => Escapes::Anything,
            _ => Escapes::Nothing,
        };
        let mut bytes = vec![];
        self.write(&Value::Object(record), &mut bytes);
        bytes
    }

    /// As JSON, with escapes where none are needed.
    fn write(&mut self, value: &Value, into: &mut Vec<u8>) {
        let blank = self.rng.choice(["", "", "", " "]).unwrap_or("");
        match value {
            Value::Object(members) => {
                into.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        into.push(b',');
                    }
                    if self.rng.u8(..60) == 0 {
                        self.write_text(name, into);
                        into.extend(b":\"twice\",");
                    }
                    self.write_text(name, into);
                    into.extend([b":", blank.as_bytes()].concat());
                    self.write(value, into);
                }
                into.push(b'}');
            }
            Value::Array(items) => {
                into.push(b'[');
                for (index, value) in items.iter().enumerate() {
                    if index > 0 {
                        into.extend([b",", blank.as_bytes()].concat());
                    }
                    self.write(value, into);
                }
                into.push(b']');
            }
            Value::String(text) => self.write_text(text, into),
            other => into.extend(other.to_string().bytes()),
        }
    }

    /// Whether a character is to be escaped that needn't be.
    fn is_escaped(&mut self) -> bool {
        self.escapes == Escapes::Anything && self.rng.u8(..16) == 0
    }

    fn write_text(&mut self, text: &str, into: &mut Vec<u8>) {
        into.push(b'"');
        for char in text.chars() {
            match char {
                LONE => into.extend(b"\\ud800"),
                BROKEN => into.push(0xff),
                '/' if self.escapes == Escapes::Slashes => into.extend(b"\\/"),
                '\n' => into.extend(b"\\n"),
                '\r' => into.extend(b"\\r"),
                '\t' => into.extend(b"\\t"),
                char if char < ' ' || self.is_escaped() => {
                    let mut units = [0; 2];
                    for unit in char.encode_utf16(&mut units) {
                        into.extend(format!("\\u{unit:04x}").bytes());
                    }
                }
                '"' | '\\' => into.extend([b'\\', char as u8]),
                char => into.extend(char.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        into.push(b'"');
    }
}

/// Records of the samples, as they stand there.
fn samples() -> Vec<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Log<'a> {
        #[serde(rename = "Records", borrow)]
        records: Vec<&'a serde_json::value::RawValue>,
    }
    let Some(samples) = shared::folder("cloudtrail-samples") else {
        return vec![];
    };
    let mut records = vec![];
    for folder in ["records", "trail"] {
        for file in shared::files(&samples.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let log: Log<'_> = serde_json::from_str(&text).unwrap();
            records.extend(
                log.records
                    .iter()
                    .map(|record| record.get().as_bytes().to_vec()),
            );
        }
    }
    records
}

/// The records for a seed, each once.
fn records(seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(seed);
    let mut records = samples();
    rng.shuffle(&mut records);
    records.truncate(SAMPLES);
    let mut writer = Writer {
        rng,
        escapes: Escapes::Nothing,
    };
    records.extend((0..MADE).map(|number| writer.record(number)));
    let mut seen = HashSet::new();
    records.retain(|record| seen.insert(record.clone()));
    records
}

fn number_of(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

#[test]
fn conditions_keep_the_events_that_they_keep_in_libsinsp() {
    let Some(hosts) = Hosts::new("filter") else {
        return;
    };
    let seed = number_of("CLOUDTRAIL_FILTER_SEED").unwrap_or(1);
    let count = number_of("CLOUDTRAIL_FILTER_CONDITIONS").unwrap_or(200) as usize;
    let world = World::new(&hosts, &records(seed));
    let mut maker = Maker::new(seed, &world);
    let conditions: Vec<_> = (0..count)
        .map(|_| {
            let depth = maker.rng.usize(..3);
            maker.tree(depth)
        })
        .collect();
    let mut differences = vec![];
    let mut telling = 0;
    for conditions in conditions.chunks(AT_ONCE) {
        let kept = world.sysdigs_at_once(conditions);
        let first = conditions
            .first()
            .map(|condition| world.sysdigs(&condition.to_string()));
        assert_eq!(kept.first(), first.as_ref(), "a condition by itself");
        for (condition, kept) in conditions.iter().zip(&kept) {
            telling += usize::from(!kept.is_empty() && kept.len() < world.events.len());
            differences.extend(world.difference(condition, kept));
        }
    }
    eprintln!("{telling} of {count} conditions keep some events and not all");
    assert!(
        telling * 3 > count,
        "hardly any condition tells events apart: {telling} of {count}"
    );
    assert!(
        differences.is_empty(),
        "seed {seed}, {} differences\n\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}

/// A record for the tables.
const RECORD: &str = r#"{"eventVersion":"1.08","eventTime":"2024-03-06T00:00:00Z","eventID":"1","eventName":"PutObject","awsRegion":"eu-west-1","sourceIPAddress":"10.1.2.3","userIdentity":{"type":"IAMUser","userName":"Alice","arn":"arn:x/ops/Alice"},"requestParameters":{"bucketName":"logs","key":"a/b/c.txt","name":"back\\","a b":"c"},"additionalEventData":{"bytesTransferredIn":10},"responseElements":{"instancesSet":{"items":[{"imageId":"AMI-A"},{"imageId":"ami-b"}]}}}"#;

/// Whether sysdig keeps a folder's only event, or nothing where it refuses the condition.
fn sysdig_keeps(hosts: &Hosts, folder: &str, condition: &str) -> Option<bool> {
    let plugin = hosts.plugin.display().to_string();
    let input = format!("cloudtrail:{folder}");
    let output = hosts.output(&[
        "sysdig", "-H", &plugin, "-I", &input, "-p", "%evt.num", condition,
    ]);
    output.status.success().then_some(!output.stdout.is_empty())
}

/// Asks both of each condition, and returns what differs from what is told of sysdig and of ours.
fn table(test: &str, cases: &[(&str, Option<bool>, Option<bool>)]) {
    let Some(hosts) = Hosts::new(test) else {
        return;
    };
    let folder = hosts.folder.join("trail");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("1.json"),
        format!(r#"{{"Records":[{RECORD}]}}"#),
    )
    .unwrap();
    let folder = folder.display().to_string();
    let mut wrong = vec![];
    for (condition, sysdigs, ours) in cases {
        let theirs = sysdig_keeps(&hosts, &folder, condition);
        if theirs != *sysdigs {
            wrong.push(format!("sysdig {theirs:?}: {condition}"));
        }
        let kept = filtering(condition)
            .ok()
            .map(|plugin| !plugin.events(&folder).unwrap().is_empty());
        if kept != *ours {
            wrong.push(format!("ours {kept:?}: {condition}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_libsinsp_refuses_is_refused() {
    let refused = [
        "ct.nme=x",
        "CT.name=x",
        "ct.name",
        "ct.name=",
        "ct.name like x",
        "ct.name=x ct.user=y",
        "ct.name=x or",
        "ct.name=x and",
        "ct.name=x AND ct.user=y",
        "ct.name=x andct.user=y",
        "ct.name=x xor ct.user=y",
        "NOT ct.name=x",
        "not",
        "not ",
        "(ct.name=x",
        "ct.name=x)",
        "()",
        "ct.name EXISTS",
        "ct.name exists x",
        "ct.name='x",
        "ct.name=\"x'",
        "ct.name='\\q'",
        "ct.name='\\x41'",
        "ct.name='it\\\"s'",
        "ct.name=\"it\\'s\"",
        "ct.name=a=b",
        "ct.name == = x",
        "ct.name <> x",
        "ct.name=(x)",
        "ct.name=a b",
        "ct.name=a,b",
        "ct.name containsx",
        "ct.name contains'x'",
        "ct.name contains(x)",
        "ct.name glob",
        "ct.name bcontains 41",
        "ct.name bstartswith 41",
        "ct.name in",
        "ct.name in (a b)",
        "ct.name in (a,)",
        "ct.name in (,a)",
        "ct.name in (a,,b)",
        "ct.name in ((a))",
        "ct.name in (val(ct.user))",
        "ct.name in (a",
        "ct.name[0]=x",
        "ct.name[a]=x",
        "ct.name [a]=x",
        "ct.value[]=x",
        "ct.value[/a b]=x",
        "ct.value[ /a]=x",
        "ct.value[/a=x",
        "ct.value[/a'b]=x",
        "ct.value [/a]=x",
        "ec2.imageids[x] exists",
        "ec2.imageids[01] exists",
        "ec2.imageids[-1] exists",
        "ec2.imageids[99999999999999999999] exists",
        "ec2.imageids=x",
        "ec2.imageids!=x",
        "ec2.imageids contains x",
        "ec2.imageids glob x",
        "ec2.imageids[0]=x",
        "s3.bytes=x",
        "s3.bytes=''",
        "s3.bytes=1.5",
        "s3.bytes=1e+3",
        "s3.bytes=0x10",
        "s3.bytes<0x10",
        "s3.bytes='1 '",
        "s3.bytes<'5'",
        "s3.bytes>x",
        "s3.bytes in (1, x)",
        "s3.bytes contains 1",
        "s3.bytes icontains 1",
        "s3.bytes startswith 1",
        "s3.bytes endswith 1",
        "s3.bytes glob 1",
        "s3.bytes iglob 1",
        "s3.bytes regex 1",
        "s3.bytes pmatch (1)",
        "len(s3.bytes)=1",
        "tolower(s3.bytes)=1",
        "tolower(len(ct.name))=1",
        "len(len(ct.name))=1",
        "len(ct.name)=x",
        "len(ct.name) contains 1",
        "foo(ct.name)=x",
        "join(ct.name)=x",
        "concat(ct.name, ct.user)=x",
        "getopt(ct.name)=x",
        "ct.name contains oneof (a, b)",
        "val(ct.name)=x",
        "tolower (ct.name)=x",
        "tolower(ct.name=x",
        "tolower()=x",
        "tolower(x)=x",
        "ct.name=val(ct.nme)",
        "ct.name=val(x)",
        "ct.name=val(tolower(ct.user))",
        "ct.name=val(ct.user",
        "ct.name=val(s3.bytes)",
        "ct.name=val(ec2.imageids)",
        "ct.name in val(ec2.imageids)",
        "ec2.imageids in val(ct.name)",
        "ct.name=len(ct.user)",
        "s3.bytes=val(ct.name)",
        "s3.bytes in val(ct.name)",
        "ct.name regex val(ct.user)",
        "ct.name exists ct.user exists",
        "ct.name=x # a comment",
        "/* */ ct.name=x",
        "\u{b}ct.name=x",
        "ct.name=\u{c}x",
    ];
    table(
        "filter-refused",
        &refused.map(|condition| (condition, None, None)),
    );
}

/// What compiles in libsinsp and can only mislead, as docs/filter.md tells.
#[test]
fn what_can_only_mislead_is_refused() {
    let deep = format!("{}ct.name=PutObject{}", "(".repeat(65), ")".repeat(65));
    table(
        "filter-misleading",
        &[
            (&deep, Some(true), None),
            // Texts are compared byte by byte, so that 10 is less than 9.
            ("ct.time>2024", Some(true), None),
            ("ct.name>=5", Some(true), None),
            ("ct.name>val(ct.user)", Some(true), None),
            // The text, not the field.
            ("ct.user=ct.user", Some(false), None),
            ("ct.user in (ct.user, x)", Some(false), None),
            // An address is a text.
            ("ct.srcip=10.0.0.0/8", Some(false), None),
            ("ct.srcip in (10.0.0.0/8)", Some(false), None),
            // Never equal.
            ("tolower(ct.user)=Alice", Some(false), None),
            ("toupper(ct.user) in (alice)", Some(false), None),
            ("tolower(ct.user)!=Alice", Some(true), None),
            // Not of this language's use for events of CloudTrail.
            ("ct.name pmatch (PutObject)", Some(true), None),
            ("b64(ct.name) exists", Some(false), None),
            ("ct.name glob val(ct.name)", Some(true), None),
            ("ct.name iglob tolower(ct.name)", Some(true), None),
            // A list without parentheses, which Falco has for the names of lists.
            ("ct.name in PutObject", Some(true), None),
            ("ct.name intersects PutObject", Some(true), None),
            // Words that run into each other.
            ("ct.name existsand ct.user=Alice", Some(true), None),
            // Numbers that are not what they look like.
            ("s3.bytes!=-1", Some(true), None),
            ("s3.bytes<18446744073709551616", Some(true), None),
            ("s3.bytes=' 10'", Some(true), None),
            // A pattern that RE2 does not take matches nothing in libsinsp 0.23.
            ("ct.name regex '('", Some(false), None),
            ("ct.name regex '\\\\w+'", Some(false), None),
            ("ct.name regex '\\\\AP.*'", Some(false), None),
            ("ct.name regex '(?i)putobject'", Some(false), None),
            ("ct.name regex '\\\\pL+'", Some(false), None),
            ("ct.name regex 'a{1001}'", Some(false), None),
            ("ct.name regex '(a{100}){100}'", Some(false), None),
            ("ct.name regex '[a-b-c]'", Some(false), None),
            ("ct.name regex '\\\\u0050.*'", Some(false), None),
            ("ct.name regex '[--a]utObject'", Some(true), None),
            // One that RE2 reads otherwise than most.
            ("ct.name regex 'PutObjectx+?'", Some(true), None),
            ("ct.name regex 'PutObject{,3}'", Some(false), None),
            ("ct.name regex '\\\\<PutObject'", Some(false), None),
            // A backslash that stands for nothing.
            ("ct.name glob Put*\\", Some(false), None),
            ("ct.name glob '[[.P.]]utObject'", Some(true), None),
            ("ct.name glob '[[=P=]]utObject'", Some(true), None),
            ("ct.name glob '[[:foo:]]*'", Some(false), None),
            ("ct.name glob '[z-a]*'", Some(false), None),
            ("ct.name iglob '[Z-a]*'", Some(false), None),
            ("ct.name glob '[[:word:]]*'", Some(false), None),
            ("ct.name glob '[üP]utObject'", Some(true), None),
            // A pointer begins with a slash.
            ("ct.value[eventName]=PutObject", Some(false), None),
            ("ct.value['']=PutObject", Some(false), None),
            ("ct.name['']=PutObject", Some(true), None),
        ],
    );
}

/// What libsinsp refuses or keeps otherwise by its own faults.
#[test]
fn faults_of_libsinsp_are_not_ours() {
    let long = "x".repeat(LONGEST + 1);
    let unlike_long = format!("ct.name!={long}");
    table(
        "filter-faults",
        &[
            // It takes the quote behind a backslash for an escaped one.
            ("ct.request.name='back\\\\'", None, Some(true)),
            (
                "ct.request.name endswith \"\\\\\" and ct.name exists",
                None,
                Some(true),
            ),
            ("ct.request.name=back\\", Some(true), Some(true)),
            // It ends a field's name at a blank within quotes.
            ("ct.value['/requestParameters/a b']=c", None, Some(true)),
            (
                "ct.name=x or(ct.user=Alice) and ct.name=PutObject",
                None,
                Some(true),
            ),
            (
                "ct.name=x or (ct.user=Alice) and ct.name=PutObject",
                Some(true),
                Some(true),
            ),
            (&unlike_long, None, Some(true)),
            // It counts the byte behind a changed text as one of it.
            (
                "toupper(ec2.imageids) in (AMI-A, AMI-B)",
                Some(false),
                Some(true),
            ),
            (
                "toupper(ec2.imageids) intersects (AMI-B)",
                Some(false),
                Some(true),
            ),
            ("ec2.imageids in (AMI-A, ami-b)", Some(true), Some(true)),
            ("ct.region in tolower(ct.region)", Some(false), Some(true)),
            (
                "ct.region intersects tolower(ct.region)",
                Some(false),
                Some(true),
            ),
            ("ct.region=tolower(ct.region)", Some(true), Some(true)),
        ],
    );
}
