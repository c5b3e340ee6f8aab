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
use crate::trail;

/// Keys held in all, about, so that memory does not grow with the number of listings: with more of these, pages are
/// smaller.
const HELD: usize = 256 << 10;
/// Keys a page, at most and at least.
const PAGE: RangeInclusive<usize> = 200..=1000;

/// Listings being merged by time of delivery.
pub(super) struct Merge {
    bucket: Arc<Bucket>,
    cursors: Vec<Cursor>,
    /// The time of the first log file of each listing that has any left, in seconds since the epoch.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// The listing that the last file came from.
    taken_from: Option<usize>,
    /// Listings of which not all pages are here yet.
    unlisted: usize,
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
            Ok::<_, anyhow::Error>(cursor)
        });
        let mut merge = Self {
            bucket: Arc::clone(bucket),
            cursors: try_join_all(cursors).await?,
            heads: BinaryHeap::new(),
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
        let Reverse((seconds, _)) = self.heads.peek()?;
        Timestamp::from_second(*seconds).ok()
    }

    /// The log file that was delivered first of all that are left.
    pub async fn next(&mut self) -> Result<Option<Object>> {
        // Not right after its last file was taken, which need not wait for the next page, nor for its error.
        if let Some(index) = self.taken_from.take() {
            let cursor = &mut self.cursors[index];
            let was_listed = cursor.is_listed();
            cursor.fill(&self.bucket).await?;
            self.unlisted -= usize::from(!was_listed && cursor.is_listed());
            self.push_head(index);
        }
        let Some(Reverse((_, index))) = self.heads.pop() else {
            return Ok(None);
        };
        self.taken_from = Some(index);
        Ok(self.cursors[index].files.next())
    }

    /// Is there nothing left to list?
    pub fn is_listed(&self) -> bool {
        self.unlisted == 0
    }

    fn push_head(&mut self, index: usize) {
        if let Some(time) = self.cursors[index].files.next_time() {
            self.heads.push(Reverse((time, index)));
        }
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
            if !self.wanted.takes_time(key, Some(delivered)) || !self.wanted.takes_account(key) {
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
