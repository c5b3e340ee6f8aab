//! What users set. The doc comments and titles are what the capture dialog shows, in this order.
//!
//! Constraints of the hosts that the shape follows: every leaf has a plain type and a description, or falcodump loads
//! no plugin at all; string defaults are shown, those of numbers and booleans are not, so the sentences say them.

// Dialogs know no markup.
#![allow(rustdoc::bare_urls)]

use anyhow::{Context, Result, ensure};
use falco_plugin::schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

use crate::redact::Redaction;
use crate::trail::{Accounts, Interval};

/// The configuration of the plugin; [`Init`] is how hosts hand it over.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "falco_plugin::schemars")]
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
#[schemars(crate = "falco_plugin::schemars")]
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

impl Config {
    /// The configuration as hosts pass it to init: JSON, or nothing for the defaults.
    ///
    /// # Errors
    /// What is no JSON, or has a value of the wrong type or form; the text names its key.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str::<Init>(json)?
            .0
            .map_err(anyhow::Error::msg)
    }

    /// Check what types alone don't tell.
    fn check(&self) -> Result<()> {
        Interval::parse(&self.s3_interval, jiff::Timestamp::now()).context("s3Interval")?;
        ensure!(
            matches!(self.s3_interval_of.as_str(), "delivery" | "event"),
            "s3IntervalOf: {:?} is not known: give delivery or event",
            self.s3_interval_of
        );
        Accounts::parse(&self.s3_account_list).context("s3AccountList")?;
        ensure!(
            matches!(self.history_order.as_str(), "time" | "newest"),
            "historyOrder: {:?} is not known: give time or newest",
            self.history_order
        );
        ensure!(
            (1..=1024).contains(&self.s3_download_concurrency),
            "s3DownloadConcurrency: {} is out of range: give 1 to 1024",
            self.s3_download_concurrency
        );
        ensure!(
            (1..=3600).contains(&self.s3_poll_interval),
            "s3PollInterval: {} is out of range: give 1 to 3600 seconds",
            self.s3_poll_interval
        );
        ensure!(
            matches!(self.validate.as_str(), "off" | "warn" | "strict"),
            "validate: {:?} is not known: give off, warn or strict",
            self.validate
        );
        let owner = self.sqs_owner_account.trim();
        ensure!(
            owner.is_empty() || crate::trail::is_account(owner),
            "sqsOwnerAccount: {owner:?} is no AWS account ID of 12 digits"
        );
        Redaction::parse(&self.redact).context("redact")?;
        let endpoint = self.aws.endpoint.trim();
        ensure!(
            endpoint.is_empty()
                || endpoint.starts_with("http://")
                || endpoint.starts_with("https://"),
            "aws.endpoint: {:?} is no URL: it begins with https:// or http://",
            crate::location::presentable(endpoint)
        );
        let role = self.aws.role_arn.trim();
        ensure!(
            role.is_empty() || (role.starts_with("arn:") && role.contains(":role/")),
            "aws.roleArn: {role:?} is no ARN of a role, such as arn:aws:iam::123456789012:role/audit"
        );
        ensure!(
            !role.is_empty() || self.aws.external_id.trim().is_empty(),
            "aws.externalId: is used with aws.roleArn only, which is empty"
        );
        Ok(())
    }
}

/// The configuration as hosts hand it over at init, or what is wrong with it, which Plugin::new reports: falco_plugin
/// would say it twice. Empty text and `null` stand for the defaults.
#[derive(Debug)]
pub struct Init(pub(crate) std::result::Result<Config, String>);

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::Null) => return Ok(Self(Ok(Config::default()))),
            Ok(json) => json,
            // falco_plugin offers no other place to accept Falco's empty init_config.
            Err(error) if error.to_string() == EMPTY => return Ok(Self(Ok(Config::default()))),
            Err(error) => return Err(error),
        };
        let config = crate::process::guard("reading the configuration", || {
            // A list would do for serde.
            ensure!(json.is_object(), "the configuration is no JSON object");
            ensure!(
                json.get("aws").is_none_or(|aws| aws.is_object()),
                "aws: is no JSON object"
            );
            let config: Config = serde_path_to_error::deserialize(json)
                .map_err(|error| anyhow::anyhow!("{}: {}", error.path(), error.inner()))?;
            config.check()?;
            Ok(config)
        });
        Ok(Self(config.map_err(|error| format!("{error:#}"))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stands_for_the_defaults() {
        for json in ["", "{}", "null", r#"{"aws":{}}"#, r#"{"unknown":1}"#] {
            assert_eq!(Config::parse(json).unwrap(), Config::default(), "{json:?}");
        }
    }

    #[test]
    fn official_settings_work() {
        let config = Config::parse(
            r#"{"s3DownloadConcurrency":64,"s3Interval":"5d","sqsDelete":false,"useAsync":false,"useS3SNS":true,
                "s3AccountList":"123456789012,210987654321","sqsOwnerAccount":"123456789012",
                "aws":{"profile":"p","region":"eu-west-1","config":"/c","credentials":"/d"}}"#,
        )
        .unwrap();
        assert_eq!(config.s3_download_concurrency, 64);
        assert_eq!(config.s3_interval, "5d");
        assert!(!config.sqs_delete && !config.use_async && config.use_s3_sns);
        assert_eq!(config.aws.credentials, "/d");
    }

    #[test]
    fn errors_name_the_key() {
        for (json, expected) in [
            (
                r#"{"s3DownloadConcurrency":"x"}"#,
                "s3DownloadConcurrency: invalid type: string \"x\"",
            ),
            (
                r#"{"s3DownloadConcurrency":0}"#,
                "s3DownloadConcurrency: 0 is out of range",
            ),
            (
                r#"{"s3DownloadConcurrency":-1}"#,
                "s3DownloadConcurrency: invalid value",
            ),
            (
                r#"{"s3PollInterval":0}"#,
                "s3PollInterval: 0 is out of range",
            ),
            (
                r#"{"s3PollInterval":"30s"}"#,
                "s3PollInterval: invalid type",
            ),
            (r#"{"s3Follow":"yes"}"#, "s3Follow: invalid type"),
            (
                r#"{"historyOrder":"oldest"}"#,
                "historyOrder: \"oldest\" is not known",
            ),
            (
                r#"{"aws":{"region":1}}"#,
                "aws.region: invalid type: integer `1`, expected a string",
            ),
            (r#"{"aws":7}"#, "aws: is no JSON object"),
            (r#"{"aws":[]}"#, "aws: is no JSON object"),
            (
                r#"{"s3Interval":"soon"}"#,
                "s3Interval: \"soon\" is no interval",
            ),
            (
                r#"{"s3AccountList":"12"}"#,
                "s3AccountList: \"12\" is no AWS account ID",
            ),
            (
                r#"{"sqsOwnerAccount":"12"}"#,
                "sqsOwnerAccount: \"12\" is no AWS account ID",
            ),
            (
                r#"{"aws":{"endpoint":"minio:9000"}}"#,
                "aws.endpoint: \"minio:9000\" is no URL",
            ),
            (
                r#"{"aws":{"roleArn":"audit"}}"#,
                "aws.roleArn: \"audit\" is no ARN",
            ),
            (r#"{"aws":{"externalId":"7"}}"#, "aws.externalId"),
            (
                r#"{"validate":"yes"}"#,
                "validate: \"yes\" is not known: give off, warn or strict",
            ),
            (
                r#"{"includeInsights":"yes"}"#,
                "includeInsights: invalid type",
            ),
            (r#"{"aws":"#, "EOF while parsing"),
            ("[]", "the configuration is no JSON object"),
        ] {
            let error = format!("{:#}", Config::parse(json).unwrap_err());
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
