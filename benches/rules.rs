//! What each rule costs: `cargo bench --bench rules [-- [--beside FILE] [--folder FOLDER] [--rounds 5] [NAME…]]`.
//!
//! sysdig, which has Falco's filter engine, reads 300,000 made events, or those of a folder, with the condition of one
//! rule at a time. The cost is the CPU time, of sysdig and the plugin, above that of a condition that fails at once: the
//! least of several rounds. With `--beside` the rules of another file are measured in turn with ours.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use harness::hosts::Hosts;
use harness::rules::Rules;
use harness::trail::{Maker, write};
use nix::sys::resource::{UsageWho, getrusage};

const FILES: u32 = 300;
const EVENTS: usize = 1_000;

/// A condition that no event gets past.
const NOTHING: &str = "evt.num=0";

fn main() -> Result<ExitCode> {
    let mut beside = None;
    let mut folder = None;
    let mut rounds = 5;
    let mut names = vec![];
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--beside" => beside = Some(arguments.next().context("--beside FILE")?),
            "--rounds" => rounds = arguments.next().context("--rounds NUMBER")?.parse()?,
            "--folder" => folder = Some(arguments.next().context("--folder FOLDER")?),
            _ => names.push(argument),
        }
    }
    let Some(hosts) = Hosts::new("bench-rules") else {
        eprintln!("no sysdig: run scripts/hosts");
        return Ok(ExitCode::FAILURE);
    };
    let folder = folder.map_or_else(
        || make(&hosts.folder.join("trail")),
        |folder| Ok(folder.into()),
    )?;
    let ours =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-config/falco/cloudtrail_rules.yaml");
    let mut files = vec![Rules::read(&ours)?];
    if let Some(beside) = &beside {
        files.push(Rules::read(Path::new(beside))?);
    }

    // By file: the name and condition of each rule, and what it took.
    let mut all: Vec<Vec<(String, String, f64)>> = vec![];
    for rules in &files {
        let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
        let rules_of = rules.rules.iter().filter(|rule| wanted(&rule.name));
        all.push(
            rules_of
                .map(|rule| {
                    let condition = rules.expand(&rule.text["condition"]);
                    (rule.name.clone(), condition, f64::INFINITY)
                })
                .collect(),
        );
    }
    let mut nothing = f64::INFINITY;
    for _ in 0..rounds {
        for at in 0..all.iter().map(Vec::len).max().unwrap_or(0) {
            // The floor moves with whatever else the machine does.
            if at % 10 == 0 {
                nothing = nothing.min(cpu(&hosts, &folder, NOTHING)?);
            }
            for rules in &mut all {
                if let Some((_, condition, least)) = rules.get_mut(at) {
                    *least = least.min(cpu(&hosts, &folder, condition)?);
                }
            }
        }
    }

    println!("{nothing:.3} s of CPU without a rule; above that:");
    for (rules, file) in all
        .iter_mut()
        .zip(["cloudtrail_rules.yaml", "the other file"])
    {
        rules.sort_by(|one, other| other.2.total_cmp(&one.2));
        let costs: Vec<f64> = rules.iter().map(|(.., least)| least - nothing).collect();
        let median = costs.get(costs.len() / 2).copied().unwrap_or(0.0);
        let sum: f64 = costs.iter().sum();
        println!(
            "{file}: {} rules, sum {sum:.3} s, median {median:.3} s",
            rules.len()
        );
        for ((name, ..), cost) in rules.iter().zip(costs) {
            println!("{cost:8.3}  {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder of made log files.
fn make(folder: &Path) -> Result<PathBuf> {
    let mut maker = Maker::new(1);
    for file in 0..FILES {
        let stamp = format!("20240305T{:02}{:02}Z", file / 60, file % 60);
        let file = maker.file("123456789012", "us-east-1", &stamp, EVENTS);
        write(&folder.join(file.key("")), &file.gz());
    }
    Ok(folder.to_owned())
}

/// The seconds of CPU that sysdig takes with a condition.
fn cpu(hosts: &Hosts, folder: &Path, condition: &str) -> Result<f64> {
    let seconds = || -> Result<f64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
    };
    let before = seconds()?;
    let plugin = hosts.plugin.display().to_string();
    let input = format!("cloudtrail:{}", folder.display());
    let output = hosts.output(&[
        "sysdig", "-H", &plugin, "-I", &input, "-p", "%ct.id", condition,
    ]);
    ensure!(output.status.success(), "{condition}: {output:?}");
    Ok(seconds()? - before)
}
