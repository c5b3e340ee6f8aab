//! The profile for Stratoshark in `plugin-config/stratoshark/`, by strato, which reads the same files.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use harness::geo::Databases;
use harness::hosts::{Hosts, built};
use harness::trail::log_text;

const PROFILE: &str = "CloudTrail Analysis";

fn profile(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("plugin-config/stratoshark")
        .join(PROFILE)
        .join(file)
}

/// Each has its eventID.
#[rustfmt::skip]
const RECORDS: [&str; 10] = [
    r#"{"eventID":"login","eventTime":"2024-03-06T08:00:00Z","eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":false,"responseElements":{"ConsoleLogin":"Success"},"userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"wrong","eventTime":"2024-03-06T08:00:01Z","eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","readOnly":false,"errorMessage":"Failed authentication","responseElements":{"ConsoleLogin":"Failure"},"userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"root","eventTime":"2024-03-06T08:00:02Z","eventName":"CreateAccessKey","eventSource":"iam.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":false,"sessionCredentialFromConsole":"true","userIdentity":{"type":"Root","principalId":"111122223333","accountId":"111122223333"}}"#,
    r#"{"eventID":"denied","eventTime":"2024-03-06T08:00:03Z","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","readOnly":false,"errorCode":"AccessDenied","requestParameters":{"name":"audit"},"userIdentity":{"type":"IAMUser","userName":"mallory","principalId":"AIDA2","accountId":"444455556666"}}"#,
    r#"{"eventID":"missing","eventTime":"2024-03-06T08:00:04Z","eventName":"DescribeInstances","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","readOnly":true,"errorCode":"Client.InvalidInstanceID.NotFound","userIdentity":{"type":"IAMUser","userName":"mallory","principalId":"AIDA2","accountId":"444455556666"}}"#,
    r#"{"eventID":"stopped","eventTime":"2024-03-06T08:00:05Z","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","readOnly":false,"requestParameters":{"name":"audit"},"userIdentity":{"type":"AssumedRole","principalId":"AROA1:eve","arn":"arn:aws:sts::444455556666:assumed-role/admin/eve","accountId":"444455556666","sessionContext":{"sessionIssuer":{"userName":"admin"}}}}"#,
    r#"{"eventID":"opened","eventTime":"2024-03-06T08:00:06Z","eventName":"AuthorizeSecurityGroupIngress","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":false,"requestParameters":{"groupId":"sg-1"},"userIdentity":{"type":"AssumedRole","principalId":"AROA1:eve","arn":"arn:aws:sts::444455556666:assumed-role/admin/eve","accountId":"444455556666","sessionContext":{"sessionIssuer":{"userName":"admin"}}}}"#,
    r#"{"eventID":"secret","eventTime":"2024-03-06T08:00:07Z","eventName":"GetSecretValue","eventSource":"secretsmanager.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":true,"sessionCredentialFromConsole":"true","userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"photo","eventTime":"2024-03-06T08:00:08Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"[aws-cli/2.17.0]","readOnly":true,"managementEvent":false,"eventCategory":"Data","requestParameters":{"bucketName":"photos","key":"a/b.jpg"},"additionalEventData":{"bytesTransferredIn":0,"bytesTransferredOut":48231771},"userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"service","eventTime":"2024-03-06T08:00:09Z","eventName":"DeleteNetworkInterface","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"lambda.amazonaws.com","readOnly":false,"userIdentity":{"type":"AWSService","invokedBy":"lambda.amazonaws.com"}}"#,
];

/// The hosts, with the profile and a capture of the records.
fn captured(test: &str) -> Option<Hosts> {
    let hosts = Hosts::new(test)?;
    fs::write(hosts.folder.join("log.json"), log_text(&RECORDS)).unwrap();
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let built = built();
    let said = hosts.stdout(&["bash", install.to_str().unwrap(), built.to_str().unwrap()]);
    assert!(said.contains(PROFILE), "{said}");
    let output = hosts.falcodump("log.json", "log.scap", &[]);
    assert!(output.status.success(), "{output:?}");
    Some(hosts)
}

/// What strato shows with the profile, having nothing to say about it.
fn strato(hosts: &Hosts, arguments: &[&str]) -> Vec<String> {
    let output = hosts.output(&[&["strato", "-C", PROFILE, "-r", "log.scap"], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("Running as user"))
        .collect();
    assert!(
        output.status.success() && said.is_empty(),
        "{arguments:?}: {said:?}"
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn ids(hosts: &Hosts, filter: &str) -> String {
    strato(hosts, &["-T", "fields", "-e", "ct.id", "-Y", filter]).join(" ")
}

#[test]
fn columns_tell_who_did_what() {
    let Some(hosts) = captured("columns") else {
        return;
    };
    let lines = strato(
        &hosts,
        &[
            "-Y",
            "ct.id in {\"root\", \"denied\", \"stopped\", \"photo\"}",
        ],
    );
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "3 2024-03-06 08:00:02.000000000Z 111122223333 us-east-1 Root root iam CreateAccessKey 192.0.2.10",
            "4 2024-03-06 08:00:03.000000000Z 444455556666 eu-west-1 IAMUser mallory cloudtrail StopLogging AccessDenied audit 203.0.113.9",
            "6 2024-03-06 08:00:05.000000000Z 444455556666 eu-west-1 AssumedRole admin/eve cloudtrail StopLogging audit 203.0.113.9",
            "9 2024-03-06 08:00:08.000000000Z 111122223333 us-east-1 IAMUser alice s3 GetObject photos,a/b.jpg 192.0.2.10 [aws-cli/2.17.0]",
        ]
    );
}

/// They are hidden, and here all the same.
#[test]
fn columns_tell_who_stands_behind_a_role_and_where_from() {
    let text = fs::read_to_string(profile("preferences")).unwrap();
    let columns: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("\", \"%"))
        .collect();
    let hidden = text.split("gui.column.hide: ").nth(1).unwrap();
    let hidden = hidden.lines().next().unwrap().split(',');
    let hidden: Vec<usize> = hidden.map(|number| number.parse().unwrap()).collect();
    assert_eq!(hidden.len(), 2);
    for (number, field) in hidden.into_iter().zip(["ct.origin", "ct.geo.country"]) {
        assert!(
            columns[number - 1].contains(&format!("%Cus:{field}:0:U")),
            "{text}"
        );
    }
}

#[test]
fn colours_tell_what_matters() {
    let Some(hosts) = captured("colours") else {
        return;
    };
    let colours = strato(
        &hosts,
        &[
            "--color",
            "-T",
            "fields",
            "-E",
            "separator=:",
            "-e",
            "ct.id",
            "-e",
            "frame.coloring_rule.name",
        ],
    );
    assert_eq!(
        colours,
        [
            "login:Login",
            "wrong:Login failed",
            "root:Root user",
            "denied:Refused",
            "missing:Error",
            "stopped:Logging or detection changed",
            "opened:Change",
            "secret:Secret read",
            "photo:Read",
            "service:Deletion",
        ]
    );
    let text = fs::read_to_string(profile("colorfilters")).unwrap();
    let mut seen = 0;
    for line in text.lines().filter(|line| line.starts_with('@')) {
        // @name@filter@[background][text]
        ids(&hosts, line.split('@').nth(2).unwrap());
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn buttons_answer_what_analysts_ask() {
    let Some(hosts) = captured("buttons") else {
        return;
    };
    let text = fs::read_to_string(profile("dfilter_buttons")).unwrap();
    let mut buttons: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        // "TRUE","label","filter","comment"
        let parts: Vec<&str> = line[1..line.len() - 1].split("\",\"").collect();
        assert_eq!((parts.len(), parts[0]), (4, "TRUE"), "{line}");
        assert!(
            buttons
                .insert(parts[1].to_owned(), parts[2].replace("\\x22", "\""))
                .is_none(),
            "{line}"
        );
    }
    for (label, expected) in [
        ("Errors", "wrong denied missing"),
        ("Refused", "denied"),
        ("Console logins", "login wrong"),
        ("By hand", "login wrong root secret"),
        ("Root", "root"),
        (
            "Changes//All",
            "login wrong root denied stopped opened service",
        ),
        (
            "Changes//All that worked",
            "login root stopped opened service",
        ),
        ("Changes//Users, roles, policies", "root"),
        ("Changes//Logging and detection", "denied stopped"),
        ("Changes//Networks", "opened"),
        ("Changes//Deletions", "denied stopped service"),
        ("Data events//All", "photo"),
        ("Data events//More than 10 MB", "photo"),
        ("Data events//Secrets and keys", "secret"),
        ("Insights", ""),
        (
            "Not by AWS",
            "login wrong root denied missing stopped opened secret photo",
        ),
    ] {
        let filter = buttons
            .remove(label)
            .unwrap_or_else(|| panic!("no button {label}"));
        assert_eq!(ids(&hosts, &filter), expected, "{label}");
    }
    // Those for the chosen event, which there is none of in strato: as they are, and with its value.
    for (label, field, value, expected) in [
        ("Same//User", "ct.user", "alice", "login wrong secret photo"),
        ("Same//Origin", "ct.origin", "mallory", "denied missing"),
        (
            "Same//Session",
            "ct.user.principalid",
            "AROA1:eve",
            "stopped opened",
        ),
        (
            "Same//Address",
            "ct.srcip",
            "203.0.113.9",
            "wrong denied missing stopped",
        ),
        (
            "Same//Event name",
            "ct.name",
            "StopLogging",
            "denied stopped",
        ),
        ("Same//Bucket", "s3.bucket", "photos", "photo"),
        (
            "Same//Account",
            "ct.user.accountid",
            "444455556666",
            "denied missing stopped opened",
        ),
    ] {
        let filter = buttons
            .remove(label)
            .unwrap_or_else(|| panic!("no button {label}"));
        assert_eq!(ids(&hosts, &filter), "", "{label}");
        let chosen = filter.replace(&format!("${{{field}}}"), &format!("\"{value}\""));
        assert_ne!(chosen, filter, "{label}");
        assert_eq!(ids(&hosts, &chosen), expected, "{label}");
    }
    // Stratoshark gives the plugin no settings when it reads a file: the environment names the databases.
    let Some(databases) = Databases::make() else {
        return;
    };
    let paths = databases.of(&["dbip-country", "dbip-asn"]);
    for (label, field, value) in [
        ("Same//Country", "ct.geo.country", "\"BR\""),
        ("Same//Network", "ct.geo.asn", "64511"),
    ] {
        let filter = buttons
            .remove(label)
            .unwrap_or_else(|| panic!("no button {label}"));
        let chosen = filter.replace(&format!("${{{field}}}"), value);
        let arguments = [
            "strato", "-r", "log.scap", "-T", "fields", "-e", "ct.id", "-Y", &chosen,
        ];
        let with = |paths: &str| {
            let mut command = hosts.command(&arguments);
            let output = command.env("CLOUDTRAIL_GEO_DATABASES", paths).output();
            output.unwrap()
        };
        let shown = String::from_utf8(with(&paths).stdout).unwrap();
        let shown: Vec<&str> = shown.lines().collect();
        assert_eq!(shown.join(" "), "login root opened secret photo", "{label}");
        // One that is gone is said, and costs its fields alone.
        let output = with("/nowhere/x.mmdb");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("/nowhere/x.mmdb: can't be read"), "{said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    }
    assert!(buttons.is_empty(), "not tested: {buttons:?}");
}

#[test]
fn what_the_user_made_of_the_profile_stays() {
    let Some(hosts) = captured("profile") else {
        return;
    };
    let installed = hosts
        .folder
        .join(".config/stratoshark/profiles")
        .join(PROFILE)
        .join("dfilter_buttons");
    assert_eq!(
        fs::read(&installed).unwrap(),
        fs::read(profile("dfilter_buttons")).unwrap()
    );
    fs::write(&installed, "").unwrap();
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let built = built();
    hosts.stdout(&["bash", install.to_str().unwrap(), built.to_str().unwrap()]);
    assert_eq!(fs::read(&installed).unwrap(), b"");
}
