//! What a bucket holds, for captures that find nothing in the interval or of the accounts and regions that were asked for: whoever
//! has mistaken a day or an account sees what there is.

use std::sync::Arc;

use jiff::Timestamp;

use super::Bucket;
use crate::aws::s3::page::Page;
use crate::aws::s3::{From, Query};
use crate::process::lock;
use crate::stats::count;
use crate::trail::{self, Outside, Selection};

/// Requests that are made for it.
const LISTS: usize = 20;
/// Keys of a region among which the oldest log file is looked for.
const FIRST_KEYS: usize = 100;
/// Regions that are remembered.
const REGIONS: usize = 64;
/// Accounts and regions that are named.
const OTHERS: usize = 5;

/// What was seen while the listings were made.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// What to list of each region, the first of them.
    regions: Vec<String>,
    /// How many regions there are.
    all_regions: usize,
    /// Log files seen outside of the interval.
    outside: Outside,
    /// Accounts and regions that are not asked for, the first of them.
    others: Vec<String>,
}

impl Elsewhere {
    pub fn region(&mut self, prefix: &str) {
        self.all_regions += 1;
        if self.regions.len() < REGIONS {
            self.regions.push(prefix.to_owned());
        }
    }

    pub fn log_file(&mut self, delivered: Timestamp) {
        self.outside.add(delivered);
    }

    /// An account or region that is not asked for.
    pub fn other(&mut self, name: &str) {
        let is_new = !self.others.iter().any(|known| known == name);
        if is_new && self.others.len() < OTHERS {
            self.others.push(name.to_owned());
        }
    }

    /// The account and the region of a log file, as far as they are not asked for.
    pub fn place(&mut self, key: &str, wanted: &Selection) {
        for (name, list) in [
            (trail::account(key), &wanted.accounts),
            (trail::region(key), &wanted.regions),
        ] {
            if let Some(name) = name.filter(|name| !list.contain(Some(name))) {
                self.other(name);
            }
        }
    }
}

/// A sentence about what there is elsewhere.
pub(super) async fn describe(bucket: &Arc<Bucket>) -> String {
    let found = std::mem::take(&mut *lock(&bucket.elsewhere));
    let url = bucket.client.url(&bucket.location.prefix);
    let mut search = Search {
        bucket,
        lists: LISTS,
        outside: found.outside,
    };
    let looked_at = search.regions(found.regions).await;
    if let Some(words) = search.outside.describe(bucket.wanted.asked, &url) {
        let mut far = String::new();
        if looked_at < found.all_regions {
            let all = count(found.all_regions as u64, "region");
            far = format!(", as far as {LISTS} requests in {looked_at} of {all} tell");
        }
        return words + &far;
    }
    let others = match found.others.is_empty() {
        true => String::new(),
        false => format!(", but of {}", found.others.join(", ")),
    };
    let wanted = &bucket.wanted;
    let whose = match (wanted.accounts.are_all(), wanted.regions.are_all()) {
        (true, true) => "",
        (false, true) => " of the accounts in s3AccountList",
        (true, false) => " of the regions in s3RegionList",
        (false, false) => " of the accounts in s3AccountList and the regions in s3RegionList",
    };
    format!("there is no log file{whose} under {url}{others}")
}

/// The search for the oldest and the newest log file.
struct Search<'a> {
    bucket: &'a Arc<Bucket>,
    /// Requests that are left.
    lists: usize,
    outside: Outside,
}

impl Search<'_> {
    /// Search regions, and tell how many there were requests for. The one that all accounts have events in comes first.
    async fn regions(&mut self, mut regions: Vec<String>) -> usize {
        regions.sort_by_key(|region| !region.contains("/us-east-1/"));
        for (index, region) in regions.iter().enumerate() {
            if self.region(region).await.is_none() {
                return index;
            }
        }
        regions.len()
    }

    /// None where it could not be searched to its end.
    async fn region(&mut self, prefix: &str) -> Option<()> {
        let first = Query {
            prefix: prefix.to_owned(),
            most: Some(FIRST_KEYS),
            ..Query::default()
        };
        let page = self.list(&first).await?;
        self.note(page);
        // The last year, month and day, and all of that.
        let mut folder = Some(prefix.to_owned());
        while let Some(prefix) = folder.take() {
            let mut query = Query {
                prefix,
                delimiter: true,
                ..Query::default()
            };
            loop {
                let mut page = self.list(&query).await?;
                folder = page.folders.pop().or(folder);
                let next = page.next.take();
                self.note(page);
                match next {
                    Some(next) => query.from = From::Page(next),
                    None => break,
                }
            }
        }
        Some(())
    }

    async fn list(&mut self, query: &Query) -> Option<Page> {
        self.lists = self.lists.checked_sub(1)?;
        self.bucket.list(query).await.ok()
    }

    /// Take note of the log files of a page.
    fn note(&mut self, page: Page) {
        for object in page.objects {
            let delivered = trail::delivery_time(&object.key).or(object.time);
            if let Some(delivered) = delivered.filter(|_| trail::is_log_file(&object.key)) {
                self.outside.add(delivered);
            }
        }
    }
}
