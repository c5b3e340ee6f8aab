//! The same reads of three stores of other people's making (moto, rclone's server, SeaweedFS), each beside the folder
//! itself.

use std::{fs, path::PathBuf, thread};

use harness::{
    forms,
    home::Home,
    host::Plugin,
    moto::Moto,
    others::Store,
    trail::{LogFile, Maker, gzip, log_text, write},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const BUCKET: &str = "trail";
const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];
const ORG: &str = "o-abcdefghij";
const MB: usize = 1 << 20;

/// A folder with everything that is read: keys in all shapes, and what they hold.
struct World {
    folder: TempDir,
    /// A log file's key.
    single: String,
}

/// What is read: a part of the bucket, and settings.
struct Read {
    prefix: String,
    config: Value,
}

/// Folders whose names have to be encoded, or may be.
const SPECIAL: [&str; 16] = [
    "sp ace",
    "pl+us",
    "per%20cent",
    "amp&ersand",
    "equals=1",
    "tilde~x",
    "hash#1",
    "quest?ion",
    "quo'te\"s",
    "<angle>",
    "brack[1](2){3}",
    "comma,at@ex!$",
    "semi;colon:",
    "star*pipe|",
    "日本語é",
    ".hidden",
];

impl World {
    fn make() -> Self {
        let folder = TempDir::new().unwrap();
        let mut maker = Maker::new(23);
        let put = |key: &str, body: &[u8]| _ = write(&folder.path().join(BUCKET).join(key), body);
        let mut single = String::new();
        for account in ACCOUNTS {
            for region in REGIONS {
                for day in ["05", "06", "07"] {
                    for time in ["0005", "1205", "2355"] {
                        let time = format!("202403{day}T{time}Z");
                        let file = maker.file(account, region, &time, 2);
                        put(&file.key(""), &file.gz());
                        put(
                            &file.org_key("org/", ORG),
                            &maker.file(account, region, &time, 1).gz(),
                        );
                        single = file.key("");
                    }
                }
                let insight = maker.insight_file(account, region, "20240306T1230Z");
                put(&insight.key(""), &insight.gz());
                for (key, body) in maker.bystanders(account, region) {
                    put(&key, &body);
                }
            }
        }
        let mut log_file = |records| maker.file(ACCOUNTS[0], REGIONS[1], "20240305T1205Z", records);
        for name in SPECIAL {
            let file = log_file(1);
            put(&file.key(&format!("special/{name}/")), &file.gz());
            put(
                &format!("special/in names/a{name}z.json.gz"),
                &log_file(1).gz(),
            );
        }
        for n in 0..1_010 {
            let mut file = log_file(1);
            file.time = format!("20240305T{:02}{:02}Z", n / 60, n % 60);
            put(&file.key("many/"), &file.gz());
        }
        for n in 0..260 {
            put(&format!("folders/{n:03}/log.json.gz"), &log_file(1).gz());
        }
        for n in 0..30 {
            put(&format!("flat/{n:02}.json"), &log_file(2).json());
        }
        put("forms/plain.json", &log_file(3).json());
        put(
            "forms/two members.json.gz",
            &[log_file(1).gz(), log_file(1).gz()].concat(),
        );
        put("forms/empty.json", b"");
        put("forms/notes.txt", b"nothing");
        let entries = |files: [LogFile; 3]| files.map(|file| (file.key(""), file.gz()));
        let archive = entries([log_file(1), log_file(2), log_file(3)]);
        put("archives/small.zip", &forms::zip(&archive));
        put("archives/small.tar", &forms::tar(&archive));
        put("archives/other.tgz", &gzip(&forms::tar(&archive)));
        // Each record a MB, so that it is not held as a whole and comes in ranges.
        put("large/log.json", &large(&log_file(50)));
        // The first is stored as it is, so that the archive comes in ranges too.
        let entries = [36, 1].map(|n| (format!("{n}.json"), large(&log_file(n))));
        put("large/log.zip", &forms::zip(&entries));
        Self { folder, single }
    }

    /// All keys, and where they are.
    fn objects(&self) -> Vec<(String, PathBuf)> {
        let root = self.folder.path().join(BUCKET);
        let files = harness::shared::files(&root);
        files
            .into_iter()
            .map(|path| {
                (
                    path.strip_prefix(&root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                    path,
                )
            })
            .collect()
    }

    /// What is read of each store.
    fn reads(&self) -> Vec<Read> {
        let account = ACCOUNTS[0];
        let region = format!("AWSLogs/{account}/CloudTrail/us-east-1/");
        let name = format!("{region}2024/03/06/{account}_CloudTrail_us-east-1_20240306T1");
        let mut prefixes: Vec<String> = [
            "",
            "A",
            "AWSLogs",
            "AWSLogs/",
            "AWSLogs/1111",
            "nothing/",
            "org/",
            "org/AWSLogs/",
            "org/AWSLogs/o-",
            "folders/",
            "folders/12",
            "folders/000/",
            "flat/",
            "flat/1",
            "forms/",
            "archives/",
            "special/",
            "special/in names/",
            "special/in names/as",
        ]
        .map(str::to_owned)
        .into();
        prefixes.extend([
            format!("AWSLogs/{account}/"),
            format!("AWSLogs/{account}/CloudTrail/"),
            format!("AWSLogs/{account}/CloudTrail"),
            format!("AWSLogs/{account}/CloudTrail-Insight/"),
            format!("AWSLogs/{account}/CloudTrail/us"),
            format!("org/AWSLogs/{ORG}/{account}/"),
            format!("{region}2024/"),
            format!("{region}2024/03/0"),
            format!("{region}2024/03/06/"),
            name,
            region.clone(),
            self.single.clone(),
        ]);
        let singles = [
            "forms/plain.json",
            "forms/two members.json.gz",
            "archives/small.zip",
            "archives/small.tar",
            "archives/other.tgz",
            "large/log.zip",
            "large/log.json",
            "flat/07.json",
            "special/in names/asp acez.json.gz",
            "special/in names/apl+usz.json.gz",
            "special/in names/aper%20centz.json.gz",
            "special/in names/a日本語éz.json.gz",
        ];
        prefixes.extend(singles.map(str::to_owned));
        prefixes.extend(SPECIAL.map(|name| format!("special/{name}/")));
        let whole = prefixes.into_iter().map(|prefix| (prefix, json!({})));
        let mut reads: Vec<(String, Value)> = whole.collect();
        for interval in [
            "2024-03-06",
            "2024-03-05-2024-03-05",
            "2024-03-06T12:00:00Z-2024-03-06T12:30:00Z",
            "2024-03-06T21:00+09:00-2024-03-07T09:00+09:00",
            "2024-03-04-2024-03-04",
            "2024-03-01-2024-03-09",
        ] {
            for prefix in ["AWSLogs/", "org/", &region] {
                reads.push((prefix.into(), json!({"s3Interval": interval})));
            }
        }
        let minutes = json!({"s3Interval": "2024-03-05T10:00Z-2024-03-05T10:30Z"});
        reads.push(("many/".into(), minutes));
        for accounts in [
            "111122223333",
            "444455556666",
            "111122223333,444455556666",
            "999999999999",
        ] {
            for prefix in ["AWSLogs/", "org/"] {
                reads.push((prefix.into(), json!({"s3AccountList": accounts})));
            }
        }
        let both = json!({"s3AccountList": "444455556666", "s3Interval": "2024-03-06-2024-03-06"});
        reads.push((String::new(), both));
        reads.push(("AWSLogs/".into(), json!({"includeInsights": false})));
        reads
            .into_iter()
            .map(|(prefix, config)| Read { prefix, config })
            .collect()
    }

    /// A folder of what lies below a prefix, or the file that it names.
    fn below(&self, prefix: &str) -> (PathBuf, Option<TempDir>) {
        let path = self.folder.path().join(BUCKET).join(prefix);
        if prefix.ends_with('/') || path.is_file() || prefix.is_empty() {
            return (path, None);
        }
        let part = TempDir::new().unwrap();
        for (key, path) in self.objects() {
            if key.starts_with(prefix) {
                let link = part.path().join(key);
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                fs::hard_link(path, link).unwrap();
            }
        }
        (part.path().to_owned(), Some(part))
    }
}

/// The text of a log file whose records are a MB each.
fn large(file: &LogFile) -> Vec<u8> {
    let padding = "x".repeat(MB);
    let records = file.records.iter().map(|record| {
        let pad = format!(r#"{{"padding":"{padding}","#);
        record.json.replacen('{', &pad, 1)
    });
    let records: Vec<String> = records.collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    log_text(&records)
}

/// The payloads of all events, in an order of their own; or that they can't be had.
type Events = Result<Vec<Vec<u8>>, String>;

fn events(config: &str, params: &str) -> Events {
    let events = Plugin::load(config).events(params);
    let events = events.map_err(|error| format!("{error:#}"))?;
    let mut payloads: Vec<Vec<u8>> = events.iter().map(|event| event.payload().into()).collect();
    payloads.sort();
    Ok(payloads)
}

/// A read of a store that gives something else than the folder, in words.
fn difference(read: &Read, expected: &Events, found: &Events) -> Option<String> {
    let is_same = match (expected, found) {
        (Ok(expected), Ok(found)) => expected == found,
        (Err(_), Err(_)) => true,
        _ => false,
    };
    let words = |events: &Events| match events {
        Ok(events) => format!("{} events", events.len()),
        Err(error) => error.clone(),
    };
    let Read { prefix, config } = read;
    let (expected, found) = (words(expected), words(found));
    (!is_same).then(|| format!("{prefix:?} {config}: {found}, not {expected}"))
}

/// A store that is filled with the world: its name and its endpoint.
type Filled = Option<(&'static str, String)>;

fn fill(world: &World, bucket: impl Fn(&str), put: impl Fn(&str, &str, &[u8])) {
    bucket(BUCKET);
    for (key, path) in world.objects() {
        put(BUCKET, &key, &fs::read(path).unwrap());
    }
}

#[test]
fn every_store_reads_as_the_folder() {
    let world = World::make();
    let rclone = Store::rclone(world.folder.path());
    let seaweed = Store::seaweed();
    let fill_moto = || {
        let moto = Moto::get()?;
        fill(
            &world,
            |name| moto.bucket(name),
            |bucket, key, body| moto.put(bucket, key, body),
        );
        Some(("moto", moto.endpoint()))
    };
    let fill_seaweed = || {
        let store = seaweed.as_ref()?;
        fill(
            &world,
            |name| store.bucket(name),
            |bucket, key, body| store.put(bucket, key, body),
        );
        Some(("SeaweedFS", store.endpoint()))
    };
    let reads = world.reads();
    assert!(reads.len() >= 60, "{}", reads.len());
    let (moto, seaweed): (Filled, Filled) = thread::scope(|scope| {
        let filling = scope.spawn(fill_moto);
        (fill_seaweed(), filling.join().unwrap())
    });
    let rclone: Filled = rclone.as_ref().map(|store| ("rclone", store.endpoint()));
    let home = Home::make();
    let stores: Vec<(&str, String)> = [moto, rclone, seaweed].into_iter().flatten().collect();
    let mut differences = Vec::new();
    for read in &reads {
        let Read { prefix, config } = read;
        let (path, _part) = world.below(prefix);
        thread::scope(|scope| {
            let readers: Vec<_> = stores
                .iter()
                .map(|(name, endpoint)| {
                    let config = home.config(endpoint, config.clone());
                    let params = format!("s3://{BUCKET}/{prefix}");
                    (*name, scope.spawn(move || events(&config, &params)))
                })
                .collect();
            let expected = events(&config.to_string(), path.to_str().unwrap());
            for (name, reader) in readers {
                let found = reader.join().unwrap();
                let difference = difference(read, &expected, &found);
                differences.extend(difference.map(|words| format!("{name}: {words}")));
            }
        });
    }
    for (name, _) in &stores {
        println!("{name}: {} reads beside the folder", reads.len());
    }
    assert_eq!(differences, [""; 0], "of {} reads each", reads.len());
}
