//! The settings as users write them. The doc comments and titles are what the capture dialog shows, in this order.
//!
//! Constraints of the hosts that the shape follows: every leaf has a plain type and a description, or falcodump loads
//! no plugin at all; string defaults are shown, those of numbers and booleans are not, so the sentences say them.

// Dialogs know no markup.
#![allow(rustdoc::bare_urls)]

use std::borrow::Cow;

use anyhow::{Result, ensure};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::Settings;

/// The configuration of the plugin; [`Init`] is how hosts hand it over.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(transform = one_line)]
#[serde(default, rename_all = "camelCase")]
pub struct Config {
    /// Credentials, region and endpoint.
    #[schemars(title = "AWS")]
    pub aws: Aws,
    /// Read only log files delivered in this time: how far back to go (5d, 36h), a start (2024-03-06T00:00:00Z), or
    /// start and end with a dash between (5d-2d). The time of delivery counts, as in the file's name, to the minute,
    /// both ends included; events are a few minutes older. Of the event history it is the time of the events. Empty
    /// reads all.
    #[schemars(title = "Time interval")]
    pub s3_interval: String,
    /// Which time the interval means: that of the log files' delivery, or event: exactly the events that happened in
    /// it, for which log files delivered up to an hour after it are read as well.
    #[schemars(title = "Interval of", extend("enum" = ["delivery", "event"]))]
    pub s3_interval_of: String,
    /// Read only these accounts of an organization or shared bucket: account IDs separated by commas. Empty reads all.
    #[schemars(title = "Account IDs")]
    pub s3_account_list: String,
    /// Go on after what is there: read log files as CloudTrail delivers them, without a queue, or what is new in the
    /// event history. The bucket is listed, or the history looked up, again and again for that. (Default: false)
    #[schemars(title = "Follow the bucket or history")]
    pub s3_follow: bool,
    /// How often a bucket that is followed is listed, or the event history looked up, in seconds. (Default: 30)
    #[schemars(title = "Seconds between listings", range(min = 1, max = 3600))]
    pub s3_poll_interval: u32,
    /// In which order the event history (cloudtrail://REGION) is read: time, the oldest event first as from a bucket, or
    /// newest, the newest first, as the console shows it.
    #[schemars(title = "Order of the event history", extend("enum" = ["time", "newest"]))]
    pub history_order: String,
    /// Show Insights events, which CloudTrail writes when the rate of calls or errors is unusual. (Default: true)
    #[schemars(title = "Include Insights events")]
    pub include_insights: bool,
    /// Check log files against CloudTrail's signed digest files while they are read: off; warn, which names what is
    /// modified, missing or unproven; strict, which shows events of proven log files only and ends at the first sign
    /// of tampering. Of buckets and folders that are read once.
    #[schemars(title = "Validate log files", extend("enum" = ["off", "warn", "strict"]))]
    pub validate: String,
    /// A file with the public keys of the digest files, as aws cloudtrail list-public-keys prints them; several
    /// regions' may follow each other in it. Empty: CloudTrail is asked.
    #[schemars(title = "Public keys for validation")]
    pub validate_keys: String,
    /// The largest number of log files that are downloaded at the same time. (Default: 256)
    #[schemars(title = "Concurrent downloads", range(min = 1, max = 1024))]
    pub s3_download_concurrency: u32,
    /// Delete each message of the SQS queue once the events of its log files are read. Otherwise messages stay in the
    /// queue and come again in the next capture. (Default: true)
    #[schemars(title = "Delete SQS messages")]
    pub sqs_delete: bool,
    /// The account that owns the SQS queue, where it is another one than yours and only the queue's name is given.
    #[schemars(title = "SQS queue owner account")]
    pub sqs_owner_account: String,
    /// Replace values by asterisks before anything sees them, so that captures can be shared: JSON pointers separated
    /// by commas, such as /userIdentity/arn, where * is any name and ** any depth (/**/email), and the word secrets for
    /// access keys, tokens and passwords. Empty: nothing.
    #[schemars(title = "Redact")]
    pub redact: String,
    /// No effect: which service a queue's messages come from is seen by itself. Kept for settings of the official
    /// plugin. (Default: false)
    #[schemars(title = "SQS messages come from S3 (no effect)")]
    #[serde(rename = "useS3SNS")]
    pub use_s3_sns: bool,
    /// No effect: fields are always extracted at full speed. Kept for settings of the official plugin. (Default: true)
    #[schemars(title = "Asynchronous extraction (no effect)")]
    pub use_async: bool,
}

/// How to reach AWS: by default as the AWS CLI does.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(transform = one_line)]
#[serde(default, rename_all = "camelCase")]
pub struct Aws {
    /// The profile of your AWS configuration to use. Empty: what the AWS CLI would use (environment, default profile, role of the machine).
    #[schemars(title = "Profile")]
    pub profile: String,
    /// The region of the bucket or queue. Empty: as configured for the AWS CLI; a bucket's is also found by itself.
    #[schemars(title = "Region")]
    pub region: String,
    /// The AWS configuration file. Empty: ~/.aws/config.
    #[schemars(title = "Configuration file")]
    pub config: String,
    /// The AWS credentials file. Empty: ~/.aws/credentials.
    #[schemars(title = "Credentials file")]
    pub credentials: String,
    /// A role to assume with these credentials, such as arn:aws:iam::123456789012:role/audit. Empty: none.
    #[schemars(title = "Role to assume (ARN)")]
    pub role_arn: String,
    /// The external ID that the role asks for, if any.
    #[schemars(title = "External ID")]
    pub external_id: String,
    /// The URL of an S3-compatible store, such as https://minio.example.com:9000; SQS and CloudTrail are asked there as well. Empty: AWS.
    #[schemars(title = "Endpoint URL")]
    pub endpoint: String,
    /// Pay for requests to a bucket whose owner wants that of its readers. (Default: false)
    #[schemars(title = "Requester pays")]
    pub request_payer: bool,
}

/// Dialogs show descriptions as they are, without wrapping what is wrapped here.
fn one_line(schema: &mut Schema) {
    let properties = schema
        .get_mut("properties")
        .and_then(|properties| properties.as_object_mut());
    for property in properties
        .into_iter()
        .flat_map(|properties| properties.values_mut())
    {
        if let Some(serde_json::Value::String(description)) = property.get_mut("description") {
            *description = description.replace('\n', " ");
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            aws: Aws::default(),
            s3_interval: String::new(),
            s3_interval_of: "delivery".to_owned(),
            s3_account_list: String::new(),
            s3_follow: false,
            s3_poll_interval: 30,
            history_order: "time".to_owned(),
            include_insights: true,
            validate: "off".to_owned(),
            validate_keys: String::new(),
            s3_download_concurrency: 256,
            sqs_delete: true,
            sqs_owner_account: String::new(),
            redact: String::new(),
            use_s3_sns: false,
            use_async: true,
        }
    }
}

/// The settings as hosts hand them over at init, or what is wrong with them, which the plugin object reports: the Falco
/// SDK would say it twice. Empty text and `null` stand for the defaults.
#[derive(Debug)]
pub struct Init(pub(crate) std::result::Result<Settings, String>);

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::Null) => return Ok(Self(Ok(Settings::default()))),
            Ok(json) => json,
            // The Falco SDK offers no other place to accept Falco's empty init_config.
            Err(error) if error.to_string() == EMPTY => return Ok(Self(Ok(Settings::default()))),
            Err(error) => return Err(error),
        };
        let settings = crate::process::guard("reading the configuration", || {
            // A list would do for serde.
            ensure!(json.is_object(), "the configuration is not a JSON object");
            ensure!(
                json.get("aws").is_none_or(|aws| aws.is_object()),
                "aws: is not a JSON object"
            );
            let config: Config = serde_path_to_error::deserialize(json)
                .map_err(|error| anyhow::anyhow!("{}: {}", error.path(), error.inner()))?;
            Settings::try_from(config)
        });
        Ok(Self(settings.map_err(|error| format!("{error:#}"))))
    }
}

/// What serde_json says of empty text.
const EMPTY: &str = "EOF while parsing a value at line 1 column 0";

impl JsonSchema for Init {
    fn schema_name() -> Cow<'static, str> {
        Config::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Config::json_schema(generator)
    }
}
