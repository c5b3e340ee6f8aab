//! Every command of `docs/recipes.md`, on the sample trail, gives what the page shows, and works on a trail that has none
//! of what S3's events have. `UPDATE_RECIPES=1 cargo test --test recipes` writes the page anew.
#![cfg(target_os = "linux")]

#[path = "recipes/elasticsearch.rs"]
mod elasticsearch;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use harness::host::Library;
use harness::hosts::{Hosts, installed};
use harness::sample;
use harness::trail::{self, LogFile};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with log files and, as a user has them installed, the programs.
struct Desk {
    hosts: Hosts,
    elasticsearch: String,
}

impl Desk {
    fn new(test: &str, files: &[LogFile]) -> Option<Self> {
        let (Some(hosts), Some(run), Some(python), Some(_)) = (
            Hosts::new(test),
            installed("hosts/run", "scripts/hosts"),
            installed("python/run", "scripts/python-tools"),
            installed("/usr/bin/curl", "apt-get install curl"),
        ) else {
            return None;
        };
        let run = run.display();
        let mut programs = vec![("duckdb", format!("{} -m duckdb_cli", python.display()))];
        for name in ["sysdig", "strato", "editcap", "mergecap"] {
            programs.push((name, format!("{run} {name}")));
        }
        for (name, command) in programs {
            let script = format!("#!/bin/bash\nexec {command} \"$@\"\n");
            let file = trail::write(&hosts.folder.join("bin").join(name), script.as_bytes());
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for file in files {
            file.write(&hosts.folder.join("logs"));
        }
        let configurations = Path::new(ROOT).join("plugin-config");
        symlink(configurations, hosts.folder.join("plugin-config")).unwrap();
        Some(Self {
            hosts,
            elasticsearch: elasticsearch::serve(),
        })
    }

    /// What a command of the page prints here.
    fn run(&self, command: &str) -> String {
        let folder = &self.hosts.folder;
        let here = command
            .replace(
                "s3://my-bucket/AWSLogs/",
                folder.join("logs").to_str().unwrap(),
            )
            .replace("http://localhost:9200", &self.elasticsearch);
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin:{}",
            folder.join("bin").display(),
            env::var("PATH").unwrap()
        );
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &here])
            .current_dir(folder)
            .env_clear()
            .env("PATH", path)
            .env("SYSDIG_PLUGIN_DIR", self.hosts.plugin.parent().unwrap())
            .env("HOME", folder)
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
        String::from_utf8(output.stdout).unwrap()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.hosts.folder.join(name)).unwrap()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8(self.file(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn page() -> (PathBuf, String) {
    let path = Path::new(ROOT).join("docs/recipes.md");
    let page = fs::read_to_string(&path).unwrap();
    (path, page)
}

/// The page with what its commands print now.
fn rewritten(page: &str, mut run: impl FnMut(&str) -> String) -> String {
    let mut parts = page.split("```sh\n");
    let mut current = parts.next().unwrap().to_owned();
    for part in parts {
        let (command, rest) = part.split_once("```\n").unwrap();
        let shown = run(command);
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
    }
    current
}

/// What must be so of any trail.
fn check(desk: &Desk, files: &[LogFile]) {
    let events: usize = files.iter().map(|file| file.records.len()).sum();
    assert_eq!(desk.lines("events.csv").len(), events + 1);
    assert_eq!(desk.lines("timesketch.csv").len(), events + 1);
    assert!(desk.file("events.parquet").starts_with(b"PAR1"));
    // What was hidden is nowhere in the file.
    let holds =
        |file: &str, text: &str| memchr::memmem::find(&desk.file(file), text.as_bytes()).is_some();
    for secret in ["AKIAI44QH8DHBEXAMPLE", "203.0.113.66"] {
        assert!(holds("trail.scap", secret) && !holds("shared.scap", secret));
    }
    // No cell is a formula, with whichever separator it is read.
    for line in desk.lines("changes.csv") {
        for cell in line.split([',', ';']) {
            let text = cell.trim_start_matches([' ', '"']);
            assert!(!text.starts_with(['=', '+', '-', '@']), "{line}");
        }
    }
}

#[test]
fn recipes_give_what_they_show() {
    let files = sample::files();
    let Some(desk) = Desk::new("recipes", &files) else {
        return;
    };
    let (path, page) = page();
    let current = rewritten(&page, |command| desk.run(command));
    if env::var_os("UPDATE_RECIPES").is_some() {
        fs::write(&path, &current).unwrap();
    } else {
        assert_eq!(page, current, "UPDATE_RECIPES=1 cargo test --test recipes");
    }
    check(&desk, &files);
}

#[test]
fn recipes_work_without_s3_events() {
    // Account IDs that a number would shorten, and a caller who means ill.
    let mut files = sample::files();
    for file in &mut files {
        file.records
            .retain(|record| !record.json.contains("\"eventSource\":\"s3."));
        for record in &mut file.records {
            record.json = record.json.replace("111122223333", "012345678901").replace(
                "\"aws-cli/2.15\"",
                r#""=cmd|' /C calc'!A1;+1,@SUM(1) \"-2""#,
            );
        }
    }
    let Some(desk) = Desk::new("recipes-without-s3", &files) else {
        return;
    };
    let mut shown = String::new();
    let (_, page) = page();
    rewritten(&page, |command| {
        let text = desk.run(command);
        shown += &text;
        text
    });
    check(&desk, &files);
    for line in [
        "012345678901,mallory,5,2,NULL\n",
        "012345678901,deploy,",
        " 012345678901 root 203.0.113.66\n",
        "\"errors\":false\n",
        " values redacted\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(desk.lines("changes.csv")[1].contains("\"'=cmd|"));
}

#[test]
fn the_template_has_the_types_of_stratoshark() {
    let Some(hosts) = Hosts::new("elasticsearch") else {
        return;
    };
    let template = Path::new(ROOT).join("plugin-config/elasticsearch/template.json");
    let template: Value = serde_json::from_slice(&fs::read(template).unwrap()).unwrap();
    let ours: BTreeMap<String, String> = elasticsearch::types_of(&template)
        .into_iter()
        .filter_map(|(path, kind)| {
            let name = path.strip_prefix("layers.cloudtrail.")?;
            (name.starts_with("falcoevents_") && kind != "text").then(|| (name.to_owned(), kind))
        })
        .collect();
    let mapping = hosts.stdout(&[
        "strato",
        "-G",
        "elastic-mapping",
        "--elastic-mapping-filter",
        "falcoevents",
    ]);
    let mapping: Value = serde_json::from_str(&mapping).unwrap();
    let theirs = &mapping["mappings"]["properties"]["layers"]["properties"]["falcoevents"];
    let theirs = theirs["properties"].as_object().unwrap();
    let library = Library::load().unwrap();
    let of_plugin = |name: &str| {
        let mut fields = library.field_names().into_iter();
        fields.any(|field| name.starts_with(&format!("falcoevents_{}", field.replace('.', "_"))))
    };
    let theirs: BTreeMap<String, String> = theirs
        .iter()
        .filter(|(name, field)| field["type"] != "keyword" && of_plugin(name))
        // Elasticsearch has no type with a space in its name.
        .map(|(name, field)| {
            let kind = field["type"].as_str().unwrap();
            (
                name.clone(),
                kind.trim_start_matches("unsigned ").to_owned(),
            )
        })
        .collect();
    assert_eq!(ours, theirs);
    assert!(theirs.len() > 5, "{theirs:?}");
}
