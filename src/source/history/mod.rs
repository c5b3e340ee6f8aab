//! CloudTrail's event history: the management and Insights events of the last 90 days, without a trail.
//!
//! Each region and category is read by a [`reader`] of its own, at the pace that AWS allows ([`EventHistory`]); a
//! [`Timeline`] merges them.

mod attribute;
mod reader;

use std::sync::Arc;

use anyhow::Result;
use futures_util::future::join_all;
use jiff::Timestamp;

use self::reader::{LAG, LONG_LAG, Reader};
use super::timeline::consumed::{self, Acks, Consumed, Scale, StreamName};
use super::timeline::{self, Follow, Plan, Timeline};
use crate::aws::cloudtrail::{Category, EventHistory, Lookup, Page, Query};
use crate::aws::{self, Environment, Kind, Login};
use crate::settings::location::HistoryLocation;
use crate::settings::partitions::Partition;
use crate::settings::{HistoryOrder, Settings};
use crate::stats::{Stats, count};
use crate::trail::Interval;

/// How far the history goes back, in seconds.
const HISTORY: i64 = 90 * 24 * 60 * 60;
/// The times of the history: in seconds.
const SCALE: Scale = Scale {
    per_second: 1,
    lag: LONG_LAG,
};

/// What to read of the event history, if it is now this time.
fn plan(interval: Interval, settings: &Settings, now: i64) -> Plan {
    let start = interval.start.map(Timestamp::as_second);
    let end = interval.end.map(Timestamp::as_second);
    let follow = settings.follow && end.is_none_or(|end| now <= end + LAG);
    Plan {
        from: start.unwrap_or(0).max(now - HISTORY),
        to: end.map_or(now, |end| end.min(now)),
        newest_first: settings.history_order == HistoryOrder::Newest && !settings.follow,
        follow: follow.then_some(Follow {
            interval: settings.poll_interval,
            end,
            looked: now,
        }),
    }
}

/// Look up the first page of every region, and begin to read. The interval that counts is returned as well.
pub(super) async fn open(
    location: HistoryLocation,
    interval: Interval,
    settings: &Settings,
    environment: &Environment,
    stats: Arc<Stats>,
) -> Result<(Timeline, Interval)> {
    let login = Arc::new(Login::load(&settings.aws, environment).await?);
    let now = environment.clock.now().as_second();
    let names = regions(&location, login.current().0.region().as_deref());
    let name = name(&location, &names);
    let state = consumed::open(settings, &name, interval.start, &stats).await?;
    let is_resumed = state.as_ref().is_some_and(|(_, _, is_told)| *is_told);
    let consumed = state.as_ref().map(|(_, consumed, _)| consumed);
    let interval = consumed.map_or(interval, |consumed| consumed.interval(interval));
    let plan = plan(interval, settings, now);
    let follow = plan.follow.is_some();
    if let Some(consumed) = consumed.filter(|_| is_resumed) {
        say_resumed(consumed, plan.from, &stats);
    }
    let begins = interval.start.or(interval.end);
    say_limits(settings, &plan, begins.map(Timestamp::as_second), &stats);

    let is_empty = plan.from > plan.to;
    // If the interval has not begun or is too old, looking up one second still tells whether access is allowed.
    let lookups = lookups(&location, settings, &stats);
    let from_start = Consumed::default();
    let resume = |region: &str, lookup: &Lookup| {
        let consumed = consumed.unwrap_or(&from_start);
        consumed.stream(&stream_name(region, lookup), plan.from)
    };
    let first_pages = names.iter().map(async |name| {
        let region = Arc::new(EventHistory::new(name, &login, follow, &stats));
        let from = resume(name, &lookups[0]).from.min(now);
        let query = Query {
            lookup: Arc::clone(&lookups[0]),
            from,
            to: plan.to.max(from),
            token: None,
        };
        let first = region.first(&query).await;
        (region, first)
    });
    let found = open_regions(join_all(first_pages).await, location.all, &stats)?;

    let mut readers = Vec::new();
    let mut of_streams = Vec::new();
    for (region, first) in found {
        if is_empty && !follow {
            continue;
        }
        let mut first = first.filter(|_| !is_empty);
        for lookup in &lookups {
            let stream = resume(&region.name, lookup);
            let plan = Plan {
                from: stream.from,
                ..plan
            };
            let seen = stream.seen.clone();
            let first = first.take();
            readers.push(timeline::Reader::start(|sender| {
                Reader::new(Arc::clone(&region), Arc::clone(lookup), plan, seen, sender).run(first)
            }));
            of_streams.push((stream_name(&region.name, lookup), stream));
        }
    }
    let acks = state.map(|(state, consumed, _)| {
        state.begin();
        Acks::new(state, SCALE, consumed.account, of_streams)
    });
    let mut history = Timeline::new(name, SCALE.per_second, readers, stats).with_acks(acks);
    if !follow {
        history = history.within(plan.from, plan.to, plan.newest_first);
    }
    Ok((history, interval))
}

/// What a lookup in a region is called in the state file.
fn stream_name(region: &str, lookup: &Lookup) -> StreamName {
    StreamName {
        kind: match &lookup.category {
            Category::Management => format!("{region} management"),
            Category::Insights => format!("{region} insights"),
            Category::InsightsOfTrail(trail) => format!("{region} insights of {trail}"),
        },
        choice: lookup
            .attribute
            .as_ref()
            .map(|(attribute, value)| format!("{} {value}", attribute.name())),
    }
}

/// Log where an earlier capture has ended.
fn say_resumed(consumed: &Consumed, oldest: i64, stats: &Stats) {
    let Some(reached) = consumed.reached() else {
        stats.note(
            "statePath: goes on where the capture before ended: nothing is consumed yet".to_owned(),
        );
        return;
    };
    stats.note(format!(
        "statePath: goes on where the capture before ended: events up to {reached} are consumed; a start in s3Interval counts \
         at the first capture only"
    ));
    if reached.as_second() < oldest {
        stats.warn(format!(
            "statePath: the last capture ended more than 90 days ago: the event history no longer has the events after {reached}"
        ));
    }
}

/// What the capture of these regions is called in the log.
fn name(location: &HistoryLocation, regions: &[String]) -> String {
    match (&location.trail, location.all) {
        (Some(trail), _) => format!("cloudtrail://{trail}"),
        (None, true) => "cloudtrail://all".to_owned(),
        (None, false) => format!("cloudtrail://{}", regions.join(",")),
    }
}

/// What to look up in each region; one at least, and the first tells whether access is allowed.
fn lookups(location: &HistoryLocation, settings: &Settings, stats: &Stats) -> Vec<Arc<Lookup>> {
    let required = settings.filter.required();
    let (category, chosen) = match &location.trail {
        Some(trail) => (
            Category::InsightsOfTrail(trail.clone()),
            attribute::of_insights(&required),
        ),
        None => (Category::Management, attribute::of_events(&required)),
    };
    if let Some(chosen) = &chosen {
        stats.note(format!(
            "of filter, AWS applies {} = {}, and the rest is applied here",
            chosen.attribute.name(),
            chosen.values.join(" or ")
        ));
    }
    let may_be_insights = attribute::may_be_insights(&required);
    let mut lookups = Vec::new();
    let attributes = chosen.map_or(vec![None], |chosen| {
        let values = chosen.values.into_iter();
        values
            .map(|value| Some((chosen.attribute, value)))
            .collect()
    });
    for attribute in attributes {
        lookups.push(Arc::new(Lookup {
            category: category.clone(),
            attribute: attribute.clone(),
        }));
        if category == Category::Management && settings.include_insights && may_be_insights {
            // The one attribute that both kinds have is the ID.
            lookups.push(Arc::new(Lookup {
                category: Category::Insights,
                attribute,
            }));
        }
    }
    lookups
}

/// Log which settings have no effect here.
fn say_limits(settings: &Settings, plan: &Plan, first: Option<i64>, stats: &Stats) {
    if first.is_some_and(|first| first < plan.from) {
        stats.warn("the event history goes back 90 days, less than s3Interval".to_owned());
    }
    if !settings.accounts.are_all() {
        stats.note(
            "s3AccountList has no effect on the event history, which is that of one account"
                .to_owned(),
        );
    }
    if !settings.regions.are_all() {
        stats.note(
            "s3RegionList has no effect on the event history, whose URL names the regions"
                .to_owned(),
        );
    }
    if let Some(follow) = plan.follow {
        if settings.history_order == HistoryOrder::Newest {
            stats.note(
                "historyOrder has no effect with s3Follow: events come in time order".to_owned(),
            );
        }
        stats.note(format!(
            "the event history is looked up every {} seconds once all before is read; CloudTrail shows events there \
             some minutes after they happen",
            follow.interval.as_secs()
        ));
    }
}

/// The regions to read, without repetitions.
fn regions(location: &HistoryLocation, configured: Option<&str>) -> Vec<String> {
    let mut regions = Vec::new();
    if location.all {
        let partition = Partition::of(configured.unwrap_or_default());
        regions.extend(partition.regions.iter().map(|name| (*name).to_owned()));
    }
    for region in &location.regions {
        if !regions.contains(region) {
            regions.push(region.clone());
        }
    }
    regions
}

type Opened = (Arc<EventHistory>, Result<Option<Page>, aws::Error>);

/// The regions that can be looked up. Where all were asked for, those that can't be are named.
fn open_regions(
    regions: Vec<Opened>,
    all: bool,
    stats: &Stats,
) -> Result<Vec<(Arc<EventHistory>, Option<Page>)>> {
    let mut found = Vec::new();
    let mut refused: Vec<(String, aws::Error)> = Vec::new();
    for (region, first) in regions {
        match first {
            Ok(first) => found.push((region, first)),
            Err(error) if all && matches!(error.kind, Kind::CredentialsInvalid | Kind::Denied) => {
                refused.push((region.name.clone(), error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() && !refused.is_empty() {
        return Err(refused.swap_remove(0).1.into());
    }
    for (kind, why) in [
        (
            Kind::CredentialsInvalid,
            "they are not enabled for the account, or these credentials (of STS's global endpoint, say) are not valid there",
        ),
        (
            Kind::Denied,
            "these credentials have no cloudtrail:LookupEvents there, by a service control policy, say",
        ),
    ] {
        let names: Vec<&str> = refused
            .iter()
            .filter(|(_, error)| error.kind == kind)
            .map(|(name, _)| name.as_str())
            .collect();
        if !names.is_empty() {
            let line = format!(
                "{} not read, {}: {why}",
                count(names.len() as u64, "region"),
                names.join(", ")
            );
            // There are no events in a region that the account has not enabled.
            match kind {
                Kind::CredentialsInvalid => stats.note(line),
                _ => stats.warn(line),
            }
        }
    }
    Ok(found)
}
