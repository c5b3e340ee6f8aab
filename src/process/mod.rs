//! Manners inside somebody else's process.

pub(crate) mod platform;

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Say a line to the user on standard error, the only place that falcodump and Stratoshark show at the end of a
/// capture.
pub(crate) fn say(line: &str) {
    platform::write_stderr(format!("cloudtrail: {}\n", one_line(line)));
}

/// A text as one line: names of files and keys, which others choose, may hold ends of lines, that would make more lines of it.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n")
}

/// A text with its control characters escaped, but for ends of lines: NUL ends a text for hosts, and others steer terminals.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\0' => printable.push_str("\\0"),
            char if char.is_control() && char != '\n' => printable.extend(char.escape_default()),
            char => printable.push(char),
        }
    }
    printable
}

/// Say an error that comes in the middle or at the end of a capture, where the host shows none: in falcodump 4.6.9, and so
/// in Stratoshark.
pub(crate) fn say_error(line: &str) {
    let program = env::current_exe().unwrap_or_default();
    if !program
        .file_stem()
        .is_some_and(|name| name == "sysdig" || name == "falco")
    {
        say(line);
    }
}

/// Lock; what panicked while it held the lock was said elsewhere, and what it left is sound: no change of ours is half
/// done where a panic can come.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Run `work`; a panic in it becomes an error that carries the panic's message.
pub(crate) fn guard<T>(doing: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    quiet_panics();
    let work = || {
        #[cfg(test)]
        poisoned(doing);
        work()
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(doing, &*panic)))
}

/// The error that a panic becomes.
pub(crate) fn panicked(doing: &str, panic: &(dyn Any + Send)) -> anyhow::Error {
    anyhow::anyhow!("internal error while {doing}: {}", panic_text(panic))
}

#[cfg(test)]
thread_local! {
    static POISON: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// Let the next guarded work of this name on this thread panic, once. The poison before must have been taken.
#[cfg(test)]
pub(crate) fn poison(doing: &str) {
    let before = POISON.replace(Some(doing.to_owned()));
    assert_eq!(before, None, "nobody took it");
}

#[cfg(test)]
pub(crate) fn poisoned(doing: &str) {
    let mine = POISON.with_borrow_mut(|poison| poison.take_if(|poison| poison == doing));
    if mine.is_some() {
        panic!("poison");
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Keep the default hook of this library's own copy of std from writing to the host's standard error; [`guard`]
/// reports the panic instead.
pub(crate) fn quiet_panics() {
    static ONCE: Once = Once::new();
    // Tests want to see theirs.
    if !cfg!(test) {
        ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let error = guard("testing", || -> anyhow::Result<()> {
            panic!("at {}", "sea")
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "internal error while testing: at sea");
    }
}
