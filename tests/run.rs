//! `scripts/run`, after its build: what it shows, tells and prints. A `cargo` that does nothing stands in for the build.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use harness::hosts::{Hosts, built, installed};
use harness::{needs, sample, trail};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/run");

/// A folder with what the script would build, and log files.
struct Desk {
    folder: PathBuf,
}

impl Desk {
    fn new(test: &str) -> Option<Self> {
        let hosts = Hosts::new(test)?;
        let run = installed("hosts/run", "scripts/hosts")?;
        let folder = hosts.folder;
        let target = folder.join("target");
        fs::create_dir_all(target.join("release/examples")).unwrap();
        symlink(run.parent().unwrap(), target.join("hosts")).unwrap();
        symlink(
            built().canonicalize().unwrap(),
            target.join("release/libcloudtrail.so"),
        )
        .unwrap();
        let cargo = trail::write(&folder.join("bin/cargo"), b"#!/bin/sh\n");
        fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
        for file in sample::files() {
            file.write(&folder.join("logs"));
        }
        Some(Self { folder })
    }

    fn command(&self, program: &str) -> Command {
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            self.folder.join("bin").display()
        );
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(SCRIPT);
        command.args(arguments).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The events' lines, which begin with their numbers.
fn events(shown: &str) -> Vec<String> {
    let is_event = |line: &&str| {
        line.starts_with(|first: char| first.is_ascii_digit()) && line.contains(" via ")
    };
    shown.lines().filter(is_event).map(str::to_owned).collect()
}

/// The command that it prints, with the variables before it.
fn printed(shown: &str) -> String {
    let lines = shown
        .lines()
        .skip_while(|line| !line.contains("the command, for a terminal of yours"));
    let lines: Vec<&str> = lines
        .skip(1)
        .take_while(|line| line.starts_with("    "))
        .collect();
    lines.join("\n")
}

#[test]
fn it_tells_what_is_in_the_events() {
    let Some(desk) = Desk::new("run") else {
        return;
    };
    let output = desk.run(&["logs"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(events(&shown).len(), 613);
    for line in [
        "613 events from 2024-03-05T11:50:19Z to 2024-03-05T12:24:59Z, most of them of",
        "        86 bob",
        "         2 failed or were refused, of mallory:  ct.failed=true",
        "         1 signed in without a second factor, of root:  'ct.outcome=\"Success without MFA\"'",
        "         1 by the root user:  ct.user.identitytype=Root",
    ] {
        assert!(shown.lines().any(|other| other == line), "{line}: {shown}");
    }
    // The command can be copied, and a filter put behind it.
    let command = format!("{} ct.failed=true", printed(&shown));
    let output = desk
        .command("bash")
        .args(["-c", &command])
        .output()
        .unwrap();
    assert_eq!(
        events(&text(&output.stdout)).len(),
        2,
        "{command}: {output:?}"
    );
}

#[test]
fn it_tells_why_there_is_nothing() {
    let Some(desk) = Desk::new("run-nothing") else {
        return;
    };
    let output = desk.run(&["logs", r#"{"s3Interval":"2023-01-01-2023-01-02"}"#]);
    assert!(!output.status.success());
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    assert!(
        shown.contains(
            "sysdig crashes (segmentation fault) at the end of a capture without a single event"
        ),
        "{shown}"
    );
    assert!(
        said.contains("holds nothing of logs") && !said.contains("line "),
        "{said}"
    );
    assert!(!shown.contains("events from"), "{shown}");
    let output = desk.run(&["missing"]);
    assert!(!output.status.success());
    assert!(
        text(&output.stdout).contains("sysdig ended with 1"),
        "{output:?}"
    );
}

#[test]
fn the_server_of_the_sample_stays_where_it_is_to() {
    let Some(desk) = Desk::new("run-sample") else {
        return;
    };
    // Cargo builds examples beside tests.
    let tests = env::current_exe().unwrap();
    let server = tests.parent().unwrap().join("../examples/sample");
    if !server.exists() {
        needs::skip("cargo build --package harness --example sample makes the server");
        return;
    }
    symlink(server, desk.folder.join("target/release/examples/sample")).unwrap();
    // Of a server that is gone, there are no credentials.
    let shown = text(&desk.run(&[]).stdout);
    assert_eq!(events(&shown).len(), 613, "{shown}");
    assert!(
        !shown.contains("AWS_") && shown.contains("scripts/run --keep"),
        "{shown}"
    );

    let mut running = desk
        .command(SCRIPT)
        .arg("--keep")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = String::new();
    for line in BufReader::new(running.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        shown += &format!("{line}\n");
        if line.contains("until you press Enter") {
            let command = printed(&shown);
            let output = desk
                .command("bash")
                .args(["-c", &command])
                .output()
                .unwrap();
            assert_eq!(events(&text(&output.stdout)), events(&shown));
            running.stdin.take().unwrap().write_all(b"\n").unwrap();
        }
    }
    assert!(running.wait().unwrap().success());
    assert!(running_servers(&desk.folder).is_empty());
}

/// The servers that were started from this folder.
fn running_servers(folder: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let commands =
        processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    let programs =
        commands.map(|command| PathBuf::from(command.split('\0').next().unwrap_or_default()));
    programs
        .filter(|program| program.starts_with(folder) && program.ends_with("sample"))
        .collect()
}
