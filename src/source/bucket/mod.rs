//! Log files in an S3 bucket.
//!
//! Accounts, kinds and regions are found with delimiter listings, side by side ([`discover`]); each region then has
//! one listing of its own, whose keys sort by time, and these are merged ([`merge`]). No list of all keys is held.

mod discover;
mod merge;
mod object;
mod page;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{EncodingType, RequestPayer};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{LogFile, Source, Wanted};
use crate::aws::{self, Access};
use crate::config::{self, Config};
use crate::ledger::{Ledger, count};
use crate::location::BucketLocation;
use crate::trail;
use discover::Listings;
use merge::Merge;
use page::{Object, Page, TakePage};

/// Listing requests in flight.
const CONCURRENT_LISTS: usize = 48;
/// Tries of a request, on top of the SDK's own, that fails for reasons that may pass.
const TRIES: u32 = 5;

/// What all requests to a bucket need.
struct Bucket {
    session: Mutex<Session>,
    /// To find credentials anew.
    config: config::Aws,
    region: String,
    renewing: tokio::sync::Mutex<()>,
    location: BucketLocation,
    wanted: Wanted,
    ledger: Arc<Ledger>,
    lists: Semaphore,
    /// Who pays, if not the owner.
    payer: Option<RequestPayer>,
}

/// A client with the credentials it was made with.
#[derive(Clone)]
struct Session {
    client: Client,
    access: Access,
    /// Counts renewals.
    generation: u32,
}

/// What to list.
#[derive(Debug, Clone, Default)]
struct Query {
    prefix: String,
    delimiter: bool,
    start_after: Option<String>,
    token: Option<String>,
    /// Keys a page, if not S3's thousand.
    most: Option<usize>,
}

/// The log files of a bucket in order of delivery.
pub(super) struct BucketSource {
    bucket: Arc<Bucket>,
    /// None while they are being looked at for the next merge.
    listings: Option<Listings>,
    merge: Option<Merge>,
    /// The merge after this one, begun when there is nothing left to list for this one.
    next: Option<JoinHandle<Result<(Listings, Option<Merge>)>>>,
}

/// Find out where the bucket is and whether there is anything under the prefix.
pub(super) async fn open(
    location: BucketLocation,
    wanted: Wanted,
    config: &Config,
    ledger: Arc<Ledger>,
) -> Result<BucketSource> {
    let access = Access::load(&config.aws).await?;
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
        let region_used = region.clone().unwrap_or_else(|| "us-east-1".to_owned());
        let bucket = Bucket {
            session: Mutex::new(Session {
                client: access.s3(&region_used),
                access: access.clone(),
                generation: 0,
            }),
            config: config.aws.clone(),
            region: region_used,
            renewing: tokio::sync::Mutex::default(),
            location: location.clone(),
            wanted: wanted.clone(),
            ledger: Arc::clone(&ledger),
            lists: Semaphore::new(CONCURRENT_LISTS),
            payer: config.aws.request_payer.then_some(RequestPayer::Requester),
        };
        match bucket.try_list(&bucket.session(), &first).await {
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
        listings: Some(listings),
        merge: None,
        next: None,
    })
}

impl Source for BucketSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            loop {
                if let Some(merge) = &mut self.merge {
                    let object = merge.next().await?;
                    if merge.is_listed() {
                        self.begin_next();
                    }
                    if let Some(object) = object {
                        return Ok(Some(self.log_file(object)));
                    }
                }
                self.begin_next();
                // All of them is the first one's, unless there are too many to merge.
                let (listings, merge) = match self.next.take() {
                    Some(next) => next.await.context("listing log files")??,
                    None => return self.end(),
                };
                let Some(merge) = merge else {
                    self.merge = None;
                    return self.end();
                };
                self.listings = Some(listings);
                self.note_span(merge.first());
                self.merge = Some(merge);
            }
        })
    }
}

impl BucketSource {
    fn log_file(&self, object: Object) -> LogFile {
        self.bucket.ledger.files_listed.add(1);
        let bucket = Arc::clone(&self.bucket);
        LogFile {
            name: bucket.location.url(&object.key),
            size: object.size,
            delivered: object.time,
            fetch: Box::new(move || Box::pin(object::fetch(bucket, object))),
        }
    }

    /// Begin the next merge, unless it was already.
    fn begin_next(&mut self) {
        if let Some(mut listings) = self.listings.take() {
            let bucket = Arc::clone(&self.bucket);
            self.next = Some(tokio::spawn(async move {
                let group = listings.next_group().await?;
                let merge = match group.is_empty() {
                    true => None,
                    false => Some(Merge::start(&bucket, group).await?),
                };
                Ok((listings, merge))
            }));
        }
    }

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
    fn session(&self) -> Session {
        self.session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Find credentials anew, where nobody has done so since this session began: a user may have logged in again.
    async fn renew(&self, expired: &Session) -> Result<()> {
        let _one_at_a_time = self.renewing.lock().await;
        if self.session().generation == expired.generation {
            let access = Access::load(&self.config).await?;
            let session = Session {
                client: access.s3(&self.region),
                access,
                generation: expired.generation + 1,
            };
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
        }
        Ok(())
    }

    async fn try_list(
        &self,
        session: &Session,
        query: &Query,
    ) -> std::result::Result<Page, aws::ListError> {
        // The semaphore is never closed.
        let _slot = self.lists.acquire().await;
        let page = TakePage {
            prefix: query.prefix.as_str().into(),
            ..TakePage::default()
        };
        let request = session
            .client
            .list_objects_v2()
            .bucket(&self.location.bucket)
            .prefix(&query.prefix)
            .set_delimiter(query.delimiter.then(|| "/".to_owned()))
            .set_start_after(query.start_after.clone())
            .set_continuation_token(query.token.clone())
            // Keys may hold what XML can't.
            .encoding_type(EncodingType::Url)
            .set_request_payer(self.payer.clone())
            .set_max_keys(query.most.and_then(|most| most.try_into().ok()));
        request.customize().interceptor(page.clone()).send().await?;
        page.page().ok_or_else(|| {
            aws::ListError::construction_failure("the answer is a listing that can't be read")
        })
    }

    /// A page, tried again where it failed for reasons that may pass.
    async fn list(&self, query: &Query) -> Result<Page> {
        let mut tries = 0;
        let mut renewed = false;
        loop {
            let session = self.session();
            match self.try_list(&session, query).await {
                Ok(page) => return Ok(page),
                Err(error) if !renewed && aws::has_expired(&error) => {
                    renewed = true;
                    self.renew(&session).await?;
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

/// How long to wait before the next try: longer each time, and never all at once.
fn backoff(tries: u32) -> Duration {
    let longest = 200 * 2u64.pow(tries.min(6));
    Duration::from_millis(fastrand::u64(longest / 2..=longest))
}
