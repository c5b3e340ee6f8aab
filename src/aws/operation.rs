//! What is asked of AWS: in words, and the permission that it takes.

/// A request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    /// Of objects, or of folders in a bucket.
    List,
    /// Of an object.
    Get,
    FindBucket,
    FindQueue,
    QueueAttributes,
    Receive,
    Delete,
    /// Messages stay hidden from others.
    ExtendVisibility,
    LookUp,
    /// Insights events on the data events of a trail.
    ListInsights,
    ListPublicKeys,
    DescribeTrails,
    DescribeLogGroups,
    ListLogGroups,
    FilterLogEvents,
    StartQuery,
    GetQueryResults,
}

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Service {
    S3,
    Sqs,
    CloudTrail,
    Logs,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Sqs => "SQS",
            Self::CloudTrail => "CloudTrail",
            Self::Logs => "CloudWatch Logs",
        }
    }
}

impl Operation {
    /// What is being done to a target, such as a bucket's URL.
    pub fn doing(self, target: &str) -> String {
        match self {
            Self::List => format!("listing {target}"),
            // The name of the log file stands before it.
            Self::Get => "reading it".to_owned(),
            Self::FindBucket => format!("finding the region of {target}"),
            Self::FindQueue => format!("finding the queue {target}"),
            Self::QueueAttributes => format!("asking about the queue {target}"),
            Self::Receive => format!("receiving from the queue {target}"),
            Self::Delete => format!("deleting messages of the queue {target}"),
            Self::ExtendVisibility => {
                format!("keeping messages of the queue {target} hidden from others")
            }
            Self::LookUp => format!("looking up the event history of {target}"),
            Self::ListInsights => format!("listing the Insights events of {target}"),
            Self::ListPublicKeys => {
                format!("asking CloudTrail for the public keys of {target}")
            }
            Self::DescribeTrails => format!("asking CloudTrail for the trails of {target}"),
            Self::DescribeLogGroups | Self::ListLogGroups => {
                format!("looking for log groups in {target}")
            }
            Self::FilterLogEvents => format!("reading the log group {target}"),
            Self::StartQuery => format!("querying the log group {target}"),
            Self::GetQueryResults => {
                format!("asking for the results of a query of the log group {target}")
            }
        }
    }

    pub fn service(self) -> Service {
        match self {
            Self::List | Self::Get | Self::FindBucket => Service::S3,
            Self::FindQueue
            | Self::QueueAttributes
            | Self::Receive
            | Self::Delete
            | Self::ExtendVisibility => Service::Sqs,
            Self::LookUp | Self::ListInsights | Self::ListPublicKeys | Self::DescribeTrails => {
                Service::CloudTrail
            }
            Self::DescribeLogGroups
            | Self::ListLogGroups
            | Self::FilterLogEvents
            | Self::StartQuery
            | Self::GetQueryResults => Service::Logs,
        }
    }

    /// The permission that it takes, and what else to know where it is missing.
    pub fn permission(self) -> &'static str {
        match self {
            Self::List | Self::FindBucket => "s3:ListBucket on the bucket",
            Self::Get => {
                "s3:GetObject on its objects (S3 says the same of an object that is gone, where s3:ListBucket is missing)"
            }
            Self::FindQueue => "sqs:GetQueueUrl on the queue",
            Self::QueueAttributes => "sqs:GetQueueAttributes on the queue",
            Self::Receive => "sqs:ReceiveMessage on the queue",
            Self::Delete => "sqs:DeleteMessage on the queue",
            Self::ExtendVisibility => "sqs:ChangeMessageVisibility on the queue",
            Self::LookUp => "cloudtrail:LookupEvents",
            Self::ListInsights => "cloudtrail:ListInsightsData on the trail",
            Self::ListPublicKeys => {
                "cloudtrail:ListPublicKeys, or the keys in a file (validateKeys)"
            }
            Self::DescribeTrails => "cloudtrail:DescribeTrails, or the log group's name",
            Self::DescribeLogGroups => "logs:DescribeLogGroups",
            Self::ListLogGroups => "logs:ListLogGroups, or the log group's name",
            Self::FilterLogEvents => "logs:FilterLogEvents",
            Self::StartQuery => "logs:StartQuery",
            Self::GetQueryResults => "logs:GetQueryResults",
        }
    }
}
