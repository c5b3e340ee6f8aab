//! What a report costs: `cargo bench --bench report [-- CASE]`.
//!
//! | case | what is measured |
//! |---|---|
//! | `time` | 300,000 events of a folder: the program, and reading them with the same fields and looking at nothing |
//! | `memory` | 10,000,000 events of a folder, with values that an attacker chose anew for a third of them: the program's memory at most, in MiB, and the page's size |

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use cloudtrail::filter::Several;
use harness::host::{Library, Status, plugin_path};
use harness::rules::Rules;
use harness::trail::{Maker, gzip, log_text, write};

const FILES: usize = 300;
const PER_FILE: usize = 1_000;
const ROUNDS: usize = 3;
/// What the report counts by: the fields of report/src/fields.rs.
const FIELDS: [&str; 16] = [
    "ct.name",
    "ct.actor",
    "ct.shortsrc",
    "ct.useragent",
    "ct.outcome",
    "ct.error",
    "ct.region",
    "ct.user.accountid",
    "ct.srcip",
    "ct.geo.country",
    "ct.console",
    "ct.readonly",
    "ct.failed",
    "signin.result",
    "ct.mfaused",
    "ct.time",
];

/// All that the report asks for: these, and what tells that rules do not fit.
fn fields() -> Result<Vec<&'static str>> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-config/falco/cloudtrail_rules.yaml");
    let rules = Rules::read(&file)?;
    let mut conditions = Several::default();
    for rule in &rules.rules {
        let is_grave = ["CRITICAL", "WARNING"].contains(&rule.text["priority"].as_str());
        if is_grave && !rule.keys.contains("enabled") {
            // One asks for countries, and is left out.
            _ = conditions.add(&rules.expand(&rule.text["condition"]));
        }
    }
    let telling = conditions.telling().into_iter();
    let telling = telling.filter(|field| !FIELDS.contains(field));
    Ok(FIELDS.into_iter().chain(telling).collect())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo test` may start benches, too.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let asked: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|one| *one != "--bench")
        .collect();
    match asked[..] {
        [] => {
            time()?;
            memory()
        }
        ["time"] => time(),
        ["memory"] => memory(),
        _ => bail!("cargo bench --bench report [-- time|memory]"),
    }
}

/// A folder of 300 log files of a month, of 1,000 events each. `is_hostile`: a third of the events with values of their own.
fn make(folder: &Path, is_hostile: bool) -> Result<()> {
    let mut maker = Maker::new(27);
    for file in 0..FILES {
        let time = format!("202403{:02}T{:02}00Z", 1 + file / 10, 2 * (file % 10));
        let account = format!("{:012}", 111_122_223_333 + (file % 3) as u64);
        let made = maker.file(
            &account,
            ["us-east-1", "eu-west-1"][file % 2],
            &time,
            PER_FILE,
        );
        let records: Vec<String> = made
            .records
            .iter()
            .enumerate()
            .map(|(at, record)| {
                let agent = match is_hostile && at % 3 == 0 {
                    true => format!("x{file}-{at}-{}", "y".repeat(180)),
                    false => format!("aws-cli/2.{} Python/3.{} md/command#s3.cp", at % 50, at % 4),
                };
                record.json.replace("aws-cli/2.15", &agent)
            })
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        write(&folder.join(made.key("")), &gzip(&log_text(&records)));
    }
    Ok(())
}

fn time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    make(folder.path(), false)?;
    let params = folder.path().to_str().context("a folder's name")?;
    let (mut reading, mut reporting) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        reading = reading.min(read(params)?);
        let start = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_report"))
            .args([params, "-o"])
            .arg(folder.path().join("page.html"))
            .env("CLOUDTRAIL_PLUGIN", plugin_path()?)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        reporting = reporting.min(start.elapsed());
    }
    println!(
        "time: 300,000 events are read with these fields in {:.2} s, reported in {:.2} s: {:.2} x",
        reading.as_secs_f64(),
        reporting.as_secs_f64(),
        reporting.as_secs_f64() / reading.as_secs_f64()
    );
    Ok(())
}

fn read(params: &str) -> Result<Duration> {
    let fields = fields()?;
    let start = Instant::now();
    let library = Library::load()?;
    let plugin = library.init("")?;
    let mut question = plugin.question(&fields)?;
    let mut instance = plugin.open(params)?;
    let mut events = 0;
    loop {
        let batch = instance.next_batch();
        for event in &batch.events {
            question.at_once(event)?;
        }
        events += batch.events.len();
        match batch.status {
            Status::More | Status::Timeout => {}
            Status::Eof => break,
            Status::Failed(error) => bail!(error),
        }
    }
    ensure!(events == FILES * PER_FILE, "{events} events");
    Ok(start.elapsed())
}

fn memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let trail = folder.path().join("trail");
    make(&trail, true)?;
    // Under other names each file counts again.
    let files = harness::shared::files(&trail);
    let rounds = 10_000_000usize.div_ceil(FILES * PER_FILE);
    let mut events = FILES * PER_FILE;
    'all: for round in 1..rounds {
        for file in &files {
            if events >= 10_000_000 {
                break 'all;
            }
            let name = file.file_name().context("a name")?.to_string_lossy();
            let (begin, _) = name.split_once(".json.gz").context("a log file's name")?;
            fs::hard_link(
                file,
                file.with_file_name(format!("{begin}{round:02}.json.gz")),
            )?;
            events += PER_FILE;
        }
    }
    let page = folder.path().join("page.html");
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_report"))
        .arg(&trail)
        .arg("-o")
        .arg(&page)
        .env("CLOUDTRAIL_PLUGIN", plugin_path()?)
        .stderr(Stdio::inherit())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let exit = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        });
        most = most.max(kib.unwrap_or(0u64));
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        thread::sleep(Duration::from_millis(50));
    };
    ensure!(exit.success(), "{exit}");
    println!(
        "memory: {events} events in {:.0} s, {} MiB at most, a page of {:.2} MB",
        start.elapsed().as_secs_f64(),
        most / 1024,
        fs::metadata(&page)?.len() as f64 / 1e6
    );
    Ok(())
}
