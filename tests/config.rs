//! The configuration: what users may write, and what the capture dialog makes of its schema.

use harness::{
    host::{Library, Plugin, ids, numbers},
    trail::{self, Maker},
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The error that a configuration is refused with.
fn refused(config: &str) -> String {
    match Library::load().unwrap().init(config) {
        Err(error) => format!("{error:#}"),
        Ok(_) => panic!("accepted: {config}"),
    }
}

#[test]
fn the_plugin_says_who_it_is() {
    let library = Library::load().unwrap();
    assert_eq!(library.name().unwrap(), "cloudtrail");
    assert_eq!(library.id().unwrap(), 2);
    assert_eq!(library.event_source().unwrap(), "aws_cloudtrail");
    assert_eq!(library.version().unwrap(), env!("CARGO_PKG_VERSION"));
    // The official rules ask for at least 0.10.0 of the same major version.
    let version = library.version().unwrap();
    let [major, minor, _] = numbers(&version).unwrap();
    assert!(major == 0 && minor >= 10, "{version}");
    assert_eq!(
        library.extract_event_sources().unwrap(),
        r#"["aws_cloudtrail"]"#
    );
    assert!(!library.description().unwrap().is_empty() && !library.contact().unwrap().is_empty());
}

#[test]
fn nothing_and_the_settings_of_the_official_plugin_are_accepted_and_work() {
    let folder = TempDir::new().unwrap();
    let file = Maker::new(1).file("123456789012", "eu-west-1", "20240305T1205Z", 3);
    let path = file.write(folder.path());
    let library = Library::load().unwrap();
    for config in [
        "",
        "{}",
        " {} ",
        "null",
        r#"{"aws":{}}"#,
        r#"{"sqsDelete":true}"#,
        r#"{"sqsDelete":false,"useAsync":true}"#,
        r#"{"s3DownloadConcurrency":64}"#,
        r#"{"s3DownloadConcurrency":0}"#,
        r#"{"s3DownloadConcurrency":2048}"#,
        r#"{"s3DownloadConcurrency":1,"s3Interval":"","s3AccountList":"","sqsOwnerAccount":""}"#,
        r#"{"useS3SNS":true,"useAsync":false,"sqsOwnerAccount":"123456789012"}"#,
        r#"{"S3INTERVAL":"2024-03-05","AWS":{"Region":"eu-west-1"},"usesqs":true}"#,
        r#"{"s3Interval":"100w","s3AccountList":"123456789012, 210987654321"}"#,
        r#"{"aws":{"profile":"","region":"","config":"","credentials":""}}"#,
        r#"{"aws":{"profile":"audit","region":"eu-west-1","config":"/c","credentials":"/d"}}"#,
        r#"{"aws":{"endpoint":"http://127.0.0.1:9000","roleArn":"arn:aws:iam::123456789012:role/audit","externalId":"7"}}"#,
        r#"{"s3DownloadConcurrency":32,"s3Interval":"","sqsDelete":true,"useAsync":true,"useS3SNS":false,"aws":{"profile":"","region":"","config":"","credentials":""}}"#,
        // What we do not know is not ours to refuse.
        r#"{"unknown":{"key":[1]},"aws":{"unknown":true}}"#,
    ] {
        let plugin = library
            .init(config)
            .unwrap_or_else(|error| panic!("{config}: {error:#}"));
        let events = plugin.events(path.to_str().unwrap()).unwrap();
        assert_eq!(
            ids(&events),
            trail::ids(std::slice::from_ref(&file)),
            "{config}"
        );
    }
}

/// They are keys of the configuration all the same.
#[test]
fn the_dialog_does_not_show_what_is_hidden() {
    let shown = schema().0["properties"].as_object().unwrap().clone();
    let all = serde_json::to_value(cloudtrail::settings::schema()).unwrap();
    let all = all["properties"].as_object().unwrap();
    let hidden = all.keys().filter(|name| !shown.contains_key(*name));
    let hidden: Vec<&str> = hidden.map(String::as_str).collect();
    assert_eq!(
        hidden,
        [
            "s3IntervalOf",
            "statePath",
            "historyOrder",
            "includeInsights",
            "validateKeys",
            "validateBucket",
            "geoDatabases",
            "awsIpRanges",
            "dedupe",
            "cachePath",
            "cacheSize"
        ]
    );
    for (name, property) in all {
        assert_eq!(
            property["hidden"].is_boolean(),
            hidden.contains(&&**name),
            "{name}"
        );
    }
    let error = refused(r#"{"cachPath":"/tmp"}"#);
    assert!(error.contains("cachePath is"), "{error}");
    let error = refused(r#"{"CACHESIZE":"1GB"}"#);
    assert!(
        error.contains("cacheSize: is used with cachePath only"),
        "{error}"
    );
}

/// The dialog of Stratoshark neither scrolls nor shrinks: at 1366 by 768 it has room for 18 rows, that of the URL included.
/// Numbers are options of falcodump without a row.
#[test]
fn the_dialog_fits_on_a_small_screen() {
    let (_, leaves) = schema();
    let rows = leaves.iter().filter(|leaf| leaf.schema["type"] != "number");
    assert!(rows.count() < 18);
}

#[test]
fn other_settings_stand_beneath_the_rows() {
    let folder = TempDir::new().unwrap();
    let file = Maker::new(1).file("123456789012", "eu-west-1", "20240305T1205Z", 3);
    let path = file.write(folder.path());
    let library = Library::load().unwrap();
    for (config, expected) in [
        (r#"{"otherSettings":""}"#, 3),
        (r#"{"otherSettings":" {} "}"#, 3),
        (r#"{"otherSettings":"{\"filter\":\"ct.name=none\"}"}"#, 0),
        (r#"{"OTHERSETTINGS":"{\"FILTER\":\"ct.name=none\"}"}"#, 0),
        // What a row says counts.
        (
            r#"{"filter":"ct.region exists","otherSettings":"{\"filter\":\"ct.name=none\"}"}"#,
            3,
        ),
        (
            r#"{"aws":{"profile":"p"},"otherSettings":"{\"aws\":{\"profile\":\"q\",\"region\":\"eu-west-1\"}}"}"#,
            3,
        ),
    ] {
        let plugin = library.init(config).unwrap();
        let events = plugin.events(path.to_str().unwrap()).unwrap();
        assert_eq!(events.len(), expected, "{config}");
    }
    for (config, words) in [
        (
            r#"{"otherSettings":"redact"}"#,
            &["otherSettings", "is not a JSON object"][..],
        ),
        (r#"{"otherSettings":"{"}"#, &["otherSettings"]),
        (
            r#"{"otherSettings":"{\"otherSettings\":\"{}\"}"}"#,
            &["otherSettings", "can't hold itself"],
        ),
        (
            r#"{"otherSettings":"{\"historyOrdr\":\"newest\"}"}"#,
            &["otherSettings", "historyOrder is"],
        ),
        (
            r#"{"otherSettings":"{\"historyOrder\":\"oldest\"}"}"#,
            &["historyOrder", "oldest"],
        ),
        (
            r#"{"otherSettings":"{\"aws\":{\"roleArn\":\"x\"}}"}"#,
            &["aws.roleArn", "not a valid ARN"],
        ),
        (r#"{"otherSettings":7}"#, &["otherSettings"]),
    ] {
        let error = refused(config);
        for word in words {
            assert!(error.contains(word), "{config}: {error}");
        }
    }
}

#[test]
fn wrong_types_and_values_are_refused_by_the_name_of_their_key() {
    for (config, words) in [
        (
            r#"{"s3DownloadConcurrency":"many"}"#,
            &["s3DownloadConcurrency", "many"][..],
        ),
        (
            r#"{"s3DownloadConcurrency":2049}"#,
            &["s3DownloadConcurrency", "2049", "give 0 to 2048"],
        ),
        (
            r#"{"s3DownloadConcurrency":-1}"#,
            &["s3DownloadConcurrency", "-1"],
        ),
        (
            r#"{"s3DownloadConcurrency":1.5}"#,
            &["s3DownloadConcurrency", "1.5"],
        ),
        (
            r#"{"s3DownloadConcurrency":99999999999}"#,
            &["s3DownloadConcurrency", "99999999999"],
        ),
        (r#"{"s3Interval":5}"#, &["s3Interval"]),
        (r#"{"s3Interval":"tomorrow"}"#, &["s3Interval", "tomorrow"]),
        (r#"{"s3Interval":"5"}"#, &["s3Interval", "\"5\""]),
        (
            r#"{"s3Interval":"2d-5d"}"#,
            &["s3Interval", "2d-5d", "before"],
        ),
        (
            r#"{"s3Interval":"2024-03-06T00:00:00Z-2024-03-05T00:00:00Z"}"#,
            &["s3Interval", "before"],
        ),
        (r#"{"s3AccountList":123456789012}"#, &["s3AccountList"]),
        (r#"{"s3AccountList":"123"}"#, &["s3AccountList", "123"]),
        (
            r#"{"s3AccountList":"123456789012;210987654321"}"#,
            &["s3AccountList", ";"],
        ),
        (
            r#"{"cachePath":"/cache","cacheSize":"much"}"#,
            &[
                "cacheSize",
                "much",
                "is not a valid size: give a number of bytes",
            ],
        ),
        (r#"{"cachePath":true}"#, &["cachePath"]),
        (r#"{"cachePath":"/cache","cacheSize":10}"#, &["cacheSize"]),
        (r#"{"sqsDelete":"yes"}"#, &["sqsDelete"]),
        (r#"{"sqsOwnerAccount":123456789012}"#, &["sqsOwnerAccount"]),
        (r#"{"useAsync":1}"#, &["useAsync"]),
        (r#"{"useS3SNS":"x"}"#, &["useS3SNS"]),
        (r#"{"includeInsights":null}"#, &["includeInsights"]),
        (r#"{"aws":"eu-west-1"}"#, &["aws"]),
        (r#"{"aws":[]}"#, &["aws"]),
        (r#"{"aws":{"region":1}}"#, &["aws.region"]),
        (r#"{"aws":{"profile":["a"]}}"#, &["aws.profile"]),
        (
            r#"{"aws":{"endpoint":"minio:9000"}}"#,
            &["aws.endpoint", "minio:9000"],
        ),
        (r#"{"aws":{"roleArn":"audit"}}"#, &["aws.roleArn", "audit"]),
        (
            r#"{"aws":{"externalId":"7"}}"#,
            &["aws.externalId", "aws.roleArn"],
        ),
        (
            r#"{"s3Intervall":"5d"}"#,
            &["\"s3Intervall\" is not a setting: s3Interval is"],
        ),
        (
            r#"{"profile":"audit"}"#,
            &["\"profile\" is not a setting: aws.profile is"],
        ),
        (
            r#"{"aws":{"role_arn":"audit"}}"#,
            &["\"aws.role_arn\" is not a setting: aws.roleArn is"],
        ),
        (
            r#"{"redact":"","Redact":"secrets"}"#,
            &["redact: is given twice"],
        ),
    ] {
        let error = refused(config);
        for word in words {
            assert!(error.contains(word), "{config}: {error}");
        }
        // One sentence, once.
        assert!(
            !error.contains('\n') && error.len() < 300,
            "{config}: {error}"
        );
        assert_eq!(error.matches(words[0]).count(), 1, "{config}: {error}");
    }
    for config in ["{", "[]", "7", "\"text\"", "{} {}"] {
        refused(config);
    }
}

/// A leaf of the schema.
struct Leaf {
    /// `aws.region`
    path: String,
    schema: Map<String, Value>,
}

/// Walks a schema as falcodump does: properties, with `$ref` resolved.
fn leaves(root: &Value, schema: &Value, path: &str, all: &mut Vec<Leaf>) {
    let resolved = match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference
                .strip_prefix('#')
                .expect("a reference within the schema");
            root.pointer(pointer)
                .unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => schema,
    };
    let Some(properties) = resolved["properties"].as_object() else {
        all.push(Leaf {
            path: path.to_owned(),
            schema: resolved.as_object().unwrap().clone(),
        });
        return;
    };
    for (name, property) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        leaves(root, property, &path, all);
    }
}

fn schema() -> (Value, Vec<Leaf>) {
    let schema = Library::load().unwrap().schema().unwrap();
    let mut all = vec![];
    leaves(&schema, &schema, "", &mut all);
    (schema, all)
}

/// What falcodump demands of every row, or it loads no plugin at all.
#[test]
fn every_row_of_the_dialog_has_a_plain_type_a_title_and_a_sentence() {
    let (schema, leaves) = schema();
    assert_eq!(schema["type"], "object");
    for Leaf { path, schema } in &leaves {
        let kind = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{path} has no plain type: {schema:?}"));
        assert!(
            ["string", "boolean"].contains(&kind)
                // An option without a row.
                || kind == "number" && path != "otherSettings",
            "{path} is {kind}, which is not shown"
        );
        let text = |key: &str| {
            schema
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("{path} has no {key}"))
                .to_owned()
        };
        assert!(text("title").len() > 3, "{path}");
        let description = text("description");
        assert!(
            description.split_whitespace().count() > 3 && !description.contains('\n'),
            "{path}: {description:?}"
        );
        let default = schema
            .get("default")
            .unwrap_or_else(|| panic!("{path} has no default"));
        match kind {
            // Shown in the row.
            "string" => assert!(default.is_string(), "{path}: {default}"),
            // Not shown there, so the sentence says it.
            _ => assert!(
                description.ends_with(&format!("(Default: {default})")),
                "{path}: {description}"
            ),
        }
    }
}

#[test]
fn the_rows_come_in_an_order_that_makes_sense_and_are_all_there() {
    let (_, leaves) = schema();
    let paths: Vec<&str> = leaves.iter().map(|leaf| leaf.path.as_str()).collect();
    assert_eq!(
        paths[..2],
        ["aws.profile", "aws.region"],
        "credentials and region come first"
    );
    let mut sorted = paths.clone();
    sorted.sort_unstable();
    let mut wanted = [
        "s3DownloadConcurrency",
        "s3Interval",
        "s3Follow",
        "s3PollInterval",
        "sqsDelete",
        "useAsync",
        "useS3SNS",
        "s3AccountList",
        "sqsOwnerAccount",
        "aws.profile",
        "aws.region",
        "aws.config",
        "aws.credentials",
        "aws.endpoint",
        "validate",
        "redact",
        "filter",
        "s3RegionList",
        "otherSettings",
    ];
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    // The options are the paths in lower case, with dashes.
    let mut options: Vec<String> = paths
        .iter()
        .map(|path| path.to_ascii_lowercase().replace('.', "-"))
        .collect();
    options.sort();
    options.dedup();
    assert_eq!(options.len(), paths.len(), "two rows have the same option");
}

#[test]
fn the_dialog_says_what_the_interval_counts() {
    let (_, leaves) = schema();
    let interval = leaves
        .iter()
        .find(|leaf| leaf.path == "s3Interval")
        .unwrap();
    let text = interval.schema["description"]
        .as_str()
        .unwrap()
        .to_lowercase();
    for word in ["deliver", "minute", "includ", "name", "5d"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn the_defaults_are_the_official_ones() {
    let (_, leaves) = schema();
    let defaults: Map<String, Value> = leaves
        .into_iter()
        .map(|leaf| (leaf.path, leaf.schema["default"].clone()))
        .collect();
    for (path, default) in [
        ("s3DownloadConcurrency", json!(0)),
        ("s3Interval", json!("")),
        ("s3AccountList", json!("")),
        ("sqsDelete", json!(true)),
        ("sqsOwnerAccount", json!("")),
        ("useS3SNS", json!(false)),
        ("aws.profile", json!("")),
        ("aws.region", json!("")),
    ] {
        assert_eq!(defaults[path], default, "{path}");
    }
    // The values themselves are accepted: hosts send what differs from them only, Falco sends all.
    let mut config = json!({});
    for (path, default) in defaults {
        match path.split_once('.') {
            Some((outer, inner)) => config[outer][inner] = default,
            None => config[path] = default,
        }
    }
    Plugin::load(&config.to_string());
}

#[test]
fn settings_without_effect_say_so() {
    let (_, leaves) = schema();
    for path in ["useAsync", "useS3SNS"] {
        let leaf = leaves.iter().find(|leaf| leaf.path == path).unwrap();
        assert!(
            leaf.schema["description"]
                .as_str()
                .unwrap()
                .to_lowercase()
                .contains("no effect"),
            "{path}"
        );
    }
}
