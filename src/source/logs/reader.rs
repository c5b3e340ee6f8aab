//! Reads the events of one log group: once in the order of time or newest first, and then again and again what is new.
//!
//! Events may be seen late: CloudWatch Logs shows them some time after they came, and not in the order of their times. So
//! each look goes back over time that was looked at before, the newest events first, and goes on for as long as there is
//! something new. What of that brings nothing new may be a quarter of all requests: where there are many events, looks go
//! back less far.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::messages::Messages;
use crate::aws::logs::{Group, LogEvent, LogsRegion, Page, Query};
use crate::source::timeline::{Batch, Event, Follow, Plan, Seen, place};
use crate::stats::Stats;

const MINUTE: i64 = 60_000;
/// How late an event may come and be seen at the next look, in milliseconds. AWS shows events of busy groups minutes after
/// they came, and if their times are those of the events themselves, CloudTrail's own delay is added.
pub(super) const LAG: i64 = 15 * MINUTE;
/// How often a look goes back as far as `LONG_LAG`, for events that came even later.
const LONG_LOOKS: Duration = Duration::from_secs(60 * 60);
pub(super) const LONG_LAG: i64 = 2 * 60 * MINUTE;
/// Pages of new events that are held to be turned round, so that they come in time order.
const TURNED: usize = 4;
/// How many tokens in a row may be refused before that is an error.
const BAD_TOKENS: u32 = 5;
/// `startFromHead=false` is taken from this time on, 2024-01-01T00:00:00Z, see
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>.
pub(super) const NEWEST_FIRST_SINCE: i64 = 1_704_067_200_000;

/// The times that the first request asks for, and whether newest first.
pub(super) fn asked_first(plan: &Plan) -> (i64, i64, bool) {
    match plan.newest_first {
        true => (plan.from.max(NEWEST_FIRST_SINCE), plan.to, true),
        false => (plan.from, plan.to, false),
    }
}

/// What is asked for.
pub(super) struct Asked {
    pub region: Arc<LogsRegion>,
    pub group: Arc<Group>,
    pub pattern: Option<Arc<str>>,
}

/// Reads one group.
pub(super) struct Reader {
    asked: Asked,
    /// In milliseconds.
    plan: Plan,
    messages: Arc<Messages>,
    batches: mpsc::Sender<Batch>,
    stats: Arc<Stats>,
    /// What was read lately, to tell what is new. None if the group is not followed.
    seen: Option<Seen>,
    /// Other groups need not wait for this one: its events come when they come.
    live: bool,
    bad_tokens: u32,
    looks: Looks,
}

/// How looks go on from one to the next.
#[derive(Debug)]
struct Looks {
    /// The service gives the newest events first where that is asked for.
    turns: bool,
    /// Pages that short and long looks may read without finding anything new.
    short: f64,
    long: f64,
    last_long: Instant,
    /// How far back looks have gone since the last long one, in milliseconds: the short ones at least.
    shortest: i64,
    /// What was said last of how late an event may come.
    said: Option<i64>,
}

/// Of each page that is needed, so much of one may be read without finding anything new; half for the long looks.
const SHARE: f64 = 1.0 / 6.0;
/// What may be saved up for later looks, in pages.
const MOST_SHORT: f64 = 20.0;
const MOST_LONG: f64 = 2_000.0;

impl Reader {
    /// With what an earlier capture has consumed, which is left out, and how many events may be remembered.
    pub fn new(
        asked: Asked,
        plan: Plan,
        messages: Arc<Messages>,
        (consumed, most): (HashMap<u64, i64>, usize),
        stats: &Arc<Stats>,
        batches: mpsc::Sender<Batch>,
    ) -> Self {
        let is_needed = plan.follow.is_some() || !consumed.is_empty();
        Self {
            asked,
            plan,
            messages,
            batches,
            stats: Arc::clone(stats),
            seen: is_needed.then(|| Seen::new(plan.to - LONG_LAG, most, consumed)),
            live: false,
            bad_tokens: 0,
            looks: Looks {
                turns: true,
                short: 0.0,
                long: 0.0,
                last_long: Instant::now(),
                shortest: i64::MAX,
                said: None,
            },
        }
    }

    /// Read all of it; `first` is the first page, where it is known already.
    pub async fn run(mut self, first: Option<Page>) -> Result<()> {
        let (from, to, newest_first) = asked_first(&self.plan);
        // The interval may not have begun.
        if from <= to {
            self.read(from, to, newest_first, first).await?;
        }
        if from > self.plan.from {
            // What is older comes behind it, and in time order, since AWS gives it in no other.
            self.live = true;
            self.read(self.plan.from, from - 1, false, None).await?;
        }
        match self.plan.follow {
            Some(follow) => self.follow(follow).await,
            None => Ok(()),
        }
    }

    /// Read all events of a time in this order. Gives how many pages they took.
    async fn read(
        &mut self,
        mut from: i64,
        mut to: i64,
        newest_first: bool,
        mut first: Option<Page>,
    ) -> Result<u32> {
        let mut token = None;
        let mut pages = 0;
        // The time that was read last, and what stands for its events: they come again where a token has died.
        let mut reached = if newest_first { to } else { from };
        let mut edge = HashSet::new();
        loop {
            let page = match first.take() {
                Some(page) => page,
                None => match self.page(from, to, newest_first, token.take()).await? {
                    Some(page) => page,
                    None => {
                        (from, to) = match newest_first {
                            true => (from, reached),
                            false => (reached, to),
                        };
                        continue;
                    }
                },
            };
            pages += 1;
            let mut events = page.events;
            events.retain(|event| {
                if event.time != reached {
                    reached = event.time;
                    edge.clear();
                }
                edge.insert(Messages::id(event))
            });
            let until = match &page.next {
                None => i64::MAX,
                // The next page may have more of this millisecond.
                Some(_) => place(reached, newest_first) - 1,
            };
            let events = self.new_events(&events);
            self.give(events, until, newest_first).await?;
            token = page.next;
            if token.is_none() {
                return Ok(pages);
            }
        }
    }

    /// A page. None where its token is no longer good.
    async fn page(
        &mut self,
        from: i64,
        to: i64,
        newest_first: bool,
        token: Option<String>,
    ) -> Result<Option<Page>> {
        let query = Query {
            from,
            to,
            newest_first,
            pattern: self.asked.pattern.clone(),
            token,
        };
        let Some(page) = self.asked.region.page(&self.asked.group, &query).await? else {
            self.bad_tokens += 1;
            if self.bad_tokens > BAD_TOKENS {
                bail!(
                    "reading the log group {}: CloudWatch Logs does not accept its own tokens for the next page \
                     (InvalidParameterException)",
                    self.asked.group.shown()
                );
            }
            return Ok(None);
        };
        if query.token.is_some() {
            self.bad_tokens = 0;
            if page.next == query.token {
                bail!(
                    "reading the log group {}: CloudWatch Logs gives the same page again and again",
                    self.asked.group.shown()
                );
            }
        }
        Ok(Some(page))
    }

    /// The records among log events that were not read before.
    fn new_events(&mut self, events: &[LogEvent]) -> Vec<Event> {
        let mut found = Vec::new();
        for event in events {
            let is_new = |seen: &mut Seen| seen.is_new(Messages::id(event), event.time);
            if self.seen.as_mut().is_none_or(is_new) {
                found.extend(self.messages.event(event));
            }
        }
        found
    }

    /// Hand over events in their order.
    async fn give(&mut self, mut events: Vec<Event>, until: i64, newest_first: bool) -> Result<()> {
        events.sort_by_key(|event| place(event.time, newest_first));
        let until = if self.live { i64::MAX } else { until };
        if events.is_empty() && self.live {
            return Ok(());
        }
        let batch = Batch { events, until };
        self.batches
            .send(batch)
            .await
            .context("the capture was closed")
    }

    /// Look again and again for what is new.
    async fn follow(&mut self, follow: Follow) -> Result<()> {
        self.live = true;
        // Other groups no longer have to wait for this one.
        let batch = Batch {
            events: Vec::new(),
            until: i64::MAX,
        };
        self.batches
            .send(batch)
            .await
            .context("the capture was closed")?;
        let mut looked = follow.looked;
        while follow.end.is_none_or(|end| looked <= end + LAG) {
            sleep(follow.interval).await;
            let now = self.asked.region.now().as_millisecond();
            let is_long = self.looks.last_long.elapsed() >= LONG_LOOKS;
            let lag = if is_long { LONG_LAG } else { LAG };
            let wanted = self.plan.from.max(looked - lag);
            if let Some(seen) = &mut self.seen {
                seen.forget_before(looked - LONG_LAG);
            }
            let floor = wanted.max(self.known_since());
            let to = follow.end.map_or(now, |end| end.min(now));
            if floor <= to {
                let reached = self.look(floor, to, looked, is_long).await?;
                self.say_how_late(looked - reached, looked - wanted, is_long);
            }
            if is_long {
                self.looks.last_long = Instant::now();
            }
            looked = now;
        }
        Ok(())
    }

    /// Hand over what is new between these times, first what came since `looked`. Gives the time that was reached: what is
    /// between `floor` and that was not looked at again.
    async fn look(&mut self, floor: i64, to: i64, looked: i64, is_long: bool) -> Result<i64> {
        if !self.looks.turns {
            self.read(floor, to, false, None).await?;
            return Ok(floor);
        }
        let (mut top, mut reached) = (to, to);
        let mut token = None;
        let mut before = None;
        // What came since the last look, until it is handed over.
        let mut fresh = Some(Vec::new());
        let mut pages = 0;
        // The last page had new events of a time that was looked at before, so the next one may have more.
        let mut finds_late = false;
        loop {
            let is_needed = fresh.is_some() || finds_late;
            if !is_needed && !self.looks.may_read(is_long) {
                return Ok(reached);
            }
            let Some(mut page) = self.page(floor, top, true, token.take()).await? else {
                top = reached;
                continue;
            };
            pages += 1;
            if is_ascending(before, &page.events) {
                self.looks.turns = false;
                self.give(fresh.unwrap_or_default(), i64::MAX, false)
                    .await?;
                self.stats.note(format!(
                    "CloudWatch Logs in {} does not give the newest events first: each look reads {} minutes again",
                    self.asked.region.name,
                    LAG / MINUTE
                ));
                self.read(floor, top, false, None).await?;
                return Ok(floor);
            }
            reached = page.events.last().map_or(reached, |event| event.time);
            before = page.events.last().map(|event| event.time).or(before);
            // Of what is older nobody knows any more whether it was handed over.
            let since = self.known_since();
            page.events.retain(|event| event.time >= since);
            let mut events = self.new_events(&page.events);
            // What is behind an empty page is like what was before it.
            if !page.events.is_empty() {
                finds_late = events.iter().any(|event| event.time <= looked);
            }
            self.looks.count(fresh.is_some() || finds_late, is_long);
            token = page.next.filter(|_| reached >= self.known_since());
            let is_end = token.is_none();
            if let Some(mut held) = fresh.take() {
                held.append(&mut events);
                if is_end || reached <= looked {
                    self.give(held, i64::MAX, false).await?;
                } else if pages >= TURNED {
                    // There is a lot: in time order as it is given, and then what is here.
                    let rest = self.read(looked.max(floor), reached, false, None).await?;
                    (0..rest).for_each(|_| self.looks.count(true, is_long));
                    self.give(held, i64::MAX, false).await?;
                    (top, reached, token) = (looked, looked, None);
                    if floor > looked {
                        return Ok(floor);
                    }
                    continue;
                } else {
                    fresh = Some(held);
                }
            } else {
                self.give(events, i64::MAX, false).await?;
            }
            if is_end {
                return Ok(floor.max(self.known_since().min(looked)));
            }
        }
    }

    /// From which time on it is known what was handed over.
    fn known_since(&self) -> i64 {
        self.seen.as_ref().map_or(i64::MIN, Seen::since)
    }

    /// Log how late events may come, where that is less than it should be, or is again as it should be.
    fn say_how_late(&mut self, depth: i64, wanted: i64, is_long: bool) {
        let whole = |depth: i64, wanted: i64, lag: i64| if depth >= wanted { lag } else { depth };
        if !is_long {
            let depth = whole(depth, wanted, LAG);
            self.looks.shortest = self.looks.shortest.min(depth);
            return;
        }
        // What comes just behind a long look is found by the next one.
        let long = whole(depth, wanted, LONG_LAG) - LONG_LOOKS.as_millis() as i64;
        let late = long.max(self.looks.shortest.min(LAG));
        self.looks.shortest = i64::MAX;
        let is_all = late >= LONG_LAG - LONG_LOOKS.as_millis() as i64;
        let is_news = match self.looks.said {
            None => !is_all,
            Some(said) => is_all || late < said / 2 || late > said * 2,
        };
        if !is_news {
            return;
        }
        let group = self.asked.group.shown();
        if is_all {
            self.looks.said = None;
            self.stats.note(format!(
                "{group}: events that come up to an hour late are found again"
            ));
        } else {
            self.looks.said = Some(late);
            self.stats.warn(format!(
                "{group}: there are so many events that those are found which come up to {} late; later ones may be missed, \
                 since a quarter of the requests at most goes to looking for them",
                minutes(late)
            ));
        }
    }
}

fn minutes(late: i64) -> String {
    match late / MINUTE {
        0 => format!("{} seconds", late / 1_000),
        minutes => crate::stats::count(minutes.unsigned_abs(), "minute"),
    }
}

impl Looks {
    /// May a page be read that may bring nothing new?
    fn may_read(&self, is_long: bool) -> bool {
        self.short >= 1.0 || is_long && self.long >= 1.0
    }

    /// A page was read that was needed or has brought something new, or else was not and has not.
    fn count(&mut self, is_needed: bool, is_long: bool) {
        if is_needed {
            self.short = (self.short + SHARE).min(MOST_SHORT);
            self.long = (self.long + SHARE).min(MOST_LONG);
        } else if is_long && self.long >= 1.0 {
            self.long -= 1.0;
        } else {
            self.short -= 1.0;
        }
    }
}

/// Does time go on among these events, or from what was before them?
fn is_ascending(before: Option<i64>, events: &[LogEvent]) -> bool {
    match (events.first(), events.last()) {
        (Some(first), Some(last)) => {
            before.map_or(first.time, |before| before.min(first.time)) < last.time
        }
        _ => false,
    }
}
