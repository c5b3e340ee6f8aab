//! AWS's own addresses, as AWS publishes them, see
//! <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html>.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The service that has all addresses of the others.
const ALL: &str = "AMAZON";

/// Which addresses are AWS's.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Parts without overlap, by the address that they begin at; those of IPv4 as IPv6 addresses that stand for them.
    parts: Vec<Part>,
    /// When AWS has made the file.
    created: String,
}

#[derive(Debug, PartialEq)]
struct Part {
    from: u128,
    to: u128,
    /// Services and region: `EC2 us-east-1`.
    text: Box<str>,
}

/// The file.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "createDate")]
    created: String,
    prefixes: Vec<Prefix>,
    #[serde(default)]
    ipv6_prefixes: Vec<Prefix>,
}

#[derive(Deserialize)]
struct Prefix {
    #[serde(alias = "ip_prefix", alias = "ipv6_prefix")]
    prefix: String,
    region: String,
    service: String,
}

impl Ranges {
    /// # Errors
    /// Where this is not such a file.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let file: File = serde_json::from_slice(bytes).context(
            "is not the file that AWS publishes as https://ip-ranges.amazonaws.com/ip-ranges.json",
        )?;
        // By prefix, the shorter one before those within it.
        let mut found: BTreeMap<(u128, u8), Vec<&Prefix>> = BTreeMap::new();
        for prefix in file.prefixes.iter().chain(&file.ipv6_prefixes) {
            let key = parse(&prefix.prefix)
                .with_context(|| format!("{:?} is not a valid prefix", prefix.prefix))?;
            found.entry(key).or_default().push(prefix);
        }
        ensure!(!found.is_empty(), "has no addresses");
        let prefixes = found
            .into_iter()
            .map(|((from, length), prefixes)| Part {
                from,
                to: from | (u128::MAX.checked_shr(length.into()).unwrap_or(0)),
                text: text(&prefixes).into(),
            })
            .collect();
        Ok(Self {
            parts: flat(prefixes),
            created: file.created,
        })
    }

    /// When AWS has made it: `2026-11-24`.
    pub fn describe(&self) -> String {
        let day: String = self.created.chars().take(10).collect();
        format!("AWS's addresses of {day}")
    }

    /// Services and region of the smallest prefix with this address.
    pub fn find(&self, address: IpAddr) -> Option<&str> {
        let number = number(address);
        let after = self.parts.partition_point(|part| part.from <= number);
        let part = &self.parts[after.checked_sub(1)?];
        (number <= part.to).then_some(&*part.text)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .into()
}

/// The first address of a prefix, and its length in bits of IPv6.
fn parse(prefix: &str) -> Option<(u128, u8)> {
    let (address, length) = prefix.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    let (most, before) = if address.is_ipv4() {
        (32, 96)
    } else {
        (128, 0)
    };
    let length = (length <= most).then_some(length + before)?;
    let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
    Some((number(address) & !host, length))
}

/// The services of a prefix, of which all are `AMAZON` as well, and its region.
fn text(prefixes: &[&Prefix]) -> String {
    let mut services: Vec<&str> = prefixes.iter().map(|one| one.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    if services.len() > 1 {
        services.retain(|service| *service != ALL);
    }
    let mut regions: Vec<&str> = prefixes.iter().map(|one| one.region.as_str()).collect();
    regions.sort_unstable();
    regions.dedup();
    format!("{} {}", services.join(","), regions.join(","))
}

/// Parts without overlap: what lies within another one cuts it. They are in order, and each is within another or apart.
fn flat(prefixes: Vec<Part>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Those that the next one may lie in, with where the rest of each begins.
    let mut open: Vec<Part> = Vec::new();
    let close = |open: &mut Vec<Part>, parts: &mut Vec<Part>, before: Option<u128>| {
        while let Some(part) = open.pop_if(|part| before.is_none_or(|before| part.to < before)) {
            let end = part.to;
            if part.from <= end {
                parts.push(part);
            }
            if let Some(around) = open.last_mut() {
                around.from = around.from.max(end.saturating_add(1));
            }
        }
    };
    for prefix in prefixes {
        close(&mut open, &mut parts, Some(prefix.from));
        if let Some(around) = open.last_mut()
            && around.from < prefix.from
        {
            parts.push(Part {
                from: around.from,
                to: prefix.from - 1,
                text: around.text.clone(),
            });
            around.from = prefix.from;
        }
        // What AMAZON says of a part of a service's addresses is less.
        let text = match open.last() {
            Some(around) if prefix.text.starts_with(ALL) => around.text.clone(),
            _ => prefix.text.clone(),
        };
        open.push(Part { text, ..prefix });
    }
    close(&mut open, &mut parts, None);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"syncToken":"1","createDate":"2026-11-24-10-11-12","prefixes":[
        {"ip_prefix":"198.51.100.0/24","region":"us-east-1","service":"AMAZON","network_border_group":"us-east-1"},
        {"ip_prefix":"198.51.100.0/24","region":"us-east-1","service":"EC2","network_border_group":"us-east-1"},
        {"ip_prefix":"198.51.100.64/30","region":"us-east-1","service":"EC2_INSTANCE_CONNECT","network_border_group":"us-east-1"},
        {"ip_prefix":"198.51.100.128/25","region":"us-east-1","service":"AMAZON","network_border_group":"us-east-1"},
        {"ip_prefix":"203.0.113.0/24","region":"GLOBAL","service":"AMAZON","network_border_group":"GLOBAL"},
        {"ip_prefix":"203.0.113.7/32","region":"eu-west-1","service":"S3","network_border_group":"eu-west-1"},
        {"ip_prefix":"203.0.113.7/32","region":"eu-west-1","service":"DYNAMODB","network_border_group":"eu-west-1"}],
        "ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/32","region":"eu-west-1","service":"EC2","network_border_group":"eu-west-1"}]}"#;

    #[test]
    fn the_smallest_prefix_tells_service_and_region() {
        let ranges = Ranges::new(FILE.as_bytes()).unwrap();
        assert_eq!(ranges.describe(), "AWS's addresses of 2026-11-24");
        for (address, expected) in [
            ("198.51.99.255", None),
            ("198.51.100.0", Some("EC2 us-east-1")),
            ("198.51.100.63", Some("EC2 us-east-1")),
            ("198.51.100.64", Some("EC2_INSTANCE_CONNECT us-east-1")),
            ("198.51.100.67", Some("EC2_INSTANCE_CONNECT us-east-1")),
            ("198.51.100.68", Some("EC2 us-east-1")),
            ("198.51.100.200", Some("EC2 us-east-1")),
            ("198.51.100.255", Some("EC2 us-east-1")),
            ("198.51.101.0", None),
            ("203.0.113.6", Some("AMAZON GLOBAL")),
            ("203.0.113.7", Some("DYNAMODB,S3 eu-west-1")),
            ("203.0.113.8", Some("AMAZON GLOBAL")),
            ("203.0.114.0", None),
            ("2001:db8::1", Some("EC2 eu-west-1")),
            ("2001:db9::1", None),
            ("0.0.0.0", None),
            ("ffff::1", None),
        ] {
            let found = ranges.find(address.parse().unwrap());
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn other_files_are_told() {
        for (text, expected) in [
            ("", "is not the file that AWS publishes"),
            ("{}", "is not the file that AWS publishes"),
            (r#"{"createDate":"x","prefixes":[]}"#, "has no addresses"),
            (
                r#"{"createDate":"x","prefixes":[{"ip_prefix":"1.2.3.4/33","region":"r","service":"s"}]}"#,
                "\"1.2.3.4/33\" is not a valid prefix",
            ),
        ] {
            let error = format!("{:#}", Ranges::new(text.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
