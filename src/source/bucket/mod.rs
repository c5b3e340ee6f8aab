//! Log files in an S3 bucket.
//!
//! Accounts, kinds and regions are found with delimiter listings, side by side ([`discover`]); each region then has
//! one listing of its own, whose keys sort by time, and these are merged ([`merge`]). No list of all keys is held.
//! With s3Follow all this is done again and again, for what is new ([`follow`]).

mod consumed;
mod digests;
mod discover;
mod elsewhere;
mod follow;
mod layout;
mod merge;

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, bail};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::{Source, fetching};
use crate::aws::s3::page::{Object, Objects, Page};
use crate::aws::s3::{self, BucketClient, Query, Use};
use crate::aws::{self, Environment, Kind, Login};
use crate::cache::{Cache, Name};
use crate::clock::Clock;
use crate::log_file::{Ack, Cached, FileError, LogFile};
use crate::process::lock;
use crate::settings::location::BucketLocation;
use crate::settings::{self, Settings};
use crate::state::State;
use crate::stats::{Stats, count};
use crate::trail::{self, Interval, Selection};
use consumed::{Acks, Consumed};
use digests::BucketDigests;
use discover::Listings;
use elsewhere::Elsewhere;
use follow::Follow;
use merge::Merge;

/// What all listings of a bucket need.
struct Bucket {
    client: Arc<BucketClient>,
    login: Arc<Login>,
    location: BucketLocation,
    wanted: Selection,
    stats: Arc<Stats>,
    clock: Clock,
    /// Where its objects are kept, if they are.
    cache: Option<Arc<Cache>>,
    /// None where what is there is read once.
    follow: Option<Follow>,
    /// None without a state file.
    acks: Option<Arc<Acks>>,
    /// Accounts' folders of digests, as far as they were seen; none of a bucket that is followed.
    digest_folders: Mutex<Vec<String>>,
    /// What is there that was not asked for.
    elsewhere: Mutex<Elsewhere>,
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
    mut wanted: Selection,
    settings: &Settings,
    environment: &Environment,
    stats: Arc<Stats>,
) -> Result<BucketSource> {
    let clock = environment.clock;
    let cache = match &settings.cache {
        Some(settings::Cache { folder, size }) => {
            Some(Cache::open(folder.clone(), *size, &stats).await?)
        }
        None => None,
    };
    let login = Arc::new(Login::load(&settings.aws, environment).await?);
    let region = match &location.region {
        Some(region) => Some(region.clone()),
        None => s3::find_region(&login, &location.bucket).await?,
    };
    let state_path = settings.state_path.as_deref().filter(|_| settings.follow);
    // With a state, what came before the end of the interval and was not consumed is still to be read.
    let is_over = follow::is_over(wanted.interval.end, clock.now());
    let follow = settings.follow && (state_path.is_some() || !is_over);
    let used = match follow {
        true => Use::Followed,
        false => Use::Once,
    };
    let client = BucketClient::new(
        &login,
        &location.bucket,
        region.as_deref(),
        &settings.aws,
        used,
        &stats,
    );
    let client = match cache {
        Some(_) => client.with_etags(),
        None => client,
    };
    let first = Query {
        prefix: location.prefix.clone(),
        delimiter: true,
        ..Query::default()
    };
    let (acks, consumed) = match state_path {
        Some(path) => {
            let (acks, consumed) = resume(path, &client, &location, &wanted, clock, &stats).await?;
            wanted = settings.selection_of(Interval {
                start: consumed.start,
                ..wanted.asked
            });
            (Some(acks), Some(consumed))
        }
        None => (None, None),
    };
    let unread = consumed.as_ref().map(|consumed| consumed.unread.clone());
    let end = wanted.interval.end;
    let following = || Follow::new(settings.poll_interval, end, clock, consumed);
    let bucket = Arc::new(Bucket {
        client: Arc::new(client),
        login,
        location,
        wanted,
        stats: Arc::clone(&stats),
        clock,
        cache,
        follow: follow.then(following),
        acks,
        digest_folders: Mutex::default(),
        elsewhere: Mutex::default(),
    });
    let unread = bucket.unread(unread.unwrap_or_default());
    let page = bucket.client.list_first(&first).await?;
    if page.objects.is_empty() && page.folders.is_empty() && page.next.is_none() {
        let url = bucket.client.url(&first.prefix);
        let check = match first.prefix.split_once(['*', '?']) {
            Some((before, _)) => format!(
                "* and ? are no wildcards here: give {}, below which all is read",
                bucket.client.url(before)
            ),
            None => "check the prefix, which is case-sensitive".to_owned(),
        };
        if !follow {
            bail!(
                "there is nothing under {url}: {check} (with {})",
                bucket.client.who()
            );
        }
        stats.warn(format!(
            "there is nothing under {url} yet: log files are waited for; {check}"
        ));
    }
    let mut listings = discover::start(Arc::clone(&bucket), Some(page));
    listings.add(unread);
    if let Some(acks) = &bucket.acks {
        acks.state().begin();
    }
    Ok(BucketSource {
        bucket,
        listings: Some(listings),
        merge: None,
        next: None,
    })
}

/// What the state file tells of this bucket, and who adds to it.
async fn resume(
    path: &str,
    client: &BucketClient,
    location: &BucketLocation,
    wanted: &Selection,
    clock: Clock,
    stats: &Arc<Stats>,
) -> Result<(Arc<Acks>, Consumed)> {
    let url = client.url(&location.prefix);
    let source = match client.store() {
        None => url,
        Some(store) => format!("{url} of {store}"),
    };
    let now = clock.now();
    let looked = wanted.interval.end.map_or(now, |end| end.min(now));
    let first = Consumed::nothing(wanted.asked.start, looked);
    let (state, consumed, is_told) = State::open(path, &source, first, stats).await?;
    if is_told {
        stats.note(consumed.describe());
    }
    Ok((Acks::new(state, stats), consumed))
}

impl Source for BucketSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            loop {
                if let Some(file) = self.next_of_merge().await? {
                    return Ok(Some(file));
                }
                // Its future is large, and seldom needed.
                if !Box::pin(self.next_merge()).await? {
                    return Ok(None);
                }
            }
        })
    }

    fn closing(&self) -> BoxFuture<'static, ()> {
        let acks = self.bucket.acks.clone();
        let cache = self.bucket.cache.clone();
        Box::pin(async move {
            if let Some(acks) = acks {
                acks.state().closing().await;
            }
            if let Some(cache) = cache {
                cache.finish().await;
            }
        })
    }
}

impl BucketSource {
    /// What is read of it; a state file may have its own start.
    pub fn selection(&self) -> Selection {
        self.bucket.wanted.clone()
    }

    /// The digests of its log files.
    pub fn digests(&self) -> BucketDigests {
        BucketDigests(Arc::clone(&self.bucket))
    }

    fn log_file(&self, object: Object) -> LogFile {
        self.bucket.stats.files_listed.add(1);
        let ack = self.bucket.ack(&object.key);
        let client = Arc::clone(&self.bucket.client);
        let cache = self.bucket.cache_of(&object);
        let cached = cache.clone().map(|(cache, name)| -> Cached {
            Box::new(move |room| Box::pin(async move { cache.get(&name, &room).await }))
        });
        LogFile {
            name: client.url(&object.key),
            size: object.size,
            delivered: object.time,
            cached,
            fetch: fetching(client, object, cache, meaning),
            ack,
            proof: None,
        }
    }

    /// The next log file of the merge, if there is any left in it.
    async fn next_of_merge(&mut self) -> Result<Option<LogFile>> {
        let Some(merge) = &mut self.merge else {
            return Ok(None);
        };
        let object = merge.next().await?;
        if merge.is_listed() {
            self.begin_next();
        }
        Ok(object.map(|(object, twins)| {
            let mut file = self.log_file(object);
            twins.inspect(|twins| twins.join(&mut file));
            file
        }))
    }

    /// Go on to the next merge; in a bucket that is followed, to the next look at it. False at the end of the capture.
    async fn next_merge(&mut self) -> Result<bool> {
        self.begin_next();
        // All listings belong to the first merge, unless there are too many for one.
        let Some(next) = self.next.take() else {
            self.end().await?;
            return Ok(false);
        };
        let (listings, merge) = next.await.context("listing log files")??;
        if let Some(merge) = merge {
            // A bucket that is followed has no end, and so no progress.
            if self.bucket.follow.is_none() {
                self.note_span(merge.first());
            }
            self.listings = Some(listings);
            self.merge = Some(merge);
            return Ok(true);
        }
        self.merge = None;
        let Some(follow) = &self.bucket.follow else {
            self.end().await?;
            return Ok(false);
        };
        self.listings = follow.look(&self.bucket).await;
        Ok(self.listings.is_some())
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
        stats.to.raise(seconds(
            interval.end.unwrap_or_else(|| self.bucket.clock.now()),
        ));
    }

    /// Everything is listed. It is an error if there was something, but no log file; it is not an error if there are log
    /// files, but none of those that were asked for.
    async fn end(&self) -> Result<()> {
        let (stats, wanted) = (&self.bucket.stats, &self.bucket.wanted);
        if stats.files_listed.get() > 0 {
            return Ok(());
        }
        if wanted.is_limited() {
            stats.remark(elsewhere::describe(&self.bucket).await);
            return Ok(());
        }
        let url = self.bucket.client.url(&self.bucket.location.prefix);
        bail!(
            "there is no CloudTrail log file (*.json.gz or *.json) under {url}, but {} of another kind",
            count(stats.passed_over.get(), "file or folder")
        );
    }
}

/// Where the credentials are the reason that an object can't be had, every other object would say the same.
fn meaning(error: aws::Error) -> FileError {
    match error.kind {
        kind if kind.is_about_credentials() => FileError::Capture(error.into()),
        Kind::Gone => FileError::Gone(error.into()),
        _ => FileError::ThisFile(error.into()),
    }
}

impl Bucket {
    /// The cache, and what an object is called there. None where it can't be known to be the same the next time.
    fn cache_of(&self, object: &Object) -> Option<(Arc<Cache>, Name)> {
        let cache = self.cache.as_ref()?;
        if object.etag.is_empty() || !cache.takes(object.size) {
            return None;
        }
        let store = self.client.store();
        let store = store.as_deref().unwrap_or("aws");
        let texts = [store, &self.client.name, &object.key, &object.etag];
        Some((Arc::clone(cache), Name::new(texts, object.size)))
    }

    /// A page of a listing.
    async fn list(&self, query: &Query) -> Result<Page> {
        if let Some(follow) = &self.follow {
            follow.asked(query);
        }
        Ok(self.client.list(query).await?)
    }

    fn digest_folders(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.digest_folders)
    }

    /// Log files that an earlier capture could not read, as far as they are selected.
    fn unread(&self, keys: impl IntoIterator<Item = String>) -> Objects {
        let mut objects = Objects::default();
        let keys = keys.into_iter().filter(|key| self.wanted.takes_place(key));
        for key in keys {
            objects.push(&Object {
                time: trail::delivery_time(&key),
                key,
                ..Object::default()
            });
        }
        objects
    }

    /// Who waits for what becomes of a log file that is handed on now.
    fn ack(&self, key: &str) -> Option<Ack> {
        let acks = self.acks.as_ref()?;
        let put = self.follow.as_ref()?.memory().put(key);
        Some(acks.expect(key, put))
    }

    /// Is this a look after the first?
    fn looks_again(&self) -> bool {
        self.follow
            .as_ref()
            .is_some_and(|follow| follow.memory().looks_again())
    }
}
