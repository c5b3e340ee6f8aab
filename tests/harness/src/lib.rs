//! What the tests of the cloudtrail plugin stand on.
//!
//! - [`host`] loads the built plugin and drives it through the C API, as hosts do; [`rules`] of it reads Falco's rules files.
//! - [`capture`] does so in a process of its own, with an environment of the test's choosing.
//! - [`home`] has the credentials of plugins in the test's own process.
//! - [`aws`] is an AWS on 127.0.0.1: S3 over a folder, with real signature checks, and the
//!   services that credentials come from, SQS ([`sqs`]), the event history ([`history`]), CloudWatch Logs ([`logs`]); [`proxy`] makes it answer by AWS's own host names.
//! - [`faulty`] is an S3 and SQS whose answers go wrong as a test says.
//! - [`moto`] is somebody else's AWS, with S3, SNS, SQS and EventBridge wired up.
//! - [`others`] are stores of other people's making: rclone's server and SeaweedFS.
//! - [`platform`] runs the builds for Windows and arm64.
//! - [`hosts`] runs the programs of `target/hosts`: sysdig, falcodump, strato.
//! - [`trail`] makes trails, from a seed.
//! - [`forms`] wraps records up, in all the ways in which they come.
//! - [`digest`] signs them, as CloudTrail does.
//! - [`sample`] is the trail that `scripts/run` shows.
//! - [`shared`] reads the samples beside the repository.
//! - [`needs`] skips tests where what they need is missing.

#![deny(missing_docs)]

pub mod aws;
pub mod capture;
pub mod digest;
pub mod fast_s3;
pub mod faulty;
mod filter_pattern;
pub mod forms;
pub mod geo;
pub mod history;
pub mod home;
pub mod hosts;
mod list;
pub mod logs;
pub mod moto;
pub mod needs;
pub mod others;
pub mod platform;
pub mod proxy;
pub mod sample;
mod server;
pub mod shared;
pub mod sqs;
pub mod tls;
pub mod trail;

use std::{
    thread,
    time::{Duration, Instant},
};

pub use host::{self, rules};

/// Waits for what comes soon, and panics where it doesn't.
pub fn until(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < host::LIMIT, "there is not: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What Linux tells of this process's memory, in MiB: `VmRSS:` now, `VmHWM:` at most; 0 elsewhere.
pub fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
