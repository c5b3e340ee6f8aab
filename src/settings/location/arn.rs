//! ARNs of buckets, access points, queues and trails; those of log groups are in `logs`.

use anyhow::{Result, bail, ensure};

use super::{BucketLocation, HistoryLocation, Location, QueueLocation, logs, queue_location, s3};
use crate::settings::partitions::Partition;
use crate::trail::{is_account, is_region};

/// `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/PREFIX` and its like; `arn:aws:s3:::BUCKET/PREFIX`;
/// `arn:aws:sqs:REGION:ACCOUNT:NAME`.
pub(super) fn arn(text: &str, params: &str) -> Result<Location> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, _, service, region, account, resource] = parts[..] else {
        bail!("{params}: the ARN is not complete");
    };
    if service == "logs" {
        return logs::logs(text, params);
    }
    if service == "sqs" {
        let Location::Queue(queue) = queue_location(resource, params)? else {
            bail!("{params}: not an ARN of a queue");
        };
        return Ok(Location::Queue(QueueLocation {
            account: (!account.is_empty()).then(|| account.to_owned()),
            region: (!region.is_empty()).then(|| region.to_owned()),
            ..queue
        }));
    }
    ensure!(
        service.starts_with("s3"),
        "{params}: not an ARN of S3, SQS or CloudWatch Logs but of {service:?}"
    );
    if region.is_empty() && !resource.starts_with("accesspoint") {
        let location = s3(resource, params)?;
        let partition = Partition::of_arn(text);
        return Ok(match location {
            Location::Bucket(bucket) => Location::Bucket(BucketLocation {
                region: partition.and_then(Partition::to_ask).map(str::to_owned),
                ..bucket
            }),
            location => location,
        });
    }
    // The name and, after a slash, the prefix; for Outposts: outpost/ID/accesspoint/NAME.
    let names = if resource.starts_with("outpost") {
        4
    } else {
        2
    };
    let end = resource
        .match_indices(['/', ':'])
        .nth(names - 1)
        .map_or(resource.len(), |(index, _)| index);
    let (name, prefix) = resource.split_at(end);
    ensure!(
        name.contains("accesspoint")
            && name
                .split(['/', ':'])
                .filter(|part| !part.is_empty())
                .count()
                == names,
        "{params}: not an ARN of a bucket or an access point"
    );
    Ok(Location::Bucket(BucketLocation {
        bucket: text[..text.len() - prefix.len()].to_owned(),
        prefix: prefix.get(1..).unwrap_or_default().to_owned(),
        region: (!region.is_empty()).then(|| region.to_owned()),
    }))
}

/// `arn:aws:cloudtrail:REGION:ACCOUNT:trail/NAME`
pub(super) fn trail(text: &str, params: &str) -> Result<Location> {
    let text = text.trim_end_matches('/');
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", _, "cloudtrail", region, account, resource] = parts[..] else {
        bail!("{params}: {NOT_OF_TRAIL}");
    };
    let name = resource.strip_prefix("trail/").unwrap_or_default();
    ensure!(
        is_region(region) && is_account(account) && !name.is_empty(),
        "{params}: {NOT_OF_TRAIL}"
    );
    Ok(Location::History(HistoryLocation {
        regions: vec![region.to_owned()],
        trail: Some(text.to_owned()),
        ..HistoryLocation::default()
    }))
}

const NOT_OF_TRAIL: &str = "is not the ARN of a trail, which looks like arn:aws:cloudtrail:us-east-1:123456789012:trail/NAME";
