//! What the open params name: a folder or file, a place in a bucket, a queue, log groups, or the event history.

mod arn;
mod logs;
mod web;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::process::platform::user_path;
use crate::stats::count;
use crate::trail::is_region;
use arn::arn;
pub(crate) use logs::{GroupName, LogGroups, LogsLocation, Place};
pub(crate) use web::is_s3_of_aws;
use web::{queue_url, web};

/// Where to read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Location {
    /// A folder, read with all below it, or one file.
    Path(PathBuf),
    /// Every key of a bucket that begins with a prefix.
    Bucket(BucketLocation),
    /// The log files that a queue's messages tell of.
    Queue(QueueLocation),
    /// Log groups of CloudWatch Logs.
    Logs(LogsLocation),
    /// CloudTrail's event history.
    History(HistoryLocation),
}

/// The event history of an account.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HistoryLocation {
    /// The regions that are named, each once.
    pub regions: Vec<String>,
    /// Whether all other regions are read as well.
    pub all: bool,
    /// The ARN of a trail, whose Insights events on data events are read instead.
    pub trail: Option<String>,
}

/// An SQS queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct QueueLocation {
    /// Its name, the last part of its URL.
    pub name: String,
    /// Its URL, where that was given.
    pub url: Option<String>,
    /// The account that owns it, where the ARN tells it.
    pub account: Option<String>,
    /// The region, where the URL or ARN tells it.
    pub region: Option<String>,
}

/// A bucket and a prefix of its keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BucketLocation {
    /// A bucket's name, an access point's alias or ARN.
    pub bucket: String,
    /// What keys begin with; may be empty or end inside a name.
    pub prefix: String,
    /// The region, where the URL or ARN tells it.
    pub region: Option<String>,
}

/// Forms that every error about the open params shows.
const FORMS: &str = "give a folder or file, a bucket as s3://BUCKET/PREFIX, a queue as sqs://NAME, a log group as \
     logs://GROUP, or the event history as cloudtrail://REGION";

/// A URL, or its host, as errors may show it: without a password, and without the query of a signed one.
pub(crate) fn presentable(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = match host.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => host.to_owned(),
    };
    let is_secret = |query: &str| {
        let query = query.to_ascii_lowercase();
        ["signature=", "x-amz-", "token=", "awsaccesskeyid="]
            .iter()
            .any(|name| query.contains(name))
    };
    match path.split_once('?') {
        Some((path, query)) if is_secret(query) => format!("{scheme}{host}{path}?…"),
        _ => format!("{scheme}{host}{path}"),
    }
}

impl Location {
    /// Read what a user wrote. `endpoint` is that of the configuration, whose own https:// URLs are buckets and queues too.
    pub fn parse(params: &str, endpoint: Option<&str>) -> Result<Self> {
        let params = params.trim();
        ensure!(!params.is_empty(), "the log data URL is empty: {FORMS}");
        if params.starts_with("arn:") {
            return arn(params, params);
        }
        let shown = &presentable(params);
        let Some((scheme, rest)) = params
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
        else {
            check_is_path(params, shown)?;
            return Ok(Self::Path(user_path(params)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => s3(rest, shown),
            "file" => file(rest, shown),
            "http" | "https" => web(params, shown, endpoint),
            "sqs" => sqs(rest, shown),
            "logs" => logs::logs(rest, shown),
            "cloudtrail" => history(rest, shown),
            _ => bail!("{shown}: {scheme}:// is not supported; {FORMS}"),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    // A single letter is a drive.
    text.len() > 1
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A text without `SCHEME://` is a path, unless a URL was meant.
fn check_is_path(params: &str, shown: &str) -> Result<()> {
    let quotes = |letter: char| QUOTES.contains(&letter);
    let within = params.trim_matches(quotes);
    ensure!(
        within.len() == params.len() || !(within.contains("://") || within.starts_with("arn:")),
        "{shown}: leave out the quotes around it: {}",
        presentable(within)
    );
    if let Some((scheme, rest)) = params.split_once(':') {
        let scheme = scheme.to_ascii_lowercase();
        let rest = rest.trim_start_matches(['/', '\\']);
        let slashes = if scheme == "file" { "///" } else { "//" };
        ensure!(
            !["s3", "sqs", "logs", "cloudtrail", "file", "http", "https"].contains(&&*scheme),
            "{shown}: a URL has two slashes behind the colon: {}",
            presentable(&format!("{scheme}:{slashes}{rest}"))
        );
    }
    Ok(())
}

/// Quotes that are copied along with a URL.
pub(crate) const QUOTES: [char; 8] = ['"', '\'', '`', '“', '”', '‘', '’', '„'];

/// `BUCKET/PREFIX` or an ARN of an access point.
fn s3(text: &str, params: &str) -> Result<Location> {
    if text.starts_with("arn:") {
        return arn(text, params);
    }
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    ensure!(
        !bucket.is_empty(),
        "{params}: the bucket's name is missing: give s3://BUCKET/PREFIX"
    );
    bucket_location(bucket, prefix.trim_start_matches('/'), None, params)
}

fn bucket_location(
    bucket: &str,
    prefix: &str,
    region: Option<&str>,
    params: &str,
) -> Result<Location> {
    check_bucket(bucket).with_context(|| params.to_owned())?;
    Ok(Location::Bucket(BucketLocation {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: region.map(str::to_owned),
    }))
}

/// Can this be the name of a bucket?
///
/// # Errors
/// Where it can't, see <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>; capital letters,
/// `_` and more than 63 letters are from before 2018.
pub(super) fn check_bucket(name: &str) -> Result<()> {
    let shown = presentable(name);
    let is_odd = |letter: &char| !letter.is_ascii_alphanumeric() && !"-._".contains(*letter);
    let odd = name.chars().find(is_odd);
    let (host, port) = name.split_once(':').unwrap_or((name, ""));
    let why = match odd {
        _ if host.parse::<Ipv4Addr>().is_ok() || port.parse::<u16>().is_ok() => {
            "it is the host of a store, which goes into aws.endpoint: give s3://BUCKET/PREFIX here"
                .to_owned()
        }
        _ if is_s3_of_aws(&format!("https://{name}")) => {
            "it is the host of a URL: give that with https://, or s3://BUCKET/PREFIX".to_owned()
        }
        Some(letter) => format!(
            "{letter:?} is in it, but only letters, digits, dots and hyphens may be: give s3://BUCKET/PREFIX"
        ),
        None if name.contains("..") => "no dot may follow another".to_owned(),
        None if !(3..=255).contains(&name.len()) => {
            format!(
                "it has {}, but 3 to 63 are needed",
                count(name.len() as u64, "letter")
            )
        }
        None => return Ok(()),
    };
    bail!("{shown:?} can't be a bucket's name: {why}");
}

/// `NAME`, an ARN, or a URL without its `https:`.
fn sqs(text: &str, params: &str) -> Result<Location> {
    if text.starts_with("arn:") {
        return arn(text, params);
    }
    let name = text.trim_end_matches('/');
    if name.contains('/')
        && let Ok(url) = Url::parse(&format!("https://{name}"))
        && let Some(location) = queue_url(&url)
    {
        return Ok(location);
    }
    queue_location(name, params)
}

fn queue_location(name: &str, params: &str) -> Result<Location> {
    ensure!(
        !name.is_empty(),
        "{params}: the queue's name is missing: give sqs://NAME"
    );
    ensure!(
        is_queue(name),
        "{params}: {name:?} can't be a queue's name, which has 1 to 80 letters, digits, hyphens and underscores: \
         give sqs://NAME, the queue's URL or its ARN"
    );
    Ok(Location::Queue(QueueLocation {
        name: name.to_owned(),
        ..QueueLocation::default()
    }))
}

/// Regions separated by commas, or `all`; or the ARN of a trail.
fn history(text: &str, params: &str) -> Result<Location> {
    if text.starts_with("arn:") {
        return arn::trail(text, params);
    }
    let mut location = HistoryLocation::default();
    for region in text.trim_end_matches('/').split(',').map(str::trim) {
        let region = region.to_ascii_lowercase();
        ensure!(
            !region.is_empty(),
            "{params}: a region is missing: give cloudtrail://us-east-1, several with commas between, or cloudtrail://all"
        );
        ensure!(
            region == "all" || is_region(&region),
            "{params}: {region:?} can't be a region, which looks like us-east-1: give cloudtrail://us-east-1, several \
             with commas between, or cloudtrail://all"
        );
        if region == "all" {
            location.all = true;
        } else if !location.regions.contains(&region) {
            location.regions.push(region);
        }
    }
    Ok(Location::History(location))
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>
fn is_queue(name: &str) -> bool {
    let name = name.strip_suffix(".fifo").unwrap_or(name);
    (1..=80).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// `file:///path`, `file://localhost/path`, `file:///C:/path`.
fn file(rest: &str, params: &str) -> Result<Location> {
    let path = decode(
        rest.strip_prefix("localhost")
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(rest),
    )?;
    ensure!(
        !path.is_empty(),
        "{params}: the path is missing: give file:///path/to/folder"
    );
    let drive = path.as_bytes();
    let has_drive =
        drive.len() > 2 && drive[0] == b'/' && drive[1].is_ascii_alphabetic() && drive[2] == b':';
    Ok(Location::Path(PathBuf::from(if has_drive {
        &path[1..]
    } else {
        &path
    })))
}

fn decode(text: &str) -> Result<String> {
    Ok(percent_decode_str(text)
        .decode_utf8()
        .with_context(|| format!("{text:?} is not percent-encoded UTF-8"))?
        .into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::partitions::Partition;

    fn bucket(bucket: &str, prefix: &str, region: &str) -> Location {
        Location::Bucket(BucketLocation {
            bucket: bucket.into(),
            prefix: prefix.into(),
            region: (!region.is_empty()).then(|| region.into()),
        })
    }

    fn queue(url: &str, account: &str, region: &str) -> Location {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Location::Queue(QueueLocation {
            name: "my-trail".into(),
            url: set(url),
            account: set(account),
            region: set(region),
        })
    }

    #[test]
    fn urls_of_the_event_history_name_its_regions() {
        for (params, regions, all) in [
            ("cloudtrail://us-east-1", &["us-east-1"][..], false),
            (
                "CloudTrail://us-east-1, EU-west-1,us-east-1/",
                &["us-east-1", "eu-west-1"],
                false,
            ),
            ("cloudtrail://us-gov-west-1", &["us-gov-west-1"], false),
            ("cloudtrail://all", &[], true),
            ("cloudtrail://all,xx-north-10", &["xx-north-10"], true),
            (
                "https://eu-west-1.console.aws.amazon.com/cloudtrailv2/home?region=eu-west-1#/events?ReadOnly=false",
                &["eu-west-1"],
                false,
            ),
            (
                "https://eu-west-1.console.aws.amazon.com/cloudtrailv2/home#/events",
                &["eu-west-1"],
                false,
            ),
        ] {
            let expected = Location::History(HistoryLocation {
                regions: regions.iter().copied().map(str::to_owned).collect(),
                all,
                trail: None,
            });
            assert_eq!(Location::parse(params, None).unwrap(), expected, "{params}");
        }
        for (params, expected) in [
            ("cloudtrail://", "a region is missing"),
            ("cloudtrail://us-east-1,", "a region is missing"),
            ("cloudtrail://us-east", "\"us-east\" can't be a region"),
            ("cloudtrail://my-trail", "\"my-trail\" can't be a region"),
            ("cloudtrail://us-east-1/x", "\"us-east-1/x\" can't be"),
            (
                "cloudtrail://arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/x",
                "is not the ARN of a trail",
            ),
            (
                "cloudtrail://arn:aws:s3:::logs",
                "is not the ARN of a trail",
            ),
            (
                "cloudtrail://arn:aws:cloudtrail::111122223333:trail/x",
                "is not the ARN of a trail",
            ),
        ] {
            let error = format!("{:#}", Location::parse(params, None).unwrap_err());
            assert!(error.contains(expected), "{params}: {error}");
        }
    }

    #[test]
    fn locations_are_read_in_every_form_that_people_write() {
        let path = |path: &str| Location::Path(path.into());
        let point = "arn:aws:s3:us-west-2:123456789012:accesspoint/logs";
        let outpost = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/logs";
        let global = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
        for (params, expected) in [
            ("/var/log/trail", path("/var/log/trail")),
            (" trail/x.json.gz ", path("trail/x.json.gz")),
            (r"C:\logs\trail", path(r"C:\logs\trail")),
            ("file:///var/log/a%20b", path("/var/log/a b")),
            ("file://localhost/var/log", path("/var/log")),
            ("file:///C:/logs", path("C:/logs")),
            ("file://relative/logs", path("relative/logs")),
            ("s3://bucket", bucket("bucket", "", "")),
            ("s3://bucket/", bucket("bucket", "", "")),
            ("S3://bucket/AWSLogs/1/", bucket("bucket", "AWSLogs/1/", "")),
            ("s3://bucket//AWSLogs", bucket("bucket", "AWSLogs", "")),
            ("s3://my.bucket/a b%20c", bucket("my.bucket", "a b%20c", "")),
            (
                "s3://logs-abc123-s3alias/AWSLogs",
                bucket("logs-abc123-s3alias", "AWSLogs", ""),
            ),
            (
                &format!("s3://{point}/AWSLogs/1"),
                bucket(point, "AWSLogs/1", "us-west-2"),
            ),
            (point, bucket(point, "", "us-west-2")),
            (
                &format!("s3://{outpost}/AWSLogs"),
                bucket(outpost, "AWSLogs", "us-west-2"),
            ),
            (global, bucket(global, "", "")),
            (
                "arn:aws:s3:::bucket/AWSLogs/",
                bucket("bucket", "AWSLogs/", ""),
            ),
            (
                "https://bucket.s3.eu-west-1.amazonaws.com/AWSLogs/a%20b",
                bucket("bucket", "AWSLogs/a b", "eu-west-1"),
            ),
            (
                "https://my.bucket.s3.amazonaws.com/",
                bucket("my.bucket", "", ""),
            ),
            (
                "https://bucket.s3-eu-west-1.amazonaws.com/x",
                bucket("bucket", "x", "eu-west-1"),
            ),
            (
                "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/x",
                bucket("bucket", "x", "eu-west-1"),
            ),
            (
                "https://s3.eu-west-1.amazonaws.com/bucket/AWSLogs/",
                bucket("bucket", "AWSLogs/", "eu-west-1"),
            ),
            ("https://s3.amazonaws.com/bucket", bucket("bucket", "", "")),
            (
                "HTTPS://Bucket1.S3.amazonaws.com:443/AWSLogs/a+b//c%2Fd",
                bucket("bucket1", "AWSLogs/a+b//c/d", ""),
            ),
            // Keys in s3:// are as they are.
            (
                "s3://bucket/a%20b/../c//d?e#f g",
                bucket("bucket", "a%20b/../c//d?e#f g", ""),
            ),
            (
                "https://MinIO.example.com:9000/bucket/AWSLogs/a%20b/",
                bucket("bucket", "AWSLogs/a b/", ""),
            ),
            (
                "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=a+b%2B%C3%A9/",
                bucket("bucket", "a b+\u{e9}/", ""),
            ),
            (
                "https://bucket.s3.cn-north-1.amazonaws.com.cn/x",
                bucket("bucket", "x", "cn-north-1"),
            ),
            (
                "https://s3.console.aws.amazon.com/s3/buckets/bucket?region=eu-west-1&prefix=AWSLogs/1/&showversions=false",
                bucket("bucket", "AWSLogs/1/", "eu-west-1"),
            ),
            (
                "https://eu-west-1.console.aws.amazon.com/s3/buckets/bucket?prefix=AWSLogs%2F1%2F&tab=objects",
                bucket("bucket", "AWSLogs/1/", ""),
            ),
            (
                "https://us-east-1.console.aws.amazon.com/s3/object/bucket?region=us-east-1&prefix=AWSLogs/x.json.gz",
                bucket("bucket", "AWSLogs/x.json.gz", "us-east-1"),
            ),
            (
                "https://console.amazonaws.cn/s3/buckets/bucket?region=cn-north-1",
                bucket("bucket", "", "cn-north-1"),
            ),
            (
                "https://minio.example.com:9000/bucket/AWSLogs/",
                bucket("bucket", "AWSLogs/", ""),
            ),
            ("sqs://my-trail", queue("", "", "")),
            ("sqs://my-trail/", queue("", "", "")),
            (
                "arn:aws:sqs:eu-west-1:123456789012:my-trail",
                queue("", "123456789012", "eu-west-1"),
            ),
            (
                "sqs://arn:aws:sqs:eu-west-1:123456789012:my-trail",
                queue("", "123456789012", "eu-west-1"),
            ),
            (
                "https://sqs.eu-west-1.amazonaws.com/123456789012/my-trail",
                queue(
                    "https://sqs.eu-west-1.amazonaws.com/123456789012/my-trail",
                    "123456789012",
                    "eu-west-1",
                ),
            ),
            (
                "sqs://sqs.eu-west-1.amazonaws.com/123456789012/my-trail",
                queue(
                    "https://sqs.eu-west-1.amazonaws.com/123456789012/my-trail",
                    "123456789012",
                    "eu-west-1",
                ),
            ),
            (
                "https://queue.amazonaws.com/123456789012/my-trail",
                queue(
                    "https://queue.amazonaws.com/123456789012/my-trail",
                    "123456789012",
                    "us-east-1",
                ),
            ),
            (
                "https://vpce-1a2b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/my-trail/",
                queue(
                    "https://vpce-1a2b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/my-trail",
                    "123456789012",
                    "eu-west-1",
                ),
            ),
            (
                "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/my-trail",
                queue(
                    "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/my-trail",
                    "123456789012",
                    "cn-north-1",
                ),
            ),
            (
                "https://eu-west-1.console.aws.amazon.com/sqs/v3/home?region=eu-west-1#/queues/https%3A%2F%2Fsqs.eu-west-1.amazonaws.com%2F123456789012%2Fmy-trail",
                queue(
                    "https://sqs.eu-west-1.amazonaws.com/123456789012/my-trail",
                    "123456789012",
                    "eu-west-1",
                ),
            ),
            (
                "https://minio.example.com:9000/123456789012/my-trail",
                queue(
                    "https://minio.example.com:9000/123456789012/my-trail",
                    "123456789012",
                    "",
                ),
            ),
        ] {
            assert_eq!(
                Location::parse(params, Some("https://minio.example.com:9000/")).unwrap(),
                expected,
                "{params}"
            );
        }
    }

    /// Hosts of a bucket or an access point in every partition, after the tables of botocore.
    #[test]
    fn urls_with_the_hosts_of_every_partition_lead_to_a_bucket() {
        for (region, suffix, dual) in [
            ("us-east-1", "amazonaws.com", "api.aws"),
            (
                "cn-north-1",
                "amazonaws.com.cn",
                "api.amazonwebservices.com.cn",
            ),
            ("us-gov-west-1", "amazonaws.com", "api.aws"),
            ("eusc-de-east-1", "amazonaws.eu", "api.amazonwebservices.eu"),
            ("us-iso-east-1", "c2s.ic.gov", "api.aws.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov", "api.aws.scloud"),
            ("eu-isoe-west-1", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
            ("us-isof-south-1", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ] {
            let partition = Partition::of(region).name;
            let arn = |service: &str, resource: &str| {
                format!("arn:{partition}:{service}:{region}:123456789012:{resource}")
            };
            let own = "logs".to_owned();
            let point = arn("s3", "accesspoint/my-point");
            let lambda = arn("s3-object-lambda", "accesspoint/my-point");
            let outpost = arn("s3-outposts", "outpost/op-01ab/accesspoint/my-point");
            for (host, name) in [
                ("logs.s3.R", &own),
                ("logs.s3.dualstack.R", &own),
                ("logs.s3-fips.R", &own),
                ("logs.s3-fips.dualstack.R", &own),
                ("logs.s3-R", &own),
                ("logs.s3-website.R", &own),
                ("logs.s3-website-R", &own),
                ("logs.s3-fips-R", &own),
                ("logs.s3express-use1-az4.R", &own),
                ("logs.s3express-fips-use1-az4.dualstack.R", &own),
                ("logs.bucket.vpce-1a-2b.s3.R.vpce", &own),
                ("my-point-123456789012.s3-accesspoint.R", &point),
                ("my-point-123456789012.s3-accesspoint.dualstack.R", &point),
                ("my-point-123456789012.s3-accesspoint-fips.R", &point),
                (
                    "my-point-123456789012.s3-accesspoint-fips.dualstack.R",
                    &point,
                ),
                (
                    "my-point-123456789012.accesspoint.vpce-1a-2b.s3.R.vpce",
                    &point,
                ),
                ("my-point-123456789012.s3-object-lambda.R", &lambda),
                ("my-point-123456789012.s3-object-lambda-fips.R", &lambda),
                ("my-point-123456789012.op-01ab.s3-outposts.R", &outpost),
            ] {
                let url = format!(
                    "https://{}.{suffix}/AWSLogs/a%20b",
                    host.replace('R', region)
                );
                let found = Location::parse(&url, None).unwrap();
                assert_eq!(found, bucket(name, "AWSLogs/a b", region), "{url}");
            }
            for host in [
                "s3.R",
                "s3.dualstack.R",
                "s3-fips.R",
                "bucket.vpce-1a.s3.R.vpce",
            ] {
                let url = format!(
                    "https://{}.{suffix}/logs/AWSLogs/",
                    host.replace('R', region)
                );
                let found = Location::parse(&url, None).unwrap();
                assert_eq!(found, bucket("logs", "AWSLogs/", region), "{url}");
            }
            let queues = [
                format!("sqs.{region}.{suffix}"),
                format!("sqs-fips.{region}.{suffix}"),
                format!("{region}.queue.{suffix}"),
                format!("vpce-1a2b.sqs.{region}.vpce.{suffix}"),
                format!("sqs.{region}.{dual}"),
                format!("sqs-fips.{region}.{dual}"),
            ];
            for host in queues {
                let url = format!("https://{host}/123456789012/my-trail");
                let expected = queue(&url, "123456789012", region);
                assert_eq!(Location::parse(&url, None).unwrap(), expected, "{url}");
                let short = format!("sqs://{host}/123456789012/my-trail");
                assert_eq!(Location::parse(&short, None).unwrap(), expected, "{short}");
            }
            let arn = format!("arn:{partition}:s3:::logs/AWSLogs/");
            let found = Location::parse(&arn, None).unwrap();
            let asked = Partition::of(region).to_ask().unwrap_or_default();
            assert_eq!(found, bucket("logs", "AWSLogs/", asked), "{arn}");
            let arn = format!("arn:{partition}:sqs:{region}:123456789012:my-trail");
            let found = Location::parse(&arn, None).unwrap();
            assert_eq!(found, queue("", "123456789012", region), "{arn}");
        }
        // The partition is asked where there is no region.
        for (url, asked) in [
            ("https://logs.s3.amazonaws.com.cn/x", "cn-north-1"),
            ("https://s3.amazonaws.eu/logs/x", "eusc-de-east-1"),
            (
                "https://console.amazonaws-us-gov.com/s3/buckets/logs?prefix=x",
                "us-gov-west-1",
            ),
        ] {
            let found = Location::parse(url, None).unwrap();
            assert_eq!(found, bucket("logs", "x", asked), "{url}");
        }
        // These have no region in them.
        for host in [
            "s3-accelerate",
            "s3-accelerate.dualstack",
            "s3",
            "s3-external-1",
        ] {
            let url = format!("https://logs.{host}.amazonaws.com/x");
            let found = Location::parse(&url, None).unwrap();
            assert_eq!(found, bucket("logs", "x", ""), "{url}");
        }
        // Those of others.
        for host in [
            "logs.s3.us-east-1.amazonaws.com.example.org",
            "logs.s3.eviltld",
        ] {
            let url = format!("https://{host}/x");
            assert!(Location::parse(&url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn urls_of_the_console_are_read_in_every_partition() {
        for (region, console) in [
            ("eu-west-1", "console.aws.amazon.com"),
            ("cn-north-1", "console.amazonaws.cn"),
            ("us-gov-west-1", "console.amazonaws-us-gov.com"),
            ("eusc-de-east-1", "console.amazonaws-eusc.eu"),
        ] {
            for host in [
                format!("{region}.{console}"),
                format!("123456789012-ab1cd2.{region}.{console}"),
            ] {
                let url = format!("https://{host}/cloudtrailv2/home#/events");
                let expected = Location::History(HistoryLocation {
                    regions: vec![region.to_owned()],
                    ..HistoryLocation::default()
                });
                assert_eq!(Location::parse(&url, None).unwrap(), expected, "{url}");
            }
            for host in [console.to_owned(), format!("s3.{console}")] {
                let url = format!("https://{host}/s3/buckets/logs?region={region}&prefix=AWSLogs/");
                let found = Location::parse(&url, None).unwrap();
                assert_eq!(found, bucket("logs", "AWSLogs/", region), "{url}");
            }
        }
        let other = "https://console.min.io/s3/buckets/logs?region=eu-west-1";
        assert!(Location::parse(other, None).is_err());
    }

    #[test]
    fn only_hosts_of_aws_are_taken_for_its_s3() {
        for (url, expected) in [
            ("https://s3.us-east-1.amazonaws.com", true),
            (
                "https://bucket.vpce-1a.s3.us-east-1.vpce.amazonaws.com",
                true,
            ),
            ("https://s3.eusc-de-east-1.amazonaws.eu/", true),
            ("https://s3.cn-north-1.amazonaws.com.cn:443", true),
            ("https://sqs.us-east-1.amazonaws.com", false),
            ("https://s3.example.com", false),
            ("https://127.0.0.1:9000", false),
            ("nothing", false),
        ] {
            assert_eq!(is_s3_of_aws(url), expected, "{url}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_with_a_location() {
        for (params, expected) in [
            ("", "the log data URL is empty"),
            ("s3://", "s3://: the bucket's name is missing"),
            (
                "s3:///AWSLogs",
                "s3:///AWSLogs: the bucket's name is missing",
            ),
            (
                "s3://my bucket/x",
                "\"my bucket\" can't be a bucket's name: ' ' is in it",
            ),
            (
                "s3://b",
                "\"b\" can't be a bucket's name: it has 1 letter, but 3 to 63",
            ),
            ("s3://*/AWSLogs", "'*' is in it, but only letters"),
            ("s3://<bucket>/", "'<' is in it, but only letters"),
            ("s3://bu\u{200b}cket", "'\\u{200b}' is in it"),
            ("s3://logs..audit", "no dot may follow another"),
            ("s3://10.0.0.5/logs", "goes into aws.endpoint"),
            (
                "s3://minio.example.com:9000/logs/AWSLogs/",
                "goes into aws.endpoint",
            ),
            ("s3://logs:AWSLogs", "':' is in it"),
            (
                "s3://logs.s3.eu-west-1.amazonaws.com/AWSLogs/",
                "it is the host of a URL: give that with https://",
            ),
            (
                "s3://s3.amazonaws.com/logs",
                "it is the host of a URL: give that with https://",
            ),
            (
                "\"s3://logs/AWSLogs\"",
                "\"s3://logs/AWSLogs\": leave out the quotes around it: s3://logs/AWSLogs",
            ),
            ("'s3://logs", "leave out the quotes around it: s3://logs"),
            (
                "“sqs://trail”",
                "leave out the quotes around it: sqs://trail",
            ),
            (
                "`arn:aws:s3:::logs`",
                "leave out the quotes around it: arn:aws:s3:::logs",
            ),
            (
                "s3:/logs/AWSLogs",
                "s3:/logs/AWSLogs: a URL has two slashes behind the colon: s3://logs/AWSLogs",
            ),
            ("S3:logs", "two slashes behind the colon: s3://logs"),
            ("sqs:trail", "two slashes behind the colon: sqs://trail"),
            (
                r"https:\\logs.s3.amazonaws.com",
                "two slashes behind the colon: https://logs.s3.amazonaws.com",
            ),
            ("cloudtrail:us-east-1", "colon: cloudtrail://us-east-1"),
            (
                "file:/var/log",
                "two slashes behind the colon: file:///var/log",
            ),
            (
                "https://mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com/x",
                "give its ARN, arn:aws:s3::ACCOUNT:accesspoint/ALIAS.mrap",
            ),
            ("ftp://host/x", "ftp://host/x: ftp:// is not supported"),
            ("sqs://", "sqs://: the queue's name is missing"),
            ("sqs://my queue", "\"my queue\" can't be a queue's name"),
            (
                "arn:aws:sqs:eu-west-1:123456789012:",
                "the queue's name is missing",
            ),
            (
                "https://example.com/logs",
                "https://example.com/logs: not a URL of S3",
            ),
            ("https://ec2.amazonaws.com/x", "not a URL of S3"),
            ("https://", "https://: is not a valid URL"),
            ("https://[::1/bucket", "is not a valid URL"),
            ("https://127.0.0.1/bucket", "not a URL of S3"),
            (
                "https://me:secret@bucket.s3.amazonaws.com/x",
                "https://…@bucket.s3.amazonaws.com/x: not a URL of S3",
            ),
            (
                "https://bucket.s3.amazonaws.com/%ff",
                "is not percent-encoded UTF-8",
            ),
            ("https://s3.amazonaws.com/", "the bucket's name is missing"),
            (
                "https://us-east-1.console.aws.amazon.com/ec2/home",
                "not a URL of S3",
            ),
            (
                "arn:aws:sns:us-east-1:123456789012:topic",
                "not an ARN of S3, SQS or CloudWatch Logs",
            ),
            ("arn:aws:s3", "the ARN is not complete"),
            (
                "arn:aws:s3:us-east-1:123456789012:job/x",
                "not an ARN of a bucket or an access point",
            ),
            (
                "arn:aws:s3:us-east-1:123456789012:accesspoint",
                "not an ARN of a bucket or an access point",
            ),
            ("file://", "the path is missing"),
        ] {
            let error = format!("{:#}", Location::parse(params, None).unwrap_err());
            assert!(error.contains(expected), "{params}: {error}");
        }
    }

    #[test]
    fn the_path_of_an_endpoint_is_not_part_of_the_location() {
        for endpoint in [
            "https://store.example.com/storage/v1/s3",
            "https://store.example.com:443/storage/v1/s3/",
        ] {
            let parse = |path: &str| {
                let url = format!("https://store.example.com/storage/v1/{path}");
                Location::parse(&url, Some(endpoint))
            };
            assert_eq!(
                parse("s3/bucket/AWSLogs/").unwrap(),
                bucket("bucket", "AWSLogs/", "")
            );
            assert_eq!(
                parse("s3/123456789012/my-trail").unwrap(),
                queue(
                    "https://store.example.com/storage/v1/s3/123456789012/my-trail",
                    "123456789012",
                    ""
                )
            );
            for other in ["s3bucket/x", "other/bucket", "s3"] {
                assert!(parse(other).is_err(), "{other}");
            }
        }
    }
}
