//! Log groups of CloudWatch Logs, to which a trail or a telemetry rule sends events.
//!
//! Each group is read by a [`reader`] of its own, or by [`queries`] where its class allows nothing else; a [`Timeline`]
//! merges them. A log event's time is that of its delivery; it is in the record that the event's own time is, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/send-cloudtrail-events-to-cloudwatch-logs.html>.

mod found;
mod messages;
mod pattern;
mod queries;
mod reader;

use std::sync::Arc;

use anyhow::{Error, Result, bail};
use futures_util::future::join_all;
use jiff::Timestamp;

use self::found::{Found, Located};
use self::messages::Messages;
use self::queries::{Queries, Running};
use self::reader::{Asked, LAG, LONG_LAG, NEWEST_FIRST_SINCE, Reader, asked_first};
use super::Source;
use super::timeline::consumed::{self, Acks, Consumed, Scale, Stream, StreamName};
use super::timeline::{self, Follow, Plan, Timeline};
use crate::aws::logs::{Class, Group, LogsRegion, Page, Query};
use crate::aws::{self, Environment, Kind, Login};
use crate::settings::location::LogsLocation;
use crate::settings::{HistoryOrder, Settings};
use crate::stats::{Stats, count};
use crate::trail::{Interval, Selection};

/// The times of log events: in milliseconds.
const SCALE: Scale = Scale {
    per_second: 1_000,
    lag: LONG_LAG / 1_000,
};
/// Log events may be so much older than their group, in milliseconds: PutLogEvents takes them up to 14 days after their
/// time, see <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.
const OLDER_THAN_GROUP: i64 = 14 * 24 * 60 * 60 * 1_000;
/// So many groups are named in a line of the log.
const NAMED: usize = 5;

/// Look up the first page of every group, and begin to read. What is to be read is returned as well.
pub(super) async fn open(
    location: LogsLocation,
    wanted: Selection,
    settings: &Settings,
    environment: &Environment,
    stats: Arc<Stats>,
) -> Result<(Box<dyn Source>, Selection)> {
    let login = Arc::new(Login::load(&settings.aws, environment).await?);
    let now = environment.clock.now().as_millisecond();
    let Found {
        name,
        groups,
        is_search,
    } = found::find(&location, &login, settings.follow, &stats).await?;
    let state = consumed::open(settings, &name, wanted.asked.start, &stats).await?;
    let consumed = state.as_ref().map(|(_, consumed, _)| consumed);
    let asked = consumed.map_or(wanted.asked, |consumed| consumed.interval(wanted.asked));
    let selection = settings.selection_of(asked);
    if let Some((_, consumed, true)) = &state {
        say_resumed(consumed, &stats);
    }
    let pattern = pattern::pattern(
        &settings.filter.required(),
        &settings.accounts,
        &settings.regions,
    );
    let pattern: Option<Arc<str>> = pattern.map(Into::into);
    let messages = Arc::new(Messages::new(settings, &stats));

    let newest_first = newest_first(settings, &groups, &stats);
    let account = account(&groups);
    if let Some((_, consumed, true)) = &state {
        check_account(consumed.account.as_deref(), account.as_deref())?;
    }
    let nothing = Consumed::default();
    let consumed = consumed.unwrap_or(&nothing);
    let candidates = groups.into_iter().map(|(region, group)| {
        let plan = plan(selection.interval, &group, settings, newest_first, now);
        Candidate::new(region, group, plan, pattern.as_deref(), consumed)
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let first_pages = candidates.iter().map(|candidate| {
        candidate.first_page(settings, selection.interval, &pattern, is_search, now)
    });
    let first_pages = join_all(first_pages).await;

    let (mut read, mut refused) = (Vec::new(), Vec::new());
    for (candidate, first) in candidates.into_iter().zip(first_pages) {
        match first {
            Ok(first) => read.push((candidate, first)),
            // What was found, or is one of many, may be another account's.
            Err(Refusal::OfGroup(error)) if is_search => refused.push(error),
            Err(Refusal::OfGroup(error) | Refusal::OfAll(error)) => return Err(error),
        }
    }
    let names: Vec<String> = read.iter().map(|(one, _)| one.group.shown()).collect();
    say_groups(&names, &refused, &stats);
    if read.is_empty()
        && let Some(error) = refused.into_iter().next()
    {
        return Err(error);
    }
    let plans = || read.iter().map(|(one, _)| one.plan);
    let follows = plans().any(|plan| plan.follow.is_some());
    let has_class = |class| read.iter().any(|(one, _)| one.group.class == class);
    if let Some(pattern) = pattern.as_ref().filter(|_| has_class(Class::Standard)) {
        stats.note(format!(
            "AWS applies the filter pattern {pattern}, and what of filter is not in it is applied here"
        ));
    }
    let newest_first = plans().any(|plan| plan.newest_first);
    let from = plans().map(|plan| plan.from).min().unwrap_or_default();
    let to = plans().map(|plan| plan.to).max().unwrap_or_default();
    say_limits(settings, follows, &stats);

    let common = Common {
        messages,
        pattern,
        remembered: timeline::share(read.len()),
        is_search,
        stats: Arc::clone(&stats),
    };
    let (mut readers, mut of_streams, mut running) = (Vec::new(), Vec::new(), Vec::new());
    for (candidate, first) in read {
        if candidate.plan.from > candidate.plan.to && candidate.plan.follow.is_none() {
            continue;
        }
        let (reader, queries, stream) = candidate.begin(first, &common);
        readers.push(reader);
        running.extend(queries);
        of_streams.push(stream);
    }
    let acks = state.map(|(state, consumed, _)| {
        state.begin();
        let account = account.or(consumed.account);
        Acks::new(state, SCALE, account, of_streams).of_known_account()
    });
    let mut timeline = Timeline::new(name, SCALE.per_second, readers, stats).with_acks(acks);
    if !follows && from <= to {
        timeline = timeline.within(from, to, newest_first);
    }
    if !running.is_empty() {
        timeline = timeline.with_close(queries::stop(running));
    }
    Ok((Box::new(timeline), selection))
}

/// What all groups of a capture are read with.
struct Common {
    messages: Arc<Messages>,
    pattern: Option<Arc<str>>,
    /// How many log events of each group are remembered.
    remembered: usize,
    /// The groups were looked for, so that one that can't be read any more is no error.
    is_search: bool,
    stats: Arc<Stats>,
}

/// A group that may be read.
struct Candidate {
    region: Arc<LogsRegion>,
    group: Group,
    plan: Plan,
    /// What it is called in a state file, and what that tells of it.
    name: StreamName,
    stream: Stream,
}

/// Why a group is not read.
enum Refusal {
    /// Others may be.
    OfGroup(Error),
    OfAll(Error),
}

impl Candidate {
    fn new(
        region: Arc<LogsRegion>,
        group: Group,
        plan: Plan,
        pattern: Option<&str>,
        consumed: &Consumed,
    ) -> Self {
        let name = StreamName {
            kind: group.shown(),
            choice: pattern.map(str::to_owned),
        };
        let stream = consumed.stream(&name, plan.from.div_euclid(SCALE.per_second));
        let plan = Plan {
            from: plan.from.max(stream.from * SCALE.per_second),
            ..plan
        };
        Self {
            region,
            group,
            plan,
            name,
            stream,
        }
    }

    /// The first page, so that what is wrong is an error at once. None where there is none, or it is queried for.
    async fn first_page(
        &self,
        settings: &Settings,
        interval: Interval,
        pattern: &Option<Arc<str>>,
        is_search: bool,
        now: i64,
    ) -> Result<Option<Page>, Refusal> {
        check_class(&self.group, settings, interval).map_err(Refusal::OfGroup)?;
        if self.group.class != Class::Standard {
            return Ok(None);
        }
        // If the interval has not begun, asking for one millisecond still tells whether access is allowed.
        let (from, to, newest_first) = asked_first(&self.plan);
        let query = Query {
            from: from.min(now),
            to: to.max(from.min(now)),
            newest_first,
            pattern: pattern.clone(),
            token: None,
        };
        match self.region.first(&self.group, &query).await {
            Ok(page) => Ok(page.filter(|_| self.plan.from <= self.plan.to)),
            // A region that is down comes back.
            Err(error) if error.kind.is_transient() && self.plan.follow.is_some() && is_search => {
                Ok(None)
            }
            Err(error) if is_of_group(&error) => Err(Refusal::OfGroup(error.into())),
            Err(error) => Err(Refusal::OfAll(error.into())),
        }
    }
}

impl Candidate {
    /// Begin to read. The query that runs, where it is read by queries, and what a state file tells of it come with it.
    fn begin(
        self,
        first: Option<Page>,
        common: &Common,
    ) -> (timeline::Reader, Option<Running>, (StreamName, Stream)) {
        let Self {
            region,
            group,
            plan,
            name,
            stream,
        } = self;
        let (group, messages) = (Arc::new(group), Arc::clone(&common.messages));
        let (is_search, stats) = (common.is_search, &common.stats);
        if group.class == Class::InfrequentAccess {
            let queries = Queries::new(region, group, plan, messages, stats);
            let running = queries.running();
            let reader = timeline::Reader::start(|batches| {
                tolerated(queries.run(batches), is_search, Arc::clone(stats))
            });
            return (reader, Some(running), (name, stream));
        }
        let seen = stream.seen.iter();
        // To the end of the second that the state file knows.
        let seen = seen.map(|(id, second)| (*id, (second + 1) * SCALE.per_second - 1));
        let seen = (seen.collect(), common.remembered);
        let asked = Asked {
            region,
            group,
            pattern: common.pattern.clone(),
        };
        let reader = timeline::Reader::start(|batches| {
            let reader = Reader::new(asked, plan, messages, seen, stats, batches);
            tolerated(reader.run(first), is_search, Arc::clone(stats))
        });
        (reader, None, (name, stream))
    }
}

/// Do events come newest first?
fn newest_first(settings: &Settings, groups: &[Located], stats: &Stats) -> bool {
    let wanted = settings.history_order == HistoryOrder::Newest && !settings.follow;
    let mut classes = groups.iter().map(|(_, group)| group.class);
    if wanted && classes.any(|class| class == Class::InfrequentAccess) {
        stats.note(
            "historyOrder has no effect where a log group is of class Infrequent Access: events come in time order"
                .to_owned(),
        );
        return false;
    }
    wanted
}

/// A state file is of one account.
fn check_account(of_state: Option<&str>, asking: Option<&str>) -> Result<()> {
    match (of_state, asking) {
        (Some(of_state), Some(asking)) if of_state != asking => bail!(
            "statePath: the file tells how far the log groups of account {of_state} were read, but the credentials are of \
             {asking}: give each account a state file of its own"
        ),
        _ => Ok(()),
    }
}

/// Does an error concern this group, and others may be read all the same?
fn is_of_group(error: &aws::Error) -> bool {
    !error.kind.is_transient() && !error.kind.is_about_credentials()
}

/// Of several groups that were found, one may be deleted, or forbidden: that ends its reading alone.
async fn tolerated(
    read: impl Future<Output = Result<()>>,
    is_search: bool,
    stats: Arc<Stats>,
) -> Result<()> {
    match read.await {
        Err(error)
            if is_search
                && error
                    .downcast_ref::<aws::Error>()
                    .is_some_and(|error| matches!(error.kind, Kind::Denied | Kind::Gone)) =>
        {
            stats.problem(format!("a log group is no longer read: {error:#}"));
            Ok(())
        }
        ended => ended,
    }
}

/// The account of the groups, where they are of the account that asks, and its number is known.
fn account(groups: &[Located]) -> Option<String> {
    let own = groups.iter().filter(|(_, group)| !group.by_arn);
    let arn = own.filter_map(|(_, group)| group.arn.as_deref()).next()?;
    arn.split(':').nth(4).map(str::to_owned)
}

/// What to read of a group, if it is now this time.
fn plan(
    interval: Interval,
    group: &Group,
    settings: &Settings,
    newest_first: bool,
    now: i64,
) -> Plan {
    const MINUTE: i64 = 60_000;
    // Deliveries are chosen to the minute, both ends included.
    let minute = |time: Timestamp| time.as_millisecond().div_euclid(MINUTE) * MINUTE;
    let end = interval
        .end
        .map(|end| minute(end).saturating_add(MINUTE - 1));
    let follow = settings.follow && end.is_none_or(|end| now <= end.saturating_add(LAG));
    let from = match interval.start {
        Some(start) => minute(start),
        None => group.created.map_or(0, |made| made - OLDER_THAN_GROUP),
    };
    let to = end.map_or(now, |end| end.min(now));
    Plan {
        from: from.max(0),
        to,
        newest_first: newest_first && to >= NEWEST_FIRST_SINCE,
        follow: follow.then_some(Follow {
            interval: settings.poll_interval,
            end,
            looked: now,
        }),
    }
}

/// Can a group of this class be read as the settings say?
fn check_class(group: &Group, settings: &Settings, interval: Interval) -> Result<()> {
    let shown = group.shown();
    match group.class {
        Class::Standard => Ok(()),
        Class::Delivery => bail!(
            "the log group {shown} is of class Delivery, whose events CloudWatch Logs gives to nobody: read what it delivers to"
        ),
        Class::InfrequentAccess => {
            let stored = group.stored_bytes.map_or_else(String::new, |bytes| {
                format!(", and this one has stored {:.1} GB", bytes as f64 / 1e9)
            });
            let why = format!(
                "the log group {shown} is of class Infrequent Access, which Logs Insights alone can read: it costs some $0.005 \
                 for each GB of the time that is read{stored}"
            );
            if settings.follow {
                bail!(
                    "{why}, so it can't be followed: set s3Follow to false and s3Interval to what you need"
                );
            }
            if interval.start.is_none() {
                bail!("{why}: set s3Interval to what you need");
            }
            Ok(())
        }
    }
}

/// Log which groups are read, and which are not.
fn say_groups(names: &[String], refused: &[Error], stats: &Stats) {
    let some = |names: &[String]| {
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names[..names.len().min(NAMED)].join(", ") + &more
    };
    if !names.is_empty() {
        let groups = count(names.len() as u64, "log group");
        stats.note(format!("{groups} read: {}", some(names)));
    }
    for error in refused.iter().take(NAMED) {
        stats.warn(format!("a log group is not read: {error:#}"));
    }
    if refused.len() > NAMED {
        let groups = count((refused.len() - NAMED) as u64, "more log group");
        stats.warn(format!("{groups} not read, for such reasons"));
    }
}

/// Log where an earlier capture has ended.
fn say_resumed(consumed: &Consumed, stats: &Stats) {
    let reached = match consumed.reached() {
        Some(reached) => format!("log events up to {reached} are consumed"),
        None => "nothing is consumed yet".to_owned(),
    };
    stats.note(format!(
        "statePath: goes on where the capture before ended: {reached}; a start in s3Interval counts at the first capture only"
    ));
}

/// Log which settings have no effect here.
fn say_limits(settings: &Settings, follows: bool, stats: &Stats) {
    if !follows {
        if settings.follow {
            stats.note("s3Follow has no effect: the end of s3Interval is over".to_owned());
        }
        return;
    }
    if settings.history_order == HistoryOrder::Newest {
        stats
            .note("historyOrder has no effect with s3Follow: events come in time order".to_owned());
    }
    stats.note(format!(
        "each log group is looked into every {} seconds, as far as five requests a second and region allow, once all before is \
         read; CloudTrail delivers events there some five minutes after they happen",
        settings.poll_interval.as_secs()
    ));
}
