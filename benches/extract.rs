//! What an event costs: `cargo bench --bench extract [-- ROW…]`.
//!
//! Instructions are counted by callgrind, so that they can be compared across commits and machines; it takes the
//! CPU for one without AVX-512. Times are the best of several rounds on this machine. Beside `../shared` the
//! records are those of its real trail, elsewhere made ones, which are smaller.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use cloudtrail::Extractor;
use cloudtrail::fields::{FIELDS, Field, OFFICIAL};
use harness::{
    host::{Library, Status},
    shared,
    trail::{LogFile, Maker, write},
};

/// The first argument of the process that callgrind watches.
const WATCHED: &str = "--watched";
/// What many rules and filters ask for.
const FIVE: [&str; 5] = ["ct.name", "ct.user", "ct.src", "ct.error", "ct.srcip"];

/// What rules may ask for by pointer: a known member, and one that is not.
const POINTERS: [&str; 2] = [
    "/requestParameters/bucketName",
    "/responseElements/ConsoleLogin/x",
];

const ROWS: [(&str, &str); 9] = [
    (
        "source",
        "from a folder to the host, the harness's copy included",
    ),
    ("batch", "the 73 official fields in one call"),
    (
        "shown",
        "all fields that are not hidden in one call, as Stratoshark asks",
    ),
    ("five", "5 fields, a call each, as rules and filters ask"),
    ("each", "the 73 official fields, a call each"),
    ("value", "ct.value with two pointers, a call each"),
    ("string", "the event as a string"),
    (
        "origin",
        "ct.origin and its kin in one call: the chain of sessions",
    ),
    ("parse", "parse_event: does it tell of a session?"),
];

fn main() -> Result<ExitCode> {
    let mut arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments.first().is_some_and(|first| first == WATCHED) {
        let [_, row, rounds, folder] = &arguments[..] else {
            bail!("{WATCHED} ROW ROUNDS FOLDER");
        };
        run(row, rounds.parse()?, Path::new(folder))?;
        return Ok(ExitCode::SUCCESS);
    }
    let known: Vec<_> = ROWS.iter().map(|(row, _)| row.to_string()).collect();
    if let Some(unknown) = arguments.iter().find(|row| !known.contains(row)) {
        eprintln!("{unknown} is none of {known:?}");
        return Ok(ExitCode::from(2));
    }
    if arguments.is_empty() {
        arguments = known;
    }
    let made = tempfile::tempdir()?;
    let folder = folder(made.path());
    println!(
        "{:8} {:>18} {:>10}",
        "row", "instructions/event", "ns/event"
    );
    for (row, meaning) in ROWS
        .iter()
        .filter(|(row, _)| arguments.iter().any(|wanted| wanted == row))
    {
        let (events, time) = run(row, 15, &folder)?;
        // What one round takes is what three take more than one: the rest is the start.
        let instructions = match (instructions(row, 1, &folder), instructions(row, 3, &folder)) {
            (Ok(one), Ok(three)) => ((three - one) / 2 / events).to_string(),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("{error:#}");
                "-".to_owned()
            }
        };
        println!(
            "{row:8} {instructions:>18} {:>10}   {meaning}",
            time.as_nanos() / u128::from(events)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder of log files: the real trail, or one that is written to `made`.
fn folder(made: &Path) -> std::path::PathBuf {
    shared::folder("cloudtrail-samples/trail").unwrap_or_else(|| {
        let mut maker = Maker::new(1);
        for file in 0..20 {
            let file: LogFile = maker.file(
                "123456789012",
                "us-east-1",
                &format!("20240305T12{file:02}Z"),
                100,
            );
            write(&made.join(file.key("")), &file.gz());
        }
        made.to_owned()
    })
}

/// How many instructions a process of so many rounds takes.
fn instructions(row: &str, rounds: u32, folder: &Path) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([WATCHED, row, &rounds.to_string()])
        .arg(folder)
        .output()
        .context("no instructions without valgrind")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {words}");
    let collected = words
        .split("Collected : ")
        .nth(1)
        .and_then(|words| words.split_whitespace().next());
    Ok(collected.context("callgrind counted nothing")?.parse()?)
}

/// How many events there are, and the least time that a round over all of them takes.
fn run(row: &str, rounds: u32, folder: &Path) -> Result<(u64, Duration)> {
    let library = Library::load()?;
    let plugin = library.init("")?;
    let open_params = folder.to_str().context("a folder's name")?;
    if row == "source" {
        let mut events = 0;
        let mut best = Duration::MAX;
        for _ in 0..rounds {
            let start = Instant::now();
            let mut instance = plugin.open(open_params)?;
            events = 0;
            loop {
                let batch = instance.next_batch();
                events += batch.events.len() as u64;
                match batch.status {
                    Status::Eof => break,
                    Status::Failed(error) => bail!("{error}"),
                    _ => {}
                }
            }
            best = best.min(start.elapsed());
        }
        return Ok((events, best));
    }
    let events = plugin.events(open_params)?;
    let mut extractor = Extractor::default();
    let shown = |field: &&Field| !field.properties.contains(&"hidden");
    let names = |fields: &[Field], keep: &dyn Fn(&&Field) -> bool| -> Vec<String> {
        let fields = fields.iter().filter(keep);
        fields.map(|field| field.name.to_owned()).collect()
    };
    let fields = match row {
        "five" => FIVE.map(String::from).into(),
        "shown" => names(FIELDS, &shown),
        "origin" => names(FIELDS, &|field| is_of_chain(field.name)),
        "value" => POINTERS
            .map(|pointer| format!("ct.value[{pointer}]"))
            .into(),
        _ => names(&FIELDS[..OFFICIAL], &|_| true),
    };
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let mut question = plugin.question(&fields)?;
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for event in &events {
            match row {
                "batch" | "shown" | "origin" => question.at_once(event)?,
                "string" => drop(extractor.event_string(event.payload())),
                "parse" => plugin.parse(event)?,
                _ => question.one_by_one(event)?,
            }
        }
        best = best.min(start.elapsed());
    }
    Ok((events.len() as u64, best))
}

fn is_of_chain(field: &str) -> bool {
    field.starts_with("ct.origin") && field != "ct.originaluser" || field.starts_with("ct.chain")
}
