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
mod budget;
mod cache;
mod clock;
mod concurrency;
mod decode;
pub mod fields;
pub mod filter;
mod formats;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod geo;
mod host;
mod integrity;
mod json;
mod log_file;
mod pipeline;
mod process;
mod recent;
mod record;
pub mod settings;
mod source;
mod state;
mod stats;
mod trail;

pub use host::{CloudTrail, Extractor, Instance};
pub use record::nanoseconds;
