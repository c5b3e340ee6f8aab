//! The https:// URLs that people copy: of S3, of queues, of the console, of the configured endpoint.

use anyhow::{Context, Result, bail, ensure};
use url::{Host, Url};

use super::{FORMS, Location, QueueLocation, bucket_location, decode, history, is_queue, s3};
use crate::trail::is_account;

/// `ACCOUNT/NAME` at a host of SQS, of whatever age: `sqs.REGION.amazonaws.com`, `sqs-fips.REGION.…`,
/// `REGION.queue.amazonaws.com`, `ID.sqs.REGION.vpce.amazonaws.com`, `sqs.REGION.api.aws`.
pub(super) fn queue_url(url: &Url) -> Option<Location> {
    let host = url.host_str()?;
    let labels: Vec<&str> = host
        .strip_suffix(".amazonaws.com.cn")
        .or_else(|| host.strip_suffix(".amazonaws.com"))
        .or_else(|| host.strip_suffix(".api.aws"))?
        .split('.')
        .collect();
    let region = match &labels[..] {
        ["queue"] => "us-east-1",
        [region, "queue"] | ["sqs" | "sqs-fips", region] => region,
        [.., "sqs", region, "vpce"] => region,
        _ => return None,
    };
    let server = url.origin().ascii_serialization();
    queue_at(&server, url.path().strip_prefix('/')?, Some(region))
}

/// `ACCOUNT/NAME` at a server.
fn queue_at(server: &str, path: &str, region: Option<&str>) -> Option<Location> {
    let (account, name) = path.trim_end_matches('/').split_once('/')?;
    (is_account(account) && is_queue(name)).then(|| {
        Location::Queue(QueueLocation {
            name: name.to_owned(),
            url: Some(format!("{server}/{account}/{name}")),
            account: Some(account.to_owned()),
            region: region.map(str::to_owned),
        })
    })
}

/// Reads such a URL. A URL has no place for `.` and `..` in a key: browsers and other clients resolve them, as is done
/// here. `s3://` takes keys as they are.
pub(super) fn web(text: &str, params: &str, endpoint: Option<&str>) -> Result<Location> {
    let url = Url::parse(text).with_context(|| format!("{params}: is not a valid URL; {FORMS}"))?;
    if let Some((server, path)) = endpoint.and_then(|endpoint| below_endpoint(&url, endpoint)) {
        return queue_at(&server, path, None).map_or_else(|| s3(&decode(path)?, params), Ok);
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    let not_s3 = || {
        format!(
            "{params}: not a URL of S3, SQS or their consoles; for another store set aws.endpoint; {FORMS}"
        )
    };
    let Some(Host::Domain(host)) = url.host().filter(|_| !has_user) else {
        bail!(not_s3());
    };
    if let Some(location) = queue_url(&url) {
        return Ok(location);
    }
    let location = match host.contains("console.") {
        true => console(&url, host, params)?,
        false => bucket(&url, host, params)?,
    };
    location.with_context(not_s3)
}

/// The endpoint, without a slash behind it, and what follows it in a URL of its own.
fn below_endpoint<'a>(url: &'a Url, endpoint: &str) -> Option<(String, &'a str)> {
    let endpoint = Url::parse(endpoint).ok()?;
    let root = endpoint.path().trim_end_matches('/');
    let path = url.path().strip_prefix(root)?.strip_prefix('/')?;
    let server = endpoint.origin().ascii_serialization() + root;
    (endpoint.origin() == url.origin()).then_some((server, path))
}

/// A page of AWS's console. None where it is of something else than what events are read from.
fn console(url: &Url, host: &str, params: &str) -> Result<Option<Location>> {
    let query = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    // /sqs/v3/home?region=REGION#/queues/URL
    let fragment = url.fragment().unwrap_or_default();
    if let Some(queue) = fragment.strip_prefix("/queues/") {
        let queue = decode(queue.split('/').next().unwrap_or_default())?;
        return Ok(Url::parse(&queue).ok().as_ref().and_then(queue_url));
    }
    // REGION.console.aws.amazon.com/cloudtrailv2/home?region=REGION#/events
    let path = decode(url.path())?;
    if path.starts_with("/cloudtrail") {
        let region = host.split('.').next().unwrap_or_default();
        return history(query("region").as_deref().unwrap_or(region), params).map(Some);
    }
    // s3.console.aws.amazon.com/s3/buckets/BUCKET?prefix=KEY, also /s3/object/BUCKET
    let mut parts = path.split('/').skip_while(|part| *part != "s3").skip(1);
    let (Some("buckets" | "object" | "upload" | "get"), Some(bucket)) =
        (parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let prefix = query("prefix").unwrap_or_default();
    bucket_location(bucket, &prefix, query("region").as_deref(), params).map(Some)
}

/// `[BUCKET.](s3|s3-REGION|s3.REGION|s3.dualstack.REGION|s3-fips…).amazonaws.com`. None of another host.
fn bucket(url: &Url, host: &str, params: &str) -> Result<Option<Location>> {
    let domain = host
        .strip_suffix(".amazonaws.com.cn")
        .or_else(|| host.strip_suffix(".amazonaws.com"));
    let labels: Vec<&str> = domain.unwrap_or_default().split('.').collect();
    let is_s3 = |label: &&str| *label == "s3" || label.starts_with("s3-");
    let Some(s3_label) = labels.iter().rposition(is_s3) else {
        return Ok(None);
    };
    let region = labels[s3_label + 1..]
        .iter()
        .copied()
        .find(|label| *label != "dualstack")
        .or_else(|| {
            labels[s3_label]
                .strip_prefix("s3-")
                .filter(|region| !matches!(*region, "fips" | "accesspoint" | "external-1"))
        });
    let path = decode(url.path().strip_prefix('/').unwrap_or_default())?;
    let bucket = labels[..s3_label].join(".");
    if !bucket.is_empty() {
        return bucket_location(&bucket, &path, region, params).map(Some);
    }
    let (bucket, prefix) = path.split_once('/').unwrap_or((&path, ""));
    ensure!(!bucket.is_empty(), "{params}: the bucket's name is missing");
    bucket_location(bucket, prefix, region, params).map(Some)
}
