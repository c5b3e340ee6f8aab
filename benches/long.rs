//! Long lives in figures: `cargo bench --bench long [-- CASE [EVENTS]]`.
//!
//! The memory of the plugin's process at each hundredth of the work. It must not grow: in the last tenth it is at most 5 % more
//! than in the second. And every event has to come, once.
//!
//! | case | what is read | events, unless told otherwise |
//! |---|---|---|
//! | `queue` | an SQS queue of messages, each of which names a log file of one event | 1,000,000 |
//! | `folder` | a folder of log files of 10,000 events each | 200,000,000 |
//! | `logs` | a log group of CloudWatch Logs, with the rate that AWS allows, and how many requests it takes | 1,000,000 |
//!
//! With few events memory still grows towards what the plugin may hold: `queue` takes 1,000,000 at least, `folder`
//! 10,000,000.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use harness::{
    aws::{ACCESS_KEY, ACCOUNT, Aws, REGION, SECRET_KEY},
    fast_s3::{FastS3, Objects},
    host::{Library, Status},
    memory,
    trail::{LogFile, Maker, format_time, gzip, parse_time},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// The first argument of the process that runs the plugin.
const HOST: &str = "--host";
/// When the trails begin.
const START: &str = "20240305T1205Z";
/// Messages in the queue at a time.
const WAITING: u64 = 5000;
/// Events of a log file in the folder.
const PER_FILE: u64 = 10_000;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [first, config, params, events] = &args[..]
        && first == HOST
    {
        return host(config, params, events.parse()?);
    }
    // `cargo test` may start benches, too.
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let asked: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| *arg != "--bench")
        .collect();
    match asked[..] {
        [] => {
            queue(1_000_000)?;
            logs(1_000_000)?;
            folder(200_000_000)
        }
        ["queue"] => queue(1_000_000),
        ["queue", messages] => queue(messages.parse()?),
        ["folder"] => folder(200_000_000),
        ["folder", events] => folder(events.parse()?),
        ["logs"] => logs(1_000_000),
        ["logs", events] => logs(events.parse()?),
        _ => bail!("cargo bench --bench long [-- queue|folder|logs [EVENTS]]"),
    }
}

/// Messages, each of which names a log file of one event.
fn queue(messages: u64) -> Result<()> {
    let file = Maker::new(1).file(ACCOUNT, REGION, START, 1);
    let body = gzip(&file.json()).into();
    let count = messages as usize;
    let server = FastS3::start(Files { count, body }, Duration::ZERO);
    let queues = server.queues();
    queues.create("trail", Duration::from_secs(30));
    let start = Instant::now();
    let config = json!({"aws": {"endpoint": server.endpoint()}});
    let mut child = start_host(&config, "sqs://trail", messages)?;
    let mut sent = 0;
    while sent < messages {
        if queues.counts("trail").visible as u64 >= WAITING {
            thread::sleep(Duration::from_millis(2));
            ensure!(child.try_wait()?.is_none(), "the host ended");
            continue;
        }
        for _ in 0..100.min(messages - sent) {
            let keys = [key(sent as usize)];
            let body = json!({"s3Bucket": "trail", "s3ObjectKey": keys});
            queues.send("trail", body.to_string());
            sent += 1;
        }
    }
    // The host goes on until it is told that all are deleted.
    while queues.counts("trail").deleted < messages {
        thread::sleep(Duration::from_millis(10));
        ensure!(child.try_wait()?.is_none(), "the host ended");
    }
    writeln!(child.stdin.take().context("no input")?, "all deleted")?;
    let counts = queues.counts("trail");
    println!("{counts:?}, {} GET", server.counts().gets.load(Relaxed));
    finish("queue", child, messages, start)
}

/// A log group, 50 of whose events come in each second.
fn logs(events: u64) -> Result<()> {
    /// What CloudWatch Logs counts for an event beside its message, and bytes of a page, at most.
    const OVERHEAD: u64 = 26;
    const PAGE: u64 = 1 << 20;
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let first = parse_time(START);
    let mut bytes = 0;
    for second in 0..events.div_ceil(50) {
        let time = first + SignedDuration::from_secs(second as i64);
        let left = 50.min(events - 50 * second);
        let records: Vec<String> = (0..left)
            .map(|_| maker.record(ACCOUNT, REGION, time).json)
            .collect();
        bytes += records
            .iter()
            .map(|json| json.len() as u64 + OVERHEAD)
            .sum::<u64>();
        let records: Vec<(i64, String)> = records
            .into_iter()
            .map(|json| (time.as_millisecond(), json))
            .collect();
        aws.logs().put(REGION, "trail", "stream", &records);
    }
    let start = Instant::now();
    let config = json!({"aws": {"endpoint": aws.endpoint()}});
    let child = start_host(&config, "logs://trail", events)?;
    finish("logs", child, events, start)?;
    let counts = aws.logs().counts();
    println!("{} pages at least; {counts:?}", bytes.div_ceil(PAGE));
    Ok(())
}

/// Log files in a folder, all of them names of the same bytes.
fn folder(events: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = events.div_ceil(PER_FILE);
    let made = Maker::new(1).file(ACCOUNT, REGION, START, PER_FILE as usize);
    let first = made.write(folder.path());
    let mut original = first.clone();
    for number in 1..files {
        let file = delivered_later(&made, number);
        let path = folder.path().join(file.key(""));
        fs::create_dir_all(path.parent().context("no folder")?)?;
        // There are file systems on which a file may have a thousand names at most.
        if number % 1000 == 0 {
            fs::copy(&first, &path)?;
            original = path;
        } else {
            fs::hard_link(&original, &path)?;
        }
    }
    let start = Instant::now();
    let params = folder.path().to_str().context("not UTF-8")?;
    let events = files * PER_FILE;
    let child = start_host(&json!({}), params, events)?;
    finish("folder", child, events, start)
}

/// The same log file under the name of one that was delivered so many times five minutes later.
fn delivered_later(file: &LogFile, times: u64) -> LogFile {
    let time = parse_time(&file.time) + SignedDuration::from_mins(5 * times as i64);
    LogFile {
        time: format_time(time),
        records: vec![],
        ..file.clone()
    }
}

/// Starts the process that runs the plugin.
fn start_host(config: &Value, params: &str, events: u64) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    let child = command
        .args([HOST, &config.to_string(), params, &events.to_string()])
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// Waits for the host's end, prints what it saw, and judges it.
fn finish(case: &str, mut child: Child, events: u64, start: Instant) -> Result<()> {
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().context("no output")?);
    output.read_to_string(&mut said)?;
    ensure!(child.wait()?.success(), "the host failed");
    let seconds = start.elapsed().as_secs_f64();
    let a_second = events as f64 / seconds;
    println!("{case}: {events} events in {seconds:.0} s, {a_second:.0} a second");
    let (resident, rest) = said.split_once('\n').context("no memory")?;
    let resident: Vec<u64> = serde_json::from_str(resident)?;
    println!("MiB at each hundredth {resident:?}; {}", rest.trim_end());
    let most = |tenth: usize| resident[tenth * 10..][..10].iter().copied().max();
    let (second, last) = (most(1).unwrap_or(0), most(9).unwrap_or(0));
    println!("MiB at most in the second tenth {second}, in the last {last}");
    ensure!(last * 100 <= second * 105, "{case}: memory grows");
    Ok(())
}

/// Reads until the end, or until stdin says that there is nothing more, for a queue has no end. Prints the memory first.
fn host(config: &str, params: &str, expected: u64) -> Result<()> {
    let library = Library::load()?;
    let plugin = library.init(config)?;
    let mut instance = plugin.open(params)?;
    let told = thread::spawn(|| std::io::stdin().lock().read_line(&mut String::new()));
    let mut events = 0;
    let mut resident = vec![];
    loop {
        let batch = instance.next_batch();
        events += batch.events.len() as u64;
        while resident.len() < 100 && events * 100 >= expected * (resident.len() as u64 + 1) {
            resident.push(memory("VmRSS:"));
        }
        match batch.status {
            Status::More => {}
            Status::Timeout if told.is_finished() => break,
            Status::Timeout => {}
            Status::Eof => break,
            Status::Failed(error) => bail!(error),
        }
    }
    ensure!(
        events == expected,
        "{events} events of {expected}: {:?}",
        plugin.logs()
    );
    println!("{}", json!(resident));
    println!("at most {}; {:?}", memory("VmHWM:"), plugin.metrics()?);
    Ok(())
}

/// Log files of one event, the same in all.
struct Files {
    count: usize,
    body: Bytes,
}

fn key(index: usize) -> String {
    format!(
        "AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2024/03/05/{ACCOUNT}_CloudTrail_{REGION}_{START}_{index:016}.json.gz"
    )
}

impl Objects for Files {
    fn count(&self) -> usize {
        self.count
    }

    fn key(&self, index: usize) -> String {
        key(index)
    }

    fn body(&self, _: usize) -> Bytes {
        self.body.clone()
    }
}
