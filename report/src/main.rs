//! `report URL [CONFIG] [-o FILE]`: what CloudTrail events tell, as one HTML page. See docs/report.md.
//!
//! ```text
//! plugin ─read─▶ counts (values, rows) ─page─▶ file
//!           └──rules
//! ```

mod counts;
mod fields;
mod file;
mod losses;
mod page;
mod progress;
mod read;
mod rules;
mod values;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use host::Library;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::file::NewFile;
use crate::page::About;
use crate::progress::{Progress, grouped};
use crate::read::{End, read};
use crate::rules::Rules;

const USAGE: &str = "usage: report URL [CONFIG] [-o FILE]
URL names what to read: s3://bucket/prefix, a folder, a file, or what else the plugin reads.
CONFIG is the plugin's configuration as JSON.
FILE is the page to write, cloudtrail-report.html if it is not given.";

/// What the shell calls a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

struct Asked {
    url: String,
    config: String,
    file: PathBuf,
}

fn main() -> ExitCode {
    let asked = match arguments(env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("report: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("report: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Asked> {
    let mut words = Vec::new();
    let mut file = None;
    while let Some(word) = given.next() {
        match word.as_str() {
            "-o" => file = Some(given.next().context("-o takes a file")?),
            option if option.starts_with('-') => bail!("{option} is not an option"),
            _ => words.push(word),
        }
    }
    let mut words = words.into_iter();
    let asked = Asked {
        url: words.next().context("what is to be read?")?,
        config: words.next().unwrap_or_default(),
        file: file
            .unwrap_or_else(|| "cloudtrail-report.html".into())
            .into(),
    };
    match words.next() {
        Some(more) => bail!("{more:?} is one argument too many"),
        None => Ok(asked),
    }
}

fn run(asked: &Asked) -> Result<ExitCode> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first ends the reading, a second one the program.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&is_over))
            .and_then(|_| flag::register(signal, Arc::clone(&is_over)))
            .context("preparing for Ctrl-C")?;
    }
    let mut rules = Rules::ours()?;
    let library = Library::load()?;
    let plugin = library.init(&asked.config)?;
    // Made first, so that nobody waits for a page that can't be written.
    let file = NewFile::beside(&asked.file)?;
    let mut progress = Progress::new();
    let (mut counts, losses, end) = read(&plugin, &asked.url, &mut rules, &is_over, &mut progress)?;
    progress.end();
    let (partial, code) = match &end {
        End::All => (None, ExitCode::SUCCESS),
        End::Interrupted => (Some("interrupted"), ExitCode::from(INTERRUPTED)),
        End::Failed(error) if counts.events == 0 => bail!("{error}"),
        End::Failed(error) => {
            eprintln!("report: {error}");
            (Some(error.as_str()), ExitCode::FAILURE)
        }
    };
    let made = SystemTime::now().duration_since(UNIX_EPOCH);
    let events = counts.events;
    let page = counts.page(&About {
        source: &asked.url,
        version: &library.version()?,
        made: made.map_or(0, |made| made.as_secs() as i64),
        partial,
        losses: &losses,
        rules: &rules,
    })?;
    file.write(page.as_bytes())?;
    eprintln!(
        "report: {}{} events in {}, {:.1} MB",
        if partial.is_some() { "PARTIAL: " } else { "" },
        grouped(events),
        asked.file.display(),
        page.len() as f64 / 1e6
    );
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Asked> {
        arguments(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn what_is_asked_for_is_read_off_the_command_line() {
        let asked = parse(&["trail"]).unwrap();
        assert_eq!((&*asked.url, &*asked.config), ("trail", ""));
        assert_eq!(asked.file, PathBuf::from("cloudtrail-report.html"));
        let asked = parse(&["s3://b/", "-o", "x.html", "{}"]).unwrap();
        assert_eq!((&*asked.url, &*asked.config), ("s3://b/", "{}"));
        assert_eq!(asked.file, PathBuf::from("x.html"));
        for wrong in [&[][..], &["a", "b", "c"], &["a", "-o"], &["a", "--x"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
