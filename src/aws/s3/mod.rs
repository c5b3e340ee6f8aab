//! Requests to S3. [`Store`] is one bucket as they need it: a client for its region with the credentials of the day.

pub(crate) mod download;
pub(crate) mod page;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::RequestPayer;
use jiff::Timestamp;

use super::sessions::{Login, Sessions};
use crate::settings;
use crate::stats::Stats;

/// Tries of a request, on top of the SDK's own, that fails for reasons that may pass.
pub(crate) const TRIES: u32 = 5;

/// What all requests to a bucket need.
pub(crate) struct Store {
    /// Its name, or what stands for it.
    pub bucket: String,
    /// Who pays, if not the owner.
    pub payer: Option<RequestPayer>,
    pub stats: Arc<Stats>,
    /// Tries of a download, as [`TRIES`].
    pub tries: u32,
    /// Downloads fail for reasons that may pass, and that was said.
    pub troubled: AtomicBool,
    pub sessions: Sessions<Client>,
}

impl Store {
    pub fn new(
        login: Arc<Login>,
        bucket: String,
        region: String,
        settings: &settings::Aws,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            bucket,
            payer: settings.request_payer.then_some(RequestPayer::Requester),
            stats,
            tries: TRIES,
            troubled: AtomicBool::new(false),
            sessions: Sessions::new(login, &region, |access, region| access.s3(region)),
        }
    }

    /// Public keys of digests, see [`crate::aws::Access::public_keys`].
    pub async fn public_keys(
        &self,
        region: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.sessions
            .current()
            .access
            .public_keys(region, from, to)
            .await
    }
}

/// How long to wait before the next try: longer each time, and never all at once.
pub(crate) fn backoff(tries: u32) -> Duration {
    let longest = 200 * 2u64.pow(tries.min(6));
    Duration::from_millis(fastrand::u64(longest / 2..=longest))
}
