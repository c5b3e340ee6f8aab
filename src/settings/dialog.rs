//! The settings as users write them. The doc comments and titles are what the capture dialog shows, in this order, but for
//! those that are marked as `hidden`, which are rarely needed: they are keys of the configuration and of *Other settings*. The
//! dialog neither scrolls nor shrinks, so that it may have 18 rows on a small screen. Numbers of type `number` are
//! options of falcodump without a row.
//!
//! Constraints of the hosts that the shape follows: every leaf has a plain type and a description, or falcodump loads
//! no plugin at all; string defaults are shown, those of numbers and booleans are not, so the sentences say them.

// Dialogs know no markup.
#![allow(rustdoc::bare_urls)]

use std::borrow::Cow;

use anyhow::{Result, ensure};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Settings, keys};

/// So many log files are downloaded at the same time at most. From the other side of the world they bring all that two
/// cores can decode.
pub(super) const MOST_DOWNLOADS: u32 = 2048;

/// The configuration of the plugin; [`Init`] is how hosts hand it over.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(transform = one_line)]
#[serde(default, rename_all = "camelCase")]
pub struct Config {
    /// Credentials, region and endpoint.
    #[schemars(title = "AWS")]
    pub aws: Aws,
    /// Read only log files delivered in this time: how far back to go (5d, 36h), a start (2024-03-06, yesterday,
    /// 2024-03-06T09:00+09:00), or start and end with a dash between (5d-2d, yesterday-yesterday). Days, and times without
    /// an offset, are in UTC. The time of delivery counts, as in the file's name, to the minute, both ends included; events
    /// are a few minutes older. Of log groups it is the time of delivery, too; of the event history that of the events. Empty
    /// reads all.
    #[schemars(title = "Time interval")]
    pub s3_interval: String,
    /// Which time the interval means: delivery, when the log files were delivered; or event, when the events happened. For
    /// event, log files that were delivered up to an hour later are read as well.
    #[schemars(title = "Interval of", extend("enum" = ["delivery", "event"], "hidden" = true))]
    pub s3_interval_of: String,
    /// Keep only the events that this condition holds for, in the language of Falco's and sysdig's filters:
    /// ct.readonly=false and not ct.user in (terraform, ci). What is left out is not in the capture, and costs next to
    /// nothing. Fields are those of this plugin, and ct.value[/path/to/member] for any member of a record. Empty keeps all.
    #[schemars(title = "Keep only")]
    pub filter: String,
    /// Read only these accounts of an organization or shared bucket: account IDs separated by commas. Empty reads all.
    #[schemars(title = "Account IDs")]
    pub s3_account_list: String,
    /// Read only these regions: names separated by commas, such as us-east-1,eu-west-1. Others are not listed at all. Global
    /// services, such as IAM, write to us-east-1. Empty reads all.
    #[schemars(title = "Regions")]
    pub s3_region_list: String,
    /// Do not end after the last event: wait for the log files that CloudTrail delivers next, without a queue, or for new
    /// events in log groups or the event history. To find them, the bucket is listed, or events are asked for, again and
    /// again. (Default: false)
    #[schemars(title = "Follow")]
    pub s3_follow: bool,
    /// How often a bucket that is followed is listed, or a log group or the event history asked, in seconds. (Default: 30)
    #[schemars(title = "Seconds between listings", range(min = 1, max = 3600), extend("type" = "number"))]
    pub s3_poll_interval: u32,
    /// A file that tells how far a bucket, log group or event history that is followed was read, so that the next capture goes on there:
    /// nothing is lost over a restart, and hardly anything comes twice. It is made at the first capture, and its folder has to be there.
    /// Empty: each capture begins anew.
    #[schemars(title = "State file", extend("hidden" = true))]
    pub state_path: String,
    /// In which order the event history (cloudtrail://REGION) or a log group (logs://GROUP) is read: time, the oldest event first as from a bucket, or
    /// newest, the newest first, as the console shows it.
    #[schemars(title = "Order of events", extend("enum" = ["time", "newest"], "hidden" = true))]
    pub history_order: String,
    /// Show Insights events, which CloudTrail writes when the rate of calls or errors is unusual. (Default: true)
    #[schemars(title = "Include Insights events", extend("hidden" = true))]
    pub include_insights: bool,
    /// Check log files against CloudTrail's signed digest files while they are read: off; warn, which names what is
    /// modified, missing or unproven; strict, which shows events of proven log files only and ends at the first sign
    /// of tampering. Works for buckets and folders that are read once.
    #[schemars(title = "Validate log files", extend("enum" = ["off", "warn", "strict"]))]
    pub validate: String,
    /// A file with the public keys of the digest files, as aws cloudtrail list-public-keys prints them. It may hold the
    /// output for several regions, one after the other. If empty, CloudTrail is asked for the keys.
    #[schemars(title = "Public keys for validation", extend("hidden" = true))]
    pub validate_keys: String,
    /// The bucket of your trail, where another one is read that is a copy of it: digest files that were written for any
    /// other bucket prove nothing. Empty: with strict the bucket that is read; with warn, and of a folder, any.
    #[schemars(title = "Bucket of the trail", extend("hidden" = true))]
    pub validate_bucket: String,
    /// The largest number of log files that are downloaded at the same time. 0 means as many as make it faster, which is
    /// found out while they are read. (Default: 0)
    #[schemars(title = "Concurrent downloads", range(min = 0, max = MOST_DOWNLOADS), extend("type" = "number"))]
    pub s3_download_concurrency: u32,
    /// Delete each message of the SQS queue once the events of its log files are read. Otherwise messages stay in the
    /// queue and come again in the next capture. (Default: true)
    #[schemars(title = "Delete SQS messages")]
    pub sqs_delete: bool,
    /// The account that owns the SQS queue, if it is not your account and only the queue's name is given.
    #[schemars(title = "SQS queue owner account")]
    pub sqs_owner_account: String,
    /// Replace values by asterisks before anything sees them, so that captures can be shared. Give JSON pointers separated
    /// by commas, such as /userIdentity/arn, where * is any name and ** any depth (/**/email). The word secrets stands for
    /// credentials: access keys, tokens, passwords and the like. Empty replaces nothing.
    #[schemars(title = "Redact")]
    pub redact: String,
    /// Files that tell which country, city and network an address is of, for ct.geo.country and the like: databases in MaxMind's
    /// format, separated by commas, such as GeoLite2-City.mmdb, GeoLite2-ASN.mmdb or those of DB-IP and IPinfo. They take as
    /// much memory as they are large, and are read again when they change. Nothing is sent to anybody. Empty: no such fields.
    #[schemars(title = "Databases of countries and networks", extend("hidden" = true))]
    pub geo_databases: String,
    /// The file in which AWS publishes its own addresses (https://ip-ranges.amazonaws.com/ip-ranges.json), for ct.geo.aws.
    /// Empty: no such field.
    #[schemars(title = "AWS's addresses", extend("hidden" = true))]
    pub aws_ip_ranges: String,
    /// Leave out events that were handed over before, as where several trails write to one bucket, or of copies. Events are
    /// the same if they have the same event ID, recipient account and addendum. The last 900,000 events are known at least,
    /// and 1.8 million at most, which takes up to 45 MB. (Default: false)
    #[schemars(title = "Leave out doubles", extend("hidden" = true))]
    pub dedupe: bool,
    /// A folder in which what is downloaded from a bucket is kept, and read from the next time. It is made if there is none. Only
    /// log files of which the listing says that they are still the same are read from there. Empty keeps nothing.
    #[schemars(title = "Folder of the cache", extend("hidden" = true))]
    pub cache_path: String,
    /// How much the cache may take, such as 10GB, 500MB or 1GiB. What was not used for longest goes first. Empty is 10GB.
    #[schemars(title = "Size of the cache", extend("hidden" = true))]
    pub cache_size: String,
    /// Settings that have no row here, such as historyOrder, s3IntervalOf, includeInsights, dedupe, cachePath or the roleArn of aws:
    /// a JSON object as in the configuration of other programs. docs/settings.md lists all, with an example. What a row says
    /// goes before what is said here.
    #[schemars(title = "Other settings")]
    pub other_settings: String,
    /// No effect: the plugin sees by itself which service the messages of a queue come from. Kept for settings of the
    /// official plugin. (Default: false)
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
    /// The profile of your AWS configuration to use. If empty, what the AWS CLI would use (environment, default profile, role of the machine).
    #[schemars(title = "Profile")]
    pub profile: String,
    /// The region of the bucket or queue. If empty, the region that is configured for the AWS CLI; the region of a bucket is
    /// also found automatically.
    #[schemars(title = "Region")]
    pub region: String,
    /// The AWS configuration file. If empty, ~/.aws/config.
    #[schemars(title = "Configuration file")]
    pub config: String,
    /// The AWS credentials file. If empty, ~/.aws/credentials.
    #[schemars(title = "Credentials file")]
    pub credentials: String,
    /// A role to assume with these credentials, such as arn:aws:iam::123456789012:role/audit. If empty, no role is assumed.
    #[schemars(title = "Role to assume (ARN)", extend("hidden" = true))]
    pub role_arn: String,
    /// The external ID that the role asks for, if any.
    #[schemars(title = "External ID", extend("hidden" = true))]
    pub external_id: String,
    /// The URL of an S3-compatible store, such as https://minio.example.com:9000; requests to SQS, CloudWatch Logs and CloudTrail go there as well. If empty, AWS.
    #[schemars(title = "Endpoint URL")]
    pub endpoint: String,
    /// Pay for the requests to a bucket whose owner requires that readers pay. (Default: false)
    #[schemars(title = "Requester pays", extend("hidden" = true))]
    pub request_payer: bool,
}

/// Joins the lines of descriptions, for dialogs show line breaks as they are.
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
            filter: String::new(),
            s3_account_list: String::new(),
            s3_region_list: String::new(),
            s3_follow: false,
            s3_poll_interval: 30,
            state_path: String::new(),
            history_order: "time".to_owned(),
            include_insights: true,
            validate: "off".to_owned(),
            validate_keys: String::new(),
            validate_bucket: String::new(),
            s3_download_concurrency: 0,
            sqs_delete: true,
            sqs_owner_account: String::new(),
            redact: String::new(),
            geo_databases: String::new(),
            aws_ip_ranges: String::new(),
            dedupe: false,
            cache_path: String::new(),
            cache_size: String::new(),
            other_settings: String::new(),
            use_s3_sns: false,
            use_async: true,
        }
    }
}

/// What marks a setting in the schema that dialogs do not show: `#[schemars(extend("hidden" = true))]`. It is a key of the
/// configuration like any other, and has a row in docs/settings.md.
pub const HIDDEN: &str = "hidden";

/// Leaves out what dialogs do not show.
fn retain_shown(properties: &mut Value) {
    if let Some(properties) = properties.as_object_mut() {
        properties.retain(|_, property| property.get(HIDDEN).is_none());
    }
}

/// The settings as hosts hand them over at init, or what is wrong with them. The plugin object reports that, because the
/// Falco SDK would say it twice. Empty text and `null` stand for the defaults.
#[derive(Debug)]
pub struct Init(pub(crate) std::result::Result<Settings, String>);

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = match Box::<RawValue>::deserialize(deserializer) {
            Ok(json) if json.get() == "null" => return Ok(Self(Ok(Settings::default()))),
            Ok(json) => json,
            // The Falco SDK offers no other place to accept Falco's empty init_config.
            Err(error) if error.to_string() == EMPTY => return Ok(Self(Ok(Settings::default()))),
            Err(error) => return Err(error),
        };
        let settings = crate::process::guard("reading the configuration", || {
            // serde would accept a list for a struct.
            ensure!(
                json.get().starts_with('{'),
                "the configuration is not a JSON object"
            );
            let (json, unknown) = keys::read(json.get())?;
            let config: Config = serde_path_to_error::deserialize(json)
                .map_err(|error| anyhow::anyhow!("{}: {}", error.path(), error.inner()))?;
            Ok(Settings {
                unknown,
                ..Settings::try_from(config)?
            })
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
        let mut schema = Config::json_schema(generator);
        schema
            .get_mut("properties")
            .into_iter()
            .for_each(retain_shown);
        // Those of types that it refers to.
        for definition in generator.definitions_mut().values_mut() {
            definition
                .get_mut("properties")
                .into_iter()
                .for_each(retain_shown);
        }
        schema
    }
}
