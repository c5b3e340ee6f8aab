//! What it costs to know where an address is from: `cargo bench --bench geo`.
//!
//! Nanoseconds that a field takes beyond `ct.srcip`, which is read for it anyway: for an address that was seen before, for
//! one that was not, and without a database. The database has 200,000 networks with country, city and network, and is made
//! by what `scripts/python-tools` installs.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use harness::{
    host::{Event, Library, Plugin},
    hosts::target,
    memory,
};
use serde_json::json;

/// Events of a round, and rounds.
const EVENTS: u64 = 20_000;
const ROUNDS: u32 = 20;
const NETWORKS: u64 = 200_000;

fn main() -> Result<()> {
    // `cargo test` may start benches, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let made = Command::new(target().join("python/run"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/geo/make.py"))
        .arg(folder.path())
        .args(["many", &NETWORKS.to_string()])
        .status()?;
    ensure!(made.success(), "run scripts/python-tools first");
    let path = folder.path().join("many.mmdb");
    let size = path.metadata()?.len();

    let library = Library::load()?;
    let without = library.init("")?;
    let before = memory("VmRSS:");
    let start = Instant::now();
    let with = library.init(&json!({"geoDatabases": path}).to_string())?;
    println!(
        "{:.1} MB loaded in {} ms, {} MiB of memory",
        size as f64 / 1e6,
        start.elapsed().as_millis(),
        memory("VmRSS:") - before
    );
    // One of 64 addresses each time, or another one.
    let known = events(|n| n % 64);
    let new = events(|n| n * 9 % NETWORKS);
    for (what, plugin, events) in [
        ("no database", &without, &known),
        ("seen before", &with, &known),
        ("new", &with, &new),
    ] {
        let base = nanoseconds(plugin, events, "ct.srcip")?;
        let country = nanoseconds(plugin, events, "ct.geo.country")?;
        let organization = nanoseconds(plugin, events, "ct.geo.asorg")?;
        println!(
            "{what:12} ct.srcip {base:6.0} ns, ct.geo.country {:6.0} more, ct.geo.asorg {:6.0} more",
            country - base,
            organization - base
        );
    }
    Ok(())
}

/// Events from networks of these numbers.
fn events(network: impl Fn(u64) -> u64) -> Vec<Event> {
    let event = |n: u64| {
        let network = network(n);
        let (a, b, c) = (1 + network / 65_536, network / 256 % 256, network % 256);
        let address = format!("{a}.{b}.{c}.7");
        let record = json!({"eventID": format!("{n:036}"), "eventTime": "2026-11-24T00:00:00Z", "sourceIPAddress": address});
        Event::new(n + 1, 0, record.to_string().as_bytes())
    };
    (0..EVENTS).map(event).collect()
}

/// The least time that a field of an event takes.
fn nanoseconds(plugin: &Plugin, events: &[Event], field: &str) -> Result<f64> {
    let mut question = plugin.question(&[field])?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for event in events {
            question.one_by_one(event)?;
        }
        best = best.min(start.elapsed());
    }
    Ok(best.as_nanos() as f64 / events.len() as f64)
}
