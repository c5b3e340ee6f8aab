//! What works in the AWS CLI works here: both run on the same environment, files and servers, over a matrix of set-ups.
//!
//! In each cell both work, and the servers saw the same key, region, host, path and token; or both fail; or the cell says
//! why they differ. `scripts/awscli` puts the CLI into target/awscli. `UPDATE_README=1 cargo test --test aws_cli` writes
//! the table of differences in docs/credentials.md anew.

#![cfg(unix)]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use harness::{
    aws::{self, ACCESS_KEY, Aws, Credentials, Op, Request, SECRET_KEY},
    capture::{Capture, bound_by_permissions},
    hosts::installed,
    proxy::Proxy,
    trail::Maker,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

const ROLE: &str = "arn:aws:iam::123456789012:role/audit";
const OTHER_ROLE: &str = "arn:aws:iam::123456789012:role/other";
/// One with an external ID.
const TENANT: &str = "arn:aws:iam::123456789012:role/tenant";

/// How the two compare.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Same,
    /// Works here only, and why.
    Here(&'static str),
    /// Both work, by other requests, and why.
    Otherwise(&'static str),
}

/// What a cell asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    /// An object of a bucket.
    Object,
    /// A queue's URL.
    Queue,
    /// The event history of this region.
    History(&'static str),
}

/// A set-up.
#[derive(Debug, Clone)]
struct Cell {
    asked: Asked,
    group: &'static str,
    name: String,
    env: BTreeMap<String, String>,
    files: Vec<(String, Vec<u8>)>,
    /// Files and folders, and who may do what with them, if not everything.
    modes: Vec<(&'static str, u32)>,
    verdict: Verdict,
}

impl Cell {
    fn new(group: &'static str, name: impl Into<String>) -> Self {
        Self {
            asked: Asked::Object,
            group,
            name: name.into(),
            env: BTreeMap::new(),
            files: vec![],
            modes: vec![],
            verdict: Verdict::Same,
        }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn keys(self) -> Self {
        self.env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    }

    fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), text.into()));
        self
    }

    fn mode(mut self, path: &'static str, mode: u32) -> Self {
        self.modes.push((path, mode));
        self
    }

    fn config(self, text: &str) -> Self {
        self.file(".aws/config", text)
    }

    fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }
}

/// A variable that is set otherwise, and is not set.
const UNSET: &str = "{UNSET}";

/// Keys of a profile, in any file.
const KEYS: &str =
    "aws_access_key_id = {A1}\naws_secret_access_key = {S1}\naws_session_token = {T1}\n";
const OTHER_KEYS: &str =
    "aws_access_key_id = {A2}\naws_secret_access_key = {S2}\naws_session_token = {T2}\n";

const EMPTY: Verdict = Verdict::Here("what is empty counts as not set");
const EXPIRY: Verdict = Verdict::Here("AWS decides whether credentials have expired");
const OLD_HOST: Verdict = Verdict::Otherwise(
    "version 1 of the CLI asks SQS by an old host name, `REGION.queue.amazonaws.com`, whatever endpoint is configured",
);
const LENIENT: &str = "the later one counts, as in AWS's SDK for Rust";

/// Forms of a file, by name; `H` is the profile's section, `K` its keys.
const FORMS: &[(&str, &str, Verdict)] = &[
    ("plain", "[H]\nregion = eu-west-1\nK", Verdict::Same),
    (
        "text behind the section",
        "[H] # the auditor's\nregion = eu-west-1\nK",
        Verdict::Same,
    ),
    (
        "indented properties",
        "[H]\n  region = eu-west-1\n  aws_access_key_id = {A1}\n  aws_secret_access_key = {S1}\n  aws_session_token = {T1}\n",
        Verdict::Same,
    ),
    (
        "indented properties of another profile",
        "[profile zz]\n    region = x\n    output = json\n[H]\nregion = eu-west-1\nK",
        Verdict::Same,
    ),
    (
        "an indented section",
        "  [H]\nregion = eu-west-1\nK",
        Verdict::Same,
    ),
    (
        "colons",
        "[H]\nregion: eu-west-1\naws_access_key_id: {A1}\naws_secret_access_key : {S1}\naws_session_token:{T1}\n",
        Verdict::Same,
    ),
    (
        "comments",
        "# first\n[H]\n; second\nregion = eu-west-1\n  # third\nK",
        Verdict::Same,
    ),
    (
        "a comment behind a value",
        "[H]\nregion = eu-west-1 # Ireland\nK",
        Verdict::Same,
    ),
    (
        "blank lines",
        "\n\n[H]\n\nregion = eu-west-1\n\n\nK\n\n",
        Verdict::Same,
    ),
    (
        "CRLF",
        "[H]\r\nregion = eu-west-1\r\naws_access_key_id = {A1}\r\naws_secret_access_key = {S1}\r\naws_session_token = {T1}\r\n",
        Verdict::Same,
    ),
    (
        "CR",
        "[H]\rregion = eu-west-1\raws_access_key_id = {A1}\raws_secret_access_key = {S1}\raws_session_token = {T1}\r",
        Verdict::Same,
    ),
    (
        "a mark of the order of bytes",
        "\u{feff}[H]\nregion = eu-west-1\nK",
        Verdict::Here("Windows' Notepad writes it"),
    ),
    (
        "capital letters in keys",
        "[H]\nRegion = eu-west-1\nAWS_ACCESS_KEY_ID = {A1}\nAWS_SECRET_ACCESS_KEY = {S1}\nAws_Session_Token = {T1}\n",
        Verdict::Same,
    ),
    (
        "no blanks",
        "[H]\nregion=eu-west-1\naws_access_key_id={A1}\naws_secret_access_key={S1}\naws_session_token={T1}",
        Verdict::Same,
    ),
    (
        "nested values",
        "[H]\ns3 =\n  max_concurrent_requests = 2\n\n  addressing_style = auto\nregion = eu-west-1\nK",
        Verdict::Same,
    ),
    (
        "a section twice",
        "[H]\nregion = eu-west-1\n[H]\nK",
        Verdict::Here(LENIENT),
    ),
    (
        "a key twice",
        "[H]\nregion = x\nregion = eu-west-1\nK",
        Verdict::Here(LENIENT),
    ),
    (
        "other sections",
        "[toplevel]\nx = y\n[preview]\n[H]\nregion = eu-west-1\nK",
        Verdict::Same,
    ),
    (
        "a section of all",
        "[DEFAULT]\nregion = eu-west-1\n[H]\nK",
        Verdict::Same,
    ),
    (
        "a line without =",
        "[H]\nregion = eu-west-1\nK\noops\n",
        Verdict::Same,
    ),
    (
        "a key before any section",
        "region = eu-west-1\n[H]\nK",
        Verdict::Same,
    ),
];

/// Names of profiles, and their sections.
const NAMES: &[(&str, &str)] = &[
    ("audit", "profile audit"),
    ("my audit", "profile \"my audit\""),
    ("équipe", "profile équipe"),
];

fn forms(cells: &mut Vec<Cell>) {
    for (name, header) in NAMES {
        for (form, text, verdict) in FORMS {
            let text = text
                .replace("[H]", &format!("[{header}]"))
                .replace("\nK", &format!("\n{KEYS}"));
            cells.push(
                Cell::new("files", format!("{form}, profile {name}"))
                    .env("AWS_PROFILE", name)
                    .config(&text)
                    .verdict(*verdict),
            );
        }
    }
    let more: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("only a comment", b"# nothing\n"),
        (
            "bytes that are not UTF-8",
            b"# caf\xe9\n[default]\nregion = us-east-1\n",
        ),
        ("UTF-16", b"\xff\xfe[\0d\0]\0"),
        (
            "a section without its end",
            b"[default\nregion = us-east-1\n",
        ),
        (
            "a profile in quotes that stay open",
            b"[profile \"x]\nregion = x\n[default]\nregion = us-east-1\n",
        ),
        (
            "a profile of two words",
            b"[profile a b]\nregion = x\n[default]\nregion = us-east-1\n",
        ),
    ];
    for (name, bytes) in more {
        cells.push(
            Cell::new("files", format!("configuration: {name}"))
                .keys()
                .file(".aws/config", *bytes),
        );
        cells.push(
            Cell::new("files", format!("credentials: {name}"))
                .keys()
                .file(".aws/credentials", *bytes),
        );
    }
    let here = format!("[default]\nregion = eu-west-1\n{KEYS}");
    for (name, variable, path) in [
        ("a path", "AWS_CONFIG_FILE", "{HOME}/my/settings"),
        ("~", "AWS_CONFIG_FILE", "~/my/settings"),
        ("$HOME", "AWS_CONFIG_FILE", "$HOME/my/settings"),
        ("${MINE}", "AWS_CONFIG_FILE", "${MINE}/settings"),
        (
            "a path",
            "AWS_SHARED_CREDENTIALS_FILE",
            "{HOME}/my/settings",
        ),
        ("~", "AWS_SHARED_CREDENTIALS_FILE", "~/my/settings"),
        (
            "a variable that is not set",
            "AWS_CONFIG_FILE",
            "$NOWHERE/my/settings",
        ),
        (
            "a file that is missing",
            "AWS_CONFIG_FILE",
            "{HOME}/nowhere",
        ),
        ("a folder", "AWS_SHARED_CREDENTIALS_FILE", "{HOME}/my"),
        ("below what is no folder", "AWS_CONFIG_FILE", "/dev/null/x"),
        ("a device", "AWS_CONFIG_FILE", "/dev/null"),
    ] {
        cells.push(
            Cell::new("files", format!("{variable}: {name}"))
                .env(variable, path)
                .env("MINE", "{HOME}/my")
                .file("my/settings", here.clone()),
        );
    }
}

fn profiles(cells: &mut Vec<Cell>) {
    let files = format!(
        "[default]\nregion = us-east-1\n{KEYS}\n[profile audit]\nregion = eu-west-1\n{OTHER_KEYS}"
    );
    let choices: &[(&str, &[(&str, &str)])] = &[
        ("none", &[]),
        ("AWS_PROFILE", &[("AWS_PROFILE", "audit")]),
        ("AWS_DEFAULT_PROFILE", &[("AWS_DEFAULT_PROFILE", "audit")]),
        (
            "both",
            &[("AWS_DEFAULT_PROFILE", "audit"), ("AWS_PROFILE", "default")],
        ),
        (
            "both, the other way",
            &[("AWS_DEFAULT_PROFILE", "default"), ("AWS_PROFILE", "audit")],
        ),
        (
            "AWS_PROFILE that is not there",
            &[("AWS_PROFILE", "nobody")],
        ),
        (
            "AWS_DEFAULT_PROFILE that is not there",
            &[("AWS_DEFAULT_PROFILE", "nobody")],
        ),
    ];
    for (name, env) in choices {
        for with_keys in [false, true] {
            let mut cell = Cell::new(
                "profiles",
                format!("{name}, keys in the environment: {with_keys}"),
            )
            .config(&files);
            for (name, value) in *env {
                cell = cell.env(name, value);
            }
            cells.push(if with_keys { cell.keys() } else { cell });
        }
    }
    for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
        cells.push(
            Cell::new("profiles", format!("{name} is empty"))
                .env(name, "")
                .config(&files)
                .verdict(EMPTY),
        );
    }
    let split: &[(&str, &str, &str)] = &[
        (
            "keys in both files",
            "[profile audit]\nregion = eu-west-1\n{K2}",
            "[audit]\n{K1}",
        ),
        (
            "keys in the credentials file only",
            "[profile audit]\nregion = eu-west-1\n",
            "[audit]\n{K1}",
        ),
        (
            "region in the credentials file",
            "",
            "[audit]\nregion = eu-west-1\n{K1}",
        ),
        (
            "profile in its credentials section",
            "",
            "[profile audit]\n{K1}",
        ),
        (
            "a profile without credentials",
            "[profile audit]\nregion = eu-west-1\n",
            "",
        ),
        (
            "a key without its secret",
            "[profile audit]\naws_access_key_id = {A1}\n",
            "",
        ),
        (
            "an old name of the token",
            "[profile audit]\naws_access_key_id = {A1}\naws_secret_access_key = {S1}\naws_security_token = {T1}\n",
            "",
        ),
    ];
    for (name, config, credentials) in split {
        let fill = |text: &str| text.replace("{K1}", KEYS).replace("{K2}", OTHER_KEYS);
        cells.push(
            Cell::new("profiles", *name)
                .env("AWS_PROFILE", "audit")
                .config(&fill(config))
                .file(".aws/credentials", fill(credentials)),
        );
    }
    cells.push(
        Cell::new("profiles", "AWS_SECURITY_TOKEN")
            .env("AWS_ACCESS_KEY_ID", "{A1}")
            .env("AWS_SECRET_ACCESS_KEY", "{S1}")
            .env("AWS_SECURITY_TOKEN", "{T1}"),
    );
    cells.push(
        Cell::new("profiles", "AWS_SESSION_TOKEN")
            .env("AWS_ACCESS_KEY_ID", "{A1}")
            .env("AWS_SECRET_ACCESS_KEY", "{S1}")
            .env("AWS_SESSION_TOKEN", "{T1}"),
    );
    for (name, until, verdict) in [
        (
            "credentials that expire later",
            "2099-01-01T00:00:00Z",
            Verdict::Same,
        ),
        (
            "credentials that have expired, the variable says",
            "2001-01-01T00:00:00Z",
            EXPIRY,
        ),
        ("an expiry that is not a time", "tomorrow", EXPIRY),
    ] {
        let cell = Cell::new("profiles", name).verdict(verdict);
        let cell = cell.config("[default]\nregion = us-east-1\n");
        cells.push(
            cell.env("AWS_ACCESS_KEY_ID", "{A1}")
                .env("AWS_SECRET_ACCESS_KEY", "{S1}")
                .env("AWS_SESSION_TOKEN", "{T1}")
                .env("AWS_CREDENTIAL_EXPIRATION", until),
        );
    }
    cells.push(
        Cell::new("profiles", "AWS_SECRET_ACCESS_KEY is missing").env("AWS_ACCESS_KEY_ID", "{A1}"),
    );
}

/// Profiles `audit` that get credentials from elsewhere; `{K1}` and `{K2}` are keys.
const CHAINS: &[(&str, &str)] = &[
    (
        "a role",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = base\n[profile base]\n{K1}",
    ),
    (
        "a role with its name, ID and duration",
        "[profile audit]\nrole_arn = {TENANT}\nsource_profile = base\nrole_session_name = me\nexternal_id = tenant-7\nduration_seconds = 7200\n[profile base]\n{K1}",
    ),
    (
        "a duration that is no number",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = base\nrole_session_name = me\nduration_seconds = long\n[profile base]\n{K1}",
    ),
    (
        "a wrong external ID",
        "[profile audit]\nrole_arn = {TENANT}\nsource_profile = base\nexternal_id = tenant-8\n[profile base]\n{K1}",
    ),
    (
        "a role of a role",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = mid\nrole_session_name = first\n[profile mid]\nrole_arn = {OTHER}\nsource_profile = base\nrole_session_name = second\n[profile base]\n{K1}",
    ),
    (
        "a source with a role and keys",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = mid\nrole_session_name = first\n[profile mid]\nrole_arn = {OTHER}\nsource_profile = base\n{K2}\n[profile base]\n{K1}",
    ),
    (
        "a role with keys of its own",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = audit\nrole_session_name = first\n{K1}",
    ),
    (
        "a role of itself without keys",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = audit\n",
    ),
    (
        "roles in a circle",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nrole_arn = {OTHER}\nsource_profile = audit\n",
    ),
    (
        "a source that is missing",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = nobody\n",
    ),
    (
        "a role without a source",
        "[profile audit]\nrole_arn = {ROLE}\n{K1}",
    ),
    (
        "a role with two sources",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = base\ncredential_source = Environment\n[profile base]\n{K1}",
    ),
    (
        "a role that may not be assumed",
        "[profile audit]\nrole_arn = arn:aws:iam::123456789012:role/nobody\nsource_profile = base\n[profile base]\n{K1}",
    ),
    (
        "a role with mfa_serial",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = base\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n[profile base]\n{K1}",
    ),
    (
        "a role and the region of its source",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = base\nrole_session_name = first\n[profile base]\nregion = eu-west-1\n{K1}",
    ),
    (
        "credential_source of an unknown kind",
        "[profile audit]\nrole_arn = {ROLE}\ncredential_source = Elsewhere\n",
    ),
    (
        "credential_source Environment without any",
        "[profile audit]\nrole_arn = {ROLE}\ncredential_source = Environment\n",
    ),
    (
        "credential_source without a role",
        "[profile audit]\ncredential_source = Environment\n",
    ),
    (
        "a web identity",
        "[profile audit]\nrole_arn = {ROLE}\nweb_identity_token_file = {HOME}/token\nrole_session_name = web\n",
    ),
    (
        "a web identity of a source",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = web\nrole_session_name = first\n[profile web]\nrole_arn = {OTHER}\nweb_identity_token_file = {HOME}/token\nrole_session_name = web\n",
    ),
    (
        "a web identity without its role",
        "[profile audit]\nweb_identity_token_file = {HOME}/token\n",
    ),
    (
        "a web identity whose token is missing",
        "[profile audit]\nrole_arn = {ROLE}\nweb_identity_token_file = {HOME}/nowhere\n",
    ),
    (
        "a process",
        "[profile audit]\ncredential_process = cat {HOME}/answer.json\n",
    ),
    (
        "a process with quotes",
        "[profile audit]\ncredential_process = \"{HOME}/my bin/tool\" --for 'the audit' \"$HOME\"\n",
    ),
    (
        "a process with a backslash",
        "[profile audit]\ncredential_process = {HOME}/my\\ bin/tool --for 'the audit' \"$HOME\"\n",
    ),
    (
        "a process with what means something to a shell",
        "[profile audit]\ncredential_process = cat {HOME}/answer.json > {HOME}/x\n",
    ),
    (
        "a process below ~",
        "[profile audit]\ncredential_process = cat ~/answer.json\n",
    ),
    (
        "a process that fails",
        "[profile audit]\ncredential_process = false\n",
    ),
    (
        "a process that is not there",
        "[profile audit]\ncredential_process = {HOME}/nowhere\n",
    ),
    (
        "a process that says something else",
        "[profile audit]\ncredential_process = echo hello\n",
    ),
    (
        "a process of another version",
        "[profile audit]\ncredential_process = echo '{\"Version\": 2}'\n",
    ),
    (
        "a process that never expires",
        "[profile audit]\ncredential_process = cat {HOME}/lasting.json\n",
    ),
    (
        "a process and keys",
        "[profile audit]\ncredential_process = cat {HOME}/answer.json\n{K2}",
    ),
    (
        "a process of a source",
        "[profile audit]\nrole_arn = {ROLE}\nsource_profile = tool\nrole_session_name = first\n[profile tool]\ncredential_process = cat {HOME}/answer.json\n",
    ),
    (
        "a login session that is missing",
        "[profile audit]\nlogin_session = arn:aws:iam::123456789012:user/nobody\n",
    ),
    (
        "a login session",
        "[profile audit]\nlogin_session = arn:aws:iam::123456789012:user/carol\n",
    ),
];

/// What a process prints.
const ANSWER: &str = r#"{"Version": 1, "AccessKeyId": "{A1}", "SecretAccessKey": "{S1}", "SessionToken": "{T1}", "Expiration": "2999-01-01T00:00:00Z"}"#;

fn chains(cells: &mut Vec<Cell>) {
    let login = r#"{"accessToken": {"accessKeyId": "{A1}", "secretAccessKey": "{S1}", "sessionToken": "{T1}", "accountId": "123456789012", "expiresAt": "2999-01-01T00:00:00Z"},
        "tokenType": "aws_sigv4", "refreshToken": "r", "idToken": "i", "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "k"}"#;
    let tool = "#!/bin/sh\n[ \"$1\" = --for ] && [ \"$2\" = 'the audit' ] && [ \"$3\" = '$HOME' ] && cat \"$HOME/answer.json\"\n";
    let fill = |text: &str| {
        text.replace("{K1}", KEYS)
            .replace("{K2}", OTHER_KEYS)
            .replace("{ROLE}", ROLE)
            .replace("{OTHER}", OTHER_ROLE)
            .replace("{TENANT}", TENANT)
    };
    let with_files = |name: &str, config: &str| {
        Cell::new("credentials", name)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .config(&fill(config))
            .file("token", "identity-token-never-in-a-log")
            .file("answer.json", ANSWER)
            .file("lasting.json", ANSWER.replace(r#", "Expiration": "2999-01-01T00:00:00Z""#, ""))
            .file("my bin/tool", tool)
            .file(".aws/login/cache/db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json", login)
    };
    for (name, config) in CHAINS {
        cells.push(with_files(name, config).env("AWS_PROFILE", "audit"));
    }
    let end = "2999-01-01T00:00:00Z";
    for (name, answer) in [
        (
            "that ends …UTC",
            ANSWER.replace(end, "2999-01-01T00:00:00UTC"),
        ),
        (
            "that ends with an offset",
            ANSWER.replace(end, "2999-01-01T02:00:00+0200"),
        ),
        (
            "that ends after a blank",
            ANSWER.replace(end, "2999-01-01 00:00:00Z"),
        ),
        (
            "that has ended",
            ANSWER.replace(end, "2020-01-01T00:00:00Z"),
        ),
        (
            "that never end",
            ANSWER.replace(end, "9999-12-31T23:59:59Z"),
        ),
        (
            "that ends in Greenwich",
            ANSWER.replace(end, "2099-01-01T00:00:00 GMT"),
        ),
        (
            "that ends as a mail says",
            ANSWER.replace(end, "Thu, 01 Jan 2099 00:00:00 GMT"),
        ),
        ("of version 1.0", ANSWER.replace("1,", "1.0,")),
        ("that ends at no time", ANSWER.replace(end, "soon")),
        ("whose version is text", ANSWER.replace("1,", "\"1\",")),
        ("without a version", ANSWER.replace("\"Version\": 1,", "")),
        (
            "in small letters",
            ANSWER.replace("AccessKeyId", "accesskeyid"),
        ),
        (
            "without a secret",
            ANSWER.replace("SecretAccessKey", "Secret"),
        ),
        ("without a token", ANSWER.replace("SessionToken", "Token")),
        (
            "with more members",
            ANSWER.replace(
                "1,",
                "1, \"AccountId\": \"123456789012\", \"More\": {\"a\": []},",
            ),
        ),
        ("over lines", ANSWER.replace(", ", ",\n\t") + "\n\n"),
        ("and more behind it", format!("{ANSWER} done")),
        ("and words before it", format!("Assuming a role\n{ANSWER}")),
        (
            "with a mark of the order of bytes",
            format!("\u{feff}{ANSWER}"),
        ),
    ] {
        let config = "[profile audit]\ncredential_process = cat {HOME}/printed.json\n";
        let verdict = match name {
            "that has ended" => EXPIRY,
            _ => Verdict::Same,
        };
        let name = format!("a process that prints keys {name}");
        cells.push(
            with_files(&name, config)
                .file("printed.json", answer)
                .env("AWS_PROFILE", "audit")
                .verdict(verdict),
        );
    }
    let source = |kind: &str| {
        format!(
            "[profile audit]\nrole_arn = {ROLE}\nrole_session_name = own\ncredential_source = {kind}\n"
        )
    };
    let container = |cell: Cell| {
        cell.env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "{ENDPOINT}/container/credentials",
        )
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")
    };
    let instance = |cell: Cell| {
        cell.env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{ENDPOINT}")
    };
    let web = |cell: Cell| {
        cell.env("AWS_WEB_IDENTITY_TOKEN_FILE", "{HOME}/token")
            .env("AWS_ROLE_ARN", ROLE)
            .env("AWS_ROLE_SESSION_NAME", "env")
    };
    let audit = |cell: Cell| cell.env("AWS_PROFILE", "audit");
    cells.push(audit(
        with_files("credential_source Environment", &source("Environment")).keys(),
    ));
    cells.push(audit(container(with_files(
        "credential_source EcsContainer",
        &source("EcsContainer"),
    ))));
    cells.push(audit(instance(with_files(
        "credential_source Ec2InstanceMetadata",
        &source("Ec2InstanceMetadata"),
    ))));
    cells.push(container(with_files("a container", "")));
    cells.push(container(
        with_files("a container with its token in a file", "")
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "{HOME}/token"),
    ));
    cells.push(container(with_files(
        "a container and a profile",
        "[default]\n{K1}",
    )));
    cells.push(audit(container(with_files(
        "a container for a profile without credentials",
        "[profile audit]\n",
    ))));
    // What is on this machine is not asked for through a proxy.
    cells.push(
        container(with_files(
            "a container beside a proxy that is not there",
            "",
        ))
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", UNSET),
    );
    for variable in ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"] {
        let name = format!("a role of a configured endpoint, with {variable}");
        let role = "[profile audit]\nrole_arn = {ROLE}\nsource_profile = base\nrole_session_name = me\n[profile base]\n{K1}";
        cells.push(
            audit(with_files(&name, role))
                .env(variable, "true")
                .env("AWS_ENDPOINT_URL", "{ENDPOINT}"),
        );
    }
    let of_profile = "[profile audit]\nec2_metadata_service_endpoint = {ENDPOINT}\n";
    for variable in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
        let name = format!("an instance that the profile of {variable} tells of");
        cells.push(
            with_files(&name, of_profile)
                .env(variable, "audit")
                .env("AWS_EC2_METADATA_DISABLED", "false"),
        );
    }
    cells.push(instance(with_files("an instance", "")));
    cells.push(instance(container(with_files(
        "a container on an instance",
        "",
    ))));
    cells.push(web(with_files("a web identity of the environment", "")));
    cells.push(web(with_files(
        "a web identity and keys of the environment",
        "",
    )
    .keys()));
    cells.push(web(with_files(
        "a web identity of the environment and a profile with keys",
        "[default]\n{K1}",
    )));
    cells.push(with_files("nothing", ""));
}

/// Times at which a token ends, and what comes of it.
const ENDS: &[(&str, Verdict)] = &[
    ("2999-01-01T00:00:00Z", Verdict::Same),
    ("2999-01-01T00:00:00UTC", Verdict::Same),
    ("2999-01-01T00:00:00+00:00", Verdict::Same),
    ("2999-01-01T02:00:00+0200", Verdict::Same),
    ("2999-01-01 00:00:00Z", Verdict::Same),
    ("2999-01-01T00:00:00.123456Z", Verdict::Same),
    ("2020-01-01T00:00:00Z", Verdict::Same),
    ("2020-01-01T00:00:00UTC", Verdict::Same),
    ("soon", Verdict::Same),
];

fn single_sign_on(cells: &mut Vec<Cell>) {
    let role = "sso_account_id = 123456789012\nsso_role_name = Audit\n";
    let legacy = "sso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
    let session = "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
    let kinds = [
        (
            "legacy",
            format!("[profile work]\nregion = us-east-1\n{role}{legacy}"),
        ),
        (
            "session",
            format!("[profile work]\nregion = us-east-1\nsso_session = corp\n{role}{session}"),
        ),
        (
            "session and the legacy keys",
            format!(
                "[profile work]\nregion = us-east-1\nsso_session = corp\n{role}{legacy}{session}"
            ),
        ),
    ];
    let token = |end: &str, more: &str| {
        format!(
            r#"{{"accessToken": "sso-token", "expiresAt": "{end}", "region": "us-east-1", "startUrl": "https://corp.awsapps.com/start"{more}}}"#
        )
    };
    let with_token = |name: String, config: &str, token: &str| {
        let mut cell = Cell::new("single sign-on", name)
            .env("AWS_PROFILE", "work")
            .config(config);
        // SHA-1 of the session's name, and of the URL.
        for name in [
            "ee0bfd2552fbd840c02cc48b6e823320543c450f",
            "a51746d4aa793ae07b25e90c3a5db96fc7832bd7",
        ] {
            cell = cell.file(&format!(".aws/sso/cache/{name}.json"), token);
        }
        cell
    };
    for (kind, config) in &kinds {
        for (end, verdict) in ENDS {
            cells.push(
                with_token(format!("{kind}, {end}"), config, &token(end, "")).verdict(*verdict),
            );
        }
    }
    let renewable = r#", "clientId": "c", "clientSecret": "s", "refreshToken": "r", "registrationExpiresAt": "2999-01-01T00:00:00Z""#;
    let ended = r#", "clientId": "c", "clientSecret": "s", "refreshToken": "r", "registrationExpiresAt": "2020-01-01T00:00:00Z""#;
    for (kind, config) in &kinds {
        for (name, more) in [
            ("that can be renewed", renewable),
            ("whose registration has ended", ended),
        ] {
            cells.push(with_token(
                format!("{kind}, an expired token {name}"),
                config,
                &token("2020-01-01T00:00:00Z", more),
            ));
        }
    }
    let good = token("2999-01-01T00:00:00Z", "");
    for (name, config) in [
        (
            "a session that is missing",
            format!("[profile work]\nsso_session = nobody\n{role}"),
        ),
        (
            "another URL in profile and session",
            format!(
                "[profile work]\nsso_session = corp\nsso_start_url = https://x\n{role}{session}"
            ),
        ),
        (
            "without an account",
            format!("[profile work]\nsso_session = corp\nsso_role_name = Audit\n{session}"),
        ),
        (
            "without a region",
            format!("[profile work]\n{role}sso_start_url = https://corp.awsapps.com/start\n"),
        ),
        (
            "a role on top",
            format!(
                "[profile work]\nregion = us-east-1\nrole_arn = {ROLE}\nrole_session_name = first\nsource_profile = s\n[profile s]\nsso_session = corp\n{role}{session}"
            ),
        ),
        (
            "and keys in the configuration",
            format!(
                "[profile work]\nregion = us-east-1\nsso_session = corp\n{role}{KEYS}{session}"
            ),
        ),
    ] {
        cells.push(with_token(name.to_owned(), &config, &good));
    }
    cells.push(with_token(
        "a token that is not JSON".to_owned(),
        &kinds[1].1,
        "oops",
    ));
    cells.push(
        Cell::new("single sign-on", "no token")
            .env("AWS_PROFILE", "work")
            .config(&kinds[1].1),
    );
}

/// The first of the keys.
fn first_keys() -> Credentials {
    Credentials {
        access_key: "{A1}".into(),
        secret_key: "{S1}".into(),
        token: Some("{T1}".into()),
        ..Credentials::long_lived()
    }
}

/// Sessions of `aws login`, which are renewed by Sign-In.
fn logins(cells: &mut Vec<Cell>) {
    let config = "[profile work]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n";
    let cell = |name: &str, config: &str| {
        Cell::new("console login", name)
            .env("AWS_PROFILE", "work")
            .config(config)
    };
    // SHA-256 of the session's name.
    let cache = "db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json";
    let kept = |cell: Cell, session: &Value| {
        cell.file(&format!(".aws/login/cache/{cache}"), session.to_string())
    };
    let in_minutes =
        |minutes: i64| (Timestamp::now() + SignedDuration::from_mins(minutes)).to_string();
    let session = |until: &str| aws::session(&first_keys(), until, "r1");
    for (end, verdict) in ENDS {
        let name = format!("a session that ends {end}");
        cells.push(kept(cell(&name, config), &session(end)).verdict(*verdict));
    }
    for (name, minutes) in [("3 minutes", 3), ("12 minutes", 12)] {
        let name = format!("a session that ends in {name}");
        cells.push(kept(cell(&name, config), &session(&in_minutes(minutes))));
    }
    let ended = aws::session(&first_keys(), "2020-01-01T00:00:00Z", aws::ENDED);
    cells.push(kept(
        cell("a session that can't be renewed any more", config),
        &ended,
    ));
    for (end, until) in [
        ("has ended", in_minutes(-3)),
        ("ends in an hour", in_minutes(60)),
    ] {
        for member in [
            "refreshToken",
            "dpopKey",
            "clientId",
            "accessToken",
            "tokenType",
            "idToken",
        ] {
            let mut session = session(&until);
            session.as_object_mut().unwrap().remove(member);
            let name = format!("a session that {end}, without {member}");
            cells.push(kept(cell(&name, config), &session));
        }
        for member in ["accountId", "expiresAt", "sessionToken", "secretAccessKey"] {
            let mut session = session(&until);
            session["accessToken"]
                .as_object_mut()
                .unwrap()
                .remove(member);
            let name = format!("a session that {end}, without {member} of its token");
            cells.push(kept(cell(&name, config), &session));
        }
        for (name, key) in [
            ("no key", "key"),
            (
                "half of a key",
                "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n",
            ),
        ] {
            let mut session = session(&until);
            session["dpopKey"] = key.into();
            let name = format!("a session that {end}, with {name}");
            cells.push(kept(cell(&name, config), &session));
        }
    }
    cells.push(
        cell("a session that is not JSON", config)
            .file(&format!(".aws/login/cache/{cache}"), "oops"),
    );
    let ended = session("2020-01-01T00:00:00Z");
    for (name, value, path, verdict) in [
        (
            "AWS_LOGIN_CACHE_DIRECTORY",
            "{HOME}/mine",
            "mine",
            Verdict::Same,
        ),
        (
            "AWS_LOGIN_CACHE_DIRECTORY below ~",
            "~/mine",
            "mine",
            Verdict::Same,
        ),
        (
            "AWS_LOGIN_CACHE_DIRECTORY with a variable",
            "$HOME/mine",
            "mine",
            Verdict::Same,
        ),
        (
            "AWS_LOGIN_CACHE_DIRECTORY is empty",
            "",
            ".aws/login/cache",
            EMPTY,
        ),
        (
            "AWS_LOGIN_CACHE_DIRECTORY is not there",
            "{HOME}/nowhere",
            "mine",
            Verdict::Same,
        ),
    ] {
        cells.push(
            cell(name, config)
                .env("AWS_LOGIN_CACHE_DIRECTORY", value)
                .file(&format!("{path}/{cache}"), ended.to_string())
                .verdict(verdict),
        );
    }
    let region = "[profile work]\nlogin_session = arn:aws:iam::123456789012:user/carol\n";
    for (name, more, verdict) in [
        ("another region", "region = eu-west-1\n", Verdict::Same),
        (
            "a region of another partition",
            "region = cn-north-1\n",
            Verdict::Same,
        ),
        (
            "no region",
            "",
            Verdict::Here("a bucket's region is found, and keys are renewed in us-east-1"),
        ),
        (
            "the profile's endpoint",
            "region = us-east-1\nendpoint_url = {ENDPOINT}\n",
            Verdict::Same,
        ),
        (
            "an endpoint of the services",
            "region = us-east-1\nservices = mine\n[services mine]\nsignin =\n  endpoint_url = {ENDPOINT}\n",
            Verdict::Same,
        ),
        (
            "an endpoint that is ignored",
            "region = us-east-1\nignore_configured_endpoint_urls = true\nservices = mine\n[services mine]\nsignin =\n  \
             endpoint_url = http://127.0.0.1:1\n",
            Verdict::Same,
        ),
        (
            "keys beside it",
            "region = us-east-1\naws_access_key_id = {A2}\naws_secret_access_key = {S2}\naws_session_token = {T2}\n",
            Verdict::Same,
        ),
        (
            "a process beside it",
            "region = us-east-1\ncredential_process = false\n",
            Verdict::Same,
        ),
    ] {
        cells.push(kept(cell(name, &format!("{region}{more}")), &ended).verdict(verdict));
    }
    let to_the_end = Verdict::Here("keys that can't be renewed are used until they end");
    for (name, variable, value, of_valid) in [
        (
            "its endpoint in a variable",
            "AWS_ENDPOINT_URL_SIGNIN",
            "{ENDPOINT}",
            Verdict::Same,
        ),
        (
            "the endpoint of all in a variable",
            "AWS_ENDPOINT_URL",
            "{ENDPOINT}",
            Verdict::Same,
        ),
        (
            "an endpoint that does not answer",
            "AWS_ENDPOINT_URL_SIGNIN",
            "http://127.0.0.1:1",
            to_the_end,
        ),
    ] {
        cells.push(kept(cell(name, config).env(variable, value), &ended));
        let soon = session(&in_minutes(3));
        let name = format!("{name}, with three minutes left");
        cells.push(kept(cell(&name, config).env(variable, value), &soon).verdict(of_valid));
    }
    let role = format!(
        "[profile work]\nregion = us-east-1\nrole_arn = {ROLE}\nrole_session_name = first\nsource_profile = own\n\
         [profile own]\nlogin_session = arn:aws:iam::123456789012:user/carol\n"
    );
    cells.push(kept(cell("a role on top", &role), &ended));
}

/// Files that their user may not read, or folders not write into.
fn permissions(cells: &mut Vec<Cell>) {
    let region = "[default]\nregion = us-east-1\n";
    let with_keys = format!("{region}{KEYS}");
    let of_credentials = format!("[default]\n{KEYS}");
    let cell = |name: &str, config: &str| Cell::new("permissions", name).config(config);
    let (config, credentials) = (".aws/config", ".aws/credentials");
    for (name, cell) in [
        ("config", cell("", region).mode(config, 0)),
        ("config with keys", cell("", &with_keys).mode(config, 0)),
        (
            "credentials",
            cell("", region)
                .file(credentials, &*of_credentials)
                .mode(credentials, 0),
        ),
        (
            "credentials beside keys in config",
            cell("", &with_keys)
                .file(credentials, "[default]\n")
                .mode(credentials, 0),
        ),
        (
            "config beside credentials",
            cell("", region)
                .file(credentials, &*of_credentials)
                .mode(config, 0),
        ),
        (
            "both",
            cell("", region)
                .file(credentials, &*of_credentials)
                .mode(credentials, 0)
                .mode(config, 0),
        ),
        ("their folder", cell("", &with_keys).mode(".aws", 0)),
    ] {
        for profile in [false, true] {
            for keys in [false, true] {
                let mut cell = cell.clone();
                cell.name = format!(
                    "{name}; a profile is chosen: {profile}, keys in the environment: {keys}"
                );
                if profile {
                    cell = cell.env("AWS_PROFILE", "default");
                }
                cells.push(if keys { cell.keys() } else { cell });
            }
        }
    }
    let web = format!(
        "{region}role_arn = {ROLE}\nweb_identity_token_file = {{HOME}}/token\nrole_session_name = web\n"
    );
    cells.push(
        cell("a web identity's token", &web)
            .file("token", "t")
            .mode("token", 0),
    );
    let process = format!("{region}credential_process = {{HOME}}/tool\n");
    let tool = "#!/bin/sh\ncat \"$HOME/answer.json\"\n";
    cells.push(
        cell("a process", &process)
            .file("tool", tool)
            .file("answer.json", ANSWER)
            .mode("tool", 0o600),
    );
    let bundle = format!("{with_keys}ca_bundle = {{HOME}}/ca.pem\n");
    cells.push(
        cell("a bundle of certificates", &bundle)
            .env("AWS_CA_BUNDLE", UNSET)
            .file("ca.pem", "")
            .mode("ca.pem", 0),
    );
    let login = format!("{region}login_session = arn:aws:iam::123456789012:user/carol\n");
    let kept =
        ".aws/login/cache/db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json";
    let session = |until: &str| aws::session(&first_keys(), until, "r1").to_string();
    cells.push(
        cell("a session of aws login", &login)
            .file(kept, session("2999-01-01T00:00:00Z"))
            .mode(kept, 0),
    );
    cells.push(
        cell("a session that has ended, in a folder to read only", &login)
            .file(kept, session("2020-01-01T00:00:00Z"))
            .mode(".aws/login/cache", 0o555)
            .verdict(Verdict::Here(
                "renewed keys are used where they can't be kept",
            )),
    );
}

/// A cell: its name, variables, configuration.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    Verdict,
);

/// Cells with the long-lived key, whose configurations begin with the same lines.
fn rows(cells: &mut Vec<Cell>, group: &'static str, beginning: &str, table: &[Row]) {
    for (name, env, config, verdict) in table {
        let mut cell = Cell::new(group, *name)
            .keys()
            .config(&format!("{beginning}{config}"))
            .verdict(*verdict);
        for (name, value) in *env {
            cell = cell.env(name, value);
        }
        cells.push(cell);
    }
}

fn regions(cells: &mut Vec<Cell>) {
    let v2 = Verdict::Otherwise(
        "version 1 of the CLI, which tests run, does not know AWS_REGION; AWS's SDKs do",
    );
    let spaced = "[default]\nregion = eu-west-1\n";
    let table: &[Row] = &[
        ("none", &[], "", Verdict::Same),
        (
            "AWS_DEFAULT_REGION",
            &[("AWS_DEFAULT_REGION", "eu-west-1")],
            "",
            Verdict::Same,
        ),
        ("AWS_REGION", &[("AWS_REGION", "eu-west-1")], "", v2),
        ("the profile's", &[], spaced, Verdict::Same),
        (
            "AWS_DEFAULT_REGION over the profile's",
            &[("AWS_DEFAULT_REGION", "ap-south-1")],
            spaced,
            Verdict::Same,
        ),
        (
            "AWS_DEFAULT_REGION is empty",
            &[("AWS_DEFAULT_REGION", "")],
            "",
            EMPTY,
        ),
        (
            "AWS_DEFAULT_REGION is empty, the profile's is not",
            &[("AWS_DEFAULT_REGION", "")],
            spaced,
            EMPTY,
        ),
        (
            "AWS_REGION is empty",
            &[("AWS_REGION", "")],
            "",
            Verdict::Same,
        ),
        (
            "AWS_DEFAULT_REGION is a blank",
            &[("AWS_DEFAULT_REGION", " ")],
            "",
            EMPTY,
        ),
        (
            "a blank behind AWS_DEFAULT_REGION",
            &[("AWS_DEFAULT_REGION", "eu-west-1 ")],
            "",
            Verdict::Same,
        ),
        (
            "a carriage return behind AWS_DEFAULT_REGION",
            &[("AWS_DEFAULT_REGION", "eu-west-1\r")],
            "",
            Verdict::Same,
        ),
        (
            "AWS_DEFAULT_REGION with other characters",
            &[("AWS_DEFAULT_REGION", "eu/west")],
            "",
            Verdict::Same,
        ),
        (
            "the profile's is empty",
            &[],
            "[default]\nregion =\n",
            EMPTY,
        ),
        (
            "the profile's has a word behind it",
            &[],
            "[default]\nregion = eu-west-1 Ireland\n",
            Verdict::Same,
        ),
    ];
    rows(cells, "regions", "", table);
}

fn endpoints(cells: &mut Vec<Cell>) {
    let store = "http://store.test";
    let styles = [
        ("", ""),
        ("path", "s3 =\n  addressing_style = path\n"),
        ("virtual", "s3 =\n  addressing_style = virtual\n"),
        ("auto", "s3 =\n  addressing_style = auto\n"),
    ];
    for (style, s3) in styles {
        let named = |name: &str| format!("{name}, addressing_style {style:?}");
        let profile = format!("[default]\nregion = us-east-1\n{s3}");
        let new = |name: &str| Cell::new("endpoints", named(name)).keys();
        cells.push(new("AWS itself").config(&profile));
        cells.push(
            new("AWS_ENDPOINT_URL")
                .config(&profile)
                .env("AWS_ENDPOINT_URL", store),
        );
        cells.push(
            new("AWS_ENDPOINT_URL_S3")
                .config(&profile)
                .env("AWS_ENDPOINT_URL_S3", store),
        );
        cells.push(
            new("the profile's endpoint_url").config(&format!("{profile}endpoint_url = {store}\n")),
        );
        cells.push(new("the profile's services").config(&format!(
            "{profile}services = mine\n[services mine]\ns3 =\n  endpoint_url = {store}\n"
        )));
    }
    let profile = "[default]\nregion = us-east-1\n";
    let table: &[Row] = &[
        (
            "an address",
            &[("AWS_ENDPOINT_URL", "{ENDPOINT}")],
            "",
            Verdict::Same,
        ),
        (
            "a slash at its end",
            &[("AWS_ENDPOINT_URL", "http://store.test/")],
            "",
            Verdict::Same,
        ),
        (
            "AWS_ENDPOINT_URL_S3 over AWS_ENDPOINT_URL",
            &[
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
                ("AWS_ENDPOINT_URL_S3", "http://store.test"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "AWS_ENDPOINT_URL over the profile's services",
            &[("AWS_ENDPOINT_URL", "http://store.test")],
            "services = mine\n[services mine]\ns3 =\n  endpoint_url = http://127.0.0.1:1\n",
            Verdict::Same,
        ),
        (
            "services over endpoint_url",
            &[],
            "endpoint_url = http://127.0.0.1:1\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = http://store.test\n",
            Verdict::Same,
        ),
        (
            "services that are missing",
            &[],
            "services = nobody\n",
            Verdict::Same,
        ),
        (
            "services of another service",
            &[],
            "services = mine\n[services mine]\nsqs =\n  endpoint_url = http://127.0.0.1:1\n",
            Verdict::Same,
        ),
        (
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            &[
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
                ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "ignore_configured_endpoint_urls",
            &[],
            "endpoint_url = http://127.0.0.1:1\nignore_configured_endpoint_urls = true\n",
            Verdict::Same,
        ),
        (
            "not ignored",
            &[
                ("AWS_ENDPOINT_URL", "http://store.test"),
                ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "of other services only",
            &[
                ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1"),
                ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
            ],
            "",
            Verdict::Same,
        ),
        ("empty", &[("AWS_ENDPOINT_URL", "")], "", Verdict::Same),
        (
            "not a URL",
            &[("AWS_ENDPOINT_URL", "store.test")],
            "",
            Verdict::Same,
        ),
        (
            "nobody there",
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")],
            "",
            Verdict::Same,
        ),
    ];
    rows(cells, "endpoints", profile, table);
    let role = format!(
        "{profile}role_arn = {ROLE}\nrole_session_name = own\nsource_profile = base\n[profile base]\n{KEYS}"
    );
    for (name, variable) in [
        ("STS's own", "AWS_ENDPOINT_URL_STS"),
        ("one for all", "AWS_ENDPOINT_URL"),
    ] {
        cells.push(
            Cell::new("endpoints", format!("a role by {name}"))
                .config(&role)
                .env(variable, "{ENDPOINT}"),
        );
    }
}

fn network(cells: &mut Vec<Cell>) {
    let profile = "[default]\nregion = us-east-1\n";
    let table: &[Row] = &[
        ("AWS_CA_BUNDLE", &[], "", Verdict::Same),
        (
            "ca_bundle",
            &[("AWS_CA_BUNDLE", UNSET)],
            "ca_bundle = {CA}\n",
            Verdict::Same,
        ),
        (
            "AWS_CA_BUNDLE over ca_bundle",
            &[],
            "ca_bundle = /nowhere\n",
            Verdict::Same,
        ),
        (
            "a bundle that is missing",
            &[("AWS_CA_BUNDLE", "/nowhere")],
            "",
            Verdict::Same,
        ),
        (
            "a bundle without certificates",
            &[("AWS_CA_BUNDLE", "{HOME}/.aws/config")],
            "",
            Verdict::Same,
        ),
        (
            "FIPS by its variable",
            &[("AWS_USE_FIPS_ENDPOINT", "true")],
            "",
            Verdict::Same,
        ),
        (
            "FIPS by the profile",
            &[],
            "use_fips_endpoint = true\n",
            Verdict::Same,
        ),
        (
            "FIPS switched off by its variable",
            &[("AWS_USE_FIPS_ENDPOINT", "false")],
            "use_fips_endpoint = true\n",
            Verdict::Same,
        ),
        (
            "dual stack by its variable",
            &[("AWS_USE_DUALSTACK_ENDPOINT", "true")],
            "",
            Verdict::Same,
        ),
        (
            "dual stack by the profile",
            &[],
            "use_dualstack_endpoint = true\n",
            Verdict::Same,
        ),
        (
            "dual stack for S3",
            &[],
            "s3 =\n  use_dualstack_endpoint = true\n",
            Verdict::Same,
        ),
        (
            "FIPS and dual stack",
            &[
                ("AWS_USE_FIPS_ENDPOINT", "true"),
                ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "https_proxy in small letters",
            &[("HTTPS_PROXY", UNSET), ("https_proxy", "{PROXY}")],
            "",
            Verdict::Same,
        ),
        (
            "HTTPS_PROXY is empty, https_proxy is not",
            &[("HTTPS_PROXY", ""), ("https_proxy", "{PROXY}")],
            "",
            Verdict::Same,
        ),
        (
            "https_proxy beside another HTTPS_PROXY",
            &[
                ("HTTPS_PROXY", "http://127.0.0.1:1"),
                ("https_proxy", "{PROXY}"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "https_proxy is not there, HTTPS_PROXY is",
            &[
                ("HTTPS_PROXY", "{PROXY}"),
                ("https_proxy", "http://127.0.0.1:1"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "https_proxy is empty, HTTPS_PROXY is not",
            &[("HTTPS_PROXY", "{PROXY}"), ("https_proxy", "")],
            "",
            Verdict::Same,
        ),
        (
            "a proxy without a scheme",
            &[("HTTPS_PROXY", "{PROXY_HOST}")],
            "",
            Verdict::Same,
        ),
        (
            "a proxy for everything",
            &[("HTTPS_PROXY", UNSET), ("ALL_PROXY", "{PROXY}")],
            "",
            Verdict::Same,
        ),
        (
            "a proxy that is not there",
            &[("HTTPS_PROXY", "http://127.0.0.1:1")],
            "",
            Verdict::Same,
        ),
        (
            "NO_PROXY",
            &[
                ("HTTP_PROXY", "http://127.0.0.1:1"),
                ("AWS_ENDPOINT_URL", "{ENDPOINT}"),
            ],
            "",
            Verdict::Same,
        ),
        (
            "TLS to an address",
            &[("AWS_ENDPOINT_URL", "{SECURE}")],
            "",
            Verdict::Same,
        ),
    ];
    rows(cells, "network", profile, table);
}

/// Endpoints of the queue's service and of CloudTrail. Each cell of CloudTrail's has a region of its own, for its rate is low.
fn other_services(cells: &mut Vec<Cell>) {
    let regions = [
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "ap-south-1",
    ];
    for (service, other) in [("sqs", "cloudtrail"), ("cloudtrail", "sqs")] {
        let own = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
        let others = format!("AWS_ENDPOINT_URL_{}", other.to_uppercase());
        let nowhere = "http://127.0.0.1:1";
        let services = |of: &str, url: &str| {
            format!("services = mine\n[services mine]\n{of} =\n  endpoint_url = {url}\n")
        };
        let table = [
            ("AWS itself", vec![], String::new()),
            (
                "its own variable",
                vec![(own.as_str(), "{ENDPOINT}")],
                String::new(),
            ),
            (
                "the variable for all",
                vec![("AWS_ENDPOINT_URL", "{ENDPOINT}")],
                String::new(),
            ),
            (
                "its own over that for all",
                vec![
                    ("AWS_ENDPOINT_URL", nowhere),
                    ("AWS_ENDPOINT_URL_S3", "{ENDPOINT}"),
                    (&own, "{ENDPOINT}"),
                ],
                String::new(),
            ),
            (
                "another's variable",
                vec![(others.as_str(), nowhere)],
                String::new(),
            ),
            (
                "the profile's",
                vec![],
                "endpoint_url = {ENDPOINT}\n".to_owned(),
            ),
            (
                "the profile's services",
                vec![],
                services(service, "{ENDPOINT}"),
            ),
            (
                "another's in the services",
                vec![],
                services(other, nowhere),
            ),
        ];
        for ((name, env, profile), region) in table.into_iter().zip(regions) {
            let mut cell = Cell::new("endpoints", format!("{service}: {name}")).keys();
            cell.asked = match service {
                "sqs" => Asked::Queue,
                _ => Asked::History(region),
            };
            if cell.asked == Asked::Queue {
                cell.verdict = OLD_HOST;
            }
            let mut cell = cell.config(&format!("[default]\nregion = {region}\n{profile}"));
            for (name, value) in env {
                cell = cell.env(name, value);
            }
            cells.push(cell);
        }
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = vec![];
    for table in [
        forms,
        profiles,
        chains,
        single_sign_on,
        logins,
        permissions,
        regions,
        endpoints,
        other_services,
        network,
    ] {
        table(&mut cells);
    }
    cells
}

/// What came of a cell, and what the servers saw of the request for the object.
#[derive(Debug, PartialEq)]
struct Outcome {
    request: Option<String>,
    said: String,
}

/// Servers, and a CLI that runs a cell at a time.
struct Bench {
    aws: Aws,
    proxy: Proxy,
    keys: [Credentials; 2],
    object: String,
    home: TempDir,
    cli: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        _ = self.cli.kill();
        _ = self.cli.wait();
    }
}

impl Bench {
    fn start(python: &Path) -> Self {
        let aws = Aws::start();
        aws.role(ROLE, None);
        aws.role(OTHER_ROLE, None);
        aws.role(TENANT, Some("tenant-7"));
        let file = Maker::new(1).file("123456789012", "us-east-1", "20240305T1205Z", 2);
        file.put(&aws, "logs");
        aws.queues().create("trail", Duration::from_secs(1));
        let message = json!({"s3Bucket": "logs", "s3ObjectKey": [file.key("")]});
        aws.queues().send("trail", message.to_string());
        let home = TempDir::new().unwrap();
        let mut cli = bound_by_permissions(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws_cli/run.py"))
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            // It finds its caches when it starts.
            .env("HOME", home.path())
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bench = Self {
            proxy: Proxy::start(&aws),
            keys: [aws.issue(), aws.issue()],
            object: file.key(""),
            aws,
            asks: cli.stdin.take().unwrap(),
            answers: BufReader::new(cli.stdout.take().unwrap()),
            cli,
            home,
        };
        assert_eq!(bench.answer(), "ready");
        bench
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn fill(&self, text: &[u8], home: &Path) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(text) else {
            return text.to_owned();
        };
        let mut text = text
            .replace("{HOME}", home.to_str().unwrap())
            .replace("{ENDPOINT}", &self.aws.endpoint())
            .replace("{SECURE}", &self.aws.secure_endpoint())
            .replace("{PROXY}", &self.proxy.url())
            .replace(
                "{PROXY_HOST}",
                self.proxy.url().trim_start_matches("http://"),
            )
            .replace("{CA}", self.aws.ca_file().to_str().unwrap());
        for (number, keys) in self.keys.iter().enumerate() {
            let number = number + 1;
            text = text
                .replace(&format!("{{A{number}}}"), &keys.access_key)
                .replace(&format!("{{S{number}}}"), &keys.secret_key)
                .replace(&format!("{{T{number}}}"), keys.token.as_deref().unwrap());
        }
        text.into_bytes()
    }

    /// The environment of a cell.
    fn env(&self, cell: &Cell, home: &Path) -> BTreeMap<String, String> {
        let proxy = self.proxy.url();
        let ca = self.aws.ca_file().to_str().unwrap();
        let mut env: BTreeMap<String, String> = [
            ("HTTP_PROXY", proxy.as_str()),
            ("HTTPS_PROXY", &proxy),
            ("NO_PROXY", "127.0.0.1"),
            ("AWS_CA_BUNDLE", ca),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_MAX_ATTEMPTS", "1"),
            // As the CLI's version 2 and the SDK do without it.
            ("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "regional"),
            ("LANG", "C.UTF-8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in &cell.env {
            if value == UNSET {
                env.remove(name);
                continue;
            }
            let value = self.fill(value.as_bytes(), home);
            env.insert(name.clone(), String::from_utf8(value).unwrap());
        }
        env
    }

    fn write(&self, cell: &Cell, home: &Path) {
        use std::os::unix::fs::PermissionsExt;
        for (path, bytes) in &cell.files {
            let path = home.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, self.fill(bytes, home)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (path, mode) in &cell.modes {
            fs::set_permissions(home.join(path), fs::Permissions::from_mode(*mode)).unwrap();
        }
    }

    /// Lets the next cell take its files away.
    fn reopen(cell: &Cell, home: &Path) {
        use std::os::unix::fs::PermissionsExt;
        for (path, _) in cell.modes.iter().rev() {
            fs::set_permissions(home.join(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// What the servers saw since then: where S3 was asked first, and the last request for the object.
    fn seen(&self, cell: &Cell, since: usize) -> Option<String> {
        let log = self.aws.log().split_off(since);
        let of_s3 = [
            Op::ListObjects,
            Op::GetObject,
            Op::HeadObject,
            Op::HeadBucket,
        ];
        let (first, request) = match cell.asked {
            Asked::Object => (
                log.iter().find(|request| of_s3.contains(&request.op))?,
                log.iter().rfind(|request| request.op == Op::GetObject)?,
            ),
            Asked::Queue | Asked::History(_) => {
                let (op, action) = match cell.asked {
                    Asked::Queue => (Op::Sqs, "GetQueueUrl"),
                    _ => (Op::CloudTrail, "LookupEvents"),
                };
                let is_asked = |request: &&Request| request.op == op && request.key == action;
                (log.iter().find(is_asked)?, log.iter().rfind(is_asked)?)
            }
        };
        let key = request.access_key.as_deref().unwrap_or_default();
        let token = request.headers.get("x-amz-security-token");
        // The session's name and the duration where nobody chose them.
        let origin = self.aws.origin(key).replace(" DurationSeconds=3600", "");
        let origin: Vec<&str> = origin
            .split(' ')
            .filter(|word| {
                ![
                    "RoleSessionName=botocore-session-",
                    "RoleSessionName=cloudtrail-plugin",
                ]
                .iter()
                .any(|default| word.starts_with(default))
            })
            .collect();
        Some(
            format!(
                "first at {}, {}; key of {}; region {}; host {}; path {}; TLS {}; its token {}",
                first.host,
                first.region.as_deref().unwrap_or_default(),
                origin.join(" "),
                request.region.as_deref().unwrap_or_default(),
                request.host,
                request.path,
                request.secure,
                token.cloned() == self.aws.token(key),
            )
            .replace(".us-east-1.amazonaws.com", ".amazonaws.com"),
        )
    }

    fn cli(&mut self, cell: &Cell) -> Outcome {
        let home = self.home.path().to_owned();
        for entry in fs::read_dir(&home).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        self.write(cell, &home);
        let mut env = self.env(cell, &home);
        env.insert("HOME".to_owned(), home.to_str().unwrap().to_owned());
        env.insert("PATH".to_owned(), env::var("PATH").unwrap());
        let since = self.aws.log().len();
        let [err, got] = ["err", "got"].map(|name| home.join(name));
        let args = match cell.asked {
            Asked::Object => {
                json!([
                    "s3api",
                    "get-object",
                    "--bucket",
                    "logs",
                    "--key",
                    self.object,
                    got
                ])
            }
            Asked::Queue => json!(["sqs", "get-queue-url", "--queue-name", "trail"]),
            Asked::History(_) => json!(["cloudtrail", "lookup-events", "--max-items", "1"]),
        };
        writeln!(
            self.asks,
            "{}",
            json!({"env": env, "args": args, "err": err})
        )
        .unwrap();
        let code = self.answer();
        Self::reopen(cell, &home);
        let worked = code == "0" && (cell.asked != Asked::Object || got.is_file());
        Outcome {
            request: self.seen(cell, since).filter(|_| worked),
            said: format!(
                "{code}: {}",
                fs::read_to_string(err).unwrap_or_default().trim()
            ),
        }
    }

    fn plugin(&self, cell: &Cell) -> Outcome {
        let mut capture = match cell.asked {
            Asked::Object => Capture::new(format!("s3://logs/{}", self.object)),
            // Its message comes again and again.
            Asked::Queue => Capture::new("sqs://trail")
                .config(json!({"sqsDelete": false}))
                .enough(2),
            Asked::History(region) => Capture::new(format!("cloudtrail://{region}"))
                .config(json!({"includeInsights": false})),
        };
        capture = capture.bound_by_permissions();
        self.write(cell, capture.home());
        for (name, value) in self.env(cell, capture.home()) {
            capture = capture.env(&name, value);
        }
        let since = self.aws.log().len();
        let seen = capture.run();
        // Nothing has happened there.
        let is_history = matches!(cell.asked, Asked::History(_));
        Outcome {
            request: self
                .seen(cell, since)
                .filter(|_| seen.error.is_none())
                .filter(|_| is_history || !seen.events.is_empty()),
            said: seen.error.map(|(_, text)| text).unwrap_or_default(),
        }
    }
}

/// What is wrong with a cell, if anything.
fn judge(cell: &Cell, cli: &Outcome, plugin: &Outcome) -> Option<String> {
    let fits = match (cell.verdict, &cli.request, &plugin.request) {
        (Verdict::Same, cli, plugin) => cli == plugin,
        (Verdict::Here(_), None, Some(_)) => true,
        (Verdict::Otherwise(_), Some(cli), Some(plugin)) => cli != plugin,
        _ => false,
    };
    // A failure is told, not a panic.
    let told =
        plugin.request.is_some() || !plugin.said.is_empty() && !plugin.said.contains("panic");
    (!fits || !told).then(|| {
        format!(
            "{}: {} ({:?})\n  CLI: {:?} {}\n  plugin: {:?} {}\n",
            cell.group, cell.name, cell.verdict, cli.request, cli.said, plugin.request, plugin.said
        )
    })
}

#[test]
fn what_works_in_the_cli_works_here() {
    let Some(python) = installed("awscli/run", "scripts/awscli") else {
        return;
    };
    let cells = cells();
    assert!(cells.len() >= 120, "{}", cells.len());
    let only = env::var("CELLS").ok();
    let left = Mutex::new(cells.iter().filter(|cell| {
        let name = format!("{}: {}", cell.group, cell.name);
        only.as_ref().is_none_or(|only| name.contains(only))
    }));
    let wrong = Mutex::new(String::new());
    let counts: Mutex<BTreeMap<&str, [u32; 4]>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut bench = Bench::start(&python);
                loop {
                    let Some(cell) = left.lock().unwrap().next() else {
                        return;
                    };
                    let cli = bench.cli(cell);
                    let plugin = bench.plugin(cell);
                    let of_group = match (cell.verdict, &cli.request) {
                        (Verdict::Same, Some(_)) => 0,
                        (Verdict::Same, None) => 1,
                        _ => 2,
                    };
                    let found = judge(cell, &cli, &plugin);
                    let index = if found.is_some() { 3 } else { of_group };
                    counts.lock().unwrap().entry(cell.group).or_default()[index] += 1;
                    if let Some(found) = found {
                        *wrong.lock().unwrap() += &found;
                    }
                    if only.is_some() || env::var_os("SHOW").is_some() {
                        println!("{}: {}\n  {cli:?}\n  {plugin:?}", cell.group, cell.name);
                    }
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    println!("group: both work, both fail, different on purpose, wrong");
    for (group, counts) in &counts {
        println!("{group}: {counts:?}");
    }
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
    // Else it would be the judge that fails.
    let work: u32 = counts.values().map(|counts| counts[0]).sum();
    assert!(only.is_some() || work >= 100, "{work}");
}

/// docs/credentials.md says where the two differ, and why.
#[test]
fn the_table_of_differences_is_current() {
    let mut rows: Vec<String> = vec![];
    for cell in cells() {
        let (cli, here, why) = match cell.verdict {
            Verdict::Same => continue,
            Verdict::Here(why) => ("no", "yes", why),
            Verdict::Otherwise(why) => ("yes", "yes, otherwise", why),
        };
        // The same with each name of a profile.
        let name = cell.name.split(", profile ").next().unwrap();
        let row = format!("| {}: {name} | {cli} | {here} | {why} |", cell.group);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let table = format!(
        "| set-up | AWS CLI 1.46 | here | why |\n|---|---|---|---|\n{}\n",
        rows.join("\n")
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/credentials.md");
    let page = fs::read_to_string(&path).unwrap();
    let (start, end) = (
        "<!-- differences from the CLI: made by tests/aws_cli.rs -->\n",
        "<!-- end of differences from the CLI -->",
    );
    let (before, rest) = page.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let expected = format!("{before}{start}{table}{end}{after}");
    if env::var_os("UPDATE_README").is_some() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "the table of docs/credentials.md is not current: UPDATE_README=1 cargo test --test aws_cli"
        );
    }
}
