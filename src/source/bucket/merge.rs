//! Merges many listings, each in order of time, into one.

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

/// About how many keys are held in total. With more listings, pages are smaller, so that memory does not grow.
const HELD: usize = 256 << 10;
/// How many keys of a listing without an order of time are sorted: ten pages, so that the first event comes soon.
const SORTED: usize = 10_000;
/// Keys per page, at least and at most.
const PAGE: RangeInclusive<usize> = 200..=1000;

/// Listings being merged by time of delivery.
pub(super) struct Merge {
    bucket: Arc<Bucket>,
    cursors: Vec<Cursor>,
    /// The first log file of each listing that has any left.
    heads: BinaryHeap<Reverse<Head>>,
    /// The log file that came last.
    last: Option<Head>,
    /// Its twins, if there are any.
    twins: Option<Arc<Twins>>,
    /// The listing that the last file came from, and the file after it there, if that is known.
    taken_from: Option<(usize, Option<Head>)>,
    /// How many listings still have pages to come.
    unlisted: usize,
}

/// The next log file of a listing. Those of one minute are ordered by name, so that twins follow each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// When it was delivered, in seconds since the epoch.
    time: i64,
    name: String,
    /// The listing.
    index: usize,
}

impl Head {
    /// Do both have the same time and name, and a name that CloudTrail gives?
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
    /// Keys per page.
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
            let head = merge.head(index);
            merge.heads.extend(head.map(Reverse));
            merge.unlisted += usize::from(!merge.cursors[index].is_listed());
        }
        Ok(merge)
    }

    /// When the first log file was delivered.
    pub fn first(&self) -> Option<Timestamp> {
        let Reverse(head) = self.heads.peek()?;
        Timestamp::from_second(head.time).ok()
    }

    /// The log file that was delivered first among all that are left, and its twins.
    pub async fn next(&mut self) -> Result<Option<(Object, Option<Arc<Twins>>)>> {
        // The listing of the last file is refilled only now, so that the file itself waited for no page, nor for its error.
        if let Some((index, following)) = self.taken_from.take() {
            let cursor = &mut self.cursors[index];
            let was_listed = cursor.is_listed();
            cursor.fill(&self.bucket).await?;
            self.unlisted -= usize::from(!was_listed && cursor.is_listed());
            let following = following.or_else(|| self.head(index));
            self.heads.extend(following.map(Reverse));
        }
        let Some(Reverse(head)) = self.heads.pop() else {
            return Ok(None);
        };
        let object = self.cursors[head.index].files.next();
        let is_twin = |other: Option<&Head>| other.is_some_and(|other| head.is_twin(other));
        let following = self.head(head.index);
        let cursor = &self.cursors[head.index];
        // The next page may begin with a twin.
        let ends_a_page = cursor.files.is_empty() && !cursor.is_listed();
        let of_next = ends_a_page
            || is_twin(self.heads.peek().map(|Reverse(next)| next))
            || is_twin(following.as_ref());
        let of_last = is_twin(self.last.as_ref());
        if !of_last {
            self.twins = of_next.then(|| Twins::new(&self.bucket.stats));
        }
        self.taken_from = Some((head.index, following));
        self.last = Some(head);
        Ok(object.map(|object| (object, self.twins.clone())))
    }

    /// Is there nothing left to list?
    pub fn is_listed(&self) -> bool {
        self.unlisted == 0
    }

    /// The next log file of a listing.
    fn head(&self, index: usize) -> Option<Head> {
        let files = &self.cursors[index].files;
        Some(Head {
            time: files.next_time()?,
            name: twins::name(&files.first_key()?).to_owned(),
            index,
        })
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

    fn ask(&self, bucket: &Arc<Bucket>, from: From) -> NextPage {
        let (bucket, query) = (Arc::clone(bucket), self.query(from));
        NextPage::Asked(tokio::spawn(async move { bucket.list(&query).await }))
    }

    /// Request the next page early enough, and wait for it if no files are left.
    async fn fill(&mut self, bucket: &Arc<Bucket>) -> Result<()> {
        loop {
            if let NextPage::Known(next) = &self.next
                // Early enough for S3 to answer, but not together with the first page, which others wait for.
                && self.files.len() <= self.page * 2 / 5
            {
                self.next = self.ask(bucket, From::Page(next.clone()));
            }
            if !self.files.is_empty() {
                return Ok(());
            }
            match std::mem::replace(&mut self.next, NextPage::None) {
                NextPage::Asked(page) => {
                    let page = page.await.context("listing log files")??;
                    self.take(bucket, page);
                }
                // A known page was requested above, since no files are left.
                NextPage::None | NextPage::Known(_) => return Ok(()),
            }
        }
    }

    /// Sort a listing without an order of time, up to [`SORTED`] keys.
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

    /// Take over the keys of a page that belong to the listing.
    fn take(&mut self, bucket: &Arc<Bucket>, page: Page) {
        let last_key = page.objects.last_key();
        let except = self.listing.except.as_deref().unwrap_or_default();
        let stop_at = self.listing.stop_at.as_deref();
        let stopped = stop_at.is_some_and(|stop| last_key.as_deref() >= Some(stop));
        self.files = bucket.wanted(page.objects, |key| {
            stop_at.is_none_or(|stop| key < stop) && (except.is_empty() || !key.starts_with(except))
        });
        self.next = match page.next.filter(|_| !stopped) {
            None => match self.listing.region.take() {
                None => NextPage::None,
                // A trail may have the region's folder as its prefix. Years are digits, and a colon comes next.
                Some(region) => {
                    let behind_days = format!("{region}:");
                    self.listing.prefix = region;
                    self.listing.stop_at = None;
                    self.ask(bucket, From::After(behind_days))
                }
            },
            // The page ends in the folder that is left out: go on after it.
            Some(_)
                if !except.is_empty() && last_key.is_some_and(|key| key.starts_with(except)) =>
            {
                self.ask(bucket, From::After(behind(except)))
            }
            Some(next) => NextPage::Known(next),
        };
    }
}

impl Bucket {
    /// The log files to read among some objects, with their times of delivery. All others are counted, except those
    /// that do not belong to the listing.
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
            // An object that the user named is read whatever its name is.
            if !trail::is_log_file(key) && key != self.location.prefix {
                self.stats.passed_over.add(1);
                continue;
            }
            let delivered = trail::delivery_time(key)
                .or(object.time)
                .unwrap_or_default();
            if !self.wanted.takes_place(key) {
                lock(&self.elsewhere).place(key, &self.wanted);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::aws::memory::{Aws, To};
    use crate::clock::Clock;
    use crate::settings::location::BucketLocation;
    use crate::source::Source;
    use crate::source::bucket::{BucketSource, open};
    use crate::trail::Selection;

    const START: &str = "2024-03-05T12:00:00Z";

    fn key(region: &str, minute: u8, name: &str) -> String {
        format!(
            "AWSLogs/111122223333/CloudTrail/{region}/2024/03/05/\
             111122223333_CloudTrail_{region}_20240305T12{minute:02}Z_{name}.json.gz"
        )
    }

    fn objects(keys: &[String]) -> Objects {
        let mut objects = Objects::new(&"".into());
        for key in keys {
            let time = trail::delivery_time(key);
            objects.push(&Object {
                key: key.clone(),
                time,
                ..Object::default()
            });
        }
        objects
    }

    /// A bucket with these objects, which are empty. What is looked for in it is below the prefix.
    async fn bucket(aws: &Arc<Aws>, keys: &[String], prefix: &str) -> BucketSource {
        for key in keys {
            aws.put(key, Vec::new());
        }
        let folder = tempfile::tempdir().unwrap();
        let location = BucketLocation {
            bucket: "logs".to_owned(),
            prefix: prefix.to_owned(),
            ..BucketLocation::default()
        };
        let (settings, environment) = (Aws::settings(folder.path()), aws.environment());
        let wanted = Selection::default();
        let source = open(location, wanted, &settings, &environment, Arc::default());
        source.await.unwrap()
    }

    fn aws() -> Arc<Aws> {
        Aws::new(Clock::at(START.parse().unwrap()), |_, _| None)
    }

    /// Merge listings, and take all. Gives the keys in the order in which they come, each with the number of its group of
    /// twins, if it has any.
    async fn taken(source: &BucketSource, listings: Vec<Listing>) -> Vec<(String, Option<usize>)> {
        let mut merge = Merge::start(&source.bucket, listings).await.unwrap();
        let mut groups: Vec<Arc<Twins>> = Vec::new();
        let mut found = Vec::new();
        while let Some((object, twins)) = merge.next().await.unwrap() {
            let group = twins.map(|twins| {
                let known = groups.iter().position(|group| Arc::ptr_eq(group, &twins));
                known.unwrap_or_else(|| {
                    groups.push(twins);
                    groups.len() - 1
                })
            });
            found.push((object.key, group));
        }
        assert!(merge.is_listed());
        found
    }

    /// Merge listings whose objects are known.
    async fn merged(listings: &[Vec<String>]) -> Vec<(String, Option<usize>)> {
        let source = bucket(&aws(), &["AWSLogs/x".to_owned()], "").await;
        let listings = listings.iter().map(|keys| Listing {
            known: Some(objects(keys)),
            is_region: true,
            ..Listing::default()
        });
        taken(&source, listings.collect()).await
    }

    /// Put objects into a bucket and merge listings of it, page by page.
    async fn listed(keys: &[String], listings: Vec<Listing>) -> Vec<(String, Option<usize>)> {
        let source = bucket(&aws(), keys, "").await;
        taken(&source, listings).await
    }

    /// The listing of a region's folder.
    fn region(region: &str) -> Listing {
        Listing {
            prefix: format!("AWSLogs/111122223333/CloudTrail/{region}/"),
            is_region: true,
            ..Listing::default()
        }
    }

    /// More than a page of log files of one region, in the order of their keys.
    fn more_than_a_page() -> Vec<String> {
        let name = |number: usize| {
            let minute = u8::try_from(number / 20).unwrap();
            key("eu-west-1", minute, &format!("{number:04}"))
        };
        (0..*PAGE.end() + 100).map(name).collect()
    }

    #[tokio::test]
    async fn the_pages_of_a_listing_follow_each_other() {
        let keys = more_than_a_page();
        let found = listed(&keys, vec![region("eu-west-1")]).await;
        let found: Vec<String> = found.into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, keys);
    }

    #[tokio::test]
    async fn twins_may_be_on_two_pages() {
        let mut keys = more_than_a_page();
        let packed = keys.swap_remove(*PAGE.end() - 1);
        keys.truncate(*PAGE.end() - 1);
        let unpacked = packed.trim_end_matches(".gz").to_owned();
        let twins = [unpacked, packed];
        keys.extend(twins.clone());
        let found = listed(&keys, vec![region("eu-west-1")]).await;
        assert!(found.ends_with(&twins.map(|key| (key, Some(0)))));
    }

    #[tokio::test]
    async fn log_files_come_by_the_time_in_their_name_not_by_that_of_the_object() {
        let [early, late] = [key("us-east-1", 1, "a"), key("eu-west-1", 2, "b")];
        let keys = [late.clone(), early.clone()];
        let found = listed(&keys, vec![region("eu-west-1"), region("us-east-1")]).await;
        assert_eq!(found, [(early, None), (late, None)]);
    }

    #[tokio::test]
    async fn a_listing_without_folders_of_days_is_sorted_across_its_pages() {
        let mut keys: Vec<String> = (0..*PAGE.end() + 100)
            .map(|number| {
                let (account, minute) = (100_000_000_000 + number, 59 - number / 20);
                format!("flat/{account}_CloudTrail_us-east-1_20240305T12{minute:02}Z_x.json.gz")
            })
            .collect();
        let listing = Listing {
            prefix: "flat/".to_owned(),
            ..Listing::default()
        };
        let found = listed(&keys, vec![listing]).await;
        let found: Vec<String> = found.into_iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| (trail::delivery_time(key), key.clone()));
        assert_eq!(found, keys);
    }

    #[tokio::test]
    async fn a_listing_begins_and_ends_where_it_is_told_to() {
        let keys = more_than_a_page();
        let source = bucket(&aws(), &keys, "").await;
        let listing = || Listing {
            start_after: Some(keys[9].clone()),
            stop_at: Some(keys[500].clone()),
            ..region("eu-west-1")
        };
        let merge = Merge::start(&source.bucket, vec![listing()]).await.unwrap();
        assert!(merge.is_listed(), "no page behind the end is asked for");
        let found = taken(&source, vec![listing()]).await;
        let found: Vec<String> = found.into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, keys[10..500]);
    }

    #[tokio::test]
    async fn a_folder_that_is_left_out_is_neither_read_nor_listed_to_its_end() {
        let inside = (0..3 * PAGE.end()).map(|number| format!("x/AWSLogs/{number:04}.json"));
        let outside = "x/zz.json".to_owned();
        let keys: Vec<String> = inside.chain([outside.clone()]).collect();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let aws = Aws::new(Clock::at(START.parse().unwrap()), move |to, _| {
            counted.fetch_add(usize::from(to == To::S3), Relaxed);
            None
        });
        let mut source = bucket(&aws, &keys, "").await;
        // Reads all of it, so that nothing else lists the bucket after that.
        while source.next().await.unwrap().is_some() {}
        let before = requests.load(Relaxed);
        let listing = Listing {
            prefix: "x/".to_owned(),
            except: Some("x/AWSLogs/".to_owned()),
            ..Listing::default()
        };
        assert_eq!(taken(&source, vec![listing]).await, [(outside, None)]);
        assert_eq!(requests.load(Relaxed) - before, 2);
    }

    /// The keys of all log files below a prefix, and how many objects of other kinds were counted.
    async fn read(keys: &[&str], prefix: &str) -> (Vec<String>, u64) {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let mut source = bucket(&aws(), &keys, prefix).await;
        let mut found = Vec::new();
        while let Some(file) = source.next().await.unwrap() {
            found.push(file.name);
        }
        (found, source.bucket.stats.passed_over.get())
    }

    #[tokio::test]
    async fn objects_of_other_kinds_are_counted_but_not_the_consoles_folders() {
        let folder = "AWSLogs/111122223333/CloudTrail/eu-west-1/";
        let file = key("eu-west-1", 1, "a");
        let note = format!("{folder}readme.txt");
        let (found, passed_over) = read(&[folder, &file, &note], "").await;
        assert_eq!(found, [format!("s3://logs/{file}")]);
        assert_eq!(passed_over, 1);
    }

    #[tokio::test]
    async fn an_object_that_the_user_names_is_read_whatever_its_name() {
        let (found, passed_over) =
            read(&["x/events.txt", "x/events.txt.old"], "x/events.txt").await;
        assert_eq!(found, ["s3://logs/x/events.txt"]);
        assert_eq!(passed_over, 1);
    }

    #[tokio::test]
    async fn listings_are_merged_by_time_then_by_name() {
        let [a, b, c, d, e] = [
            key("eu-west-1", 1, "a"),
            key("us-east-1", 2, "b"),
            key("eu-west-1", 3, "c"),
            key("us-east-1", 3, "d"),
            key("eu-west-1", 9, "e"),
        ];
        let listings = [
            vec![b.clone(), d.clone()],
            Vec::new(),
            vec![a.clone(), c.clone(), e.clone()],
        ];
        let found = merged(&listings).await;
        assert_eq!(found, [a, b, c, d, e].map(|key| (key, None)));
    }

    #[tokio::test]
    async fn log_files_of_one_name_and_time_share_a_group_of_twins() {
        let packed = key("eu-west-1", 1, "a");
        let unpacked = packed.trim_end_matches(".gz").to_owned();
        let copy = format!("copy/{packed}");
        let later = key("eu-west-1", 2, "b");
        let later_copy = format!("copy/{later}");
        let alone = key("eu-west-1", 3, "c");
        let listings = [
            // Two within one listing, and a third in another.
            vec![
                unpacked.clone(),
                packed.clone(),
                later.clone(),
                alone.clone(),
            ],
            vec![copy.clone(), later_copy.clone()],
        ];
        let found = merged(&listings).await;
        let expected = [
            (unpacked, Some(0)),
            (packed, Some(0)),
            (copy, Some(0)),
            (later, Some(1)),
            (later_copy, Some(1)),
            (alone, None),
        ];
        assert_eq!(found, expected);
    }

    /// Two exports may be called the same and have nothing to do with each other.
    #[tokio::test]
    async fn names_that_are_not_from_cloudtrail_make_no_twins() {
        let found = merged(&[vec!["a/x.json".to_owned()], vec!["b/x.json".to_owned()]]).await;
        assert_eq!(
            found,
            [("a/x.json".to_owned(), None), ("b/x.json".to_owned(), None)]
        );
    }
}
