//! A lookup of a name that hangs, which nothing can end: it holds nobody up, and its thread finds its code when it goes
//! on, though the library was closed long before.

#![cfg(target_os = "linux")]

use std::{
    ffi::{c_char, c_int, c_void},
    fs,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use harness::{
    aws::{Aws, REGION},
    capture::alone,
    home::Home,
    host::{Library, Plugin, Status},
    trail::Maker,
};
use serde_json::json;

static HANGING: AtomicUsize = AtomicUsize::new(0);
static OVER: AtomicUsize = AtomicUsize::new(0);

/// Takes the place of libc's for this program and all that it loads, and hangs until all is over.
#[unsafe(no_mangle)]
extern "C" fn getaddrinfo(
    _node: *const c_char,
    _service: *const c_char,
    _hints: *const c_void,
    _result: *mut *mut c_void,
) -> c_int {
    HANGING.fetch_add(1, SeqCst);
    while OVER.load(SeqCst) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    HANGING.fetch_sub(1, SeqCst);
    libc::EAI_FAIL
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn lookups_that_hang_outlive_the_library_and_do_no_harm() {
    alone(
        "lookups_that_hang_outlive_the_library_and_do_no_harm",
        || {
            let aws = Aws::start();
            aws.queues().create("trail", Duration::from_secs(300));
            let home = Home::make();
            let keys = home.credentials();
            let config = json!({"aws": {"credentials": keys, "region": REGION}}).to_string();
            // SQS answers, and S3 is looked for by its own name.
            // SAFETY: no other thread looks at the environment now.
            unsafe { std::env::set_var("AWS_ENDPOINT_URL_SQS", aws.endpoint()) };
            let before = threads();
            let mut longest = Duration::ZERO;
            for round in 0..100 {
                let key = Maker::new(round)
                    .file("123456789012", REGION, "20240305T1205Z", 1)
                    .key("");
                let message = json!({"s3Bucket": "logs", "s3ObjectKey": [key]});
                aws.queues().send("trail", message.to_string());
                let hanging = HANGING.load(SeqCst);
                let library = Library::load().unwrap();
                let plugin = library.init(&config).unwrap();
                let mut instance = plugin.open("sqs://trail").unwrap();
                while HANGING.load(SeqCst) == hanging {
                    assert_eq!(instance.next_batch().status, Status::Timeout);
                }
                let start = Instant::now();
                drop(instance);
                longest = longest.max(start.elapsed());
                drop(plugin);
                drop(library);
                assert!(HANGING.load(SeqCst) > hanging, "it did not hang");
            }
            // It takes 100 ms at most; a busy machine is given more.
            println!("closed in {longest:?}");
            assert!(longest < Duration::from_secs(1), "{longest:?}");
            // The library is closed, and they go on.
            OVER.store(1, SeqCst);
            while HANGING.load(SeqCst) > 0 || threads() > before {
                thread::sleep(Duration::from_millis(20));
            }
        },
    );
}

/// An error does not wait for them either.
#[test]
fn lookups_that_hang_are_errors_in_the_end() {
    alone("lookups_that_hang_are_errors_in_the_end", || {
        let home = Home::make();
        let keys = home.credentials();
        let config = json!({"aws": {"credentials": keys, "region": REGION}}).to_string();
        let plugin = Plugin::load(&config);
        let start = Instant::now();
        let error = plugin.open("sqs://trail").err().unwrap().to_string();
        println!("{:?}: {error}", start.elapsed());
        assert!(HANGING.load(SeqCst) > 0);
        assert!(error.contains("the queue trail"), "{error}");
        OVER.store(1, SeqCst);
    });
}
