//! Databases of addresses, which a public writer makes: `scripts/python-tools` installs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::hosts::installed;

/// AWS's addresses, in the form of its file.
const RANGES: &str = r#"{"syncToken":"1","createDate":"2026-11-24-10-11-12","prefixes":[
    {"ip_prefix":"203.0.113.0/24","region":"us-east-1","service":"AMAZON","network_border_group":"us-east-1"},
    {"ip_prefix":"203.0.113.0/24","region":"us-east-1","service":"EC2","network_border_group":"us-east-1"}],
    "ipv6_prefixes":[
    {"ipv6_prefix":"2001:db8:9e2::/48","region":"us-east-1","service":"EC2","network_border_group":"us-east-1"}]}"#;

/// A folder with databases in the layouts of their makers, and `ip-ranges.json`.
pub struct Databases {
    folder: TempDir,
    python: PathBuf,
}

impl Databases {
    /// Makes them; nothing where their writer is missing and not required.
    pub fn make() -> Option<Self> {
        let python = installed("python/run", "scripts/python-tools")?;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ip-ranges.json"), RANGES).unwrap();
        let made = Self { folder, python };
        made.write(made.folder.path(), &[]);
        Some(made)
    }

    /// Makes them in another folder; arguments as `tests/geo/make.py` says.
    pub fn write(&self, folder: &Path, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../geo/make.py");
        let output = Command::new(&self.python)
            .arg(script)
            .arg(folder)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What `geoDatabases` is for these.
    pub fn of(&self, names: &[&str]) -> String {
        let paths = names.iter().map(|name| self.path(&format!("{name}.mmdb")));
        paths.collect::<Vec<_>>().join(", ")
    }
}
