//! Requests to S3, and to stores with the same API.

mod direct;
mod download;
mod list;
pub(crate) mod page;
mod signature;

pub(crate) use download::Fetched;
pub(crate) use list::{From, Query};

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::RequestPayer;
use futures_util::future::join_all;
use tokio::sync::{OnceCell, Semaphore};

use self::direct::Direct;
use super::access::{ANYWHERE, Access};
use super::error::Error;
use super::operation::{Operation, Service};
use super::retry::{Policy, Trouble};
use super::sdk_error::{status, told_region};
use super::sessions::{Login, Sessions};
use crate::settings;
use crate::settings::partitions::PARTITIONS;
use crate::stats::Stats;

/// Listing requests in flight.
const LISTS: usize = 96;

/// How the objects of a followed bucket are tried again: for about an hour. Nobody would read the log file later, but
/// trying without end would hold up all log files behind it.
const FOLLOWED: Policy = Policy {
    tries: Some(300),
    ..Policy::LIVE
};
/// The same for objects that a queue names: for some seconds, since the message comes again.
const QUEUED: Policy = Policy {
    tries: Policy::ONCE.tries,
    ..Policy::LIVE
};

/// Who names the objects of a bucket, which decides how patiently they are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Use {
    /// The objects that are there are read once.
    Once,
    /// Objects that come later are read, too.
    Followed,
    /// A queue's messages name them.
    Queued,
}

/// One bucket, as its requests need it.
pub(crate) struct BucketClient {
    /// Its name, or the alias or ARN that stands for it.
    pub name: String,
    /// Who pays, if not the owner.
    payer: Option<RequestPayer>,
    /// Listings tell ETags.
    etags: bool,
    sessions: Sessions<Clients>,
    /// For listings.
    listing: Policy,
    /// For objects.
    reading: Policy,
    lists: Semaphore,
    list_trouble: Trouble,
    read_trouble: Trouble,
    /// The store says that keys are percent-encoded, but they aren't. Empty as long as no key has shown a difference.
    keys_are_raw: OnceCell<bool>,
    /// How many objects of a folder S3 has refused as archived.
    archived: Mutex<HashMap<String, u32>>,
    stats: Arc<Stats>,
}

/// What sends the requests of a session.
struct Clients {
    sdk: Client,
    direct: Direct,
}

impl BucketClient {
    /// A client for the bucket of this name. If its region is not known, any is asked, and S3 says which it is.
    pub fn new(
        login: &Arc<Login>,
        name: &str,
        region: Option<&str>,
        settings: &settings::Aws,
        used: Use,
        stats: &Arc<Stats>,
    ) -> Self {
        let (listing, reading) = match used {
            Use::Once => (Policy::ONCE, Policy::ONCE),
            Use::Followed => (Policy::LIVE, FOLLOWED),
            Use::Queued => (Policy::ONCE, QUEUED),
        };
        let bucket = name.to_owned();
        let connect = move |access: &Access, region: &str| Clients {
            sdk: access.s3(region),
            direct: Direct::new(access, &bucket),
        };
        Self {
            name: name.to_owned(),
            payer: settings.request_payer.then_some(RequestPayer::Requester),
            etags: false,
            sessions: Sessions::new(Arc::clone(login), region.unwrap_or(ANYWHERE), connect),
            listing,
            reading,
            lists: Semaphore::new(LISTS),
            list_trouble: Trouble::new(stats),
            read_trouble: Trouble::new(stats),
            keys_are_raw: OnceCell::new(),
            archived: Mutex::default(),
            stats: Arc::clone(stats),
        }
    }

    /// Have listings tell ETags, which take memory.
    pub fn with_etags(self) -> Self {
        Self {
            etags: true,
            ..self
        }
    }

    /// Who is asked in the place of AWS: a URL.
    pub fn store(&self) -> Option<String> {
        let access = &self.sessions.current().access;
        let endpoint = access.endpoint(Service::S3)?;
        Some(endpoint.url.clone())
    }

    /// The `s3://` URL of a key or prefix.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// What users call the credentials in use.
    pub fn who(&self) -> String {
        self.sessions.current().access.who()
    }
}

/// The region of a bucket: the one of the settings, or else what S3 says. Each partition on the internet is asked, since a
/// bucket's name is known only in its own. None if S3 doesn't say, as for buckets that don't exist, and for other stores.
pub(crate) async fn find_region(login: &Login, bucket: &str) -> Result<Option<String>, Error> {
    let (access, _) = login.current();
    if access.region().is_some() || access.endpoint(Service::S3).is_some() {
        return Ok(access.region());
    }
    if let Some(region) = region_in(&access, bucket, ANYWHERE).await? {
        return Ok(Some(region));
    }
    let others = PARTITIONS.iter().filter(|partition| partition.is_public);
    let others = others.map(|partition| partition.regions[0]);
    let asked = others
        .filter(|region| *region != ANYWHERE)
        .map(|region| region_in(&access, bucket, region));
    // A network may reach only one's own partition.
    let found = join_all(asked).await.into_iter().flatten();
    Ok(found.flatten().next())
}

/// The region of a bucket, if it is in the same partition as the region that is `asked`.
async fn region_in(access: &Access, bucket: &str, asked: &str) -> Result<Option<String>, Error> {
    let request = access.s3(asked).head_bucket().bucket(bucket);
    match request.send().await {
        Ok(output) => Ok(Some(output.bucket_region().unwrap_or(asked).to_owned())),
        Err(error) => match told_region(&error) {
            Some(region) => Ok(Some(region)),
            None if status(&error).is_some() => Ok(None),
            None => {
                let url = format!("s3://{bucket}");
                Err(Error::of(access, Operation::FindBucket, &url, &error))
            }
        },
    }
}
