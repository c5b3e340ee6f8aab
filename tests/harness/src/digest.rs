//! Digest files that CloudTrail might have written, signed with keys of the tests' own.
//!
//! ```
//! use harness::digest::{Chain, Signer};
//! use harness::trail::Maker;
//!
//! let file = Maker::new(7).file("123456789012", "eu-west-1", "20240305T1205Z", 3);
//! let mut chain = Chain::new("logs", "123456789012", "eu-west-1");
//! let digest = chain.digest(&Signer::one(), "20240305T1200Z", &[file]);
//! assert!(digest.key.ends_with("_main_eu-west-1_20240305T130131Z.json.gz"));
//! ```

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::aws::Aws;
use crate::trail::{LogFile, gzip, parse_time, write};

/// A key pair of a region.
pub struct Signer {
    pair: RsaKeyPair,
    /// By which digests name it.
    pub fingerprint: String,
}

impl Signer {
    /// The one.
    pub fn one() -> Self {
        Self::new(include_bytes!("../keys/one.pk8"))
    }

    /// The other.
    pub fn two() -> Self {
        Self::new(include_bytes!("../keys/two.pk8"))
    }

    fn new(key: &[u8]) -> Self {
        let pair = RsaKeyPair::from_pkcs8(key).unwrap();
        let fingerprint = hex(&Sha256::digest(pair.public().as_ref()))[..32].to_owned();
        Self { pair, fingerprint }
    }

    /// The signature of a text, in hexadecimal.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .unwrap();
        hex(&signature)
    }

    /// The public key, in DER as of PKCS #1.
    pub fn key(&self) -> Vec<u8> {
        self.pair.public().as_ref().to_vec()
    }

    /// As `aws cloudtrail list-public-keys` prints it and CloudTrail's API tells it.
    pub fn public(&self) -> Value {
        json!({
            "Value": BASE64_STANDARD.encode(self.pair.public().as_ref()),
            "ValidityStartTime": 1700000000.0,
            "ValidityEndTime": 1800000000.0,
            "Fingerprint": self.fingerprint,
        })
    }
}

/// What `aws cloudtrail list-public-keys` prints.
pub fn public_keys(signers: &[&Signer]) -> Value {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
    json!({"PublicKeyList": keys})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest file.
#[derive(Debug, Clone)]
pub struct Digest {
    /// Where it lies.
    pub bucket: String,
    /// See `bucket`.
    pub key: String,
    /// What it says.
    pub json: Vec<u8>,
    /// Its signature, in hexadecimal.
    pub signature: String,
}

impl Digest {
    /// Puts it into its bucket, with its signature.
    pub fn put(&self, aws: &Aws) {
        let mut metadata = vec![
            ("signature", self.signature.as_str()),
            ("signature-algorithm", "SHA256withRSA"),
        ];
        if self.key.contains("_backfill") {
            metadata.push(("backfill-generation-timestamp", "2024-03-06T12:00:00Z"));
        }
        aws.put_with(&self.bucket, &self.key, &gzip(&self.json), &metadata);
    }

    /// Writes it below a folder, without its signature.
    pub fn write(&self, folder: &Path) -> PathBuf {
        write(&folder.join(&self.key), &gzip(&self.json))
    }
}

/// The digests of a trail, account and region.
pub struct Chain {
    bucket: String,
    /// Before `AWSLogs/`.
    pub root: String,
    account: String,
    region: String,
    /// The name of the trail.
    pub trail: String,
    previous: Option<Digest>,
}

impl Chain {
    /// One that has no digest yet.
    pub fn new(bucket: &str, account: &str, region: &str) -> Self {
        Self {
            bucket: bucket.into(),
            root: String::new(),
            account: account.into(),
            region: region.into(),
            trail: "main".into(),
            previous: None,
        }
    }

    /// Logging was stopped and started: the next digest knows none before it.
    pub fn restart(&mut self) {
        self.previous = None;
    }

    /// The digest of the hour that begins 91 seconds after this minute, with these log files.
    pub fn digest(&mut self, signer: &Signer, start: &str, files: &[LogFile]) -> Digest {
        let digest = self.make(signer, start, files, "", self.previous.as_ref());
        self.previous = Some(digest.clone());
        digest
    }

    /// One that is made belatedly for such an hour.
    pub fn backfill(&self, signer: &Signer, start: &str, files: &[LogFile]) -> Digest {
        self.make(signer, start, files, "_backfill", None)
    }

    fn make(
        &self,
        signer: &Signer,
        start: &str,
        files: &[LogFile],
        suffix: &str,
        previous: Option<&Digest>,
    ) -> Digest {
        let start = parse_time(start) + SignedDuration::from_secs(91);
        let end: Timestamp = start + SignedDuration::from_hours(1);
        let Self {
            bucket,
            root,
            account,
            region,
            trail,
            ..
        } = self;
        let key = format!(
            "{root}AWSLogs/{account}/CloudTrail-Digest/{region}/{}/{account}_CloudTrail-Digest_{region}_{trail}_{region}_{}{suffix}.json.gz",
            end.strftime("%Y/%m/%d"),
            end.strftime("%Y%m%dT%H%M%SZ"),
        );
        let log_files: Vec<Value> = files
            .iter()
            .map(|file| {
                json!({
                    "s3Bucket": bucket,
                    "s3Object": file.key(root),
                    "hashValue": hex(&Sha256::digest(file.json())),
                    "hashAlgorithm": "SHA-256",
                    "newestEventTime": end.to_string(),
                    "oldestEventTime": start.to_string(),
                })
            })
            .collect();
        let json = json!({
            "awsAccountId": account,
            "digestStartTime": start.to_string(),
            "digestEndTime": end.to_string(),
            "digestS3Bucket": bucket,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": signer.fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": null,
            "oldestEventTime": null,
            "previousDigestS3Bucket": previous.map(|digest| &digest.bucket),
            "previousDigestS3Object": previous.map(|digest| &digest.key),
            "previousDigestHashValue": previous.map(|digest| hex(&Sha256::digest(&digest.json))),
            "previousDigestHashAlgorithm": previous.map(|_| "SHA-256"),
            "previousDigestSignature": previous.map(|digest| &digest.signature),
            "logFiles": log_files,
        });
        let json = serde_json::to_vec(&json).unwrap();
        let before = previous.map_or("null", |digest| &digest.signature);
        let hash = hex(&Sha256::digest(&json));
        let signature = signer.sign(&format!("{end}\n{bucket}/{key}\n{hash}\n{before}"));
        Digest {
            bucket: bucket.clone(),
            key,
            json,
            signature,
        }
    }
}
