//! CloudTrail's event history in memory, as LookupEvents answers: pages, tokens, two requests a second and region.
//!
//! It is part of [`crate::aws::Aws`], whose credentials, faults and log hold for it too.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use crate::{
    aws::{ACCOUNT, Credentials},
    trail::Record,
};

/// Requests a second that AWS takes, of an account in a region.
const RATE: f64 = 2.0;

/// The event histories of all regions.
#[derive(Default)]
pub struct Histories(Mutex<World>);

#[derive(Default)]
struct World {
    /// By region and category, which is empty for management events, and a trail's ARN for those on its data events.
    events: HashMap<(String, String), Vec<Record>>,
    /// Regions that the account has not enabled.
    closed: BTreeSet<String>,
    trails: Vec<Trail>,
    /// What tokens stand for.
    tokens: HashMap<String, Rest>,
    /// How many tokens there were.
    issued: usize,
    /// By region, what may be asked now, and since when.
    buckets: HashMap<String, (f64, Instant)>,
    counts: Counts,
}

/// What DescribeTrails tells of a trail.
#[derive(Debug, Clone)]
pub struct Trail {
    /// Its name.
    pub name: String,
    /// Where it was made.
    pub home: String,
    /// Whether it has the events of all regions, and is so shown in all.
    pub is_multi_region: bool,
    /// The ARN of the log group that it sends its events to, which ends in `:*`.
    pub log_group: Option<String>,
}

/// What is left of an answer, for those who ask as before.
struct Rest {
    asked: Value,
    records: Vec<Record>,
}

/// What was asked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Answered with events.
    pub answered: usize,
    /// Refused because of too many before.
    pub throttled: usize,
}

impl Histories {
    /// Lets events happen in a region.
    pub fn add<'a>(&self, region: &str, records: impl IntoIterator<Item = &'a Record>) {
        self.add_to(region, "", records);
    }

    /// The same with Insights events.
    pub fn add_insights<'a>(&self, region: &str, records: impl IntoIterator<Item = &'a Record>) {
        self.add_to(region, "insight", records);
    }

    /// Lets Insights events happen on the data events of a trail with this ARN.
    pub fn add_trail_insights<'a>(
        &self,
        region: &str,
        trail: &str,
        records: impl IntoIterator<Item = &'a Record>,
    ) {
        self.add_to(region, trail, records);
    }

    fn add_to<'a>(
        &self,
        region: &str,
        category: &str,
        records: impl IntoIterator<Item = &'a Record>,
    ) {
        let mut world = self.world();
        let events = world
            .events
            .entry((region.into(), category.into()))
            .or_default();
        events.extend(records.into_iter().cloned());
        events.sort_by_key(|record| record.time);
    }

    /// Makes a region one that the account has not enabled.
    pub fn close(&self, region: &str) {
        self.world().closed.insert(region.into());
    }

    /// Makes a trail.
    pub fn add_trail(&self, trail: Trail) {
        self.world().trails.push(trail);
    }

    /// Makes all tokens so far invalid.
    pub fn forget_tokens(&self) {
        self.world().tokens.clear();
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.world().counts.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Answers a request that is signed for a region.
    pub(crate) fn answer(&self, region: &str, action: &str, body: &[u8]) -> Response<Bytes> {
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        match self.world().look_up(region, action, input) {
            Ok(output) => response(200, &output),
            Err((code, message)) => error(400, code, message),
        }
    }
}

/// An error as CloudTrail sends it.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Response<Bytes> {
    response(status, &json!({"__type": code, "message": message}))
}

pub(crate) fn response(status: u16, output: &Value) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(output.to_string().into())
        .unwrap()
}

/// What CloudTrail refuses for the credentials. Signatures are checked with S3's requests only.
pub(crate) fn refuse(known: Option<Credentials>) -> Option<Response<Bytes>> {
    let (code, message) = match known {
        None => (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        Some(known) if known.expired => (
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        Some(_) => return None,
    };
    Some(error(400, code, message))
}

type Refusal = (&'static str, &'static str);

impl World {
    fn look_up(&mut self, region: &str, action: &str, mut input: Value) -> Result<Value, Refusal> {
        if !matches!(
            action,
            "LookupEvents" | "ListInsightsData" | "DescribeTrails"
        ) {
            return Err(("InvalidAction", "not here"));
        }
        if self.closed.contains(region) {
            let message = "The security token included in the request is invalid.";
            return Err(("UnrecognizedClientException", message));
        }
        if action == "DescribeTrails" {
            return Ok(self.describe_trails(region, &input));
        }
        if !self.may_ask(region) {
            self.counts.throttled += 1;
            return Err(("ThrottlingException", "Rate exceeded"));
        }
        let most = input["MaxResults"].as_u64().unwrap_or(50) as usize;
        if !(1..=50).contains(&most) {
            let message = "A value between 1 and 50 should be specified for MaxResults";
            return Err(("InvalidMaxResultsException", message));
        }
        let time = |name: &str| input[name].as_f64();
        let (from, to) = (time("StartTime"), time("EndTime"));
        if from > to && to.is_some() {
            let message = "Start time cannot be after end time";
            return Err(("InvalidTimeRangeException", message));
        }
        let category = match action {
            "ListInsightsData" => input["InsightSource"].as_str().unwrap_or("-"),
            _ => input["EventCategory"].as_str().unwrap_or(""),
        };
        let category = category.to_owned();
        let attributes = attributes(&input, action, &category)?;
        let token = input
            .as_object_mut()
            .and_then(|input| input.remove("NextToken"));
        let mut records = match token {
            Some(token) => {
                // A token is good as often as one likes, for the same question.
                let rest = self.tokens.get(token.as_str().unwrap_or_default());
                let rest = rest.filter(|rest| rest.asked == input);
                let rest = rest.ok_or(("InvalidNextTokenException", "Invalid token"))?;
                rest.records.clone()
            }
            None => {
                let events = self.events.get(&(region.to_owned(), category));
                let within = |record: &&Record| {
                    let time = record.time.as_second() as f64;
                    from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to)
                };
                let events = events.into_iter().flatten().filter(within).rev();
                let has = |record: &&Record| {
                    attributes
                        .iter()
                        .all(|(key, value)| has(record, key, value))
                };
                let events = events.filter(has);
                events.cloned().collect()
            }
        };
        let rest = records.split_off(most.min(records.len()));
        let mut output = json!({"Events": records.iter().map(event).collect::<Vec<_>>()});
        if !rest.is_empty() {
            self.issued += 1;
            let token = format!("{region}/{}=", self.issued);
            output["NextToken"] = token.clone().into();
            self.tokens.insert(
                token,
                Rest {
                    asked: input,
                    records: rest,
                },
            );
        }
        self.counts.answered += 1;
        Ok(output)
    }

    /// The trails of a region, and those of others that are for it, too.
    fn describe_trails(&self, region: &str, input: &Value) -> Value {
        let with_others = input["includeShadowTrails"] != false;
        let is_shown =
            |trail: &&Trail| trail.home == region || trail.is_multi_region && with_others;
        let shown = self.trails.iter().filter(is_shown).map(|trail| {
            let mut shown = json!({
                "Name": trail.name,
                "S3BucketName": "trails",
                "IncludeGlobalServiceEvents": true,
                "IsMultiRegionTrail": trail.is_multi_region,
                "HomeRegion": trail.home,
                "TrailARN": format!("arn:aws:cloudtrail:{}:{ACCOUNT}:trail/{}", trail.home, trail.name),
                "LogFileValidationEnabled": false,
                "IsOrganizationTrail": false,
            });
            if let Some(group) = &trail.log_group {
                shown["CloudWatchLogsLogGroupArn"] = group.clone().into();
            }
            shown
        });
        json!({"trailList": shown.collect::<Vec<_>>()})
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
}

/// What events are chosen by: names and values of attributes.
fn attributes(
    input: &Value,
    action: &str,
    category: &str,
) -> Result<Vec<(String, String)>, Refusal> {
    const OF_INSIGHTS: [&str; 3] = ["EventId", "EventName", "EventSource"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attributes: Vec<(String, String)> = match action {
        "ListInsightsData" => {
            let dimensions = input["Dimensions"].as_object().into_iter().flatten();
            dimensions
                .map(|(key, value)| (key.clone(), text(value)))
                .collect()
        }
        _ => {
            let listed = input["LookupAttributes"].as_array().into_iter().flatten();
            listed
                .map(|one| (text(&one["AttributeKey"]), text(&one["AttributeValue"])))
                .collect()
        }
    };
    let is_known = |key: &str| category.is_empty() || OF_INSIGHTS.contains(&key);
    match attributes.len() <= 1 && attributes.iter().all(|(key, _)| is_known(key)) {
        true => Ok(attributes),
        false => Err((
            "InvalidLookupAttributesException",
            "Invalid lookup attributes",
        )),
    }
}

/// Has a record this value of an attribute?
fn has(record: &Record, key: &str, value: &str) -> bool {
    let json: Value = serde_json::from_str(&record.json).unwrap_or_default();
    let details = match json["insightDetails"].is_null() {
        true => &json,
        false => &json["insightDetails"],
    };
    let found = match key {
        "EventId" => &json["eventID"],
        "EventName" => &details["eventName"],
        "EventSource" => &details["eventSource"],
        "AccessKeyId" => &json["userIdentity"]["accessKeyId"],
        "ReadOnly" => return json["readOnly"].as_bool() == value.parse().ok(),
        "Username" => {
            let session = json["userIdentity"]["arn"]
                .as_str()
                .and_then(|arn| arn.rsplit('/').next());
            let name = json["userIdentity"]["userName"].as_str().or(session);
            return name == Some(value);
        }
        _ => return false,
    };
    found.as_str() == Some(value)
}

/// An event as LookupEvents gives it. A record without text is one that has no CloudTrailEvent.
fn event(record: &Record) -> Value {
    let json: Value = serde_json::from_str(&record.json).unwrap_or_default();
    let mut event = json!({
        "EventId": record.id,
        "EventName": json["eventName"],
        "ReadOnly": json["readOnly"].to_string(),
        "EventTime": record.time.as_second(),
        "EventSource": json["eventSource"],
        "Username": json["userIdentity"]["userName"],
        "Resources": [],
    });
    if !record.json.is_empty() {
        event["CloudTrailEvent"] = record.json.clone().into();
    }
    event
}
