//! Many listings, each in order of time, as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::vec;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::discover::{Listing, behind};
use super::{Bucket, Listed, Page, Query};
use crate::trail;

/// The next page of a listing is asked for when so few keys are left: in time for S3's answer, and not with the first
/// page already, whose keys are waited for.
const FEW: usize = 400;

/// A log file in a listing.
#[derive(Debug)]
pub(super) struct Found {
    pub delivered: Timestamp,
    pub key: String,
    /// In bytes, as stored.
    pub size: u64,
    /// In a storage class that has to be restored before it can be read.
    pub archived: bool,
}

/// Listings being merged by time of delivery.
pub(super) struct Merge {
    bucket: Arc<Bucket>,
    cursors: Vec<Cursor>,
    /// The time of the first log file of each listing that has any left, in seconds since the epoch.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// The listing that the last file came from.
    taken_from: Option<usize>,
}

/// How far a listing is read.
struct Cursor {
    listing: Listing,
    files: vec::IntoIter<Found>,
    next: NextPage,
}

enum NextPage {
    None,
    Token(String),
    Asked(JoinHandle<Result<Page>>),
}

impl Merge {
    /// Ask for the first page of every listing.
    pub async fn start(bucket: &Arc<Bucket>, listings: Vec<Listing>) -> Result<Self> {
        let cursors = listings.into_iter().map(|mut listing| async {
            let mut cursor = Cursor {
                files: listing.known.take().unwrap_or_default().into_iter(),
                next: NextPage::None,
                listing,
            };
            if cursor.files.len() == 0 {
                let query = cursor.query(None);
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
        };
        for index in 0..merge.cursors.len() {
            merge.push_head(index);
        }
        Ok(merge)
    }

    /// When the first log file was delivered.
    pub fn first(&self) -> Option<Timestamp> {
        let Reverse((seconds, _)) = self.heads.peek()?;
        Timestamp::from_second(*seconds).ok()
    }

    /// The log file that was delivered first of all that are left.
    pub async fn next(&mut self) -> Result<Option<Found>> {
        // Not right after its last file was taken, which need not wait for the next page, nor for its error.
        if let Some(index) = self.taken_from.take() {
            self.cursors[index].fill(&self.bucket).await?;
            self.push_head(index);
        }
        let Some(Reverse((_, index))) = self.heads.pop() else {
            return Ok(None);
        };
        self.taken_from = Some(index);
        Ok(self.cursors[index].files.next())
    }

    fn push_head(&mut self, index: usize) {
        if let Some(file) = self.cursors[index].files.as_slice().first() {
            self.heads
                .push(Reverse((file.delivered.as_second(), index)));
        }
    }
}

impl Cursor {
    fn query(&self, token: Option<String>) -> Query {
        Query {
            prefix: self.listing.prefix.clone(),
            delimiter: false,
            start_after: self.listing.start_after.clone().filter(|_| token.is_none()),
            token,
        }
    }

    /// Ask for the next page in time, and wait for it where nothing is left.
    async fn fill(&mut self, bucket: &Arc<Bucket>) -> Result<()> {
        loop {
            if let NextPage::Token(token) = &mut self.next
                && self.files.len() <= FEW
            {
                let token = std::mem::take(token);
                let (bucket, query) = (Arc::clone(bucket), self.query(Some(token)));
                self.next = NextPage::Asked(tokio::spawn(async move { bucket.list(&query).await }));
            }
            if self.files.len() > 0 {
                return Ok(());
            }
            match std::mem::replace(&mut self.next, NextPage::None) {
                NextPage::Asked(page) => {
                    let page = page.await.context("listing log files")??;
                    self.take(bucket, page);
                }
                // Without files its page has been asked for.
                NextPage::None | NextPage::Token(_) => return Ok(()),
            }
        }
    }

    /// Take over what a page holds of the listing.
    fn take(&mut self, bucket: &Arc<Bucket>, mut page: Page) {
        let next = page.next.take();
        let stop_at = self.listing.stop_at.as_deref();
        let past = |object: &Listed| stop_at.is_some_and(|stop| object.key.as_str() >= stop);
        let stopped = page.objects.last().is_some_and(past);
        page.objects.retain(|object| !past(object));
        let last_key = page.objects.last().map(|object| object.key.clone());
        self.files = bucket
            .known(
                page.objects,
                self.listing.except.as_deref().unwrap_or_default(),
            )
            .into_iter();
        self.next = match next.filter(|_| !stopped) {
            None => NextPage::None,
            Some(token) => NextPage::Token(token),
        };
        // In the folder to be left out: go on behind it.
        if let (Some(except), Some(last_key)) = (&self.listing.except, last_key)
            && last_key.starts_with(except.as_str())
            && !matches!(self.next, NextPage::None)
        {
            let behind = behind(except);
            let query = Query {
                prefix: self.listing.prefix.clone(),
                start_after: Some(behind),
                ..Query::default()
            };
            let bucket = Arc::clone(bucket);
            self.next = NextPage::Asked(tokio::spawn(async move { bucket.list(&query).await }));
        }
    }
}

impl Bucket {
    /// The log files among objects that are wanted; what is not is counted.
    pub(super) fn known(&self, objects: Vec<Listed>, except: &str) -> Vec<Found> {
        let mut found = Vec::with_capacity(objects.len());
        for Listed {
            key,
            size,
            modified,
            archived,
        } in objects
        {
            // The console makes an empty object for each folder.
            if key.ends_with('/') && size == 0 || !except.is_empty() && key.starts_with(except) {
                continue;
            }
            // What is named by itself is read whatever it is called.
            if !trail::is_log_file(&key) && key != self.location.prefix {
                self.ledger.passed_over.add(1);
                continue;
            }
            let delivered = trail::delivery_time(&key).or(modified).unwrap_or_default();
            if !self.wanted.interval.contains(delivered)
                || !self.wanted.accounts.contain(trail::account(&key))
            {
                self.ledger.filtered.add(1);
                continue;
            }
            found.push(Found {
                delivered,
                key,
                size,
                archived,
            });
        }
        found
    }
}
