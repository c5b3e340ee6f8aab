//! Stores that are not AWS's, with the habits that they have: `../shared/tools/odd-s3.py` has one for each.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use harness::{
    capture::{Capture, Seen},
    needs, shared,
    trail::{self, LogFile, Maker, log_text, sorted, write},
    until,
};
use serde_json::json;
use tempfile::TempDir;

const BUCKET: &str = "trail";

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// Runs the store so that it breaks off its first twelve downloads, not half of them by chance, since then all tries of one
/// log file may fail.
const NOT_BY_CHANCE: &str = "\
import itertools, random, runpy, sys
chances = itertools.chain([0] * 12, itertools.repeat(1))
random.random = lambda: next(chances)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
";

/// A store with some habits.
struct Store {
    port: u16,
    folder: TempDir,
    process: Child,
}

impl Drop for Store {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Store {
    /// One that serves these keys and bodies; nothing where it can't be run here.
    fn start(habits: &str, objects: &[(String, Vec<u8>)]) -> Option<Self> {
        let program = shared::folder("tools/odd-s3.py")?;
        let folder = TempDir::new().unwrap();
        for (key, body) in objects {
            write(&folder.path().join("buckets").join(BUCKET).join(key), body);
        }
        // Below those that systems give to connections, so that nothing else comes between the choice and its use.
        loop {
            let port = fastrand::u16(10_000..30_000);
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                continue;
            }
            let started = Command::new("python3")
                .args(["-c", NOT_BY_CHANCE])
                .arg(&program)
                .arg(port.to_string())
                .arg(folder.path().join("buckets"))
                .args(habits.split_whitespace())
                .arg(format!("log={}", folder.path().join("requests").display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut process) = started else {
                needs::skip("python3 is missing");
                return None;
            };
            let mut is_taken = false;
            until("the store", || {
                is_taken = process.try_wait().unwrap().is_some();
                is_taken || TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            if !is_taken {
                return Some(Self {
                    port,
                    folder,
                    process,
                });
            }
        }
    }

    /// A capture of a part of the bucket.
    fn capture(&self, prefix: &str) -> Capture {
        Capture::new(format!("s3://{BUCKET}/{prefix}"))
            .keys()
            .env("AWS_REGION", "us-east-1")
            .config(json!({"aws": {"endpoint": format!("http://127.0.0.1:{}", self.port)}}))
    }

    /// The requests that it was asked, a line each.
    fn requests(&self) -> Vec<String> {
        let path: PathBuf = self.folder.path().join("requests");
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// A trail of two regions over two days.
fn files() -> Vec<LogFile> {
    let mut maker = Maker::new(1);
    let accounts = ["111122223333"];
    let mut files = maker.trail(
        &accounts,
        &["eu-west-1", "us-east-1"],
        "20240305T2350Z",
        5,
        2,
    );
    files.sort_by_cached_key(|file| file.key(""));
    files
}

fn objects(files: &[LogFile]) -> Vec<(String, Vec<u8>)> {
    let object = |file: &LogFile| (file.key(""), file.gz());
    files.iter().map(object).collect()
}

/// A capture of a whole trail, in a store of these habits.
fn read(habits: &str) -> Option<(Seen, Vec<LogFile>)> {
    let files = files();
    let store = Store::start(habits, &objects(&files))?;
    Some((store.capture("").run(), files))
}

/// All events come, once each.
fn has_all(habits: &str) {
    let Some((seen, files)) = read(habits) else {
        return;
    };
    assert_eq!(seen.error, None, "{habits}: {}", seen.words());
    assert_eq!(
        sorted(seen.ids()),
        sorted(trail::ids(&files)),
        "{habits}: {}",
        seen.words()
    );
}

#[test]
fn restored_objects_are_read() {
    has_all("class=GLACIER restored");
}

#[test]
fn archived_objects_of_a_folder_are_named_once() {
    let mut maker = Maker::new(2);
    let files: Vec<LogFile> = (0..300)
        .map(|_| maker.file("111122223333", "us-east-1", "20240305T1205Z", 1))
        .collect();
    let Some(store) = Store::start("class=GLACIER archived", &objects(&files)) else {
        return;
    };
    let seen = store.capture("").run();
    assert_eq!(seen.ids(), [""; 0]);
    let (_, error) = seen.error.as_ref().expect("nothing could be read");
    assert!(error.contains("restore"), "{error}");
    let said = "100 of its log files are archived (Glacier)";
    let lines = seen.logs.iter().filter(|line| line.message.contains(said));
    assert_eq!(
        lines.map(|line| line.severity).collect::<Vec<_>>(),
        [4],
        "{}",
        seen.log()
    );
    // Those under way meanwhile are asked for too.
    let key = &files[0].day("");
    let asked = store.requests();
    let asked = asked
        .iter()
        .filter(|line| line.contains(&format!("/{key}")));
    let asked = asked.count();
    assert!((100..250).contains(&asked), "{asked}");
}

#[test]
fn a_listing_without_a_token_goes_on_by_its_last_key() {
    for habits in ["max=2 notoken", "max=2 v1only", "max=2 pybool"] {
        has_all(habits);
    }
}

#[test]
fn a_listing_without_order_is_an_error() {
    let files = files();
    let Some(store) = Store::start("max=2 unordered", &objects(&files)) else {
        return;
    };
    let region = &files[0].key("")[..files[0].key("").find("2024").unwrap()];
    for interval in ["", "2024-03-05T00:00:00Z-2024-03-07T00:00:00Z"] {
        let seen = store
            .capture(region)
            .config(json!({"s3Interval": interval}))
            .run();
        let (_, error) = seen.error.as_ref().expect("an error");
        assert!(
            error.contains("does not list its keys in their order"),
            "{interval:?}: {error}"
        );
    }
}

#[test]
fn odd_listings_are_read() {
    for habits in [
        "emptypage",
        "max=2 emptypage",
        "nosize",
        "markers",
        "hadoop",
        "max=2 markers hadoop",
        "slash",
        "plusenc",
        "encnoecho",
        "noencoding",
        "max=1",
        "max=2 emptytoken pretty",
        "nons noprolog",
        "nomillis",
        "offset",
        "rfc822",
        "max=2 minioafter notoken",
    ] {
        has_all(habits);
    }
}

#[test]
fn keys_that_have_to_be_encoded_are_read() {
    let files = files();
    for name in ["a b+c%20d&é", "x=y~z"] {
        for habits in ["", "plusenc", "noencoding", "max=2 notoken plusenc"] {
            let objects: Vec<(String, Vec<u8>)> = files
                .iter()
                .map(|file| (file.key(&format!("{name}/")), file.gz()))
                .collect();
            let Some(store) = Store::start(habits, &objects) else {
                return;
            };
            let seen = store.capture("").run();
            assert_eq!(seen.error, None, "{name} {habits}: {}", seen.words());
            assert_eq!(
                sorted(seen.ids()),
                sorted(trail::ids(&files)),
                "{name} {habits}: {}",
                seen.words()
            );
        }
    }
}

#[test]
fn an_endpoint_with_a_path_needs_no_slash() {
    let files = files();
    let Some(store) = Store::start("path=/storage/v1/s3", &objects(&files)) else {
        return;
    };
    for end in ["", "/"] {
        let endpoint = format!("http://127.0.0.1:{}/storage/v1/s3{end}", store.port);
        let seen = store
            .capture("")
            .config(json!({"aws": {"endpoint": endpoint}}))
            .run();
        assert_eq!(seen.error, None, "{}", seen.words());
        assert_eq!(sorted(seen.ids()), sorted(trail::ids(&files)));
    }
}

#[test]
fn odd_downloads_are_read() {
    for habits in [
        "norange",
        "chunked",
        "drop norange",
        "drop",
        "drop nosize",
        "chunked nosize",
        "ctgzip",
        "awschunked",
        "inflate",
        "inflatehdr",
        "crc",
        "expires",
    ] {
        has_all(habits);
    }
}

#[test]
fn large_log_files_are_read_whatever_becomes_of_ranges() {
    let mut maker = Maker::new(3);
    let file = maker.file("111122223333", "us-east-1", "20240305T1205Z", 34);
    // Each a MB, so that it is not held as a whole and comes in ranges.
    let padding = "x".repeat(1 << 20);
    let large = |record: &trail::Record| {
        let pad = format!(r#"{{"padding":"{padding}","#);
        record.json.replacen('{', &pad, 1)
    };
    let records: Vec<String> = file.records.iter().map(large).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let object = (file.key("").replace(".gz", ""), log_text(&records));
    for habits in [
        "",
        "norange",
        "chunked",
        "norange chunked",
        "nosize",
        "norange nosize",
    ] {
        let Some(store) = Store::start(habits, std::slice::from_ref(&object)) else {
            return;
        };
        let seen = store.capture("").run();
        assert_eq!(seen.error, None, "{habits}: {}", seen.words());
        assert_eq!(
            seen.ids(),
            trail::ids(std::slice::from_ref(&file)),
            "{habits}: {}",
            seen.words()
        );
    }
}

#[test]
fn keys_that_a_store_encodes_without_saying_so_are_not_lost_unseen() {
    let files = files();
    let objects: Vec<(String, Vec<u8>)> = files
        .iter()
        .enumerate()
        .map(|(index, file)| (file.key(["", "a b/"][index % 2]), file.gz()))
        .collect();
    let Some(store) = Store::start("encnoecho", &objects) else {
        return;
    };
    let (_, error) = store.capture("").run().error.expect("an error");
    assert!(
        error.contains("the store encodes keys without saying so"),
        "{error}"
    );
}
