//! Log files made to do harm, and folders full of what is not a log file: memory stays bounded, what is lost is named, and
//! all else is read.

#![cfg(target_os = "linux")]

use std::{
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use harness::{
    capture::alone,
    host::{Event, Fields, Library, Plugin, Status, ids},
    memory,
    trail::{self, LogFile, Maker, gzip, log_text, sorted, write},
};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take; what hangs never ends.
const LIMIT: Duration = Duration::from_secs(300);
/// What the process may hold at most, in MiB, test and all: a largest record of 64 MB, and that while it is being found.
const MEMORY: u64 = 300;

/// What a capture gave.
struct Seen {
    events: Vec<Event>,
    log: String,
    error: Option<String>,
}

/// Reads a folder. Events are kept where they are `kept`.
fn read(path: &Path, kept: impl Fn(&Event) -> bool) -> Seen {
    read_with("", path, kept)
}

fn read_with(config: &str, path: &Path, kept: impl Fn(&Event) -> bool) -> Seen {
    let plugin = Plugin::load(config);
    let mut instance = plugin.open(path.to_str().unwrap()).unwrap();
    let mut events = vec![];
    let start = std::time::Instant::now();
    let error = loop {
        let batch = instance.next_batch();
        events.extend(batch.events.into_iter().filter(&kept));
        match batch.status {
            Status::Eof => break None,
            Status::Failed(error) => break Some(error),
            _ => assert!(start.elapsed() < LIMIT, "no end"),
        }
    };
    drop(instance);
    let log = plugin.log();
    let metrics = plugin.metrics().unwrap();
    assert_eq!(
        metrics["records_found"],
        metrics["records_handed_over"] + metrics["records_unreadable"],
        "{metrics:#?}"
    );
    assert_eq!(
        metrics["files_listed"],
        metrics["files_fetched"] + metrics["files_failed"],
        "{metrics:#?}"
    );
    Seen { events, log, error }
}

/// The most that this process has held.
fn assert_bounded() {
    let peak = memory("VmHWM:");
    assert!(peak < MEMORY, "{peak} MB");
    println!("{peak} MB at most");
}

/// A log file that is as it should be.
fn good(folder: &Path) -> LogFile {
    let file = Maker::new(1).file("123456789012", "us-east-1", "20240305T1205Z", 3);
    file.write(folder);
    file
}

/// Writes a gzip member of the text so many times over, a MB or so at a time.
fn write_bomb(path: &Path, head: &[u8], text: &[u8], bytes: usize) {
    let block = text.repeat((1 << 20) / text.len());
    let mut gz = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    gz.write_all(head).unwrap();
    for _ in 0..bytes / block.len() {
        gz.write_all(&block).unwrap();
    }
    gz.finish().unwrap();
}

#[test]
fn bombs_fill_no_memory_and_are_named() {
    alone("bombs_fill_no_memory_and_are_named", || {
        let folder = TempDir::new().unwrap();
        let file = good(folder.path());
        let bombs: [(&str, &[u8], &[u8], usize); 11] = [
            ("zeros", b"", b"\0", 96 << 20),
            ("spaces", b"", b" ", 96 << 20),
            ("brackets", b"", b"[", 512 << 20),
            ("braces", b"", b"{", 96 << 20),
            ("nested", b"", b"{\"a\":", 96 << 20),
            ("text", b"{\"Records\":[{\"a\":\"", b"a", 96 << 20),
            ("escapes", b"{\"Records\":[{\"a\":\"", b"\\\"", 96 << 20),
            ("records", b"{\"Records\":[", b"[", 96 << 20),
            ("quotes", b"{\"Records\":[", b"\"", 96 << 20),
            ("before", b"{\"a\":\"", b"x", 96 << 20),
            ("second", b"{\"a\":1}\n{\"x\":\"", b"x", 512 << 20),
        ];
        for (name, head, text, bytes) in bombs {
            write_bomb(
                &folder.path().join(format!("{name}.json.gz")),
                head,
                text,
                bytes,
            );
        }
        let seen = read(folder.path(), |_| true);
        assert_eq!(seen.error, None);
        assert_eq!(ids(&seen.events), trail::ids(&[file]));
        for (name, ..) in bombs {
            assert!(
                seen.log.contains(&format!("{name}.json.gz")),
                "{}",
                seen.log
            );
        }
        assert_bounded();
    });
}

/// Braces that never close, each of which might begin a record.
#[test]
fn what_never_closes_takes_no_quadratic_time() {
    alone("what_never_closes_takes_no_quadratic_time", || {
        let folder = TempDir::new().unwrap();
        let record = r#"{"eventTime":"2024-03-05T12:00:00Z","eventID":"last"}"#;
        for (name, piece) in [
            ("nested", r#"{"a":"#),
            ("times", r#"{"eventTime":"2024-03-05T12:00:00Z","a":"#),
        ] {
            let text = format!("{{\"Records\":[{}{record}", piece.repeat(200_000));
            write(&folder.path().join(format!("{name}.json")), text.as_bytes());
        }
        let seen = read(folder.path(), |_| true);
        for name in ["nested", "times"] {
            assert!(seen.log.contains(&format!("{name}.json")), "{}", seen.log);
        }
        assert_bounded();
    });
}

#[test]
fn a_record_that_is_too_large_is_named_and_the_rest_is_read() {
    alone(
        "a_record_that_is_too_large_is_named_and_the_rest_is_read",
        || {
            let folder = TempDir::new().unwrap();
            let file = Maker::new(1).file("123456789012", "us-east-1", "20240305T1205Z", 4);
            let path = folder.path().join(file.name());
            let mut gz = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
            let [first, second, third, fourth] = &file.records[..] else {
                panic!()
            };
            write!(gz, "{{\"Records\":[{},", first.json).unwrap();
            // 200 MB, with all that might end it too early.
            gz.write_all(br#"{"eventID":"large","a":[{"b":""#).unwrap();
            let block = br#"]}\"},{\\"#.repeat(100_000);
            for _ in 0..200 {
                gz.write_all(&block).unwrap();
            }
            write!(gz, "\"}}]}},{},{}", second.json, third.json).unwrap();
            // What just fits.
            let padding = "x".repeat(1 << 20);
            gz.write_all(br#",{"eventTime":"2024-03-05T12:04:59Z","eventID":"fits","a":""#)
                .unwrap();
            for _ in 0..63 {
                gz.write_all(padding.as_bytes()).unwrap();
            }
            write!(gz, "\"}},{}]}}", fourth.json).unwrap();
            gz.finish().unwrap();
            let events = std::cell::RefCell::new(vec![]);
            let seen = read(folder.path(), |event| {
                let payload = event.payload();
                let id = match payload.len() > 1 << 20 {
                    true => {
                        assert!(payload.starts_with(b"{") && payload.ends_with(b"x\"}"));
                        "fits".to_owned()
                    }
                    false => event.id(),
                };
                events.borrow_mut().push(id);
                false
            });
            assert_eq!(seen.error, None);
            let mut events = events.into_inner();
            events.sort();
            let mut wanted = trail::ids(&[file]);
            wanted.push("fits".into());
            wanted.sort();
            assert_eq!(events, wanted, "{}", seen.log);
            assert!(seen.log.contains("64 MB"), "{}", seen.log);
            assert_bounded();
        },
    );
}

#[test]
fn a_million_records_in_a_file() {
    alone("a_million_records_in_a_file", || {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.json.gz");
        let mut gz = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
        gz.write_all(b"{\"Records\":[").unwrap();
        for number in 0..1_000_000 {
            let comma = if number == 0 { "" } else { "," };
            write!(
                gz,
                r#"{comma}{{"eventTime":"2024-03-05T12:00:00Z","eventID":"{number}"}}"#
            )
            .unwrap();
        }
        gz.write_all(b"]}").unwrap();
        gz.finish().unwrap();
        let count = std::cell::Cell::new(0);
        let seen = read(folder.path(), |event| {
            let wanted = format!(r#""eventID":"{}"}}"#, count.get());
            assert!(event.payload().ends_with(wanted.as_bytes()), "{wanted}");
            count.set(count.get() + 1);
            false
        });
        assert_eq!((seen.error, count.get()), (None, 1_000_000));
        assert_bounded();
    });
}

/// All fields of a record.
fn fields(record: &[u8]) -> (Fields, String) {
    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    let event = Event::new(1, 0, record);
    let fields = plugin.extract(&event, &library.field_names()).unwrap();
    let each = plugin.extract_each(&event, &library.field_names()).unwrap();
    for (name, field) in &fields {
        assert_eq!(each[name].value, field.value, "{name}");
    }
    (fields, plugin.event_to_string(&event).unwrap())
}

#[test]
fn deep_and_wide_records_are_events() {
    alone("deep_and_wide_records_are_events", || {
        let folder = TempDir::new().unwrap();
        let deep =
            |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let keys: Vec<String> = (0..100_000).map(|n| format!(r#""key{n}":{n}"#)).collect();
        let wide = format!("{{{}}}", keys.join(","));
        let records: Vec<String> = [
            ("lists", deep("[", "]")),
            ("objects", deep(r#"{"a":"#, "}")),
            ("both", deep(r#"[{"a":"#, "}]")),
            ("wide", wide.clone()),
        ]
        .iter()
        .map(|(id, value)| {
            format!(
                r#"{{"eventTime":"2024-03-05T12:00:00Z","eventID":"{id}","eventName":"Last","requestParameters":{value},"responseElements":{value},"resources":[{value}],"userIdentity":{{"a":{value},"userName":"alice"}}}}"#
            )
        })
        // Its own keys as many, those that matter last.
        .chain([format!(
            r#"{{{},"eventTime":"2024-03-05T12:00:00Z","eventID":"keys","eventName":"Last","userIdentity":{{{},"userName":"alice"}}}}"#,
            keys.join(","),
            keys.join(",")
        )])
        .collect();
        let texts: Vec<&str> = records.iter().map(String::as_str).collect();
        write(&folder.path().join("a.json.gz"), &gzip(&log_text(&texts)));
        // Not as CloudTrail writes it.
        let spaced = String::from_utf8(log_text(&texts)).unwrap();
        let spaced = spaced.replacen("[{", "[ {", 1);
        write(&folder.path().join("b.json"), spaced.as_bytes());
        let seen = read(folder.path(), |_| true);
        assert_eq!((seen.error, seen.events.len()), (None, 10), "{}", seen.log);
        for (event, record) in seen.events.iter().zip(records.iter().cycle()) {
            assert!(event.payload() == record.as_bytes());
        }
        for record in &records {
            let (fields, _) = fields(record.as_bytes());
            assert_eq!(fields["ct.name"].value, "Last");
            assert_eq!(fields["ct.user"].value, "alice");
        }
        assert_bounded();
    });
}

/// Reads one event of almost 64 MB, which is the largest record that there is, and as deep as that allows.
fn read_deep(open: &str, close: &str, config: &str) {
    const SIZE: usize = 62 << 20;
    let folder = TempDir::new().unwrap();
    let depth = SIZE / (open.len() + close.len());
    let file = fs::File::create(folder.path().join("a.json.gz")).unwrap();
    let mut gz = GzEncoder::new(file, Compression::fast());
    gz.write_all(br#"{"Records":[{"eventTime":"2024-03-05T12:00:00Z","a":"#)
        .unwrap();
    for (text, end) in [(open, "1"), (close, "}]}")] {
        for _ in 0..depth {
            gz.write_all(text.as_bytes()).unwrap();
        }
        gz.write_all(end.as_bytes()).unwrap();
    }
    gz.finish().unwrap();
    let count = std::cell::Cell::new(0);
    let seen = read_with(config, folder.path(), |event| {
        assert!(event.payload().len() > SIZE - 10 && event.payload().ends_with(b"}"));
        count.set(count.get() + 1);
        false
    });
    assert_eq!((seen.error, count.get()), (None, 1), "{}", seen.log);
    assert_bounded();
}

#[test]
fn a_largest_record_of_lists() {
    alone("a_largest_record_of_lists", || {
        read_deep("[", "]", "");
    });
}

#[test]
fn a_largest_record_of_objects() {
    alone("a_largest_record_of_objects", || {
        read_deep(r#"{"a":"#, "}", "");
    });
}

#[test]
fn a_largest_record_of_lists_is_redacted() {
    alone("a_largest_record_of_lists_is_redacted", || {
        read_deep("[", "]", r#"{"redact":"secrets"}"#);
    });
}

#[test]
fn a_largest_record_of_objects_is_redacted() {
    alone("a_largest_record_of_objects_is_redacted", || {
        read_deep(r#"{"a":"#, "}", r#"{"redact":"secrets"}"#);
    });
}

/// C strings end at a NUL.
#[test]
fn nuls_and_other_odd_bytes_are_shown_and_cut_nothing() {
    let record = concat!(
        r#"{"eventTime":"2024-03-05T12:00:00Z","eventID":"i\u0000d","eventName":"before\u0000behind","#,
        r#""userIdentity":{"type":"IAMUser","userName":"ali\u0000ce"},"#,
        r#""requestParameters":{"bucketName":"a\u0000b","key":"k\u0000\u0000y","x":"\ud800 alone"},"#,
        r#""sourceIPAddress":"198.51.100.1\u0000","userAgent":"tab\tline\nquote\"end"}"#
    );
    let (seen, text) = fields(record.as_bytes());
    for (name, value) in [
        ("ct.name", r"before\u0000behind"),
        ("ct.user", r"ali\u0000ce"),
        ("ct.id", r"i\u0000d"),
        ("s3.bucket", r"a\u0000b"),
        ("s3.uri", r"s3://a\u0000b/k\u0000\u0000y"),
        ("ct.useragent", "tab\tline\nquote\"end"),
    ] {
        assert_eq!(seen[name].value, value, "{name}");
    }
    assert!(text.contains("behind") && text.contains("ce"), "{text}");
    // The JSON text of a field is the record's own.
    let request: Value = serde_json::from_str(
        seen["ct.request"]
            .value
            .as_str()
            .unwrap()
            .replace(r"\ud800", "x")
            .as_str(),
    )
    .unwrap();
    assert_eq!(request["bucketName"], "a\0b");

    // Bytes that may be in no JSON at all.
    let folder = TempDir::new().unwrap();
    let mut raw = b"{\"Records\":[{\"eventTime\":\"2024-03-05T12:00:00Z\",\"eventName\":\"a\xff\xfeb\",\"eventID\":\"1\"},".to_vec();
    raw.extend_from_slice(
        b"{\"eventTime\":\"2024-03-05T12:00:01Z\",\"eventName\":\"a\0b\",\"eventID\":\"2\"},",
    );
    raw.extend_from_slice(
        b"{\"eventTime\":\"2024-03-05T12:00:02Z\",\"eventName\":\"c\",\"eventID\":\"3\"}]}",
    );
    write(&folder.path().join("a.json"), &raw);
    let seen = read(folder.path(), |_| true);
    // A raw NUL is named or comes; it never hides what is behind it.
    let names: Vec<String> = seen
        .events
        .iter()
        .map(|event| {
            let (fields, _) = fields(event.payload());
            fields["ct.name"].value.as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        (&*names[0], &**names.last().unwrap()),
        ("a\u{fffd}\u{fffd}b", "c")
    );
    assert!(
        names.iter().any(|name| name == r"a\u0000b")
            || seen.log.contains("1 record that can't be read"),
        "{names:?} {}",
        seen.log
    );
}

#[test]
fn odd_things_in_a_folder_are_named_or_passed_over() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut maker = Maker::new(1);
    let mut files = vec![];
    let names: [&[u8]; 12] = [
        b"plain.json",
        b"space and + and %41.json.gz",
        "ümlaut-日本-🦀.json".as_bytes(),
        b"new\nline.json",
        b"quote\"'`$(true).json",
        b"back\\slash.json",
        b"-rf.json",
        b"not utf8 \xff\xfe.json",
        b"esc\x1b[31m.json",
        b"*?.json",
        b"#?x=y&z.json",
        b".hidden.json",
    ];
    for name in names {
        let file = maker.file("123456789012", "us-east-1", "20240305T1205Z", 2);
        fs::write(
            folder.path().join(std::ffi::OsStr::from_bytes(name)),
            file.json(),
        )
        .unwrap();
        files.push(file);
    }
    // A loop, a link to nothing, a link to a file, a pipe that nobody writes to, a socket, a folder named as a file.
    fs::create_dir(at("sub")).unwrap();
    symlink(folder.path(), at("sub/loop")).unwrap();
    symlink(at("sub/self.json"), at("sub/self.json")).unwrap();
    symlink("nowhere", at("gone.json.gz")).unwrap();
    let fifo = std::ffi::CString::new(at("pipe.json").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.json")).unwrap();
    fs::create_dir(at("folder.json.gz")).unwrap();
    let inside = maker.file("123456789012", "us-east-1", "20240305T1205Z", 1);
    write(&at("folder.json.gz/inside.json"), &inside.json());
    files.push(inside);
    let seen = read(folder.path(), |_| true);
    assert_eq!(seen.error, None);
    assert_eq!(sorted(ids(&seen.events)), sorted(trail::ids(&files)));
    for lost in ["gone.json.gz", "self.json", "loop"] {
        assert!(seen.log.contains(lost), "{lost}: {}", seen.log);
    }
    assert!(seen.log.contains("passed over 2 files"), "{}", seen.log);
    // By itself, it is not a log file.
    let plugin = Plugin::load("");
    let error = plugin
        .open(at("pipe.json").to_str().unwrap())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("neither a file nor a folder"),
        "{error}"
    );
}

/// Files that go, or become something else, between the walk and their reading.
#[test]
fn a_file_that_vanishes_is_named() {
    let folder = TempDir::new().unwrap();
    let files = Maker::new(1).trail(&["123456789012"], &["us-east-1"], "20240305T1205Z", 40, 400);
    let paths: Vec<_> = files.iter().map(|file| file.write(folder.path())).collect();
    let plugin = Plugin::load("");
    let mut instance = plugin.open(folder.path().to_str().unwrap()).unwrap();
    // What is read ahead is bounded, and far less than this.
    let last = files.len() - 1;
    fs::remove_file(&paths[last]).unwrap();
    fs::remove_file(&paths[last - 1]).unwrap();
    fs::create_dir(&paths[last - 1]).unwrap();
    fs::remove_file(&paths[last - 2]).unwrap();
    let fifo = std::ffi::CString::new(paths[last - 2].to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let all = instance.read_all(LIMIT);
    drop(instance);
    assert_eq!(all.error, None);
    let log = plugin.log();
    assert_eq!(ids(&all.events), trail::ids(&files[..last - 2]), "{log}");
    for file in &files[last - 2..] {
        assert!(log.contains(&file.name()), "{log}");
    }
}
