//! Public keys of digests, from a file or from CloudTrail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{DigestStore, Flaw};
use crate::process::lock;
use crate::process::platform::user_path;

/// How much a key's time may differ from that of a digest that it has signed.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// Keys are requested for this long around a digest's time, so that they serve its neighbours, too.
const RANGE: SignedDuration = SignedDuration::from_hours(2);
/// How long a region is not asked again after a failure.
const PAUSE: Duration = Duration::from_secs(60);

/// What stands before a key of PKCS #1 in one of X.509: the algorithm's ID, and the head of a bit string.
const RSA_ENCRYPTION: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82";

/// Public keys by their fingerprints, in DER as of PKCS #1.
pub(crate) struct Keys {
    /// A file's name and what is in it, which is all there is.
    file: Option<(String, HashMap<String, Vec<u8>>)>,
    /// By region.
    asked: std::sync::Mutex<HashMap<String, Arc<Mutex<Asked>>>>,
}

/// What CloudTrail was asked for in a region.
#[derive(Default)]
struct Asked {
    /// By fingerprint.
    found: HashMap<String, Vec<u8>>,
    /// For which times all keys are known.
    times: Vec<(Timestamp, Timestamp)>,
    /// When a request last failed, and why.
    failed: Option<(Instant, String)>,
}

/// What `aws cloudtrail list-public-keys` prints.
#[derive(Deserialize)]
struct Printed {
    #[serde(rename = "PublicKeyList", alias = "publicKeyList")]
    keys: Vec<PrintedKey>,
}

#[derive(Deserialize)]
struct PrintedKey {
    #[serde(rename = "Value")]
    value: String,
    #[serde(rename = "Fingerprint")]
    fingerprint: String,
}

impl Keys {
    /// The keys of a file; without one they are asked for.
    pub fn load(path: Option<&str>) -> Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(user_path(path))
                    .with_context(|| format!("validateKeys: {path} can't be read"))?;
                let keys = parse(&text).with_context(|| {
                    format!(
                        "validateKeys: {path} is not what aws cloudtrail list-public-keys prints as JSON"
                    )
                })?;
                Some((path.to_owned(), keys))
            }
        };
        Ok(Self {
            file,
            asked: std::sync::Mutex::default(),
        })
    }

    /// The key of a fingerprint, with which a digest was signed at one of these times.
    pub(super) async fn find(
        &self,
        digests: &dyn DigestStore,
        region: &str,
        fingerprint: &str,
        times: &[Timestamp],
    ) -> Result<Vec<u8>, Flaw> {
        if let Some((name, keys)) = &self.file {
            return keys.get(fingerprint).cloned().ok_or_else(|| {
                Flaw::Bad(format!(
                    "is signed with the key {fingerprint}, which is not in {name}"
                ))
            });
        }
        let asked = self.asked_of(region);
        let mut asked = asked.lock().await;
        for time in times {
            if asked.found.contains_key(fingerprint) {
                break;
            }
            asked.ask(digests, region, *time).await?;
        }
        asked.found.get(fingerprint).cloned().ok_or_else(|| {
            Flaw::Bad(format!(
                "is signed with the key {fingerprint}, which CloudTrail does not know in {region}"
            ))
        })
    }

    fn asked_of(&self, region: &str) -> Arc<Mutex<Asked>> {
        let mut asked = lock(&self.asked);
        Arc::clone(asked.entry(region.to_owned()).or_default())
    }
}

impl Asked {
    /// Ask for the keys of a time, unless they are known.
    async fn ask(
        &mut self,
        digests: &dyn DigestStore,
        region: &str,
        time: Timestamp,
    ) -> Result<(), Flaw> {
        if self
            .times
            .iter()
            .any(|(from, to)| (from..=to).contains(&&time))
        {
            return Ok(());
        }
        if let Some((when, why)) = &self.failed
            && when.elapsed() < PAUSE
        {
            return Err(Flaw::Unchecked(why.clone()));
        }
        let around = |span| {
            (
                time.checked_sub(span).unwrap_or(time),
                time.checked_add(span).unwrap_or(time),
            )
        };
        let (from, to) = around(RANGE);
        match digests.public_keys(region.to_owned(), from, to).await {
            Ok(keys) => {
                let keys = keys
                    .into_iter()
                    .map(|(name, key)| (name, pkcs1(&key).to_owned()));
                self.found.extend(keys);
                self.times.push(around(RANGE - MARGIN));
                self.failed = None;
                Ok(())
            }
            Err(error) => {
                let why = format!("{error:#}");
                self.failed = Some((Instant::now(), why.clone()));
                Err(Flaw::Unchecked(why))
            }
        }
    }
}

/// One or more lists of keys.
fn parse(text: &str) -> Result<HashMap<String, Vec<u8>>> {
    let mut keys = HashMap::new();
    for list in serde_json::Deserializer::from_str(text).into_iter::<Printed>() {
        for key in list?.keys {
            let value = BASE64_STANDARD
                .decode(key.value.trim())
                .with_context(|| format!("the key {}", key.fingerprint))?;
            keys.insert(key.fingerprint, pkcs1(&value).to_owned());
        }
    }
    ensure!(!keys.is_empty(), "there is no key in it");
    Ok(keys)
}

/// The key of PKCS #1 in one of X.509, as which older ones are given.
fn pkcs1(der: &[u8]) -> &[u8] {
    let behind = RSA_ENCRYPTION.len() + 3;
    memchr::memmem::find(der, RSA_ENCRYPTION)
        .and_then(|at| der.get(at + behind..))
        .unwrap_or(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_both_forms_and_several_lists() {
        let pkcs1 = [0x30, 0x82, 0x01, 0x0a, 0x02];
        let x509 = [
            &[0x30, 0x82, 0x01, 0x22, 0x30, 0x0d][..],
            RSA_ENCRYPTION,
            &[0x01, 0x0f, 0x00],
            &pkcs1,
        ]
        .concat();
        let [plain, wrapped] = [&pkcs1[..], &x509].map(|key| BASE64_STANDARD.encode(key));
        let keys = parse(&format!(
            r#"{{"PublicKeyList":[{{"Value":"{plain}","ValidityStartTime":"2024-01-01","Fingerprint":"a"}}]}}
               {{"publicKeyList":[{{"Value":"{wrapped}","ValidityStartTime":1.5,"Fingerprint":"b"}}]}}"#
        ))
        .unwrap();
        assert_eq!(keys.len(), 2);
        assert!(keys.values().all(|key| key == &pkcs1));
        for text in [
            "",
            "{}",
            "[]",
            r#"{"PublicKeyList":[]}"#,
            r#"{"PublicKeyList":[{"Value":"?","Fingerprint":"a"}]}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
