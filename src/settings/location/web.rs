//! The https:// URLs that people copy.

use anyhow::{Context, Result, bail, ensure};

use super::{FORMS, Location, QueueLocation, bucket_location, decode, history, is_queue, s3};
use crate::trail::is_account;

/// `ACCOUNT/NAME` at a host of SQS, of whatever age: `sqs.REGION.amazonaws.com`, `sqs-fips.REGION.…`,
/// `REGION.queue.amazonaws.com`, `ID.sqs.REGION.vpce.amazonaws.com`, `sqs.REGION.api.aws`.
pub(super) fn queue_url(scheme: &str, host: &str, path: &str) -> Option<Location> {
    let lower = host.to_ascii_lowercase();
    let labels: Vec<&str> = lower
        .strip_suffix(".amazonaws.com.cn")
        .or_else(|| lower.strip_suffix(".amazonaws.com"))
        .or_else(|| lower.strip_suffix(".api.aws"))?
        .split('.')
        .collect();
    let region = match &labels[..] {
        ["queue"] => "us-east-1",
        [region, "queue"] | ["sqs" | "sqs-fips", region] => region,
        [.., "sqs", region, "vpce"] => region,
        _ => return None,
    };
    own_queue_url(&format!("{scheme}://{host}"), path, Some(region))
}

/// `ACCOUNT/NAME` at a server of the user's.
fn own_queue_url(server: &str, path: &str, region: Option<&str>) -> Option<Location> {
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

/// The https:// URLs that people copy: of the S3 API, of queues, of the console, of the configured endpoint.
pub(super) fn web(
    scheme: &str,
    rest: &str,
    params: &str,
    endpoint: Option<&str>,
) -> Result<Location> {
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let path = decode(path)?;
    let query = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| decode(&value.replace('+', " ")))
            .transpose()
    };
    let own = format!("{scheme}://{host}");
    if endpoint.is_some_and(|endpoint| endpoint.trim_end_matches('/').eq_ignore_ascii_case(&own)) {
        return own_queue_url(&own, &path, None).map_or_else(|| s3(&path, params), Ok);
    }
    if let Some(location) = queue_url(scheme, host, &path) {
        return Ok(location);
    }
    let host = host.to_ascii_lowercase();
    let host = host.split(':').next().unwrap_or_default();
    let not_s3 = || {
        format!(
            "{params}: not a URL of S3, SQS or their consoles; for another store set aws.endpoint; {FORMS}"
        )
    };
    if host.contains("console.") {
        // /sqs/v3/home?region=REGION#/queues/URL
        if let Some(url) = fragment.strip_prefix("/queues/") {
            let url = decode(url.split('/').next().unwrap_or_default())?;
            let address = url.strip_prefix("https://").unwrap_or_default();
            let (host, path) = address.split_once('/').unwrap_or_default();
            return queue_url("https", host, path).with_context(not_s3);
        }
        // REGION.console.aws.amazon.com/cloudtrailv2/home?region=REGION#/events
        if path.starts_with("cloudtrail") {
            let region = host.split('.').next().unwrap_or_default();
            return history(query("region")?.as_deref().unwrap_or(region), params);
        }
        // s3.console.aws.amazon.com/s3/buckets/BUCKET?prefix=KEY, also /s3/object/BUCKET
        let mut parts = path.split('/').skip_while(|part| *part != "s3").skip(1);
        let (Some("buckets" | "object" | "upload" | "get"), Some(bucket)) =
            (parts.next(), parts.next())
        else {
            bail!(not_s3());
        };
        return bucket_location(
            bucket,
            &query("prefix")?.unwrap_or_default(),
            query("region")?.as_deref(),
            params,
        );
    }
    let domain = host
        .strip_suffix(".amazonaws.com.cn")
        .or_else(|| host.strip_suffix(".amazonaws.com"))
        .with_context(not_s3)?;
    // [BUCKET.](s3|s3-REGION|s3.REGION|s3.dualstack.REGION|s3-fips…)
    let labels: Vec<&str> = domain.split('.').collect();
    let s3_label = labels
        .iter()
        .rposition(|label| *label == "s3" || label.starts_with("s3-") || *label == "s3-accesspoint")
        .with_context(not_s3)?;
    let bucket = labels[..s3_label].join(".");
    let region = labels[s3_label + 1..]
        .iter()
        .copied()
        .find(|label| *label != "dualstack")
        .or_else(|| {
            labels[s3_label]
                .strip_prefix("s3-")
                .filter(|region| !matches!(*region, "fips" | "accesspoint" | "external-1"))
        });
    if bucket.is_empty() {
        let (bucket, prefix) = path.split_once('/').unwrap_or((&path, ""));
        ensure!(!bucket.is_empty(), "{params}: the bucket's name is missing");
        return bucket_location(bucket, prefix, region, params);
    }
    bucket_location(&bucket, &path, region, params)
}
