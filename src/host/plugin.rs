//! The plugin object: glue between falco_plugin and the rest.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use anyhow::Result;
use falco_plugin::base::{Json, Metric, MetricLabel, MetricType, MetricValue, Plugin};
use falco_plugin::source::{
    EventBatch, EventInput, ProgressInfo, SourcePlugin, SourcePluginInstance,
};
use falco_plugin::tables::TablesInput;

use super::announced::Announced;
use super::doubles::Doubles;
use super::event::Payload;
use super::extract::Extractor;
use super::instance::{Instance, Settled};
use super::late::Late;
use super::log::HostLog;
use super::{PLUGIN_ID, capture_error, host_error};
use crate::aws::{self, Environment};
use crate::fields::origin::Sessions;
use crate::geo::{Atlas, Watch};
use crate::pipeline::{Limits, Pipeline, start_runtime};
use crate::process;
use crate::process::platform;
use crate::settings::Settings;
use crate::settings::dialog::Init;
use crate::settings::location::Location;
use crate::source;
use crate::stats::{Count, Stats};
use crate::trail::Interval;
use jiff::Timestamp;

/// The plugin as hosts see it.
pub struct CloudTrail {
    settings: Settings,
    sessions: Arc<Sessions>,
    atlas: Arc<Atlas>,
    /// Looks whether the files of `atlas` change.
    _watch: Option<Watch>,
    /// For events as strings; the host's object has another one for fields.
    describer: Extractor,
    pub(crate) log: HostLog,
    /// the counters of the last capture.
    stats: Arc<Stats>,
}

impl Plugin for CloudTrail {
    const NAME: &'static CStr = c"cloudtrail";
    const PLUGIN_VERSION: &'static CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a NUL in the version"),
        };
    const DESCRIPTION: &'static CStr =
        c"Reads AWS CloudTrail events from S3, an SQS queue, the event history, CloudWatch Logs, a folder or a file";
    const CONTACT: &'static CStr = c"The maintainers of this plugin; see its README.md";

    type ConfigType = Json<Init>;

    fn new(_input: Option<&TablesInput>, Json(Init(settings)): Self::ConfigType) -> Result<Self> {
        let Announced {
            log,
            sessions,
            atlas,
        } = Announced::take();
        let start = || {
            let settings = settings.map_err(anyhow::Error::msg)?;
            settings.unknown_words().inspect(|words| log.warn(words));
            let watch = atlas.load(&settings.geo)?;
            Ok(Self {
                settings,
                describer: Extractor::new(&sessions, &atlas),
                sessions,
                atlas,
                _watch: watch,
                log,
                stats: Arc::default(),
            })
        };
        process::guard("starting", start).map_err(|error| host_error(&error))
    }

    fn get_metrics(&mut self) -> impl IntoIterator<Item = Metric> {
        let count = || Ok(metrics(&self.stats));
        process::guard("counting", count).unwrap_or_else(|error| {
            self.log.warn(&format!("{error:#}"));
            Vec::new()
        })
    }
}

/// The counters as hosts show them.
fn metrics(stats: &Stats) -> Vec<Metric> {
    let counters = [
        (c"files_listed", &stats.files_listed),
        (c"files_fetched", &stats.files_delivered),
        (c"files_failed", &stats.files_failed),
        (c"files_damaged", &stats.files_damaged),
        (c"archives_read", &stats.archives),
        (c"files_repeated", &stats.files_repeated),
        (c"files_withheld", &stats.files_withheld),
        (c"files_proven", &stats.files_proven),
        (c"files_modified", &stats.files_modified),
        (c"files_missing", &stats.files_missing),
        (c"files_unsigned", &stats.files_unsigned),
        (c"files_uncovered", &stats.files_uncovered),
        (c"files_unchecked", &stats.files_unchecked),
        (c"digests_proven", &stats.digests_proven),
        (c"digests_failed", &stats.digests_failed),
        (c"digests_unchecked", &stats.digests_unchecked),
        (c"files_passed_over", &stats.passed_over),
        (c"files_filtered", &stats.filtered),
        (c"cache_hits", &stats.cache_hits),
        (c"cache_stored", &stats.cache_stored),
        (c"cache_damaged", &stats.cache_damaged),
        (c"requests_retried", &stats.retries),
        (c"bytes_fetched", &stats.bytes),
        (c"records_found", &stats.records_found),
        (c"records_handed_over", &stats.records_handed),
        (c"records_passed_over", &stats.records_passed_over),
        (c"records_filtered", &stats.records_filtered),
        (c"records_elsewhere", &stats.records_elsewhere),
        (c"records_left_out", &stats.records_left_out),
        (c"records_repeated", &stats.records_repeated),
        (c"records_other", &stats.records_other),
        (c"records_unreadable", &stats.records_unreadable),
        (c"history_pages", &stats.pages),
        (c"log_group_pages", &stats.log_pages),
        (c"values_redacted", &stats.values_redacted),
        (c"messages_received", &stats.messages_received),
        (c"messages_deleted", &stats.messages_deleted),
        (c"messages_passed_over", &stats.messages_passed_over),
        (c"messages_unknown", &stats.messages_unknown),
        (c"notifications_duplicate", &stats.duplicates),
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
            let params = params.unwrap_or_default();
            // A URL may be one of a store that stands in the place of AWS.
            let scheme = params.trim_start().get(.."http".len());
            let is_url = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"));
            let store = is_url.then(|| aws::store_url(&self.settings.aws)).flatten();
            let location = Location::parse(params, store.as_deref())?;
            if self.settings.has_obsolete {
                self.log
                    .info("useAsync and useS3SNS have no effect in this plugin: it needs neither");
            }
            let selection = self.settings.selection(Timestamp::now())?;
            if selection.asked != Interval::default() {
                let what = self.settings.interval_words(&location);
                self.log
                    .info(&format!("s3Interval: {what} {}", selection.asked));
            }
            let stats = Arc::new(Stats::default());
            let runtime = start_runtime()?;
            // On threads of ours: the host's may be ended by a SIGPIPE.
            let opening = {
                let (settings, stats) = (self.settings.clone(), Arc::clone(&stats));
                runtime.spawn(async move {
                    source::open(
                        location,
                        &settings,
                        selection,
                        &Environment::default(),
                        stats,
                    )
                    .await
                })
            };
            let opened = runtime.block_on(opening);
            let (source, selection) = match opened.unwrap_or_else(|dead| Err(dead.into())) {
                Ok(opened) => opened,
                Err(error) => {
                    // Does not wait for a DNS lookup that hangs.
                    runtime.shutdown_background();
                    return Err(error);
                }
            };
            let asked = selection.asked;
            let limits = Limits {
                concurrency: self.settings.download_concurrency,
                include_insights: self.settings.include_insights,
                filter: self.settings.filter.clone(),
                atlas: Arc::clone(&self.atlas),
                dedupe: self.settings.dedupe,
                redaction: Arc::clone(&self.settings.redaction),
                sessions: Arc::clone(&self.sessions),
                selection: Arc::new(selection),
            };
            Ok((Pipeline::start(runtime, source, limits), stats, asked))
        };
        let (pipeline, stats, asked) =
            process::guard("opening", open).map_err(|error| capture_error(&error, &self.log))?;
        self.describer.reset();
        self.stats = Arc::clone(&stats);
        let settled = Settled {
            log: self.log,
            remarks: self.settings.unknown_words().into_iter().collect(),
            asked,
            late: Late::new(&self.settings.filter, &self.sessions, &self.atlas),
            doubles: Doubles::new(self.settings.dedupe),
            atlas: Arc::clone(&self.atlas),
        };
        Ok(Instance::new(pipeline, stats, settled))
    }

    fn event_to_string(&mut self, event: &EventInput<Self::Event<'_>>) -> Result<CString> {
        let describe = || {
            let Payload(record) = event.event()?;
            Ok(self.describer.event_string(record))
        };
        // Hosts show the text, but no error.
        process::guard("describing an event", describe).or_else(|error| {
            let text = process::printable(&format!("{error:#}"));
            Ok(CString::new(text)?)
        })
    }
}

impl SourcePluginInstance for Instance {
    type Plugin = CloudTrail;

    fn next_batch(&mut self, _plugin: &mut CloudTrail, batch: &mut EventBatch) -> Result<()> {
        Instance::next_batch(self, batch)
    }

    fn get_progress(&mut self) -> ProgressInfo<'_> {
        self.progress()
    }
}
