//! One digest file: what it says, and whether its signature fits, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use flate2::bufread::GzDecoder;
use jiff::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

use super::hash::{hash, hex};
use crate::log_file::{LARGEST_WHOLE, Sha256};

/// What a digest says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Digest {
    #[serde(rename = "digestStartTime")]
    pub start: Timestamp,
    /// As it is written, which is signed.
    #[serde(rename = "digestEndTime")]
    end: String,
    #[serde(rename = "digestS3Bucket")]
    pub bucket: String,
    #[serde(rename = "digestS3Object")]
    pub object: String,
    #[serde(rename = "digestPublicKeyFingerprint")]
    pub fingerprint: String,
    #[serde(rename = "digestSignatureAlgorithm")]
    algorithm: String,
    /// This and the others of the digest before it are null where a chain begins.
    #[serde(rename = "previousDigestS3Bucket")]
    previous_bucket: Option<String>,
    #[serde(rename = "previousDigestS3Object")]
    previous_object: Option<String>,
    #[serde(rename = "previousDigestHashValue")]
    previous_hash: Option<String>,
    previous_digest_signature: Option<String>,
    pub log_files: Vec<LogFile>,
    /// The SHA-256 of all this.
    #[serde(skip)]
    pub hash: Sha256,
}

/// A log file as a digest knows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogFile {
    #[serde(rename = "s3Bucket")]
    pub bucket: String,
    #[serde(rename = "s3Object")]
    pub object: String,
    hash_value: String,
    hash_algorithm: String,
}

/// The digest before another.
#[derive(Debug)]
pub(super) struct Previous<'a> {
    pub bucket: &'a str,
    pub object: &'a str,
    pub hash: Option<Sha256>,
    pub signature: &'a str,
}

impl Digest {
    /// Read a digest as it is stored. One that inflates to more than any log file that is held as a whole is refused:
    /// nothing that CloudTrail writes is near it, and what it says takes up to 16 times as much memory, if it names many
    /// log files in few letters.
    pub fn parse(stored: &[u8]) -> Result<Self> {
        let mut json = Vec::new();
        let json = match stored.starts_with(&[0x1f, 0x8b]) {
            false => stored,
            true => {
                let mut inflated = GzDecoder::new(stored).take(LARGEST_WHOLE as u64 + 1);
                inflated
                    .read_to_end(&mut json)
                    .context("can't be inflated")?;
                let behind = inflated.into_inner().into_inner();
                ensure!(
                    behind.is_empty() || json.len() > LARGEST_WHOLE,
                    "has something behind its data"
                );
                &json
            }
        };
        ensure!(
            json.len() <= LARGEST_WHOLE,
            "has more than {} MB, far more than CloudTrail writes",
            LARGEST_WHOLE >> 20
        );
        let mut digest: Self = serde_json::from_slice(json).context("is not a digest file")?;
        digest.hash = hash(json);
        Ok(digest)
    }

    /// None where the chain begins.
    pub fn previous(&self) -> Option<Previous<'_>> {
        Some(Previous {
            bucket: self.previous_bucket.as_deref()?,
            object: self.previous_object.as_deref()?,
            hash: self.previous_hash.as_deref().and_then(parse_hash),
            signature: self.previous_digest_signature.as_deref()?,
        })
    }

    /// What was signed.
    fn signed(&self) -> String {
        let Self {
            end,
            bucket,
            object,
            hash,
            previous_digest_signature: previous,
            ..
        } = self;
        let previous = previous.as_deref().unwrap_or("null");
        format!("{end}\n{bucket}/{object}\n{}\n{previous}", hex(hash))
    }

    /// Bytes of the texts that it holds, beside those of its log files.
    #[cfg(any(fuzzing, test))]
    pub fn held(&self) -> usize {
        let optional = [
            &self.previous_bucket,
            &self.previous_object,
            &self.previous_hash,
            &self.previous_digest_signature,
        ];
        let optional = optional.into_iter().flatten().map(String::capacity);
        let texts = [
            &self.end,
            &self.bucket,
            &self.object,
            &self.fingerprint,
            &self.algorithm,
        ];
        texts
            .into_iter()
            .map(String::capacity)
            .chain(optional)
            .sum()
    }

    /// Check its signature with a public key, which is in DER as of PKCS #1.
    pub fn verify(&self, key: &[u8], signature: &str) -> Result<()> {
        ensure!(
            self.algorithm == "SHA256withRSA",
            "is signed in a way that is not known, {:?}",
            self.algorithm
        );
        let signature = parse_hex(signature).context("has a signature that is not hexadecimal")?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(self.signed().as_bytes(), &signature)
            .ok()
            .context("was altered: its signature does not fit")
    }
}

impl LogFile {
    /// Its SHA-256, if it is one.
    pub fn hash(&self) -> Option<Sha256> {
        parse_hash(&self.hash_value).filter(|_| self.hash_algorithm == "SHA-256")
    }

    /// Bytes of the texts that it holds.
    #[cfg(any(fuzzing, test))]
    pub fn held(&self) -> usize {
        let texts = [
            &self.bucket,
            &self.object,
            &self.hash_value,
            &self.hash_algorithm,
        ];
        texts.into_iter().map(String::capacity).sum()
    }
}

fn parse_hash(text: &str) -> Option<Sha256> {
    parse_hex(text)?.try_into().ok()
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_of_the_documentation_are_read() {
        let Some(folder) = harness::shared::folder("cloudtrail-samples/digest") else {
            return;
        };
        let read = |name: &str| Digest::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        let digest = read("awsdocs_digest_1.json");
        assert_eq!(digest.bucket, "S3-bucket-name");
        assert_eq!(digest.fingerprint, "31e8b5433410dfb61a9dc45cc65b22ff");
        assert_eq!(digest.start, "2015-08-17T14:01:31Z".parse().unwrap());
        let previous = digest.previous().unwrap();
        assert!(previous.object.ends_with("_20150817T140131Z.json.gz"));
        assert_eq!(
            hex(&previous.hash.unwrap()),
            "97fb791cf91ffc440d274f8190dbdd9aa09c34432aba82739df18b6d3c13df2d"
        );
        assert_eq!(parse_hex(previous.signature).unwrap().len(), 256);
        let [file] = &digest.log_files[..] else {
            panic!("{digest:?}");
        };
        assert!(file.object.ends_with("_9nYN7gp2eWAJHIfT.json.gz"));
        assert_eq!(
            hex(&file.hash().unwrap()),
            "9bb6196fc6b84d6f075a56548feca262bd99ba3c2de41b618e5b6e22c1fc71f6"
        );
        assert!(digest.signed().starts_with(
            "2015-08-17T15:01:31Z\nS3-bucket-name/AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/"
        ));
        assert!(digest.signed().ends_with(previous.signature));
        // An hour without a log file.
        let digest = read("awsdocs_digest_2.json");
        assert!(digest.log_files.is_empty() && digest.previous().is_some());
    }

    #[test]
    fn a_signature_is_of_one_digest_and_one_key() {
        use harness::digest::{Chain, Signer};
        let (one, two) = (Signer::one(), Signer::two());
        let mut chain = Chain::new("logs", "123456789012", "eu-west-1");
        let [first, second] =
            ["20240305T1200Z", "20240305T1300Z"].map(|start| chain.digest(&one, start, &[]));
        let digest = Digest::parse(&harness::trail::gzip(&first.json)).unwrap();
        assert_eq!(digest.hash, Digest::parse(&first.json).unwrap().hash);
        assert!(digest.verify(&one.key(), &first.signature).is_ok());
        for (key, signature, reason) in [
            (&one, &second.signature, "was altered"),
            (&two, &first.signature, "was altered"),
            (&one, &"x0".to_owned(), "not hexadecimal"),
        ] {
            let error = format!("{:#}", digest.verify(&key.key(), signature).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
        // The next one names it, and how it is signed.
        let next = Digest::parse(&second.json).unwrap();
        let previous = next.previous().unwrap();
        assert_eq!(
            (previous.bucket, previous.object),
            ("logs", &*digest.object)
        );
        assert_eq!(previous.hash, Some(digest.hash));
        assert_eq!(previous.signature, first.signature);
        let other = String::from_utf8(first.json).unwrap();
        let other = other.replace("SHA256withRSA", "SHA1withRSA");
        let other = Digest::parse(other.as_bytes()).unwrap();
        let error = other.verify(&one.key(), &first.signature).unwrap_err();
        assert!(error.to_string().contains("in a way that is not known"));
    }

    #[test]
    fn a_file_that_is_not_a_digest_is_refused() {
        for bytes in [
            &b""[..],
            b"{}",
            b"[]",
            &[0x1f, 0x8b, 8],
            b"{\"logFiles\":[]}",
        ] {
            assert!(Digest::parse(bytes).is_err(), "{bytes:?}");
        }
        for text in ["0", "0g", "é", "00 0"] {
            assert_eq!(parse_hex(text), None, "{text:?}");
        }
        let whole = harness::trail::gzip(b"{}");
        let error = Digest::parse(&[&whole[..], b"x"].concat()).unwrap_err();
        assert_eq!(error.to_string(), "has something behind its data");
        // A bomb, or what would be one.
        let large = [b" ".repeat(LARGEST_WHOLE), b"{}".to_vec()].concat();
        for large in [harness::trail::gzip(&large), large] {
            let error = Digest::parse(&large).unwrap_err();
            assert!(error.to_string().contains("more than 32 MB"), "{error:#}");
        }
    }
}
