//! `scripts/install`: what it puts into a home, and that `--remove` takes just that away.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::hosts::{Hosts, built};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install");
const LISTS: &str = ".local/lib/stratoshark/plugins/cloudtrail-lists.lua";
const LIBRARY: &str = ".local/lib/stratoshark/plugins/falco/libcloudtrail.so";
const PROFILE: &str = ".config/stratoshark/profiles/CloudTrail Analysis";

/// What is in a home: each file's content, and each folder.
fn content(home: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    walkdir::WalkDir::new(home)
        .into_iter()
        .map(Result::unwrap)
        .map(|entry| {
            let name = entry.path().strip_prefix(home).unwrap();
            let file = entry.file_type().is_file();
            let text = file.then(|| fs::read(entry.path()).unwrap());
            (name.to_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// Where Stratoshark and Debian's falcodump are installed, in an empty home.
fn home(test: &str) -> Option<Hosts> {
    let hosts = Hosts::new(test)?;
    fs::remove_dir_all(hosts.folder.join(".local")).unwrap();
    Some(hosts)
}

fn install(hosts: &Hosts, argument: &str) -> String {
    hosts.stdout(&["bash", SCRIPT, argument])
}

#[test]
fn what_was_installed_is_removed() {
    let Some(hosts) = home("remove") else {
        return;
    };
    let library = built();
    for before in ["", "export EDITOR=vi\n"] {
        if !before.is_empty() {
            fs::write(hosts.folder.join(".profile"), before).unwrap();
            fs::create_dir_all(hosts.folder.join(".local/lib/others")).unwrap();
        }
        let was = content(&hosts.folder);
        for _ in 0..2 {
            install(&hosts, library.to_str().unwrap());
        }
        assert!(content(&hosts.folder).len() > was.len() + 10);
        let said = install(&hosts, "--remove");
        assert!(content(&hosts.folder) == was, "{said}");
        for name in [LISTS, LIBRARY, PROFILE, "extcap/falcodump", ".profile"] {
            assert!(said.contains(name), "{name}: {said}");
        }
        assert!(!said.contains("Left"), "{said}");
    }
    // There is nothing any more.
    let output = hosts.output(&["bash", SCRIPT, "--remove"]);
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn what_was_changed_stays() {
    let Some(hosts) = home("remove-changed") else {
        return;
    };
    install(&hosts, built().to_str().unwrap());
    let preferences = format!("{PROFILE}/preferences");
    let own = format!("{PROFILE}/colorfilters_mine");
    let append = |name: &str, text: &str| {
        let file = hosts.folder.join(name);
        let was = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, was + text).unwrap();
    };
    append(LISTS, "-- mine\n");
    append(
        &preferences,
        "# What Stratoshark writes.\n#gui.x: 1\n\ngui.font: Mono\n",
    );
    append(&own, "mine\n");
    // As Stratoshark writes it.
    append(&format!("{PROFILE}/recent"), "gui.geometry_main_x: 20\n");
    fs::write(
        hosts.folder.join(".profile"),
        "export SYSDIG_PLUGIN_DIR=/mine\n",
    )
    .unwrap();
    let said = install(&hosts, "--remove");
    let left: Vec<String> = content(&hosts.folder)
        .into_iter()
        .filter_map(|(name, text)| text.map(|_| name))
        .collect();
    assert_eq!(left, [&own, &preferences, LISTS, ".profile"], "{said}");
    for name in [LISTS, &preferences, PROFILE, ".profile"] {
        let line = format!("Left {}:", hosts.folder.join(name).display());
        assert!(said.contains(&line), "{line} {said}");
    }
}

#[test]
fn it_says_what_is_missing_before_stratoshark_is_there() {
    let home = tempfile::tempdir().unwrap();
    let run = |argument: &Path| {
        let output = Command::new("bash")
            .arg(SCRIPT)
            .arg(argument)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    if Path::new("/usr/bin/strato").exists() {
        harness::needs::skip("Stratoshark is here");
        return;
    }
    let said = run(&built());
    assert!(said.contains("Stratoshark is not here yet"), "{said}");
    assert!(said.contains("Run this again once it is"), "{said}");
    assert!(home.path().join(LIBRARY).exists());
    run(Path::new("--remove"));
    assert_eq!(content(home.path()).len(), 1);
}
