//! CloudWatch Logs in memory: groups and their events as FilterLogEvents gives them, in pages, some of them empty, at
//! five requests a second and region; queries of Logs Insights; and which groups there are.
//!
//! It is part of [`crate::aws::Aws`], whose credentials, faults and log hold for it too.
//!
//! ```no_run
//! use harness::aws::{Aws, REGION};
//!
//! let aws = Aws::start();
//! aws.logs().put(REGION, "trail", "stream", &[(1_709_640_000_000, r#"{"eventName":"X"}"#)]);
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    aws::ACCOUNT,
    filter_pattern::Pattern,
    history::{error, response},
};

/// FilterLogEvents requests a second that AWS takes, of an account in a region.
const RATE: f64 = 5.0;
/// The most events on a page.
const EVENTS: usize = 10_000;
/// The most bytes on a page.
const BYTES: usize = 1 << 20;
/// What an event counts beyond its message.
const OVERHEAD: usize = 26;
/// What newest first begins at: 2024-01-01T00:00:00Z.
const NEWEST_FROM: i64 = 1_704_067_200_000;

const NO_GROUP: Refusal = (
    "ResourceNotFoundException",
    "The specified log group does not exist.",
);
const BAD_TOKEN: Refusal = (
    "InvalidParameterException",
    "The specified nextToken is invalid.",
);

/// The log groups of all regions.
#[derive(Default)]
pub struct LogGroups(Mutex<World>);

/// What a group can and costs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// All there is
    #[default]
    Standard,
    /// Half the price, read by queries only
    InfrequentAccess,
    /// On its way to elsewhere, and not to be read
    Delivery,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::InfrequentAccess => "INFREQUENT_ACCESS",
            Self::Delivery => "DELIVERY",
        }
    }
}

/// The ARN of a group, without `:*`.
pub fn arn(region: &str, account: &str, group: &str) -> String {
    let partition = match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    format!("arn:{partition}:logs:{region}:{account}:log-group:{group}")
}

#[derive(Default)]
struct World {
    /// By region, name and account.
    groups: BTreeMap<(String, String, String), Group>,
    /// Regions that the account has not enabled.
    closed: BTreeSet<String>,
    /// What tokens of FilterLogEvents stand for.
    tokens: HashMap<String, Rest>,
    queries: HashMap<String, Query>,
    /// How many tokens, queries and events there were.
    issued: u64,
    /// By region, what may be asked now, and since when.
    buckets: HashMap<String, (f64, Instant)>,
    settings: Settings,
    counts: Counts,
    filtered: Vec<Asked>,
    queried: Vec<Asked>,
}

struct Settings {
    unlimited: bool,
    events: usize,
    bytes: usize,
    looked_at: usize,
    /// Every so many pages of a question one is empty, the first too.
    empty: Option<usize>,
    ignores_start_from_head: bool,
    /// How often a query is said to run.
    running: usize,
    /// Whether the last second of a query is part of it as a whole.
    whole_seconds: bool,
    groups: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unlimited: false,
            events: EVENTS,
            bytes: BYTES,
            looked_at: usize::MAX,
            empty: None,
            ignores_start_from_head: false,
            running: 1,
            whole_seconds: false,
            groups: 50,
        }
    }
}

#[derive(Default)]
struct Group {
    class: Class,
    /// Whether it is tagged as one that CloudTrail's events come to.
    of_cloudtrail: bool,
    /// In order.
    events: Vec<LogEvent>,
}

struct LogEvent {
    timestamp: i64,
    ingested: i64,
    number: u64,
    /// Nobody sees it before.
    visible: Instant,
    stream: String,
    message: String,
}

/// Where an event is in its group.
type Place = (i64, i64, u64);

impl LogEvent {
    fn place(&self) -> Place {
        (self.timestamp, self.ingested, self.number)
    }
}

/// What is left of an answer, for those who ask as before.
struct Rest {
    region: String,
    asked: Value,
    newest: bool,
    /// Behind this event.
    after: Option<Place>,
    /// How many pages there were.
    page: usize,
}

struct Query {
    /// Regions, names and accounts of its groups.
    groups: Vec<(String, String, String)>,
    /// In milliseconds, both included.
    within: [i64; 2],
    fields: Vec<String>,
    newest: bool,
    limit: usize,
    /// How often its results were asked for.
    polls: usize,
    state: State,
}

enum State {
    Runs,
    Stopped,
    /// With its rows, and how many bytes were scanned.
    Complete(Vec<Value>, usize),
}

/// What was asked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Answered without an error, by action.
    pub answered: BTreeMap<String, usize>,
    /// Refused because of too many before.
    pub throttled: usize,
    /// Queries that were started.
    pub started: usize,
    /// Queries that run, since they neither came to an end nor were stopped.
    pub running: usize,
    /// Queries that were stopped.
    pub stopped: usize,
}

impl Counts {
    /// Answers of an action.
    pub fn of(&self, action: &str) -> usize {
        self.answered.get(action).copied().unwrap_or(0)
    }
}

/// A question that was not throttled.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Where.
    pub region: String,
    /// As it came.
    pub input: Value,
}

impl Asked {
    /// A member that is text, or nothing.
    pub fn text(&self, name: &str) -> &str {
        self.input[name].as_str().unwrap_or_default()
    }

    /// A member that is a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.input[name].as_i64()
    }
}

impl LogGroups {
    /// Makes a group, which may be there. Of its name alone, it is the account's own; by the ARN of another account, one
    /// that is linked and found by its ARN only.
    pub fn make(&self, region: &str, group: &str) {
        self.world().group(region, group);
    }

    /// The same with a class.
    pub fn make_of(&self, region: &str, group: &str, class: Class) {
        self.world().group(region, group).class = class;
    }

    /// Tags a group with the data source `aws_cloudtrail`, as telemetry rules do.
    pub fn tag(&self, region: &str, group: &str) {
        self.world().group(region, group).of_cloudtrail = true;
    }

    /// Puts events into a stream of a group: milliseconds and messages.
    pub fn put<M: AsRef<str>>(&self, region: &str, group: &str, stream: &str, events: &[(i64, M)]) {
        self.put_late(region, group, stream, events, Duration::ZERO);
    }

    /// The same with events that nobody sees before so much time has passed.
    pub fn put_late<M: AsRef<str>>(
        &self,
        region: &str,
        group: &str,
        stream: &str,
        events: &[(i64, M)],
        visible_after: Duration,
    ) {
        let mut world = self.world();
        let numbers = world.issued..;
        world.issued += events.len() as u64;
        let ingested = Timestamp::now().as_millisecond() + visible_after.as_millis() as i64;
        let visible = Instant::now() + visible_after;
        let group = world.group(region, group);
        for (number, (timestamp, message)) in numbers.zip(events) {
            group.events.push(LogEvent {
                timestamp: *timestamp,
                ingested,
                number,
                visible,
                stream: stream.into(),
                message: message.as_ref().into(),
            });
        }
        group.events.sort_by_key(LogEvent::place);
    }

    /// Makes a region one that the account has not enabled.
    pub fn close(&self, region: &str) {
        self.world().closed.insert(region.into());
    }

    /// Takes any number of requests a second.
    pub fn unlimited(&self) {
        self.world().settings.unlimited = true;
    }

    /// Caps the events on a page of FilterLogEvents.
    pub fn page_events(&self, events: usize) {
        self.world().settings.events = events;
    }

    /// Caps the bytes on a page of FilterLogEvents.
    pub fn page_bytes(&self, bytes: usize) {
        self.world().settings.bytes = bytes;
    }

    /// Caps the events that are looked at for a page of FilterLogEvents, whether they are what is asked for or not.
    pub fn page_looks_at(&self, events: usize) {
        self.world().settings.looked_at = events;
    }

    /// Makes the first page of FilterLogEvents and every `every`-th after it an empty one with a token.
    pub fn empty_pages(&self, every: usize) {
        assert!(every > 1, "all pages would be empty");
        self.world().settings.empty = Some(every);
    }

    /// Caps the groups on a page of DescribeLogGroups and ListLogGroups.
    pub fn page_groups(&self, groups: usize) {
        self.world().settings.groups = groups;
    }

    /// Knows nothing of `startFromHead`, as services before June 2026.
    pub fn ignores_start_from_head(&self) {
        self.world().settings.ignores_start_from_head = true;
    }

    /// How often queries are said to run before they are complete; 1 unless said otherwise.
    pub fn queries_run_for(&self, polls: usize) {
        self.world().settings.running = polls;
    }

    /// Makes queries find events up to the end of their last second, not only its first millisecond: AWS says no more
    /// than that the end is included.
    pub fn whole_seconds(&self) {
        self.world().settings.whole_seconds = true;
    }

    /// Makes all tokens of FilterLogEvents so far invalid.
    pub fn forget_tokens(&self) {
        self.world().tokens.clear();
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.world().counts.clone()
    }

    /// What FilterLogEvents was asked so far, with tokens and without, and was not throttled.
    pub fn filtered(&self) -> Vec<Asked> {
        self.world().filtered.clone()
    }

    /// What StartQuery was asked so far.
    pub fn queried(&self) -> Vec<Asked> {
        self.world().queried.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Answers a request that is signed for a region.
    pub(crate) fn answer(&self, region: &str, action: &str, body: &[u8]) -> Response<Bytes> {
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        match self.world().answer(region, action, input) {
            Ok(output) => response(200, &output),
            Err((code, message)) => error(400, code, message),
        }
    }
}

type Refusal = (&'static str, &'static str);

fn invalid(message: &'static str) -> Refusal {
    ("InvalidParameterException", message)
}

impl World {
    /// A group, made where it is not.
    fn group(&mut self, region: &str, group: &str) -> &mut Group {
        let (account, name) = match group.starts_with("arn:") {
            true => {
                let mut parts = group.splitn(7, ':').skip(4);
                let account = parts.next().unwrap_or_default();
                (account, parts.nth(1).unwrap_or_default())
            }
            false => (ACCOUNT, group),
        };
        let key = (region.to_owned(), name.to_owned(), account.to_owned());
        self.groups.entry(key).or_default()
    }

    /// Which group is meant by a name or ARN.
    fn find(
        &self,
        region: &str,
        identifier: &str,
    ) -> Result<(&(String, String, String), &Group), Refusal> {
        let is_meant = |(of, name, account): &(String, String, String)| {
            let is = match identifier.starts_with("arn:") {
                true => arn(of, account, name) == identifier,
                false => name == identifier && account == ACCOUNT,
            };
            is && of == region
        };
        let found = self.groups.iter().find(|(key, _)| is_meant(key));
        found.ok_or(NO_GROUP)
    }

    fn answer(&mut self, region: &str, action: &str, input: Value) -> Result<Value, Refusal> {
        if self.closed.contains(region) {
            let message = "The security token included in the request is invalid.";
            return Err(("UnrecognizedClientException", message));
        }
        let output = match action {
            "FilterLogEvents" => self.filter(region, input),
            "DescribeLogGroups" => self.describe(region, &input),
            "ListLogGroups" => self.list(region, &input),
            "StartQuery" => self.start(region, input),
            "GetQueryResults" => self.results(&input),
            "StopQuery" => self.stop(&input),
            _ => Err(("UnknownOperationException", "not here")),
        }?;
        *self.counts.answered.entry(action.into()).or_default() += 1;
        Ok(output)
    }

    fn filter(&mut self, region: &str, mut input: Value) -> Result<Value, Refusal> {
        if !self.settings.unlimited && !self.may_ask(region) {
            self.counts.throttled += 1;
            return Err(("ThrottlingException", "Rate exceeded"));
        }
        self.filtered.push(Asked {
            region: region.into(),
            input: input.clone(),
        });
        knows(
            &input,
            &[
                "logGroupName",
                "logGroupIdentifier",
                "startTime",
                "endTime",
                "filterPattern",
                "limit",
                "nextToken",
                "startFromHead",
                "interleaved",
                "unmask",
            ],
        )?;
        let members = input.as_object_mut().ok_or(invalid("no object"))?;
        let token = members.remove("nextToken");
        let limit = members.remove("limit").map_or(Some(EVENTS), |limit| {
            limit.as_u64().map(|limit| limit as usize)
        });
        let limit = limit
            .filter(|limit| (1..=EVENTS).contains(limit))
            .ok_or(invalid(
                "1 validation error detected: Value at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000",
            ))?
            .min(self.settings.events);
        let newest = members.remove("startFromHead") == Some(false.into());
        let mut newest = newest && !self.settings.ignores_start_from_head;
        let identifier = match (&input["logGroupName"], &input["logGroupIdentifier"]) {
            (Value::String(name), Value::Null) if !name.starts_with("arn:") => name,
            (Value::Null, Value::String(identifier)) => identifier,
            _ => {
                return Err(invalid(
                    "exactly one of logGroupName and logGroupIdentifier is needed",
                ));
            }
        };
        let (_, group) = self.find(region, identifier)?;
        if group.class != Class::Standard {
            return Err(invalid(
                "The operation is not supported for log groups of this class.",
            ));
        }
        let (start, end) = (input["startTime"].as_i64(), input["endTime"].as_i64());
        if start.is_some_and(|start| start < 0) || end.is_some_and(|end| end < start.unwrap_or(0)) {
            return Err(invalid("startTime and endTime are no interval"));
        }
        let pattern = Pattern::parse(input["filterPattern"].as_str().unwrap_or_default())
            .ok_or(invalid("Invalid filter pattern"))?;
        let (mut after, mut page) = (None, 0);
        match &token {
            // A token is good as often as one likes, for the same question.
            Some(token) => {
                let rest = self.tokens.get(token.as_str().unwrap_or_default());
                let rest = rest.filter(|rest| rest.asked == input && rest.region == region);
                let rest = rest.ok_or(BAD_TOKEN)?;
                (newest, after, page) = (rest.newest, rest.after, rest.page);
            }
            None if newest && start.is_none_or(|start| start < NEWEST_FROM) => {
                return Err(invalid(
                    "startFromHead can be false only with a startTime from 2024-01-01T00:00:00Z on",
                ));
            }
            None => {}
        }

        let (mut given, mut bytes, mut looked_at, mut more) = (vec![], 0, 0, false);
        if self
            .settings
            .empty
            .is_some_and(|every| page.is_multiple_of(every))
        {
            more = true;
        } else {
            let now = Instant::now();
            for event in group.within(start, end, after, newest) {
                if event.visible > now {
                    continue;
                }
                if looked_at == self.settings.looked_at {
                    more = true;
                    break;
                }
                if pattern.fits(&event.message) {
                    let size = event.message.len() + OVERHEAD;
                    if !given.is_empty() && bytes + size > self.settings.bytes {
                        more = true;
                        break;
                    }
                    bytes += size;
                    given.push(event.json());
                }
                looked_at += 1;
                after = Some(event.place());
                if given.len() == limit {
                    // Whether there is more shows when it is asked for.
                    more = true;
                    break;
                }
            }
        }
        let mut output = json!({"events": given, "searchedLogStreams": []});
        if more {
            self.issued += 1;
            let token = format!("Bxkq{region}/{:08}", self.issued);
            output["nextToken"] = token.clone().into();
            self.tokens.insert(
                token,
                Rest {
                    region: region.into(),
                    asked: input,
                    newest,
                    after,
                    page: page + 1,
                },
            );
        }
        Ok(output)
    }

    /// Takes from a region's token bucket, if there is something in it.
    fn may_ask(&mut self, region: &str) -> bool {
        let now = Instant::now();
        let (left, since) = self.buckets.entry(region.to_owned()).or_insert((RATE, now));
        *left = (*left + since.elapsed().as_secs_f64() * RATE).min(RATE);
        *since = now;
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }

    fn describe(&self, region: &str, input: &Value) -> Result<Value, Refusal> {
        knows(
            input,
            &[
                "logGroupNamePrefix",
                "logGroupNamePattern",
                "logGroupIdentifiers",
                "logGroupClass",
                "includeLinkedAccounts",
                "limit",
                "nextToken",
            ],
        )?;
        let prefix = input["logGroupNamePrefix"].as_str();
        let pattern = input["logGroupNamePattern"].as_str();
        let identifiers = input["logGroupIdentifiers"].as_array();
        if [prefix.is_some(), pattern.is_some(), identifiers.is_some()]
            .iter()
            .filter(|is| **is)
            .count()
            > 1
        {
            return Err(invalid(
                "logGroupNamePrefix, logGroupNamePattern and logGroupIdentifiers exclude each other",
            ));
        }
        if identifiers.is_some_and(|all| all.len() > 50) {
            return Err(invalid("more than 50 logGroupIdentifiers"));
        }
        let is_asked = |name: &str, arn: &str, account: &str| match identifiers {
            Some(all) => all
                .iter()
                .filter_map(Value::as_str)
                .any(|asked| asked == arn || asked == name && account == ACCOUNT),
            None => {
                prefix.is_none_or(|prefix| name.starts_with(prefix))
                    && pattern.is_none_or(|pattern| name.contains(pattern))
                    && (account == ACCOUNT || input["includeLinkedAccounts"] == true)
            }
        };
        let mut found = vec![];
        for ((of, name, account), group) in &self.groups {
            let arn = arn(of, account, name);
            if of != region || !is_asked(name, &arn, account) || !group.is_of(input) {
                continue;
            }
            let mut entry = json!({
                "logGroupName": name,
                "arn": format!("{arn}:*"),
                "creationTime": NEWEST_FROM,
            });
            // By a pattern no more is told.
            if pattern.is_none() {
                let stored: usize = group.events.iter().map(|event| event.message.len()).sum();
                entry["logGroupArn"] = arn.into();
                entry["logGroupClass"] = group.class.name().into();
                entry["storedBytes"] = stored.into();
                entry["metricFilterCount"] = 0.into();
            }
            found.push(entry);
        }
        self.page(found, input, 50)
    }

    fn list(&self, region: &str, input: &Value) -> Result<Value, Refusal> {
        knows(
            input,
            &[
                "logGroupNamePattern",
                "logGroupClass",
                "dataSources",
                "includeLinkedAccounts",
                "limit",
                "nextToken",
            ],
        )?;
        let pattern = input["logGroupNamePattern"].as_str();
        let parts: Option<Vec<&str>> = pattern.map(|pattern| pattern.split('|').collect());
        let is_part = |part: &str| {
            let text = part.strip_prefix('^').unwrap_or(part);
            let is_known = |c: char| c.is_ascii_alphanumeric() || ".-_/#".contains(c);
            (3..=24).contains(&text.len()) && text.chars().all(is_known)
        };
        if let Some(parts) = &parts
            && (parts.len() > 5 || !parts.iter().all(|part| is_part(part)))
        {
            return Err(invalid(
                "1 validation error detected: Value at 'logGroupNamePattern' failed to satisfy constraint",
            ));
        }
        let fits = |name: &str| match &parts {
            None => true,
            Some(parts) => parts.iter().any(|part| match part.strip_prefix('^') {
                Some(prefix) => name.starts_with(prefix),
                None => name.contains(part),
            }),
        };
        let sources = input["dataSources"].as_array();
        let mut found = vec![];
        for ((of, name, account), group) in &self.groups {
            let is_reached = account == ACCOUNT || input["includeLinkedAccounts"] == true;
            let is_from = sources.is_none_or(|sources| {
                let is = |source: &Value| source["name"] == "aws_cloudtrail";
                group.of_cloudtrail && sources.iter().any(is)
            });
            if of == region && is_reached && is_from && fits(name) && group.is_of(input) {
                found.push(json!({
                    "logGroupName": name,
                    "logGroupArn": arn(of, account, name),
                    "logGroupClass": group.class.name(),
                }));
            }
        }
        self.page(found, input, 1000)
    }

    /// A page of groups.
    fn page(&self, mut groups: Vec<Value>, input: &Value, most: usize) -> Result<Value, Refusal> {
        let limit = input["limit"].as_u64().unwrap_or(50) as usize;
        if !(1..=most).contains(&limit) {
            return Err(invalid("1 validation error detected: Value at 'limit'"));
        }
        let from = match &input["nextToken"] {
            Value::Null => 0,
            token => {
                let from = token.as_str().and_then(|token| token.strip_prefix("from/"));
                from.and_then(|from| from.parse().ok()).ok_or(BAD_TOKEN)?
            }
        };
        let to = (from + limit.min(self.settings.groups)).min(groups.len());
        let all = groups.len();
        groups.truncate(to);
        let groups = groups.split_off(from.min(to));
        let mut output = json!({"logGroups": groups});
        if to < all {
            output["nextToken"] = format!("from/{to}").into();
        }
        Ok(output)
    }

    fn start(&mut self, region: &str, input: Value) -> Result<Value, Refusal> {
        self.queried.push(Asked {
            region: region.into(),
            input: input.clone(),
        });
        let named = input["logGroupName"].as_str().map(|name| vec![name]);
        let listed = |name: &str| {
            let all = input[name].as_array()?;
            Some(all.iter().filter_map(Value::as_str).collect::<Vec<_>>())
        };
        let ways = [
            named,
            listed("logGroupNames"),
            listed("logGroupIdentifiers"),
        ];
        let ways: Vec<Vec<&str>> = ways.into_iter().flatten().collect();
        let [identifiers] = &ways[..] else {
            return Err(invalid("the log groups must be given, in one way"));
        };
        let groups = identifiers
            .iter()
            .map(|identifier| {
                let (key, group) = self.find(region, identifier)?;
                match group.class {
                    Class::Delivery => Err(invalid("not of this class")),
                    _ => Ok(key.clone()),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let time = |name: &str| input[name].as_i64().filter(|time| *time >= 0);
        let (Some(start), Some(end)) = (time("startTime"), time("endTime")) else {
            return Err(invalid("startTime and endTime are needed"));
        };
        // Seconds, and milliseconds are far from now.
        if end < start || end > 100_000_000_000 {
            return Err(invalid("End time should not be before start time"));
        }
        let text = input["queryString"].as_str().unwrap_or_default();
        let malformed = ("MalformedQueryException", "unexpected symbol found");
        let (fields, newest, mut limit) = commands(text).ok_or(malformed)?;
        if let Some(asked) = input["limit"].as_u64() {
            limit = asked as usize;
        }
        if !(1..=100_000).contains(&limit) {
            return Err(invalid("the limit is 100000"));
        }
        if self.counts.running == 100 {
            return Err(("LimitExceededException", "too many queries run"));
        }
        self.issued += 1;
        self.counts.started += 1;
        self.counts.running += 1;
        let id = format!("12ab3456-12ab-123a-789e-{:012}", self.issued);
        let last = if self.settings.whole_seconds { 999 } else { 0 };
        self.queries.insert(
            id.clone(),
            Query {
                groups,
                within: [start * 1000, end * 1000 + last],
                fields,
                newest,
                limit,
                polls: 0,
                state: State::Runs,
            },
        );
        Ok(json!({"queryId": id}))
    }

    fn results(&mut self, input: &Value) -> Result<Value, Refusal> {
        let query = input["queryId"].as_str().unwrap_or_default();
        let query = self.queries.get_mut(query).ok_or((
            "ResourceNotFoundException",
            "The specified query does not exist.",
        ))?;
        let most = input["maxItems"].as_u64().unwrap_or(10_000) as usize;
        if !(1..=10_000).contains(&most) {
            return Err(invalid("1 validation error detected: Value at 'maxItems'"));
        }
        query.polls += 1;
        let ends = matches!(query.state, State::Runs) && query.polls > 1 + self.settings.running;
        if ends {
            let (rows, bytes) = query.rows(&self.groups);
            query.state = State::Complete(rows, bytes);
            self.counts.running -= 1;
        }
        let (status, rows, bytes) = match &query.state {
            State::Stopped => ("Cancelled", vec![], 0),
            State::Complete(rows, bytes) => ("Complete", rows.clone(), *bytes),
            State::Runs if query.polls == 1 => ("Scheduled", vec![], 0),
            State::Runs => {
                // What was found so far.
                let (mut rows, bytes) = query.rows(&self.groups);
                rows.truncate(rows.len() / 2);
                ("Running", rows, bytes / 2)
            }
        };
        let from = match &input["nextToken"] {
            Value::Null => 0,
            token => {
                let from = token.as_str().and_then(|token| token.strip_prefix("row/"));
                from.and_then(|from| from.parse().ok()).ok_or(BAD_TOKEN)?
            }
        };
        let matched = rows.len();
        let page: Vec<Value> = rows.into_iter().skip(from).take(most).collect();
        let to = from + page.len();
        let mut output = json!({
            "queryLanguage": "CWLI",
            "status": status,
            "results": page,
            "statistics": {
                "recordsMatched": matched as f64,
                "recordsScanned": matched as f64,
                "bytesScanned": bytes as f64,
            },
        });
        if status == "Complete" && to < matched {
            output["nextToken"] = format!("row/{to}").into();
        }
        Ok(output)
    }

    fn stop(&mut self, input: &Value) -> Result<Value, Refusal> {
        let query = input["queryId"].as_str().unwrap_or_default();
        let query = self.queries.get_mut(query).ok_or((
            "ResourceNotFoundException",
            "The specified query does not exist.",
        ))?;
        if !matches!(query.state, State::Runs) {
            return Err(invalid("Query is already ended"));
        }
        query.state = State::Stopped;
        self.counts.running -= 1;
        self.counts.stopped += 1;
        Ok(json!({"success": true}))
    }
}

/// Refuses what this server does not do.
fn knows(input: &Value, names: &[&str]) -> Result<(), Refusal> {
    let mut asked = input.as_object().into_iter().flatten();
    match asked.all(|(name, _)| names.contains(&name.as_str())) {
        true => Ok(()),
        false => Err(invalid("something is asked that is not here")),
    }
}

impl Group {
    /// Is it of the class that is asked for?
    fn is_of(&self, input: &Value) -> bool {
        let class = input["logGroupClass"].as_str();
        class.is_none_or(|class| class == self.class.name())
    }

    /// The events from `start` to `end`, both included, behind one of them, in this direction.
    fn within(
        &self,
        start: Option<i64>,
        end: Option<i64>,
        after: Option<Place>,
        newest: bool,
    ) -> Box<dyn Iterator<Item = &LogEvent> + '_> {
        let before = |is: &dyn Fn(&LogEvent) -> bool| self.events.partition_point(is);
        let mut from = start.map_or(0, |start| before(&|event| event.timestamp < start));
        let mut to = end.map_or(self.events.len(), |end| {
            before(&|event| event.timestamp <= end)
        });
        if let Some(after) = after {
            match newest {
                true => to = to.min(before(&|event| event.place() < after)),
                false => from = from.max(before(&|event| event.place() <= after)),
            }
        }
        let events = self.events[from.min(to)..to].iter();
        match newest {
            true => Box::new(events.rev()),
            false => Box::new(events),
        }
    }
}

impl LogEvent {
    fn json(&self) -> Value {
        json!({
            "logStreamName": self.stream,
            "timestamp": self.timestamp,
            "message": self.message,
            "ingestionTime": self.ingested,
            "eventId": event_id(self.timestamp, self.number),
        })
    }
}

/// 56 digits: the time times 2^144, and a number that no other event has.
fn event_id(timestamp: i64, number: u64) -> String {
    // Parts of nine digits, the lowest first.
    const PART: u64 = 1_000_000_000;
    let mut parts = [0_u64; 7];
    let mut carry = timestamp.max(0) as u64;
    for part in &mut parts {
        (*part, carry) = (carry % PART, carry / PART);
    }
    for _ in 0..144 / 16 {
        let mut carry = 0;
        for part in &mut parts {
            let product = *part * (1 << 16) + carry;
            (*part, carry) = (product % PART, product / PART);
        }
    }
    let mut carry = number;
    for part in &mut parts {
        let sum = *part + carry;
        (*part, carry) = (sum % PART, sum / PART);
    }
    let digits: String = parts
        .iter()
        .rev()
        .map(|part| format!("{part:09}"))
        .collect();
    digits[digits.len() - 56..].to_owned()
}

impl Query {
    /// What it finds, and how many bytes it looked at.
    fn rows(&self, groups: &BTreeMap<(String, String, String), Group>) -> (Vec<Value>, usize) {
        let [start, end] = self.within;
        let now = Instant::now();
        let mut found: Vec<(&LogEvent, String)> = vec![];
        for key in &self.groups {
            let log = format!("{}:{}", key.2, key.1);
            let events = groups[key].within(Some(start), Some(end), None, false);
            let events = events.filter(|event| event.visible <= now);
            found.extend(events.map(|event| (event, log.clone())));
        }
        let bytes = found.iter().map(|(event, _)| event.message.len()).sum();
        found.sort_by_key(|(event, _)| event.timestamp);
        if self.newest {
            found.reverse();
        }
        found.truncate(self.limit);
        let rows = found.iter().map(|(event, log)| {
            let value = |field: &str| match field {
                "@timestamp" => Some(time(event.timestamp)),
                "@ingestionTime" => Some(time(event.ingested)),
                "@message" => Some(event.message.clone()),
                "@logStream" => Some(event.stream.clone()),
                "@log" => Some(log.clone()),
                "@ptr" => Some(format!("CmEK{}", event_id(event.timestamp, event.number))),
                _ => None,
            };
            let fields = self.fields.iter().map(String::as_str).chain(["@ptr"]);
            fields
                .filter_map(|field| Some(json!({"field": field, "value": value(field)?})))
                .collect()
        });
        (rows.collect(), bytes)
    }
}

/// A time as Logs Insights shows it.
fn time(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap();
    time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// What `fields A, B | sort @timestamp asc | limit N` asks for: fields, whether the newest is first, and how many rows.
fn commands(query: &str) -> Option<(Vec<String>, bool, usize)> {
    let (mut fields, mut newest, mut limit) = (vec![], true, 1000);
    for command in query.split('|') {
        let (name, rest) = command.trim().split_once(' ')?;
        let rest = rest.trim();
        match name {
            "fields" => fields.extend(rest.split(',').map(|field| field.trim().to_owned())),
            "sort" => {
                newest = match rest.strip_prefix("@timestamp")?.trim() {
                    "asc" => false,
                    "desc" => true,
                    _ => return None,
                }
            }
            "limit" => limit = rest.parse().ok()?,
            _ => return None,
        }
    }
    fields
        .iter()
        .all(|field| field.starts_with('@'))
        .then_some(())?;
    Some((fields, newest, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::REGION;

    const NOW: i64 = 1_712_626_363_433;

    fn ask(logs: &LogGroups, action: &str, input: Value) -> Result<Value, Refusal> {
        logs.world().answer(REGION, action, input)
    }

    /// All pages of a question: the messages of each.
    fn pages(logs: &LogGroups, mut input: Value) -> Vec<Vec<String>> {
        let mut pages = vec![];
        loop {
            let output = ask(logs, "FilterLogEvents", input.clone()).unwrap();
            let events = output["events"].as_array().unwrap().iter();
            let messages = events.map(|event| event["message"].as_str().unwrap().to_owned());
            pages.push(messages.collect());
            match &output["nextToken"] {
                Value::Null => return pages,
                token => input["nextToken"] = token.clone(),
            }
        }
    }

    fn group() -> LogGroups {
        let logs = LogGroups::default();
        logs.unlimited();
        logs.put(REGION, "g", "b", &[(NOW + 1, "3"), (NOW, "1")]);
        logs.put(REGION, "g", "a", &[(NOW, "2"), (NOW + 2, "4")]);
        logs
    }

    #[test]
    fn pages_are_in_order_and_both_ends_count() {
        let logs = group();
        let all = json!({"logGroupName": "g"});
        assert_eq!(pages(&logs, all.clone()), [["1", "2", "3", "4"]]);
        logs.page_events(2);
        assert_eq!(
            pages(&logs, all.clone()),
            [vec!["1", "2"], vec!["3", "4"], vec![]]
        );
        logs.empty_pages(2);
        let wanted = [
            vec![],
            vec!["1", "2"],
            vec![],
            vec!["3", "4"],
            vec![],
            vec![],
        ];
        assert_eq!(pages(&logs, all), wanted);
        let input = json!({"logGroupIdentifier": arn(REGION, ACCOUNT, "g"), "startTime": NOW + 1,
            "endTime": NOW + 2, "startFromHead": false, "limit": 1});
        assert_eq!(pages(&logs, input).concat(), ["4", "3"]);
        logs.page_bytes(30);
        logs.page_events(EVENTS);
        assert_eq!(pages(&logs, json!({"logGroupName": "g"})).len(), 8);
    }

    #[test]
    fn tokens_are_for_the_same_question_and_die() {
        let logs = group();
        logs.page_events(1);
        let first = ask(&logs, "FilterLogEvents", json!({"logGroupName": "g"})).unwrap();
        let token = &first["nextToken"];
        let next = json!({"logGroupName": "g", "nextToken": token});
        assert!(ask(&logs, "FilterLogEvents", next.clone()).is_ok());
        let other = json!({"logGroupName": "g", "nextToken": token, "startTime": NOW});
        assert_eq!(ask(&logs, "FilterLogEvents", other), Err(BAD_TOKEN));
        logs.forget_tokens();
        assert_eq!(ask(&logs, "FilterLogEvents", next), Err(BAD_TOKEN));
    }

    #[test]
    fn groups_are_found_by_name_or_arn() {
        let logs = group();
        let linked = arn(REGION, "999999999999", "l");
        logs.put(REGION, &linked, "s", &[(NOW, "x")]);
        let asked = |identifier: &str| {
            let input = json!({"logGroupIdentifier": identifier});
            ask(&logs, "FilterLogEvents", input)
                .map(|output| output["events"][0]["message"].clone())
        };
        assert_eq!(asked("g"), Ok(json!("1")));
        assert_eq!(asked(&linked), Ok(json!("x")));
        assert_eq!(asked("l"), Err(NO_GROUP));
        assert_eq!(asked(&format!("{linked}:*")), Err(NO_GROUP));
        logs.tag(REGION, "g");
        let input =
            json!({"dataSources": [{"name": "aws_cloudtrail"}], "logGroupNamePattern": "^gro"});
        assert_eq!(
            ask(&logs, "ListLogGroups", input),
            Ok(json!({"logGroups": []}))
        );
    }

    #[test]
    fn events_have_ids_that_tell_their_time() {
        // The time of AWS's sample 38192844…, whose lower digits are others.
        let id = event_id(NOW, 7);
        assert!(id.starts_with("38192844") && id.len() == 56, "{id}");
        assert!(event_id(NOW, u64::MAX >> 1) < event_id(NOW + 1, 0));
    }

    #[test]
    fn queries_come_to_an_end() {
        let logs = group();
        let text = "fields @timestamp, @message | sort @timestamp asc | limit 3";
        let input = json!({"logGroupNames": ["g"], "startTime": NOW / 1000, "endTime": NOW / 1000 + 1,
            "queryString": text});
        let id = ask(&logs, "StartQuery", input.clone()).unwrap();
        let states = std::iter::repeat_with(|| ask(&logs, "GetQueryResults", id.clone()).unwrap());
        let states: Vec<Value> = states.take(3).collect();
        let words: Vec<&str> = states
            .iter()
            .map(|s| s["status"].as_str().unwrap())
            .collect();
        assert_eq!(words, ["Scheduled", "Running", "Complete"]);
        let rows = states[2]["results"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0][0]["value"], "2024-04-09 01:32:43.433");
        let id = ask(&logs, "StartQuery", input).unwrap();
        assert!(
            ask(&logs, "StopQuery", id.clone()).is_ok() && ask(&logs, "StopQuery", id).is_err()
        );
        assert_eq!((logs.counts().running, logs.counts().stopped), (0, 1));
    }
}
