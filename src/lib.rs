//! The Falco plugin `cloudtrail`: reads AWS CloudTrail log files from S3, as they are there or as an SQS queue tells of
//! them, a folder or a file, for Stratoshark, Falco, sysdig and falcodump.
//!
//! Log files flow one way:
//! ```text
//! open params ─ location ─▶ source ─▶ pipeline (fetch, decode) ─▶ instance ─▶ host
//! payload ─▶ record (a lazy view) ─▶ fields
//! ```
#![deny(missing_docs)]

mod aws;
pub mod config;
mod decode;
mod event;
mod exports;
pub mod fields;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod host_log;
mod instance;
mod integrity;
mod json;
mod ledger;
mod location;
mod pipeline;
mod platform;
mod plugin;
mod process;
mod record;
mod redact;
mod simd;
mod source;
mod trail;

pub use instance::Instance;
pub use plugin::CloudTrail;
