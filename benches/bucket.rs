//! Reading from S3 in figures: `cargo bench --bench bucket [-- CASE…]`.
//!
//! Each case has a bucket of its own in this process, and the plugin in another, so that memory is the plugin's.
//!
//! | case | the bucket, and what is read |
//! |---|---|
//! | `flat`, `loose`, `regions` | 100k keys of one region, without any folder, of 28 regions; one event |
//! | `objects`, `objects-0ms` | 3,000 log files, 300k events, 90 MB; all |
//! | `interval` | as `regions`; two hours |
//! | `day` | a year of 30 accounts and 17 regions; one day |
//! | `accounts` | 2,000 accounts, 28 regions, 56M keys; 20,000 events |
//! | `million` | a million keys of 10 accounts and 28 regions; all |

use std::{
    env,
    process::{Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fastrand::Rng;
use harness::{
    aws::{ACCESS_KEY, ACCOUNT, REGION, SECRET_KEY},
    fast_s3::{FastS3, Objects},
    host::{Library, Status},
    memory,
    trail::{LogFile, Maker, format_time, gzip, log_text, parse_time},
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The first argument of the process that runs the plugin.
const HOST: &str = "--host";
/// When the trails begin.
const START: &str = "20240101T0000Z";
/// Listings that the plugin keeps in one order.
const MERGED: usize = 512;

struct Case {
    name: &'static str,
    /// What to reach.
    target: &'static str,
    layout: Layout,
    delay: Duration,
    /// Times of delivery, both included.
    interval: Option<[&'static str; 2]>,
    /// Stop after so many events.
    enough: Option<usize>,
}

#[derive(Clone, Copy)]
struct Layout {
    accounts: usize,
    regions: usize,
    /// Log files of each account and region.
    files: usize,
    /// Minutes between them.
    every: usize,
    /// Whether they lie in the bucket's root, without folders.
    loose: bool,
    /// About how many events there are; otherwise each log file holds one.
    events: Option<usize>,
}

fn cases() -> Vec<Case> {
    let layout = |accounts, regions, files, every| Layout {
        accounts,
        regions,
        files,
        every,
        loose: false,
        events: None,
    };
    let case = |name, target, layout| Case {
        name,
        target,
        layout,
        delay: Duration::from_millis(50),
        interval: None,
        enough: None,
    };
    let mut flat = case("flat", "first <= 0.4 s", layout(1, 1, 100_000, 1));
    flat.enough = Some(1);
    let mut loose = case("loose", "first <= 0.4 s", flat.layout);
    loose.enough = Some(1);
    loose.layout.loose = true;
    let mut regions = case("regions", "first <= 0.4 s", layout(1, 28, 3572, 12));
    regions.enough = Some(1);
    let mut objects = case("objects", "end <= 1.5 s", layout(3, 8, 125, 30));
    objects.layout.events = Some(300_000);
    let mut fast = case("objects-0ms", "end <= 1.3 s", objects.layout);
    fast.delay = Duration::ZERO;
    let mut interval = case("interval", "LIST <= 34", regions.layout);
    interval.interval = Some(["20240110T1000Z", "20240110T1200Z"]);
    let mut day = case("day", "LIST <= 572", layout(30, 17, 366 * 48, 30));
    day.interval = Some(["20240610T0000Z", "20240610T2359Z"]);
    let mut accounts = case("accounts", "first <= 5 s", layout(2000, 28, 1000, 60));
    accounts.enough = Some(20_000);
    let million = case("million", "MiB flat", layout(10, 28, 3572, 12));
    vec![
        flat, loose, regions, objects, fast, interval, day, accounts, million,
    ]
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args[..] {
        [first, work] if first == HOST => return host(&serde_json::from_str(work)?),
        // `cargo test` may start benches, too.
        _ if !args.iter().any(|arg| arg == "--bench") => return Ok(()),
        _ => {}
    }
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    println!(
        "case         target           first s    end s   events   LIST      GET in flight  peak MiB (<= 200)  MiB at each tenth"
    );
    for case in cases() {
        if names.is_empty() || names.iter().any(|name| *name == case.name) {
            run(&case).context(case.name)?;
        }
    }
    Ok(())
}

fn run(case: &Case) -> Result<()> {
    let trail = Trail::make(case.layout);
    let expected = trail.events(case.interval);
    let s3 = FastS3::start(trail, case.delay);
    let interval = case.interval.map_or(String::new(), |[from, to]| {
        format!("{}-{}", parse_time(from), parse_time(to))
    });
    let config = json!({ "aws": { "endpoint": s3.endpoint() }, "s3Interval": interval });
    let work = Work {
        config: config.to_string(),
        expected: case.enough.unwrap_or(expected),
        stop: case.enough.is_some(),
        // Records of a log file of many are older than others of the log file before.
        ordered: case.layout.listings() <= MERGED && case.layout.events.is_none(),
    };
    let mut command = Command::new(env::current_exe()?);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    let child = command
        .args([HOST, &serde_json::to_string(&work)?])
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(child.status.success(), "{}", child.status);
    let seen: Seen = serde_json::from_slice(&child.stdout)?;
    let counts = s3.counts();
    let [lists, gets, peak] =
        [&counts.lists, &counts.gets, &counts.peak].map(|count| count.load(Relaxed));
    println!(
        "{:12} {:15} {:8.2} {:8.2} {:8} {lists:6} {gets:8} {peak:9} {:18}  {:?}",
        case.name, case.target, seen.first, seen.end, seen.events, seen.peak, seen.resident
    );
    Ok(())
}

/// What the process with the plugin is to do.
#[derive(Serialize, Deserialize)]
struct Work {
    config: String,
    /// Events.
    expected: usize,
    /// Whether to stop there.
    stop: bool,
    ordered: bool,
}

/// What it tells.
#[derive(Serialize, Deserialize)]
struct Seen {
    /// Seconds to the first event.
    first: f64,
    /// Seconds in all.
    end: f64,
    events: usize,
    /// MiB at each tenth of the events.
    resident: Vec<u64>,
    /// MiB
    peak: u64,
}

fn host(work: &Work) -> Result<()> {
    let library = Library::load()?;
    let plugin = library.init(&work.config)?;
    let start = Instant::now();
    let mut instance = plugin.open("s3://trail/")?;
    let (mut first, mut events, mut latest) = (None, 0, 0);
    let mut resident = vec![];
    while !work.stop || events < work.expected {
        let batch = instance.next_batch();
        for event in &batch.events {
            first.get_or_insert_with(|| start.elapsed());
            ensure!(
                !work.ordered || event.ts() >= latest,
                "not in order: {event:?}"
            );
            latest = event.ts();
        }
        events += batch.events.len();
        while !work.stop
            && resident.len() < 10
            && events * 10 >= work.expected * (resident.len() + 1)
        {
            resident.push(memory("VmRSS:"));
        }
        match batch.status {
            Status::More | Status::Timeout => {}
            Status::Eof => break,
            Status::Failed(error) => bail!(error),
        }
    }
    ensure!(
        work.stop || events == work.expected,
        "{events} of {} events",
        work.expected
    );
    let seen = Seen {
        first: first.context("no event")?.as_secs_f64(),
        end: start.elapsed().as_secs_f64(),
        events,
        resident,
        peak: memory("VmHWM:"),
    };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// What lies in the bucket.
struct Trail {
    layout: Layout,
    /// Times of delivery.
    times: Vec<String>,
    /// One for each log file; or one of one event for each hour, for all its log files.
    bodies: Vec<Bytes>,
    /// Events of the log files.
    sizes: Option<Vec<usize>>,
}

impl Layout {
    fn listings(&self) -> usize {
        self.accounts * self.regions
    }
}

impl Trail {
    fn make(layout: Layout) -> Self {
        let start = parse_time(START);
        let time = |minutes| format_time(start + SignedDuration::from_mins(minutes as i64));
        let mut trail = Self {
            layout,
            times: (0..layout.files)
                .map(|file| time(file * layout.every))
                .collect(),
            bodies: vec![],
            sizes: None,
        };
        match layout.events {
            Some(events) => {
                let sizes = sizes(trail.count(), events);
                trail.bodies = trail.make_bodies(&sizes);
                trail.sizes = Some(sizes);
            }
            None => {
                let mut maker = Maker::new(1);
                for hour in 0..=layout.files * layout.every / 60 {
                    let record = maker.record(ACCOUNT, REGION, parse_time(&time(hour * 60)));
                    trail.bodies.push(gzip(&log_text(&[&record.json])).into());
                }
            }
        }
        trail
    }

    /// Bodies with so many events each, on all cores.
    fn make_bodies(&self, sizes: &[usize]) -> Vec<Bytes> {
        let make = |index: usize| -> Bytes {
            let (mut maker, mut random) = (Maker::new(index as u64), Rng::with_seed(index as u64));
            let file = self.file(index);
            let mut record = |_| record(&mut maker, &mut random, &file);
            let records: Vec<String> = (0..sizes[index]).map(&mut record).collect();
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            gzip(&log_text(&records)).into()
        };
        let cores = thread::available_parallelism().map_or(1, |n| n.get());
        let each = sizes.len().div_ceil(cores);
        thread::scope(|scope| {
            let part = |core: usize| {
                let part = core * each..((core + 1) * each).min(sizes.len());
                scope.spawn(move || part.map(make).collect::<Vec<_>>())
            };
            let parts: Vec<_> = (0..cores).map(part).collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap())
                .collect()
        })
    }

    fn file(&self, index: usize) -> LogFile {
        let (listing, time) = (index / self.layout.files, index % self.layout.files);
        let (account, region) = (listing / self.layout.regions, listing % self.layout.regions);
        LogFile {
            account: (100_000_000_000 + account).to_string(),
            region: format!("xx-region-{region:02}"),
            kind: "CloudTrail".into(),
            time: self.times[time].clone(),
            unique: format!("{index:016x}"),
            records: vec![],
        }
    }

    /// Events of the log files delivered in the interval.
    fn events(&self, interval: Option<[&str; 2]>) -> usize {
        match (&self.sizes, interval) {
            (Some(sizes), _) => sizes.iter().sum(),
            (None, None) => self.count(),
            (None, Some([from, to])) => {
                let times = self.times.iter().map(String::as_str);
                times.filter(|time| (from..=to).contains(time)).count() * self.layout.listings()
            }
        }
    }
}

impl Objects for Trail {
    fn count(&self) -> usize {
        self.layout.listings() * self.layout.files
    }

    fn key(&self, index: usize) -> String {
        match self.layout.loose {
            true => self.file(index).name(),
            false => self.file(index).key(""),
        }
    }

    fn body(&self, index: usize) -> Bytes {
        let hour = index % self.layout.files * self.layout.every / 60;
        self.bodies[self.sizes.as_ref().map_or(hour, |_| index)].clone()
    }
}

/// About so many events on so many log files, most of them in a few, as in real trails.
fn sizes(files: usize, events: usize) -> Vec<usize> {
    let mut random = Rng::with_seed(1);
    let mut weight = |_| {
        let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
        (1.9 * normal).exp().min(250.0)
    };
    let weights: Vec<f64> = (0..files).map(&mut weight).collect();
    let unit = events as f64 / weights.iter().sum::<f64>();
    let size = |weight: f64| (unit * weight).ceil() as usize;
    weights.into_iter().map(size).collect()
}

/// A record of 1.6 kB, of which gzip leaves 300 bytes, as of most real ones.
fn record(maker: &mut Maker, random: &mut Rng, file: &LogFile) -> String {
    let time = parse_time(&file.time) - SignedDuration::from_secs(random.i64(0..600));
    let mut json = maker.record(&file.account, &file.region, time).json;
    let mut text = |length| -> String { (0..length).map(|_| random.alphanumeric()).collect() };
    let (id, name) = (text(75), text(75));
    json.pop();
    json + &format!(
        r#","additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{id}=","bytesTransferredOut":4096}},"resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::data/raw/{name}.parquet"}},{{"accountId":"{ACCOUNT}","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::data"}}],"serviceEventDetails":{{"policy":"{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:ListBucket\"],\"Resource\":[\"arn:aws:s3:::data\",\"arn:aws:s3:::data/*\"],\"Condition\":{{\"Bool\":{{\"aws:SecureTransport\":\"true\"}}}}}}]}}"}},"tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"data.s3.{REGION}.amazonaws.com"}}}}"#
    )
}
