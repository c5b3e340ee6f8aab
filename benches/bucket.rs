//! Reading from S3 in figures: `cargo bench --bench bucket [-- CASE…]`.
//!
//! Each case has a bucket of its own in this process, and the plugin in another, so that the peak of memory is the
//! plugin's.

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fastrand::Rng;
use harness::{
    aws::REGION,
    fast_s3::{FastS3, Objects},
    host::{Library, Status},
    trail::{LogFile, Maker, format_time, gzip, log_text, parse_time},
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The first argument of the process that runs the plugin.
const HOST: &str = "--host";
/// When the trails begin.
const START: &str = "20240101T0000Z";

struct Case {
    name: &'static str,
    /// What to reach.
    target: &'static str,
    layout: Layout,
    delay: Duration,
    /// Times of delivery, both included.
    interval: Option<[&'static str; 2]>,
    /// Stop after so many events.
    enough: usize,
}

#[derive(Clone, Copy)]
struct Layout {
    accounts: usize,
    regions: usize,
    /// Log files of each account and region.
    files: usize,
    /// Seconds between them.
    every: i64,
    /// Whether they lie in the bucket's root, without folders.
    loose: bool,
    /// About how many events there are; without, each log file holds one.
    events: Option<usize>,
}

fn cases() -> Vec<Case> {
    let layout = |accounts, regions, files, minutes| Layout {
        accounts,
        regions,
        files,
        every: minutes * 60,
        loose: false,
        events: None,
    };
    let case = |name, target, layout, enough| Case {
        name,
        target,
        layout,
        delay: Duration::from_millis(50),
        interval: None,
        enough,
    };
    let all = usize::MAX;
    let objects = Layout {
        events: Some(300_000),
        ..layout(3, 8, 125, 30)
    };
    vec![
        case(
            "first-flat: 100k keys of one region",
            "first <= 0.4 s",
            layout(1, 1, 100_000, 1),
            1,
        ),
        case(
            "first-loose: 100k keys, no folders",
            "first <= 0.4 s",
            Layout {
                loose: true,
                ..layout(1, 1, 100_000, 1)
            },
            1,
        ),
        case(
            "first-regions: 100k keys, 28 regions",
            "first <= 0.4 s",
            layout(1, 28, 3572, 12),
            1,
        ),
        case(
            "objects: 3,000 objects, 300k events",
            "all <= 1.5 s",
            objects,
            all,
        ),
        Case {
            delay: Duration::ZERO,
            ..case(
                "objects-0ms: the same at 0 ms",
                "all <= 1.3 s",
                objects,
                all,
            )
        },
        Case {
            interval: Some(["20240110T1000Z", "20240110T1200Z"]),
            ..case(
                "interval: 2 h in 100k keys, 28 regions",
                "<= 34 LIST",
                layout(1, 28, 3572, 12),
                all,
            )
        },
        Case {
            interval: Some(["20240610T0000Z", "20240610T2359Z"]),
            ..case(
                "day: of a year, 30 accounts, 17 regions",
                "~ 572 LIST",
                layout(30, 17, 366 * 48, 30),
                all,
            )
        },
        case(
            "accounts: 2,000 x 28 regions, 56M keys",
            "first <= 5 s, 200 MiB",
            layout(2000, 28, 1000, 60),
            20_000,
        ),
        case(
            "million: 1,000,000 keys",
            "flat, 200 MiB",
            layout(1, 28, 35_715, 5),
            all,
        ),
    ]
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [first, work] = &args[..]
        && first == HOST
    {
        return host(&serde_json::from_str(work)?);
    }
    // `cargo test` starts benches too, without a word.
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |case: &Case| {
        names.is_empty()
            || names
                .iter()
                .any(|name| case.name.starts_with(name.as_str()))
    };
    println!(
        "{:40} {:22} {:>8} {:>8} {:>8} {:>6} {:>8} {:>9} {:>8}  MiB at 10 %, 50 %, end",
        "case", "target", "first s", "end s", "events", "LIST", "GET", "in flight", "peak MiB"
    );
    for case in cases().into_iter().filter(wanted) {
        run(&case).with_context(|| case.name)?;
    }
    Ok(())
}

fn run(case: &Case) -> Result<()> {
    let trail = Trail::make(case.layout);
    let expected = trail.events(case.interval).min(case.enough);
    let s3 = FastS3::start(trail, case.delay);
    let mut config = json!({ "aws": { "endpoint": s3.endpoint() } });
    if let Some([from, to]) = case.interval {
        config["s3Interval"] = format!("{}-{}", parse_time(from), parse_time(to)).into();
    }
    let listings = case.layout.accounts * case.layout.regions;
    let work = Work {
        config: config.to_string(),
        expected,
        stop: case.enough != usize::MAX,
        // Above, global order gives way; and events of one file are of several minutes.
        ordered: listings <= 512 && case.layout.events.is_none(),
    };
    let mut command = Command::new(env::current_exe()?);
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    let child = command
        .args([HOST, &serde_json::to_string(&work)?])
        .envs([
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(child.status.success(), "{}", child.status);
    let Figures {
        first,
        end,
        resident,
        peak,
    } = serde_json::from_slice(&child.stdout)?;
    let counts = s3.counts();
    let count = |count: &AtomicUsize| count.load(Relaxed);
    println!(
        "{:40} {:22} {first:8.2} {end:8.2} {expected:8} {:6} {:8} {:9} {peak:8}  {resident:?}",
        case.name,
        case.target,
        count(&counts.lists),
        count(&counts.gets),
        count(&counts.peak),
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

/// What it tells: seconds and MiB.
#[derive(Serialize, Deserialize)]
struct Figures {
    first: f64,
    end: f64,
    /// At a tenth of the events, half of them, and all.
    resident: Vec<u64>,
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
                "out of order: {event:?}"
            );
            latest = event.ts();
        }
        events += batch.events.len();
        let parts = [work.expected / 10, work.expected / 2, work.expected];
        while !work.stop
            && parts
                .get(resident.len())
                .is_some_and(|part| events >= *part)
        {
            resident.push(memory("VmRSS:"));
        }
        match batch.status {
            Status::More | Status::Timeout => {}
            Status::Eof => break,
            Status::Failed(error) => bail!(error),
        }
    }
    let end = start.elapsed();
    ensure!(
        events == work.expected || work.stop,
        "{events} of {} events",
        work.expected
    );
    let figures = Figures {
        first: first.context("no event")?.as_secs_f64(),
        end: end.as_secs_f64(),
        resident,
        peak: memory("VmHWM:"),
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// MiB of this process, where the system tells.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// What lies in the bucket.
struct Trail {
    layout: Layout,
    /// Times of delivery.
    times: Vec<String>,
    /// One for each log file; or one for each hour, which all its log files share.
    bodies: Vec<Bytes>,
    /// Events in all log files that have their own body.
    events: usize,
}

impl Trail {
    fn make(layout: Layout) -> Self {
        let start = parse_time(START);
        let time = |seconds| format_time(start + SignedDuration::from_secs(seconds));
        let mut trail = Self {
            layout,
            times: (0..layout.files as i64)
                .map(|file| time(file * layout.every))
                .collect(),
            bodies: vec![],
            events: 0,
        };
        trail.bodies = match layout.events {
            Some(events) => {
                let sizes = sizes(trail.count(), events);
                trail.events = sizes.iter().sum();
                trail.make_bodies(&sizes)
            }
            None => {
                let mut maker = Maker::new(1);
                let hours = 0..=layout.files as i64 * layout.every / 3600;
                let hour = |hour| {
                    let record =
                        maker.record("123456789012", REGION, parse_time(&time(hour * 3600)));
                    gzip(&log_text(&[&record.json])).into()
                };
                hours.map(hour).collect()
            }
        };
        trail
    }

    /// Bodies with so many events each, on all cores.
    fn make_bodies(&self, sizes: &[usize]) -> Vec<Bytes> {
        let each = sizes
            .len()
            .div_ceil(thread::available_parallelism().map_or(1, |n| n.get()));
        let make = |index: usize, size: usize| -> Bytes {
            let (mut maker, mut random) = (Maker::new(index as u64), Rng::with_seed(index as u64));
            let file = self.file(index);
            let records: Vec<String> = (0..size)
                .map(|_| record(&mut maker, &mut random, &file))
                .collect();
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            gzip(&log_text(&records)).into()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = sizes
                .chunks(each)
                .enumerate()
                .map(|(chunk, sizes)| {
                    scope.spawn(move || -> Vec<Bytes> {
                        let numbered = sizes.iter().enumerate();
                        numbered
                            .map(|(index, size)| make(chunk * each + index, *size))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        })
    }

    fn file(&self, index: usize) -> LogFile {
        let (listing, time) = (index / self.layout.files, index % self.layout.files);
        let (account, region) = (listing / self.layout.regions, listing % self.layout.regions);
        LogFile {
            account: format!("{:012}", 100_000_000_000 + account),
            region: format!("xx-region-{:02}", region),
            kind: "CloudTrail".into(),
            time: self.times[time].clone(),
            unique: format!("{index:016x}"),
            records: vec![],
        }
    }

    /// Events in log files delivered in the interval.
    fn events(&self, interval: Option<[&str; 2]>) -> usize {
        let Some([from, to]) = interval else {
            return self.events.max(self.count());
        };
        let wanted = |time: &&String| (from..=to).contains(&time.as_str());
        let times = self.times.iter().filter(wanted).count();
        times * self.layout.accounts * self.layout.regions
    }
}

impl Objects for Trail {
    fn count(&self) -> usize {
        self.layout.accounts * self.layout.regions * self.layout.files
    }

    fn key(&self, index: usize) -> String {
        let file = self.file(index);
        if self.layout.loose {
            file.name()
        } else {
            file.key("")
        }
    }

    fn body(&self, index: usize) -> Bytes {
        let body = match self.layout.events {
            Some(_) => index,
            None => index % self.layout.files * self.layout.every as usize / 3600,
        };
        self.bodies[body].clone()
    }
}

/// So many events on so many log files, about: few of them hold most, as in real trails.
fn sizes(files: usize, events: usize) -> Vec<usize> {
    let mut random = Rng::with_seed(1);
    let weights: Vec<f64> = (0..files)
        .map(|_| {
            let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt()
                * (std::f64::consts::TAU * random.f64()).cos();
            (1.9 * normal).exp().min(250.0)
        })
        .collect();
    let unit = events as f64 / weights.iter().sum::<f64>();
    weights
        .iter()
        .map(|weight| (weight * unit).ceil() as usize)
        .collect()
}

/// A record of 1.6 kB, of which gzip leaves 300 bytes, as of real ones.
fn record(maker: &mut Maker, random: &mut Rng, file: &LogFile) -> String {
    let before = SignedDuration::from_secs(random.i64(0..600));
    let mut json = maker
        .record(&file.account, &file.region, parse_time(&file.time) - before)
        .json;
    let mut text = |length| -> String { (0..length).map(|_| random.alphanumeric()).collect() };
    json.pop();
    json += &format!(
        r#","additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{}=","bytesTransferredOut":4096}},"resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::data/raw/{}.parquet"}},{{"accountId":"{}","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::data"}}],"serviceEventDetails":{{"policy":"{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:ListBucket\"],\"Resource\":[\"arn:aws:s3:::data\",\"arn:aws:s3:::data/*\"],\"Condition\":{{\"Bool\":{{\"aws:SecureTransport\":\"true\"}}}}}}]}}","sessionToken":"{}"}},"tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"data.s3.{}.amazonaws.com"}}}}"#,
        text(75),
        text(36),
        file.account,
        text(100),
        file.region,
    );
    json
}
