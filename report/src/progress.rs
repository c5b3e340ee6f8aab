//! What the terminal shows while events are read.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a terminal shows new numbers, and how often a log does.
const TERMINAL: Duration = Duration::from_millis(250);
const LOG: Duration = Duration::from_secs(5);

/// One line, which a terminal shows in place of the one before.
pub struct Progress {
    is_terminal: bool,
    shown: Option<Instant>,
    width: usize,
}

impl Progress {
    /// On standard error.
    pub fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: None,
            width: 0,
        }
    }

    /// Whether it is time for new numbers, which it is at first.
    pub fn is_due(&self) -> bool {
        let pause = if self.is_terminal { TERMINAL } else { LOG };
        self.shown.is_none_or(|shown| shown.elapsed() >= pause)
    }

    /// Shows numbers.
    pub fn show(&mut self, line: &str) {
        self.shown = Some(Instant::now());
        self.say(line);
    }

    /// Shows what is going on before there are any.
    pub fn say(&mut self, line: &str) {
        if self.is_terminal {
            // The cursor goes back to the beginning, so that what the plugin says stands on a line of its own.
            let width = self.width;
            _ = write!(io::stderr(), "report: {line:width$}\r");
            self.width = line.chars().count();
            _ = io::stderr().flush();
        } else {
            tell(line);
        }
    }

    /// Leaves the line to what comes next.
    pub fn end(&mut self) {
        if self.is_terminal && self.width > 0 {
            let width = self.width + "report: ".len();
            _ = write!(io::stderr(), "{:width$}\r", "");
        }
    }
}

/// A line on standard error, which nobody has to read.
pub fn tell(line: &str) {
    _ = writeln!(io::stderr(), "report: {line}");
}

/// 1234567 events as 1,234,567 events.
pub fn events(number: u64) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} event{plural}", grouped(number))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 1, 999, 1000, 1_234_567].map(events);
        let words = [
            "0 events",
            "1 event",
            "999 events",
            "1,000 events",
            "1,234,567 events",
        ];
        assert_eq!(all, words);
    }
}
