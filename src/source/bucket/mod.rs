//! Log files in an S3 bucket.
//!
//! Accounts, kinds and regions are found with delimiter listings, side by side ([`discover`]); each region then has
//! one listing of its own, whose keys sort by time, and these are merged ([`merge`]). No list of all keys is held.

mod discover;
mod merge;
pub(super) mod object;
pub(super) mod store;

use std::sync::Arc;

use anyhow::{Error, Result, bail};
use aws_sdk_s3::types::{self, CommonPrefix, EncodingType, ObjectStorageClass};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{LogFile, Source, Wanted};
use crate::aws::login::Login;
use crate::aws::{self, Access};
use crate::config::Config;
use crate::ledger::{Ledger, count};
use crate::location::BucketLocation;
use crate::trail;
use discover::Listings;
use merge::Merge;
use object::Object;
use store::{Session, Store, TRIES, backoff};

/// Listing requests in flight.
const CONCURRENT_LISTS: usize = 48;

/// What all listings of a bucket need.
struct Bucket {
    store: Arc<Store>,
    location: BucketLocation,
    wanted: Wanted,
    ledger: Arc<Ledger>,
    lists: Semaphore,
}

/// A page of a listing.
struct Page {
    objects: Vec<Listed>,
    /// Folders, where the listing has a delimiter.
    folders: Vec<String>,
    /// Where the next page goes on, if there is one.
    next: Option<String>,
}

/// An object in a listing.
struct Listed {
    key: String,
    /// In bytes.
    size: u64,
    modified: Option<Timestamp>,
    /// In a storage class that has to be restored before it can be read.
    archived: bool,
}

/// What to list.
#[derive(Debug, Clone, Default)]
struct Query {
    prefix: String,
    delimiter: bool,
    start_after: Option<String>,
    token: Option<String>,
}

/// The log files of a bucket in order of delivery.
pub(super) struct BucketSource {
    bucket: Arc<Bucket>,
    listings: Listings,
    merge: Option<Merge>,
}

/// Find out where the bucket is and whether there is anything under the prefix.
pub(super) async fn open(
    location: BucketLocation,
    wanted: Wanted,
    config: &Config,
    ledger: Arc<Ledger>,
) -> Result<BucketSource> {
    let login = Arc::new(Login::load(&config.aws).await?);
    let (access, _) = login.current();
    let mut region = match location.region.clone().or_else(|| access.region()) {
        Some(region) => Some(region),
        None => access.bucket_region(&location.bucket).await?,
    };
    let first = Query {
        prefix: location.prefix.clone(),
        delimiter: true,
        ..Query::default()
    };
    let mut followed = false;
    let (bucket, page) = loop {
        let store = Store::new(
            Arc::clone(&login),
            location.bucket.clone(),
            region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            &config.aws,
            Arc::clone(&ledger),
        );
        let bucket = Bucket {
            store: Arc::new(store),
            location: location.clone(),
            wanted: wanted.clone(),
            ledger: Arc::clone(&ledger),
            lists: Semaphore::new(CONCURRENT_LISTS),
        };
        match bucket.try_list(&bucket.store.session(), &first).await {
            Ok(page) => break (bucket, page),
            Err(error) => {
                // In another region than configured: S3 says which.
                let told = aws::told_region(&error)
                    .filter(|told| Some(told) != region.as_ref() && !followed);
                if told.is_none() {
                    return Err(bucket.listing_failed(&access, &error, &first.prefix));
                }
                region = told;
                followed = true;
            }
        }
    };
    if page.objects.is_empty() && page.folders.is_empty() && page.next.is_none() {
        let url = location.url(&location.prefix);
        bail!(
            "there is nothing under {url}: check the prefix, which is case-sensitive (with {})",
            access.who()
        );
    }
    let bucket = Arc::new(bucket);
    let listings = discover::start(Arc::clone(&bucket), page);
    Ok(BucketSource {
        bucket,
        listings,
        merge: None,
    })
}

impl Source for BucketSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            loop {
                if let Some(merge) = &mut self.merge
                    && let Some(object) = merge.next().await?
                {
                    self.bucket.ledger.files_listed.add(1);
                    let store = Arc::clone(&self.bucket.store);
                    let wanted = Object {
                        key: object.key,
                        size: object.size,
                        archived: object.archived,
                    };
                    return Ok(Some(LogFile {
                        name: self.bucket.location.url(&wanted.key),
                        size: object.size,
                        delivered: Some(object.delivered),
                        fetch: Box::new(move || Box::pin(object::fetch(store, wanted))),
                        receipt: None,
                    }));
                }
                // The next listings, all of them unless there are too many to merge.
                let group = self.listings.next_group().await?;
                if group.is_empty() {
                    return self.end();
                }
                let merge = Merge::start(&self.bucket, group).await?;
                self.note_span(merge.first());
                self.merge = Some(merge);
            }
        })
    }
}

impl BucketSource {
    /// Between which times the capture lies, for its progress.
    fn note_span(&self, first: Option<Timestamp>) {
        let (ledger, interval) = (&self.bucket.ledger, self.bucket.wanted.interval);
        let seconds = |time: Timestamp| u64::try_from(time.as_second()).unwrap_or(0);
        if let Some(first) = first
            && ledger.from.get() == 0
        {
            ledger.from.raise(seconds(first));
        }
        ledger
            .to
            .raise(seconds(interval.end.unwrap_or_else(Timestamp::now)));
    }

    /// All is listed. That there was something, but no log file, is an error; that nothing lies in the interval is not.
    fn end(&self) -> Result<Option<LogFile>> {
        let ledger = &self.bucket.ledger;
        let unfiltered = self.bucket.wanted.interval == trail::Interval::default()
            && self.bucket.wanted.accounts.are_all();
        if ledger.files_listed.get() == 0 && ledger.filtered.get() == 0 && unfiltered {
            let url = self.bucket.location.url(&self.bucket.location.prefix);
            bail!(
                "there is no CloudTrail log file (*.json.gz or *.json) under {url}, but {} of another kind",
                count(ledger.passed_over.get(), "file or folder")
            );
        }
        Ok(None)
    }
}

impl Bucket {
    async fn try_list(
        &self,
        session: &Session,
        query: &Query,
    ) -> std::result::Result<Page, aws::ListError> {
        // The semaphore is never closed.
        let _slot = self.lists.acquire().await;
        let output = session
            .client
            .list_objects_v2()
            .bucket(&self.location.bucket)
            .prefix(&query.prefix)
            .set_delimiter(query.delimiter.then(|| "/".to_owned()))
            .set_start_after(query.start_after.clone())
            .set_continuation_token(query.token.clone())
            // Keys may hold what XML can't.
            .encoding_type(EncodingType::Url)
            .set_request_payer(self.store.payer.clone())
            .send()
            .await?;
        let next = output
            .next_continuation_token
            .filter(|_| output.is_truncated == Some(true));
        // Not every store does as it is asked.
        let encoded = output.encoding_type == Some(EncodingType::Url);
        let decode = |key: String| if encoded { decode_key(&key) } else { key };
        let listed = |object: types::Object| {
            let modified = object.last_modified.as_ref();
            Some(Listed {
                key: decode(object.key?),
                size: object
                    .size
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0),
                modified: modified.and_then(|time| Timestamp::from_second(time.secs()).ok()),
                archived: matches!(
                    object.storage_class,
                    Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)
                ),
            })
        };
        let folders = output.common_prefixes.unwrap_or_default().into_iter();
        Ok(Page {
            folders: folders
                .filter_map(|CommonPrefix { prefix, .. }| prefix.map(decode))
                .collect(),
            objects: output
                .contents
                .unwrap_or_default()
                .into_iter()
                .filter_map(listed)
                .collect(),
            next,
        })
    }

    /// A page, tried again where it failed for reasons that may pass.
    async fn list(&self, query: &Query) -> Result<Page> {
        let mut tries = 0;
        let mut renewed = false;
        loop {
            let session = self.store.session();
            match self.try_list(&session, query).await {
                Ok(page) => return Ok(page),
                Err(error) if !renewed && aws::has_expired(&error) => {
                    renewed = true;
                    self.store.renew(&session).await?;
                }
                Err(error) if tries < TRIES && aws::is_transient(&error) => {
                    self.ledger.retries.add(1);
                    sleep(backoff(tries)).await;
                    tries += 1;
                }
                Err(error) => {
                    return Err(self.listing_failed(&session.access, &error, &query.prefix));
                }
            }
        }
    }

    fn listing_failed(&self, access: &Access, error: &aws::ListError, prefix: &str) -> Error {
        access.explain(error, &format!("listing {}", self.location.url(prefix)))
    }
}

/// A key as it was sent, percent-encoded. What is no encoding stays as it is.
pub(super) fn decode_key(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_encoding::percent_decode_str(&key)
        .decode_utf8_lossy()
        .into_owned()
}
