//! One bucket as its requests need it: a client for its region with the credentials of the day.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::RequestPayer;
use jiff::Timestamp;

use crate::aws::Access;
use crate::aws::login::Login;
use crate::config;
use crate::ledger::Ledger;

/// Tries of a request, on top of the SDK's own, that fails for reasons that may pass.
pub(in crate::source) const TRIES: u32 = 5;

/// What all requests to a bucket need.
pub(in crate::source) struct Store {
    /// Its name, or what stands for it.
    pub bucket: String,
    /// Who pays, if not the owner.
    pub payer: Option<RequestPayer>,
    pub ledger: Arc<Ledger>,
    /// Tries of a download, as [`TRIES`].
    pub tries: u32,
    /// Downloads fail for reasons that may pass, and that was said.
    pub troubled: AtomicBool,
    login: Arc<Login>,
    session: Mutex<Session>,
}

/// A client with the credentials it was made with.
#[derive(Clone)]
pub(in crate::source) struct Session {
    pub client: Client,
    pub access: Access,
    region: String,
    /// Counts renewals.
    generation: u32,
}

impl Session {
    fn new(login: &Login, region: String) -> Self {
        let (access, generation) = login.current();
        Self {
            client: access.s3(&region),
            access,
            region,
            generation,
        }
    }
}

impl Store {
    pub fn new(
        login: Arc<Login>,
        bucket: String,
        region: String,
        config: &config::Aws,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            bucket,
            payer: config.request_payer.then_some(RequestPayer::Requester),
            ledger,
            tries: TRIES,
            troubled: AtomicBool::new(false),
            session: Mutex::new(Session::new(&login, region)),
            login,
        }
    }

    /// What to ask with now.
    pub fn session(&self) -> Session {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.generation != self.login.generation() {
            *session = Session::new(&self.login, session.region.clone());
        }
        session.clone()
    }

    /// Find credentials anew, where nobody has done so since this session began.
    pub async fn renew(&self, expired: &Session) -> Result<()> {
        self.login.renew(expired.generation).await
    }

    /// Public keys of digests, see [`Access::public_keys`].
    pub async fn public_keys(
        &self,
        region: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.session().access.public_keys(region, from, to).await
    }

    /// Ask in another region from now on. False where that was done already.
    pub fn relocate(&self, asked: &Session, region: &str) -> bool {
        if asked.region == region {
            return false;
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *session = Session::new(&self.login, region.to_owned());
        true
    }
}

/// How long to wait before the next try: longer each time, and never all at once.
pub(in crate::source) fn backoff(tries: u32) -> Duration {
    let longest = 200 * 2u64.pow(tries.min(6));
    Duration::from_millis(fastrand::u64(longest / 2..=longest))
}
