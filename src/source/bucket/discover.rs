//! Which listings make up a trail: one for each account, kind and region, found level by level.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use futures_util::future::{BoxFuture, try_join_all};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Bucket;
use super::layout::{FLOW_LOGS, Level, below, day, folder_name, level, region_folder};
use crate::aws::s3::page::{Objects, Page, behind};
use crate::aws::s3::{From, Query};
use crate::process::lock;
use crate::stats::Stats;
use crate::trail::{self, Interval};

/// Listings that are merged at the same time, so that memory and the time to the first event stay bounded. Where a
/// bucket has more, they are read one such group after the other, by account.
const MERGED: usize = 512;
/// Accounts that are looked into ahead of the merge.
const AHEAD: usize = 32;
/// Folders in which `AWSLogs/` is looked for. What is deeper, or more than these, is listed without its folders.
const FOLDERS: usize = 256;
/// How many levels deep `AWSLogs/` is looked for.
const DEPTH: usize = 6;
/// Accounts that are not selected, and folders of an account that are not CloudTrail's, below which trails are looked for.
const LEFT_OUT: usize = 256;

/// A range of keys in a bucket.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// What they begin with.
    pub prefix: String,
    /// The key after which to start, if not at the first one.
    pub start_after: Option<String>,
    /// The first key that no longer belongs to it.
    pub stop_at: Option<String>,
    /// A folder to leave out, because it has listings of its own.
    pub except: Option<String>,
    /// The region of which it has the days up to some end. What lies behind all days is listed at its end.
    pub region: Option<String>,
    /// Objects that are known already, so that nothing is listed.
    pub known: Option<Objects>,
    /// It is a region's folder, where the order of keys is the order of time.
    pub is_region: bool,
}

/// The listings found, in the order of their keys.
pub(super) struct Listings {
    stats: Arc<Stats>,
    branches: mpsc::Receiver<JoinHandle<Result<Vec<Listing>>>>,
    walk: Option<JoinHandle<Result<()>>>,
    /// Found, but not handed over in a group yet.
    ahead: Vec<Listing>,
    groups: usize,
}

/// Start to look below what the user named. Its first page may be known already.
pub(super) fn start(bucket: Arc<Bucket>, first: Option<Page>) -> Listings {
    let again = bucket.looks_again();
    let (branches, found) = mpsc::channel(AHEAD);
    let walker = Arc::new(Walker {
        bucket,
        branches,
        folders: AtomicUsize::new(0),
        other_accounts: AtomicUsize::new(0),
    });
    let stats = Arc::clone(&walker.bucket.stats);
    let prefix = walker.bucket.location.prefix.clone();
    let level = level(&prefix);
    let walk = tokio::spawn(async move { walker.walk(prefix, level, first).await });
    Listings {
        stats,
        branches: found,
        walk: Some(walk),
        ahead: Vec::new(),
        // The note about many regions is written once, not at each look.
        groups: usize::from(again),
    }
}

/// Listings that are known.
pub(super) fn known(bucket: &Bucket, listings: Vec<Listing>) -> Listings {
    Listings {
        stats: Arc::clone(&bucket.stats),
        branches: mpsc::channel(1).1,
        walk: None,
        ahead: listings,
        groups: 1,
    }
}

struct Walker {
    bucket: Arc<Bucket>,
    branches: mpsc::Sender<JoinHandle<Result<Vec<Listing>>>>,
    /// Folders above `AWSLogs/` looked into.
    folders: AtomicUsize,
    /// Accounts seen that are not selected, and those of flow logs.
    other_accounts: AtomicUsize,
}

impl Walker {
    /// Look below a prefix, and send what is found in the order of keys.
    fn walk(
        self: Arc<Self>,
        prefix: String,
        level: Level,
        first: Option<Page>,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            match level {
                Level::Above(_) | Level::Logs => self.branch_off(prefix, level, first).await,
                _ => {
                    let bucket = Arc::clone(&self.bucket);
                    self.send(tokio::spawn(async move {
                        listings(&bucket, prefix, level, first).await
                    }))
                    .await;
                    Ok(())
                }
            }
        })
    }

    async fn branch_off(
        self: Arc<Self>,
        prefix: String,
        level: Level,
        first: Option<Page>,
    ) -> Result<()> {
        let bucket = Arc::clone(&self.bucket);
        let mut query = folder_query(prefix.clone());
        let mut page = match first {
            Some(page) => page,
            None => bucket.list(&query).await?,
        };
        // The last key or folder of the pages so far.
        let mut done = String::new();
        loop {
            let next = page.next.take();
            let goes_on = next.is_some();
            query.from = next.map_or(From::Start, From::Page);
            let folders = mem::take(&mut page.folders);
            if let Level::Above(depth) = level {
                let others = folders
                    .iter()
                    .filter(|folder| folder_name(folder) != "AWSLogs")
                    .count();
                let looked_into = self.folders.fetch_add(others, Ordering::Relaxed);
                if others > 0 && (depth >= DEPTH || looked_into + others > FOLDERS) {
                    return self.flat(prefix, done).await;
                }
            }
            let last_object = page.objects.last_key();
            // This counts objects and, in a bucket that is followed, remembers them. So it has to wait until it is
            // clear that they are not listed again.
            let known = bucket.wanted(mem::take(&mut page.objects), |_| true);
            // A folder with more log files than folders: the rest of it is read as one listing.
            let is_full_of_files =
                matches!(level, Level::Above(_)) && goes_on && known.len() > folders.len();
            // Otherwise, the next page is fetched while the folders of this one are looked into.
            let next = (goes_on && !is_full_of_files).then(|| {
                let (bucket, query) = (Arc::clone(&bucket), query.clone());
                tokio::spawn(async move { bucket.list(&query).await })
            });
            let last_folder = folders.last().map(|folder| behind(folder));
            done = done
                .max(last_object.unwrap_or_default())
                .max(last_folder.unwrap_or_default());
            if !known.is_empty() {
                self.send_one(Listing {
                    known: Some(known),
                    ..Listing::default()
                })
                .await;
            }
            Arc::clone(&self).walk_into(folders, level).await?;
            match next {
                Some(next) => page = next.await.context("listing folders")??,
                None if is_full_of_files => return self.flat(prefix, done).await,
                None => return Ok(()),
            }
        }
    }

    /// Look into the folders of a page, one after the other. Their first pages are requested at the same time.
    async fn walk_into(self: Arc<Self>, folders: Vec<String>, level: Level) -> Result<()> {
        let mut walks = Vec::new();
        for folder in folders {
            let Some(child) = self.bucket.level_of(&folder, level) else {
                continue;
            };
            if child == Level::Other {
                self.bucket.pass_over(&folder);
            }
            if matches!(child, Level::OtherAccount | Level::Other) {
                let before = self.other_accounts.fetch_add(1, Ordering::Relaxed);
                if !self.bucket.looks_below(&folder, before) {
                    continue;
                }
            }
            let first = matches!(child, Level::Above(_) | Level::Logs).then(|| {
                let (bucket, query) = (Arc::clone(&self.bucket), folder_query(folder.clone()));
                tokio::spawn(async move { bucket.list(&query).await })
            });
            walks.push((folder, child, first));
        }
        for (folder, child, first) in walks {
            let first = match first {
                Some(first) => Some(first.await.context("listing folders")??),
                None => None,
            };
            Arc::clone(&self).walk(folder, child, first).await?;
        }
        Ok(())
    }

    /// There are too many folders to look into each: list everything after `done` as one listing, except `AWSLogs/`.
    async fn flat(self: Arc<Self>, prefix: String, done: String) -> Result<()> {
        let parent = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
        let logs = format!("{parent}AWSLogs/");
        let except = (logs.starts_with(&prefix) && logs > done).then_some(logs);
        self.send_one(Listing {
            start_after: (!done.is_empty()).then_some(done),
            except: except.clone(),
            prefix,
            ..Listing::default()
        })
        .await;
        match except {
            Some(logs) => self.walk(logs, Level::Logs, None).await,
            None => Ok(()),
        }
    }

    async fn send_one(&self, listing: Listing) {
        self.send(tokio::spawn(std::future::ready(Ok(vec![listing]))))
            .await;
    }

    async fn send(&self, branch: JoinHandle<Result<Vec<Listing>>>) {
        // After a close, nobody receives it.
        _ = self.branches.send(branch).await;
    }
}

/// Lists what is directly in a folder: its objects and folders.
fn folder_query(prefix: String) -> Query {
    Query {
        prefix,
        delimiter: true,
        ..Query::default()
    }
}

impl Bucket {
    /// What a folder is to be read as; none of a region that is not selected.
    fn level_of(&self, folder: &str, above: Level) -> Option<Level> {
        let name = folder_name(folder);
        let level = below(above, name);
        let (list, otherwise) = match (above, level) {
            (_, Level::Account) => (&self.wanted.accounts, Some(Level::OtherAccount)),
            (Level::Kind, Level::Files) => (&self.wanted.regions, None),
            (Level::Account | Level::OtherAccount, Level::Files) => return Some(Level::Other),
            (Level::Logs, Level::Files) if name.starts_with(FLOW_LOGS) => {
                return Some(Level::Other);
            }
            _ => return Some(level),
        };
        if list.contain(Some(name)) {
            return Some(level);
        }
        lock(&self.elsewhere).other(name);
        otherwise
    }

    /// Take note of digests, or another service's files, such as those of AWS Config or flow logs.
    fn pass_over(&self, folder: &str) {
        // What is followed is not validated.
        if folder_name(folder) == trail::DIGESTS && self.follow.is_none() {
            self.digest_folders().push(folder.to_owned());
        }
        self.stats.passed_over.add(u64::from(!self.looks_again()));
    }

    /// Is a trail looked for below this folder, when so many that are left out came before?
    fn looks_below(&self, folder: &str, before: usize) -> bool {
        if before == LEFT_OUT && !self.looks_again() {
            self.stats.note(format!(
                "more than {LEFT_OUT} folders belong to accounts that are not in s3AccountList, or to other services: \
                 trails below {} and those after it are not looked for",
                self.client.url(folder)
            ));
        }
        before < LEFT_OUT
    }
}

/// The listings of an account or below.
fn listings(
    bucket: &Arc<Bucket>,
    prefix: String,
    level: Level,
    first: Option<Page>,
) -> BoxFuture<'_, Result<Vec<Listing>>> {
    Box::pin(async move {
        if level == Level::Files {
            return Ok(vec![files(bucket, prefix)]);
        }
        let (prefix, level) = match level {
            Level::Other => (prefix + "AWSLogs/", Level::Logs),
            _ => (prefix, level),
        };
        let mut query = folder_query(prefix);
        let mut page = match first {
            Some(page) => page,
            None => bucket.list(&query).await?,
        };
        let mut found = Vec::new();
        let mut others = 0;
        loop {
            let objects = mem::take(&mut page.objects);
            let known = bucket.wanted(objects, |_| level != Level::OtherAccount);
            if !known.is_empty() {
                found.push(Listing {
                    known: Some(known),
                    ..Listing::default()
                });
            }
            let below = mem::take(&mut page.folders)
                .into_iter()
                .filter_map(|folder| {
                    let child = bucket.level_of(&folder, level)?;
                    if child == Level::Other {
                        if level == Level::Account {
                            bucket.pass_over(&folder);
                        }
                        others += 1;
                        if !bucket.looks_below(&folder, others - 1) {
                            return None;
                        }
                    }
                    Some(listings(bucket, folder, child, None))
                });
            found.extend(try_join_all(below).await?.into_iter().flatten());
            match page.next.take() {
                Some(next) => query.from = From::Page(next),
                None => return Ok(found),
            }
            page = bucket.list(&query).await?;
        }
    })
}

/// The listing of a region's folder, or of another folder of files, limited to the interval.
pub(super) fn files(bucket: &Bucket, prefix: String) -> Listing {
    // The region's folder, above the days; without one there is no order to rely on.
    let Some(region) = region_folder(&prefix).map(str::to_owned) else {
        return Listing {
            prefix,
            ..Listing::default()
        };
    };
    lock(&bucket.elsewhere).region(&prefix);
    let Interval { start, end } = bucket.wanted.interval;
    let folder = |time: Timestamp| format!("{region}{}", day(time));
    let seen = bucket
        .follow
        .as_ref()
        .and_then(|follow| follow.memory().region(&region, &prefix));
    let after_end = end.and_then(|end| end.checked_add(SignedDuration::from_hours(24)).ok());
    let start_after = start.map(folder).max(seen).filter(|start| *start > prefix);
    // The common beginning of all days of the interval, so that pages hold few keys of other days.
    let days = match (start.map(folder), end.map(folder)) {
        (Some(first), Some(last)) => {
            let same = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b);
            first[..same.count()].to_owned()
        }
        _ => String::new(),
    };
    Listing {
        start_after,
        is_region: true,
        stop_at: after_end.map(folder),
        // What the user named may lie deeper.
        region: (end.is_some() && prefix == region).then_some(region),
        prefix: match days.starts_with(&prefix) {
            true => days,
            false => prefix,
        },
        ..Listing::default()
    }
}

impl Listings {
    /// Objects that are known already come first.
    pub fn add(&mut self, known: Objects) {
        if !known.is_empty() {
            self.ahead.push(Listing {
                known: Some(known),
                ..Listing::default()
            });
        }
    }

    /// The next listings to merge: all of them, or as many as can be merged at once. Empty at the end.
    pub async fn next_group(&mut self) -> Result<Vec<Listing>> {
        while self.ahead.len() <= MERGED {
            match self.branches.recv().await {
                Some(branch) => self.ahead.extend(branch.await.context("listing folders")??),
                None => {
                    if let Some(walk) = self.walk.take() {
                        walk.await.context("listing folders")??;
                    }
                    break;
                }
            }
        }
        self.groups += 1;
        if self.ahead.len() > MERGED {
            if self.groups == 1 {
                self.stats.note(format!(
                    "more than {MERGED} accounts and regions: their events come by account, and in time order among {MERGED} of them"
            ));
            }
            let rest = self.ahead.split_off(MERGED);
            return Ok(mem::replace(&mut self.ahead, rest));
        }
        Ok(mem::take(&mut self.ahead))
    }
}
