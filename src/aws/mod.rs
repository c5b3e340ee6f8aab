//! Everything that speaks to AWS, and the only room that names its SDK: clients with the credentials of the day, requests
//! that are tried again where that helps, and errors in words of users.

mod access;
mod chain;
pub(crate) mod cloudtrail;
mod credentials;
mod endpoint;
mod error;
mod files;
mod http;
mod ini;
pub(crate) mod logs;
#[cfg(test)]
pub(crate) mod memory;
mod operation;
mod providers;
mod proxies;
mod retry;
pub(crate) mod s3;
mod sdk_error;
mod sessions;
pub(crate) mod sqs;

pub(crate) use endpoint::store_url;
pub(crate) use error::{Error, Kind};
pub(crate) use sessions::{Environment, Login};
