//! The samples beside the repository, `../shared`. Where they are missing tests skip with a line that says so, save
//! with `CLOUDTRAIL_SHARED_REQUIRED` set, as `.ci/run` does.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;

use crate::needs::needed;

/// Makes what is missing fail tests.
const REQUIRED: &str = "CLOUDTRAIL_SHARED_REQUIRED";

/// A folder of `../shared`; nothing where it is missing and not required.
pub fn folder(name: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let remedy = "the samples lie beside the repository";
    needed(&shared.join(name), remedy, REQUIRED)
}

/// What the official plugin gives for an event, see `golden/README.md`.
#[derive(Debug, Clone, Deserialize)]
pub struct Golden {
    /// First 24 hex digits of the payload's SHA-256.
    pub sha: String,
    /// Length of the payload.
    pub len: usize,
    /// Nanoseconds since the epoch.
    pub ts: u64,
    /// Values by field.
    pub fields: BTreeMap<String, Value>,
    /// Byte ranges by field.
    pub at: BTreeMap<String, (u32, u32)>,
    /// The event as a string.
    pub str: String,
}

/// The events of `golden/NAME.jsonl.gz`.
pub fn golden(name: &str) -> Option<Vec<Golden>> {
    let file = fs::File::open(folder("golden")?.join(format!("{name}.jsonl.gz"))).unwrap();
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// The key by which [`Golden`] knows a payload.
pub fn sha(payload: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(payload)[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// All files below a folder, in the order of their paths.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                all.push(path)
            }
        }
    }
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::process::{Command, Output};

    #[test]
    #[ignore = "not a test: what those below start"]
    fn child() {
        assert_eq!(folder("nowhere"), None);
    }

    /// Runs `child`, in a test program of its own.
    fn run(required: bool) -> Output {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["shared::tests::child", "--exact", "--ignored"]);
        command.env_remove(REQUIRED);
        if required {
            command.env(REQUIRED, "1");
        }
        command.output().unwrap()
    }

    #[test]
    fn what_is_missing_skips_a_test_with_a_line_that_everybody_sees() {
        let output = run(false);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(
            said.starts_with("skipped: shared::tests::child: "),
            "{said}"
        );
        assert!(said.contains("/shared/nowhere is missing"), "{said}");
    }

    #[test]
    fn what_is_missing_and_required_fails_a_test() {
        let output = run(true);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("/shared/nowhere is missing"), "{said}");
    }
}
