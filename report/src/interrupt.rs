//! Ctrl-C: while nothing has been read, it ends the program; then the reading; and a second one the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What the shell calls a program that Ctrl-C has ended.
pub const INTERRUPTED: u8 = 130;

/// What it does.
pub struct Interrupt {
    ends_program: Arc<AtomicBool>,
    ends_reading: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on it ends the program.
    pub fn new() -> Result<Self> {
        let interrupt = Self {
            ends_program: Arc::new(AtomicBool::new(true)),
            ends_reading: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM] {
            let program = || Arc::clone(&interrupt.ends_program);
            flag::register_conditional_shutdown(signal, INTERRUPTED.into(), program())
                .and_then(|_| flag::register(signal, program()))
                .and_then(|_| flag::register(signal, Arc::clone(&interrupt.ends_reading)))
                .context("preparing for Ctrl-C")?;
        }
        Ok(interrupt)
    }

    /// From now on the first one ends the reading.
    pub fn spare_program(&self) {
        self.ends_program.store(false, Ordering::Relaxed);
    }

    /// Whether the reading is to end.
    pub fn ends_reading(&self) -> bool {
        self.ends_reading.load(Ordering::Relaxed)
    }
}
