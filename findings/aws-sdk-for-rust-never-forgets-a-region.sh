#!/bin/bash
# AWS's SDK for Rust keeps, for each service and region that a client of the process was made for, a bucket of retry tokens in a
# static map, and takes none out of it. One would guess that what belongs to a client goes with its last clone. So the region's
# text stays for as long as the process lives, and clients that share nothing share what may be retried, by region.
#
# Version: aws-smithy-runtime 1.16.2, by aws-sdk-sqs 1.119.0 (crates.io).
# Where: aws-smithy-runtime/src/client/retries/strategy/standard.rs (TOKEN_BUCKET), src/static_partition_map.rs.
# Seen: 50,000 clients of one region, each of which is made, asked once and dropped, leave the process at 4 MB. With 50,000 other
# names of regions it has 25 MB after that, and with 50,000 more 45.
# What it means for users: a region that somebody else may name, as the messages of a queue do, must be looked at before a client
# is made for it. This plugin takes a hundred at most from messages.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'T'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
aws-smithy-runtime = "=1.16.2"
aws-sdk-sqs = { version = "=1.119.0", default-features = false, features = ["rt-tokio"] }
aws-smithy-runtime-api = { version = "1", features = ["client"] }
tokio = { version = "1", features = ["rt", "time"] }
T
cat > "$folder/src/main.rs" <<'R'
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, timeout::TimeoutConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;

/// No network at all.
#[derive(Debug)]
struct Nothing;

impl HttpConnector for Nothing {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::user("nothing".into())))
    }
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096 / 1_000_000
}

async fn clients(region: impl Fn(usize) -> String) {
    for number in 0..50_000 {
        let http: SharedHttpClient = http_client_fn(|_, _| SharedHttpConnector::new(Nothing));
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region(number)))
            .endpoint_url("http://127.0.0.1:1")
            .timeout_config(TimeoutConfig::disabled())
            .credentials_provider(Credentials::new("a", "b", None, None, "finding"))
            .http_client(http)
            .build();
        _ = aws_sdk_sqs::Client::from_conf(config).list_queues().send().await;
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let long = "a".repeat(55);
        clients(|_| long.clone()).await;
        let before = resident();
        clients(|_| long.clone()).await;
        let same = resident();
        clients(|number| format!("{long}{number}")).await;
        let first = resident();
        clients(|number| format!("b{long}{number}")).await;
        let second = resident();
        println!("MB: {before}, with one region again {same}, with 50,000 others {first}, with 50,000 more {second}");
        assert!(same - before < 3, "one region costs memory");
        assert!(first - same >= 8 && second - first >= 8, "regions are forgotten");
    });
}
R
cd "$folder"
cargo -q run --release
