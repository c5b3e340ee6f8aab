//! `report URL [CONFIG] [-o FILE]`: what CloudTrail events tell, as one HTML page. See docs/report.md.
//!
//! ```text
//! plugin ─read─▶ counts (values, rows, timeline) ─page─▶ output
//!           └──rules
//! ```

mod counts;
mod fields;
mod interrupt;
mod losses;
mod output;
mod page;
mod progress;
mod read;
mod rules;
mod timeline;
mod values;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use host::Library;
use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};

use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::Output;
use crate::page::About;
use crate::progress::{Progress, events, tell};
use crate::read::{End, read};
use crate::rules::Rules;

const USAGE: &str = "usage: report URL [CONFIG] [-o FILE]
URL names what to read: s3://bucket/prefix, a folder, a file, or what else the plugin reads.
CONFIG is the plugin's configuration as JSON.
FILE is the page to write, cloudtrail-report.html if it is not given, - for standard output.";

struct Asked {
    url: String,
    config: String,
    file: PathBuf,
}

fn main() -> ExitCode {
    let asked = match arguments(env::args_os().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            tell(&format!("{why:#}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What the words ask for; none where they ask for help.
fn arguments(given: impl IntoIterator<Item = OsString>) -> Result<Option<Asked>> {
    let mut words = Vec::new();
    let mut file = PathBuf::from("cloudtrail-report.html");
    let mut parser = Parser::from_args(given);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('o') | Long("output") => file = parser.value()?.into(),
            Short('h') | Long("help") => return Ok(None),
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut words = words.into_iter();
    let url = words.next().context("what is to be read?")?;
    let config = words.next().unwrap_or_default();
    if !config.is_empty() && !config.trim_start().starts_with('{') {
        bail!(
            "{config:?} is not a configuration, which looks like {{\"s3Interval\":\"1d\"}}; one URL is read, and -o names the page"
        );
    }
    if let Some(more) = words.next() {
        bail!("{more:?} is one argument too many");
    }
    Ok(Some(Asked { url, config, file }))
}

fn run(asked: &Asked) -> Result<ExitCode> {
    let interrupt = Interrupt::new()?;
    let mut rules = Rules::ours()?;
    let library = Library::load()?;
    let plugin = library.init(&asked.config)?;
    let output = Output::at(&asked.file)?;
    let mut progress = Progress::new();
    let (mut counts, losses, end) =
        read(&plugin, &asked.url, &mut rules, &interrupt, &mut progress)?;
    progress.end();
    let (partial, code) = match &end {
        End::All => (None, ExitCode::SUCCESS),
        End::Interrupted => (Some("interrupted"), ExitCode::from(INTERRUPTED)),
        End::Failed(error) if counts.events == 0 => bail!("{error}"),
        End::Failed(error) => {
            tell(error);
            (Some(error.as_str()), ExitCode::FAILURE)
        }
    };
    let made = SystemTime::now().duration_since(UNIX_EPOCH);
    let read = events(counts.events);
    let page = counts.page(&About {
        source: &asked.url,
        version: &library.version()?,
        made: made.map_or(0, |made| made.as_secs() as i64),
        partial,
        losses: &losses,
        rules: &rules,
    })?;
    output.write(page.as_bytes())?;
    let partial = if partial.is_some() { "PARTIAL: " } else { "" };
    let size = page.len() as f64 / 1e6;
    tell(&format!(
        "{partial}{read} in {}, {size:.1} MB",
        asked.file.display()
    ));
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Asked>> {
        arguments(words.iter().map(|word| word.into()))
    }

    #[test]
    fn what_is_asked_for_is_read_off_the_command_line() {
        let asked = |words: &[&str]| {
            let asked = parse(words).unwrap().expect("no help");
            (asked.url, asked.config, asked.file)
        };
        let is = |url: &str, config: &str, file: &str| (url.into(), config.into(), file.into());
        assert_eq!(asked(&["trail"]), is("trail", "", "cloudtrail-report.html"));
        for words in [
            &["s3://b/", "-o", "x.html", "{}"][..],
            &["-ox.html", "s3://b/", "{}"],
            &["--output=x.html", "--", "s3://b/", "{}"],
        ] {
            assert_eq!(asked(words), is("s3://b/", "{}", "x.html"));
        }
        assert!(parse(&["trail", "-h"]).unwrap().is_none());
        for (wrong, why) in [
            (&[][..], "what is to be read"),
            (&["a", "{}", "c"], "one argument too many"),
            (&["a", "-o"], "-o"),
            (&["a", "--x"], "--x"),
            (&["folder", "other"], "one URL is read"),
        ] {
            let error = format!("{:#}", parse(wrong).err().expect("an error"));
            assert!(error.contains(why), "{wrong:?}: {error}");
        }
    }
}
