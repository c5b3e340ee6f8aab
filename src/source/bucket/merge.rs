//! Many listings, each in order of time, as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::Bucket;
use super::discover::Listing;
use super::follow::Follow;
use crate::aws::s3::page::{Next, Object, Objects, Page, behind};
use crate::aws::s3::{From, Query};
use crate::process::lock;
use crate::source::twins::{self, Twins};
use crate::trail;

/// Keys held in all, about, so that memory does not grow with the number of listings: with more of these, pages are
/// smaller.
const HELD: usize = 256 << 10;
/// Keys of a listing without an order of time that are put into one: ten pages, so that the first event comes soon.
const SORTED: usize = 10_000;
/// Keys a page, at most and at least.
const PAGE: RangeInclusive<usize> = 200..=1000;

/// Listings being merged by time of delivery.
pub(super) struct Merge {
    bucket: Arc<Bucket>,
    cursors: Vec<Cursor>,
    /// The first log file of each listing that has any left.
    heads: BinaryHeap<Reverse<Head>>,
    /// The log file that came last.
    last: Option<Head>,
    /// Those that have its name, where there are others.
    twins: Option<Arc<Twins>>,
    /// The listing that the last file came from.
    taken_from: Option<usize>,
    /// Listings of which not all pages are here yet.
    unlisted: usize,
}

/// A log file that is next in its listing. Those of one minute go by name, so that two of one name follow each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// When it was delivered, in seconds since the epoch.
    time: i64,
    name: String,
    /// The listing.
    index: usize,
}

impl Head {
    /// Do both have the name and the time of one log file?
    fn is_twin(&self, other: &Self) -> bool {
        self.time == other.time
            && self.name == other.name
            && trail::delivery_time(&self.name).is_some()
    }
}

/// How far a listing is read.
struct Cursor {
    listing: Listing,
    files: Objects,
    next: NextPage,
    /// Keys a page.
    page: usize,
}

enum NextPage {
    None,
    Known(Next),
    Asked(JoinHandle<Result<Page>>),
}

impl Merge {
    /// Ask for the first page of every listing.
    pub async fn start(bucket: &Arc<Bucket>, listings: Vec<Listing>) -> Result<Self> {
        let page = (HELD / listings.len().max(1)).clamp(*PAGE.start(), *PAGE.end());
        let cursors = listings.into_iter().map(|mut listing| async move {
            let mut cursor = Cursor {
                files: listing.known.take().unwrap_or_default(),
                next: NextPage::None,
                listing,
                page,
            };
            if cursor.files.is_empty() {
                let query = cursor.query(cursor.start());
                let page = bucket.list(&query).await?;
                cursor.take(bucket, page);
                cursor.fill(bucket).await?;
            }
            if !cursor.listing.is_region {
                cursor.sort(bucket).await?;
            }
            Ok::<_, anyhow::Error>(cursor)
        });
        let mut merge = Self {
            bucket: Arc::clone(bucket),
            cursors: try_join_all(cursors).await?,
            heads: BinaryHeap::new(),
            last: None,
            twins: None,
            taken_from: None,
            unlisted: 0,
        };
        for index in 0..merge.cursors.len() {
            merge.push_head(index);
            merge.unlisted += usize::from(!merge.cursors[index].is_listed());
        }
        Ok(merge)
    }

    /// When the first log file was delivered.
    pub fn first(&self) -> Option<Timestamp> {
        let Reverse(head) = self.heads.peek()?;
        Timestamp::from_second(head.time).ok()
    }

    /// The log file that was delivered first of all that are left, and those that have its name.
    pub async fn next(&mut self) -> Result<Option<(Object, Option<Arc<Twins>>)>> {
        // Not right after its last file was taken, which need not wait for the next page, nor for its error.
        if let Some(index) = self.taken_from.take() {
            let cursor = &mut self.cursors[index];
            let was_listed = cursor.is_listed();
            cursor.fill(&self.bucket).await?;
            self.unlisted -= usize::from(!was_listed && cursor.is_listed());
            self.push_head(index);
        }
        let Some(Reverse(head)) = self.heads.pop() else {
            return Ok(None);
        };
        self.taken_from = Some(head.index);
        let object = self.cursors[head.index].files.next();
        let is_twin = |other: Option<&Head>| other.is_some_and(|other| head.is_twin(other));
        let cursor = &self.cursors[head.index];
        // What the next page begins with is not known yet.
        let ends_a_page = cursor.files.is_empty() && !cursor.is_listed();
        let of_next = ends_a_page
            || is_twin(self.heads.peek().map(|Reverse(next)| next))
            || is_twin(self.head(head.index).as_ref());
        let of_last = is_twin(self.last.as_ref());
        if !of_last {
            self.twins = of_next.then(|| Twins::new(&self.bucket.stats));
        }
        self.last = Some(head);
        Ok(object.map(|object| (object, self.twins.clone())))
    }

    /// Is there nothing left to list?
    pub fn is_listed(&self) -> bool {
        self.unlisted == 0
    }

    /// What is next in a listing.
    fn head(&self, index: usize) -> Option<Head> {
        let files = &self.cursors[index].files;
        Some(Head {
            time: files.next_time()?,
            name: twins::name(&files.first_key()?).to_owned(),
            index,
        })
    }

    fn push_head(&mut self, index: usize) {
        self.heads.extend(self.head(index).map(Reverse));
    }
}

impl Cursor {
    fn is_listed(&self) -> bool {
        matches!(self.next, NextPage::None)
    }

    fn query(&self, from: From) -> Query {
        Query {
            prefix: self.listing.prefix.clone(),
            delimiter: false,
            from,
            most: Some(self.page),
        }
    }

    /// Its beginning.
    fn start(&self) -> From {
        let after = self.listing.start_after.clone();
        after.map_or(From::Start, From::After)
    }

    /// Ask for the next page in time, and wait for it where nothing is left.
    async fn fill(&mut self, bucket: &Arc<Bucket>) -> Result<()> {
        loop {
            if let NextPage::Known(next) = &self.next
                // In time for S3's answer, and not with the first page already, whose keys are waited for.
                && self.files.len() <= self.page * 2 / 5
            {
                let query = self.query(From::Page(next.clone()));
                let bucket = Arc::clone(bucket);
                self.next = NextPage::Asked(tokio::spawn(async move { bucket.list(&query).await }));
            }
            if !self.files.is_empty() {
                return Ok(());
            }
            match std::mem::replace(&mut self.next, NextPage::None) {
                NextPage::Asked(page) => {
                    let page = page.await.context("listing log files")??;
                    self.take(bucket, page);
                }
                // Without files its page has been asked for.
                NextPage::None | NextPage::Known(_) => return Ok(()),
            }
        }
    }

    /// Put what has no order of time into one, as far as it is not too much.
    async fn sort(&mut self, bucket: &Arc<Bucket>) -> Result<()> {
        let mut files = std::mem::take(&mut self.files);
        while !self.is_listed() && files.len() < SORTED {
            self.fill(bucket).await?;
            files.append(std::mem::take(&mut self.files));
        }
        if !self.is_listed() {
            bucket.stats.note(format!(
                "{}: its log files lie in no folders of days and are more than {SORTED}: those behind them come in the \
                 order of their names",
                bucket.client.url(&self.listing.prefix)
            ));
        }
        files.sort();
        self.files = files;
        Ok(())
    }

    /// Take over what a page holds of the listing.
    fn take(&mut self, bucket: &Arc<Bucket>, page: Page) {
        let last_key = page.objects.last_key();
        let except = self.listing.except.as_deref().unwrap_or_default();
        let stop_at = self.listing.stop_at.as_deref();
        let stopped = stop_at.is_some_and(|stop| last_key.as_deref() >= Some(stop));
        self.files = bucket.wanted(page.objects, |key| {
            stop_at.is_none_or(|stop| key < stop) && (except.is_empty() || !key.starts_with(except))
        });
        self.next = match page.next.filter(|_| !stopped) {
            None => NextPage::None,
            // In the folder to be left out: go on behind it.
            Some(_)
                if !except.is_empty() && last_key.is_some_and(|key| key.starts_with(except)) =>
            {
                let query = self.query(From::After(behind(except)));
                let bucket = Arc::clone(bucket);
                NextPage::Asked(tokio::spawn(async move { bucket.list(&query).await }))
            }
            Some(next) => NextPage::Known(next),
        };
    }
}

impl Bucket {
    /// The log files among objects that are wanted, with their times of delivery; what is not is counted, unless it
    /// does not `belong` to the listing.
    pub(super) fn wanted(&self, objects: Objects, belongs: impl Fn(&str) -> bool) -> Objects {
        let mut wanted = objects.none();
        let mut memory = self.follow.as_ref().map(Follow::memory);
        for mut object in objects {
            let key = &*object.key;
            // The console makes an empty object for each folder.
            if key.ends_with('/') && object.size == 0 || !belongs(key) {
                continue;
            }
            if memory
                .as_mut()
                .is_some_and(|memory| !memory.is_new(&object))
            {
                continue;
            }
            // What is named by itself is read whatever it is called.
            if !trail::is_log_file(key) && key != self.location.prefix {
                self.stats.passed_over.add(1);
                continue;
            }
            let delivered = trail::delivery_time(key)
                .or(object.time)
                .unwrap_or_default();
            if !self.wanted.takes_account(key) {
                trail::account(key).inspect(|account| lock(&self.elsewhere).account(account));
                self.stats.filtered.add(1);
                continue;
            }
            if !self.wanted.takes_time(key, Some(delivered)) {
                lock(&self.elsewhere).log_file(delivered);
                self.stats.filtered.add(1);
                continue;
            }
            object.time = Some(delivered);
            wanted.push(&object);
        }
        wanted.shrink();
        wanted
    }
}
