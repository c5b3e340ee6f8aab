//! The rules of `plugin-config/falco/`: what they say, and what they fire on, by libsinsp's own filter engine.
//!
//! `rules/events.jsonl` has an event on each line: the rules that fire on it, all of them, and those that it nearly
//! fires. sysdig is asked with the condition of each rule, its macros and lists put in as Falco does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use harness::geo::Databases;
use harness::host::{Library, numbers};
use harness::hosts::Hosts;
use harness::rules::{Rule, Rules, words};
use harness::shared;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Value, json};

/// Our rules.
fn load() -> Rules {
    Rules::read(&falco("cloudtrail_rules.yaml")).unwrap()
}

fn falco(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("plugin-config/falco")
        .join(file)
}

/// The lists as somebody might fill them.
fn tuned(mut rules: Rules) -> Rules {
    for (list, item) in [
        ("trusted_accounts", "444455556666"),
        ("known_addresses", "192.0.2.10"),
        ("expected_countries", "DE"),
        ("expected_networks", "64496"),
        ("deployment_roles", "deploy"),
        ("administrators", "carol"),
        ("service_users", "ci"),
        ("protected_buckets", "trail-logs"),
    ] {
        assert_eq!(
            rules.lists.insert(list.to_owned(), vec![item.to_owned()]),
            Some(vec![]),
            "{list}"
        );
    }
    rules
}

/// An event of the data file.
struct Event {
    fires: BTreeSet<String>,
    spares: BTreeSet<String>,
    record: Value,
}

fn events() -> Vec<Event> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/events.jsonl");
    let text = fs::read_to_string(path).unwrap();
    let events = text.lines().enumerate().map(|(index, line)| {
        let line: Value = serde_json::from_str(line).unwrap();
        let names = |key: &str| -> BTreeSet<String> {
            let names = line[key].as_array().into_iter().flatten();
            names
                .map(|name| name.as_str().unwrap().to_owned())
                .collect()
        };
        let mut record = json!({
            "eventVersion": "1.09",
            "userIdentity": identity(line["as"].as_str().unwrap_or("alice")),
            "eventTime": "2024-03-06T00:00:00Z",
            "awsRegion": "us-east-1",
            "sourceIPAddress": "192.0.2.10",
            "userAgent": "Mozilla/5.0",
            "requestParameters": null,
            "responseElements": null,
            "eventID": (index + 1).to_string(),
            "readOnly": false,
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": "111122223333",
            "eventCategory": "Management",
        });
        let own = line["record"].as_object().unwrap().clone();
        record.as_object_mut().unwrap().extend(own);
        Event {
            fires: names("fires"),
            spares: names("spares"),
            record,
        }
    });
    events.collect()
}

/// The identities that the data file names.
fn identity(name: &str) -> Value {
    let account = "111122223333";
    let user = |name: &str| json!({"type": "IAMUser", "principalId": "AIDACKCEVSQ6C2EXAMPLE", "arn": format!("arn:aws:iam::{account}:user/{name}"), "accountId": account, "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userName": name});
    let role = |role: &str, session: &str| json!({"type": "AssumedRole", "principalId": format!("AROAIDPPEZS35WEXAMPLE:{session}"), "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"), "accountId": account, "sessionContext": {"sessionIssuer": {"type": "Role", "arn": format!("arn:aws:iam::{account}:role/{role}"), "accountId": account, "userName": role}}});
    let other = |account: &str| json!({"type": "AWSAccount", "principalId": "AIDAJ45Q7YFFAREXAMPLE", "accountId": account});
    match name {
        "alice" => user("alice"),
        "administrator" => user("carol"),
        "service" => user("ci"),
        "root" => {
            json!({"type": "Root", "principalId": account, "arn": format!("arn:aws:iam::{account}:root"), "accountId": account})
        }
        "role" => role("web", "web-1"),
        "deployment" => role("deploy", "run-42"),
        "instance" => role("web", "i-0123456789abcdef0"),
        "sso" => role("AWSReservedSSO_Developer_0123456789abcdef", "dave"),
        "supplier" => other("444455556666"),
        "stranger" => other("999988887777"),
        _ => panic!("{name} is no identity"),
    }
}

#[test]
fn every_rule_is_complete() {
    let all = load();
    for page in ["README.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        assert!(
            text.contains(&format!("{} rules", all.rules.len())),
            "{page}"
        );
    }
    let mut names = BTreeSet::new();
    let mut words_used = BTreeSet::new();
    let conditions = all.rules.iter().map(|rule| &rule.text["condition"]);
    for condition in conditions.chain(all.macros.values()) {
        words_used.extend(words(condition));
    }
    for rule in &all.rules {
        let name = &rule.name;
        assert!(names.insert(name), "{name} is there twice");
        let keys: Vec<&str> = rule
            .keys
            .iter()
            .map(String::as_str)
            .filter(|key| *key != "enabled")
            .collect();
        assert_eq!(
            keys,
            [
                "condition",
                "desc",
                "output",
                "priority",
                "rule",
                "source",
                "tags"
            ],
            "{name}"
        );
        assert!(rule.text.values().all(|text| !text.is_empty()), "{name}");
        assert!(rule.text["desc"].ends_with('.'), "{name}");
        assert!(
            rule.text["desc"].contains("Expect "),
            "{name}: how often is it to be expected?"
        );
        assert!(
            ["CRITICAL", "WARNING", "NOTICE"].contains(&rule.text["priority"].as_str()),
            "{name}"
        );
        assert_eq!(rule.text["source"], "aws_cloudtrail", "{name}");
        for field in [
            "%ct.user",
            "%ct.srcip",
            "%ct.recipientaccountid",
            "%ct.region",
            "%ct.id",
        ] {
            assert!(rule.text["output"].contains(field), "{name}: no {field}");
        }
        let tag = |is: fn(&str) -> bool| rule.tags.iter().filter(|tag| is(tag)).count();
        assert_eq!(rule.tags[0], "aws", "{name}");
        assert_eq!(
            tag(|tag| TACTICS.contains(&tag)),
            1,
            "{name}: a tactic of ATT&CK"
        );
        assert_eq!(tag(is_technique), 1, "{name}: a technique of ATT&CK");
        assert!(rule.tags.iter().all(|tag| !tag.contains(' ')), "{name}");
    }
    // Falco shows the first rule that fits.
    let gravities: Vec<usize> = all.rules.iter().map(gravity).collect();
    assert!(gravities.is_sorted(), "a graver rule stands after others");
    for name in all.macros.keys().chain(all.lists.keys()) {
        // trusted_accounts and the like are there for rules, none is left over.
        assert!(words_used.contains(name.as_str()), "nothing uses {name}");
    }
    for event in events() {
        for name in event.fires.iter().chain(&event.spares) {
            assert!(names.contains(name), "an event names {name}");
        }
    }
}

/// 0 for the gravest priority.
fn gravity(rule: &Rule) -> usize {
    let priorities = ["CRITICAL", "WARNING", "NOTICE"];
    let at = priorities
        .iter()
        .position(|priority| *priority == rule.text["priority"]);
    at.unwrap_or_else(|| panic!("{} has no priority", rule.name))
}

const TACTICS: [&str; 14] = [
    "mitre_reconnaissance",
    "mitre_resource_development",
    "mitre_initial_access",
    "mitre_execution",
    "mitre_persistence",
    "mitre_privilege_escalation",
    "mitre_defense_evasion",
    "mitre_credential_access",
    "mitre_discovery",
    "mitre_lateral_movement",
    "mitre_collection",
    "mitre_command_and_control",
    "mitre_exfiltration",
    "mitre_impact",
];

/// Falco refuses rules that ask for a newer plugin, or for one of another major version.
#[test]
fn the_rules_ask_for_a_version_that_the_plugin_has() {
    let text = fs::read_to_string(falco("cloudtrail_rules.yaml")).unwrap();
    let yaml = Yaml::load_from_str(&text).unwrap();
    let items = yaml[0].as_sequence().unwrap();
    let required = items
        .iter()
        .find_map(|item| item.as_mapping_get("required_plugin_versions"))
        .and_then(Yaml::as_sequence)
        .unwrap();
    let [plugin] = &required[..] else {
        panic!("{required:?}");
    };
    assert_eq!(plugin["name"].as_str(), Some("cloudtrail"));
    let asked = numbers(plugin["version"].as_str().unwrap()).unwrap();
    let has = numbers(&Library::load().unwrap().version().unwrap()).unwrap();
    assert!(asked[0] == has[0] && asked <= has, "{asked:?} of {has:?}");
}

/// `T1078`, `T1078.004`
fn is_technique(tag: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    tag.strip_prefix('T')
        .is_some_and(|id| match id.split_once('.') {
            Some((id, part)) => digits(id, 4) && digits(part, 3),
            None => digits(id, 4),
        })
}

#[test]
fn rules_fire_on_what_they_are_for() {
    let Some(hosts) = Hosts::new("rules") else {
        return;
    };
    let all = tuned(load());
    let events = events();
    let trail = hosts.folder.join("trail");
    fs::create_dir(&trail).unwrap();
    // As CloudTrail writes them, and as programs for people do.
    let records: Vec<&Value> = events.iter().map(|event| &event.record).collect();
    let log = json!({"Records": records});
    fs::write(trail.join("1.json"), serde_json::to_string(&log).unwrap()).unwrap();
    fs::write(
        trail.join("2.json"),
        serde_json::to_string_pretty(&log).unwrap(),
    )
    .unwrap();
    let trail = trail.display().to_string();
    // Some of the addresses are in these.
    let Some(databases) = Databases::make() else {
        return;
    };
    let config = json!({
        "geoDatabases": databases.of(&["rules"]),
        "awsIpRanges": databases.path("ip-ranges.json"),
    });
    let config = config.to_string();

    let fired = in_parallel(&all.rules, |rule| {
        // Nothing but the line's beginning is an event's ID; a request may have many lines.
        let format = format!("*\u{1}%ct.id {}", rule.text["output"]);
        let condition = all.expand(&rule.text["condition"]);
        let lines = hosts.sysdig(&trail, &config, &["-p", &format, &condition]);
        let ids = lines
            .iter()
            .filter_map(|line| line.strip_prefix('\u{1}')?.split(' ').next());
        ids.map(|id| id.parse().unwrap()).collect::<Vec<usize>>()
    });
    let mut wrong = vec![];
    for (rule, ids) in all.rules.iter().zip(fired) {
        let name = &rule.name;
        let expected: Vec<usize> = (1..)
            .zip(&events)
            .filter(|(_, event)| event.fires.contains(name))
            .map(|(id, _)| id)
            .collect();
        if ids != [&expected[..], &expected].concat() {
            wrong.push(format!(
                "{name}: fires on {ids:?}, not on {expected:?} of each file"
            ));
        }
        if expected.is_empty() || !events.iter().any(|event| event.spares.contains(name)) {
            wrong.push(format!(
                "{name}: needs an event that fires it and one that nearly does"
            ));
        }
    }
    for event in &events {
        if let Some(name) = event.fires.intersection(&event.spares).next() {
            wrong.push(format!("{name}: fires and spares {}", event.record));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `of` each of `items`, in their order, on all cores.
fn in_parallel<T: Sync, R: Send>(items: &[T], of: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let size = items.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(size)
            .map(|part| scope.spawn(|| part.iter().map(&of).collect::<Vec<_>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap())
            .collect()
    })
}

/// A trail on which attacks were tried out, with what somebody would want to hear of.
#[test]
fn attacks_on_a_real_trail_are_seen() {
    let (Some(hosts), Some(trail)) = (
        Hosts::new("attacks"),
        shared::folder("cloudtrail-samples/trail"),
    ) else {
        return;
    };
    let all = load();
    let trail = trail.display().to_string();
    for (rule, count) in [
        ("Console Login Without MFA", 1),
        ("Administrator Policy Attached", 2),
        ("Identity Provider Created Or Changed", 1),
        ("Trail Stopped Or Deleted", 2),
        ("Trail Records Other Events", 2),
        ("Flow Logs Deleted", 1),
        ("Bucket Expires Within Days", 1),
        ("Security Group Opens Sensitive Port", 1),
        ("Image Or Snapshot Shared", 2),
        ("Database Snapshot Shared", 1),
        ("Function Open To Everyone", 1),
        ("Command Run On Instances", 1),
        ("Refused To Read Secret", 29),
        ("Account Leaves Organization", 0),
        ("Refused Change To Identities", 1),
        ("Root User Changed Something", 0),
    ] {
        let found = all.rules.iter().find(|found| found.name == rule).unwrap();
        let condition = all.expand(&found.text["condition"]);
        let ids = hosts.sysdig(&trail, "", &["-p", "%ct.id", &condition]);
        assert_eq!(ids.len(), count, "{rule}");
    }
}

/// As Falco with `rule_matching: first`: of the rules that fit an event of the samples, none is graver than the first.
#[test]
fn the_rule_that_is_shown_hides_no_graver_one() {
    let (Some(hosts), Some(samples)) = (Hosts::new("first"), shared::folder("cloudtrail-samples"))
    else {
        return;
    };
    let all = load();
    let folders = ["trail", "records"].map(|folder| samples.join(folder).display().to_string());
    let fired = in_parallel(&all.rules, |rule| {
        // None is there to say that it is on.
        if rule.keys.contains("enabled") {
            return vec![];
        }
        let condition = all.expand(&rule.text["condition"]);
        let ids = |folder: &String| hosts.sysdig(folder, "", &["-p", "*%ct.id", &condition]);
        folders.iter().flat_map(ids).collect::<Vec<_>>()
    });
    let mut first: BTreeMap<&str, &Rule> = BTreeMap::new();
    let (mut alerts, mut hidden) = (0, 0);
    for (rule, ids) in all.rules.iter().zip(&fired) {
        for id in ids.iter().collect::<BTreeSet<_>>() {
            let shown = *first.entry(id).or_insert(rule);
            assert!(
                gravity(shown) <= gravity(rule),
                "{} hides {} of {id}",
                shown.name,
                rule.name
            );
            alerts += 1;
            hidden += usize::from(!std::ptr::eq(shown, rule));
        }
    }
    assert!(
        alerts > 200 && hidden > 10,
        "{alerts} alerts, {hidden} hidden"
    );
}

/// What the official rules ask of the fields, less what they look up in the json plugin: `=` and `!=` with a text in
/// quotes, `exists`, `in`, `not`, `and`, `or`. Told from the records themselves.
#[test]
fn conditions_of_the_official_rules_fire_on_the_same_events() {
    let (Some(hosts), Some(samples)) =
        (Hosts::new("official"), shared::folder("cloudtrail-samples"))
    else {
        return;
    };
    let mut records: Vec<Value> = vec![];
    for folder in ["trail", "records"] {
        for file in shared::files(&samples.join(folder)) {
            let log: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            records.extend(log["Records"].as_array().unwrap().iter().cloned());
        }
    }
    let identity = |record: &Value, kind: &str| record["userIdentity"]["type"] == kind;
    let [trail, others] =
        ["trail", "records"].map(|folder| samples.join(folder).display().to_string());
    let count = |condition: &str| {
        [&trail, &others]
            .map(|folder| {
                hosts
                    .sysdig(folder, "", &["-p", "*%ct.id", condition])
                    .len()
            })
            .iter()
            .sum::<usize>()
    };
    let mut seen = 0;
    let mut check = |condition: &str, expected: &dyn Fn(&Value) -> bool| {
        let expected = records.iter().filter(|record| expected(record)).count();
        assert_eq!(count(condition), expected, "{condition}");
        seen += expected;
    };
    check("evt.num > 0", &|_| true);
    for name in [
        "CreateUser",
        "CreateGroup",
        "DeleteGroup",
        "CreateFunction20150331",
        "UpdateFunctionCode20150331v2",
        "UpdateFunctionConfiguration20150331v2",
        "RunInstances",
        "DeleteBucketEncryption",
        "PutBucketPublicAccessBlock",
        "ListBuckets",
        "PutBucketAcl",
        "PutBucketPolicy",
        "CreateTrail",
        "StopLogging",
    ] {
        check(
            &format!("ct.name=\"{name}\" and not ct.error exists"),
            &|record| record["eventName"] == name && record["errorCode"].is_null(),
        );
    }
    let login =
        |record: &Value| record["eventName"] == "ConsoleLogin" && record["errorCode"].is_null();
    for (test, expected) in [
        (
            "ct.user.identitytype=\"AssumedRole\"",
            &(|record: &Value| identity(record, "AssumedRole")) as &dyn Fn(&Value) -> bool,
        ),
        // Where there is none, `!=` is false.
        ("ct.user.identitytype!=\"AssumedRole\"", &|record| {
            record["userIdentity"]["type"].is_string() && !identity(record, "AssumedRole")
        }),
        (
            "ct.user.identitytype!=\"AssumedRole\" and ct.user.identitytype=\"Root\"",
            &|record| identity(record, "Root"),
        ),
    ] {
        check(
            &format!("ct.name=\"ConsoleLogin\" and not ct.error exists and {test}"),
            &|record| login(record) && expected(record),
        );
    }
    check(
        "ct.name=\"DeactivateMFADevice\" and not ct.error exists and ct.user.identitytype=\"Root\" and ct.request.username=\"AWS ROOT USER\"",
        &|record| {
            record["eventName"] == "DeactivateMFADevice"
                && record["errorCode"].is_null()
                && identity(record, "Root")
                && record["requestParameters"]["userName"] == "AWS ROOT USER"
        },
    );
    check(
        "ct.src=\"ecs.amazonaws.com\" and ct.name=\"CreateService\" and not ct.error exists",
        &|record| {
            record["eventSource"] == "ecs.amazonaws.com"
                && record["eventName"] == "CreateService"
                && record["errorCode"].is_null()
        },
    );
    check(
        "ct.src=\"ecs.amazonaws.com\" and (ct.name=\"RunTask\" or ct.name=\"StartTask\") and not ct.error exists",
        &|record| {
            record["eventSource"] == "ecs.amazonaws.com"
                && (record["eventName"] == "RunTask" || record["eventName"] == "StartTask")
                && record["errorCode"].is_null()
        },
    );
    check(
        "ct.name=\"RunInstances\" and not ct.error exists and not ct.region in (us-east-1, us-west-2)",
        &|record| {
            record["eventName"] == "RunInstances"
                && record["errorCode"].is_null()
                && record["awsRegion"] != "us-east-1"
                && record["awsRegion"] != "us-west-2"
        },
    );
    assert!(
        seen > records.len() + 50,
        "the samples have hardly any of these events"
    );
}

/// What `official_rules.yaml` fires on is what the official rules look for, told from the records themselves.
#[test]
fn the_official_rules_in_our_fields_fire_on_what_those_do() {
    let (Some(hosts), Some(samples)) = (
        Hosts::new("official-rules"),
        shared::folder("cloudtrail-samples"),
    ) else {
        return;
    };
    let rules = Rules::read(&falco("official_rules.yaml")).unwrap();
    let ours: BTreeSet<String> = load().rules.into_iter().map(|rule| rule.name).collect();
    let folders = ["trail", "records"].map(|folder| samples.join(folder));
    let files = folders.iter().flat_map(|folder| shared::files(folder));
    let records: Vec<Value> = files
        .flat_map(|file| {
            let log: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            log["Records"].as_array().unwrap().clone()
        })
        .collect();
    let identity = |record: &Value| record["userIdentity"]["type"].as_str().map(str::to_owned);
    let login = |record: &Value| record["responseElements"]["ConsoleLogin"] == "Success";
    let without_mfa = |record: &Value| record["additionalEventData"]["MFAUsed"] == "No";
    let ecs = |record: &Value| record["eventSource"] == "ecs.amazonaws.com";
    type Is<'a> = &'a dyn Fn(&Value) -> bool;
    let any: Is<'_> = &|_| true;
    let expected: [(&str, &[&str], Is<'_>); 22] = [
        ("Any Event", &[], any),
        ("Role Signed In To Console", &["ConsoleLogin"], &|record| {
            login(record) && identity(record).as_deref() == Some("AssumedRole")
        }),
        (
            "Password Alone Opened Console",
            &["ConsoleLogin"],
            &|record| {
                login(record)
                    && without_mfa(record)
                    && identity(record).is_some_and(|kind| kind != "AssumedRole")
            },
        ),
        (
            "Root Password Alone Opened Console",
            &["ConsoleLogin"],
            &|record| {
                login(record) && without_mfa(record) && identity(record).as_deref() == Some("Root")
            },
        ),
        (
            "Root Second Factor Removed",
            &["DeactivateMFADevice"],
            &|record| {
                identity(record).as_deref() == Some("Root")
                    && record["requestParameters"]["userName"] == "AWS ROOT USER"
            },
        ),
        ("User Made", &["CreateUser"], any),
        ("Group Made", &["CreateGroup"], any),
        ("Group Removed", &["DeleteGroup"], any),
        ("Container Service Made", &["CreateService"], &ecs),
        ("Container Task Started", &["RunTask", "StartTask"], &ecs),
        ("Function Made", &["CreateFunction20150331"], any),
        (
            "Function Code Replaced",
            &["UpdateFunctionCode20150331v2"],
            any,
        ),
        (
            "Function Settings Changed",
            &["UpdateFunctionConfiguration20150331v2"],
            any,
        ),
        (
            "Instances Launched In Other Region",
            &["RunInstances"],
            &|record| record["awsRegion"] != "us-east-1",
        ),
        ("Instances Launched", &["RunInstances"], any),
        (
            "Encryption Of Bucket Removed",
            &["DeleteBucketEncryption"],
            any,
        ),
        (
            "Bucket May Become Public",
            &["PutBucketPublicAccessBlock"],
            &|record| {
                let block = &record["requestParameters"]["PublicAccessBlockConfiguration"];
                let parts = block.as_object().into_iter().flatten();
                parts.into_iter().any(|(_, part)| *part == false)
            },
        ),
        ("Buckets Listed", &["ListBuckets"], any),
        ("Bucket List Of Grants Changed", &["PutBucketAcl"], any),
        ("Bucket Policy Changed", &["PutBucketPolicy"], any),
        ("Trail Made", &["CreateTrail"], any),
        ("Trail Stopped", &["StopLogging"], any),
    ];
    assert_eq!(rules.rules.len(), expected.len());
    let counts = in_parallel(&rules.rules, |rule| {
        let condition = rules.expand(&rule.text["condition"]);
        let format = format!("*\u{1}{}", rule.text["output"]);
        let lines = folders.each_ref().map(|folder| {
            hosts.sysdig(
                &folder.display().to_string(),
                "",
                &["-p", &format, &condition],
            )
        });
        let alerts = lines
            .iter()
            .flatten()
            .filter(|line| line.starts_with('\u{1}'));
        alerts.count()
    });
    let mut seen = 0;
    for (name, names, is) in expected {
        let at = rules.rules.iter().position(|rule| rule.name == name);
        let at = at.unwrap_or_else(|| panic!("no rule {name}"));
        assert!(!ours.contains(name), "{name} has the name of another rule");
        let fits = records.iter().filter(|record| {
            let event = record["eventName"].as_str().unwrap_or_default();
            (names.is_empty() || names.contains(&event) && record["errorCode"].is_null())
                && is(record)
        });
        let wanted = fits.count();
        assert_eq!(counts[at], wanted, "{name}");
        seen += usize::from(wanted > 0);
    }
    assert!(
        seen >= 8,
        "the samples have events for {seen} of the rules only"
    );
}

/// Every configuration is one that Falco reads: the plugin by its name, settings as one JSON string.
#[test]
fn configurations_are_for_this_plugin() {
    let mut seen = vec![];
    for file in fs::read_dir(falco("")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("_rules.yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let yaml = &Yaml::load_from_str(&text).unwrap()[0];
        let plugin = &yaml["plugins"][0];
        assert_eq!(plugin["name"].as_str(), Some("cloudtrail"), "{name}");
        assert_eq!(
            plugin["library_path"].as_str(),
            Some("libcloudtrail.so"),
            "{name}"
        );
        assert_eq!(
            yaml["load_plugins"][0].as_str(),
            Some("cloudtrail"),
            "{name}"
        );
        assert!(plugin["open_params"].as_str().is_some(), "{name}");
        let config = plugin["init_config"].as_str().unwrap();
        assert!(
            config.is_empty() || serde_json::from_str::<Value>(config).unwrap().is_object(),
            "{name}"
        );
        seen.push(name);
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "folder.yaml",
            "follow.yaml",
            "history.yaml",
            "logs.yaml",
            "s3.yaml",
            "sqs.yaml"
        ]
    );
}
