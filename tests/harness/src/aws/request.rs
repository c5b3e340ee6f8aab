//! What was asked.

use std::{collections::BTreeMap, time::Duration};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::REGION;

/// A request, as logged and as given to the conditions of faults.
#[derive(Debug, Clone)]
pub struct Request {
    /// Since the server's start.
    pub at: Duration,
    /// What is asked for.
    pub op: Op,
    /// The bucket, where S3 is asked.
    pub bucket: String,
    /// The key, or a listing's prefix.
    pub key: String,
    /// The host asked.
    pub host: String,
    /// `GET`
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query, or a form's fields, decoded.
    pub query: BTreeMap<String, String>,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The region that the request is signed for.
    pub region: Option<String>,
    /// The access key that it is signed with.
    pub access_key: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// S3's ListObjectsV2
    ListObjects,
    /// S3's GetObject
    GetObject,
    /// S3's HeadObject
    HeadObject,
    /// S3's HeadBucket
    HeadBucket,
    /// S3's GetBucketLocation
    GetBucketLocation,
    /// STS's AssumeRole
    AssumeRole,
    /// STS's AssumeRoleWithWebIdentity
    AssumeRoleWithWebIdentity,
    /// A container's credentials
    Container,
    /// An instance's metadata
    Instance,
    /// SSO's GetRoleCredentials
    Sso,
    /// SSO's renewal of a token
    SsoToken,
    /// The renewal of a session of `aws login`
    Login,
    /// SQS, whose action is in [`Request::key`] and whose queue's name in [`Request::bucket`]
    Sqs,
    /// CloudTrail, whose action is in [`Request::key`] and what was asked in [`Request::query`]
    CloudTrail,
    /// CloudWatch Logs, whose action is in [`Request::key`] and what was asked in [`Request::query`]
    Logs,
    /// Anything else
    Other,
}

/// An AWS host name taken apart.
#[derive(Debug, Default, PartialEq)]
pub struct Host<'a> {
    pub bucket: Option<&'a str>,
    /// The region of an endpoint of AWS.
    pub region: Option<&'a str>,
}

pub fn parse_host(host: &str) -> Host<'_> {
    let name = host.split(':').next().unwrap_or_default();
    if let Some(bucket) = name
        .strip_suffix(".localhost")
        .or_else(|| name.strip_suffix(".store.test"))
    {
        return Host {
            bucket: Some(bucket),
            region: None,
        };
    }
    let suffixes = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".c2s.ic.gov",
        ".sc2s.sgov.gov",
        ".cloud.adc-e.uk",
        ".csp.hci.ic.gov",
    ];
    let Some(name) = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)) else {
        return Host::default();
    };
    let labels: Vec<&str> = name.split('.').collect();
    let service = labels
        .iter()
        .rposition(|label| matches!(*label, "s3" | "s3-fips" | "s3-accesspoint"));
    let Some(service) = service else {
        return Host::default();
    };
    let bucket = labels[..service].join(".").len();
    let region = labels[service + 1..]
        .iter()
        .find(|label| **label != "dualstack");
    Host {
        bucket: (bucket > 0).then(|| &name[..bucket]),
        region: Some(region.copied().unwrap_or(REGION)),
    }
}

pub fn parse_query(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

impl Request {
    pub(super) fn new(
        parts: &http::request::Parts,
        body: &[u8],
        at: Duration,
        secure: bool,
    ) -> Self {
        let headers: BTreeMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        let (access_key, region) = scope(header("authorization"));
        let host = header("host").to_owned();
        let path = parts.uri.path().to_owned();
        let (bucket, key) = object(&host, &path);
        let target = header("x-amz-target").to_owned();
        let mut request = Self {
            at,
            op: Op::Other,
            bucket,
            key,
            host,
            method: parts.method.to_string(),
            path,
            query: parse_query(parts.uri.query().unwrap_or_default()),
            headers,
            region,
            access_key,
            secure,
        };
        if let Some(action) = target.strip_prefix("AmazonSQS.") {
            request.op = Op::Sqs;
            request.key = action.into();
            request.bucket = queue(body);
        } else if let Some((_, action)) = target.split_once("CloudTrail_20131101.") {
            request.op = Op::CloudTrail;
            request.key = action.into();
            request.query.extend(members(body));
        } else if let Some(action) = target.strip_prefix("Logs_20140328.") {
            request.op = Op::Logs;
            request.key = action.into();
            request.query.extend(members(body));
        } else {
            if request.method == "POST" && request.path == "/" {
                let mut form = parse_query(&String::from_utf8_lossy(body));
                request.query.append(&mut form);
            }
            request.op = request.op_of_path();
        }
        if request.op == Op::ListObjects {
            request.key = request.query.get("prefix").cloned().unwrap_or_default();
        }
        request
    }

    /// What is asked of a service that doesn't say it in a header.
    fn op_of_path(&self) -> Op {
        let (bucket, key, query) = (&self.bucket, &self.key, &self.query);
        match self.method.as_str() {
            "POST" if self.path == "/" => match query.get("Action").map(String::as_str) {
                Some("AssumeRole") => Op::AssumeRole,
                Some("AssumeRoleWithWebIdentity") => Op::AssumeRoleWithWebIdentity,
                _ => Op::Other,
            },
            _ if self.path.starts_with("/latest/") => Op::Instance,
            "GET" if self.path == "/container/credentials" => Op::Container,
            "GET" if self.path == "/federation/credentials" => Op::Sso,
            "POST" if self.path == "/token" => Op::SsoToken,
            "POST" if self.path == "/v1/token" => Op::Login,
            "GET" if key.is_empty() && query.contains_key("list-type") => Op::ListObjects,
            "GET" if key.is_empty() && query.contains_key("location") => Op::GetBucketLocation,
            "HEAD" if key.is_empty() && !bucket.is_empty() => Op::HeadBucket,
            "GET" if !key.is_empty() => Op::GetObject,
            "HEAD" if !key.is_empty() => Op::HeadObject,
            _ => Op::Other,
        }
    }
}

/// Bucket and key, by host and path.
fn object(host: &str, path: &str) -> (String, String) {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = match parse_host(host).bucket {
        Some(bucket) => (bucket, path),
        None => path.split_once('/').unwrap_or((path, "")),
    };
    (bucket.to_owned(), key.to_owned())
}

/// The name of the queue that SQS is asked for.
fn queue(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = body["QueueUrl"].as_str().or(body["QueueName"].as_str());
    let name = name.unwrap_or_default();
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// The members of a JSON object as text.
fn members(body: &[u8]) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let members = body.as_object().into_iter().flatten();
    members
        .map(|(name, value)| {
            let text = value.as_str().map(str::to_owned);
            (name.clone(), text.unwrap_or_else(|| value.to_string()))
        })
        .collect()
}

/// Access key and region of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`
pub fn scope(authorization: &str) -> (Option<String>, Option<String>) {
    let Some((_, scope)) = authorization.split_once("Credential=") else {
        return (None, None);
    };
    let scope = scope.split(',').next().unwrap_or_default();
    let mut parts = scope.split('/').map(str::to_owned);
    (parts.next(), parts.nth(1))
}
