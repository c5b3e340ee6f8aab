//! The plugin object: glue between falco_plugin and the rest.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use falco_plugin::api::{ss_plugin_extract_field, ss_plugin_extract_value_offsets};
use falco_plugin::base::{Json, Metric, MetricLabel, MetricType, MetricValue, Plugin};
use falco_plugin::extract::{EventInput, ExtractFieldInfo, ExtractPlugin};
use falco_plugin::source::SourcePlugin;
use falco_plugin::tables::{LazyTableReader, TablesInput};

use crate::config::{Config, Init};
use crate::event::Payload;
use crate::fields::{self, Extractor};
use crate::host_log::HostLog;
use crate::instance::Instance;
use crate::ledger::{Count, Ledger};
use crate::location::Location;
use crate::pipeline::{Limits, Pipeline, start_runtime};
use crate::platform;
use crate::process;
use crate::redact::Redaction;
use crate::source::{self, Wanted};
use crate::trail::Interval;
use jiff::Timestamp;

/// The ID of the official plugin, which this one replaces.
pub(crate) const PLUGIN_ID: u32 = 2;

/// The plugin as hosts see it.
pub struct CloudTrail {
    config: Config,
    extractor: Extractor,
    pub(crate) log: HostLog,
    /// The books of the last capture.
    ledger: Arc<Ledger>,
}

/// Text as hosts can take it: it goes through C strings, which a NUL would end.
pub(crate) fn for_host(text: &str) -> String {
    text.replace('\0', "\\0")
}

fn host_error(error: &anyhow::Error) -> anyhow::Error {
    // The SDK hands over the outermost sentence only.
    anyhow!(for_host(&format!("{error:#}")))
}

impl Plugin for CloudTrail {
    const NAME: &'static CStr = c"cloudtrail";
    const PLUGIN_VERSION: &'static CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a NUL in the version"),
        };
    const DESCRIPTION: &'static CStr =
        c"Reads AWS CloudTrail events from S3, an SQS queue, the event history, a folder or a file";
    const CONTACT: &'static CStr = c"The maintainers of this plugin; see its README.md";

    type ConfigType = Json<Init>;

    fn new(_input: Option<&TablesInput>, Json(Init(config)): Self::ConfigType) -> Result<Self> {
        let log = HostLog::announced();
        let start = || {
            Ok(Self {
                config: config.map_err(anyhow::Error::msg)?,
                extractor: Extractor::default(),
                log,
                ledger: Arc::default(),
            })
        };
        process::guard("starting", start).map_err(|error| host_error(&error))
    }

    fn get_metrics(&mut self) -> impl IntoIterator<Item = Metric> {
        let count = || Ok(metrics(&self.ledger));
        process::guard("counting", count).unwrap_or_else(|error| {
            self.log.warn(&format!("{error:#}"));
            Vec::new()
        })
    }
}

/// The books as hosts show them.
fn metrics(ledger: &Ledger) -> Vec<Metric> {
    let counters = [
        (c"files_listed", &ledger.files_listed),
        (c"files_fetched", &ledger.files_delivered),
        (c"files_failed", &ledger.files_failed),
        (c"files_damaged", &ledger.files_damaged),
        (c"archives_read", &ledger.archives),
        (c"files_withheld", &ledger.files_withheld),
        (c"files_proven", &ledger.files_proven),
        (c"files_modified", &ledger.files_modified),
        (c"files_missing", &ledger.files_missing),
        (c"files_unsigned", &ledger.files_unsigned),
        (c"files_uncovered", &ledger.files_uncovered),
        (c"digests_proven", &ledger.digests_proven),
        (c"digests_failed", &ledger.digests_failed),
        (c"files_passed_over", &ledger.passed_over),
        (c"files_filtered", &ledger.filtered),
        (c"requests_retried", &ledger.retries),
        (c"bytes_fetched", &ledger.bytes),
        (c"records_found", &ledger.records_found),
        (c"records_handed_over", &ledger.records_handed),
        (c"records_passed_over", &ledger.records_passed_over),
        (c"records_filtered", &ledger.records_filtered),
        (c"records_other", &ledger.records_other),
        (c"records_unreadable", &ledger.records_unreadable),
        (c"history_pages", &ledger.pages),
        (c"values_redacted", &ledger.values_redacted),
        (c"messages_received", &ledger.messages_received),
        (c"messages_deleted", &ledger.messages_deleted),
        (c"messages_passed_over", &ledger.messages_passed_over),
        (c"messages_unknown", &ledger.messages_unknown),
        (c"notifications_duplicate", &ledger.duplicates),
    ];
    let metric = |(name, count): (&'static CStr, &Count)| {
        MetricLabel::new(name, MetricType::Monotonic).with_value(MetricValue::U64(count.get()))
    };
    counters.map(metric).into()
}

impl SourcePlugin for CloudTrail {
    type Instance = Instance;
    type Event<'a> = Payload<'a>;
    const EVENT_SOURCE: &'static CStr = c"aws_cloudtrail";
    const PLUGIN_ID: u32 = PLUGIN_ID;

    fn open(&mut self, params: Option<&str>) -> Result<Instance> {
        let open = || {
            platform::stay_loaded();
            let location = Location::parse(params.unwrap_or_default(), &self.config.aws.endpoint)?;
            if self.config.use_async != Config::default().use_async || self.config.use_s3_sns {
                self.log
                    .info("useAsync and useS3SNS have no effect in this plugin: it needs neither");
            }
            let interval = Interval::parse(&self.config.s3_interval, Timestamp::now())?;
            let wanted = Wanted::new(&self.config, interval)?;
            let ledger = Arc::new(Ledger::default());
            let runtime = start_runtime()?;
            // On threads of ours: the host's may be ended by a SIGPIPE.
            let opening = {
                let (config, ledger) = (self.config.clone(), Arc::clone(&ledger));
                let wanted = wanted.clone();
                runtime.spawn(async move { source::open(location, &config, wanted, ledger).await })
            };
            let opened = runtime.block_on(opening);
            let source = match opened.unwrap_or_else(|dead| Err(dead.into())) {
                Ok(source) => source,
                Err(error) => {
                    // Waits for no lookup of a name that hangs.
                    runtime.shutdown_background();
                    return Err(error);
                }
            };
            let limits = Limits {
                concurrency: self.config.s3_download_concurrency as usize,
                include_insights: self.config.include_insights,
                events: if self.config.s3_interval_of == "event" {
                    interval
                } else {
                    Interval::default()
                },
                redaction: Arc::new(Redaction::parse(&self.config.redact)?),
                wanted: Arc::new(wanted),
            };
            Ok((Pipeline::start(runtime, source, limits), ledger))
        };
        let (pipeline, ledger) =
            process::guard("opening", open).map_err(|error| host_error(&error))?;
        self.extractor.reset();
        self.ledger = Arc::clone(&ledger);
        Ok(Instance::new(pipeline, ledger, self.log))
    }

    fn event_to_string(&mut self, event: &EventInput<Self::Event<'_>>) -> Result<CString> {
        let describe = || {
            let Payload(record) = event.event()?;
            Ok(self.extractor.event_string(record))
        };
        // Hosts show the text, but no error.
        process::guard("describing an event", describe).or_else(|error| {
            let text = for_host(&format!("{error:#}"));
            Ok(CString::new(text)?)
        })
    }
}

impl ExtractPlugin for CloudTrail {
    type Event<'a> = Payload<'a>;
    type ExtractContext = ();
    // The table of fields makes both the schema and the values, see below.
    const EXTRACT_FIELDS: &'static [ExtractFieldInfo<Self>] = &[];

    fn get_fields() -> &'static CStr {
        fields::schema()
    }

    fn extract_fields<'a>(
        &'a mut self,
        event_input: &EventInput<'a, Self::Event<'a>>,
        _table_reader: &LazyTableReader,
        fields: &mut [ss_plugin_extract_field],
        offsets: Option<&mut ss_plugin_extract_value_offsets>,
        storage: &'a bumpalo::Bump,
    ) -> Result<()> {
        process::guard("extracting fields", || {
            let Payload(record) = event_input.event()?;
            let number = event_input.event_number() as u64;
            self.extractor
                .extract_fields(number, record, fields, offsets, storage)
        })
        .map_err(|error| host_error(&error))
    }
}
