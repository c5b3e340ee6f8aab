//! Stores of other people's making that speak like S3: rclone's server over a folder, and SeaweedFS.
//!
//! `scripts/stores` puts them into target/stores.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    aws::{ACCESS_KEY, SECRET_KEY},
    hosts::installed,
    moto::object,
    until,
};

/// Runs a program, and ends it when its own standard input ends, as it does with whoever has started it.
const WATCH: &str = r#""$@" </dev/null & cat >/dev/null; kill $!; wait"#;

/// A running store, which ends when dropped.
pub struct Store {
    address: String,
    process: Child,
    /// What it keeps.
    _folder: TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        _ = self.process.wait();
    }
}

impl Store {
    /// rclone's server, whose buckets are the folders in this one; nothing where it is missing and not required.
    pub fn rclone(folder: &Path) -> Option<Self> {
        let program = installed("stores/bin/rclone", "scripts/stores")?;
        Some(Self::start(&program, |[port, ..], _| {
            vec![
                "serve".into(),
                "s3".into(),
                folder.to_str().unwrap().into(),
                format!("--addr=127.0.0.1:{port}"),
                format!("--auth-key={ACCESS_KEY},{SECRET_KEY}"),
                "--config=".into(),
            ]
        }))
    }

    /// SeaweedFS, in which anybody may write and a key is needed to read.
    pub fn seaweed() -> Option<Self> {
        let program = installed("stores/bin/weed", "scripts/stores")?;
        let identities = json!({"identities": [
            {
                "name": "reader",
                "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                "actions": ["Read", "List"]
            },
            {"name": "anonymous", "actions": ["Admin", "Write"]}
        ]});
        Some(Self::start(&program, |ports, folder| {
            let config = folder.join("s3.json");
            fs::write(&config, identities.to_string()).unwrap();
            let [s3, master, volume, filer, grpc @ ..] = ports;
            let mut arguments = vec![
                "server".into(),
                "-ip=127.0.0.1".into(),
                "-ip.bind=127.0.0.1".into(),
                "-master.telemetry=false".into(),
                "-filer".into(),
                "-s3".into(),
                "-s3.port.iceberg=0".into(),
                "-s3.port.lance=0".into(),
                "-master.volumeSizeLimitMB=128".into(),
                format!("-dir={}", folder.display()),
                format!("-s3.config={}", config.display()),
                format!("-filer.localSocket={}", folder.join("filer").display()),
                format!("-s3.localSocket={}", folder.join("s3").display()),
            ];
            let parts = ["s3", "master", "volume", "filer"];
            for ((part, port), grpc) in parts.iter().zip([s3, master, volume, filer]).zip(grpc) {
                arguments.push(format!("-{part}.port={port}"));
                arguments.push(format!("-{part}.port.grpc={grpc}"));
            }
            arguments
        }))
    }

    /// Starts a program on ports that are free, the first of which it answers on.
    fn start(program: &Path, arguments: impl Fn([u16; 8], &Path) -> Vec<String>) -> Self {
        loop {
            let folder = TempDir::new().unwrap();
            let listeners = [(); 8].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
            let mut process = Command::new("sh")
                .args(["-c", WATCH, "sh"])
                .arg(program)
                .args(arguments(ports, folder.path()))
                .env("HOME", folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let address = format!("127.0.0.1:{}", ports[0]);
            let mut has_ended = false;
            until("the store", || {
                has_ended = process.try_wait().unwrap().is_some();
                has_ended || is_ready(&address)
            });
            // Somebody else may have taken a port meanwhile.
            if !has_ended {
                return Self {
                    address,
                    process,
                    _folder: folder,
                };
            }
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        self.put_path(&format!("/{name}"), b"");
    }

    /// Makes an object.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.put_path(&object(bucket, key), body);
    }

    fn put_path(&self, path: &str, body: &[u8]) {
        let answer = ask(&self.address, "PUT", path, body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

/// Does it answer?
fn is_ready(address: &str) -> bool {
    ask(address, "GET", "/", b"").is_ok_and(|answer| {
        let status = answer.split(' ').nth(1).unwrap_or_default();
        // SeaweedFS opens its port before it has all that is behind it.
        !status.is_empty() && !status.starts_with('5')
    })
}

fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
