//! ARNs of buckets, access points and queues.

use anyhow::{Result, bail, ensure};

use super::{BucketLocation, Location, QueueLocation, queue_location, s3};
use crate::settings::partitions::Partition;

/// `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/PREFIX` and its like; `arn:aws:s3:::BUCKET/PREFIX`;
/// `arn:aws:sqs:REGION:ACCOUNT:NAME`.
pub(super) fn arn(text: &str, params: &str) -> Result<Location> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, _, service, region, account, resource] = parts[..] else {
        bail!("{params}: the ARN is not complete");
    };
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
        "{params}: not an ARN of S3 or SQS but of {service:?}"
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
