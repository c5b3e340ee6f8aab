//! See [`crate::fuzz`].

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::Result;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::digest::{Digest, LogFile};
use super::state::DigestChains;
use super::{DigestStore, Keys, Listed, PublicKeys, Rules, Stored, Validation};
use crate::stats::Stats;
use crate::trail::{self, Interval, Place};

/// A bucket with one digest, where it says that it is.
struct Store {
    bucket: String,
    name: String,
    fingerprint: String,
    stored: Vec<u8>,
    signature: Option<String>,
}

impl DigestStore for Store {
    fn list(&self, _folder: String, _after: Option<String>) -> BoxFuture<'_, Result<Listed>> {
        Box::pin(ready(Ok(Listed {
            names: vec![self.name.clone()],
            next: None,
        })))
    }

    fn get(&self, _name: String) -> BoxFuture<'_, Result<Stored>> {
        Box::pin(ready(Ok(Stored {
            bytes: self.stored.clone(),
            signature: self.signature.clone(),
            generated: None,
        })))
    }

    fn folders(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn wants(&self, _name: &str) -> bool {
        true
    }

    fn span(&self) -> Interval {
        Interval::default()
    }

    fn bucket(&self) -> Option<&str> {
        Some(&self.bucket)
    }

    fn exists(&self, _name: String) -> BoxFuture<'_, bool> {
        Box::pin(ready(false))
    }

    /// One that nothing was signed with.
    fn public_keys(
        &self,
        _region: String,
        _from: Timestamp,
        _to: Timestamp,
    ) -> BoxFuture<'_, Result<PublicKeys>> {
        let key = (self.fingerprint.clone(), b"not a key".to_vec());
        Box::pin(ready(Ok(vec![key])))
    }
}

/// A digest: one that is read has what serde_json finds in it, holds no more memory than its length allows, is the same
/// compressed, and proves nothing.
pub(crate) fn digest(stored: &[u8]) {
    let digest = match Digest::parse(stored) {
        Ok(digest) => digest,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut json = Vec::new();
    if stored.starts_with(&[0x1f, 0x8b]) {
        let inflated = GzDecoder::new(stored).read_to_end(&mut json);
        inflated.expect("what was inflated before");
    } else {
        json = stored.to_vec();
    }
    assert_held(&digest, &json);
    // A list with what a digest's members have, in their order, is read as one, too.
    if let Ok(said) = serde_json::from_slice(&json) {
        assert_said(&digest, &said);
    }
    // Compressed, it is the same.
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&json).expect("memory");
    let mut packed = packed.finish().expect("memory");
    let unpacked = Digest::parse(&packed).expect("the same digest");
    assert_eq!(format!("{unpacked:?}"), format!("{digest:?}"));
    packed.push(0);
    assert!(Digest::parse(&packed).is_err(), "something behind it");
    for signature in [None, Some("00")] {
        assert_proves_nothing(&digest, stored, signature);
    }
}

fn assert_held(digest: &Digest, json: &[u8]) {
    let texts = digest.log_files.iter().map(LogFile::held);
    let held =
        digest.held() + texts.sum::<usize>() + digest.log_files.capacity() * size_of::<LogFile>();
    assert!(
        held <= 16 * json.len() + 1024,
        "{held} bytes held for {} of JSON",
        json.len()
    );
}

fn assert_said(digest: &Digest, said: &Map<String, Value>) {
    let member = |name| said.get(name).and_then(Value::as_str);
    let start = member("digestStartTime").and_then(|start| start.parse().ok());
    assert_eq!(start, Some(digest.start));
    assert_eq!(member("digestS3Bucket"), Some(&*digest.bucket));
    assert_eq!(member("digestS3Object"), Some(&*digest.object));
    assert_eq!(
        member("digestPublicKeyFingerprint"),
        Some(&*digest.fingerprint)
    );
    let previous = [
        member("previousDigestS3Bucket"),
        member("previousDigestS3Object"),
        member("previousDigestSignature"),
    ];
    let previous: Option<Vec<_>> = previous.into_iter().collect();
    let read = digest.previous();
    let read = read.map(|read| vec![read.bucket, read.object, read.signature]);
    assert_eq!(read, previous);
    let files = said.get("logFiles").and_then(Value::as_array);
    let files = files.expect("a list");
    assert_eq!(files.len(), digest.log_files.len());
    for (file, said) in digest.log_files.iter().zip(files) {
        // See above.
        if said.is_array() {
            continue;
        }
        let member = |name| said[name].as_str();
        assert_eq!(member("s3Bucket"), Some(&*file.bucket));
        assert_eq!(member("s3Object"), Some(&*file.object));
        if let Some(hash) = file.hash() {
            let hex = super::hex(&hash);
            assert!(member("hashValue").is_some_and(|said| said.eq_ignore_ascii_case(&hex)));
            assert_eq!(member("hashAlgorithm"), Some("SHA-256"));
        }
    }
}

/// Nothing that was not signed is taken for proven, wherever it lies and whatever it names.
fn assert_proves_nothing(digest: &Digest, stored: &[u8], signature: Option<&str>) {
    let (bucket, object) = (&digest.bucket, &digest.object);
    let name = format!("s3://{bucket}/{object}");
    let Some(place) = Place::of(&name).filter(|_| trail::is_digest(&name)) else {
        return;
    };
    for strict in [false, true] {
        let store = Store {
            bucket: bucket.clone(),
            name: name.clone(),
            fingerprint: digest.fingerprint.clone(),
            stored: stored.to_vec(),
            signature: signature.map(str::to_owned),
        };
        let rules = Rules {
            strict,
            bucket: None,
            opened: Timestamp::MAX,
        };
        let stats = Arc::new(Stats::default());
        let keys = Keys::load(None).expect("no file");
        let validation = Validation::new(rules, stats, Box::new(store), keys);
        let chains = DigestChains::new(Arc::clone(&validation.checks), place.digests.clone());
        // The longest time: all digests are read for it.
        let expected = chains.expect("", Timestamp::MAX).now_or_never();
        expected.expect("nothing to wait for");
        let state = chains.state.try_lock().expect("nobody else");
        assert!(state.entries.len() <= digest.log_files.len());
        assert!(state.entries.values().all(|entry| entry.doubt.is_some()));
        assert!(signature.is_none() || state.entries.is_empty());
        assert!(state.done && state.waiting.is_empty());
        drop(state);
        let finished = chains.finish().now_or_never();
        finished.expect("nothing to wait for");
        let proven = validation.checks.stats.digests_proven.get();
        assert_eq!(proven, 0, "digests proven");
    }
}
