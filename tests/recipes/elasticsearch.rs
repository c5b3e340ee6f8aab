//! What the template for Elasticsearch says of the documents that strato makes. No Elasticsearch is part of it: types are
//! checked by what its documentation says each takes, and compared with those that strato itself gives its fields.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::thread;

use jiff::Timestamp;
use serde_json::Value;

/// A server that takes a template and, after it, documents in bulk, until the process ends. Returns its address.
pub(super) fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut types = BTreeMap::new();
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &mut types);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: &TcpStream, types: &mut BTreeMap<String, String>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        }
        if line == "expect: 100-continue" {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let has = |header: &str| head.iter().any(|line| line == header);
    let (status, answer) = match head[0].as_str() {
        "put /_index_template/cloudtrail http/1.1" if has("content-type: application/json") => {
            let template: Value = serde_json::from_slice(&body).unwrap();
            *types = types_of(&template);
            (200, r#"{"acknowledged":true}"#.to_owned())
        }
        "post /_bulk http/1.1" if has("content-type: application/x-ndjson") => {
            let body = String::from_utf8(body).unwrap();
            (200, format!(r#"{{"errors":{}}}"#, !all_fit(&body, types)))
        }
        _ => (400, format!("{head:?}")),
    };
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    );
    stream.write_all(head.as_bytes()).unwrap();
}

/// The types that a template gives, by path: `layers.frame.frame_frame_time_utc`.
pub(super) fn types_of(template: &Value) -> BTreeMap<String, String> {
    fn walk(mapping: &Value, path: &str, types: &mut BTreeMap<String, String>) {
        for (name, field) in mapping["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}{name}");
            match field["type"].as_str() {
                Some(kind) => _ = types.insert(path, kind.to_owned()),
                None => walk(field, &format!("{path}."), types),
            }
        }
    }
    let mut types = BTreeMap::new();
    walk(&template["template"]["mappings"], "", &mut types);
    types
}

/// Whether each document goes into an index of the template's pattern, and its values are of the types.
fn all_fit(bulk: &str, types: &BTreeMap<String, String>) -> bool {
    let lines: Vec<Value> = bulk
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    !types.is_empty()
        && lines.chunks(2).all(|pair| {
            let index = pair[0]["index"]["_index"].as_str();
            index.is_some_and(|name| name.starts_with("packets-"))
                && types.iter().all(|(path, kind)| {
                    let value = path.split('.').fold(&pair[1], |value, name| &value[name]);
                    fits(value, kind)
                })
        })
}

fn fits(value: &Value, kind: &str) -> bool {
    let text = match value {
        Value::Null => return true,
        Value::Array(values) => return values.iter().all(|value| fits(value, kind)),
        Value::String(text) => text,
        _ => return false,
    };
    match kind {
        "date" | "long" => text.parse::<i64>().is_ok(),
        "date_nanos" => text.parse::<Timestamp>().is_ok(),
        "ip" => text.parse::<IpAddr>().is_ok(),
        "keyword" | "text" => true,
        _ => false,
    }
}
