//! The partitions of AWS, each with regions, hosts, accounts and names of buckets of its own; after botocore's
//! partitions.json and endpoints.json of August 2026.

/// A partition.
#[derive(Debug, PartialEq)]
pub(crate) struct Partition {
    /// As in ARNs.
    pub name: &'static str,
    /// What names of its regions begin with; nothing for that of all others.
    prefix: &'static str,
    /// Its regions, all of which have CloudTrail, S3 and SQS. The first is asked what no other is known for.
    pub regions: &'static [&'static str],
    /// What names of its hosts end with: those of old, and those that have IPv6 as well.
    suffixes: [&'static str; 2],
    /// What names of its console's hosts end with, where they are public.
    console: Option<&'static str>,
    /// Its hosts can be reached from the internet.
    pub is_public: bool,
}

impl Partition {
    /// The partition of a region. Asking AWS for it would need another service, and another permission.
    pub fn of(region: &str) -> &'static Self {
        PARTITIONS
            .iter()
            .rfind(|partition| region.starts_with(partition.prefix))
            .unwrap_or(&PARTITIONS[0])
    }

    /// A region of this partition, to ask it rather than all for a bucket; none of `aws`, which is asked first anyway.
    pub fn to_ask(&self) -> Option<&'static str> {
        (self.name != "aws").then(|| self.regions[0])
    }

    /// The partition that an ARN names, if it is known.
    pub fn of_arn(arn: &str) -> Option<&'static Self> {
        let name = arn.split(':').nth(1)?;
        PARTITIONS.iter().find(|partition| partition.name == name)
    }
}

/// The partition of a service's host, and the part of its name before what those of a partition end with; none of any
/// other host. GovCloud's end as those of `aws` do.
pub(crate) fn service_host(host: &str) -> Option<(&'static Partition, &str)> {
    PARTITIONS.iter().find_map(|partition| {
        let mut suffixes = partition.suffixes.iter();
        Some((partition, suffixes.find_map(|suffix| before(host, suffix))?))
    })
}

/// The same of the console.
pub(crate) fn console_host(host: &str) -> Option<(&'static Partition, &str)> {
    PARTITIONS
        .iter()
        .find_map(|partition| Some((partition, before(host, partition.console?)?)))
}

/// The labels before a suffix of a host's name.
fn before<'a>(host: &'a str, suffix: &str) -> Option<&'a str> {
    match host.strip_suffix(suffix)? {
        "" => Some(""),
        labels => labels.strip_suffix('.'),
    }
}

/// All partitions. That of all regions that no other has stands first.
pub(crate) static PARTITIONS: [Partition; 8] = [
    Partition {
        name: "aws",
        prefix: "",
        regions: &[
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
        ],
        suffixes: ["amazonaws.com", "api.aws"],
        console: Some("console.aws.amazon.com"),
        is_public: true,
    },
    Partition {
        name: "aws-cn",
        prefix: "cn-",
        regions: &["cn-north-1", "cn-northwest-1"],
        suffixes: ["amazonaws.com.cn", "api.amazonwebservices.com.cn"],
        console: Some("console.amazonaws.cn"),
        is_public: true,
    },
    Partition {
        name: "aws-us-gov",
        prefix: "us-gov-",
        regions: &["us-gov-west-1", "us-gov-east-1"],
        suffixes: ["amazonaws.com", "api.aws"],
        console: Some("console.amazonaws-us-gov.com"),
        is_public: true,
    },
    Partition {
        name: "aws-eusc",
        prefix: "eusc-",
        regions: &["eusc-de-east-1"],
        suffixes: ["amazonaws.eu", "api.amazonwebservices.eu"],
        console: Some("console.amazonaws-eusc.eu"),
        is_public: true,
    },
    Partition {
        name: "aws-iso",
        prefix: "us-iso-",
        regions: &["us-iso-east-1", "us-iso-west-1"],
        suffixes: ["c2s.ic.gov", "api.aws.ic.gov"],
        console: None,
        is_public: false,
    },
    Partition {
        name: "aws-iso-b",
        prefix: "us-isob-",
        regions: &["us-isob-east-1", "us-isob-west-1"],
        suffixes: ["sc2s.sgov.gov", "api.aws.scloud"],
        console: None,
        is_public: false,
    },
    Partition {
        name: "aws-iso-e",
        prefix: "eu-isoe-",
        regions: &["eu-isoe-west-1"],
        suffixes: ["cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"],
        console: None,
        is_public: false,
    },
    Partition {
        name: "aws-iso-f",
        prefix: "us-isof-",
        regions: &["us-isof-south-1", "us-isof-east-1"],
        suffixes: ["csp.hci.ic.gov", "api.aws.hci.ic.gov"],
        console: None,
        is_public: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_region_is_known() {
        for (region, name) in [
            ("us-east-1", "aws"),
            ("mx-central-1", "aws"),
            ("xx-new-1", "aws"),
            ("cn-northwest-1", "aws-cn"),
            ("us-gov-east-1", "aws-us-gov"),
            ("eusc-de-east-1", "aws-eusc"),
            ("eu-central-1", "aws"),
            ("us-iso-west-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-east-1", "aws-iso-f"),
        ] {
            assert_eq!(Partition::of(region).name, name, "{region}");
            let arn = format!("arn:{name}:iam::123456789012:role/audit");
            assert_eq!(Partition::of_arn(&arn).unwrap().name, name);
        }
        assert_eq!(Partition::of_arn("arn:aws-new:iam::1:role/x"), None);
        for partition in &PARTITIONS {
            for region in partition.regions {
                assert_eq!(Partition::of(region), partition, "{region}");
            }
        }
    }

    #[test]
    fn the_partition_of_a_host_is_told_by_its_end() {
        for (host, expected) in [
            ("s3.us-east-1.amazonaws.com", Some(("aws", "s3.us-east-1"))),
            ("sqs.us-west-2.api.aws", Some(("aws", "sqs.us-west-2"))),
            (
                "s3.cn-north-1.amazonaws.com.cn",
                Some(("aws-cn", "s3.cn-north-1")),
            ),
            (
                "sqs.eusc-de-east-1.amazonaws.eu",
                Some(("aws-eusc", "sqs.eusc-de-east-1")),
            ),
            (
                "sqs.us-iso-east-1.c2s.ic.gov",
                Some(("aws-iso", "sqs.us-iso-east-1")),
            ),
            (
                "sqs.us-isof-east-1.api.aws.hci.ic.gov",
                Some(("aws-iso-f", "sqs.us-isof-east-1")),
            ),
            ("s3.evilamazonaws.com", None),
            ("s3.amazonaws.com.example.com", None),
        ] {
            let found = service_host(host).map(|(partition, labels)| (partition.name, labels));
            assert_eq!(found, expected, "{host}");
        }
        for (host, expected) in [
            ("console.aws.amazon.com", Some(("aws", ""))),
            (
                "us-gov-west-1.console.amazonaws-us-gov.com",
                Some(("aws-us-gov", "us-gov-west-1")),
            ),
            ("myconsole.aws.amazon.com", None),
        ] {
            let found = console_host(host).map(|(partition, labels)| (partition.name, labels));
            assert_eq!(found, expected, "{host}");
        }
    }
}
