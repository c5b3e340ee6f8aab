//! The plugin in the programs that people load it into: sysdig, falcodump and strato, as Debian ships them.
//!
//! `scripts/hosts` puts them into target/hosts. Where they are missing these tests skip with a line that says so, save
//! with `CLOUDTRAIL_HOSTS_REQUIRED` set, as `scripts/test` does.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use harness::aws::{Aws, Fault, Op};
use harness::hosts::{Hosts, built};
use harness::trail::{self, Maker, gzip, log_text};

/// What the tests of this file put into a host's folder.
trait Trail {
    fn log_file(&self, name: &str, content: &[u8]) -> String;
    fn known_trail(&self) -> String;
}

impl Trail for Hosts {
    /// Write a log file into the folder `trail`, as CloudTrail would into a bucket; the folder's path.
    fn log_file(&self, name: &str, content: &[u8]) -> String {
        let trail = self.folder.join("trail");
        trail::write(&trail.join(DAY).join(name), content);
        trail.display().to_string()
    }

    /// The known log files in a folder; its path.
    fn known_trail(&self) -> String {
        LOG_FILES.map(|(name, records)| self.log_file(name, &gzip(&log_text(records))))[0].clone()
    }
}

/// The known log files in a bucket of the harness's AWS.
fn known_bucket() -> (Aws, &'static str) {
    let aws = Aws::start();
    for (name, records) in LOG_FILES {
        aws.put("logs", &format!("{DAY}/{name}"), &gzip(&log_text(records)));
    }
    (aws, "s3://logs/AWSLogs/123456789012/CloudTrail/")
}

/// The configuration that names it.
fn endpoint(aws: &Aws) -> String {
    format!(r#"{{"aws":{{"endpoint":"{}"}}}}"#, aws.endpoint())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

const DAY: &str = "AWSLogs/123456789012/CloudTrail/us-east-1/2024/03/06";

/// Log files by their names, of records that every host test knows: each has its eventID and what it is there for.
const LOG_FILES: [(&str, &[&str]); 2] = [
    (
        "123456789012_CloudTrail_us-east-1_20240306T0005Z_kKpX1yDNVlGkbYvT.json.gz",
        &[
            r#"{"eventID":"root","eventTime":"2024-03-06T00:00:01Z","eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.7","eventType":"AwsConsoleSignIn","readOnly":false,"errorCode":null,"requestParameters":null,"userIdentity":{"type":"Root","arn":"arn:aws:iam::123456789012:root","accountId":"123456789012"}}"#,
            r#"{"eventID":"get","eventTime":"2024-03-06T00:00:02Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","eventType":"AwsApiCall","readOnly":true,"requestParameters":{ "bucketName" : "photos","key":"a/b.jpg" },"additionalEventData":{"bytesTransferredIn":0.0,"bytesTransferredOut":1500.0},"userIdentity":{"type":"IAMUser","userName":"alice","accountId":"123456789012"}}"#,
            r#"{"eventID":"denied","eventTime":"2024-03-06T00:00:03Z","eventName":"DeleteTrail","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"192.0.2.11","eventType":"AwsApiCall","readOnly":false,"managementEvent":true,"errorCode":"AccessDenied","errorMessage":"User: bob is not authorized","requestParameters":{"name":"trail"},"userIdentity":{"type":"IAMUser","userName":"bob","accountId":"123456789012"}}"#,
            r#"{"eventID":"role","eventTime":"2024-03-06T00:00:04Z","eventName":"RunInstances","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"autoscaling.amazonaws.com","eventType":"AwsApiCall","readOnly":false,"sessionCredentialFromConsole":"true","requestParameters":{},"responseElements":{"instancesSet":{"items":[{"imageId":"ami-1"},{"imageId":"ami-2"}]}},"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::123456789012:assumed-role/admin/carol","sessionContext":{"sessionIssuer":{"userName":"admin"}}}}"#,
        ],
    ),
    (
        "123456789012_CloudTrail_us-east-1_20240306T0010Z_M9hTq2WcZbEo4RsU.json.gz",
        &[
            r#"{"eventID":"document","eventTime":"2024-03-06T00:05:01Z","eventName":"SendCommand","eventSource":"ssm.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","eventType":"AwsApiCall","readOnly":false,"requestParameters":{"documentName":"AWS-RunShellScript"},"userIdentity":{"type":"IAMUser","userName":"alice"}}"#,
            r#"{"eventID":"policy","eventTime":"2024-03-06T00:05:02Z","eventName":"SetVaultAccessPolicy","eventSource":"glacier.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.12","eventType":"AwsApiCall","readOnly":false,"requestParameters":{"policy":{"Version":1}},"serviceEventDetails":{"state":"DELETED"},"userIdentity":{"type":"SAMLUser","userName":"dave"}}"#,
            r#"{"eventID":"block","eventTime":"2024-03-06T00:05:03Z","eventName":"PutBucketPublicAccessBlock","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.12","eventType":"AwsApiCall","readOnly":false,"requestParameters":{"bucketName":"photos","PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":false,"IgnorePublicAcls":true,"RestrictPublicBuckets":true}},"userIdentity":{"type":"IAMUser","userName":"alice"}}"#,
            r#"{"eventID":"insight","eventTime":"2024-03-06T00:05:04Z","eventType":"AwsCloudTrailInsight","eventCategory":"Insight","awsRegion":"us-east-1","recipientAccountId":"123456789012","insightDetails":{"state":"Start","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","insightType":"ApiCallRateInsight"}}"#,
            // The official plugin drops records without eventType or eventTime.
            r#"{"eventID":"untimed","eventName":"Decrypt","eventSource":"kms.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.13","readOnly":true,"userIdentity":{"type":"AWSService","invokedBy":"rds.amazonaws.com"}}"#,
        ],
    ),
];

/// Their records in order.
const IDS: [&str; 9] = [
    "root", "get", "denied", "role", "document", "policy", "block", "insight", "untimed",
];

/// One line an event, as `scripts/run` shows them.
const FORMAT: &str = "*%evt.rawtime|%ct.id|%ct.name|%ct.user|%ct.srcip|%ct.region|%ct.error|%s3.bytes|%ct.readonly|%ct.info";

#[rustfmt::skip]
const SHOWN: [&str; 9] = [
    "1709683201000000000|root|ConsoleLogin|<NA>|198.51.100.7|us-east-1|<NA>|<NA>|false|Root via 198.51.100.7 → ConsoleLogin",
    "1709683202000000000|get|GetObject|alice|192.0.2.10|us-east-1|<NA>|1500|true|alice via 192.0.2.10 ← GetObject Size=1500 URI=s3://photos/a/b.jpg",
    "1709683203000000000|denied|DeleteTrail|bob|192.0.2.11|eu-west-1|AccessDenied|<NA>|false|bob via 192.0.2.11 !→ DeleteTrail",
    "1709683204000000000|role|RunInstances|admin|autoscaling.amazonaws.com|us-east-1|<NA>|<NA>|false|admin via autoscaling.amazonaws.com → RunInstances",
    "1709683501000000000|document|SendCommand|alice|192.0.2.10|us-east-1|<NA>|<NA>|false|alice via 192.0.2.10 → SendCommand",
    "1709683502000000000|policy|SetVaultAccessPolicy|dave|192.0.2.12|us-east-1|<NA>|<NA>|false|dave via 192.0.2.12 → SetVaultAccessPolicy",
    "1709683503000000000|block|PutBucketPublicAccessBlock|alice|192.0.2.12|us-east-1|<NA>|<NA>|false|alice via 192.0.2.12 → PutBucketPublicAccessBlock BlockPublicAcls=true BlockPublicPolicy=false IgnorePublicAcls=true RestrictPublicBuckets=true ",
    "1709683504000000000|insight|<NA>|<NA>|<NA>|us-east-1|<NA>|<NA>|<NA>|←",
    // The time in the log file's name stands in for its own.
    "1709683800000000000|untimed|Decrypt|rds.amazonaws.com|192.0.2.13|us-east-1|<NA>|<NA>|true|rds.amazonaws.com via 192.0.2.13 ← Decrypt",
];

#[test]
fn sysdig_shows_a_bucket_and_a_folder() {
    let Some(hosts) = Hosts::new("sysdig") else {
        return;
    };
    let (aws, url) = known_bucket();
    assert_eq!(hosts.sysdig(url, &endpoint(&aws), &["-p", FORMAT]), SHOWN);
    let trail = hosts.known_trail();
    assert_eq!(hosts.sysdig(&trail, "", &["-p", FORMAT]), SHOWN);
    // The string form.
    let strings = hosts.sysdig(&trail, "", &["-p", "%evt.plugininfo", "ct.id=get"]);
    assert_eq!(
        strings,
        [
            "us-east-1 alice s3 GetObject alice via 192.0.2.10 ← GetObject Size=1500 URI=s3://photos/a/b.jpg"
        ]
    );
}

/// Every event of an organization's trail, in the order of delivery.
#[test]
fn sysdig_shows_every_event_of_a_large_trail() {
    let Some(hosts) = Hosts::new("large") else {
        return;
    };
    let mut maker = Maker::new(7);
    let files = maker.trail(
        &["111111111111", "222222222222"],
        &["eu-west-1", "us-east-1"],
        "20240305T1200Z",
        12,
        100,
    );
    let aws = Aws::start();
    let folder = hosts.folder.join("trail");
    let others = maker.bystanders("111111111111", "eu-west-1");
    for (key, body) in files
        .iter()
        .map(|file| (file.org_key("", "o-abcdefghij"), file.gz()))
        .chain(others)
    {
        aws.put("logs", &key, &body);
        trail::write(&folder.join(&key), &body);
    }
    let mut expected: Vec<(&str, &str)> = files
        .iter()
        .flat_map(|file| {
            file.records
                .iter()
                .map(|record| (file.time.as_str(), record.id.as_str()))
        })
        .collect();
    assert_eq!(expected.len(), 4_800);
    // Files of one time may come in any order.
    let times: BTreeMap<&str, &str> = expected.iter().map(|(time, id)| (*id, *time)).collect();
    expected.sort();
    for (params, config) in [
        ("s3://logs", endpoint(&aws)),
        (&folder.display().to_string(), String::new()),
    ] {
        let ids = hosts.sysdig(params, &config, &["-p", "%ct.id"]);
        let mut shown: Vec<(&str, &str)> = ids
            .iter()
            .map(|id| (times[id.as_str()], id.as_str()))
            .collect();
        assert!(
            shown.is_sorted_by_key(|(time, _)| *time),
            "{params}: not in the order of delivery"
        );
        shown.sort();
        assert!(shown == expected, "{params}: {} events", shown.len());
    }
}

#[test]
fn sysdig_filters() {
    let Some(hosts) = Hosts::new("filters") else {
        return;
    };
    let trail = hosts.known_trail();
    for (filter, expected) in [
        ("ct.user=alice", "get document block"),
        ("ct.user!=alice", "denied role policy untimed"),
        (
            "not ct.user=alice",
            "root denied role policy insight untimed",
        ),
        (
            "ct.user exists",
            "get denied role document policy block untimed",
        ),
        ("not ct.user exists", "root insight"),
        ("ct.name in (GetObject, DeleteTrail)", "get denied"),
        (
            "ct.srcip startswith 192.0.2. and ct.readonly=true",
            "get untimed",
        ),
        ("s3.bytes > 1000", "get"),
        ("s3.bytes exists", "get"),
        ("s3.uri=s3://photos/a/b.jpg", "get"),
        ("ec2.imageids[1] in (ami-2)", "role"),
        ("ec2.imageids[1] in (ami-1)", ""),
        ("ec2.imageids[1] exists", "role"),
        ("ct.managementevent=true", "denied"),
        // null is absent.
        ("ct.error exists", "denied"),
        (
            "not ct.error exists",
            "root get role document policy block insight untimed",
        ),
        ("ct.error=\"\"", ""),
        ("ct.error!=AccessDenied", ""),
        ("ct.error!=Throttled", "denied"),
        // save in JSON-text fields, whose null rules test for.
        ("ct.request=null", "root"),
        ("ct.request!=null", "get denied role document policy block"),
        // Their text is the record's own.
        (
            r#"ct.request='{ "bucketName" : "photos","key":"a/b.jpg" }'"#,
            "get",
        ),
        // What is no string gives its JSON text.
        (r#"ct.request.policy='{"Version":1}'"#, "policy"),
        ("ct.serviceeventdetails contains DELETED", "policy"),
        ("ct.serviceeventdetails exists", "policy"),
        // This field never has a value in the official plugin.
        ("ct.request.documentname=AWS-RunShellScript", "document"),
        (
            "not ct.request.documentname exists",
            "root get denied role policy block insight untimed",
        ),
        // "true" and true.
        ("ct.sessioncredentialfromconsole=true", "role"),
        ("ct.sessioncredentialfromconsole!=true", ""),
        ("ct.info contains \"BlockPublicAcls=true\"", "block"),
        // Root logins have a summary.
        ("ct.info startswith Root", "root"),
        ("not ct.info exists", ""),
        (
            "ct.info!=x",
            "root get denied role document policy block insight untimed",
        ),
        // The user of other kinds of identities.
        ("ct.user=dave", "policy"),
        ("not ct.user!=dave", "root policy insight"),
        // Records without eventType or eventTime, and Insights.
        ("not ct.eventtype exists", "untimed"),
        ("not ct.time exists", "untimed"),
        ("ct.eventcategory=Insight", "insight"),
    ] {
        let ids = hosts.sysdig(&trail, "", &["-p", "%ct.id", filter]);
        assert_eq!(ids.join(" "), expected, "{filter}");
    }
    // The official plugin's choice of events.
    let ids = hosts.sysdig(&trail, r#"{"includeInsights":false}"#, &["-p", "%ct.id"]);
    assert_eq!(
        ids,
        IDS.iter()
            .filter(|id| **id != "insight")
            .copied()
            .collect::<Vec<_>>()
    );
}

#[test]
fn falcodump_captures_for_strato_and_sysdig() {
    let Some(hosts) = Hosts::new("falcodump") else {
        return;
    };
    let (aws, url) = known_bucket();
    let trail = hosts.known_trail();
    for (file, params, options) in [
        (
            "bucket.scap",
            url,
            vec!["--cloudtrail-aws-endpoint".to_owned(), aws.endpoint()],
        ),
        ("folder.scap", &trail, vec![]),
    ] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let output = hosts.falcodump(params, file, &options);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(messages(&output), "", "of a capture that lost nothing");

        let strato = |filter: &str| {
            let fields = [
                "ct.id",
                "ct.name",
                "ct.srcip.v4",
                "s3.bytes",
                "ct.user.accountid",
                "_ws.col.info",
            ];
            let mut all = vec!["strato", "-r", file, "-T", "fields", "-E", "separator=|"];
            all.extend(fields.iter().flat_map(|field| ["-e", field]));
            all.extend(["-Y", filter]);
            lines(&hosts.stdout(&all))
        };
        let get = "get|GetObject|192.0.2.10|1500|123456789012|alice via 192.0.2.10 ← GetObject Size=1500 URI=s3://photos/a/b.jpg";
        assert_eq!(strato("ct.name == \"GetObject\""), [get]);
        assert_eq!(
            strato("ct.srcip.v4 == 192.0.2.11 && ct.error"),
            ["denied|DeleteTrail|192.0.2.11||123456789012|bob via 192.0.2.11 !→ DeleteTrail"]
        );
        let ids: Vec<String> = strato("ct.id")
            .iter()
            .map(|line| line.split('|').next().unwrap().to_owned())
            .collect();
        assert_eq!(ids, IDS);

        let plugin = hosts.plugin.display().to_string();
        let shown = hosts.stdout(&["sysdig", "-H", &plugin, "-r", file, "-p", FORMAT]);
        assert_eq!(lines(&shown), SHOWN);
        let shown = hosts.stdout(&[
            "sysdig",
            "-H",
            &plugin,
            "-r",
            file,
            "-p",
            "%ct.id",
            "ct.user=alice and ct.readonly=false",
        ]);
        assert_eq!(lines(&shown), ["document", "block"]);
    }
}

/// What falcodump says on standard error, save for Debian's word on the kernel module at each start.
fn messages(output: &Output) -> String {
    let kept: Vec<String> = lines(&text(&output.stderr))
        .into_iter()
        .filter(|line| !line.contains("open kmod"))
        .collect();
    kept.join("\n")
}

#[test]
fn the_capture_dialog() {
    let Some(hosts) = Hosts::new("dialog") else {
        return;
    };
    assert!(
        hosts
            .stdout(&["falcodump", "--extcap-interfaces"])
            .contains("interface {value=cloudtrail}")
    );
    let dialog = hosts.stdout(&[
        "falcodump",
        "--extcap-interface",
        "cloudtrail",
        "--extcap-config",
    ]);
    let rows: Vec<BTreeMap<&str, &str>> = dialog
        .lines()
        .filter_map(|line| Some(parts(line.strip_prefix("arg ")?)))
        .collect();
    let shown: Vec<[&str; 4]> = rows
        .iter()
        .map(|row| {
            ["call", "display", "type", "default"]
                .map(|name| row.get(name).copied().unwrap_or_default())
        })
        .filter(|[call, ..]| call.starts_with("--cloudtrail") || *call == "--plugin-source")
        .collect();
    #[rustfmt::skip]
    assert_eq!(
        shown,
        [
            ["--plugin-source", "Log data URL", "string", ""],
            ["--cloudtrail-aws-profile", "Profile", "editselector", ""],
            ["--cloudtrail-aws-region", "Region", "editselector", ""],
            ["--cloudtrail-aws-config", "Configuration file", "string", ""],
            ["--cloudtrail-aws-credentials", "Credentials file", "string", ""],
            ["--cloudtrail-aws-endpoint", "Endpoint URL", "string", ""],
            ["--cloudtrail-s3interval", "Time interval", "string", ""],
            ["--cloudtrail-filter", "Keep only", "string", ""],
            ["--cloudtrail-s3accountlist", "Account IDs", "string", ""],
            ["--cloudtrail-s3regionlist", "Regions", "string", ""],
            ["--cloudtrail-s3follow", "Follow", "boolean", "false"],
            // Numbers have no row.
            ["--cloudtrail-s3pollinterval", "Seconds between listings", "number", "30"],
            ["--cloudtrail-validate", "Validate log files", "selector", "off"],
            ["--cloudtrail-s3downloadconcurrency", "Concurrent downloads", "number", "0"],
            ["--cloudtrail-sqsdelete", "Delete SQS messages", "boolean", "true"],
            ["--cloudtrail-sqsowneraccount", "SQS queue owner account", "string", ""],
            ["--cloudtrail-redact", "Redact", "string", ""],
            ["--cloudtrail-othersettings", "Other settings", "string", ""],
            ["--cloudtrail-uses3sns", "SQS messages come from S3 (no effect)", "boolean", "false"],
            ["--cloudtrail-useasync", "Asynchronous extraction (no effect)", "boolean", "true"],
        ]
    );
    for row in &rows {
        let tip = row["tooltip"];
        assert!(
            !tip.contains('\\'),
            "falcodump shows escapes of JSON as they are: {tip}"
        );
    }
}

/// The `{name=value}` parts of a line of falcodump's.
fn parts(line: &str) -> BTreeMap<&str, &str> {
    line.trim_matches(['{', '}'])
        .split("}{")
        .filter_map(|part| part.split_once('='))
        .collect()
}

#[test]
fn what_the_dialog_sets_counts() {
    let Some(hosts) = Hosts::new("settings") else {
        return;
    };
    let trail = hosts.known_trail();
    for (options, expected) in [
        (
            [
                "--cloudtrail-s3downloadconcurrency",
                "1",
                "--cloudtrail-othersettings",
                r#"{"includeInsights":false}"#,
            ],
            "root get denied role document policy block untimed",
        ),
        (
            [
                "--cloudtrail-s3interval",
                "2024-03-06T00:10:00Z",
                "--cloudtrail-othersettings",
                r#"{"includeInsights":true,"s3Interval":"1h"}"#,
            ],
            "document policy block insight untimed",
        ),
        (
            [
                "--cloudtrail-s3interval",
                "2024-03-06T00:00:00Z-2024-03-06T00:05:00Z",
                "--cloudtrail-useasync",
                "false",
            ],
            "root get denied role",
        ),
        (
            [
                "--cloudtrail-s3accountlist",
                "123456789012, 210987654321",
                "--cloudtrail-s3interval",
                "2024-03-06T00:10:00Z-1d",
            ],
            "document policy block insight untimed",
        ),
    ] {
        let output = hosts.falcodump(&trail, "some.scap", &options);
        assert!(output.status.success(), "{options:?}: {output:?}");
        let ids =
            lines(&hosts.stdout(&["strato", "-r", "some.scap", "-T", "fields", "-e", "ct.id"]));
        assert_eq!(ids.join(" "), expected, "{options:?}");
    }
}

#[test]
fn what_is_wrong_is_said_in_every_host() {
    let Some(hosts) = Hosts::new("errors") else {
        return;
    };
    let aws = Aws::start();
    aws.put("empty", "AWSLogs/readme.txt", b"no log file");
    let option = aws.endpoint();
    for (params, expected) in [
        ("/no/such/folder", "/no/such/folder"),
        ("ftp://host/x", "ftp:// is not supported"),
        ("s3://no-such-bucket/AWSLogs/", "no-such-bucket"),
        ("s3://empty/AWSLogs/2", "s3://empty/AWSLogs/2"),
    ] {
        let plugin = format!("{}:{}", hosts.plugin.display(), endpoint(&aws));
        let sysdig = hosts.output(&[
            "sysdig",
            "-H",
            &plugin,
            "-I",
            &format!("cloudtrail:{params}"),
            "-p",
            "%ct.id",
        ]);
        assert!(!sysdig.status.success(), "{params}: {sysdig:?}");
        assert!(
            text(&sysdig.stderr).contains(expected),
            "{params}: {sysdig:?}"
        );
        let falcodump =
            hosts.falcodump(params, "none.scap", &["--cloudtrail-aws-endpoint", &option]);
        assert!(
            messages(&falcodump).contains(expected),
            "{params}: {falcodump:?}"
        );
    }
    // An error in the configuration names its key.
    let falcodump = hosts.falcodump(
        "s3://empty/",
        "none.scap",
        &["--cloudtrail-s3interval", "soon"],
    );
    assert!(messages(&falcodump).contains("s3Interval"), "{falcodump:?}");
    let plugin = format!("{}:{}", hosts.plugin.display(), r#"{"s3Interval":"soon"}"#);
    let sysdig = hosts.output(&["sysdig", "-H", &plugin, "-I", "cloudtrail:s3://empty/"]);
    assert!(text(&sysdig.stderr).contains("s3Interval"), "{sysdig:?}");
}

#[test]
fn an_error_is_said_once_and_not_cut_in_a_word() {
    let Some(hosts) = Hosts::new("once") else {
        return;
    };
    let said = |params: &str| {
        let plugin = hosts.plugin.display().to_string();
        let input = format!("cloudtrail:{params}");
        [
            hosts.output(&["sysdig", "-H", &plugin, "-I", &input]),
            hosts.falcodump(params, "none.scap", &[]),
        ]
        .map(|output| text(&output.stdout) + &text(&output.stderr))
    };
    // Found out at the end of the capture.
    fs::create_dir(hosts.folder.join("broken")).unwrap();
    fs::write(hosts.folder.join("broken/log.json"), "no JSON").unwrap();
    for said in said("broken") {
        assert_eq!(said.matches("nothing could be read").count(), 1, "{said}");
    }
    // Longer than what hosts show.
    let path = "folders/of/which ".repeat(20);
    let whole = format!("{path}: there is no such file or folder");
    for said in said(&path) {
        let shown = said.split_once('…').expect(&said).0;
        let shown = &shown[shown.find("folders").unwrap()..];
        let rest = whole.strip_prefix(shown).expect(shown);
        assert!(rest.starts_with(' ') && shown.len() > 230, "{shown}");
    }
}

#[test]
fn a_digest_in_a_folder_is_no_loss() {
    let Some(hosts) = Hosts::new("digest") else {
        return;
    };
    let trail = hosts.known_trail();
    // By its own name in a folder of its own, and as somebody has called it.
    let digest = br#"{"awsAccountId":"123456789012","digestStartTime":"2024-03-06T00:00:00Z","digestEndTime":"2024-03-06T01:00:00Z","digestS3Bucket":"trail","digestS3Object":"AWSLogs/x.json.gz","logFiles":[]}"#;
    let named = "123456789012_CloudTrail-Digest_us-east-1_trail_us-east-1_20240306T010000Z.json.gz";
    hosts.log_file(named, &gzip(digest));
    hosts.log_file("digest.json", digest);
    let falcodump = hosts.falcodump(&trail, "digest.scap", &[]);
    assert!(falcodump.status.success(), "{falcodump:?}");
    assert_eq!(messages(&falcodump), "");
    let ids = hosts.stdout(&["strato", "-r", "digest.scap", "-T", "fields", "-e", "ct.id"]);
    assert_eq!(lines(&ids), IDS);
}

#[test]
fn what_was_lost_is_said_at_the_end() {
    let Some(hosts) = Hosts::new("loss") else {
        return;
    };
    let trail = hosts.known_trail();
    hosts.log_file(
        "123456789012_CloudTrail_us-east-1_20240306T0015Z_q7RkTz0dLwPfX3vB.json.gz",
        b"no gzip and no JSON",
    );
    let wanted = format!(
        "cloudtrail: 9 events from 2 log files; 1 log file could not be read; the first: {trail}/{DAY}/\
         123456789012_CloudTrail_us-east-1_20240306T0015Z_q7RkTz0dLwPfX3vB.json.gz: "
    );
    let falcodump = hosts.falcodump(&trail, "rest.scap", &[]);
    let plugin = hosts.plugin.display().to_string();
    let input = format!("cloudtrail:{trail}");
    let sysdig = ["sysdig", "-H", &plugin, "-I", &input, "-p", "%ct.id"];
    let sysdig = hosts.output(&sysdig);
    assert_eq!(lines(&text(&sysdig.stdout)), IDS);
    for output in [falcodump, sysdig] {
        assert!(output.status.success(), "{output:?}");
        let said = messages(&output);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&wanted), "{said}");
        println!("{said}");
    }
    let ids = hosts.stdout(&["strato", "-r", "rest.scap", "-T", "fields", "-e", "ct.id"]);
    assert_eq!(lines(&ids), IDS);
}

/// The hosts leave SIGPIPE at its default, which ends the process: a write to a connection that the other side has
/// reset must not raise it. Over TLS, closing a connection writes.
#[test]
fn reset_connections_do_not_end_the_host() {
    let Some(hosts) = Hosts::new("reset") else {
        return;
    };
    let (aws, url) = known_bucket();
    let plugin = format!(
        r#"{}:{{"aws":{{"endpoint":"{}"}}}}"#,
        hosts.plugin.display(),
        aws.secure_endpoint()
    );
    let input = format!("cloudtrail:{url}");
    let run = |arguments: &[&str]| {
        aws.fault_times(4, |request| request.op == Op::GetObject, Fault::Reset);
        let before = aws.log_of(Op::GetObject).len();
        let mut command = hosts.command(arguments);
        let output = command
            .env("AWS_CA_BUNDLE", aws.ca_file())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let asked = aws.log_of(Op::GetObject).len() - before;
        assert_eq!(asked, 4 + LOG_FILES.len());
        text(&output.stdout)
    };
    let shown = run(&["sysdig", "-H", &plugin, "-I", &input, "-p", "%ct.id"]);
    assert_eq!(lines(&shown), IDS);
    run(&[
        "falcodump",
        "--capture",
        "--extcap-interface",
        "cloudtrail",
        "--fifo",
        "reset.scap",
        "--plugin-source",
        url,
        "--include-capture-processes",
        "true",
        "--cloudtrail-aws-endpoint",
        &aws.secure_endpoint(),
    ]);
    let ids = hosts.stdout(&["strato", "-r", "reset.scap", "-T", "fields", "-e", "ct.id"]);
    assert_eq!(lines(&ids), IDS);
}

#[test]
fn an_installed_plugin_is_found() {
    let Some(hosts) = Hosts::new("install") else {
        return;
    };
    let trail = hosts.known_trail();
    let lib = hosts.folder.join(".local/lib/stratoshark");
    fs::remove_dir_all(&lib).unwrap();
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let built = built();
    for _ in 0..2 {
        hosts.stdout(&["bash", install.to_str().unwrap(), built.to_str().unwrap()]);
    }
    // falcodump's wrapper gives the switch that Debian's needs, for the GUI can't.
    let falcodump = lib.join("extcap/falcodump").display().to_string();
    let capture = [
        "--capture",
        "--extcap-interface",
        "cloudtrail",
        "--fifo",
        "installed.scap",
        "--plugin-source",
        &trail,
    ];
    let output = hosts.output(&[&[falcodump.as_str()], &capture[..]].concat());
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let ids = hosts.stdout(&[
        "strato",
        "-r",
        "installed.scap",
        "-T",
        "fields",
        "-e",
        "ct.id",
    ]);
    assert_eq!(lines(&ids), IDS);
    // sysdig finds it after the next login.
    let login = format!("sysdig -I cloudtrail:{trail} -p %ct.id");
    assert_eq!(
        lines(&hosts.stdout(&["bash", "--login", "-c", &login])),
        IDS
    );
    let profile = fs::read_to_string(hosts.folder.join(".profile")).unwrap();
    assert_eq!(profile.lines().count(), 1, "{profile}");
}

/// `plugin-config/falco/` is for Falco; sysdig reads its files, too.
#[test]
fn the_configurations_for_falco_work() {
    let Some(hosts) = Hosts::new("configurations") else {
        return;
    };
    let (aws, url) = known_bucket();
    let trail = hosts.known_trail();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-config/falco");
    // follow.yaml has a test of its own; that for a queue has no end.
    for example in ["s3.yaml", "folder.yaml"] {
        let example = examples.join(example);
        let yaml = fs::read_to_string(&example).unwrap();
        let plugin = hosts.plugin.display().to_string();
        let here = yaml
            .replace(
                "library_path: libcloudtrail.so",
                &format!("library_path: {plugin}"),
            )
            .replace("/var/log/cloudtrail", &trail)
            .replace("s3://my-bucket/AWSLogs/", url)
            .replace(
                r#""s3Interval":"1d""#,
                &format!(
                    r#""s3Interval":"2024-03-06T00:00:00Z","aws":{{"endpoint":"{}"}}"#,
                    aws.endpoint()
                ),
            );
        assert_ne!(here, yaml, "{}", example.display());
        let file = hosts.folder.join("falco.yaml");
        fs::write(&file, here).unwrap();
        let shown = hosts.stdout(&[
            "sysdig",
            "--plugin-config-file",
            &file.display().to_string(),
            "-p",
            "%ct.id",
        ]);
        assert_eq!(lines(&shown), IDS, "{}", example.display());
    }
}

/// A log file that is delivered late: one event.
const LATER: &str = r#"{"eventID":"later","eventTime":"2024-03-06T00:11:00Z","eventName":"Decrypt","eventSource":"kms.amazonaws.com","awsRegion":"us-east-1","eventType":"AwsApiCall"}"#;

/// The record with another ID, as a log file of this minute.
fn deliver_event(aws: &Aws, id: &str, minute: u8) {
    let name =
        format!("123456789012_CloudTrail_us-east-1_20240306T00{minute}Z_Lh3nQ8dVfYpXr2Ka.json.gz");
    let record = LATER.replace("later", id);
    aws.put(
        "logs",
        &format!("{DAY}/{name}"),
        &gzip(&log_text(&[&record])),
    );
}

/// Deliver it once all that was there is read and there were looks for more.
fn deliver_later(aws: &Aws) {
    let looks = || {
        let asked = aws.log_of(Op::ListObjects).into_iter();
        asked
            .filter(|request| request.query.contains_key("start-after"))
            .count()
    };
    assert!(within_a_minute(|| looks() > 3), "it does not look again");
    deliver_event(aws, "later", 15);
}

fn within_a_minute(mut done: impl FnMut() -> bool) -> bool {
    (0..1200).any(|_| {
        thread::sleep(Duration::from_millis(50));
        done()
    })
}

/// The known records, and the one that comes later.
fn ids_with_later() -> Vec<&'static str> {
    [&IDS[..], &["later"]].concat()
}

/// sysdig shows a log file that is delivered after it began, with plugin-config/falco/follow.yaml, and started again it goes
/// on there.
#[test]
fn sysdig_follows_a_bucket() {
    let Some(hosts) = Hosts::new("follow") else {
        return;
    };
    let (aws, url) = known_bucket();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-config/falco/follow.yaml");
    let mut yaml = fs::read_to_string(example).unwrap();
    let library = format!("library_path: {}", hosts.plugin.display());
    let interval = format!(
        r#""s3Interval":"2024-03-06T00:00:00Z","s3PollInterval":1,"aws":{{"endpoint":"{}"}}"#,
        aws.endpoint()
    );
    for (there, here) in [
        ("library_path: libcloudtrail.so", &*library),
        ("s3://my-bucket/AWSLogs/", url),
        (r#""s3Interval":"1h""#, &interval),
        ("/var/lib/cloudtrail", &hosts.folder.display().to_string()),
    ] {
        assert!(yaml.contains(there), "{yaml}");
        yaml = yaml.replace(there, here);
    }
    let file = hosts.folder.join("falco.yaml");
    fs::write(&file, yaml).unwrap();
    let file = file.display().to_string();
    // It stops by itself after the events that it waits for.
    let start = |events: &str| {
        let arguments = [
            "sysdig",
            "--plugin-config-file",
            &file,
            "-n",
            events,
            "-p",
            "%ct.id",
        ];
        let mut command = hosts.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let shown = |sysdig: std::process::Child| {
        let output = sysdig.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        lines(&text(&output.stdout))
    };
    let sysdig = start("10");
    deliver_later(&aws);
    assert_eq!(shown(sysdig), ids_with_later());
    // While it was down; and the batch that it had when it stopped comes again.
    deliver_event(&aws, "latest", 20);
    assert_eq!(shown(start("2")), ["later", "latest"]);
}

/// A live capture as Stratoshark runs it, which ends with a signal.
#[test]
fn falcodump_follows_a_bucket() {
    let Some(hosts) = Hosts::new("follow-live") else {
        return;
    };
    let (aws, url) = known_bucket();
    let arguments = [
        "falcodump",
        "--capture",
        "--extcap-interface",
        "cloudtrail",
        "--fifo",
        "live.scap",
        "--plugin-source",
        url,
        "--include-capture-processes",
        "true",
        "--cloudtrail-s3follow",
        "true",
        "--cloudtrail-s3pollinterval",
        "1",
        "--cloudtrail-aws-endpoint",
        &aws.endpoint(),
    ];
    let mut falcodump = hosts.command(&arguments).spawn().unwrap();
    deliver_later(&aws);
    let shown = || {
        let arguments = ["strato", "-r", "live.scap", "-T", "fields", "-e", "ct.id"];
        // What is being written ends in the middle.
        lines(&text(&hosts.output(&arguments).stdout))
    };
    let all = within_a_minute(|| shown().len() == 10);
    let stopped = std::process::Command::new("kill")
        .arg(falcodump.id().to_string())
        .status();
    assert!(stopped.unwrap().success());
    falcodump.wait().unwrap();
    assert!(all, "{:?}", shown());
    assert_eq!(shown(), ids_with_later());
}
