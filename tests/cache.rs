//! The cache of a bucket's log files: what is read a second time costs listings only, and is what the bucket holds.

use std::{
    fs,
    hash::Hasher,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use harness::{
    aws::{Aws, Fault, Op},
    capture::{Capture, Seen},
    digest::{Chain, Signer, public_keys},
    fast_s3::Objects,
    faulty::{Faulty, Trouble},
    trail::{self, LogFile, Maker},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use twox_hash::XxHash64;

const URL: &str = "s3://logs/AWSLogs/";
/// What is behind an object in its file: a mark, the length and a checksum.
const END: usize = 24;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// A bucket, whose listings tell ETags, and a folder for the cache.
struct World {
    aws: Aws,
    files: Vec<LogFile>,
    folder: TempDir,
}

impl World {
    fn new(files: usize) -> Self {
        let (aws, files) = Aws::with_trail(files);
        aws.etags();
        let folder = TempDir::new().unwrap();
        Self { aws, files, folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn capture(&self, config: Value) -> Capture {
        Capture::new(URL)
            .aws(&self.aws)
            .config(json!({"cachePath": self.cache()}))
            .config(config)
    }

    /// Reads the bucket; what was seen, and how many objects were asked for.
    fn read(&self, config: Value) -> (Seen, usize) {
        let before = self.gets();
        let seen = self.capture(config).run();
        assert_eq!(seen.error, None, "{}", seen.words());
        (seen, self.gets() - before)
    }

    fn gets(&self) -> usize {
        self.aws.log_of(Op::GetObject).len()
    }

    /// Reads the bucket, all of whose events must come; how many objects were asked for.
    fn read_all(&self, config: Value) -> usize {
        let (seen, gets) = self.read(config);
        assert_eq!(seen.ids(), trail::ids(&self.files));
        gets
    }
}

/// The files of objects in a cache.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if folder.is_dir() {
            found.extend(
                fs::read_dir(folder)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    found.sort();
    found
}

/// Hits, stored, damaged.
fn counts(seen: &Seen) -> [u64; 3] {
    ["cache_hits", "cache_stored", "cache_damaged"].map(|name| seen.metrics[name])
}

/// The file of this content in the cache.
fn entry_of(cache: &Path, content: &[u8]) -> PathBuf {
    let mut entries = entries(cache).into_iter();
    let found = entries.find(|path| fs::read(path).unwrap().starts_with(content));
    found.expect("it is in the cache")
}

#[test]
fn what_was_read_once_costs_listings_only() {
    let world = World::new(40);
    let (seen, gets) = world.read(json!({}));
    assert_eq!((seen.ids(), gets), (trail::ids(&world.files), 40));
    assert_eq!(counts(&seen), [0, 40, 0]);
    assert!(!seen.log().contains("from the cache"), "{}", seen.log());
    // As stored.
    for file in &world.files {
        let stored = file.gz();
        let kept = fs::read(entry_of(&world.cache(), &stored)).unwrap();
        assert_eq!(kept.len(), stored.len() + END);
    }
    let (seen, gets) = world.read(json!({}));
    assert_eq!((seen.ids(), gets), (trail::ids(&world.files), 0));
    assert_eq!(counts(&seen), [40, 0, 0]);
    let summary = "80 events from 40 log files, 40 of them from the cache";
    assert!(seen.log().contains(summary), "{}", seen.log());
    // Another filter, another interval, other values to hide.
    let (seen, gets) = world.read(json!({"filter": "ct.readonly=false"}));
    assert!(seen.ids().len() < 80 && gets == 0);
    let interval = json!({"s3Interval": "2024-03-05T12:05Z-2024-03-05T12:30Z"});
    let (seen, gets) = world.read(interval);
    assert!(!seen.ids().is_empty() && seen.ids().len() < 80 && gets == 0);
    let (seen, gets) = world.read(json!({"redact": "/userIdentity/arn"}));
    assert!(seen.metrics["values_redacted"] > 0 && gets == 0);
    // Without the cache.
    let before = world.gets();
    let events = Capture::new(URL).aws(&world.aws).events();
    assert_eq!((events.len(), world.gets() - before), (80, 40));
}

#[test]
fn an_object_that_was_replaced_is_fetched_again() {
    let mut world = World::new(5);
    assert_eq!(world.read_all(json!({})), 5);
    // Of the same size: only the ETag tells.
    let text = String::from_utf8(world.files[2].json()).unwrap();
    let key = world.files[2].key("");
    world.aws.put("logs", &key, text.as_bytes());
    assert_eq!(world.read_all(json!({})), 1);
    let record = &mut world.files[2].records[0];
    let id = record.id.clone();
    let other = format!("{}{}", &id[1..], &id[..1]);
    world
        .aws
        .put("logs", &key, text.replace(&id, &other).as_bytes());
    let (seen, gets) = world.read(json!({}));
    assert_eq!(gets, 1);
    assert!(seen.ids().contains(&other) && !seen.ids().contains(&id));
    assert_eq!(world.read(json!({})).1, 0);
}

#[test]
fn what_is_damaged_is_fetched_again() {
    let world = World::new(6);
    assert_eq!(world.read_all(json!({})), 6);
    let entries = entries(&world.cache());
    let flip = |path: &Path, from_end: usize| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    // In the content, its end, and the checksum.
    flip(&entries[0], END + 100);
    flip(&entries[1], END);
    flip(&entries[2], 1);
    let bytes = fs::read(&entries[3]).unwrap();
    fs::write(&entries[3], &bytes[..bytes.len() - 1]).unwrap();
    fs::write(&entries[4], "").unwrap();
    let (seen, gets) = world.read(json!({}));
    assert_eq!((seen.ids(), gets), (trail::ids(&world.files), 5));
    assert_eq!(counts(&seen), [1, 5, 5]);
    assert_eq!(world.read_all(json!({})), 0);
}

/// Gives a file of the cache another content of the same length, with a checksum that is right.
fn forge(path: &Path, content: &[u8]) {
    let name =
        [path.parent().unwrap(), path].map(|part| part.file_name().unwrap().to_str().unwrap());
    let name = name.concat();
    let name: Vec<u8> = (0..name.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&name[at..at + 2], 16).unwrap())
        .collect();
    let mut checksum = XxHash64::with_seed(0);
    checksum.write(&name);
    checksum.write(content);
    let length = (content.len() as u64).to_le_bytes();
    let end = [&b"ctcache1"[..], &length, &checksum.finish().to_le_bytes()].concat();
    fs::write(path, [content, &end].concat()).unwrap();
}

#[test]
fn what_is_read_from_the_cache_is_validated() {
    let world = World::new(0);
    let files = Maker::new(1).trail(&["123456789012"], &["eu-west-1"], "20240305T1005Z", 12, 2);
    let mut chain = Chain::new("logs", "123456789012", "eu-west-1");
    for file in &files {
        file.put(&world.aws, "logs");
    }
    // As it is, so that another text can have its length.
    world.aws.put("logs", &files[5].key(""), &files[5].json());
    chain
        .digest(&Signer::one(), "20240305T1000Z", &files)
        .put(&world.aws);
    let read = |validate: &str| {
        let keys = public_keys(&[&Signer::one()]).to_string();
        let capture = world
            .capture(json!({"validate": validate}))
            .file("keys.json", &keys);
        let keys = capture.home().join("keys.json");
        let before = world.gets();
        let seen = capture.config(json!({"validateKeys": keys})).run();
        (seen, world.gets() - before)
    };
    let (seen, gets) = read("strict");
    assert_eq!(seen.error, None, "{}", seen.words());
    // With the digest.
    assert_eq!((seen.metrics["files_proven"], gets), (12, 13));
    let (seen, gets) = read("strict");
    assert_eq!(
        (seen.ids(), seen.error.as_ref()),
        (trail::ids(&files), None)
    );
    assert_eq!((seen.metrics["files_proven"], gets), (12, 1));
    assert_eq!(counts(&seen), [12, 0, 0]);
    // Another event of the same length, with a checksum that is right.
    let text = String::from_utf8(files[5].json()).unwrap();
    let id = &files[5].records[0].id;
    let forged = text.replace(id.as_str(), &format!("{}{}", &id[1..], &id[..1]));
    assert!(forged != text);
    forge(
        &entry_of(&world.cache(), text.as_bytes()),
        forged.as_bytes(),
    );
    let (seen, gets) = read("warn");
    assert_eq!(counts(&seen), [12, 0, 0]);
    assert_eq!(
        (seen.metrics["files_modified"], gets),
        (1, 1),
        "{}",
        seen.words()
    );
    let (seen, _) = read("strict");
    let (_, error) = seen.error.clone().unwrap();
    let modified = "was modified after CloudTrail had delivered it";
    assert!(error.contains(modified), "{error}");
    assert_eq!(seen.ids(), trail::ids(&files[..5]));
}

/// One large log file, and a small one after it.
fn put_large(world: &World) -> (LogFile, LogFile) {
    let mut maker = Maker::new(7);
    let [large, small] = ["20240305T1205Z", "20240305T1210Z"]
        .map(|time| maker.file("123456789012", "us-east-1", time, 3));
    // Blanks between records are of no meaning.
    let mut text = large.json();
    text.splice(1..1, std::iter::repeat_n(b' ', 36 << 20));
    world.aws.put("logs", &large.key(""), &text);
    small.put(&world.aws, "logs");
    (large, small)
}

#[test]
fn a_large_object_is_kept_and_read_in_pieces() {
    let world = World::new(0);
    let (large, small) = put_large(&world);
    let ids = trail::ids(&[large, small]);
    let (seen, gets) = world.read(json!({}));
    assert!(gets > 5, "it comes in ranges: {gets}");
    assert_eq!((seen.ids(), counts(&seen)), (ids.clone(), [0, 2, 0]));
    let (seen, gets) = world.read(json!({}));
    assert_eq!(
        (seen.ids(), counts(&seen), gets),
        (ids.clone(), [2, 0, 0], 0)
    );
    let path = entry_of(&world.cache(), b"{    ");
    let mut bytes = fs::read(&path).unwrap();
    bytes[30 << 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (seen, gets) = world.read(json!({}));
    assert_eq!((seen.ids(), counts(&seen)), (ids.clone(), [1, 1, 1]));
    assert!(gets > 5, "{gets}");
    // What is larger than all of it is not kept.
    let small = json!({"cachePath": world.folder.path().join("small"), "cacheSize": "30MB"});
    let (seen, _) = world.read(small);
    assert_eq!((seen.ids(), counts(&seen)), (ids, [0, 1, 0]));
}

#[test]
fn a_download_that_fails_is_not_kept() {
    let world = World::new(0);
    put_large(&world);
    // Its last range.
    world.aws.fault(
        |request| {
            let range = request.headers.get("range");
            request.op == Op::GetObject
                && range.is_some_and(|range| range.starts_with("bytes=33554432-"))
        },
        Fault::denied(),
    );
    let seen = world.capture(json!({})).run();
    assert!(seen.words().contains("Access Denied"), "{}", seen.words());
    assert_eq!(counts(&seen), [0, 1, 0]);
    assert_eq!(entries(&world.cache()).len(), 1);
}

#[test]
fn without_an_etag_each_is_fetched_again() {
    let (aws, files) = Aws::with_trail(5);
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    for gets in [5, 10] {
        let config = json!({"cachePath": cache});
        let seen = Capture::new(URL).aws(&aws).config(config).run();
        assert_eq!((seen.ids(), counts(&seen)), (trail::ids(&files), [0, 0, 0]));
        assert_eq!(aws.log_of(Op::GetObject).len(), gets);
    }
    assert_eq!(entries(&cache).len(), 0);
}

/// A bucket with one log file, of whose ETag listing and answers may differ.
struct One {
    file: LogFile,
    body: Bytes,
}

impl Objects for One {
    fn count(&self) -> usize {
        1
    }

    fn key(&self, _: usize) -> String {
        self.file.key("")
    }

    fn body(&self, _: usize) -> Bytes {
        self.body.clone()
    }
}

#[test]
fn what_was_replaced_since_the_listing_is_not_kept() {
    let file = Maker::new(1).file("123456789012", "us-east-1", "20240305T1205Z", 2);
    let body = Bytes::from(file.gz());
    let page = format!(
        "<ListBucketResult><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>{}</Key>\
         <LastModified>2024-03-06T00:00:00.000Z</LastModified><ETag>&quot;other&quot;</ETag><Size>{}</Size></Contents>\
         </ListBucketResult>",
        file.key(""),
        body.len()
    );
    let gets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&gets);
    let ids = trail::ids(std::slice::from_ref(&file));
    // All objects have the ETag 1.
    let s3 = Faulty::start(One { file, body }, 1000, move |asked| {
        counted.fetch_add(usize::from(asked.action == "GetObject"), Relaxed);
        match asked.action.as_str() {
            "ListObjectsV2" => Trouble::Body(page.clone().into()),
            _ => Trouble::None,
        }
    });
    let folder = TempDir::new().unwrap();
    for times in [1, 2] {
        let seen = Capture::new(URL)
            .keys()
            .env("AWS_REGION", "us-east-1")
            .config(json!({"aws": {"endpoint": s3.endpoint()}, "cachePath": folder.path()}))
            .run();
        assert_eq!(
            (seen.ids(), counts(&seen)),
            (ids.clone(), [0, 0, 0]),
            "{}",
            seen.words()
        );
        assert_eq!(gets.load(Relaxed), times);
    }
}

#[test]
fn the_size_is_kept() {
    let world = World::new(60);
    let largest = world
        .files
        .iter()
        .map(|file| file.gz().len() + END)
        .max()
        .unwrap();
    let size = largest * 20;
    let config = json!({"cacheSize": size.to_string()});
    let gets = world.read_all(config);
    let entries = entries(&world.cache());
    let held = entries.iter().map(|path| path.metadata().unwrap().len());
    let held: u64 = held.sum();
    assert!(held <= size as u64, "{held} of {size}");
    assert!((10..40).contains(&entries.len()) && gets == 60);
    // What is left is good.
    assert_eq!(world.read_all(json!({})), 60 - entries.len());
}

#[test]
fn several_captures_share_a_cache() {
    let world = World::new(50);
    let running: Vec<_> = (0..3).map(|_| world.capture(json!({})).start()).collect();
    for running in running {
        let seen = running.wait();
        assert_eq!(
            (seen.ids(), seen.error.as_ref()),
            (trail::ids(&world.files), None)
        );
        assert_eq!(counts(&seen)[2], 0, "{}", seen.words());
    }
    assert_eq!(entries(&world.cache()).len(), 50);
    assert_eq!(world.read_all(json!({})), 0);
}

#[test]
fn a_followed_bucket_fills_the_cache() {
    let world = World::new(5);
    let follow = json!({"s3Follow": true, "s3PollInterval": 1});
    let seen = world.capture(follow).enough(10).run();
    assert_eq!(seen.ids(), trail::ids(&world.files));
    assert_eq!(counts(&seen), [0, 5, 0]);
    assert_eq!(world.read_all(json!({})), 0);
}

#[test]
fn a_folder_that_can_not_be_used_is_an_error() {
    let world = World::new(1);
    let file = world.folder.path().join("letter.txt");
    fs::write(&file, "dear").unwrap();
    for (path, words) in [
        (
            file.clone(),
            "is not a folder: give the path of a folder, which is made if there is none",
        ),
        (
            file.join("cache"),
            "can't be made: give one that you may write to",
        ),
        (
            world.folder.path().into(),
            "holds other files and is no cache of this plugin: give an empty folder",
        ),
    ] {
        let error = world.capture(json!({"cachePath": path})).open_error();
        let path = path.display().to_string();
        assert!(
            error.starts_with("cachePath: ") && error.contains(&path),
            "{error}"
        );
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"dear");
    assert_eq!(world.aws.log().len(), 0, "nothing is asked before");
}

#[test]
fn the_path_may_begin_at_home() {
    let world = World::new(2);
    let capture = world.capture(json!({"cachePath": "~/the/cache"}));
    let home = capture.home().to_owned();
    let running = capture.start();
    harness::until("the cache", || home.join("the/cache/CACHEDIR.TAG").exists());
    assert_eq!(running.wait().ids(), trail::ids(&world.files));
}

#[test]
fn where_there_is_no_bucket_a_note_says_that_it_has_no_effect() {
    let world = World::new(1);
    let folder = TempDir::new().unwrap();
    world.files[0].write(folder.path());
    let seen = Capture::new(folder.path().to_str().unwrap())
        .config(json!({"cachePath": world.cache()}))
        .run();
    assert_eq!(seen.ids(), trail::ids(&world.files));
    let note = "cachePath has no effect on a folder or file: ";
    assert_eq!(seen.log().matches(note).count(), 1, "{}", seen.log());
    let seen = Capture::new("sqs://none")
        .aws(&world.aws)
        .config(json!({"cachePath": world.cache()}))
        .run();
    assert!(seen.error.is_some());
    assert!(!world.cache().exists());
}
