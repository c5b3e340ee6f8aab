//! Log files in an S3 bucket.
//!
//! Accounts, kinds and regions are found with delimiter listings, side by side ([`discover`]); each region then has
//! one listing of its own, whose keys sort by time, and these are merged ([`merge`]). No list of all keys is held.
//! With s3Follow all this is done again and again, for what is new ([`follow`]).

mod digests;
mod discover;
mod follow;
mod merge;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Error, Result, bail};
use aws_sdk_s3::types::EncodingType;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Source;
use crate::aws::s3::download;
use crate::aws::s3::page::{Object, Page, TakePage};
use crate::aws::s3::{Store, TRIES, backoff};
use crate::aws::sessions::{Login, Session};
use crate::aws::{self, Access};
use crate::log_file::LogFile;
use crate::settings::Settings;
use crate::settings::location::BucketLocation;
use crate::stats::{Stats, count};
use crate::trail::{self, Selection};
use digests::BucketDigests;
use discover::Listings;
use follow::Follow;
use merge::Merge;

/// Listing requests in flight.
const CONCURRENT_LISTS: usize = 96;

/// Tries of a download where the bucket is followed, about an hour: nobody would read that log file again.
const FOLLOW_TRIES: u32 = 300;

/// What all listings of a bucket need.
struct Bucket {
    store: Arc<Store>,
    location: BucketLocation,
    wanted: Selection,
    stats: Arc<Stats>,
    lists: Semaphore,
    /// None where what is there is read once.
    follow: Option<Follow>,
    /// Accounts' folders of digests, as far as they were seen.
    digest_folders: Mutex<Vec<String>>,
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
    next: Option<JoinHandle<Result<Begun>>>,
}

/// The rest of the listings, and a merge of those before; none at the end.
type Begun = (Listings, Option<Merge>);

/// Find out where the bucket is and whether there is anything under the prefix.
pub(super) async fn open(
    location: BucketLocation,
    wanted: Selection,
    settings: &Settings,
    stats: Arc<Stats>,
) -> Result<BucketSource> {
    let login = Arc::new(Login::load(&settings.aws).await?);
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
    let follow = settings.follow && !follow::is_over(wanted.interval.end, Timestamp::now());
    let mut redirected = false;
    let (bucket, page) = loop {
        let mut store = Store::new(
            Arc::clone(&login),
            location.bucket.clone(),
            region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            &settings.aws,
            Arc::clone(&stats),
        );
        if follow {
            store.tries = FOLLOW_TRIES;
        }
        let bucket = Bucket {
            store: Arc::new(store),
            location: location.clone(),
            wanted: wanted.clone(),
            stats: Arc::clone(&stats),
            lists: Semaphore::new(CONCURRENT_LISTS),
            follow: follow.then(|| Follow::new(settings.poll_interval)),
            digest_folders: Mutex::default(),
        };
        match bucket
            .try_list(&bucket.store.sessions.current(), &first)
            .await
        {
            Ok(page) => break (bucket, page),
            Err(error) => {
                // In another region than configured: S3 says which.
                let told = aws::told_region(&error)
                    .filter(|told| Some(told) != region.as_ref() && !redirected);
                if told.is_none() {
                    return Err(bucket.listing_failed(&access, &error, &first.prefix));
                }
                region = told;
                redirected = true;
            }
        }
    };
    if page.objects.is_empty() && page.folders.is_empty() && page.next.is_none() {
        let url = location.url(&location.prefix);
        if !follow {
            bail!(
                "there is nothing under {url}: check the prefix, which is case-sensitive (with {})",
                access.who()
            );
        }
        stats.warn(format!(
            "there is nothing under {url} yet: log files are waited for; check the prefix, which is case-sensitive"
        ));
    }
    let bucket = Arc::new(bucket);
    let listings = discover::start(Arc::clone(&bucket), Some(page));
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
                    match &self.bucket.follow {
                        None => return self.end(),
                        Some(follow) => match follow.look(&self.bucket).await {
                            Some(listings) => self.listings = Some(listings),
                            None => return Ok(None),
                        },
                    }
                    continue;
                };
                self.listings = Some(listings);
                // What is followed has no end to be on the way to.
                if self.bucket.follow.is_none() {
                    self.note_span(merge.first());
                }
                self.merge = Some(merge);
            }
        })
    }
}

impl BucketSource {
    /// The digests of its log files.
    pub fn digests(&self) -> BucketDigests {
        BucketDigests(Arc::clone(&self.bucket))
    }

    fn log_file(&self, object: Object) -> LogFile {
        self.bucket.stats.files_listed.add(1);
        let store = Arc::clone(&self.bucket.store);
        LogFile {
            name: self.bucket.location.url(&object.key),
            size: object.size,
            delivered: object.time,
            fetch: Box::new(move || Box::pin(download::fetch(store, object))),
            ack: None,
            proof: None,
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
        let (stats, interval) = (&self.bucket.stats, self.bucket.wanted.interval);
        let seconds = |time: Timestamp| u64::try_from(time.as_second()).unwrap_or(0);
        if let Some(first) = first
            && stats.from.get() == 0
        {
            stats.from.raise(seconds(first));
        }
        stats
            .to
            .raise(seconds(interval.end.unwrap_or_else(Timestamp::now)));
    }

    /// All is listed. That there was something, but no log file, is an error; that nothing lies in the interval is not.
    fn end(&self) -> Result<Option<LogFile>> {
        let stats = &self.bucket.stats;
        let unfiltered = self.bucket.wanted.interval == trail::Interval::default()
            && self.bucket.wanted.accounts.are_all();
        if stats.files_listed.get() == 0 && stats.filtered.get() == 0 && unfiltered {
            let url = self.bucket.location.url(&self.bucket.location.prefix);
            bail!(
                "there is no CloudTrail log file (*.json.gz or *.json) under {url}, but {} of another kind",
                count(stats.passed_over.get(), "file or folder")
            );
        }
        Ok(None)
    }
}

impl Bucket {
    async fn try_list(
        &self,
        session: &Session<aws_sdk_s3::Client>,
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
            .set_request_payer(self.store.payer.clone())
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
        if let Some(follow) = &self.follow {
            follow.asked(query);
        }
        loop {
            let session = self.store.sessions.current();
            match self.try_list(&session, query).await {
                Ok(page) => return Ok(page),
                Err(error) if !renewed && aws::has_expired(&error) => {
                    renewed = true;
                    self.store.sessions.renew(&session).await?;
                }
                Err(error)
                    if aws::is_transient(&error) && (tries < TRIES || self.follow.is_some()) =>
                {
                    if tries >= TRIES && self.follow.as_ref().is_some_and(Follow::is_first_trouble)
                    {
                        let error = self.listing_failed(&session.access, &error, &query.prefix);
                        self.stats
                            .warn(format!("{error:#}; it is tried again and again"));
                    }
                    self.stats.retries.add(1);
                    sleep(backoff(tries)).await;
                    tries += 1;
                    renewed = false;
                }
                Err(error) => {
                    return Err(self.listing_failed(&session.access, &error, &query.prefix));
                }
            }
        }
    }

    fn digest_folders(&self) -> MutexGuard<'_, Vec<String>> {
        self.digest_folders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Is this a look after the first?
    fn looks_again(&self) -> bool {
        self.follow
            .as_ref()
            .is_some_and(|follow| follow.memory().looks_again())
    }

    fn listing_failed(&self, access: &Access, error: &aws::ListError, prefix: &str) -> Error {
        access.explain(error, &format!("listing {}", self.location.url(prefix)))
    }
}
