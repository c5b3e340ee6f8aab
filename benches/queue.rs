//! A long life with a queue in figures: `cargo bench --bench queue [-- MESSAGES]`, a million unless told otherwise.
//!
//! Each message names a log file of one event. The queue and the bucket are in this process, and the plugin in another,
//! so that memory is the plugin's; it has to stay flat.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use harness::{
    aws::{ACCESS_KEY, ACCOUNT, REGION, SECRET_KEY},
    fast_s3::{FastS3, Objects},
    host::{Library, Status},
    memory,
    trail::{Maker, gzip},
};
use serde_json::json;

/// The first argument of the process that runs the plugin.
const HOST: &str = "--host";
/// Messages in the queue at a time.
const WAITING: u64 = 5000;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args[..] {
        [first, endpoint, messages] if first == HOST => return host(endpoint, messages.parse()?),
        // `cargo test` may start benches, too.
        _ if !args.iter().any(|arg| arg == "--bench") => return Ok(()),
        _ => {}
    }
    let messages = args.iter().find_map(|arg| arg.parse().ok());
    let messages: u64 = messages.unwrap_or(1_000_000);
    let server = FastS3::start(
        Files {
            count: messages as usize,
            body: gzip(
                &Maker::new(1)
                    .file(ACCOUNT, REGION, "20240305T1205Z", 1)
                    .json(),
            )
            .into(),
        },
        Duration::ZERO,
    );
    let queues = server.queues();
    queues.create("trail", Duration::from_secs(30));
    let mut command = Command::new(env::current_exe()?);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    let start = Instant::now();
    let mut child = command
        .args([HOST, &server.endpoint(), &messages.to_string()])
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
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
    let seconds = start.elapsed().as_secs_f64();
    writeln!(child.stdin.take().context("no input")?, "all deleted")?;
    let mut said = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut said)?;
    ensure!(child.wait()?.success(), "the host failed");
    println!(
        "{messages} messages in {seconds:.0} s, {:.0} a second",
        messages as f64 / seconds
    );
    println!(
        "{:?}, {} GET",
        queues.counts("trail"),
        server.counts().gets.load(Relaxed)
    );
    println!("{said}");
    Ok(())
}

fn host(endpoint: &str, messages: usize) -> Result<()> {
    let library = Library::load()?;
    let plugin = library.init(&json!({"aws": {"endpoint": endpoint}}).to_string())?;
    let mut instance = plugin.open("sqs://trail")?;
    let done = thread::spawn(|| std::io::stdin().lines().next());
    let mut events = 0;
    let mut resident = vec![];
    while !done.is_finished() {
        let batch = instance.next_batch();
        events += batch.events.len();
        while resident.len() < 20 && events * 20 >= messages * (resident.len() + 1) {
            resident.push(memory("VmRSS:"));
        }
        match batch.status {
            Status::More | Status::Timeout => {}
            Status::Eof => bail!("the end"),
            Status::Failed(error) => bail!(error),
        }
    }
    ensure!(events == messages, "{events} events of {messages}");
    println!(
        "MiB at each twentieth {resident:?}, at most {}; {:?}",
        memory("VmHWM:"),
        plugin.metrics()?
    );
    Ok(())
}

/// Log files of one event, the same in all.
struct Files {
    count: usize,
    body: Bytes,
}

fn key(index: usize) -> String {
    format!(
        "AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2024/03/05/{ACCOUNT}_CloudTrail_{REGION}_20240305T1205Z_{index:016}.json.gz"
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
