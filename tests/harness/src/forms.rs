//! Records in every form that they come in, and in archives.

use std::io::{Cursor, Write};

use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::trail::gzip;

/// A form that events come in: its name, its text, and how many events of others it has.
pub type Form = (&'static str, String, u64);

/// A record as a JSON string.
pub fn string(record: &str) -> String {
    Value::from(record).to_string()
}

/// Log events of CloudWatch Logs with one of another application among them, and one that it sends to keep a
/// subscription alive.
fn log_events(records: &[&str]) -> Vec<String> {
    let mut events: Vec<String> = records
        .iter()
        .map(|record| {
            format!(
                r#"{{"id":"3195310660696698337880902507980421114328961542429EXAMPLE","timestamp":1709640000000,"message":{}}}"#,
                string(record)
            )
        })
        .collect();
    events.insert(
        1,
        r#"{"id":"2","timestamp":1709640000000,"message":"START RequestId: 1 {\"a\":1}"}"#.into(),
    );
    events
}

/// A record as EventBridge wraps it, see
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html>.
pub fn envelope(record: &str) -> String {
    format!(
        r#"{{"version":"0","id":"6f87d04b-9f74-4f04-a780-7acf4b0a9b38","detail-type":"AWS API Call via CloudTrail","source":"aws.iam","account":"123456789012","time":"2024-03-05T12:00:00Z","region":"us-east-1","resources":[],"detail":{record}}}"#
    )
}

/// What else a rule of EventBridge may let through.
pub const OTHER_ENVELOPE: &str = r#"{"version":"0","id":"7bf73129-1428-4cd3-a780-95db273d1602","detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","account":"123456789012","time":"2024-03-05T12:00:00Z","region":"us-east-1","resources":[],"detail":{"instance-id":"i-abcd1111","state":"pending"}}"#;

/// Every form, made of the same records.
pub fn forms(records: &[&str]) -> Vec<Form> {
    let list = records.join(",");
    let strings: Vec<String> = records.iter().map(|record| string(record)).collect();
    let envelopes: Vec<String> = records.iter().map(|record| envelope(record)).collect();
    let subscription = |events: &[String]| {
        format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"CloudTrail","logStream":"123456789012_CloudTrail_us-east-1","subscriptionFilters":["Destination"],"logEvents":[{}]}}"#,
            events.join(",")
        )
    };
    let lookups = records.iter().map(|record| {
        format!(
            r#"{{"EventId":"654ccbc0-ba0d-486a-9076-dbf7274677a7","EventName":"X","ReadOnly":"false","EventTime":"2021-11-18T09:41:02-08:00","EventSource":"iam.amazonaws.com","Username":"my-session-name","Resources":[],"CloudTrailEvent":{}}}"#,
            string(record)
        )
    });
    let lookups: Vec<String> = lookups.collect();
    let rows = records.iter().map(|record| {
        format!(
            r#"[{{"field":"@timestamp","value":"2024-03-05 12:00:00.000"}},{{"field":"@message","value":{}}},{{"field":"@ptr","value":"x"}}]"#,
            string(record)
        )
    });
    let rows: Vec<String> = rows.collect();
    let console = records.iter().enumerate().map(|(number, record)| {
        // The console writes JSON as JSON, and other programs as text.
        let message = match number % 2 {
            0 => (*record).to_owned(),
            _ => string(record),
        };
        format!(r#"{{"@timestamp":"2024-03-05 12:00:00.000","@message":{message}}}"#)
    });
    let console: Vec<String> = console.collect();
    let lines = |before: &str| {
        let lines = records.iter().map(|record| format!("{before}{record}\n"));
        lines.collect::<String>()
    };
    vec![
        ("log file", format!("{{\"Records\":[{list}]}}"), 0),
        ("list", format!("[{list}]"), 0),
        ("jq -s, of log files", format!("[{{\"Records\":[{}]}},{{\"Records\":[{}]}}]", records[..2].join(","), records[2..].join(",")), 0),
        ("jq -s, of lists", format!("[[{}],\n [{}]]", records[..2].join(", "), records[2..].join(", ")), 0),
        ("JSON lines", records.join("\n"), 0),
        ("JSON lines with commas", records.join(",\n"), 0),
        ("JSON lines, Windows", records.join("\r\n"), 0),
        // https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
        (
            "lookup-events",
            format!(r#"{{"NextToken":"x","Events":[{}]}}"#, lookups.join(",")),
            0,
        ),
        ("lookup-events --query Events", format!("[{}]", lookups.join(",")), 0),
        (
            "lookup-events --query 'Events[].CloudTrailEvent'",
            format!("[\n  {}\n]", strings.join(",\n  ")),
            0,
        ),
        ("the same as text", records.join("\t"), 0),
        ("jq '.Events[].CloudTrailEvent'", strings.join("\n"), 0),
        ("EventBridge, JSON lines", [&envelopes[..], &[OTHER_ENVELOPE.into()]].concat().join("\n"), 1),
        ("EventBridge, list", format!("[{},{OTHER_ENVELOPE}]", envelopes.join(",")), 1),
        ("EventBridge, as Firehose writes it", envelopes.concat(), 0),
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html
        (
            "CloudWatch Logs, export",
            format!("{}2024-03-05T12:00:01.000Z START RequestId: 1\n", lines("2024-03-05T12:00:00.123Z ")),
            1,
        ),
        ("aws logs tail", lines("2024-03-05T12:00:00.123000+00:00 123456789012_CloudTrail_us-east-1 "), 0),
        (
            "CloudWatch Logs, export of what EventBridge wrote",
            envelopes.iter().map(|envelope| format!("2024-03-05T12:00:00.123Z {envelope}\n")).collect(),
            0,
        ),
        // https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
        (
            "filter-log-events",
            format!(
                r#"{{"searchedLogStreams":[{{"logStreamName":"a"}}],"events":[{}]}}"#,
                log_events(records).join(",")
            ),
            1,
        ),
        (
            "the least of it",
            format!(
                r#"{{"events":[{}]}}"#,
                strings.iter().map(|text| format!(r#"{{"message":{text}}}"#)).collect::<Vec<_>>().join(",")
            ),
            0,
        ),
        // https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetQueryResults.html
        (
            "get-query-results",
            format!(r#"{{"results":[{}],"statistics":{{"recordsMatched":1.0}},"status":"Complete"}}"#, rows.join(",")),
            0,
        ),
        ("Logs Insights, console", format!("[{}]", console.join(",")), 0),
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
        (
            "subscription",
            [
                subscription(&log_events(&records[..2])),
                r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1709640000000,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#.to_owned(),
                subscription(&log_events(&records[2..])),
            ]
            .concat(),
            2,
        ),
        // https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
        (
            "SNS",
            envelopes
                .iter()
                .map(|envelope| format!(r#"{{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:t","Message":{}}}"#, string(envelope)))
                .collect::<Vec<_>>()
                .join("\n"),
            0,
        ),
    ]
}

/// The files of an archive: names and contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// A zip archive, of files stored and deflated in turn.
pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.add_directory("AWSLogs/", options).unwrap();
    for (number, (name, body)) in files.iter().enumerate() {
        // Programs store what is compressed already.
        let method = match number % 2 {
            0 => zip::CompressionMethod::Stored,
            _ => zip::CompressionMethod::Deflated,
        };
        zip.start_file(name.as_str(), options.compression_method(method))
            .unwrap();
        zip.write_all(body).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A tar archive.
pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folder = tar::Header::new_ustar();
    folder.set_entry_type(tar::EntryType::Directory);
    folder.set_size(0);
    tar.append_data(&mut folder, "AWSLogs/", &[][..]).unwrap();
    for (name, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        // Names as they are, such as no program would write.
        if name.len() < 100 {
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, &body[..]).unwrap();
        } else {
            tar.append_data(&mut header, name, &body[..]).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// Every kind of archive by its ending.
pub fn archives(files: &[(String, Vec<u8>)]) -> [(&'static str, Vec<u8>); 4] {
    [
        ("zip", zip(files)),
        ("tar", tar(files)),
        ("tar.gz", gzip(&tar(files))),
        ("tgz", gzip(&tar(files))),
    ]
}
