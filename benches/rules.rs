//! What each rule costs: `cargo bench --bench rules [-- [--beside FILE] [--folder FOLDER] [NAME…]]`.
//!
//! sysdig, which has Falco's filter engine, reads 3,000 made events, or those of a folder, with the condition of one rule
//! at a time. Its instructions and the plugin's, counted by callgrind, can be compared across commits and machines. The
//! cost is what they are above those of a condition that asks for one field, by event. With `--beside` the rules of another
//! file are measured too. It takes Linux on x86-64.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};
use harness::hosts::{Hosts, installed};
use harness::rules::Rules;
use harness::trail::{Maker, write};

const FILES: u32 = 3;
const EVENTS: usize = 1_000;

/// A condition that holds for no event, and asks for a field that no rule asks for. In Falco a rule is one of many, so
/// the event's record was looked at before.
const NOTHING: &str = "ct.requestid=x";

fn main() -> Result<ExitCode> {
    let mut beside = None;
    let mut folder = None;
    let mut names = vec![];
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--beside" => beside = Some(arguments.next().context("--beside FILE")?),
            "--folder" => folder = Some(arguments.next().context("--folder FOLDER")?),
            _ => names.push(argument),
        }
    }
    let (Some(hosts), Some(run)) = (
        Hosts::new("bench-rules"),
        installed("hosts/run", "scripts/hosts"),
    ) else {
        eprintln!("no sysdig: run scripts/hosts");
        return Ok(ExitCode::FAILURE);
    };
    let sysdig = Sysdig {
        root: run.canonicalize()?.with_file_name("root"),
        home: hosts.folder.clone(),
        plugin: hosts.plugin.canonicalize()?,
        trail: match folder {
            Some(folder) => folder.into(),
            None => make(&hosts.folder.join("trail"))?,
        },
    };
    let ours =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-config/falco/cloudtrail_rules.yaml");
    let files = [Some(ours), beside.map(PathBuf::from)];
    let nothing = sysdig.instructions(NOTHING)?;
    let events = sysdig.events()?;
    println!("instructions an event above those of `{NOTHING}`, {events} events");
    for file in files.iter().flatten() {
        let rules = Rules::read(file)?;
        let conditions: Vec<(&str, String)> = rules
            .rules
            .iter()
            .filter(|rule| names.is_empty() || names.contains(&rule.name))
            .map(|rule| {
                let condition = rules.expand(&rule.text["condition"]);
                (&*rule.name, format!("{NOTHING} or ({condition})"))
            })
            .collect();
        let mut costs = in_parallel(&conditions, |(name, condition)| {
            let cost = sysdig.instructions(condition)?.saturating_sub(nothing) / events;
            Ok((cost, *name))
        })?;
        costs.sort_unstable_by(|one, other| other.cmp(one));
        let sum: u64 = costs.iter().map(|(cost, _)| cost).sum();
        let median = costs.get(costs.len() / 2).map_or(0, |(cost, _)| *cost);
        println!(
            "\n{}: {} rules, sum {sum}, median {median}",
            file.display(),
            costs.len()
        );
        for (cost, name) in costs {
            println!("{cost:8}  {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// sysdig of `target/hosts`, run outside of its folder, where valgrind is.
struct Sysdig {
    root: PathBuf,
    home: PathBuf,
    plugin: PathBuf,
    trail: PathBuf,
}

impl Sysdig {
    /// A command for what comes before sysdig.
    fn command(&self, before: &[&str], condition: &str) -> Command {
        let loader = self.root.join("lib64/ld-linux-x86-64.so.2");
        let mut command = match before {
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(loader);
                command
            }
            [] => Command::new(loader),
        };
        command
            .arg("--library-path")
            .arg(self.root.join("usr/lib/x86_64-linux-gnu"))
            .arg(self.root.join("usr/bin/sysdig"))
            .arg("-H")
            .arg(&self.plugin)
            .args(["-I", &format!("cloudtrail:{}", self.trail.display())])
            .args(["-p", "%evt.num", condition])
            .env("HOME", &self.home);
        command
    }

    fn events(&self) -> Result<u64> {
        let output = self.command(&[], "evt.num>0").output()?;
        ensure!(output.status.success(), "{output:?}");
        let events = output.stdout.split(|&byte| byte == b'\n').count() - 1;
        ensure!(events > 0, "no events");
        Ok(events as u64)
    }

    fn instructions(&self, condition: &str) -> Result<u64> {
        let callgrind = [
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
        ];
        let output = self.command(&callgrind, condition).output();
        let output = output.context("no instructions without valgrind")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{condition}: {words}");
        let collected = words.split("Collected : ").nth(1);
        let collected = collected.and_then(|words| words.split_whitespace().next());
        Ok(collected.context("callgrind counted nothing")?.parse()?)
    }
}

/// A folder of made log files.
fn make(folder: &Path) -> Result<PathBuf> {
    let mut maker = Maker::new(1);
    for file in 0..FILES {
        let file = maker.file(
            "123456789012",
            "us-east-1",
            &format!("20240305T00{file:02}Z"),
            EVENTS,
        );
        write(&folder.join(file.key("")), &file.gz());
    }
    Ok(folder.canonicalize()?)
}

/// `of` each of `items`, on all cores.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    of: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let left = Mutex::new(items.iter());
    let next = || left.lock().ok()?.next();
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    std::iter::from_fn(next)
                        .map(&of)
                        .collect::<Result<Vec<R>>>()
                })
            })
            .collect();
        let mut all = vec![];
        for worker in workers {
            all.extend(
                worker
                    .join()
                    .map_err(|_| anyhow::anyhow!("a worker panicked"))??,
            );
        }
        Ok(all)
    })
}
