//! Reads the events of a log group of class Infrequent Access: by queries of Logs Insights, which read what they scan and
//! cost by that. One query for each part of the time, so long that its results are not cut.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep};

use super::messages::Messages;
use crate::aws::logs::{Answer, Group, LogEvent, LogsRegion};
use crate::source::timeline::{Batch, Close, Plan};
use crate::stats::{Stats, count};

/// Rows of a query, at most, and where one second has more.
const ROWS: usize = 10_000;
const MOST_ROWS: usize = 100_000;
/// Seconds of the first part.
const FIRST: i64 = 60 * 60;
/// How often a query is sent that fails, each time over less time.
const TRIES: u32 = 3;
/// How long to wait before asking whether a query is over, at first and at most.
const SOON: Duration = Duration::from_millis(250);
const LATER: Duration = Duration::from_secs(2);
/// After this time the log says that a query is under way.
const LONG: Duration = Duration::from_secs(30);

/// Reads one group.
pub(super) struct Queries {
    region: Arc<LogsRegion>,
    group: Arc<Group>,
    plan: Plan,
    messages: Arc<Messages>,
    running: Running,
    stats: Arc<Stats>,
}

/// The query that runs, to be stopped when the capture is closed.
#[derive(Clone)]
pub(super) struct Running {
    region: Arc<LogsRegion>,
    /// Locked while one is started, so that its ID is there once it runs.
    query: Arc<Mutex<Query>>,
}

#[derive(Debug)]
enum Query {
    None,
    Runs(String),
    /// No other is started.
    Closed,
}

/// What has been read of a part.
struct Part {
    rows: usize,
    /// The second of its last row.
    reached: i64,
}

impl Queries {
    pub fn new(
        region: Arc<LogsRegion>,
        group: Arc<Group>,
        plan: Plan,
        messages: Arc<Messages>,
        stats: &Arc<Stats>,
    ) -> Self {
        let running = Running {
            region: Arc::clone(&region),
            query: Arc::new(Mutex::new(Query::None)),
        };
        Self {
            region,
            group,
            plan,
            messages,
            running,
            stats: Arc::clone(stats),
        }
    }

    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// Read all of it, in the order of time.
    pub async fn run(self, batches: mpsc::Sender<Batch>) -> Result<()> {
        let second = |time: i64| time.div_euclid(1_000);
        // The second that the end lies in is not over with it.
        let (mut from, to) = (second(self.plan.from), second(self.plan.to) + 1);
        let (mut span, mut most) = (FIRST, ROWS);
        // What stands for the events of the last second, which is queried again: whether the end of a query's time
        // includes its milliseconds is not documented.
        let mut edge = HashSet::new();
        let mut tries = 0;
        loop {
            let end = to.min(from + span);
            let query = match self.query(from, end, most).await? {
                Ok(query) => query,
                Err(why) => {
                    tries += 1;
                    if tries == TRIES {
                        bail!(
                            "querying the log group {}: the query ended as {why}, {}: try again later",
                            self.group.shown(),
                            count(u64::from(tries), "time")
                        );
                    }
                    // It may have been too much.
                    span = ((end - from) / 4).max(1);
                    continue;
                }
            };
            tries = 0;
            let part = self
                .part(&query, (from, end), most, &mut edge, &batches)
                .await?;
            if part.rows < most {
                if end == to {
                    return Ok(());
                }
                if part.rows * 4 < ROWS {
                    span *= 4;
                }
                (from, most) = (end, ROWS);
            } else if part.reached > from {
                // All before the last second is there.
                span = (part.reached - from).max(1);
                from = part.reached;
            } else if most < MOST_ROWS {
                most = MOST_ROWS;
                span = 1;
            } else {
                self.stats.problem(format!(
                    "{}: Logs Insights gives {MOST_ROWS} events of one second at most, and the one at {} has more: those are \
                     missing",
                    self.group.shown(),
                    jiff::Timestamp::from_second(from).unwrap_or_default()
                ));
                (from, most) = (from + 1, ROWS);
                if from > to {
                    return Ok(());
                }
            }
        }
    }

    /// Hand over what a query finds between two seconds.
    async fn part(
        &self,
        query: &str,
        (from, to): (i64, i64),
        most: usize,
        edge: &mut HashSet<u64>,
        batches: &mpsc::Sender<Batch>,
    ) -> Result<Part> {
        let mut part = Part {
            rows: 0,
            reached: from,
        };
        let known = edge.clone();
        let mut token: Option<String> = None;
        let mut reached = from * 1_000;
        loop {
            let answer = self.region.results(&self.group, query, token.as_deref());
            let Answer::Rows(rows, next) = answer.await? else {
                bail!(
                    "querying the log group {}: the results are gone before all were read: try again later",
                    self.group.shown()
                );
            };
            part.rows += rows.len();
            let mut events = Vec::new();
            for row in rows {
                let event = LogEvent {
                    time: row.time.unwrap_or(reached),
                    // Another query may point to the same event in another way.
                    id: String::new(),
                    message: row.message,
                };
                reached = event.time;
                let id = Messages::id(&event);
                let second = event.time.div_euclid(1_000);
                if second > part.reached {
                    part.reached = second;
                    edge.clear();
                }
                edge.insert(id);
                let is_wanted = (self.plan.from..=self.plan.to).contains(&event.time);
                if is_wanted && !known.contains(&id) {
                    events.extend(self.messages.event(&event));
                }
            }
            let is_end = next.is_none() || next == token;
            let until = if is_end { i64::MIN } else { reached - 1 };
            let batch = Batch {
                events,
                // A part that is over is complete up to its last second, in which there may be more.
                until: until.max((part.reached * 1_000).min(to * 1_000) - 1),
            };
            batches
                .send(batch)
                .await
                .context("the capture was closed")?;
            if is_end {
                if part.rows < most {
                    part.reached = to;
                }
                return Ok(part);
            }
            token = next;
        }
    }

    /// Run a query to its end. Gives its ID, or AWS's word for how it has ended without results.
    async fn query(&self, from: i64, to: i64, most: usize) -> Result<Result<String, String>> {
        let query = {
            let mut running = self.running.query.lock().await;
            if matches!(*running, Query::Closed) {
                bail!("the capture was closed");
            }
            let query = self.region.start_query(&self.group, from, to, most).await?;
            *running = Query::Runs(query.clone());
            query
        };
        let why = self.wait(&query).await;
        let mut running = self.running.query.lock().await;
        if matches!(*running, Query::Runs(_)) {
            *running = Query::None;
        }
        Ok(why?.map_or(Ok(query), Err))
    }

    /// Wait for a query. None where it has results, else why it has none.
    async fn wait(&self, query: &str) -> Result<Option<String>> {
        let mut pause = SOON;
        let began = Instant::now();
        let mut is_said = false;
        loop {
            match self.region.results(&self.group, query, None).await? {
                Answer::Running => {}
                Answer::Rows(..) => return Ok(None),
                Answer::Failed(why) => return Ok(Some(why)),
            }
            if began.elapsed() > LONG && !is_said {
                is_said = true;
                self.stats.note(format!(
                    "{}: a query of Logs Insights takes more than {} seconds; AWS ends it after an hour",
                    self.group.shown(),
                    LONG.as_secs()
                ));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LATER);
        }
    }
}

/// Stops the queries that run when a capture is closed.
pub(super) fn stop(running: Vec<Running>) -> Close {
    Box::new(move || {
        let running = running.clone();
        Box::pin(async move {
            let stopped = running.iter().map(async |Running { region, query }| {
                let mut query = query.lock().await;
                if let Query::Runs(query) = std::mem::replace(&mut *query, Query::Closed) {
                    region.stop_query(&query).await;
                }
            });
            join_all(stopped).await;
        })
    })
}
