//! The https:// URLs that people copy: of S3, of queues, of the console, of the configured endpoint.

use anyhow::{Context, Result, bail, ensure};
use url::{Host, Url};

use super::{
    BucketLocation, FORMS, Location, QueueLocation, bucket_location, decode, history, is_queue,
    logs, s3,
};
use crate::settings::partitions::{Partition, console_host, service_host};
use crate::trail::{is_account, is_region};

/// `ACCOUNT/NAME` at a host of SQS, of whatever age: `sqs.REGION.amazonaws.com`, `sqs-fips.REGION.…`,
/// `REGION.queue.amazonaws.com`, `ID.sqs.REGION.vpce.amazonaws.com`, `sqs.REGION.api.aws`; of every partition.
pub(super) fn queue_url(url: &Url) -> Option<Location> {
    let labels: Vec<&str> = service_host(url.host_str()?)?.1.split('.').collect();
    let region = match &labels[..] {
        ["queue"] => "us-east-1",
        [region, "queue"] | ["sqs" | "sqs-fips", region] => region,
        [.., "sqs" | "sqs-fips", region, "vpce"] => region,
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
            "{params}: not a URL of S3, SQS or AWS's console; for another store set aws.endpoint; {FORMS}"
        )
    };
    let Some(Host::Domain(host)) = url.host().filter(|_| !has_user) else {
        bail!(not_s3());
    };
    if let Some(location) = queue_url(&url) {
        return Ok(location);
    }
    let location = if let Some((partition, labels)) = console_host(host) {
        console(&url, partition, labels, params)?
    } else if let Some((partition, labels)) = service_host(host) {
        bucket(&url, partition, labels, params)?
    } else {
        None
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

/// A page of AWS's console, whose host is `REGION.…`, `s3.…`, `ACCOUNT-ID.REGION.…` or nothing before what it ends with. None
/// where it is of something else than what events are read from.
fn console(url: &Url, partition: &Partition, host: &str, params: &str) -> Result<Option<Location>> {
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
    let region = host.rsplit('.').next().unwrap_or_default().into();
    let region = query("region").unwrap_or(region);
    if path.starts_with("/cloudtrail") {
        return history(&region, params).map(Some);
    }
    // REGION.console.aws.amazon.com/cloudwatch/home?region=REGION#logsV2:log-groups/log-group/NAME
    if path.starts_with("/cloudwatch") {
        return logs::console(url, &region, params);
    }
    // s3.console.aws.amazon.com/s3/buckets/BUCKET?prefix=KEY, also /s3/object/BUCKET
    let mut parts = path.split('/').skip_while(|part| *part != "s3").skip(1);
    let (Some("buckets" | "object" | "upload" | "get"), Some(bucket)) =
        (parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let prefix = query("prefix").unwrap_or_default();
    let region = query("region");
    let region = region.as_deref().or(partition.to_ask());
    bucket_location(bucket, &prefix, region, params).map(Some)
}

/// `[BUCKET.]SERVICE[.dualstack][.REGION]`, or an access point's host, before what a partition's hosts end with. None of
/// another host.
fn bucket(url: &Url, partition: &Partition, host: &str, params: &str) -> Result<Option<Location>> {
    let labels: Vec<&str> = host.split('.').collect();
    let Some(at) = labels.iter().rposition(is_s3) else {
        return Ok(None);
    };
    // An endpoint in a VPC stands between: NAME.bucket.vpce-ID.s3.REGION.vpce.….
    let is_vpc = |label: &str| label.starts_with("vpce-") && labels.last() == Some(&"vpce");
    let (name, service) = match &labels[..at] {
        [name @ .., "bucket", id] if is_vpc(id) => (name, labels[at]),
        [name @ .., "accesspoint", id] if is_vpc(id) => (name, "s3-accesspoint"),
        name => (name, labels[at]),
    };
    let name = name.join(".");
    let mut behind = labels[at + 1..].iter().copied();
    let region = behind
        .find(|label| !matches!(*label, "dualstack" | "vpce"))
        .or_else(|| region_within(service));
    let path = decode(url.path().strip_prefix('/').unwrap_or_default())?;
    ensure!(
        service != "s3-global",
        "{params}: the host of a multi-region access point does not tell its account: give its ARN, \
         arn:aws:s3::ACCOUNT:accesspoint/ALIAS.mrap"
    );
    if let Some(arn) = region.and_then(|region| access_point(service, &name, region)) {
        let (prefix, region) = (path, region.map(str::to_owned));
        return Ok(Some(Location::Bucket(BucketLocation {
            bucket: arn,
            prefix,
            region,
        })));
    }
    let region = region.or(partition.to_ask());
    if !name.is_empty() {
        return bucket_location(&name, &path, region, params).map(Some);
    }
    let (bucket, prefix) = path.split_once('/').unwrap_or((&path, ""));
    ensure!(!bucket.is_empty(), "{params}: the bucket's name is missing");
    bucket_location(bucket, prefix, region, params).map(Some)
}

/// Is this a URL of AWS's own S3?
pub(crate) fn is_s3_of_aws(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).and_then(service_host);
    host.is_some_and(|(_, labels)| labels.split('.').any(|label| is_s3(&label)))
}

/// Is this the label of S3 in a host's name? `s3`, `s3-fips`, `s3-eu-west-1`, `s3express-use1-az4`, …
fn is_s3(label: &&str) -> bool {
    *label == "s3" || label.starts_with("s3-") || label.starts_with("s3express-")
}

/// The region in old labels of S3: `s3-eu-west-1`, `s3-website-eu-west-1`, `s3-fips-us-gov-west-1`.
fn region_within(service: &str) -> Option<&str> {
    let rest = service.strip_prefix("s3-")?;
    let kinds = ["website-", "fips-"];
    let region = kinds.iter().find_map(|kind| rest.strip_prefix(kind));
    Some(region.unwrap_or(rest)).filter(|region| is_region(region))
}

/// The ARN of an access point whose host's name begins with `NAME-ACCOUNT`, of Outposts with `NAME-ACCOUNT.op-ID`.
fn access_point(service: &str, name: &str, region: &str) -> Option<String> {
    let (name, outpost) = match name.split_once('.') {
        Some((name, outpost)) => (name, format!("outpost/{outpost}/")),
        None => (name, String::new()),
    };
    let service = match service.strip_suffix("-fips").unwrap_or(service) {
        "s3-accesspoint" if outpost.is_empty() => "s3",
        "s3-object-lambda" if outpost.is_empty() => "s3-object-lambda",
        "s3-outposts" if !outpost.is_empty() => "s3-outposts",
        _ => return None,
    };
    let (name, account) = name
        .rsplit_once('-')
        .filter(|(_, account)| is_account(account))?;
    let partition = Partition::of(region).name;
    Some(format!(
        "arn:{partition}:{service}:{region}:{account}:{outpost}accesspoint/{name}"
    ))
}
