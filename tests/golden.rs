//! The events and fields of the official plugin, on real records, and every rule by which ours
//! differ from them. `../shared/golden` says what it gives, `../shared/docs/fields.md` the rules.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use harness::{
    host::{Event, Extracted, Fields, Library, Plugin},
    shared::{self, Golden},
};
use serde_json::{Value, json, value::RawValue};

/// How many records there are, and how many of them the official plugin gives.
const SETS: [(&str, usize, usize); 2] = [("trail", 2900, 2900), ("records", 1025, 898)];

/// How many fields the official plugin has; ours come after them, see `tests/fields.rs`.
const OFFICIAL: usize = 73;

/// Fields whose value is that at a path, whatever its type.
const SCALARS: &[(&str, &str)] = &[
    ("ct.id", "eventID"),
    ("ct.error", "errorCode"),
    ("ct.errormessage", "errorMessage"),
    ("ct.time", "eventTime"),
    ("ct.src", "eventSource"),
    ("ct.name", "eventName"),
    ("ct.user.identitytype", "userIdentity.type"),
    ("ct.user.principalid", "userIdentity.principalId"),
    ("ct.user.arn", "userIdentity.arn"),
    ("ct.region", "awsRegion"),
    ("ct.response.subnetid", "responseElements.subnetId"),
    (
        "ct.response.reservationid",
        "responseElements.reservationId",
    ),
    (
        "ct.request.availabilityzone",
        "requestParameters.availabilityZone",
    ),
    ("ct.request.cluster", "requestParameters.cluster"),
    ("ct.request.functionname", "requestParameters.functionName"),
    ("ct.request.groupname", "requestParameters.groupName"),
    ("ct.request.host", "requestParameters.Host"),
    ("ct.request.name", "requestParameters.name"),
    ("ct.request.policy", "requestParameters.policy"),
    ("ct.request.reason", "requestParameters.reason"),
    ("ct.request.target", "requestParameters.target"),
    ("ct.request.documentname", "requestParameters.documentName"),
    ("ct.request.serialnumber", "requestParameters.serialNumber"),
    ("ct.request.servicename", "requestParameters.serviceName"),
    ("ct.request.subnetid", "requestParameters.subnetId"),
    (
        "ct.request.taskdefinition",
        "requestParameters.taskDefinition",
    ),
    ("ct.request.username", "requestParameters.userName"),
    ("ct.srcip", "sourceIPAddress"),
    ("ct.useragent", "userAgent"),
    ("ct.requestid", "requestID"),
    ("ct.eventtype", "eventType"),
    ("ct.apiversion", "apiVersion"),
    ("ct.recipientaccountid", "recipientAccountId"),
    ("ct.serviceeventdetails", "serviceEventDetails"),
    ("ct.sharedeventid", "sharedEventID"),
    ("ct.vpcendpointid", "vpcEndpointId"),
    ("ct.eventcategory", "eventCategory"),
    ("ct.addendum.reason", "addendum.reason"),
    ("ct.addendum.updatedfields", "addendum.updatedFields"),
    (
        "ct.addendum.originalrequestid",
        "addendum.originalRequestID",
    ),
    ("ct.addendum.originaleventid", "addendum.originalEventID"),
    ("ct.edgedevicedetails", "edgeDeviceDetails"),
    ("ct.tlsdetails.tlsversion", "tlsDetails.tlsVersion"),
    ("ct.tlsdetails.ciphersuite", "tlsDetails.cipherSuite"),
    (
        "ct.tlsdetails.clientprovidedhostheader",
        "tlsDetails.clientProvidedHostHeader",
    ),
    ("s3.bucket", "requestParameters.bucketName"),
    ("s3.key", "requestParameters.key"),
    ("ecr.repository", "requestParameters.repositoryName"),
    ("ecr.imagetag", "requestParameters.imageTag"),
    ("iam.role", "requestParameters.roleName"),
    ("iam.policy", "requestParameters.policyName"),
];

const BOOLEANS: &[(&str, &str)] = &[
    ("ct.managementevent", "managementEvent"),
    ("ct.readonly", "readOnly"),
    (
        "ct.sessioncredentialfromconsole",
        "sessionCredentialFromConsole",
    ),
];

const JSON_TEXTS: &[(&str, &str)] = &[
    ("ct.request", "requestParameters"),
    ("ct.response", "responseElements"),
    ("ct.additionaleventdata", "additionalEventData"),
];

/// A value's own bytes.
fn token<'a>(record: &'a str, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(record, |json, key| {
        let object: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
        Some(object.get(key)?.get())
    })
}

/// A value as text, with its byte range.
fn found(record: &str, token: &str, text: impl Into<String>) -> Extracted {
    let start = token.as_ptr() as usize - record.as_ptr() as usize;
    let value = Value::String(text.into());
    Extracted {
        value,
        range: Some((start as u32, token.len() as u32)),
    }
}

/// What a scalar field gives: a string's text, nothing for null, the JSON text of anything else.
fn scalar(record: &str, path: &str) -> Option<Extracted> {
    let token = token(record, path)?;
    match serde_json::from_str(token).unwrap() {
        Value::Null => None,
        Value::String(text) => Some(found(record, token, text)),
        _ => Some(found(record, token, token)),
    }
}

/// The event in a few words, made of its other fields.
fn summary(fields: &Fields) -> String {
    let get = |name: &str| fields.get(name).and_then(|field| field.value.as_str());
    let mut words = vec![];
    let user = get("ct.user").or_else(|| get("ct.user.identitytype"));
    words.extend(user.map(str::to_owned));
    let source = get("ct.srcip").filter(|ip| Some(*ip) != user);
    words.extend(source.map(|ip| {
        if user.is_some() {
            format!("via {ip}")
        } else {
            ip.to_owned()
        }
    }));
    let arrow = if get("ct.readonly") == Some("false") {
        "→"
    } else {
        "←"
    };
    let mark = match get("ct.error") {
        None | Some("") => "",
        Some(_) => "!",
    };
    words.push(format!("{mark}{arrow}"));
    words.extend(get("ct.name").map(str::to_owned));
    if let Some(bytes) = fields.get("s3.bytes") {
        words.push(format!("Size={}", bytes.value));
    }
    let detail = [
        ("s3.uri", "URI"),
        ("s3.bucket", "Bucket"),
        ("s3.key", "Key"),
        ("ct.request.host", "Host"),
    ];
    let detail = detail
        .iter()
        .find_map(|(name, word)| Some(format!("{word}={}", get(name)?)));
    words.extend(detail.filter(|_| get("ct.name") != Some("PutBucketPublicAccessBlock")));
    words.join(" ")
}

/// The event as a string, made of its fields.
fn string(fields: &Fields) -> String {
    let get = |name: &str| fields.get(name).and_then(|field| field.value.as_str());
    let user = get("ct.user").or_else(|| get("ct.user.identitytype"));
    let parts = [
        get("ct.region"),
        user,
        get("ct.shortsrc"),
        get("ct.name"),
        get("ct.info"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What we give for a record for which the official plugin gives this, and how often each rule
/// made a difference.
fn expected(record: &str, golden: &Golden, rules: &mut BTreeMap<&str, u32>) -> (Fields, String) {
    let mut fields: Fields = golden
        .fields
        .iter()
        .map(|(name, value)| {
            let range = golden.at.get(name).copied();
            (
                name.clone(),
                Extracted {
                    value: value.clone(),
                    range,
                },
            )
        })
        .collect();
    let mut count = |rule| *rules.entry(rule).or_default() += 1;
    for (name, path) in SCALARS {
        let ours = scalar(record, path);
        if ours.as_ref() == fields.get(*name) {
            continue;
        }
        match (fields.remove(*name), token(record, path)) {
            (Some(theirs), Some("null")) if theirs.value == "" => count("1 null is absent"),
            (Some(theirs), Some(_)) if theirs.value == "" => count("2 JSON text of no string"),
            (None, Some(_)) if *name == "ct.request.documentname" => count("3 documentname"),
            (theirs, token) => panic!("{name} is {theirs:?} where the record has {token:?}"),
        }
        fields.extend(ours.map(|ours| (name.to_string(), ours)));
    }
    for (name, path) in [
        ("s3.bytes.in", "bytesTransferredIn"),
        ("s3.bytes.out", "bytesTransferredOut"),
    ] {
        let Some(theirs) = fields.get_mut(name) else {
            continue;
        };
        let token = token(record, &format!("additionalEventData.{path}")).unwrap();
        let ours = found(record, token, "").range;
        // Theirs begins where the token ends.
        assert_eq!(
            theirs.range.map(|(start, _)| start),
            ours.map(|(start, length)| start + length)
        );
        count("range of a number");
        theirs.range = ours;
    }
    for (name, path) in BOOLEANS {
        if let Some(token @ "\"true\"") = token(record, path) {
            assert_eq!(fields[*name].value, "false", "{name}");
            count("4 booleans as strings");
            fields.insert(name.to_string(), found(record, token, "true"));
        }
    }
    for (name, path) in JSON_TEXTS {
        let Some(token) = token(record, path) else {
            continue;
        };
        let theirs = fields[*name].value.as_str().unwrap();
        if token != theirs {
            count("9 JSON texts in their own bytes");
            let [ours, theirs] =
                [token, theirs].map(|json| serde_json::from_str::<Value>(json).unwrap());
            assert_eq!(ours, theirs, "{name}");
        }
        fields.insert(name.to_string(), found(record, token, token));
    }
    if let Some(theirs) = fields.get_mut("ct.resources") {
        let token = token(record, "resources").unwrap();
        let elements: Vec<&RawValue> = serde_json::from_str(token).unwrap();
        let elements: Vec<&str> = elements.into_iter().map(RawValue::get).collect();
        let ours = elements.join(",");
        if theirs.value != ours.as_str() {
            count("9 JSON texts in their own bytes");
            let [ours, theirs] = [ours.as_str(), theirs.value.as_str().unwrap()]
                .map(|json| serde_json::from_str::<Value>(&format!("[{json}]")).unwrap());
            assert_eq!(ours, theirs);
        }
        theirs.value = ours.into();
    }
    const KNOWN: [&str; 6] = [
        "Root",
        "IAMUser",
        "AWSService",
        "AssumedRole",
        "AWSAccount",
        "FederatedUser",
    ];
    let kind = fields
        .get("ct.user.identitytype")
        .and_then(|kind| kind.value.as_str());
    if kind.is_some_and(|kind| !KNOWN.contains(&kind))
        && let Some(user) = scalar(record, "userIdentity.userName")
    {
        count("7 user name of any identity type");
        fields.insert("ct.user".into(), user);
    }
    let mut text = golden.str.clone();
    if fields.get("ct.error").is_some_and(|code| code.value == "") {
        count("5 an empty error code is none");
        let info = fields.get_mut("ct.info").unwrap();
        info.value = info.value.as_str().unwrap().replacen(" !", " ", 1).into();
        text = text.replacen(" !", " ", 1);
    }
    if golden.fields["ct.info"]
        .as_str()
        .unwrap()
        .starts_with("<invalid cloudtrail event")
    {
        count("6 a summary of every event");
        fields.get_mut("ct.info").unwrap().value = summary(&fields).into();
        text = string(&fields);
    }
    (fields, text)
}

/// The records of all log files below a folder, in their own bytes.
fn records(folder: &Path) -> Vec<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Log {
        records: Vec<Box<RawValue>>,
    }
    let mut all = vec![];
    for path in shared::files(folder)
        .iter()
        .filter(|path| path.extension().is_some())
    {
        let text = fs::read_to_string(path).unwrap();
        let log: Log = serde_json::from_str(&text).unwrap();
        all.extend(log.records.iter().map(|record| record.get().to_owned()));
    }
    all
}

fn read(set: &str) -> Option<Vec<Event>> {
    let folder = shared::folder("cloudtrail-samples")?.join(set);
    let plugin = Plugin::load("");
    Some(plugin.events(folder.to_str().unwrap()).unwrap())
}

#[test]
fn every_record_comes_once_in_its_own_bytes() {
    for (set, all, _) in SETS {
        let (Some(events), Some(samples)) = (read(set), shared::folder("cloudtrail-samples"))
        else {
            return;
        };
        let mut seen: Vec<&[u8]> = events.iter().map(Event::payload).collect();
        let records = records(&samples.join(set));
        let mut wanted: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
        seen.sort();
        wanted.sort();
        assert_eq!(seen.len(), all, "{set}");
        assert!(seen == wanted, "{set}: other payloads than the records");
    }
}

#[test]
fn values_ranges_and_strings_are_the_official_ones_save_for_the_rules() {
    let mut rules = BTreeMap::new();
    for (set, _, official) in SETS {
        let (Some(events), Some(golden)) = (read(set), shared::golden(set)) else {
            return;
        };
        let golden: HashMap<&str, &Golden> = golden
            .iter()
            .map(|event| (event.sha.as_str(), event))
            .collect();
        let library = Library::load().unwrap();
        let plugin = library.init("").unwrap();
        let names = &library.field_names()[..OFFICIAL];
        let mut compared = 0;
        for event in &events {
            let Some(golden) = golden.get(shared::sha(event.payload()).as_str()) else {
                continue;
            };
            compared += 1;
            let record = std::str::from_utf8(event.payload()).unwrap();
            assert_eq!(
                (event.ts(), record.len()),
                (golden.ts, golden.len),
                "{record}"
            );
            let (wanted, text) = expected(record, golden, &mut rules);
            let seen = plugin.extract(event, names).unwrap();
            same(&seen, &wanted, record);
            same(&plugin.extract_each(event, names).unwrap(), &wanted, record);
            assert_eq!(plugin.event_to_string(event).unwrap(), text, "{record}");
        }
        assert_eq!(compared, official, "{set}");
    }
    let counted: Vec<_> = rules.into_iter().collect();
    assert_eq!(
        counted,
        [
            ("2 JSON text of no string", 7),
            ("3 documentname", 2),
            ("4 booleans as strings", 308),
            ("5 an empty error code is none", 1),
            ("6 a summary of every event", 76),
            ("9 JSON texts in their own bytes", 843),
            ("range of a number", 628),
        ]
    );
}

fn same(seen: &Fields, wanted: &Fields, record: &str) {
    for name in seen.keys().chain(wanted.keys()) {
        assert_eq!(seen.get(name), wanted.get(name), "{name} of {record}");
    }
}

#[test]
fn the_records_that_the_official_plugin_drops_come_with_their_time_and_fields() {
    let (Some(events), Some(golden)) = (read("records"), shared::golden("records")) else {
        return;
    };
    let golden: Vec<&str> = golden.iter().map(|event| event.sha.as_str()).collect();
    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    let names = &library.field_names()[..OFFICIAL];
    let dropped: Vec<&Event> = events
        .iter()
        .filter(|event| !golden.contains(&shared::sha(event.payload()).as_str()))
        .collect();
    assert_eq!(dropped.len(), 127);
    let mut by_own_time = 0;
    for event in dropped {
        let record = std::str::from_utf8(event.payload()).unwrap();
        let fields = plugin.extract(event, names).unwrap();
        assert_eq!(
            fields,
            plugin.extract_each(event, names).unwrap(),
            "{record}"
        );
        for (name, path) in SCALARS {
            assert_eq!(
                fields.get(*name).cloned(),
                scalar(record, path),
                "{name} of {record}"
            );
        }
        for (name, path) in JSON_TEXTS {
            let text = token(record, path).map(|token| found(record, token, token));
            assert_eq!(fields.get(*name).cloned(), text, "{name} of {record}");
        }
        assert_eq!(fields["ct.info"].value, summary(&fields), "{record}");
        assert_eq!(
            plugin.event_to_string(event).unwrap(),
            string(&fields),
            "{record}"
        );
        let time = event.json()["eventTime"]
            .as_str()
            .unwrap_or_default()
            .replace(' ', "T");
        if let Ok(time) = format!("{}Z", time.trim_end_matches('Z')).parse::<jiff::Timestamp>() {
            assert_eq!(i128::from(event.ts()), time.as_nanosecond(), "{record}");
            by_own_time += 1;
        }
    }
    // The other three have no time of their own: "...", "redacted", and none.
    assert_eq!(by_own_time, 124);
}

#[test]
fn fields_without_ranges_are_the_same() {
    let Some(events) = read("records") else {
        return;
    };
    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    let names = &library.field_names()[..OFFICIAL];
    for event in events {
        let values = |fields: Fields| {
            fields
                .into_iter()
                .map(|(name, field)| (name, field.value))
                .collect::<Vec<_>>()
        };
        let with = plugin.extract_with(&event, names, true).unwrap();
        let without = plugin.extract_with(&event, names, false).unwrap();
        assert_eq!(values(with), values(without));
    }
}

/// Names, types, labels and properties are the interface that rules and profiles are written to.
#[test]
fn the_field_list_begins_with_the_official_one() {
    let Some(docs) = shared::folder("docs") else {
        return;
    };
    let text = fs::read_to_string(docs.join("fields.md")).unwrap();
    let wanted: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            let mut kind = cells[2].split([' ', ',']);
            let properties: Vec<&str> = cells[4]
                .split(", ")
                .filter(|word| !word.is_empty())
                .collect();
            json!([
                cells[1],
                kind.next(),
                kind.next() == Some("list"),
                cells[3],
                properties
            ])
        })
        .collect();
    let library = Library::load().unwrap();
    let seen: Vec<Value> = library.fields()[..OFFICIAL]
        .iter()
        .map(|field| {
            json!([
                field.name,
                field.kind,
                field.is_list,
                field.display,
                field.properties
            ])
        })
        .collect();
    assert_eq!(wanted.len(), OFFICIAL);
    assert_eq!(seen, wanted);
    for field in library.fields() {
        assert!(field.display.as_ref().unwrap().len() < 64, "{}", field.name);
        assert!(
            !field.desc.is_empty() && field.desc.len() < 1024,
            "{}",
            field.name
        );
        // A required argument fails all fields of an event in Stratoshark.
        let arg = field.arg.clone().unwrap_or_default();
        assert!(!arg.is_required, "{}", field.name);
        assert_eq!(arg.is_index, field.name == "ec2.imageids", "{}", field.name);
        assert_eq!(arg.is_key, field.name == "ct.value", "{}", field.name);
    }
}
