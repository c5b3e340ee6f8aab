//! The house: which room may know which. A room is a folder or file of `src/`; see docs/contributing.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up: a room knows those before it, and no other.
const ROOMS: [&str; 23] = [
    "process",
    "clock",
    "budget",
    "recent",
    "concurrency",
    "log_file",
    "stats",
    "json",
    "trail",
    "record",
    "geo",
    "fields",
    "filter",
    "integrity",
    "state",
    "cache",
    "formats",
    "decode",
    "settings",
    "aws",
    "source",
    "pipeline",
    "host",
];

/// Rooms that alone may name a library whose names begin so.
const ALONE: [(&str, &str); 2] = [("aws_", "aws"), ("falco_plugin", "host")];

/// Above all others: the crate itself, and what fuzzing and its unit tests run.
const ROOF: [&str; 2] = ["lib", "fuzz"];

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The code of each room, by file, without its comments.
fn rooms() -> BTreeMap<String, Vec<(String, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&src, &mut files);
    let mut rooms: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in files {
        let name = file.strip_prefix(&src).expect("below src");
        let first = name.components().next().expect("a name");
        let room = Path::new(first.as_os_str()).with_extension("");
        let code = fs::read_to_string(&file).expect("UTF-8");
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        rooms
            .entry(room.display().to_string())
            .or_default()
            .push((name.display().to_string(), code));
    }
    rooms
}

/// The rooms that code names, as `crate::ROOM` or in `use crate::{ROOM, …}`.
fn named(code: &str) -> Vec<String> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let word = |text: &str| {
        text.chars()
            .take_while(|char| is_name(*char))
            .collect::<String>()
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        let Some(list) = path.strip_prefix('{') else {
            found.push(word(path));
            continue;
        };
        // Names on the first level of the braces.
        let mut depth = 0;
        let mut begins = true;
        for (at, char) in list.char_indices() {
            match char {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => begins |= depth == 0,
                _ if char.is_whitespace() => {}
                _ if begins && depth == 0 => {
                    found.push(word(&list[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn a_room_knows_those_below_it_only() {
    let rooms = rooms();
    let names: Vec<&str> = rooms.keys().map(String::as_str).collect();
    let mut expected = [ROOMS.as_slice(), &ROOF].concat();
    expected.sort_unstable();
    assert_eq!(names, expected, "every room has its place in the order");
    let floor = |room: &str| ROOMS.iter().position(|other| *other == room);
    let mut wrong = Vec::new();
    for (room, files) in rooms.iter().filter(|(room, _)| floor(room).is_some()) {
        for (file, code) in files {
            for other in named(code) {
                // What is no room is the crate's own public name of something in `host`.
                if other != *room && floor(&other).is_none_or(|other| Some(other) >= floor(room)) {
                    wrong.push(format!("{file} names crate::{other}, which is above it"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_sdk_is_named_in_its_room_only() {
    let mut wrong = Vec::new();
    for (room, files) in rooms() {
        for (library, alone) in ALONE {
            let named = |code: &str| {
                code.match_indices(library).any(|(at, _)| {
                    let before = code[..at].chars().next_back();
                    let after = code[at..].find("::");
                    let is_path = after.is_some_and(|end| {
                        code[at..at + end]
                            .chars()
                            .all(|char| char.is_ascii_alphanumeric() || char == '_')
                    });
                    is_path
                        && !before.is_some_and(|char| {
                            char.is_ascii_alphanumeric() || "_:\"".contains(char)
                        })
                })
            };
            for (file, code) in files
                .iter()
                .filter(|(_, code)| room != alone && named(code))
            {
                _ = code;
                wrong.push(format!(
                    "{file} names {library}…, which belongs in {alone}/"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_in_braces_are_seen() {
    assert_eq!(
        named("use crate::{a::{self, b}, c};\ncrate::d::E"),
        ["a", "c", "d"]
    );
}
