//! `ct.origin`, `ct.chain` and their kin: the list of identities in `tests/origin/identities.jsonl`, and made trails, of
//! which `tests/origin/solve.py` says who it really was, from the same events and with all facts known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use harness::aws::{Aws, Fault, Op};
use harness::home::Home;
use harness::host::{Event, Plugin, Status};
use harness::hosts::{Hosts, installed};
use harness::shared;
use harness::trail::{self, LogFile, Maker, Record, format_time, log_text, parse_time};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;

const FIELDS: [&str; 9] = [
    "ct.actor",
    "ct.origin",
    "ct.origin.by",
    "ct.origin.arn",
    "ct.origin.accountid",
    "ct.origin.accesskeyid",
    "ct.origin.eventid",
    "ct.chain",
    "ct.chain.length",
];

/// What these fields are of an event; those that are absent are not there.
type Answer = BTreeMap<String, Value>;

fn ask(plugin: &Plugin, event: &Event) -> Answer {
    let fields = plugin.extract(event, &FIELDS).unwrap();
    fields
        .into_iter()
        .map(|(name, field)| (name, field.value))
        .collect()
}

fn ask_all(plugin: &Plugin, events: &[Event]) -> Vec<Answer> {
    events.iter().map(|event| ask(plugin, event)).collect()
}

fn text<'a>(answer: &'a Answer, field: &str) -> &'a str {
    answer
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What `solve.py` says of these events, with all facts or with those up to each event; nothing where there is no Python.
fn solve<T: AsRef<[u8]>>(records: &[T], so_far: bool) -> Option<Vec<Answer>> {
    let python = installed("python/run", "scripts/python-tools")?;
    let folder = TempDir::new().unwrap();
    let mut lines = vec![];
    for record in records {
        // A line break in JSON is a space.
        lines.extend(record.as_ref().iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        lines.push(b'\n');
    }
    let file = trail::write(&folder.path().join("events.jsonl"), &lines);
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/origin/solve.py"))
        .args(so_far.then_some("--so-far"))
        .stdin(File::open(file).unwrap())
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Answer> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), records.len());
    Some(answers)
}

fn payloads(events: &[Event]) -> Vec<&[u8]> {
    events.iter().map(Event::payload).collect()
}

/// The first event of which something else is said than expected, in words.
fn assert_same(seen: &[Answer], expected: &[Answer], events: &[Event], what: &str) {
    assert_eq!(seen.len(), expected.len(), "{what}");
    for ((seen, expected), event) in seen.iter().zip(expected).zip(events) {
        assert_eq!(seen, expected, "{what}: {event:?}");
    }
}

// The list of identities.

#[derive(Deserialize)]
struct Form {
    about: String,
    record: Box<RawValue>,
    actor: String,
    origin: Answer,
}

#[test]
fn every_form_of_an_identity_tells_what_the_list_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/origin/identities.jsonl");
    let list = fs::read_to_string(path).unwrap();
    let (mut records, mut expected, mut others) = (vec![], vec![], vec![]);
    for line in list.lines() {
        let form: Form = serde_json::from_str(line).unwrap();
        let folder = TempDir::new().unwrap();
        trail::write(
            &folder.path().join("log.json"),
            &log_text(&[form.record.get()]),
        );
        let plugin = Plugin::load("");
        let events = plugin.events(folder.path().to_str().unwrap()).unwrap();
        let mut answer = form.origin;
        answer.insert("ct.actor".into(), form.actor.into());
        assert_eq!(events.len(), 1, "{}", form.about);
        let seen = ask(&plugin, &events[0]);
        if seen != answer {
            others.push(format!("{}: {seen:?}, not {answer:?}", form.about));
        }
        records.push(form.record.get().to_owned());
        expected.push(answer);
    }
    assert!(expected.len() > 60);
    assert!(others.is_empty(), "{}", others.join("\n"));
    let solved = solve(&records, false);
    assert!(
        solved.is_none_or(|solved| solved == expected),
        "solve.py says otherwise"
    );
}

// Trails by seeds.

const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];
/// An account whose events are not read.
const ELSEWHERE: &str = "123456789012";
const START: &str = "20260701T0000Z";
/// Keys that somebody has masked: they look like keys, and several events gave them out.
const MASKED: [&str; 2] = ["ASIAXXXXXXXXXXXXXXXX", "ASIAIOSFODNN7EXAMPLE"];

/// Whoever makes requests.
#[derive(Clone)]
struct Caller {
    identity: Value,
    account: &'static str,
    /// Who it really is, as `ct.origin` may say; the accounts on the way are right as well.
    names: Vec<String>,
    /// The ARN of who it really is.
    arn: Value,
    /// How often a session was asked for by a session.
    hops: u32,
    source: Option<String>,
    /// Its key, or that of somebody before it, is masked.
    masked: bool,
}

/// A record, and where and when it is delivered.
struct Made {
    account: &'static str,
    region: &'static str,
    minute: i64,
    late: i64,
    record: Value,
}

/// What a world may have in it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Wild,
    /// Nothing late, nothing masked: a session is used after it was given out.
    Tidy,
}

struct World {
    random: Rng,
    kind: Kind,
    callers: Vec<Caller>,
    made: Vec<Made>,
}

impl World {
    fn new(seed: u64, kind: Kind, steps: usize) -> Self {
        let mut world = Self {
            random: Rng::with_seed(seed),
            kind,
            callers: vec![],
            made: vec![],
        };
        for account in ACCOUNTS {
            // There is an alice in each account.
            for name in ["alice", "bob"] {
                let key = world.key("AKIA");
                let caller = world.user(account, name, Some(key));
                world.callers.push(caller);
            }
        }
        if kind == Kind::Wild {
            let masked = MASKED.iter().chain(&MASKED);
            for (key, caller) in masked.zip(world.callers.clone()) {
                world.give_out(&caller, caller.account, "AssumeRole", key);
            }
        }
        let carol = world.user(ACCOUNTS[0], "carol", None);
        let key = world.key("AKIA");
        let stranger = world.user(ELSEWHERE, "stranger", Some(key));
        let root = world.root(ACCOUNTS[1]);
        world.callers.extend([carol, stranger, root]);
        while world.made.len() < steps {
            world.step();
        }
        world
    }

    fn uuid(&mut self) -> String {
        let hex = format!("{:032x}", self.random.u128(..));
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-")
    }

    fn key(&mut self, kind: &str) -> String {
        let letters: String = std::iter::repeat_with(|| self.random.alphanumeric())
            .take(16)
            .collect();
        format!("{kind}{}", letters.to_uppercase())
    }

    /// The key of a new session: now and then one that is masked.
    fn session_key(&mut self) -> String {
        if self.kind == Kind::Wild && self.random.u8(..12) == 0 {
            return (*self.random.choice(&MASKED).unwrap()).to_owned();
        }
        self.key("ASIA")
    }

    fn user(&mut self, account: &'static str, name: &str, key: Option<String>) -> Caller {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        let mut identity = json!({"type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": arn, "accountId": account, "userName": name});
        if let Some(key) = key {
            identity["accessKeyId"] = key.into();
        }
        Caller {
            identity,
            account,
            names: vec![name.into(), format!("account {account}")],
            arn: arn.into(),
            hops: 0,
            source: None,
            masked: false,
        }
    }

    fn root(&mut self, account: &'static str) -> Caller {
        let arn = format!("arn:aws:iam::{account}:root");
        Caller {
            identity: json!({"type": "Root", "principalId": account, "arn": arn, "accountId": account}),
            account,
            names: vec!["root".into(), format!("account {account}")],
            arn: arn.into(),
            hops: 0,
            source: None,
            masked: false,
        }
    }

    /// A caller whose identity tells nothing but itself, a service or somebody of an identity provider.
    fn outsider(&mut self, identity: Value, name: &str, account: &'static str) -> Caller {
        Caller {
            identity,
            account,
            names: vec![name.into()],
            arn: Value::Null,
            hops: 0,
            source: None,
            masked: false,
        }
    }

    /// Writes an event of somebody, twice now and then, and late.
    fn write(
        &mut self,
        caller: &Caller,
        account: &'static str,
        source: &str,
        name: &str,
        more: &Value,
    ) -> String {
        let id = self.uuid();
        let mut record = json!({
            "eventVersion": "1.11",
            "userIdentity": caller.identity,
            "eventSource": format!("{source}.amazonaws.com"),
            "eventName": name,
            "requestParameters": null,
            "responseElements": null,
            "sourceIPAddress": "198.51.100.7",
            "eventID": id,
            "eventType": "AwsApiCall",
            "recipientAccountId": account,
            // For the test alone.
            "truth": {"names": caller.names, "arn": caller.arn, "masked": caller.masked},
        });
        let more = more.as_object().unwrap().clone();
        record.as_object_mut().unwrap().extend(more);
        let region = *self.random.choice(&REGIONS).unwrap();
        record["awsRegion"] = region.into();
        let minute = self.made.len() as i64 / 6;
        let time = parse_time(START) + SignedDuration::from_mins(minute);
        record["eventTime"] = time.to_string().into();
        let wild = self.kind == Kind::Wild;
        let copies = 1 + u8::from(wild && self.random.u8(..20) == 0);
        for _ in 0..copies {
            let late = match wild {
                true if self.random.u8(..5) == 0 => self.random.i64(1..8),
                _ => 0,
            };
            self.made.push(Made {
                account,
                region,
                minute,
                late,
                record: record.clone(),
            });
        }
        id
    }

    /// Writes an event that gives a session out: both copies of it where it concerns two accounts.
    fn give_out(&mut self, caller: &Caller, account: &'static str, name: &str, key: &str) {
        let response =
            json!({"credentials": {"accessKeyId": key, "expiration": "Jul 1, 2026, 4:07:39 PM"}});
        let mut more = json!({"responseElements": response});
        if caller.account == account {
            self.write(caller, account, "sts", name, &more);
            return;
        }
        more["sharedEventID"] = self.uuid().into();
        let owners = Caller {
            identity: json!({"type": "AWSAccount", "principalId": "AIDAEXAMPLE", "accountId": caller.account}),
            ..caller.clone()
        };
        let callers_first = self.random.bool();
        for is_callers in [callers_first, !callers_first] {
            if !is_callers {
                self.write(&owners, account, "sts", name, &more);
            } else if caller.account != ELSEWHERE {
                self.write(caller, caller.account, "sts", name, &more);
            }
        }
    }

    /// A session of a role, for somebody.
    fn role(&mut self, caller: &Caller, account: &'static str, key: &str) -> Caller {
        let role = *self
            .random
            .choice(&["dev", "admin", "deploy", "audit"])
            .unwrap();
        let session = format!("s{}", self.random.u32(..1000));
        let mut identity = json!({
            "type": "AssumedRole",
            "principalId": format!("AROAEXAMPLE:{session}"),
            "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
            "accountId": account,
            "accessKeyId": key,
            "sessionContext": {"sessionIssuer": {"type": "Role", "userName": role, "accountId": account}},
        });
        let mut source = caller.source.clone();
        if source.is_none() && self.random.u8(..6) == 0 {
            // The caller chooses it.
            source = Some((*self.random.choice(&["alice", "mallory"]).unwrap()).to_owned());
        }
        if let Some(source) = &source {
            identity["sessionContext"]["sourceIdentity"] = source.as_str().into();
        }
        let mut names = caller.names.clone();
        names.push(format!("account {account}"));
        Caller {
            identity,
            account,
            names,
            arn: caller.arn.clone(),
            hops: caller.hops + 1,
            source,
            masked: caller.masked || MASKED.contains(&key),
        }
    }

    fn call(&mut self, caller: &Caller) {
        if caller.account == ELSEWHERE {
            return;
        }
        let (source, name) = *self
            .random
            .choice(&[
                ("s3", "GetObject"),
                ("ec2", "RunInstances"),
                ("iam", "CreateUser"),
            ])
            .unwrap();
        self.write(caller, caller.account, source, name, &json!({}));
    }

    fn step(&mut self) {
        let caller = self.random.choice(&self.callers).unwrap().clone();
        let account = *self.random.choice(&ACCOUNTS).unwrap();
        let is_user = caller.identity["type"] == "IAMUser"
            && caller.identity["accessKeyId"]
                .as_str()
                .is_none_or(|key| key.starts_with("AKIA"));
        match self.random.u8(..24) {
            0..=5 if caller.hops < 4 => {
                let key = self.session_key();
                // A session that nobody has read of.
                if self.random.u8(..10) > 0 {
                    self.give_out(&caller, account, "AssumeRole", &key);
                }
                let session = self.role(&caller, account, &key);
                self.callers.push(session);
            }
            6 if is_user && caller.account != ELSEWHERE => {
                let key = self.session_key();
                self.give_out(&caller, caller.account, "GetSessionToken", &key);
                let mut session = caller.clone();
                session.identity["accessKeyId"] = key.as_str().into();
                session.masked |= MASKED.contains(&key.as_str());
                self.callers.push(session);
            }
            7 if is_user && caller.account != ELSEWHERE => {
                let key = self.session_key();
                if self.random.bool() {
                    self.give_out(&caller, caller.account, "GetFederationToken", &key);
                }
                let mut session = caller.clone();
                session.masked |= MASKED.contains(&key.as_str());
                let issuer = json!({"type": "IAMUser", "arn": caller.identity["arn"], "accountId": caller.account, "userName": caller.identity["userName"]});
                session.identity = json!({
                    "type": "FederatedUser",
                    "principalId": format!("{}:fed", caller.account),
                    "arn": format!("arn:aws:sts::{}:federated-user/fed", caller.account),
                    "accountId": caller.account,
                    "accessKeyId": key,
                    "sessionContext": {"sessionIssuer": issuer},
                });
                self.callers.push(session);
            }
            8 if caller.account != ELSEWHERE && caller.hops < 4 => {
                let key = self.session_key();
                let more =
                    json!({"responseElements": {"credentials": {"accessKeyId": key.as_str()}}});
                self.write(&caller, caller.account, "sts", "AssumeRoot", &more);
                let mut session = self.root(account);
                session.identity["accessKeyId"] = key.as_str().into();
                session.identity["sessionContext"] = json!({"assumedRoot": "true"});
                session.names.extend(caller.names.iter().cloned());
                session.names.remove(0);
                session.arn = caller.arn.clone();
                session.hops = caller.hops + 1;
                session.masked = caller.masked || MASKED.contains(&key.as_str());
                self.callers.push(session);
            }
            9..=11 => self.provider(account),
            12 | 13 => self.service(account),
            14 | 15 if !caller.masked && caller.account != ELSEWHERE => self.sign_in(&caller),
            16 if caller.account != ELSEWHERE => {
                let more =
                    json!({"errorCode": "AccessDenied", "errorMessage": "is not authorized"});
                self.write(&caller, caller.account, "sts", "AssumeRole", &more);
            }
            _ => self.call(&caller),
        }
    }

    /// Somebody of an identity provider gets a role.
    fn provider(&mut self, account: &'static str) {
        let n = self.random.u8(..4);
        let (kind, call, name) = match self.random.bool() {
            true => (
                "SAMLUser",
                "AssumeRoleWithSAML",
                format!("user{n}@example.com"),
            ),
            false => (
                "WebIdentityUser",
                "AssumeRoleWithWebIdentity",
                format!("repo:octo/shop{n}"),
            ),
        };
        let identity =
            json!({"type": kind, "principalId": format!("idp:{name}"), "userName": name});
        let caller = self.outsider(identity, &name, account);
        let key = self.session_key();
        self.give_out(&caller, account, call, &key);
        // Identity Center hands another key on than STS shows, and tells the user by now.
        let is_center = kind == "SAMLUser" && self.random.bool();
        let key = if is_center { self.key("ASIA") } else { key };
        let mut session = self.role(&caller, account, &key);
        if is_center && self.random.bool() {
            session.identity["onBehalfOf"] = json!({"userId": format!("id-of-{name}"), "identityStoreArn": "arn:aws:identitystore::111122223333:identitystore/d-1"});
        }
        self.callers.push(session);
    }

    /// A service gets a role, or somebody gets one by a provider's product.
    fn service(&mut self, account: &'static str) {
        let key = self.session_key();
        let service = json!({"type": "AWSService", "invokedBy": "lambda.amazonaws.com"});
        let caller = self.outsider(service, "lambda.amazonaws.com", account);
        let choice = self.random.u8(..4);
        if matches!(choice, 0 | 1) {
            let more = json!({"sharedEventID": self.uuid(), "responseElements": {"credentials": {"accessKeyId": key.as_str()}}});
            self.write(&caller, account, "sts", "AssumeRole", &more);
        }
        let mut session = self.role(&caller, account, &key);
        if matches!(choice, 1 | 2) {
            let function = format!("arn:aws:lambda:eu-west-1:{account}:function:resize");
            session.arn = function.as_str().into();
            session.identity["inScopeOf"] =
                json!({"issuerType": "AWS::Lambda::Function", "credentialsIssuedTo": function});
        }
        if choice == 3 {
            session.names[0] = format!("vendor {ELSEWHERE}");
            session.identity["invokedByDelegate"] = json!({"accountId": ELSEWHERE});
        }
        self.callers.push(session);
    }

    /// `aws login`: of a user or of a role's session in the console.
    fn sign_in(&mut self, caller: &Caller) {
        let uuid = self.uuid();
        let arn = format!("arn:aws:signin:us-east-1:{}:session/{uuid}", caller.account);
        // In the console there is no key.
        let mut console = caller.clone();
        let identity = console.identity.as_object_mut().unwrap();
        identity.remove("accessKeyId");
        if let Some(Value::Object(context)) = identity.get_mut("sessionContext") {
            context.remove("signInSessionArn");
        }
        let more = json!({"additionalEventData": {"success": "true", "signInSessionArn": arn}});
        // One of them may stand in a log file that is not read, or both.
        for name in ["AuthorizeOAuth2Access", "CreateOAuth2Token"] {
            if self.random.u8(..4) > 0 {
                self.write(&console, caller.account, "signin", name, &more);
            }
        }
        let mut session = caller.clone();
        session.identity["accessKeyId"] = self.key("ASIA").into();
        session.identity["sessionContext"]["signInSessionArn"] = arn.into();
        self.callers.push(session);
    }

    /// Its log files, as CloudTrail delivers them: in no order within.
    fn files(&mut self) -> Vec<LogFile> {
        let mut files: BTreeMap<(i64, &str, &str), Vec<Record>> = BTreeMap::new();
        for made in &self.made {
            let slot = made.minute / 5 + 1 + made.late;
            let time = made.record["eventTime"].as_str().unwrap().parse().unwrap();
            let record = Record {
                id: made.record["eventID"].as_str().unwrap().to_owned(),
                time,
                json: made.record.to_string(),
            };
            files
                .entry((slot, made.account, made.region))
                .or_default()
                .push(record);
        }
        files
            .into_iter()
            .map(|((slot, account, region), mut records)| {
                self.random.shuffle(&mut records);
                log_file(slot, account, region, records)
            })
            .collect()
    }
}

fn log_file(slot: i64, account: &str, region: &str, records: Vec<Record>) -> LogFile {
    LogFile {
        account: account.into(),
        region: region.into(),
        kind: "CloudTrail".into(),
        time: format_time(parse_time(START) + SignedDuration::from_mins(5 * slot)),
        unique: "kKpX1yDNVlGkbYvT".into(),
        records,
    }
}

fn folder(files: &[LogFile]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in files {
        file.write(folder.path());
    }
    folder
}

/// Whether an answer that was given early is borne out by the one where all is known: it may be shorter, and the
/// account of the caller may have stood for the caller.
fn is_borne_out(early: &Answer, full: &Answer) -> bool {
    let (chain, full_chain) = (text(early, "ct.chain"), text(full, "ct.chain"));
    let (first, rest) = chain.split_once(" > ").unwrap_or((chain, ""));
    let was_account = first.starts_with("account ");
    let ends_with = |end: &str| {
        full_chain == end
            || full_chain
                .strip_suffix(end)
                .is_some_and(|start| start.ends_with(" > "))
    };
    let by_sign_in = text(early, "ct.origin.by") == "signin";
    early.iter().all(|(field, value)| {
        let now = full.get(field);
        let words = (value.as_str(), now.and_then(Value::as_str));
        now == Some(value)
            || match field.as_str() {
                "ct.actor" => false,
                "ct.chain" => {
                    let grows_at = first == "…" || was_account;
                    ends_with(chain) || grows_at && (rest.is_empty() || ends_with(rest))
                }
                "ct.chain.length" => now.is_some_and(|now| now.as_u64() >= value.as_u64()),
                // The session turned out to have been given out by somebody.
                "ct.origin.by" if !was_account => matches!(
                    words,
                    (Some("identity"), Some("key" | "signin")) | (Some("key"), Some("signin"))
                ),
                // Of the events that tell of a sign-in another counts.
                "ct.origin.eventid" => was_account || by_sign_in && now.is_some(),
                _ => was_account,
            }
    })
}

const SEEDS: u64 = 8;
const EVENTS: usize = 400;

#[test]
fn trails_by_seeds_as_an_independent_solution_has_them() {
    let mut ways = BTreeMap::new();
    let mut longest = 0;
    for seed in 0..SEEDS {
        let folder = folder(&World::new(seed, Kind::Wild, EVENTS).files());
        let plugin = Plugin::load("");
        let mut instance = plugin.open(folder.path().to_str().unwrap()).unwrap();
        let (mut events, mut early) = (vec![], vec![]);
        loop {
            let batch = instance.next_batch();
            early.extend(ask_all(&plugin, &batch.events));
            events.extend(batch.events);
            match batch.status {
                Status::Eof => break,
                Status::Failed(error) => panic!("{error}"),
                Status::More | Status::Timeout => {}
            }
        }
        let all = ask_all(&plugin, &events);
        let Some(expected) = solve(&payloads(&events), false) else {
            return;
        };
        assert_same(&all, &expected, &events, &format!("seed {seed}"));
        for ((early, all), event) in early.iter().zip(&all).zip(&events) {
            let truth = &event.json()["truth"];
            // That a key is ambiguous is not known before it was given out again.
            if truth["masked"] != true {
                assert!(
                    is_borne_out(early, all),
                    "{early:?} became {all:?}: {event:?}"
                );
            }
            assert_true(all, truth, event);
            *ways
                .entry(text(all, "ct.origin.by").to_owned())
                .or_insert(0) += 1;
            longest = longest.max(
                all.get("ct.chain.length")
                    .map_or(0, |n| n.as_u64().unwrap()),
            );
        }
    }
    // The trails have something of everything.
    let seen: Vec<&str> = ways.keys().map(String::as_str).collect();
    let each = [
        "",
        "identity",
        "key",
        "onbehalfof",
        "signin",
        "sourceidentity",
    ];
    assert_eq!(seen, each);
    assert!(
        ways.values().all(|count| *count > 20) && longest > 4,
        "{ways:?}, {longest}"
    );
}

/// Nobody else is named than who it was.
fn assert_true(answer: &Answer, truth: &Value, event: &Event) {
    if let Some(arn) = answer.get("ct.origin.arn") {
        assert_eq!(*arn, truth["arn"], "{answer:?} of {event:?}");
    }
    let by = text(answer, "ct.origin.by");
    if !matches!(by, "" | "sourceidentity" | "onbehalfof") {
        let names = truth["names"].as_array().unwrap();
        assert!(
            names.contains(&answer["ct.origin"]),
            "{answer:?} of {event:?}"
        );
    }
}

/// As strato does, which has no source: each event once, in order, and later again.
#[test]
fn without_a_source_what_was_asked_about_before_is_known() {
    for seed in 100..103 {
        let folder = folder(&World::new(seed, Kind::Wild, 250).files());
        let events = Plugin::load("")
            .events(folder.path().to_str().unwrap())
            .unwrap();
        let (Some(so_far), Some(all)) = (
            solve(&payloads(&events), true),
            solve(&payloads(&events), false),
        ) else {
            return;
        };
        assert!(so_far != all, "nothing comes late");
        let plugin = Plugin::load("");
        assert_same(&ask_all(&plugin, &events), &so_far, &events, "first pass");
        assert_same(&ask_all(&plugin, &events), &all, &events, "second pass");
        // Clicks ask in any order.
        let mut some: Vec<usize> = (0..events.len()).collect();
        Rng::with_seed(seed).shuffle(&mut some);
        for index in some {
            assert_eq!(ask(&plugin, &events[index]), all[index]);
        }
    }
}

#[test]
fn a_bucket_gives_the_same_as_a_folder() {
    let files = World::new(200, Kind::Wild, EVENTS).files();
    let aws = Aws::start();
    for file in &files {
        file.put(&aws, "logs");
    }
    let folder = folder(&files);
    let home = Home::make();
    let answers = |plugin: &Plugin, params: &str| -> BTreeMap<String, Answer> {
        let events = plugin.events(params).unwrap();
        let answers = ask_all(plugin, &events);
        events.iter().map(Event::id).zip(answers).collect()
    };
    let bucket = answers(
        &Plugin::load(&home.config(&aws.endpoint(), json!({}))),
        "s3://logs/",
    );
    let folder = answers(&Plugin::load(""), folder.path().to_str().unwrap());
    assert!(bucket.len() > 300);
    assert_eq!(bucket, folder);
}

/// What a condition means, of an answer and its record.
type Keeps<'a> = Box<dyn Fn(&Answer, &Value) -> bool + 'a>;

#[test]
fn conditions_keep_the_events_of_whoever_it_was() {
    let world = World::new(300, Kind::Tidy, EVENTS);
    // Those that give sessions out stand before the others.
    let mut records: Vec<&Value> = world.made.iter().map(|made| &made.record).collect();
    records.sort_by_key(|record| {
        let source = record["eventSource"].as_str().unwrap();
        !matches!(source, "sts.amazonaws.com" | "signin.amazonaws.com")
    });
    let records: Vec<Record> = records
        .into_iter()
        .map(|record| Record {
            id: record["eventID"].as_str().unwrap().to_owned(),
            time: parse_time(START),
            json: record.to_string(),
        })
        .collect();
    let lines: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    let (Some(answers), Some(so_far)) = (solve(&lines, false), solve(&lines, true)) else {
        return;
    };
    assert!(answers == so_far, "what gives sessions out stands before");

    // One log file, and several that are decoded at once.
    let one = folder(&[log_file(1, ACCOUNTS[0], REGIONS[0], records.clone())]);
    let several: Vec<LogFile> = records
        .chunks(40)
        .zip(1..)
        .map(|(records, slot)| log_file(slot, ACCOUNTS[0], REGIONS[0], records.to_vec()))
        .collect();
    let several = folder(&several);

    let key = answers
        .iter()
        .find(|answer| {
            answer.contains_key("ct.origin.accesskeyid") && text(answer, "ct.origin.by") == "key"
        })
        .map(|answer| text(answer, "ct.origin.accesskeyid"))
        .unwrap();
    let is = |field: &'static str, value: &'static str| -> Keeps<'_> {
        Box::new(move |answer, _| text(answer, field) == value)
    };
    let conditions: Vec<(String, Keeps<'_>)> = vec![
        ("ct.origin=alice".into(), is("ct.origin", "alice")),
        (
            format!("ct.origin.accesskeyid={key}"),
            Box::new(|answer, _| text(answer, "ct.origin.accesskeyid") == key),
        ),
        (
            "not ct.origin exists".into(),
            Box::new(|answer, _| !answer.contains_key("ct.origin")),
        ),
        (
            "ct.origin=alice or ct.name=GetObject".into(),
            Box::new(|answer, record| {
                text(answer, "ct.origin") == "alice" || record["eventName"] == "GetObject"
            }),
        ),
        (
            "ct.origin=alice and not ct.actor=alice".into(),
            Box::new(|answer, _| {
                text(answer, "ct.origin") == "alice" && text(answer, "ct.actor") != "alice"
            }),
        ),
        (
            "ct.chain contains \"dev/\"".into(),
            Box::new(|answer, _| text(answer, "ct.chain").contains("dev/")),
        ),
        (
            "ct.chain startswith \"bob > \"".into(),
            Box::new(|answer, _| text(answer, "ct.chain").starts_with("bob > ")),
        ),
        (
            "ct.chain.length>2".into(),
            Box::new(|answer, _| {
                answer
                    .get("ct.chain.length")
                    .is_some_and(|n| n.as_u64().unwrap() > 2)
            }),
        ),
        (
            "ct.origin.by in (signin, onbehalfof)".into(),
            Box::new(|answer, _| matches!(text(answer, "ct.origin.by"), "signin" | "onbehalfof")),
        ),
        (
            "ct.origin.accountid!=111122223333".into(),
            Box::new(|answer, _| {
                answer
                    .get("ct.origin.accountid")
                    .is_some_and(|account| account != "111122223333")
            }),
        ),
    ];
    for (condition, keeps) in &conditions {
        let expected: BTreeSet<&str> = records
            .iter()
            .zip(&answers)
            .filter(|(record, answer)| keeps(answer, &serde_json::from_str(&record.json).unwrap()))
            .map(|(record, _)| record.id.as_str())
            .collect();
        assert!(
            expected.len() > 2 && expected.len() < records.len(),
            "{condition} keeps {} of {}",
            expected.len(),
            records.len()
        );
        for folder in [&one, &several] {
            let plugin = Plugin::load(&json!({"filter": condition}).to_string());
            let events = plugin.events(folder.path().to_str().unwrap()).unwrap();
            let kept: Vec<String> = events.iter().map(Event::id).collect();
            let kept_ids: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
            assert_eq!(kept_ids, expected, "{condition}");
            // What was left out is known of those that are kept.
            for (event, id) in events.iter().zip(&kept) {
                let index = records.iter().position(|record| record.id == *id).unwrap();
                assert_eq!(ask(&plugin, event), answers[index], "{condition}");
            }
        }
    }
}

// Small stories.

const A: &str = "111122223333";
const B: &str = "444455556666";

fn key(n: usize) -> String {
    format!("ASIA{n:016}")
}

fn alice() -> Value {
    json!({"type": "IAMUser", "arn": format!("arn:aws:iam::{A}:user/alice"), "accountId": A, "accessKeyId": "AKIA0000000000ALICE0", "userName": "alice"})
}

fn bob() -> Value {
    json!({"type": "IAMUser", "arn": format!("arn:aws:iam::{A}:user/bob"), "accountId": A, "accessKeyId": "AKIA0000000000BOB000", "userName": "bob"})
}

fn role(account: &str, name: &str, key: &str) -> Value {
    json!({"type": "AssumedRole", "arn": format!("arn:aws:sts::{account}:assumed-role/{name}"), "accountId": account, "accessKeyId": key})
}

/// An event; `more` replaces and adds members.
fn event(id: &str, identity: &Value, source: &str, name: &str, more: Value) -> Value {
    let mut record = json!({"eventID": id, "eventTime": "2026-07-01T00:00:00Z", "eventSource": format!("{source}.amazonaws.com"), "eventName": name, "awsRegion": "eu-west-1", "recipientAccountId": A, "userIdentity": identity});
    let Value::Object(more) = more else {
        unreachable!("an object")
    };
    record.as_object_mut().unwrap().extend(more);
    record
}

fn assume(id: &str, caller: &Value, key: &str) -> Value {
    let response = json!({"credentials": {"accessKeyId": key}});
    event(
        id,
        caller,
        "sts",
        "AssumeRole",
        json!({"responseElements": response}),
    )
}

fn get(id: &str, caller: &Value) -> Value {
    event(id, caller, "s3", "GetObject", json!({}))
}

/// A folder with a log file of each of these.
fn story(files: &[Vec<Value>]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (number, records) in files.iter().enumerate() {
        let records: Vec<String> = records.iter().map(Value::to_string).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let name = format!("{A}_CloudTrail_eu-west-1_20260701T{number:02}00Z_x.json");
        trail::write(&folder.path().join(name), &log_text(&records));
    }
    folder
}

/// What is said of each event of a story, by its ID, when all is read.
fn told(files: &[Vec<Value>], config: &Value) -> BTreeMap<String, Answer> {
    let folder = story(files);
    let config = match config {
        Value::Null => String::new(),
        config => config.to_string(),
    };
    let plugin = Plugin::load(&config);
    let events = plugin.events(folder.path().to_str().unwrap()).unwrap();
    let answers = ask_all(&plugin, &events);
    events.iter().map(Event::id).zip(answers).collect()
}

fn chain(told: &BTreeMap<String, Answer>, id: &str) -> String {
    text(&told[id], "ct.chain").to_owned()
}

#[test]
fn a_chain_over_two_roles_begins_with_the_user_and_his_key() {
    let (dev, admin) = (
        role(A, "dev/alice-dev", &key(1)),
        role(B, "admin/x1", &key(2)),
    );
    let events = vec![
        assume("1", &alice(), &key(1)),
        assume("2", &dev, &key(2)),
        get("3", &admin),
    ];
    let told = told(&[events], &Value::Null);
    let expected: Answer = [
        ("ct.actor", json!("admin/x1")),
        ("ct.origin", json!("alice")),
        ("ct.origin.by", json!("key")),
        (
            "ct.origin.arn",
            json!(format!("arn:aws:iam::{A}:user/alice")),
        ),
        ("ct.origin.accountid", json!(A)),
        ("ct.origin.accesskeyid", json!("AKIA0000000000ALICE0")),
        ("ct.origin.eventid", json!("1")),
        ("ct.chain", json!("alice > dev/alice-dev > admin/x1")),
        ("ct.chain.length", json!(3)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    assert_eq!(told["3"], expected);
}

#[test]
fn a_key_that_two_events_gave_out_leads_nowhere() {
    let session = role(A, "dev/x", &key(1));
    for second in [bob(), alice()] {
        let events = vec![
            assume("1", &alice(), &key(1)),
            get("2", &session),
            assume("3", &second, &key(1)),
        ];
        let told = told(&[events], &Value::Null);
        assert_eq!(chain(&told, "2"), "… > dev/x");
        assert!(!told["2"].contains_key("ct.origin"), "{told:?}");
    }
}

#[test]
fn an_event_that_is_delivered_twice_gave_its_key_out_once() {
    let session = role(A, "dev/x", &key(1));
    let given = assume("1", &alice(), &key(1));
    let told = told(
        &[vec![given.clone(), get("2", &session)], vec![given]],
        &Value::Null,
    );
    assert_eq!(chain(&told, "2"), "alice > dev/x");
}

#[test]
fn of_the_copies_of_both_accounts_the_callers_counts() {
    let owners = json!({"type": "AWSAccount", "principalId": "AIDAEXAMPLE", "accountId": A});
    let copy = |id: &str, caller: &Value| {
        let mut copy = assume(id, caller, &key(1));
        copy["sharedEventID"] = "s".into();
        copy
    };
    let session = role(B, "admin/x", &key(1));
    // Whatever the order of the two and of their event IDs.
    for ids in [["1", "2"], ["2", "1"]] {
        let (callers, owners) = (copy(ids[0], &alice()), copy(ids[1], &owners));
        for copies in [[&callers, &owners], [&owners, &callers]] {
            let [first, second] = copies.map(Clone::clone);
            let told = told(
                &[vec![first], vec![get("3", &session)], vec![second]],
                &Value::Null,
            );
            assert_eq!(chain(&told, "3"), "alice > admin/x");
            assert_eq!(told["3"]["ct.origin.eventid"], ids[0]);
        }
        let told = told(&[vec![owners.clone(), get("3", &session)]], &Value::Null);
        assert_eq!(chain(&told, "3"), format!("account {A} > admin/x"));
        assert_eq!(told["3"]["ct.origin"], format!("account {A}"));
    }
}

#[test]
fn a_session_is_known_wherever_its_beginning_stands() {
    let session = role(A, "dev/x", &key(1));
    let told = told(
        &[
            vec![get("2", &session)],
            vec![assume("1", &alice(), &key(1))],
        ],
        &Value::Null,
    );
    assert_eq!(chain(&told, "2"), "alice > dev/x");
}

/// A bucket with a log file of one event each, and the keys of its objects.
fn bucket(events: &[Value]) -> (Aws, Vec<String>) {
    let aws = Aws::start();
    aws.put_in("eu-west-1", "logs");
    let mut maker = Maker::new(1);
    let files = events.iter().enumerate().map(|(minute, event)| {
        let time = format!("20260701T00{minute:02}Z");
        let mut file = maker.file(A, "eu-west-1", &time, 0);
        file.records.push(Record {
            id: event["eventID"].as_str().unwrap().to_owned(),
            time: parse_time(&time),
            json: event.to_string(),
        });
        file.put(&aws, "logs");
        file.key("")
    });
    let keys = files.collect();
    (aws, keys)
}

#[test]
fn the_next_eight_log_files_are_looked_at_before_one_is_handed_over() {
    let mut events: Vec<Value> = (0..12).map(|n| get(&n.to_string(), &bob())).collect();
    events[1] = get("used", &role(A, "dev/x", &key(1)));
    events[9] = assume("given", &alice(), &key(1));
    let (aws, keys) = bucket(&events);
    let late = keys[9].clone();
    aws.fault(
        move |request| request.op == Op::GetObject && request.key.ends_with(&late),
        Fault::Delay(Duration::from_millis(500)),
    );
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), json!({})));
    let mut instance = plugin.open("s3://logs/AWSLogs/").unwrap();
    let mut chains = BTreeMap::new();
    while chains.len() < events.len() {
        // Each is asked about as soon as it is there.
        for event in instance.next_batch().events {
            chains.insert(
                event.id(),
                text(&ask(&plugin, &event), "ct.chain").to_owned(),
            );
        }
    }
    assert_eq!(chains["used"], "alice > dev/x");
}

#[test]
fn a_bucket_that_is_followed_tells_it_over_its_listings() {
    let aws = Aws::start();
    aws.put_in("eu-west-1", "logs");
    let mut maker = Maker::new(1);
    let mut minute = 0;
    let mut deliver = |events: &[Value]| {
        let time = format!("20260701T00{minute:02}Z");
        minute += 1;
        let mut file = maker.file(A, "eu-west-1", &time, 0);
        file.records.extend(events.iter().map(|event| Record {
            id: event["eventID"].as_str().unwrap().to_owned(),
            time: parse_time(&time),
            json: event.to_string(),
        }));
        file.put(&aws, "logs");
    };
    let home = Home::make();
    let config = json!({"s3Follow": true, "s3PollInterval": 1});
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
    let (dev, admin) = (role(A, "dev/x", &key(1)), role(B, "admin/y", &key(2)));
    deliver(&[assume("1", &alice(), &key(1))]);
    let mut instance = plugin.open("s3://logs/AWSLogs/").unwrap();
    let mut read = |count: usize| {
        let read = instance.read_while(Duration::from_secs(100), |read| read.len() < count);
        assert_eq!((read.error, read.events.len()), (None, count));
        let chains = read.events.iter().map(|event| {
            let answer = ask(&plugin, event);
            (event.id(), text(&answer, "ct.chain").to_owned())
        });
        chains.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(read(1)["1"], "alice");
    // Each comes with a later listing than the one before.
    deliver(&[get("2", &dev), get("3", &admin)]);
    let second = read(2);
    assert_eq!(second["2"], "alice > dev/x");
    assert_eq!(second["3"], "\u{2026} > admin/y");
    deliver(&[assume("4", &dev, &key(2))]);
    assert_eq!(read(1)["4"], "alice > dev/x");
    deliver(&[get("5", &admin)]);
    assert_eq!(read(1)["5"], "alice > dev/x > admin/y");
}

/// Each source feeds the same decoders; that none goes past them is seen here.
#[test]
fn a_queue_and_an_event_history_tell_it_as_well() {
    let mut events = captured();
    let now = jiff::Timestamp::now() - SignedDuration::from_hours(1);
    for event in &mut events {
        event["eventTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    let (aws, keys) = bucket(&events);
    aws.queues().create("trail", Duration::from_secs(300));
    let message = json!({"s3Bucket": "logs", "s3ObjectKey": keys});
    aws.queues().send("trail", message.to_string());
    let records: Vec<Record> = events
        .iter()
        .map(|event| Record {
            id: event["eventID"].as_str().unwrap().to_owned(),
            time: now,
            json: event.to_string(),
        })
        .collect();
    aws.history().add("eu-west-1", &records);
    let home = Home::make();
    for url in ["sqs://trail", "cloudtrail://eu-west-1"] {
        let plugin = Plugin::load(&home.config(&aws.endpoint(), json!({})));
        let mut instance = plugin.open(url).unwrap();
        let all = events.len();
        let read = instance.read_while(Duration::from_secs(100), |read| read.len() < all);
        assert_eq!((read.error, read.events.len()), (None, all), "{url}");
        let answers = ask_all(&plugin, &read.events);
        let Some(expected) = solve(&payloads(&read.events), false) else {
            return;
        };
        assert_same(&answers, &expected, &read.events, url);
        let of_alice = |answer: &&Answer| text(answer, "ct.origin") == "alice";
        assert_eq!(answers.iter().filter(of_alice).count(), 5, "{url}");
    }
}

#[test]
fn a_log_file_that_can_not_be_had_holds_none_before_it_up_for_long() {
    let events: Vec<Value> = (0..12).map(|n| get(&n.to_string(), &bob())).collect();
    let (aws, keys) = bucket(&events);
    let stalled = keys[9].clone();
    aws.fault(
        move |request| request.op == Op::GetObject && request.key.ends_with(&stalled),
        Fault::Stall,
    );
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), json!({})));
    let mut instance = plugin.open("s3://logs/AWSLogs/").unwrap();
    let read = instance.read_while(Duration::from_secs(100), |all| all.len() < 9);
    assert_eq!((read.error, read.events.len()), (None, 9));
}

#[test]
fn a_chain_is_followed_sixteen_times_at_most() {
    for hops in [16, 17] {
        let mut events = vec![assume("0", &alice(), &key(1))];
        for n in 1..hops {
            let session = role(A, &format!("r/{n}"), &key(n));
            events.push(assume(&n.to_string(), &session, &key(n + 1)));
        }
        let last = role(A, &format!("r/{hops}"), &key(hops));
        events.push(get("last", &last));
        let told = told(&[events], &Value::Null);
        let chain = chain(&told, "last");
        if hops == 16 {
            assert!(chain.starts_with("alice > r/1 > r/2 > "), "{chain}");
            assert_eq!(told["last"]["ct.chain.length"], 17);
        } else {
            assert!(chain.starts_with("… > r/1 > r/2 > "), "{chain}");
            assert_eq!(told["last"]["ct.chain.length"], 17);
            assert!(!told["last"].contains_key("ct.origin"), "{told:?}");
        }
    }
}

#[test]
fn a_session_that_asked_for_itself_has_no_beginning() {
    let session = role(A, "dev/x", &key(1));
    let told = told(
        &[vec![assume("1", &session, &key(1)), get("2", &session)]],
        &Value::Null,
    );
    assert!(!told["2"].contains_key("ct.origin"), "{told:?}");
    assert!(chain(&told, "2").starts_with("… > dev/x"), "{told:?}");
}

#[test]
fn events_that_a_filter_or_an_interval_leaves_out_are_noted_all_the_same() {
    let session = role(A, "dev/x", &key(1));
    let mut given = assume("1", &alice(), &key(1));
    given["eventTime"] = "2026-06-30T23:59:00Z".into();
    let events = [vec![given, get("2", &session)]];
    for config in [
        json!({"filter": "ct.name=GetObject"}),
        json!({"filter": "ct.src!=sts.amazonaws.com"}),
        json!({"s3Interval": "2026-07-01T00:00:00Z-2026-07-02T00:00:00Z", "s3IntervalOf": "event"}),
        json!({"s3Interval": "2026-07-01T00:00:00Z-2026-07-02T00:00:00Z", "s3IntervalOf": "event", "filter": "ct.origin=alice"}),
    ] {
        let told = told(&events, &config);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["2"], "{config}");
        assert_eq!(chain(&told, "2"), "alice > dev/x", "{config}");
    }
}

#[test]
fn what_redaction_hides_leads_nowhere_and_is_not_told() {
    let session = role(A, "dev/x", &key(1));
    let events = [vec![assume("1", &alice(), &key(1)), get("2", &session)]];
    let hidden = json!({"redact": "/responseElements/credentials/accessKeyId"});
    assert_eq!(chain(&told(&events, &hidden), "2"), "… > dev/x");
    let hidden = json!({"redact": "/userIdentity/userName,/userIdentity/arn"});
    let told = told(&events, &hidden);
    let said = format!("{:?}", told["2"]);
    assert!(!said.contains("alice"), "{said}");
}

#[test]
fn somebody_who_is_called_as_a_member_does_not_hide_by_that() {
    let mut caller = alice();
    caller["userName"] = "eventSource".into();
    let session = role(A, "dev/x", &key(1));
    let events = [vec![assume("1", &caller, &key(1)), get("2", &session)]];
    let told = told(&events, &json!({"filter": "ct.name=GetObject"}));
    assert_eq!(chain(&told, "2"), "eventSource > dev/x");
}

#[test]
fn what_redaction_makes_alike_joins_nobody() {
    let arn = |n| format!("arn:aws:signin:us-east-1:{A}:session/{n}");
    let more = json!({"additionalEventData": {"signInSessionArn": arn(1)}});
    let sign_in = event("1", &alice(), "signin", "AuthorizeOAuth2Access", more);
    let mut other = role(A, "dev/bob", &key(9));
    other["sessionContext"] = json!({"signInSessionArn": arn(2)});
    let events = [vec![sign_in, get("2", &other)]];
    let hidden = json!({"redact": "/**/signInSessionArn"});
    assert_eq!(chain(&told(&events, &hidden), "2"), "… > dev/bob");

    // A key that two events gave out, which only their IDs tell apart.
    let session = role(A, "dev/x", &key(1));
    let events = [vec![
        assume("1", &alice(), &key(1)),
        assume("2", &bob(), &key(1)),
        get("3", &session),
    ]];
    for config in [Value::Null, json!({"redact": "/eventID"})] {
        let told = told(&events, &config);
        let mut chains = told.values().map(|answer| text(answer, "ct.chain"));
        assert!(chains.any(|chain| chain == "… > dev/x"), "{told:?}");
    }
}

#[test]
fn a_session_is_only_that_of_whom_it_was_given_to() {
    let given = |name: &str, more: Value| {
        let mut given = assume("1", &alice(), &key(1));
        given["eventName"] = name.into();
        given
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        given
    };
    let used = |identity: &Value, given: &Value| {
        let told = told(&[vec![given.clone(), get("2", identity)]], &Value::Null);
        chain(&told, "2")
    };
    let with_key = |mut identity: Value| {
        identity["accessKeyId"] = key(1).into();
        identity
    };
    let own = given("GetSessionToken", json!({}));
    assert_eq!(used(&with_key(alice()), &own), "alice > alice");
    assert_eq!(used(&with_key(bob()), &own), "bob");
    assert_eq!(used(&role(A, "dev/x", &key(1)), &own), "… > dev/x");
    let root = |account: &str| json!({"type": "Root", "arn": format!("arn:aws:iam::{account}:root"), "accountId": account, "accessKeyId": key(1), "sessionContext": {"assumedRoot": "true"}});
    let of_b = given(
        "AssumeRoot",
        json!({"requestParameters": {"targetPrincipal": B}}),
    );
    assert_eq!(used(&root(B), &of_b), "alice > root");
    assert_eq!(used(&root(A), &of_b), "… > root");
}

#[test]
fn a_sign_in_of_which_two_identities_tell_leads_nowhere() {
    let arn = format!("arn:aws:signin:us-east-1:{A}:session/1");
    let sign_in = |id: &str, name: &str, mut identity: Value| {
        identity.as_object_mut().unwrap().remove("accessKeyId");
        let more = json!({"additionalEventData": {"signInSessionArn": arn}});
        event(id, &identity, "signin", name, more)
    };
    let mut session = role(A, "dev/x", &key(1));
    session["sessionContext"] = json!({"signInSessionArn": arn});
    // What tells most of a sign-in counts, or else the smallest event ID.
    for (names, expected) in [
        (["CreateOAuth2Token", "AuthorizeOAuth2Access"], "2"),
        (["AuthorizeOAuth2Access", "CreateOAuth2Token"], "1"),
        (["CreateOAuth2Token", "CreateOAuth2Token"], "1"),
    ] {
        let one = |name| sign_in("1", name, alice());
        let two = |name| sign_in("2", name, alice());
        for events in [
            vec![one(names[0]), two(names[1]), get("3", &session)],
            vec![two(names[1]), one(names[0]), get("3", &session)],
        ] {
            let told = told(&[events], &Value::Null);
            assert_eq!(chain(&told, "3"), "alice > dev/x");
            assert_eq!(told["3"]["ct.origin.by"], "signin");
            assert_eq!(told["3"]["ct.origin.eventid"], expected);
        }
    }
    let two = [
        sign_in("1", "AuthorizeOAuth2Access", alice()),
        sign_in("2", "CreateOAuth2Token", bob()),
    ];
    let [one, two] = two;
    let told = told(&[vec![one, two, get("3", &session)]], &Value::Null);
    assert_eq!(chain(&told, "3"), "… > dev/x");
}

#[test]
fn a_user_who_signs_in_by_the_command_line_is_named_once() {
    let arn = format!("arn:aws:signin:us-east-1:{A}:session/1");
    let mut console = alice();
    console.as_object_mut().unwrap().remove("accessKeyId");
    let mut session = alice();
    session["accessKeyId"] = key(1).into();
    session["sessionContext"] = json!({"signInSessionArn": arn});
    let more = json!({"additionalEventData": {"signInSessionArn": arn}});
    let told = told(
        &[vec![
            event("1", &console, "signin", "AuthorizeOAuth2Access", more),
            assume("2", &session, &key(2)),
            get("3", &role(A, "dev/x", &key(2))),
        ]],
        &Value::Null,
    );
    for (id, expected) in [("2", "alice"), ("3", "alice > dev/x")] {
        assert_eq!(chain(&told, id), expected);
        assert_eq!(told[id]["ct.origin.by"], "signin");
        assert_eq!(told[id]["ct.origin.eventid"], "1");
        assert!(!told[id].contains_key("ct.origin.accesskeyid"), "{told:?}");
    }
}

#[test]
fn a_sign_in_by_a_session_of_a_sign_in_leads_to_the_first() {
    let arn = |n| format!("arn:aws:signin:us-east-1:{A}:session/{n}");
    let mut user = alice();
    user.as_object_mut().unwrap().remove("accessKeyId");
    let session = |n| {
        let mut session = user.clone();
        session["sessionContext"] = json!({"signInSessionArn": arn(n)});
        session
    };
    let sign_in = |id: &str, identity: &Value, n| {
        let more = json!({"additionalEventData": {"signInSessionArn": arn(n)}});
        event(id, identity, "signin", "AuthorizeOAuth2Access", more)
    };
    let told = told(
        &[vec![
            sign_in("1", &user, 1),
            sign_in("2", &session(1), 2),
            get("3", &session(2)),
        ]],
        &Value::Null,
    );
    for id in ["2", "3"] {
        assert_eq!(chain(&told, id), "alice");
        assert_eq!(told[id]["ct.origin.eventid"], "1");
    }
}

#[test]
fn a_source_identity_is_the_origin_whatever_the_chain_by_keys_begins_with() {
    let mut dev = role(A, "dev/x", &key(1));
    dev["sessionContext"] = json!({"sourceIdentity": "mallory"});
    let told = told(
        &[vec![
            assume("1", &bob(), &key(1)),
            assume("2", &dev, &key(2)),
            // The nearest identity up its chain has it.
            get("3", &role(B, "admin/y", &key(2))),
        ]],
        &Value::Null,
    );
    assert_eq!(told["3"]["ct.origin"], "mallory");
    assert_eq!(told["3"]["ct.origin.by"], "sourceidentity");
    assert_eq!(
        told["3"]["ct.origin.arn"],
        format!("arn:aws:iam::{A}:user/bob")
    );
    assert_eq!(chain(&told, "3"), "bob > dev/x > admin/y");
    // Who asked for the session, asked for it as himself.
    assert_eq!(told["1"]["ct.origin"], "bob");
}

#[test]
fn names_in_a_chain_are_told_apart_from_its_arrows() {
    let mut odd = alice();
    odd["userName"] = "a > b\\c".into();
    let told = told(
        &[vec![
            assume("1", &odd, &key(1)),
            get("2", &role(A, "dev/x>y", &key(1))),
        ]],
        &Value::Null,
    );
    assert_eq!(chain(&told, "2"), r"a \> b\\c > dev/x\>y");
    assert_eq!(told["2"]["ct.origin"], "a > b\\c");
}

// In hosts.

/// Three sessions are given out within the first eight events, one of which is used before that.
fn captured() -> Vec<Value> {
    let dev = role(A, "dev/alice-dev", &key(1));
    let admin = role(B, "admin/x1", &key(2));
    let owners = json!({"type": "AWSAccount", "principalId": "AIDAEXAMPLE", "accountId": A});
    let late = role(A, "dev/bob-dev", &key(3));
    let copy = |id: &str, caller: &Value| {
        let mut copy = assume(id, caller, &key(2));
        copy["sharedEventID"] = "s".into();
        copy
    };
    vec![
        get("early", &late),
        assume("alice-dev", &alice(), &key(1)),
        copy("owners", &owners),
        copy("callers", &dev),
        get("between", &dev),
        assume("bob-dev", &bob(), &key(3)),
        get("bob", &bob()),
        get("alice", &alice()),
        get("used", &admin),
        get("late", &late),
        get("broken", &role(A, "dev/z", &key(9))),
    ]
}

const SHOWN: &str =
    "*%ct.id|%ct.origin|%ct.origin.by|%ct.origin.accesskeyid|%ct.chain|%ct.chain.length";
#[rustfmt::skip]
const LINES: [&str; 11] = [
    "early|<NA>|<NA>|<NA>|… > dev/bob-dev|1",
    "alice-dev|alice|identity|AKIA0000000000ALICE0|alice|1",
    "owners|account 111122223333|identity|<NA>|account 111122223333|1",
    "callers|alice|key|AKIA0000000000ALICE0|alice > dev/alice-dev|2",
    "between|alice|key|AKIA0000000000ALICE0|alice > dev/alice-dev|2",
    "bob-dev|bob|identity|AKIA0000000000BOB000|bob|1",
    "bob|bob|identity|AKIA0000000000BOB000|bob|1",
    "alice|alice|identity|AKIA0000000000ALICE0|alice|1",
    "used|alice|key|AKIA0000000000ALICE0|alice > dev/alice-dev > admin/x1|3",
    "late|bob|key|AKIA0000000000BOB000|bob > dev/bob-dev|2",
    "broken|<NA>|<NA>|<NA>|… > dev/z|1",
];
/// The first of them where all is known.
const EARLY: &str = "early|bob|key|AKIA0000000000BOB000|bob > dev/bob-dev|2";

/// The lines of these events.
fn lines(ids: &[&str]) -> Vec<&'static str> {
    ids.iter()
        .map(|id| {
            let start = format!("{id}|");
            *LINES.iter().find(|line| line.starts_with(&start)).unwrap()
        })
        .collect()
}

#[test]
fn sysdig_tells_whoever_it_was() {
    let Some(hosts) = Hosts::new("origin-sysdig") else {
        return;
    };
    let folder = story(&[captured()]);
    let trail = folder.path().to_str().unwrap();
    let shown = hosts.sysdig(trail, "", &["-p", SHOWN]);
    // The whole log file is read before its first event is handed over.
    assert_eq!(shown[0], EARLY);
    assert_eq!(shown[1..], LINES[1..]);
    for (filter, ids) in [
        (
            "ct.origin=alice and ct.name=GetObject",
            &["between", "alice", "used"][..],
        ),
        (
            "ct.origin.accesskeyid=AKIA0000000000BOB000 and ct.id!=early",
            &["bob-dev", "bob", "late"],
        ),
        ("ct.chain contains \"dev/alice-dev >\"", &["used"]),
        ("ct.chain.length>2", &["used"]),
        ("not ct.origin exists and ct.id!=early", &["broken"]),
    ] {
        let shown = hosts.sysdig(trail, "", &["-p", SHOWN, filter]);
        assert_eq!(shown, lines(ids), "{filter}");
    }
    // The plugin's own filter leaves out what gave the sessions out.
    let config = json!({"filter": "ct.name=GetObject"}).to_string();
    let shown = hosts.sysdig(trail, &config, &["-p", SHOWN, "ct.id!=early"]);
    let ids = ["between", "bob", "alice", "used", "late", "broken"];
    assert_eq!(shown, lines(&ids));
}

#[test]
fn captures_are_read_back_with_whoever_it_was() {
    let Some(hosts) = Hosts::new("origin-captures") else {
        return;
    };
    let folder = story(&[captured()]);
    let output = hosts.falcodump(folder.path().to_str().unwrap(), "origin.scap", &[]);
    assert!(output.status.success(), "{output:?}");
    let plugin = hosts.plugin.display().to_string();
    let sysdig = |filter: &str| -> Vec<String> {
        let shown = hosts.stdout(&[
            "sysdig",
            "-H",
            &plugin,
            "-r",
            "origin.scap",
            "-p",
            SHOWN,
            filter,
        ]);
        shown.lines().map(str::to_owned).collect()
    };
    assert_eq!(sysdig("evt.num>0"), LINES);
    // Nothing is asked of the first eight.
    assert_eq!(sysdig("evt.num>8"), lines(&["used", "late", "broken"]));
    assert_eq!(sysdig("evt.num>8 and ct.origin=alice"), lines(&["used"]));
    assert_eq!(
        sysdig("evt.num>8 and ct.chain contains bob"),
        lines(&["late"])
    );

    let strato = |more: &[&str]| -> Vec<String> {
        let mut all = vec![
            "strato",
            "-r",
            "origin.scap",
            "-T",
            "fields",
            "-E",
            "separator=|",
        ];
        let fields = SHOWN.trim_start_matches('*').split('|');
        let fields: Vec<&str> = fields.map(|field| field.trim_start_matches('%')).collect();
        all.extend(fields.iter().flat_map(|field| ["-e", field]));
        all.extend(more);
        hosts.stdout(&all).lines().map(str::to_owned).collect()
    };
    let blank = |lines: Vec<&str>| -> Vec<String> {
        lines.iter().map(|line| line.replace("<NA>", "")).collect()
    };
    assert_eq!(strato(&[]), blank(LINES.to_vec()));
    assert_eq!(
        strato(&["-Y", "ct.origin == \"alice\" && ct.name == \"GetObject\""]),
        blank(lines(&["between", "alice", "used"]))
    );
    // The second pass knows what the first has read.
    let mut all = LINES;
    all[0] = EARLY;
    assert_eq!(strato(&["-2"]), blank(all.to_vec()));
    assert_eq!(
        strato(&["-2", "-Y", "ct.chain.length == 3"]),
        blank(lines(&["used"]))
    );
}

// On real records.

/// Keys of the samples are masked, often by the same letters: nobody may be taken for somebody else by them.
#[test]
fn no_session_of_the_samples_is_joined_by_a_masked_key() {
    let Some(samples) = shared::folder("cloudtrail-samples") else {
        return;
    };
    for set in ["trail", "records"] {
        let plugin = Plugin::load("");
        let events = plugin.events(samples.join(set).to_str().unwrap()).unwrap();
        let answers = ask_all(&plugin, &events);
        for (answer, event) in answers.iter().zip(&events) {
            assert!(
                !matches!(text(answer, "ct.origin.by"), "key" | "signin"),
                "{answer:?}: {event:?}"
            );
        }
        let Some(expected) = solve(&payloads(&events), false) else {
            return;
        };
        assert_same(&answers, &expected, &events, set);
    }
}
