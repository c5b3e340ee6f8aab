//! Every command of `docs/recipes.md`, on the sample trail, gives what the page shows.
//! `UPDATE_RECIPES=1 cargo test --test recipes` writes that anew.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use harness::hosts::{Hosts, installed};
use harness::{sample, trail};

#[test]
fn recipes_give_what_they_show() {
    let (Some(hosts), Some(run), Some(python)) = (
        Hosts::new("recipes"),
        installed("hosts/run", "scripts/hosts"),
        installed("python/run", "scripts/python-tools"),
    ) else {
        return;
    };
    // The programs as a user has them installed.
    let bin = hosts.folder.join("bin");
    let run = run.display();
    for (name, command) in [
        ("sysdig", format!("{run} sysdig")),
        ("strato", format!("{run} strato")),
        ("duckdb", format!("{} -m duckdb_cli", python.display())),
    ] {
        let script = format!("#!/bin/bash\nexec {command} \"$@\"\n");
        let file = trail::write(&bin.join(name), script.as_bytes());
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let logs = hosts.folder.join("logs");
    for file in sample::files() {
        file.write(&logs);
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut parts = page.split("```sh\n");
    let mut current = parts.next().unwrap().to_owned();
    let mut commands = 0;
    for part in parts {
        let (command, rest) = part.split_once("```\n").unwrap();
        let here = command.replace("s3://my-bucket/AWSLogs/", &logs.display().to_string());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &here])
            .current_dir(&hosts.folder)
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:/usr/sbin:/usr/bin:/sbin:/bin:{}",
                    bin.display(),
                    env::var("PATH").unwrap()
                ),
            )
            .env("SYSDIG_PLUGIN_DIR", hosts.plugin.parent().unwrap())
            .env("HOME", &hosts.folder)
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        // 141: `head` has seen enough.
        assert!(
            output.status.success() || output.status.code() == Some(141),
            "{here}\n{errors}"
        );
        let shown = String::from_utf8(output.stdout).unwrap();
        // What the page shows is behind the command.
        let rest = match rest.strip_prefix("\n```text\n") {
            Some(rest) => rest.split_once("```\n").unwrap().1,
            None => rest,
        };
        current += &format!("```sh\n{command}```\n");
        if !shown.is_empty() {
            current += &format!("\n```text\n{shown}```\n");
        }
        current += rest;
        commands += 1;
    }
    if env::var_os("UPDATE_RECIPES").is_some() {
        fs::write(&path, &current).unwrap();
    } else {
        assert_eq!(page, current, "UPDATE_RECIPES=1 cargo test --test recipes");
    }
    assert!(commands > 10, "{commands}");
    let rows = fs::read_to_string(hosts.folder.join("events.csv"))
        .unwrap()
        .lines()
        .count();
    let events: usize = sample::files().iter().map(|file| file.records.len()).sum();
    assert_eq!(rows, events + 1);
    assert!(
        fs::read(hosts.folder.join("events.parquet"))
            .unwrap()
            .starts_with(b"PAR1")
    );
}
