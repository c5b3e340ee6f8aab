//! The plugin is a guest in the host's process: what it may not do there.

#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{
    aws::{ACCESS_KEY, Aws, Fault, Op, REGION, SECRET_KEY},
    capture::{Capture, alone},
    home::Home,
    host::{Event, LIMIT, Library, Plugin, Status, ids, late_logs, plugin_path},
    trail::{self, LogFile, Maker, write},
    until,
};
use object::{
    Endianness,
    elf::{DF_1_NODELETE, DF_STATIC_TLS, DT_FLAGS, DT_FLAGS_1, FileHeader64, SHT_DYNSYM},
    read::elf::{Dyn, FileHeader, Sym},
};
use serde_json::json;
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

fn with_library<T>(look: impl FnOnce(&FileHeader64<Endianness>, Endianness, &[u8]) -> T) -> T {
    let data = fs::read(plugin_path().unwrap()).unwrap();
    let elf = FileHeader64::<Endianness>::parse(&*data).unwrap();
    look(elf, elf.endian().unwrap(), &data)
}

#[test]
fn only_the_plugins_functions_are_exported() {
    let exported: BTreeSet<String> = with_library(|elf, endian, data| {
        let sections = elf.sections(endian, data).unwrap();
        let symbols = sections.symbols(endian, data, SHT_DYNSYM).unwrap();
        let defined = symbols
            .iter()
            .filter(|symbol| !symbol.is_undefined(endian) && !symbol.is_local());
        defined
            .map(|symbol| {
                String::from_utf8_lossy(symbol.name(endian, symbols.strings()).unwrap())
                    .into_owned()
            })
            .collect()
    });
    assert!(
        exported.contains("plugin_init") && exported.contains("plugin_next_batch"),
        "{exported:?}"
    );
    let others: Vec<&String> = exported
        .iter()
        .filter(|name| !name.starts_with("plugin_"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn the_library_needs_no_static_tls_and_stays_loaded() {
    let flag = |tag: u32| {
        with_library(|elf, endian, data| {
            let sections = elf.sections(endian, data).unwrap();
            let (dynamic, _) = sections.dynamic(endian, data).unwrap().unwrap();
            dynamic
                .iter()
                .find(|entry| entry.tag32(endian) == Some(tag))
                .map_or(0, |entry| entry.val32(endian).unwrap())
        })
    };
    assert_eq!(flag(DT_FLAGS) & DF_STATIC_TLS, 0, "static TLS");
    assert_ne!(
        flag(DT_FLAGS_1) & DF_1_NODELETE,
        0,
        "not linked with -z nodelete"
    );
}

/// The IDs of this process's threads.
fn threads() -> BTreeSet<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .map(|task| task.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A line of `/proc/self/task/ID/status`.
fn status(thread: &str, line: &str) -> String {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    text.lines()
        .find_map(|found| found.strip_prefix(line))
        .unwrap()
        .trim()
        .to_owned()
}

/// Waits until no thread is there that was not before.
fn wait_for_end_of_threads(before: &BTreeSet<String>) {
    let tries = LIMIT.as_millis() / 20;
    for _ in 0..tries {
        if threads().is_subset(before) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let left: Vec<String> = threads()
        .difference(before)
        .map(|thread| status(thread, "Name:"))
        .collect();
    panic!("still running: {left:?}");
}

/// What tells the plugin of this AWS, without the environment.
fn config(aws: &Aws, home: &Home) -> String {
    home.config(&aws.endpoint(), json!({"s3DownloadConcurrency": 4}))
}

/// The host's limits are kept, and it keeps a share of them.
#[test]
fn a_capture_makes_do_with_few_open_files() {
    alone("a_capture_makes_do_with_few_open_files", || {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (aws, files) = Aws::with_trail(600);
        let slowly = Fault::Delay(Duration::from_millis(100));
        aws.fault(|request| request.op == Op::GetObject, slowly);
        // Only the host has the limit, not the server, which is here.
        let (limit, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 300, most).unwrap();
        let host = Capture::new("s3://logs").aws(&aws).start();
        setrlimit(Resource::RLIMIT_NOFILE, limit, most).unwrap();
        let seen = host.wait();
        assert_eq!((&seen.error, &*seen.stderr), (&None, ""));
        assert_eq!(seen.ids(), trail::ids(&files));
        assert_eq!(seen.metrics["requests_retried"], 0);
    });
}

#[test]
fn init_is_offline_and_starts_no_thread() {
    alone("init_is_offline_and_starts_no_thread", || {
        let (aws, _) = Aws::with_trail(1);
        let home = Home::make();
        let before = threads();
        let library = Library::load().unwrap();
        let _ = (library.schema().unwrap(), library.fields());
        let plugins: Vec<_> = ["", "{}", &config(&aws, &home)]
            .iter()
            .map(|config| library.init(config).unwrap())
            .collect();
        for plugin in &plugins {
            plugin
                .extract(&Event::new(1, 0, b"{}"), &library.field_names())
                .unwrap();
        }
        assert_eq!(threads(), before);
        drop((plugins, library));
        assert!(aws.log().is_empty(), "{:?}", aws.log());
    });
}

/// Opens a capture of a bucket with work in flight that never ends, until `op` is asked for.
fn stalled(aws: &Aws, op: Op) {
    aws.page(2);
    match op {
        Op::ListObjects => aws.fault(
            |request| request.query.contains_key("continuation-token"),
            Fault::Stall,
        ),
        op => aws.fault(move |request| request.op == op, Fault::Stall),
    }
}

#[test]
fn close_ends_all_threads_with_work_in_flight() {
    alone("close_ends_all_threads_with_work_in_flight", || {
        for op in [Op::ListObjects, Op::GetObject] {
            let (aws, _) = Aws::with_trail(12);
            stalled(&aws, op);
            let home = Home::make();
            let library = Library::load().unwrap();
            let plugin = library.init(&config(&aws, &home)).unwrap();
            let before = threads();
            let mut instance = plugin
                .open("s3://logs/AWSLogs/123456789012/CloudTrail/us-east-1/")
                .unwrap();
            while aws.log_of(op).len() < 2 {
                assert!(!matches!(
                    instance.next_batch().status,
                    Status::Eof | Status::Failed(_)
                ));
            }
            let started: Vec<String> = threads().difference(&before).cloned().collect();
            // The server's own threads are in this process too.
            let started = started
                .iter()
                .filter(|thread| status(thread, "Name:").contains("cloudtrail"));
            let started: Vec<&String> = started.collect();
            assert!(!started.is_empty());
            for thread in started {
                // SIGPIPE is signal 13. At its default in sysdig and falcodump, it kills the host.
                let blocked = u64::from_str_radix(&status(thread, "SigBlk:"), 16).unwrap();
                assert_ne!(
                    blocked & (1 << 12),
                    0,
                    "SIGPIPE is not blocked in {}",
                    status(thread, "Name:")
                );
            }
            drop(instance);
            drop(plugin);
            drop(library);
            wait_for_end_of_threads(&before);
            assert_eq!(late_logs(), []);
            // Threads that end after dlclose need their code.
            let mapped = fs::read_to_string("/proc/self/maps").unwrap();
            assert!(mapped.contains("libcloudtrail.so"), "unloaded");
        }
    });
}

/// What a close can meet.
#[derive(Debug, Clone, Copy)]
enum Work {
    Listing,
    Fetching,
    /// In the middle of a body.
    Receiving,
    Decoding,
    /// For messages of a queue.
    Waiting,
    /// Messages whose events are consumed.
    Deleting,
    /// For what is new in a bucket.
    Following,
}

impl Work {
    /// Opens a capture, waits until this is under way, and closes it: how long that took.
    fn close(self) -> Duration {
        let (aws, files) = Aws::with_trail(12);
        let home = Home::make();
        let mut config: serde_json::Value = serde_json::from_str(&config(&aws, &home)).unwrap();
        let action = |action: &str| aws.log_of(Op::Sqs).iter().any(|asked| asked.key == action);
        let mut params = "s3://logs/AWSLogs/123456789012/CloudTrail/us-east-1/";
        let trail = home.path().join("trail");
        match self {
            Self::Listing => stalled(&aws, Op::ListObjects),
            Self::Fetching => stalled(&aws, Op::GetObject),
            Self::Receiving => aws.fault(|asked| asked.op == Op::GetObject, Fault::StallAfter(20)),
            Self::Decoding => {
                for file in Maker::new(1).trail(
                    &["123456789012"],
                    &["us-east-1"],
                    "20240305T1205Z",
                    40,
                    500,
                ) {
                    file.write(&trail);
                }
                params = trail.to_str().unwrap();
            }
            Self::Waiting | Self::Deleting => {
                params = "sqs://trail";
                aws.queues().create("trail", Duration::from_secs(300));
            }
            Self::Following => {
                config["s3Follow"] = true.into();
                config["s3PollInterval"] = 3600.into();
            }
        }
        if let Self::Deleting = self {
            for file in &files {
                let message = json!({"s3Bucket": "logs", "s3ObjectKey": [file.key("")]});
                aws.queues().send("trail", message.to_string());
            }
            aws.fault(|asked| asked.key == "DeleteMessageBatch", Fault::Stall);
        }
        let plugin = Plugin::load(&config.to_string());
        let mut instance = plugin.open(params).unwrap();
        let mut events = 0;
        let under_way = |events| match self {
            Self::Listing => aws.log_of(Op::ListObjects).len() > 1,
            Self::Fetching | Self::Receiving => aws.log_of(Op::GetObject).len() > 1,
            Self::Decoding => events > 0,
            Self::Waiting => action("ReceiveMessage"),
            Self::Deleting => events == 24 && action("DeleteMessageBatch"),
            Self::Following => events == 24,
        };
        while !under_way(events) {
            let batch = instance.next_batch();
            assert!(
                matches!(batch.status, Status::More | Status::Timeout),
                "{self:?}: {:?}",
                batch.status
            );
            events += batch.events.len();
        }
        let start = Instant::now();
        drop(instance);
        start.elapsed()
    }
}

/// It takes 100 ms at most; a busy machine is given more.
#[test]
fn close_is_quick_whatever_is_under_way() {
    alone("close_is_quick_whatever_is_under_way", || {
        for work in [
            Work::Listing,
            Work::Fetching,
            Work::Receiving,
            Work::Decoding,
            Work::Waiting,
            Work::Deleting,
            Work::Following,
        ] {
            let longest = (0..5).map(|_| work.close()).max().unwrap();
            println!("{work:?}: closed in {longest:?}");
            assert!(longest < Duration::from_secs(1), "{work:?}: {longest:?}");
        }
    });
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn command_line(process: u32) -> String {
    fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default()
}

/// The processes that this one has started, and those that they have.
fn descendants(process: u32) -> Vec<u32> {
    processes()
        .filter(|child| parent(*child) == Some(process))
        .flat_map(|child| [vec![child], descendants(child)].concat())
        .collect()
}

/// What is behind the name in `/proc/ID/stat`: state, parent, …
fn stat(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}

fn parent(process: u32) -> Option<u32> {
    Some(stat(process)?.1)
}

/// The paths below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.append(&mut files(&path));
        }
        all.insert(path);
    }
    all
}

/// Ends the process of a capture with SIGTERM once it is `there`: its end is as quick as that of any, and neither files
/// nor processes stay behind.
fn terminate(moment: &str, capture: Capture, there: impl Fn(&Path) -> bool) {
    let home = capture.home().to_owned();
    let temporary = home.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let capture = capture.env("TMPDIR", temporary.to_str().unwrap());
    // The harness's own, that of its answer among them.
    let mut before = files(&home);
    before.extend(["capture.json", "capture.out", "capture.err"].map(|name| home.join(name)));
    let running = capture.start();
    until(moment, || there(&home));
    let started = descendants(running.id());
    // SAFETY: it is a child of ours, which was not waited for.
    assert_eq!(unsafe { libc::kill(running.id() as i32, libc::SIGTERM) }, 0);
    until(moment, || {
        stat(running.id()).is_some_and(|(state, _)| state == "Z")
    });
    until(moment, || {
        started
            .iter()
            .all(|process| stat(*process).is_none_or(|(state, _)| state == "Z"))
    });
    let left: Vec<_> = files(&home).difference(&before).cloned().collect();
    assert!(left.is_empty(), "{moment}: {left:?}");
    let seen = running.wait();
    assert_eq!(seen.status.signal(), Some(libc::SIGTERM), "{moment}");
    assert_eq!(seen.stderr, "", "{moment}");
}

#[test]
fn sigterm_leaves_nothing_behind() {
    let bucket = "s3://logs/AWSLogs/123456789012/CloudTrail/us-east-1/";
    for op in [Op::ListObjects, Op::GetObject] {
        let (aws, _) = Aws::with_trail(12);
        stalled(&aws, op);
        terminate(&format!("{op:?}"), Capture::new(bucket).aws(&aws), |_| {
            aws.log_of(op).len() > 1
        });
    }
    let (aws, _) = Aws::with_trail(2);
    aws.fault(|asked| asked.op == Op::ListObjects, Fault::Stall);
    terminate("opening", Capture::new("s3://logs").aws(&aws), |_| {
        !aws.log_of(Op::ListObjects).is_empty()
    });

    let (aws, _) = Aws::with_trail(12);
    let follow = json!({"s3Follow": true, "s3PollInterval": 3600});
    let capture = Capture::new("s3://logs").aws(&aws).config(follow);
    terminate("following", capture, |home| {
        let events = fs::read_to_string(home.join("capture.out")).unwrap_or_default();
        events.matches("\"Event\"").count() == 24
    });

    let (aws, _) = Aws::with_trail(2);
    aws.queues().create("trail", Duration::from_secs(300));
    let capture = Capture::new("sqs://trail")
        .aws(&aws)
        .env("AWS_ENDPOINT_URL_SQS", aws.endpoint());
    terminate("waiting", capture, |_| {
        let asked = aws.log_of(Op::Sqs).into_iter();
        asked.filter(|asked| asked.key == "ReceiveMessage").count() > 0
    });

    // A helper that is asked for credentials finds nobody to tell them.
    let (aws, _) = Aws::with_trail(2);
    let capture = Capture::new("s3://logs")
        .endpoint(&aws)
        .env("AWS_REGION", REGION);
    let helper = write(
        &capture.home().join("helper"),
        b"while sleep 0.1; do echo; done",
    );
    let profile = format!("[default]\ncredential_process = sh {}\n", helper.display());
    let capture = capture.file(".aws/config", &profile);
    terminate("asking for credentials", capture, |_| {
        processes().any(|process| command_line(process).contains(helper.to_str().unwrap()))
    });
}

#[test]
fn the_hosts_signals_are_left_alone() {
    alone("the_hosts_signals_are_left_alone", || {
        let (aws, files) = Aws::with_trail(2);
        let home = Home::make();
        // The thread that runs this test: the process's first one blocks signals while it starts another.
        let thread = fs::read_link("/proc/thread-self").unwrap();
        let thread = thread.file_name().unwrap().to_str().unwrap();
        let signals = || ["SigCgt:", "SigIgn:", "SigBlk:"].map(|line| status(thread, line));
        let before = signals();
        let plugin = Plugin::load(&config(&aws, &home));
        assert_eq!(plugin.events("s3://logs").unwrap().len(), 2 * files.len());
        assert_eq!(signals(), before);
    });
}

static CHILDREN: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_child(_: libc::c_int) {
    CHILDREN.fetch_add(1, Ordering::SeqCst);
}

/// To start a credential process, a dependency minds SIGCHLD.
#[test]
fn the_hosts_handler_of_child_processes_goes_on_working() {
    alone(
        "the_hosts_handler_of_child_processes_goes_on_working",
        || {
            let handler = on_child as extern "C" fn(libc::c_int);
            // SAFETY: the handler only counts.
            unsafe { libc::signal(libc::SIGCHLD, handler as libc::sighandler_t) };
            let (aws, files) = Aws::with_trail(2);
            let folder = TempDir::new().unwrap();
            let answer =
                json!({"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY});
            let answer = write(
                &folder.path().join("answer.json"),
                answer.to_string().as_bytes(),
            );
            let profile = format!("[default]\ncredential_process = cat {}\n", answer.display());
            let profile = write(&folder.path().join("config"), profile.as_bytes());
            let config =
                json!({"aws": {"endpoint": aws.endpoint(), "config": profile, "region": REGION}});
            let plugin = Plugin::load(&config.to_string());
            assert_eq!(plugin.events("s3://logs").unwrap().len(), 2 * files.len());
            drop(plugin);
            let before = CHILDREN.load(Ordering::SeqCst);
            std::process::Command::new("true").status().unwrap();
            assert!(CHILDREN.load(Ordering::SeqCst) > before);
        },
    );
}

#[test]
fn a_closed_stderr_is_no_problem() {
    alone("a_closed_stderr_is_no_problem", || {
        let folder = TempDir::new().unwrap();
        Maker::new(1)
            .file("123456789012", "us-east-1", "20240305T1205Z", 2)
            .write(folder.path());
        write(&folder.path().join("broken.json.gz"), b"broken");
        // SAFETY: the descriptor is not used after.
        unsafe { libc::close(2) };
        let plugin = Plugin::load("");
        assert_eq!(
            plugin
                .events(folder.path().to_str().unwrap())
                .unwrap()
                .len(),
            2
        );
    });
}

/// Resets meet connections that are kept, in the middle of requests and bodies.
#[test]
fn resets_do_not_kill_a_process_that_leaves_sigpipe_at_its_default() {
    let (aws, files) = Aws::with_trail(30);
    for fault in [Fault::Reset, Fault::ResetAfter(10), Fault::ResetAfter(0)] {
        aws.fault_times(
            12,
            |request| request.op == Op::GetObject && request.key.contains("5Z_"),
            fault,
        );
    }
    let seen = Capture::new("s3://logs")
        .aws(&aws)
        .config(json!({"s3DownloadConcurrency": 4}))
        .default_sigpipe()
        .run();
    assert!(seen.status.success(), "{}", seen.status);
    assert!(
        seen.error.is_none() && seen.events.len() > files.len(),
        "{:?}",
        seen.error
    );
}

#[test]
fn captures_can_be_opened_and_closed_many_times_with_work_in_flight() {
    alone(
        "captures_can_be_opened_and_closed_many_times_with_work_in_flight",
        || {
            let (aws, _) = Aws::with_trail(6);
            aws.fault(|request| request.op == Op::GetObject, Fault::StallAfter(20));
            let home = Home::make();
            let config = config(&aws, &home);
            let trail = home.path().join("trail");
            let mut maker = Maker::new(1);
            for file in maker.trail(&["123456789012"], &["us-east-1"], "20240305T1205Z", 9, 300) {
                file.write(&trail);
            }
            let trail = trail.to_str().unwrap();
            let before = threads();
            // 100 libraries, 1,000 captures.
            for round in 0..100 {
                let library = Library::load().unwrap();
                let plugin = library.init(&config).unwrap();
                for capture in 0..10 {
                    let params = if capture == 0 { "s3://logs" } else { trail };
                    let mut instance = plugin.open(params).unwrap();
                    // In the midst of things, or at once.
                    if (round + capture) % 2 == 0 {
                        let mut status = instance.next_batch().status;
                        let wanted = if capture == 0 {
                            Status::Timeout
                        } else {
                            Status::More
                        };
                        // On a busy machine, too.
                        while status == Status::Timeout && wanted != status {
                            status = instance.next_batch().status;
                        }
                        assert_eq!(status, wanted);
                    }
                }
            }
            wait_for_end_of_threads(&before);
            assert_eq!(late_logs(), []);
        },
    );
}

#[test]
fn a_host_may_leave_without_closing() {
    alone("a_host_may_leave_without_closing", || {
        let (aws, _) = Aws::with_trail(6);
        stalled(&aws, Op::GetObject);
        let home = Home::make();
        let plugin = Box::leak(Box::new(Plugin::load(&config(&aws, &home))));
        let instance = Box::leak(Box::new(plugin.open("s3://logs").unwrap()));
        instance.next_batch();
        // The process exits with all threads at work; `alone` sees a crash.
    });
}

#[test]
fn plugin_objects_and_captures_live_side_by_side() {
    let (folders, files): (Vec<TempDir>, Vec<LogFile>) = (0..3)
        .map(|seed| {
            let folder = TempDir::new().unwrap();
            let file = Maker::new(seed).file("123456789012", "us-east-1", "20240305T1205Z", 700);
            file.write(folder.path());
            (folder, file)
        })
        .unzip();
    let library = Library::load().unwrap();
    let insights = json!({"includeInsights": false}).to_string();
    let plugins = [library.init("").unwrap(), library.init(&insights).unwrap()];
    let mut captures: Vec<_> = plugins
        .iter()
        .flat_map(|plugin| {
            folders
                .iter()
                .map(|folder| plugin.open(folder.path().to_str().unwrap()).unwrap())
        })
        .map(|instance| (instance, vec![], false))
        .collect();
    while captures.iter().any(|(_, _, end)| !end) {
        for (instance, events, end) in captures.iter_mut().filter(|(_, _, end)| !end) {
            let batch = instance.next_batch();
            events.extend(batch.events);
            match batch.status {
                Status::Eof => *end = true,
                Status::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
    }
    for ((_, events, _), file) in captures.iter().zip(files.iter().cycle()) {
        assert_eq!(ids(events), trail::ids(std::slice::from_ref(file)));
    }
    // One that ends takes nothing from the other.
    drop(captures);
    let [first, second] = plugins;
    drop(first);
    assert_eq!(
        second
            .events(folders[0].path().to_str().unwrap())
            .unwrap()
            .len(),
        700
    );
}

/// Falco makes a second object before it ends the first; each has a logger of its own.
#[test]
fn log_lines_go_to_the_object_that_they_are_about_and_to_none_that_is_gone() {
    alone(
        "log_lines_go_to_the_object_that_they_are_about_and_to_none_that_is_gone",
        || {
            let library = Library::load().unwrap();
            let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
            for (seed, folder) in folders.iter().enumerate() {
                Maker::new(seed as u64)
                    .file("123456789012", "us-east-1", "20240305T1205Z", 2)
                    .write(folder.path());
                write(
                    &folder.path().join(format!("broken-{seed}.json")),
                    b"broken",
                );
            }
            let [first, second] = [library.init("").unwrap(), library.init("").unwrap()];
            for (plugin, folder) in [(&second, &folders[1]), (&first, &folders[0])] {
                plugin.events(folder.path().to_str().unwrap()).unwrap();
            }
            let logs = [first.log(), second.log()];
            assert!(
                logs[0].contains("broken-0") && !logs[0].contains("broken-1"),
                "{logs:?}"
            );
            assert!(
                logs[1].contains("broken-1") && !logs[1].contains("broken-0"),
                "{logs:?}"
            );
            // The last one made is the first one gone.
            drop(second);
            let before = first.log();
            first.events(folders[0].path().to_str().unwrap()).unwrap();
            assert!(first.log().len() > before.len());
            drop(first);
            assert_eq!(late_logs(), []);
        },
    );
}

/// A parsed record may be kept for the next call, but never taken for another event's.
#[test]
fn fields_are_never_those_of_an_event_before() {
    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    let record = |number: usize, id: &str| {
        format!(
            r#"{{"eventName":"Name{number:03}","eventID":"{id}","userIdentity":{{"type":"IAMUser","userName":"user{number:03}"}}}}"#
        )
    };
    let names = ["ct.name", "ct.user", "ct.id", "ct.info"];
    // The same buffer, length, number, and even event ID for each.
    let mut event = Event::new(1, 0, record(0, "same").as_bytes());
    for number in 0..300 {
        event.fill(number as u64, record(number, "same").as_bytes());
        for fields in [
            plugin.extract(&event, &names).unwrap(),
            plugin.extract_each(&event, &names).unwrap(),
        ] {
            assert_eq!(fields["ct.name"].value, format!("Name{number:03}"));
            assert_eq!(fields["ct.user"].value, format!("user{number:03}"));
            assert_eq!(
                fields["ct.info"].value,
                format!("user{number:03} ← Name{number:03}")
            );
        }
        assert!(
            plugin
                .event_to_string(&event)
                .unwrap()
                .contains(&format!("Name{number:03}"))
        );
    }
    // Numbers that go back and forth, as an analyst does in Stratoshark.
    let events: Vec<Event> = (0..50)
        .map(|number| Event::new(number as u64 % 7, 0, record(number, "x").as_bytes()))
        .collect();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..500 {
        let number = random.usize(..events.len());
        let fields = plugin.extract_each(&events[number], &names).unwrap();
        assert_eq!(fields["ct.name"].value, format!("Name{number:03}"));
    }
}

#[test]
fn progress_goes_up_to_the_whole() {
    let folder = TempDir::new().unwrap();
    for file in Maker::new(1).trail(&["123456789012"], &["us-east-1"], "20240305T1205Z", 40, 100) {
        file.write(folder.path());
    }
    let plugin = Plugin::load("");
    let mut instance = plugin.open(folder.path().to_str().unwrap()).unwrap();
    let mut seen = vec![instance.progress().unwrap().0];
    loop {
        let batch = instance.next_batch();
        let (percent, text) = instance.progress().unwrap();
        seen.push(percent);
        assert!(!text.is_empty());
        if batch.status == Status::Eof {
            break;
        }
    }
    // In hundredths of a percent.
    assert!(seen.is_sorted() && seen.last() == Some(&10_000), "{seen:?}");
    assert!(
        seen.iter().any(|percent| (1..10_000).contains(percent)),
        "{seen:?}"
    );
}
