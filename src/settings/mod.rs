//! The settings, parsed once into types. `dialog` is how users write them, `location` is what they open.

mod cache;
pub(crate) mod dialog;
mod keys;
pub(crate) mod location;
pub(crate) mod partitions;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use jiff::Timestamp;
use url::Url;

pub(crate) use cache::Cache;

use crate::decode::redact::Redaction;
use crate::filter::Filter;
use crate::geo;
use crate::trail::{Interval, Listed, RelativeInterval, Selection, is_account};
use dialog::{Config, MOST_DOWNLOADS};

pub use dialog::HIDDEN;
use location::{Location, presentable};

/// The settings of a plugin object.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub(crate) aws: Aws,
    /// `s3Interval`, which counts from the moment that a capture is opened.
    pub(crate) interval: RelativeInterval,
    pub(crate) interval_of: IntervalOf,
    pub(crate) accounts: Listed,
    pub(crate) regions: Listed,
    pub(crate) follow: bool,
    /// The time between two listings of what is followed.
    pub(crate) poll_interval: Duration,
    /// A file that tells what is consumed of what is followed, as written.
    pub(crate) state_path: Option<String>,
    pub(crate) history_order: HistoryOrder,
    pub(crate) include_insights: bool,
    pub(crate) validation: Validation,
    /// A file of public keys. Without one, CloudTrail is asked for them.
    pub(crate) validate_keys: Option<String>,
    /// The bucket whose digests count, where it is not the one that is read.
    pub(crate) validate_bucket: Option<String>,
    /// Log files fetched at the same time, at most.
    pub(crate) download_concurrency: usize,
    /// What is downloaded from a bucket is kept there, if anywhere.
    pub(crate) cache: Option<Cache>,
    pub(crate) sqs_delete: bool,
    pub(crate) sqs_owner_account: Option<String>,
    /// Which events are kept.
    pub(crate) filter: Filter,
    /// Events that were handed over before are left out.
    pub(crate) dedupe: bool,
    pub(crate) redaction: Arc<Redaction>,
    /// Files that tell where addresses are from.
    pub(crate) geo: geo::Files,
    /// A setting of the official plugin that has no effect here was changed.
    pub(crate) has_obsolete: bool,
    /// Keys of the configuration that are not those of settings.
    pub(crate) unknown: Vec<String>,
}

/// How to reach AWS. Whatever is not set is as for the AWS CLI.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Aws {
    pub profile: Option<String>,
    pub region: Option<String>,
    /// The path of the configuration file, as written.
    pub config: Option<String>,
    /// The path of the credentials file, as written.
    pub credentials: Option<String>,
    /// The ARN of a role to assume.
    pub role_arn: Option<String>,
    pub external_id: Option<String>,
    /// The URL of the server that is used in place of AWS.
    pub endpoint: Option<String>,
    pub request_payer: bool,
}

/// Which time [`Settings::interval`] is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum IntervalOf {
    /// That of the delivery of log files.
    Delivery,
    /// That of the events themselves.
    Event,
}

/// In which order the event history is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum HistoryOrder {
    /// The oldest event first.
    Time,
    /// The newest event first.
    Newest,
}

/// Whether log files are checked against CloudTrail's digests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Validation {
    Off,
    /// Log files that are not proven are named.
    Warn,
    /// The events of log files that are not proven are not handed over.
    Strict,
}

impl Validation {
    /// As users write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Strict => "strict",
        }
    }
}

/// The schema of all settings, those too that capture dialogs do not show, which are marked by [`HIDDEN`].
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}

impl Settings {
    /// The settings as hosts pass them to init: JSON, or nothing for the defaults.
    ///
    /// # Errors
    /// Where the text is not valid JSON or a value has the wrong type or form. The error names its key.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str::<dialog::Init>(json)?
            .0
            .map_err(Error::msg)
    }

    /// What is to be read, in a capture that is opened `now`.
    pub(crate) fn selection(&self, now: Timestamp) -> Result<Selection> {
        let asked = self.interval.from(now).context("s3Interval")?;
        Ok(self.selection_of(asked))
    }

    /// What is to be read, if this is the interval.
    pub(crate) fn selection_of(&self, asked: Interval) -> Selection {
        Selection {
            interval: match self.interval_of {
                IntervalOf::Delivery => asked,
                IntervalOf::Event => asked.with_lateness(),
            },
            asked,
            events: match self.interval_of {
                IntervalOf::Delivery => Interval::default(),
                IntervalOf::Event => asked,
            },
            accounts: self.accounts.clone(),
            regions: self.regions.clone(),
        }
    }

    /// What the interval chooses at a location.
    pub(crate) fn interval_words(&self, location: &Location) -> &'static str {
        match (location, self.interval_of) {
            (Location::History(_), _) | (_, IntervalOf::Event) => "events",
            (Location::Logs(_), IntervalOf::Delivery) => "log events delivered",
            (_, IntervalOf::Delivery) => "log files delivered",
        }
    }

    /// A sentence about keys of the configuration that are not those of settings, if there are any.
    pub(crate) fn unknown_words(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let short = |key: &String| format!("{:?}", key.chars().take(40).collect::<String>());
        let keys: Vec<String> = self.unknown.iter().take(SHOWN).map(short).collect();
        let more = match self.unknown.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!keys.is_empty()).then(|| {
            format!(
                "without effect, since the plugin has no such settings: {}{more}",
                keys.join(", ")
            )
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            aws: Aws::default(),
            interval: RelativeInterval::default(),
            interval_of: IntervalOf::Delivery,
            accounts: Listed::default(),
            regions: Listed::default(),
            follow: false,
            poll_interval: Duration::from_secs(30),
            state_path: None,
            history_order: HistoryOrder::Time,
            include_insights: true,
            validation: Validation::Off,
            validate_keys: None,
            validate_bucket: None,
            download_concurrency: MOST_DOWNLOADS as usize,
            cache: None,
            sqs_delete: true,
            sqs_owner_account: None,
            filter: Filter::default(),
            dedupe: false,
            redaction: Arc::default(),
            geo: geo::Files::default(),
            has_obsolete: false,
            unknown: Vec::new(),
        }
    }
}

impl TryFrom<Config> for Settings {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self> {
        let interval: RelativeInterval = config.s3_interval.parse().context("s3Interval")?;
        // An interval that makes no sense is reported now and not when a capture is opened.
        interval.from(Timestamp::now()).with_context(|| {
            format!(
                "s3Interval: {:?} is not a valid interval",
                config.s3_interval.trim()
            )
        })?;
        let downloads = match config.s3_download_concurrency {
            0 => MOST_DOWNLOADS,
            downloads => downloads,
        };
        ensure!(
            downloads <= MOST_DOWNLOADS,
            "s3DownloadConcurrency: {downloads} is out of range: give 0 to {MOST_DOWNLOADS}"
        );
        let seconds = config.s3_poll_interval;
        ensure!(
            (1..=3600).contains(&seconds),
            "s3PollInterval: {seconds} is out of range: give 1 to 3600 seconds"
        );
        let owner = given(&config.sqs_owner_account);
        if let Some(owner) = &owner {
            ensure!(
                is_account(owner),
                "sqsOwnerAccount: {owner:?} is not a valid AWS account ID, which has 12 digits"
            );
        }
        let trail_bucket = given(&config.validate_bucket);
        if let Some(bucket) = &trail_bucket {
            ensure!(
                !bucket.contains([':', '/']),
                "validateBucket: {bucket:?} is not the name of a bucket: give it without s3:// and without a prefix"
            );
            location::check_bucket(bucket).context("validateBucket")?;
        }
        let unchanged = Config::default();
        Ok(Self {
            interval,
            interval_of: match config.s3_interval_of.as_str() {
                "delivery" => IntervalOf::Delivery,
                "event" => IntervalOf::Event,
                other => return Err(unknown("s3IntervalOf", other, "delivery or event")),
            },
            accounts: Listed::accounts(&config.s3_account_list).context("s3AccountList")?,
            regions: Listed::regions(&config.s3_region_list).context("s3RegionList")?,
            follow: config.s3_follow,
            poll_interval: Duration::from_secs(seconds.into()),
            state_path: given(&config.state_path),
            history_order: match config.history_order.as_str() {
                "time" => HistoryOrder::Time,
                "newest" => HistoryOrder::Newest,
                other => return Err(unknown("historyOrder", other, "time or newest")),
            },
            include_insights: config.include_insights,
            validation: match config.validate.as_str() {
                "off" => Validation::Off,
                "warn" => Validation::Warn,
                "strict" => Validation::Strict,
                other => return Err(unknown("validate", other, "off, warn or strict")),
            },
            validate_keys: given(&config.validate_keys),
            validate_bucket: trail_bucket,
            download_concurrency: downloads as usize,
            sqs_delete: config.sqs_delete,
            sqs_owner_account: owner,
            filter: Filter::parse(&config.filter).context("filter")?,
            dedupe: config.dedupe,
            redaction: Arc::new(Redaction::parse(&config.redact).context("redact")?),
            geo: geo::Files {
                databases: geo::paths(&config.geo_databases),
                aws_ranges: given(&config.aws_ip_ranges),
            },
            cache: Cache::parse(&config.cache_path, &config.cache_size)?,
            has_obsolete: config.use_async != unchanged.use_async
                || config.use_s3_sns != unchanged.use_s3_sns,
            unknown: Vec::new(),
            aws: config.aws.try_into()?,
        })
    }
}

impl TryFrom<dialog::Aws> for Aws {
    type Error = Error;

    fn try_from(aws: dialog::Aws) -> Result<Self> {
        let endpoint = given(&aws.endpoint);
        if let Some(endpoint) = &endpoint {
            let is_web =
                Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            ensure!(
                is_web,
                "aws.endpoint: {:?} is not a valid URL, which begins with https:// or http://",
                presentable(endpoint)
            );
        }
        let (role_arn, external_id) = (given(&aws.role_arn), given(&aws.external_id));
        match &role_arn {
            Some(role) => ensure!(
                role.starts_with("arn:") && role.contains(":role/"),
                "aws.roleArn: {role:?} is not a valid ARN of a role, such as arn:aws:iam::123456789012:role/audit"
            ),
            None => ensure!(
                external_id.is_none(),
                "aws.externalId: is used with aws.roleArn only, which is empty"
            ),
        }
        Ok(Self {
            profile: given(&aws.profile),
            region: given(&aws.region),
            config: given(&aws.config),
            credentials: given(&aws.credentials),
            role_arn,
            external_id,
            endpoint,
            request_payer: aws.request_payer,
        })
    }
}

/// The text of a setting, without spaces around it. `None` if it is empty.
fn given(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn unknown(key: &str, value: &str, known: &str) -> Error {
    anyhow::anyhow!("{key}: {value:?} is not known: give {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_settings_are_the_defaults() {
        for json in ["", "{}", "null", r#"{"aws":{}}"#] {
            assert_eq!(
                Settings::parse(json).unwrap(),
                Settings::default(),
                "{json:?}"
            );
        }
    }

    #[test]
    fn the_settings_of_the_official_plugin_are_read() {
        let settings = Settings::parse(
            r#"{"s3DownloadConcurrency":64,"s3Interval":"5d","sqsDelete":false,"useAsync":false,"useS3SNS":true,
                "s3AccountList":"123456789012,210987654321","sqsOwnerAccount":"123456789012",
                "aws":{"profile":"p","region":"eu-west-1","config":"/c","credentials":"/d"}}"#,
        )
        .unwrap();
        assert_eq!(settings.download_concurrency, 64);
        assert_eq!(settings.interval, "5d".parse().unwrap());
        assert!(!settings.sqs_delete && settings.has_obsolete);
        assert_eq!(settings.aws.credentials.as_deref(), Some("/d"));
    }

    #[test]
    fn errors_name_the_key_of_the_setting() {
        for (json, expected) in [
            (
                r#"{"s3DownloadConcurrency":"x"}"#,
                "s3DownloadConcurrency: invalid type: string \"x\"",
            ),
            (
                r#"{"s3DownloadConcurrency":2049}"#,
                "s3DownloadConcurrency: 2049 is out of range",
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
            (r#"{"aws":7}"#, "aws: is not a JSON object"),
            (r#"{"aws":[]}"#, "aws: is not a JSON object"),
            (
                r#"{"s3Interval":"soon"}"#,
                "s3Interval: \"soon\" is not a valid interval",
            ),
            (
                r#"{"s3AccountList":"12"}"#,
                "s3AccountList: \"12\" is not a valid AWS account ID",
            ),
            (
                r#"{"sqsOwnerAccount":"12"}"#,
                "sqsOwnerAccount: \"12\" is not a valid AWS account ID",
            ),
            (
                r#"{"aws":{"endpoint":"minio:9000"}}"#,
                "aws.endpoint: \"minio:9000\" is not a valid URL",
            ),
            (
                r#"{"aws":{"endpoint":"https://"}}"#,
                "aws.endpoint: \"https://\" is not a valid URL",
            ),
            (
                r#"{"aws":{"roleArn":"audit"}}"#,
                "aws.roleArn: \"audit\" is not a valid ARN",
            ),
            (r#"{"aws":{"externalId":"7"}}"#, "aws.externalId"),
            (
                r#"{"validate":"yes"}"#,
                "validate: \"yes\" is not known: give off, warn or strict",
            ),
            (
                r#"{"validateBucket":"s3://logs/AWSLogs/"}"#,
                "validateBucket: \"s3://logs/AWSLogs/\" is not the name of a bucket",
            ),
            (
                r#"{"includeInsights":"yes"}"#,
                "includeInsights: invalid type",
            ),
            (r#"{"aws":"#, "EOF while parsing"),
            ("[]", "the configuration is not a JSON object"),
        ] {
            let error = format!("{:#}", Settings::parse(json).unwrap_err());
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
