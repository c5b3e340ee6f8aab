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
