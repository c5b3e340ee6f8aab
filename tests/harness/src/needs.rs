//! What a test needs besides this repository. Where it is missing the test is skipped, with a line that says so, and
//! fails where it is required, so that nothing is left out unseen of what a change must pass.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

/// Where this is; nothing where it is missing, unless the environment variable `required` is set. `remedy` says how to
/// get it.
pub(crate) fn needed(path: &Path, remedy: &str, required: &str) -> Option<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Some(found);
    }
    let missing = format!("{} is missing: {remedy}", path.display());
    assert!(
        env::var_os(required).is_none(),
        "{missing} ({required} is set)"
    );
    skip(&missing);
    None
}

/// Says that the test that runs on this thread is skipped.
pub fn skip(why: &str) {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    // Not by `eprintln!`, of which `cargo test` shows only what failing tests say.
    _ = writeln!(io::stderr(), "skipped: {test}: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Output};

    const REQUIRED: &str = "HARNESS_NEEDED_REQUIRED";

    #[test]
    #[ignore = "not a test: what those below start"]
    fn child() {
        let there = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(needed(there, "", REQUIRED).is_some());
        if needed(&there.join("nowhere"), "make it", REQUIRED).is_some() {
            panic!("it is nowhere");
        }
    }

    /// Runs `child`, whose output Cargo would capture.
    fn run(required: bool) -> Output {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["needs::tests::child", "--exact", "--ignored"]);
        command.env_remove(REQUIRED);
        if required {
            command.env(REQUIRED, "1");
        }
        command.output().unwrap()
    }

    #[test]
    fn a_test_is_skipped_with_a_line_that_everybody_sees() {
        let output = run(false);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.starts_with("skipped: needs::tests::child: "), "{said}");
        assert!(said.ends_with("nowhere is missing: make it\n"), "{said}");
    }

    #[test]
    fn a_test_fails_where_what_it_needs_is_required() {
        let output = run(true);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("nowhere is missing: make it"), "{said}");
    }
}
