//! Reads the events of one lookup in one region, in time order or newest first.
//!
//! LookupEvents gives the newest first. For time order, the interval is cut into windows of a few pages, each read and
//! turned round. How long they are follows from the pages before: a window that turns out to hold more is cut, and
//! what was read of it is kept for later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::aws::cloudtrail::{Event, EventHistory, Lookup, Page, Query};
use crate::source::timeline::{self, Batch, Follow, Plan, Seen, place};
use crate::state;

/// Pages of a window, at most and at first: the first events come soon.
const MOST: i64 = 8;
const FIRST: i64 = 2;
/// Pages of a window, where AWS applies an attribute that few events have: as a rule that is all there is, and windows that
/// are cut cost requests.
const NARROW: i64 = 40;
/// How much shorter windows become at once, at most. What is read before they are short enough is kept for later, so
/// it costs little, while windows that are too short cost a request each.
const SHRINK: i64 = 32;
/// Events kept for later, at most.
const KEPT: usize = 2_000;
/// How late an event may come into the history and be seen at the next look. CloudTrail takes about five minutes, see
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>.
pub(super) const LAG: i64 = 15 * 60;
/// How often a look goes back as far as `LONG_LAG`, for events that came even later.
const LONG_LOOKS: Duration = Duration::from_secs(60 * 60);
pub(super) const LONG_LAG: i64 = 2 * 60 * 60;
/// How many tokens in a row may be refused before that is an error.
const BAD_TOKENS: u32 = 5;

/// Reads one region's events of one lookup.
pub(super) struct Reader {
    region: Arc<EventHistory>,
    lookup: Arc<Lookup>,
    /// In seconds.
    plan: Plan,
    batches: mpsc::Sender<Batch>,
    /// How many seconds a window has, and how many pages at most.
    span: i64,
    most: i64,
    /// What was read lately, to tell what is new. None if the history is not followed.
    seen: Option<Seen>,
    /// The interval is read, and new events are waited for.
    live: bool,
    bad_tokens: u32,
}

/// A part of an interval.
enum Window {
    /// From and to.
    Unread(i64, i64),
    /// Events, newest first, up to a time.
    Read(Vec<Event>, i64),
}

impl Reader {
    /// With what an earlier capture has consumed, which is left out.
    pub fn new(
        region: Arc<EventHistory>,
        lookup: Arc<Lookup>,
        plan: Plan,
        consumed: HashMap<u64, i64>,
        batches: mpsc::Sender<Batch>,
    ) -> Self {
        let is_needed = plan.follow.is_some() || !consumed.is_empty();
        Self {
            region,
            lookup,
            plan,
            batches,
            span: i64::MAX,
            most: FIRST,
            seen: is_needed.then(|| Seen::new(plan.to - LONG_LAG, timeline::MOST, consumed)),
            live: false,
            bad_tokens: 0,
        }
    }

    /// Read all of it; `first` is the first page of the interval, where it is known already.
    pub async fn run(mut self, first: Option<Page>) -> Result<()> {
        let Plan { from, to, .. } = self.plan;
        if self.plan.newest_first {
            return self.newest_first(from, to, first).await;
        }
        self.oldest_first(from, to, first).await?;
        match self.plan.follow {
            Some(follow) => self.follow(follow).await,
            None => Ok(()),
        }
    }

    async fn newest_first(
        &mut self,
        from: i64,
        mut to: i64,
        mut first: Option<Page>,
    ) -> Result<()> {
        let mut events = Vec::new();
        let mut token = None;
        loop {
            let Some(page) = self.page(from, to, &mut token, first.take()).await? else {
                // The events newer than the oldest one are handed over. Those at the oldest time come again.
                to = events.last().map_or(to, |oldest: &Event| oldest.time);
                events.clear();
                continue;
            };
            events.extend(page);
            if token.is_none() {
                return self.give(events, i64::MAX).await;
            }
            let Some(oldest) = events.last().map(|event| event.time) else {
                continue;
            };
            // The next page may have more of this second.
            let rest = events.partition_point(|event| event.time > oldest);
            let rest = events.split_off(rest);
            let whole = std::mem::replace(&mut events, rest);
            self.give(whole, place(oldest + 1, true)).await?;
        }
    }

    async fn oldest_first(&mut self, from: i64, to: i64, mut first: Option<Page>) -> Result<()> {
        let mut parts = vec![Window::Unread(from, to)];
        while let Some(part) = parts.pop() {
            match part {
                Window::Read(mut events, to) => {
                    events.reverse();
                    self.give(events, to).await?;
                }
                Window::Unread(from, to) if from <= to => {
                    let end = to.min(from.saturating_add(self.span - 1));
                    parts.push(Window::Unread(end + 1, to));
                    self.window(from, end, first.take(), &mut parts).await?;
                }
                Window::Unread(..) => {}
            }
        }
        Ok(())
    }

    /// Read a window, until its end or until there is too much in it.
    async fn window(
        &mut self,
        from: i64,
        to: i64,
        mut first: Option<Page>,
        parts: &mut Vec<Window>,
    ) -> Result<()> {
        let mut events: Vec<Event> = Vec::new();
        let mut token = None;
        let mut pages = 0;
        loop {
            let page = self.page(from, to, &mut token, first.take()).await?;
            let goes_on = page.is_some();
            events.extend(page.into_iter().flatten());
            pages += 1;
            if goes_on && token.is_none() {
                if pages * 2 <= self.most {
                    let more = if events.is_empty() { 8 } else { 2 };
                    self.span = (to - from + 1).saturating_mul(more).max(self.span);
                }
                self.most = (self.most * 2).min(MOST);
                parts.push(Window::Read(events, to));
                return Ok(());
            }
            // There may be more events at this time.
            let oldest = events.last().map_or(to, |event| event.time).max(from);
            let covered = to - oldest;
            if goes_on && (covered == 0 || oldest == from) {
                continue;
            }
            if goes_on {
                let expected = (to - from + 1).saturating_mul(pages) / covered;
                let is_narrow = self.is_narrow() && pages < NARROW;
                if expected <= self.most || is_narrow {
                    continue;
                }
                // The rest is at most as dense as what was read, which may have been a burst.
                let span = covered.saturating_mul(self.most) / pages;
                self.span = span.max((to - from + 1) / SHRINK).max(1);
            }
            let kept = |part: &Window| match part {
                Window::Read(events, _) => events.len(),
                Window::Unread(..) => 0,
            };
            if parts.iter().map(kept).sum::<usize>() + events.len() > KEPT {
                parts.push(Window::Unread(from, to));
            } else {
                events.retain(|event| event.time > oldest);
                parts.push(Window::Read(events, to));
                parts.push(Window::Unread(from, oldest));
            }
            return Ok(());
        }
    }

    /// Whether AWS applies an attribute that few events have.
    fn is_narrow(&self) -> bool {
        let attribute = self.lookup.attribute.as_ref();
        attribute.is_some_and(|(attribute, _)| attribute.is_narrow())
    }

    /// The next page of a window, and the token for the one after it. None where the token is no longer good.
    async fn page(
        &mut self,
        from: i64,
        to: i64,
        token: &mut Option<String>,
        known: Option<Page>,
    ) -> Result<Option<Vec<Event>>> {
        let query = Query {
            lookup: Arc::clone(&self.lookup),
            from,
            to,
            token: token.take(),
        };
        let page = match known {
            Some(page) => Some(page),
            None => self.region.look_up(&query).await?,
        };
        let Some(page) = page else {
            self.bad_tokens += 1;
            if self.bad_tokens > BAD_TOKENS {
                bail!(
                    "looking up the event history of {}: CloudTrail does not accept its own tokens for the next page \
                     (InvalidNextTokenException)",
                    self.region.name
                );
            }
            return Ok(None);
        };
        if query.token.is_some() {
            self.bad_tokens = 0;
        }
        *token = page.next;
        Ok(Some(page.events))
    }

    /// Hand over events in their order.
    async fn give(&mut self, events: Vec<Event>, until: i64) -> Result<()> {
        let mut events: Vec<timeline::Event> = events.into_iter().map(event).collect();
        if let Some(seen) = &mut self.seen {
            events.retain(|event| seen.is_new(event.id, event.time));
        }
        let until = if self.live { i64::MAX } else { until };
        let batch = Batch { events, until };
        self.batches
            .send(batch)
            .await
            .context("the capture was closed")
    }

    /// Look again and again for what is new.
    async fn follow(&mut self, follow: Follow) -> Result<()> {
        self.live = true;
        // Other regions no longer have to wait for this one.
        self.give(Vec::new(), i64::MAX).await?;
        let mut looked = follow.looked;
        let mut last_long = Instant::now();
        while follow.end.is_none_or(|end| looked <= end + LAG) {
            sleep(follow.interval).await;
            let now = self.region.now().as_second();
            let mut lag = LAG;
            if last_long.elapsed() >= LONG_LOOKS {
                last_long = Instant::now();
                lag = LONG_LAG;
            }
            if let Some(seen) = &mut self.seen {
                seen.forget_before(looked - LONG_LAG);
            }
            let from = self.plan.from.max(looked - lag);
            let to = follow.end.map_or(now, |end| end.min(now));
            self.span = i64::MAX;
            self.oldest_first(from, to, None).await?;
            looked = now;
        }
        Ok(())
    }
}

/// An event of a region's lookup, as all sources hand them over.
fn event(event: Event) -> timeline::Event {
    // Few have no ID.
    let id = state::hash(match event.id.is_empty() {
        true => &event.json,
        false => &event.id,
    });
    let Event { time, json, .. } = event;
    timeline::Event { time, id, json }
}
