//! The page in Chromium, without a window: `scripts/test --gui`.
//!
//! Its numbers are compared with what `count.py` counts in the log files without the plugin. Pictures stay in
//! target/tmp/report-….
#![cfg(target_os = "linux")]

mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use harness::hosts::{Hosts, installed, target};
use harness::needs::skip;
use harness::rules::Rules;
use harness::shared;
use harness::trail::log_text;
use serde_json::{Value, json};

use driver::Browser;

/// What the tests ask of the page, in its own language.
const LOOK: &str = r#"
const visible = (element) => element && !element.hidden;
const cells = (row) => [...row.children].map((cell) => cell.textContent);
// All rows of a list, as they are shown.
const rows = (id) => {
    const list = document.getElementById(id);
    for (;;) {
        const more = [...list.querySelectorAll('.tools button')].find((button) => visible(button) && /^Show more/.test(button.textContent));
        if (!more) break;
        more.click();
    }
    return [...list.querySelectorAll('table:not(#metrics) tbody tr')].map(cells);
};
const button = (text, within = document) => [...within.querySelectorAll('button')].find((one) => one.textContent === text);
"#;

/// Lists of values, each with the number of the column of events.
const LISTS: [(&str, usize); 13] = [
    ("name", 1),
    ("who", 1),
    ("service", 1),
    ("agent", 1),
    ("outcome", 1),
    ("error", 1),
    ("region", 1),
    ("account", 1),
    ("address", 1),
    ("country", 1),
    ("console", 1),
    ("readonly", 1),
    ("times", 1),
];

fn browser(test: &str, language: &str) -> Option<Browser> {
    if env::var_os("CLOUDTRAIL_GUI").is_none() {
        skip("CLOUDTRAIL_GUI is not set: scripts/test --gui sets it");
        return None;
    }
    Browser::start(test, language)
}

/// Has the program write a page. Its pictures tell nothing of this machine's folders.
fn written(url: &Path, browser: &Browser) -> PathBuf {
    let page = browser.folder.join("page.html");
    let output = Command::new(env!("CARGO_BIN_EXE_report"))
        .current_dir(url.parent().unwrap())
        .args([Path::new(url.file_name().unwrap()), Path::new("-o"), &page])
        .env("CLOUDTRAIL_PLUGIN", harness::host::plugin_path().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    page
}

fn opened(url: &Path, browser: &Browser) {
    browser.open(&written(url, browser));
}

fn look(browser: &Browser, script: &str) -> Value {
    browser.run(&format!("{LOOK} {script}"))
}

fn table(browser: &Browser, id: &str) -> Vec<Vec<String>> {
    let rows = browser.run_with(&format!("{LOOK} return rows(arguments[0]);"), json!([id]));
    serde_json::from_value(rows).unwrap()
}

/// 1,234 as it is shown.
fn number(text: &str) -> u64 {
    text.replace(',', "")
        .parse()
        .unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// What was counted without the plugin.
fn counted(folder: &Path, choices: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/count.py");
    let python = installed("python/run", "scripts/python-tools").expect("Python");
    let output = Command::new(python)
        .arg(script)
        .arg(folder)
        .args(choices)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Pairs of a value and its number.
fn pairs(value: &Value) -> BTreeMap<Option<String>, u64> {
    let pairs = value.as_array().unwrap().iter();
    let pair = |pair: &Value| {
        (
            pair[0].as_str().map(str::to_owned),
            pair[1].as_u64().unwrap(),
        )
    };
    pairs.map(pair).collect()
}

/// How a value is shown.
fn shown(key: &str, value: &Option<String>) -> String {
    match value {
        None if key == "outcome" => "Succeeded".to_owned(),
        None => "(none)".to_owned(),
        Some(value) if value.is_empty() => "(empty)".to_owned(),
        Some(value) => value.clone(),
    }
}

/// The numbers that a list shows are those that were counted.
fn assert_same(browser: &Browser, key: &str, counted: &Value, what: &str) {
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (value, events) in pairs(&counted["dimensions"][key]) {
        *expected.entry(shown(key, &value)).or_default() += events;
    }
    let rows = table(browser, key);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for row in &rows {
        *seen.entry(row[0].clone()).or_default() += number(&row[1]);
    }
    let differing = |one: &BTreeMap<String, u64>, other: &BTreeMap<String, u64>| -> Vec<String> {
        let differing = one
            .iter()
            .filter(|(value, events)| other.get(*value) != Some(events));
        differing
            .map(|(value, events)| format!("{events} x {value:?}"))
            .collect()
    };
    let (too_much, missing) = (differing(&seen, &expected), differing(&expected, &seen));
    assert_eq!(too_much, missing, "{what}: {key}");
}

/// All numbers of the page under a choice.
fn assert_all_same(browser: &Browser, counted: &Value, own: &[&str], is_timed: bool, what: &str) {
    for (key, _) in LISTS
        .iter()
        .filter(|(key, _)| *key != "times" && !own.contains(key))
    {
        // Lists that nothing is left for are not in Python's.
        if !counted["dimensions"][key].is_null() {
            assert_same(browser, key, counted, what);
        }
    }
    let text = |selector: &str| {
        let text = browser.run_with(
            "return document.querySelector(arguments[0]).textContent;",
            json!([selector]),
        );
        text.as_str().unwrap().to_owned()
    };
    let events = counted["events"].as_u64().unwrap();
    assert_eq!(number(&text("#tile-events b")), events, "{what}");
    let failed = pairs(&counted["dimensions"]["failed"]);
    let failed = failed.get(&Some("true".to_owned())).copied().unwrap_or(0);
    assert_eq!(number(&text("#tile-failed b")), failed, "{what}");
    for (tile, key) in [("who", "who"), ("address", "address")] {
        let values = pairs(&counted["dimensions"][key]);
        let values = values.keys().filter(|value| value.is_some()).count() as u64;
        assert_eq!(
            number(&text(&format!("#tile-{tile} b"))),
            values,
            "{what}: {tile}"
        );
    }
    let sign_ins = counted["sign_ins"].as_array().unwrap();
    let without_mfa: u64 = sign_ins
        .iter()
        .filter(|sign_in| sign_in[3] == "false")
        .map(|sign_in| sign_in[6].as_u64().unwrap())
        .sum();
    assert_eq!(number(&text("#tile-mfa b")), without_mfa, "{what}");

    // Sign-ins and what was done by hand.
    let word = |value: &Value| value.as_str().map_or("(none)".to_owned(), str::to_owned);
    let expected: BTreeSet<Vec<String>> = sign_ins
        .iter()
        .map(|one| {
            let mfa = match one[3].as_str() {
                Some("true") => "yes",
                Some("false") => "no",
                _ => "not told",
            };
            let outcome = one[4].as_str().unwrap_or("Succeeded").to_owned();
            vec![
                word(&one[0]),
                word(&one[1]),
                word(&one[2]),
                mfa.to_owned(),
                outcome,
                word(&one[5]),
                "(none)".to_owned(),
                one[6].to_string(),
            ]
        })
        .collect();
    assert_eq!(without_blank(table(browser, "signins")), expected, "{what}");
    let expected: BTreeSet<Vec<String>> = counted["by_hand"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            vec![
                word(&one[0]),
                word(&one[1]),
                word(&one[2]),
                one[3].to_string(),
            ]
        })
        .collect();
    let seen = table(browser, "byhand").into_iter().map(|mut row| {
        row.truncate(4);
        row
    });
    assert_eq!(without_blank(seen.collect()), expected, "{what}");

    // Identities, each with the three most frequent of what it did.
    let identities: BTreeMap<String, Value> = counted["identities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one[0].as_str().unwrap().to_owned(), one[1].clone()))
        .collect();
    for row in table(browser, "who") {
        let identity = &identities.get(&row[0]);
        // The list of a dimension shows what else could be chosen of it.
        let Some(identity) = identity else {
            assert!(own.contains(&"who"), "{what}: {row:?}");
            continue;
        };
        assert_eq!(
            number(&row[1]),
            identity["events"].as_u64().unwrap(),
            "{what}: {row:?}"
        );
        assert_eq!(
            number(&row[2]),
            identity["failed"].as_u64().unwrap(),
            "{what}: {row:?}"
        );
        if is_timed {
            let time = |key: &str| moment(identity[key].as_i64().unwrap());
            assert_eq!(row[6..8], [time("first"), time("last")], "{what}: {row:?}");
        }
    }
    let tops = look(
        browser,
        "rows('who'); return [...document.querySelectorAll('#who tbody tr')].map((row) => [row.children[0].textContent,
            ...[3, 4, 5].map((at) => [...row.children[at].children].map((part) => part.textContent))]);",
    );
    for row in tops.as_array().unwrap() {
        let Some(identity) = identities.get(row[0].as_str().unwrap()) else {
            continue;
        };
        for (at, key) in [(1, "service"), (2, "error"), (3, "address")] {
            let all = pairs(&identity[key]);
            let parts: Vec<&str> = row[at]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part.as_str().unwrap())
                .collect();
            let mut numbers: Vec<u64> = all.values().copied().collect();
            numbers.sort_unstable_by(|one, other| other.cmp(one));
            for (part, expected) in parts.iter().zip(&numbers).take(3) {
                let (value, events) = part.rsplit_once(' ').unwrap();
                let value = if value == "(empty)" {
                    String::new()
                } else {
                    value.to_owned()
                };
                assert_eq!(number(events), *expected, "{what}: {row}");
                let found = all
                    .iter()
                    .find(|(known, _)| known.as_ref() == Some(&value))
                    .map(|(_, events)| *events);
                assert_eq!(found, Some(*expected), "{what}: {value} of {row}");
            }
            match all.len().checked_sub(3) {
                Some(more) if more > 0 => {
                    assert_eq!(parts[3], format!("and {more} more"), "{what}: {row}")
                }
                _ => assert_eq!(parts.len(), all.len(), "{what}: {row}"),
            }
        }
    }
    if is_timed {
        assert_times_same(browser, counted, what);
    }
}

/// Over time and by the hours of the week, in UTC.
fn assert_times_same(browser: &Browser, counted: &Value, what: &str) {
    let week = look(
        browser,
        "return [...document.querySelectorAll('.heat [data-hour]')].map((one) => Number(one.dataset.events));",
    );
    assert_eq!(week, counted["week"], "{what}");
    let minutes = counted["minutes"].as_array().unwrap();
    let rows = table(browser, "times");
    let names = look(
        browser,
        "return [...document.querySelectorAll('#times thead th')].map((one) => one.textContent);",
    );
    let names: Vec<String> = serde_json::from_value(names).unwrap();
    let mut expected: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for minute in minutes {
        let time = moment(minute[0].as_i64().unwrap() * 60);
        let bar = expected.entry(time[..16].to_owned()).or_default();
        for (outcome, events) in pairs(&minute[1]) {
            let name = shown("outcome", &outcome);
            let name = if names.contains(&name) {
                name
            } else {
                "Other outcomes".to_owned()
            };
            *bar.entry(name).or_default() += events;
        }
    }
    let seen: BTreeMap<String, BTreeMap<String, u64>> = rows
        .iter()
        .map(|row| {
            let outcomes = names.iter().zip(row).skip(2);
            let outcomes = outcomes.map(|(name, events)| (name.clone(), number(events)));
            (
                row[0].clone(),
                outcomes.filter(|(_, events)| *events > 0).collect(),
            )
        })
        .collect();
    assert_eq!(seen, expected, "{what}");
    for row in &rows {
        assert_eq!(
            number(&row[1]),
            row[2..].iter().map(|part| number(part)).sum::<u64>(),
            "{what}"
        );
    }
}

fn without_blank(rows: Vec<Vec<String>>) -> BTreeSet<Vec<String>> {
    let rows = rows.into_iter().filter(|row| row[0] != "Nothing here.");
    rows.map(|row| row.into_iter().map(|cell| cell.replace(',', "")).collect())
        .collect()
}

/// Seconds since the epoch as the page writes them in UTC.
fn moment(seconds: i64) -> String {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%d %H:%M:%S"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Chooses a value in a list.
fn choose(browser: &Browser, list: &str, value: &str) {
    let script = format!(
        "{LOOK} rows(arguments[0]);
         const found = [...document.querySelectorAll(`#${{arguments[0]}} td button`)].find((one) => one.textContent === arguments[1]);
         found.focus(); found.click(); return found.isConnected || document.activeElement.textContent === arguments[1];"
    );
    // The focus stays on what was chosen, though all is made anew.
    assert_eq!(
        browser.run_with(&script, json!([list, value])),
        json!(true),
        "{list}: {value}"
    );
}

fn choose_time(browser: &Browser, from: &str, to: &str) {
    let script = "const ends = ['from', 'to'].map((id) => document.getElementById(id));
         ends.forEach((end, at) => { end.value = [...end.options].find((option) => option.textContent === arguments[at]).value; });
         document.getElementById('apply-time').click();";
    browser.run_with(script, json!([from, to]));
}

fn clear(browser: &Browser) {
    look(browser, "document.getElementById('clear').click();");
}

/// Nothing was asked of anybody, and nothing went wrong.
fn assert_quiet(browser: &Browser) {
    assert_eq!(browser.console(), [""; 0]);
    assert_eq!(
        browser.run("return performance.getEntriesByType('resource').length;"),
        0
    );
}

#[test]
fn every_number_is_what_the_log_files_say() {
    let (Some(browser), Some(samples)) = (
        browser("numbers", "en"),
        shared::folder("cloudtrail-samples"),
    ) else {
        return;
    };
    let trail = samples.join("trail");
    opened(&trail, &browser);
    browser.size(1366, 768);
    assert_all_same(&browser, &counted(&trail, &[]), &[], true, "trail");
    // A choice narrows all else, and two choices more.
    choose(&browser, "name", "GetUser");
    assert_all_same(
        &browser,
        &counted(&trail, &["name=GetUser"]),
        &["name"],
        false,
        "trail, GetUser",
    );
    assert_times_same(
        &browser,
        &counted(&trail, &["name=GetUser"]),
        "trail, GetUser",
    );
    assert_same(
        &browser,
        "name",
        &counted(&trail, &[]),
        "its own list is not narrowed",
    );
    choose(&browser, "who", "bert-jan");
    let both = counted(&trail, &["name=GetUser", "who=bert-jan"]);
    assert_all_same(
        &browser,
        &both,
        &["name", "who"],
        false,
        "trail, GetUser by bert-jan",
    );
    choose(&browser, "name", "Decrypt");
    let three = counted(&trail, &["name=GetUser", "name=Decrypt", "who=bert-jan"]);
    assert_all_same(
        &browser,
        &three,
        &["name", "who"],
        false,
        "trail, GetUser or Decrypt by bert-jan",
    );
    clear(&browser);
    choose(&browser, "error", "(none)");
    assert_all_same(
        &browser,
        &counted(&trail, &["error="]),
        &["error"],
        false,
        "trail, no error",
    );
    clear(&browser);
    assert_all_same(&browser, &counted(&trail, &[]), &[], true, "trail again");
    assert_quiet(&browser);
    // Records of all kinds, of which some have no time that can be read.
    let records = samples.join("records");
    opened(&records, &browser);
    assert_all_same(&browser, &counted(&records, &[]), &[], false, "records");
    choose(&browser, "console", "true");
    assert_all_same(
        &browser,
        &counted(&records, &["console=true"]),
        &["console"],
        false,
        "records, console",
    );
    assert_quiet(&browser);
}

/// What sysdig finds by the conditions of our rules.
#[test]
fn grave_is_what_the_rules_say() {
    let (Some(browser), Some(hosts), Some(samples)) = (
        browser("rules", "en"),
        Hosts::new("report-rules"),
        shared::folder("cloudtrail-samples"),
    ) else {
        return;
    };
    let trail = samples.join("trail");
    opened(&trail, &browser);
    let seen: BTreeMap<String, u64> = table(&browser, "grave")
        .into_iter()
        .map(|row| {
            let name = row[0].clone();
            (name, number(&row[2]))
        })
        .collect();
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-config/falco/cloudtrail_rules.yaml");
    let rules = Rules::read(&file).unwrap();
    let params = trail.display().to_string();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let grave = rules
        .rules
        .iter()
        .filter(|rule| ["CRITICAL", "WARNING"].contains(&&*rule.text["priority"]));
    let asked = grave.filter(|rule| !rule.keys.contains("enabled"));
    for rule in asked {
        let condition = rules.expand(&rule.text["condition"]);
        let ids: BTreeSet<String> = hosts
            .sysdig(&params, "", &["-p", "%ct.id", &condition])
            .into_iter()
            .collect();
        let first = ids.difference(&taken).count() as u64;
        taken.extend(ids);
        if first > 0 {
            // The description stands below the name.
            let desc = rule.text["desc"]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            expected.insert(format!("{}{desc}", rule.name), first);
        }
    }
    assert_eq!(seen, expected);
    assert!(expected.len() > 10);
}

/// The filters that the page offers say what was chosen, in the languages of the programs that they are for.
#[test]
fn links_back_show_the_same_events() {
    let (Some(browser), Some(hosts)) = (browser("links", "en"), Hosts::new("report-links")) else {
        return;
    };
    let names = [
        "Get\"quoted\"",
        "back\\slash",
        "ends\\",
        "new\nline",
        "tab\t and \u{1} bell\u{7}",
        "a && b || (c)",
        "it's",
        "日本語 é",
        "%s {x} $HOME",
        &"long ".repeat(100),
        &format!("{}é", "x".repeat(254)),
    ];
    let mut records: Vec<String> = vec![];
    for (at, name) in names.iter().enumerate() {
        for (hour, error) in [(10, None), (11, Some("AccessDenied"))] {
            let mut record = json!({
                "eventVersion": "1.09", "eventName": name, "userAgent": name, "eventSource": "s3.amazonaws.com", "awsRegion": "us-east-1",
                "eventTime": format!("2024-03-05T{hour}:{at:02}:00Z"), "eventID": format!("{at}-{hour}"),
                "userIdentity": {"type": "IAMUser", "userName": name}, "sourceIPAddress": "192.0.2.1", "readOnly": false,
            });
            if let Some(error) = error {
                record["errorCode"] = json!(error);
            }
            records.push(record.to_string());
        }
    }
    // The last of all, late in its hour.
    let late = json!({"eventName": "Late", "eventTime": "2024-03-05T11:35:00Z", "eventID": "late"});
    records.push(late.to_string());
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    fs::write(hosts.folder.join("log.json"), log_text(&records)).unwrap();
    assert!(
        hosts
            .falcodump("log.json", "log.scap", &[])
            .status
            .success()
    );
    opened(&hosts.folder.join("log.json"), &browser);
    let links = |what: &str, ids: &[String]| {
        let links = look(
            &browser,
            "return ['stratoshark', 'sysdig'].map((id) => document.getElementById(id).value);",
        );
        let [stratoshark, sysdig] =
            [&links[0], &links[1]].map(|link| link.as_str().unwrap().to_owned());
        let shown = hosts.stdout(&[
            "strato",
            "-r",
            "log.scap",
            "-T",
            "fields",
            "-e",
            "ct.id",
            "-Y",
            &stratoshark,
        ]);
        let shown: Vec<&str> = shown.lines().collect();
        assert_eq!(shown, ids, "{what}: {stratoshark}");
        let shown = hosts.sysdig("log.json", "", &["-p", "%ct.id", &sysdig]);
        assert_eq!(shown, ids, "{what}: {sysdig}");
    };
    let count = names.len();
    for (at, name) in names.iter().enumerate() {
        // By its place, for what is shown is not always what it is.
        let script = format!(
            "{LOOK} const row = rows('who'); const dimension = JSON.parse(document.getElementById('data').textContent).dimensions[1];
             const at = dimension.values.findIndex(([text]) => arguments[0].startsWith(text));
             document.querySelector(`#who [data-choice='1 ${{at + 2}}']`).click();"
        );
        browser.run_with(&script, json!([name]));
        links(name, &[format!("{at}-10"), format!("{at}-11")]);
        choose(&browser, "error", "(none)");
        links("without an error", &[format!("{at}-10")]);
        clear(&browser);
    }
    choose(&browser, "error", "AccessDenied");
    choose(&browser, "readonly", "false");
    let ids: Vec<String> = (0..count).map(|at| format!("{at}-11")).collect();
    links("errors", &ids);
    clear(&browser);
    // By time: the bar that an hour begins with, then by the hour of the week.
    choose_time(&browser, "2024-03-05 11:00", "2024-03-05 11:02");
    links("time", &["0-11".to_owned(), "1-11".to_owned()]);
    clear(&browser);
    // 5 March 2024 was a Tuesday.
    look(
        &browser,
        "document.querySelector('[data-hour=\"34\"]').click();",
    );
    let ids: Vec<String> = (0..count).map(|at| format!("{at}-10")).collect();
    links("hour", &ids);
    clear(&browser);
    // In Kathmandu, where hours begin at a quarter past.
    look(
        &browser,
        "const zone = document.getElementById('zone'); zone.value = '345'; zone.dispatchEvent(new Event('change'));
         document.querySelector('[data-hour=\"41\"]').click();",
    );
    links("an hour of another zone", &["late".to_owned()]);
    // The choice of a time leaves that of an hour, of which there is none in it.
    choose_time(&browser, "2024-03-05 15:45", "2024-03-05 15:50");
    let shown = browser.run("return document.getElementById('count').textContent;");
    assert_eq!(shown, format!("0 of {} events", 2 * count + 1));
    links("no such hour", &[]);
    assert_quiet(&browser);
}

#[test]
fn lists_sort_find_and_are_copied() {
    let (Some(browser), Some(samples)) =
        (browser("lists", "en"), shared::folder("cloudtrail-samples"))
    else {
        return;
    };
    opened(&samples.join("trail"), &browser);
    let numbers = || -> Vec<u64> {
        table(&browser, "name")
            .iter()
            .map(|row| number(&row[1]))
            .collect()
    };
    let is_sorted = |numbers: &[u64]| numbers.is_sorted_by(|one, other| one >= other);
    assert!(is_sorted(&numbers()));
    let head = "#name thead th:nth-child(2)";
    browser.click(&format!("{head} button"));
    let order = || {
        browser.run_with(
            "return document.querySelector(arguments[0]).getAttribute('aria-sort');",
            json!([head]),
        )
    };
    assert_eq!(order(), "descending");
    browser.press(&format!("{head} button"), "\u{E007}");
    assert_eq!(order(), "ascending");
    assert!(numbers().is_sorted());
    browser.click("#name thead th:nth-child(1) button");
    let names: Vec<String> = table(&browser, "name")
        .into_iter()
        .map(|mut row| row.swap_remove(0))
        .collect();
    assert!(names.len() > 100 && names.is_sorted_by_key(|name| name.to_lowercase()));
    browser.press("#name input", "loGGing");
    let found = table(&browser, "name");
    assert!(
        !found.is_empty()
            && found
                .iter()
                .all(|row| row[0].to_lowercase().contains("logging")),
        "{found:?}"
    );
    // What is copied is what is found, in its order.
    look(
        &browser,
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}});",
    );
    look(
        &browser,
        "button('Copy as CSV', document.getElementById('name')).click();",
    );
    let copied = browser.run("return window.copied;");
    let copied: Vec<&str> = copied.as_str().unwrap().split_terminator("\r\n").collect();
    assert_eq!(copied[0], r#""Value","Events","Share""#);
    let expected: Vec<String> = found
        .iter()
        .map(|row| format!("\"{}\",{},\"{}\"", row[0], number(&row[1]), row[2]))
        .collect();
    assert_eq!(copied[1..], expected);
    let status = browser.run("return document.querySelector('p[role=status]').textContent;");
    assert_eq!(status, "Copied.");
    // Chips take a choice back.
    choose(&browser, "service", "iam");
    let chips = browser
        .run("return [...document.querySelectorAll('.chip')].map((chip) => chip.textContent);");
    assert_eq!(chips, json!(["Services: iam ×"]));
    browser.click(".chip");
    assert_eq!(
        browser.run("return document.getElementById('count').textContent;"),
        "All 2,900 events"
    );
    // The chart over time and the pie are clicked on, too.
    for chart in ["#time-chart", "#name-chart"] {
        // Where its first bar or slice is.
        let at = browser.run_with(
            "const chart = Chart.getChart(document.querySelector(arguments[0]));
             chart.canvas.scrollIntoView({block: 'center'});
             await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
             const {x, y} = chart.getDatasetMeta(0).data[0].getCenterPoint();
             return [Math.round(x - chart.width / 2), Math.round(y - chart.height / 2)];",
            json!([chart]),
        );
        let at = |which: usize| at[which].as_i64().unwrap() as i32;
        browser.click_at(chart, (at(0), at(1)));
        // Chart.js answers with the next frame.
        harness::until(&format!("a choice by {chart}"), || {
            let shown = browser.run("return document.getElementById('count').textContent;");
            shown.as_str().unwrap().ends_with("of 2,900 events")
        });
        clear(&browser);
    }
    // The hours of the week move with the zone, and go by keys.
    look(
        &browser,
        "const zone = document.getElementById('zone'); zone.value = '540'; zone.dispatchEvent(new Event('change'));",
    );
    let span = browser.run("return document.getElementById('span').textContent;");
    assert!(
        span.as_str()
            .unwrap()
            .starts_with("2023-07-10 20:42:18 – 2023-07-10 21:37:50"),
        "{span}"
    );
    let events = |hour: u32| {
        browser.run_with(
            "return document.querySelector(`[data-hour='${arguments[0]}']`).dataset.events;",
            json!([hour]),
        )
    };
    let (eight, nine) = (events(20), events(21));
    // The earlier and the later end of a time that is none.
    let asked = browser.run(
        "const from = document.getElementById('from'), to = document.getElementById('to');
         [from.selectedIndex, to.selectedIndex] = [from.options.length - 1, 1];
         document.getElementById('apply-time').click();
         const said = to.validationMessage;
         [from.selectedIndex, to.selectedIndex] = [0, 0];
         document.getElementById('apply-time').click();
         return said;",
    );
    assert_eq!(asked, "To is not later than From.");
    // What is looked for in a list is seen as long as it leaves something out.
    let found = browser.run(
        "const find = document.querySelector('#name input');
         find.value = 'zzz'; find.dispatchEvent(new Event('input'));
         document.querySelector('#error td button').click();
         const hidden = find.hidden;
         find.value = ''; find.dispatchEvent(new Event('input'));
         // The focus goes on where the last choice was removed.
         document.querySelector('#chips button').focus();
         document.querySelector('#chips button').click();
         return [hidden, document.activeElement.tagName];",
    );
    assert_eq!(found, json!([false, "SUMMARY"]));
    browser.press("[data-hour='0']", &"\u{E014}".repeat(20));
    browser.press("[data-hour='20']", "\u{E007}");
    assert_eq!(
        browser.run(
            "return document.getElementById('tile-events').firstChild.textContent.replace(',', '');"
        ),
        eight
    );
    browser.press("[data-hour='20']", "\u{E014}");
    browser.press("[data-hour='21']", " ");
    assert_eq!(
        browser.run("return document.getElementById('tile-events').firstChild.textContent;"),
        "2,900"
    );
    assert_ne!(nine, "0");
    assert_quiet(&browser);
}

/// A value that is a formula to a spreadsheet, code to a page, an end to a text, and nothing to see.
const EVIL: [&str; 12] = [
    "</script><script>window.harmed = 1</script>",
    "<img src=x onerror=window.harmed=1>",
    "\"><svg/onload=window.harmed=1>",
    "' onmouseover='window.harmed=1",
    "javascript:window.harmed=1",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "\t=1+1",
    "\u{202e}evil\u{2066}\u{200f}\u{200b}\u{feff}",
    "\u{1}\u{7}\u{1b}[31m\r\n\u{85}\u{2028}\u{2029}",
    "{{constructor.constructor('window.harmed=1')()}} ${window.harmed=1}",
    "__proto__",
];

#[test]
fn what_attackers_choose_is_shown_and_does_nothing() {
    let Some(browser) = browser("hostile", "en") else {
        return;
    };
    let mut records: Vec<String> = vec![];
    let long: Vec<String> = ["<b>", "\u{1F4A3}", "'\"\\", "=1+"]
        .iter()
        .map(|part| part.repeat(200_000 / part.len()))
        .collect();
    for (at, evil) in EVIL
        .iter()
        .copied()
        .chain(long.iter().map(String::as_str))
        .enumerate()
    {
        let record = json!({
            "eventVersion": evil, "eventName": evil, "userAgent": evil, "sourceIPAddress": evil, "errorCode": evil, "errorMessage": evil,
            "awsRegion": evil, "eventSource": evil, "readOnly": evil, "recipientAccountId": evil, "eventType": evil,
            "userIdentity": {"type": evil, "userName": evil, "arn": evil, "accountId": evil, "principalId": evil,
                "sessionContext": {"attributes": {"mfaAuthenticated": evil}}},
            "responseElements": {"ConsoleLogin": evil}, "requestParameters": {"x": evil}, "additionalEventData": {"MFAUsed": evil},
            "eventTime": format!("2024-03-05T12:{at:02}:00Z"), "eventID": at.to_string(),
        });
        records.push(record.to_string());
    }
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let log = browser.folder.join("log.json");
    fs::write(&log, log_text(&records)).unwrap();
    opened(&log, &browser);
    browser.size(1366, 768);
    let count = records.len() as u64;
    let elements = "return [...document.querySelectorAll('*')].filter((one) =>
        ['IMG', 'SVG', 'A', 'IFRAME', 'OBJECT', 'EMBED', 'LINK', 'FORM', 'B'].includes(one.tagName.toUpperCase()) && !one.closest('.tiles')
        || [...one.attributes].some(({name}) => name.startsWith('on'))).map((one) => one.outerHTML);";
    let look_around = || {
        assert_eq!(browser.run("return window.harmed ?? null;"), Value::Null);
        assert_eq!(browser.run(elements), json!([]));
        assert_eq!(browser.run("return document.scripts.length;"), 3);
        assert_quiet(&browser);
        let wide = browser.run("return document.documentElement.scrollWidth - innerWidth;");
        assert!(wide.as_i64() <= Some(0), "the page is {wide} too wide");
    };
    look_around();
    for (list, _) in LISTS {
        let rows = table(&browser, list);
        let all: u64 = rows.iter().map(|row| number(&row[1])).sum();
        assert_eq!(all, count, "{list}: {rows:?}");
    }
    let names: Vec<String> = table(&browser, "name")
        .into_iter()
        .map(|mut row| row.swap_remove(0))
        .collect();
    for evil in &EVIL[..7] {
        assert!(names.iter().any(|name| name == evil), "{evil}: {names:?}");
    }
    // What nobody would see is seen.
    assert!(
        names
            .iter()
            .any(|name| name == "\\u{202e}evil\\u{2066}\\u{200f}\\u{200b}\\u{feff}"),
        "{names:?}"
    );
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("\\u{1}\\u{7}\\u{1b}[31m")),
        "{names:?}"
    );
    // Chosen, each of them, and copied.
    look(
        &browser,
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}});",
    );
    for at in 0..count {
        for list in 0..9 {
            browser.run_with("document.querySelector(`[data-choice='${arguments[0]} ${arguments[1]}']`)?.click();", json!([list, at + 2]));
        }
        look_around();
        clear(&browser);
    }
    for id in ["name", "who", "agent", "signins", "address"] {
        look(
            &browser,
            &format!("button('Copy as CSV', document.getElementById('{id}')).click();"),
        );
        let copied = browser.run("return window.copied;");
        for cell in copied
            .as_str()
            .unwrap()
            .split(['\n', ','])
            .map(|cell| cell.trim_start_matches('"'))
        {
            let begin = cell.trim_start().chars().next();
            let is_formula = begin.is_some_and(|begin| "=+-@|".contains(begin));
            // Within a cell of many lines nothing begins anew.
            assert!(
                !is_formula || !copied.as_str().unwrap().contains(&format!("\"{cell}")),
                "{id}: {cell}"
            );
        }
    }
    assert!(browser.console().is_empty());
    browser.picture("hostile.png", true);
}

/// axe-core, in all its forms.
#[test]
fn everybody_can_use_it() {
    let (Some(browser), Some(samples)) = (
        browser("access", "en"),
        shared::folder("cloudtrail-samples"),
    ) else {
        return;
    };
    let Some(axe) = installed(
        "chromium/axe/axe_playwright_python/axe.min.js",
        "scripts/chromium",
    ) else {
        return;
    };
    let axe = fs::read_to_string(axe).unwrap();
    opened(&samples.join("trail"), &browser);
    browser.run_with("(0, eval)(arguments[0]);", json!([axe.clone()]));
    for (width, height) in [(1366, 768), (390, 844)] {
        browser.size(width, height);
        for is_dark in [false, true] {
            browser.dark(is_dark);
            for step in [
                "",
                "document.querySelectorAll('details').forEach((one) => { one.open = true; });",
                "document.querySelector('#name td button').click();",
            ] {
                browser.run(step);
                let found = browser.run(
                    "return axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations.map(({id, nodes}) =>
                        id + ': ' + nodes.slice(0, 3).map((node) => node.html + ' ' + node.failureSummary).join(' | ')));",
                );
                assert_eq!(found, json!([]), "{width} px, dark: {is_dark}, {step}");
            }
            let wide = browser.run("return document.documentElement.scrollWidth - innerWidth;");
            assert!(
                wide.as_i64() <= Some(0),
                "{width} px: the page is {wide} too wide"
            );
            clear(&browser);
            browser.run(
                "document.querySelectorAll('details').forEach((one) => { one.open = false; });",
            );
            browser.picture(
                &format!("{width}-{}.png", if is_dark { "dark" } else { "light" }),
                true,
            );
        }
    }
    // The picture of docs/report.md.
    browser.dark(false);
    browser.size(1366, 1060);
    browser.run("scrollTo(0, 0);");
    browser.picture("report.png", false);
    // By keys alone: what is chosen first by Tab and Enter.
    browser.size(1366, 768);
    let names = table(&browser, "name");
    browser.press("#name td button", "\u{E007}");
    let chosen = browser.run("return [document.activeElement.textContent, document.activeElement.getAttribute('aria-pressed')];");
    assert_eq!(chosen, json!([names[0][0], "true"]));
}

#[test]
fn it_prints() {
    let (Some(browser), Some(samples)) =
        (browser("print", "en"), shared::folder("cloudtrail-samples"))
    else {
        return;
    };
    opened(&samples.join("trail"), &browser);
    browser.dark(true);
    let paper = browser.folder.join("paper.pdf");
    fs::write(&paper, browser.print()).unwrap();
    let run = target().join("chromium/run").canonicalize().unwrap();
    let text = Command::new(&run)
        .arg("pdftotext")
        .arg(&paper)
        .arg("-")
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for words in [
        "CloudTrail report",
        "2,900",
        "Administrator Policy Attached",
        "bert-jan",
        "DescribeRouteTables",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // What is for the mouse only is not on paper, and the paper is white, though the screen is dark.
    assert!(!text.contains("Copy as CSV"));
    let picture = browser.folder.join("paper");
    let output = Command::new(&run)
        .args(["pdftoppm", "-r", "40", "-gray"])
        .arg(&paper)
        .arg(&picture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = fs::read_dir(&browser.folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = page
        .filter(|path| path.extension().is_some_and(|end| end == "pgm"))
        .collect();
    pages.sort();
    assert!((2..15).contains(&pages.len()), "{pages:?}");
    let bytes = fs::read(&pages[0]).unwrap();
    let light = bytes.iter().filter(|byte| **byte > 200).count();
    assert!(
        light * 10 > bytes.len() * 7,
        "{light} of {} are light",
        bytes.len()
    );
    assert_quiet(&browser);
}

#[test]
fn it_speaks_japanese() {
    let (Some(browser), Some(samples)) = (
        browser("japanese", "ja"),
        shared::folder("cloudtrail-samples"),
    ) else {
        return;
    };
    opened(&samples.join("trail"), &browser);
    browser.size(1366, 768);
    let seen = browser.run("return [document.documentElement.lang, document.querySelector('h1').textContent, document.getElementById('count').textContent];");
    assert_eq!(seen, json!(["ja", "CloudTrail レポート", "全 2,900 件"]));
    // No word is missing in either language, and none is put together wrongly.
    let missing = browser.run(
        "return [...new Set([...Object.keys(WORDS.en), ...Object.keys(WORDS.ja)])].filter((key) => {
            const parts = (text) => (text?.match(/\\{\\d\\}/g) ?? ['none']).sort().join();
            return !WORDS.en[key] || !WORDS.ja[key] || parts(WORDS.en[key]) !== parts(WORDS.ja[key]); });",
    );
    assert_eq!(missing, json!([]));
    assert!(
        !browser
            .run("return document.body.innerText;")
            .as_str()
            .unwrap()
            .contains("undefined")
    );
    browser.picture("japanese.png", true);
    assert_quiet(&browser);
}
