//! The profile and the script for Stratoshark in `plugin-config/stratoshark/`, by strato, which reads the same files.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use harness::geo::Databases;
use harness::hosts::{Hosts, built};
use harness::trail::log_text;
use serde_json::Value;

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
    r#"{"eventID":"login","eventTime":"2024-03-06T08:00:00Z","eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":false,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"No"},"userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"wrong","eventTime":"2024-03-06T08:00:01Z","eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","readOnly":false,"errorMessage":"Failed authentication","responseElements":{"ConsoleLogin":"Failure"},"userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"root","eventTime":"2024-03-06T08:00:02Z","eventName":"CreateAccessKey","eventSource":"iam.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":false,"sessionCredentialFromConsole":"true","userIdentity":{"type":"Root","principalId":"111122223333","accountId":"111122223333"}}"#,
    r#"{"eventID":"denied","eventTime":"2024-03-06T08:00:03Z","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","readOnly":false,"errorCode":"AccessDenied","requestParameters":{"name":"audit"},"userIdentity":{"type":"IAMUser","userName":"mallory","principalId":"AIDA2","accountId":"444455556666"}}"#,
    r#"{"eventID":"missing","eventTime":"2024-03-06T08:00:04Z","eventName":"DescribeInstances","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","readOnly":true,"errorCode":"Client.InvalidInstanceID.NotFound","userIdentity":{"type":"IAMUser","userName":"mallory","principalId":"AIDA2","accountId":"444455556666"}}"#,
    r#"{"eventID":"stopped","eventTime":"2024-03-06T08:00:05Z","eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","readOnly":false,"requestParameters":{"name":"audit"},"userIdentity":{"type":"AssumedRole","principalId":"AROA1:eve","arn":"arn:aws:sts::444455556666:assumed-role/admin/eve","accountId":"444455556666","sessionContext":{"sessionIssuer":{"userName":"admin"}}}}"#,
    r#"{"eventID":"opened","eventTime":"2024-03-06T08:00:06Z","eventName":"AuthorizeSecurityGroupIngress","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":false,"requestParameters":{"groupId":"sg-1"},"userIdentity":{"type":"AssumedRole","principalId":"AROA1:eve","arn":"arn:aws:sts::444455556666:assumed-role/admin/eve","accountId":"444455556666","sessionContext":{"sessionIssuer":{"userName":"admin"}}}}"#,
    r#"{"eventID":"secret","eventTime":"2024-03-06T08:00:07Z","eventName":"GetSecretValue","eventSource":"secretsmanager.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","readOnly":true,"sessionCredentialFromConsole":"true","userIdentity":{"type":"IAMUser","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"photo","eventTime":"2024-03-06T08:00:08Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"[aws-cli/2.17.0]","readOnly":true,"managementEvent":false,"eventCategory":"Data","requestParameters":{"bucketName":"photos","key":"a/b.jpg"},"additionalEventData":{"bytesTransferredIn":0,"bytesTransferredOut":48231771},"userIdentity":{"type":"IAMUser","accessKeyId":"AKIA1","userName":"alice","principalId":"AIDA1","accountId":"111122223333"}}"#,
    r#"{"eventID":"service","eventTime":"2024-03-06T08:00:09Z","eventName":"DeleteNetworkInterface","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"lambda.amazonaws.com","readOnly":false,"userIdentity":{"type":"AWSService","invokedBy":"lambda.amazonaws.com"}}"#,
];

/// Run `scripts/install`; what it says.
fn install(hosts: &Hosts) -> String {
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let built = built();
    hosts.stdout(&["bash", install.to_str().unwrap(), built.to_str().unwrap()])
}

/// The hosts, with the profile and a capture of the records.
fn captured(test: &str) -> Option<Hosts> {
    let hosts = Hosts::new(test)?;
    fs::write(hosts.folder.join("log.json"), log_text(&RECORDS)).unwrap();
    let said = install(&hosts);
    assert!(said.contains(PROFILE), "{said}");
    assert!(
        said.contains("stratoshark/plugins/cloudtrail-lists.lua"),
        "{said}"
    );
    // In strato, here in every test, the lists are to say nothing.
    hosts.run_lua_scripts();
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
            "9 2024-03-06 08:00:08.000000000Z 111122223333 us-east-1 IAMUser alice s3 GetObject s3://photos/a/b.jpg 192.0.2.10 [aws-cli/2.17.0]",
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

/// `scripts/screenshot` takes them anew, and has this write what they show.
#[test]
fn the_pictures_in_docs_are_of_this_dialog_and_these_columns() {
    let Some(hosts) = captured("pictures") else {
        return;
    };
    let options = ["--extcap-interface", "cloudtrail", "--extcap-config"];
    let options = hosts.stdout(&[&["falcodump"], &options[..]].concat());
    let mut rows = vec![];
    for option in options.lines().filter(|line| line.starts_with("arg ")) {
        let part = |name: &str| {
            let (_, rest) = option.split_once(&format!("{{{name}=")).expect(option);
            rest.split('}').next().unwrap()
        };
        // Stratoshark shows no row for a number of no type that it knows, and another tab for what is not of ours.
        if part("group") == "Capture" && part("type") != "number" {
            rows.push(part("display"));
        }
    }
    let columns = shipped("preferences");
    let columns: Vec<&str> = columns
        .lines()
        .filter_map(|line| line.strip_prefix("\t\"")?.split('"').next())
        .collect();
    let lists = lua(
        &hosts,
        "for _, list in ipairs(lists.open()) do print(list.menu) end",
    );
    let lists: Vec<&str> = lists.lines().collect();
    let shown = format!(
        "dialog.png: {}\nstratoshark.png: {}\nlists.png: {}\n",
        rows.join(", "),
        columns.join(", "),
        lists.join(", ")
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures.txt");
    if env::var_os("UPDATE_PICTURES").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        shown,
        "the pictures in docs/ show something else: run scripts/screenshot"
    );
}

/// Widths go by the columns' formats, and those that are not named get next to nothing.
#[test]
fn every_column_has_a_width() {
    let columns = |file: &str, key: &str| -> Vec<String> {
        let text = fs::read_to_string(profile(file)).unwrap();
        let text = text.split(&format!("{key}:")).nth(1).unwrap();
        let quoted = text.split('"').skip(1).step_by(2);
        quoted
            .filter(|text| text.starts_with('%'))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        columns("recent", "column.width"),
        columns("preferences", "gui.column.format")
    );
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

/// The same, with an event chosen in the list, and databases of addresses.
fn chosen(hosts: &Hosts, event: &str, filter: &str, databases: &str) -> String {
    let number = RECORDS
        .iter()
        .position(|record| record.contains(&format!(r#""eventID":"{event}""#)));
    let number = (number.expect(event) + 1).to_string();
    let mut command = hosts.command(&[
        // Values of the chosen event are only known to the second pass.
        "strato",
        "-2",
        "-r",
        "log.scap",
        "--selected-frame",
        &number,
        "-T",
        "fields",
        "-e",
        "ct.id",
        "-Y",
        filter,
    ]);
    let output = command.env("CLOUDTRAIL_GEO_DATABASES", databases).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{filter}: {output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    shown.lines().collect::<Vec<_>>().join(" ")
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
        ("Logins without MFA", "login"),
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
    // Those for the chosen event.
    let all = ids(&hosts, "frame");
    let mut absent = 0;
    for (label, field, event, expected) in [
        ("Same//User", "ct.user", "login", "login wrong secret photo"),
        ("Same//Origin", "ct.origin", "denied", "denied missing"),
        (
            "Same//Session",
            "ct.user.principalid",
            "stopped",
            "stopped opened",
        ),
        ("Same//Access key", "ct.user.accesskeyid", "photo", "photo"),
        ("Same//Target", "ct.target", "stopped", "denied stopped"),
        (
            "Same//Address",
            "ct.srcip",
            "denied",
            "wrong denied missing stopped",
        ),
        ("Same//Event name", "ct.name", "stopped", "denied stopped"),
        ("Same//Bucket", "s3.bucket", "photo", "photo"),
        (
            "Same//Account",
            "ct.user.accountid",
            "denied",
            "denied missing stopped opened",
        ),
    ] {
        let filter = buttons
            .remove(label)
            .unwrap_or_else(|| panic!("no button {label}"));
        assert_eq!(chosen(&hosts, event, &filter, ""), expected, "{label}");
        // The list stays as it is where the chosen event has nothing of the kind.
        if let Some(without) = ids(&hosts, &format!("!{field}")).split_whitespace().next() {
            assert_eq!(chosen(&hosts, without, &filter, ""), all, "{label}");
            absent += 1;
        }
    }
    assert!(absent >= 5, "{absent}");
    // No session of the capture has its beginning in it.
    let began = buttons.remove("Same//Session began").unwrap();
    assert_eq!(chosen(&hosts, "stopped", &began, ""), all);
    let told = began.replace("${ct.origin.eventid}", "\"root\"");
    assert_eq!(ids(&hosts, &told), "root");
    // Stratoshark gives the plugin no settings when it reads a file: the environment names the databases.
    let Some(databases) = Databases::make() else {
        return;
    };
    let paths = databases.of(&["dbip-country", "dbip-asn"]);
    for label in ["Same//Country", "Same//Network"] {
        let filter = buttons
            .remove(label)
            .unwrap_or_else(|| panic!("no button {label}"));
        let from_there = "login root opened secret photo";
        assert_eq!(
            chosen(&hosts, "login", &filter, &paths),
            from_there,
            "{label}"
        );
        assert_eq!(chosen(&hosts, "service", &filter, &paths), all, "{label}");
    }
    // A database that is gone is said, and costs its fields alone.
    let mut command = hosts.command(&["strato", "-r", "log.scap", "-Y", "ct.geo.country"]);
    let output = command.env("CLOUDTRAIL_GEO_DATABASES", "/nowhere/x.mmdb");
    let output = output.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/x.mmdb: can't be read"), "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert!(buttons.is_empty(), "not tested: {buttons:?}");
}

/// Three more, with values that a display filter has to quote, in two hours of another day.
const QUOTED: [&str; 3] = [
    r#"{"eventID":"quote","eventTime":"2024-03-07T08:59:59Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"2001:db8::1","userAgent":"say \"hi\" \\ and \\n","readOnly":true,"userIdentity":{"type":"IAMUser","userName":"o\"brien\\","accountId":"111122223333"}}"#,
    r#"{"eventID":"lines","eventTime":"2024-03-07T09:00:00Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"two\nlines\tand 100 % of 日本語, (a || b) && !c","errorCode":"AccessDenied","readOnly":true,"userIdentity":{"type":"IAMUser","userName":"Zoë","accountId":"111122223333"}}"#,
    r#"{"eventID":"empty","eventTime":"2024-03-07T09:00:01Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"","errorCode":"AccessDenied","readOnly":true,"userIdentity":{"type":"IAMUser","userName":"Zoë","accountId":"111122223333"}}"#,
];

/// What strato prints with the lists in a Lua script, which has them as `lists`, and reads the events by `listen`.
fn lua(hosts: &Hosts, script: &str) -> String {
    let before = r#"
        lists = dofile(os.getenv("HOME") .. "/.local/lib/stratoshark/plugins/cloudtrail-lists.lua")
        function listen(filter, packet, draw)
            local listener = Listener.new("frame", filter)
            listener.packet, listener.draw = packet, draw or function() end
        end
    "#;
    fs::write(hosts.folder.join("test.lua"), format!("{before}{script}")).unwrap();
    strato(hosts, &["-q", "-X", "lua_script:test.lua"]).join("\n")
}

/// A line of a list.
struct Line {
    menu: String,
    number: usize,
    value: String,
    filter: String,
}

#[test]
fn lists_count_events_and_filter_by_what_they_count() {
    let Some(hosts) = captured("lists") else {
        return;
    };
    let records = [&RECORDS[..], &QUOTED].concat();
    fs::write(hosts.folder.join("log.json"), log_text(&records)).unwrap();
    assert!(
        hosts
            .falcodump("log.json", "log.scap", &[])
            .status
            .success()
    );
    let count = r#"
        local open, counted = lists.open(), {}
        for which in ipairs(open) do counted[which] = lists.counts() end
        listen(nil, function(event)
            for which, list in ipairs(open) do lists.count(list, counted[which], event) end
        end, function()
            for which, list in ipairs(open) do
                local text, lines = lists.text_of(list, counted[which], "")
                if SHOWN then print(text .. "\n") end
                for _, line in ipairs(SHOWN and {} or lines) do
                    local hex = line.value:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
                    print(list.menu, line.number, "x" .. hex, line.filter)
                end
                if not SHOWN then print(list.menu, counted[which].without, "none", "!" .. list.field) end
            end
        end)
    "#;
    let counted = lua(&hosts, count);
    let mut without = BTreeMap::new();
    let mut lines = vec![];
    for line in counted.lines() {
        let [menu, number, value, filter] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let number: usize = number.parse().unwrap();
        let Some(hex) = value.strip_prefix('x') else {
            without.insert(menu, number);
            continue;
        };
        let bytes = (0..hex.len()).step_by(2);
        let bytes = bytes.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        lines.push(Line {
            menu: menu.to_owned(),
            number,
            value: String::from_utf8(bytes.collect()).unwrap(),
            filter: filter.to_owned(),
        });
    }

    // The same counts, made of the records.
    let records: Vec<Value> = records
        .iter()
        .map(|record| serde_json::from_str(record).unwrap())
        .collect();
    let member = |path: &'static str| {
        move |record: &Value| record.pointer(path)?.as_str().map(str::to_owned)
    };
    type Of = Box<dyn Fn(&Value) -> Option<String>>;
    let of: [(&str, Of); 8] = [
        ("Event names", Box::new(member("/eventName"))),
        (
            "Services",
            Box::new(move |record| {
                let source = member("/eventSource")(record)?;
                Some(source.split('.').next()?.to_owned())
            }),
        ),
        ("Errors", Box::new(member("/errorCode"))),
        ("Addresses", Box::new(member("/sourceIPAddress"))),
        ("User agents", Box::new(member("/userAgent"))),
        ("Accounts", Box::new(member("/userIdentity/accountId"))),
        ("Regions", Box::new(member("/awsRegion"))),
        (
            "Hours of the day (UTC)",
            Box::new(move |record| {
                let time = member("/eventTime")(record)?;
                Some(format!("{0}:00 to {0}:59", &time[11..13]))
            }),
        ),
    ];
    for (menu, value) in of {
        let mut expected = BTreeMap::<_, usize>::new();
        for record in &records {
            *expected.entry(value(record)).or_default() += 1;
        }
        let none = expected.remove(&None).unwrap_or_default();
        assert_eq!(without[menu], none, "{menu}");
        let mut expected: Vec<_> = expected
            .into_iter()
            .map(|(value, number)| (number, value.unwrap()))
            .collect();
        expected.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let of_list: Vec<_> = lines
            .iter()
            .filter(|line| line.menu == menu)
            .map(|line| (line.number, line.value.clone()))
            .collect();
        assert_eq!(of_list, expected, "{menu}");
    }
    let of_list = |menu: &str| -> Vec<_> {
        let lines = lines.iter().filter(|line| line.menu == menu);
        lines.map(|line| (line.number, &line.value[..])).collect()
    };
    assert_eq!(
        of_list("Who"),
        [
            (4, "alice"),
            (2, "Zoë"),
            (2, "admin/eve"),
            (2, "mallory"),
            (1, "lambda.amazonaws.com"),
            (1, "o\"brien\\"),
            (1, "root"),
        ]
    );
    assert_eq!(
        of_list("Outcomes"),
        [
            (3, "AccessDenied"),
            (1, "Client.InvalidInstanceID.NotFound"),
            (1, "Failed authentication"),
            (1, "Success without MFA"),
        ]
    );
    assert_eq!(
        of_list("Targets"),
        [(2, "audit"), (1, "s3://photos/a/b.jpg"), (1, "sg-1")]
    );
    assert_eq!(without["Countries"], records.len());

    // Each filter, within another one too, displays as many events as were counted.
    let filters = lines.iter().map(|line| (line.number, &line.filter[..]));
    let script: String = filters
        .clone()
        .map(|(number, filter)| {
            format!(
                r#"
                do
                    local filter, all, some = [==[{filter}]==], 0, 0
                    listen(filter, function() all = all + 1 end)
                    listen(lists.within("ct.name || ct.id", filter), function() some = some + 1 end, function()
                        if all ~= {number} or some ~= all then print(filter, {number}, all, some) end
                    end)
                end
                "#
            )
        })
        .collect();
    assert_eq!(lua(&hosts, &script), "");
    assert_eq!(
        ids(
            &hosts,
            &lines
                .iter()
                .find(|line| line.value.contains("hi"))
                .unwrap()
                .filter
        ),
        "quote"
    );
    let two_lines = lines.iter().find(|line| line.value.contains('\n'));
    assert_eq!(ids(&hosts, &two_lines.unwrap().filter), "lines");

    // What a window shows.
    let shown = lua(&hosts, &format!("SHOWN = true {count}"));
    for text in [
        "Errors: 2 in 13 events
Without error: 9, 69.2 %
The buttons display the events of the line with that number; None, those without error.
To count what is displayed then, choose the list in the menu again.

   1. AccessDenied                                3   23.1 %  ████████████████████
   2. Client.InvalidInstanceID.NotFound           1    7.7 %  ███████
",
        // By the clock, with the numbers of the buttons.
        "
   1. 08:00 to 08:59          11   84.6 %  ████████████████████
   2. 09:00 to 09:59           2   15.4 %  ████
",
        "Countries are known where the environment variable CLOUDTRAIL_GEO_DATABASES names a database.",
        ". two?lines?and 100 % of 日本語, (a || b) && !c ",
        r#". """#,
    ] {
        assert!(shown.contains(text), "{text}\n\n{shown}");
    }
}

#[test]
fn lists_go_by_the_fields_that_the_plugin_has() {
    let Some(hosts) = captured("lists-of-others") else {
        return;
    };
    let menus = r#"
        for _, list in ipairs(lists.open()) do print(list.menu, list.field) end
    "#;
    let all = lua(&hosts, menus);
    assert!(all.contains("Who\tct.actor\n"), "{all}");
    assert!(all.contains("Countries\tct.geo.country\n"), "{all}");
    // As the official plugin.
    let others = format!(
        r#"
        local new = Field.new
        _G.Field = {{ new = function(name)
            if name == "ct.actor" or name:match("^ct.geo") then error("a field with this name must exist") end
            return new(name)
        end }}
        {menus}
        "#
    );
    let others = lua(&hosts, &others);
    let expected = all.replace("ct.actor", "ct.user");
    assert_eq!(others, expected.replace("Countries\tct.geo.country\n", ""));
}

#[test]
fn the_legend_tells_each_colour() {
    let Some(hosts) = captured("legend") else {
        return;
    };
    let path = profile("colorfilters");
    let legend = lua(
        &hosts,
        &format!(
            "print(lists.legend(io.open([==[{}]==]):read('a')))",
            path.display()
        ),
    );
    for (name, words) in [
        ("Root user", "white on red"),
        ("Login failed", "dark red on pale orange"),
        ("Deletion", "black on pale orange"),
        ("Change", "black on pale green"),
        ("Read", "dark grey on white"),
    ] {
        let line = format!("{name:32} {words}");
        assert!(
            legend.lines().any(|there| there == line),
            "{line}\n{legend}"
        );
    }
    let rules = fs::read_to_string(path).unwrap();
    for rule in rules.lines().filter(|line| line.starts_with('@')) {
        let filter = rule.split('@').nth(2).unwrap();
        assert!(legend.contains(&format!("\n    {filter}")), "{filter}");
    }
}

/// The profile as it is installed.
struct Installed {
    hosts: Hosts,
    folder: PathBuf,
}

impl Installed {
    fn new(test: &str) -> Option<Self> {
        let hosts = captured(test)?;
        let folder = hosts.folder.join(".config/stratoshark/profiles");
        let folder = folder.join(PROFILE);
        Some(Self { hosts, folder })
    }

    /// Install again, and tell what is said of the profile.
    fn again(&self) -> String {
        let said = install(&self.hosts);
        let line = said.lines().find(|line| line.contains(PROFILE));
        line.expect("a line about the profile").to_owned()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }

    /// As if an earlier version had installed this.
    fn earlier(&self, file: &str, text: &str) {
        self.write(file, text);
        self.write(&format!(".installed/{file}"), text);
    }
}

fn shipped(file: &str) -> String {
    fs::read_to_string(profile(file)).unwrap()
}

#[test]
fn what_the_user_made_of_the_profile_stays() {
    let Some(installed) = Installed::new("profile") else {
        return;
    };
    assert_eq!(
        installed.read("dfilter_buttons"),
        shipped("dfilter_buttons")
    );
    installed.write("dfilter_buttons", "");
    // There is nothing new in it, so nothing is missed.
    assert!(installed.again().ends_with("is this version's"));
    assert_eq!(installed.read("dfilter_buttons"), "");
    // And what is new in a file that the user has changed or deleted is told.
    installed.write(".installed/dfilter_buttons", "# Fewer buttons\n");
    installed.write(".installed/plots", "# Other plots\n");
    fs::remove_file(installed.folder.join("plots")).unwrap();
    let said = installed.again();
    assert!(
        said.ends_with("you have changed: dfilter_buttons plots"),
        "{said}"
    );
    assert_eq!(installed.read("dfilter_buttons"), "");
    assert!(!installed.folder.join("plots").exists());
}

#[test]
fn a_profile_that_nobody_changed_becomes_that_of_the_new_version() {
    let Some(installed) = Installed::new("new-profile") else {
        return;
    };
    installed.earlier("colorfilters", "# Fewer colours\n");
    for folder in ["", ".installed/"] {
        fs::remove_file(installed.folder.join(format!("{folder}io_graphs"))).unwrap();
    }
    installed.earlier(
        "preferences",
        "gui.column.hide: 2\ngui.column.format:\n\t\"No.\", \"%m\",\n\t\"Error\", \"%Cus:ct.error:0:U\"\n",
    );
    installed.earlier(
        "recent",
        "column.width: \"%m\", 5, \"%Cus:ct.error:0:U\", 7\n",
    );
    // As Stratoshark has written them since: among all its settings, and otherwise laid out.
    installed.write(
        "preferences",
        "# Written by the program.\n\
         gui.column.hide: 2\n\
         gui.column.hidden: %Cus:ct.error:0:U\n\
         # Each pair of strings consists of a column title and its format\n\
         gui.column.format: \n\t\"No.\", \"%m\",\n\t\"Error\", \"%Cus:ct.error:0:U\"\n\
         extcap.cloudtrail.pluginsource: s3://my-bucket/AWSLogs/\n",
    );
    installed.write(
        "recent",
        "gui.time_precision: SEC\ncolumn.width:\n        %m, 99,\n        \"%Cus:ct.error\", 7\n\ngui.zoom_level: 1\n",
    );
    let said = installed.again();
    assert!(said.ends_with("is this version's"), "{said}");
    assert_eq!(installed.read("colorfilters"), shipped("colorfilters"));
    assert_eq!(installed.read("io_graphs"), shipped("io_graphs"));
    let columns = |text: &str| {
        let (_, columns) = text.split_once("gui.column.format:").unwrap();
        columns.trim().to_owned()
    };
    let preferences = installed.read("preferences");
    assert_eq!(columns(&preferences), columns(&shipped("preferences")));
    assert!(preferences.contains("extcap.cloudtrail.pluginsource: s3://my-bucket/AWSLogs/\n"));
    for gone in ["ct.error", "gui.column.hidden"] {
        assert!(!preferences.contains(gone), "{preferences}");
    }
    // Though the user had made a column wider: those of today are others.
    let recent = installed.read("recent");
    assert!(
        recent.contains("gui.zoom_level: 1\n") && !recent.contains("99"),
        "{recent}"
    );
    let widths = shipped("recent");
    let widths = widths
        .lines()
        .find(|line| line.starts_with("column.width:"));
    assert!(recent.contains(widths.unwrap()), "{recent}");
    // Strato finds the columns.
    let lines = strato(&installed.hosts, &["-Y", "ct.id == \"photo\""]);
    assert!(lines[0].contains("s3://photos/a/b.jpg"), "{lines:?}");

    // Columns of the user's own stay, and their widths.
    let own = "gui.column.hide: 1\ngui.column.format:\n\t\"No.\", \"%m\"\n";
    installed.write("preferences", own);
    installed.write("recent", "column.width: \"%m\", 42\n");
    for file in ["preferences", "recent"] {
        let text = shipped(file).replace("ct.name", "ct.id");
        installed.write(&format!(".installed/{file}"), &text);
    }
    let said = installed.again();
    assert!(
        said.ends_with("you have changed: preferences recent"),
        "{said}"
    );
    assert_eq!(installed.read("preferences"), own);
    assert_eq!(installed.read("recent"), "column.width: \"%m\", 42\n");
}

#[test]
fn a_profile_of_unknown_origin_stays() {
    let Some(installed) = Installed::new("own-profile") else {
        return;
    };
    fs::remove_dir_all(installed.folder.join(".installed")).unwrap();
    installed.write("colorfilters", "");
    let said = installed.again();
    assert!(said.contains("kept your profile"), "{said}");
    assert_eq!(installed.read("colorfilters"), "");
}
