//! Where addresses are from: databases that a public writer has made, in the layouts of their makers.

use std::fs;
use std::thread;
use std::time::Duration;

use harness::capture::Capture;
use harness::geo::Databases;
use harness::host::{Event, Plugin};
use harness::hosts::Hosts;
use harness::trail::log_text;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

const FIELDS: [&str; 5] = [
    "ct.geo.country",
    "ct.geo.city",
    "ct.geo.asn",
    "ct.geo.asorg",
    "ct.geo.aws",
];

/// An event from this address.
fn event(number: u64, address: &str) -> Event {
    let record = json!({"eventID": format!("e{number}"), "eventTime": "2026-11-24T00:00:00Z", "sourceIPAddress": address});
    Event::new(number, 0, record.to_string().as_bytes())
}

/// What the fields are for an address, as text; nothing where they are absent.
fn shown(plugin: &Plugin, number: u64, address: &str) -> [String; 5] {
    let event = event(number, address);
    let at_once = plugin.extract(&event, &FIELDS).unwrap();
    let each = plugin.extract_each(&event, &FIELDS).unwrap();
    FIELDS.map(|field| {
        let value = at_once.get(field).map(|found| &found.value);
        let other = each.get(field).map(|found| &found.value);
        assert_eq!(other, value, "{field} of {address}");
        match value {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    })
}

#[test]
fn databases_of_every_maker_tell_where_an_address_is_from() {
    let Some(databases) = Databases::make() else {
        return;
    };
    for (names, address, expected) in [
        (
            &["maxmind-city", "maxmind-asn"][..],
            "198.51.100.7",
            ["DE", "Munich", "64496", "Example Net", ""],
        ),
        (
            &["maxmind-city", "maxmind-asn"],
            "2001:db8:1::7",
            ["JP", "Tokyo", "64496", "Example Net", ""],
        ),
        (
            &["dbip-country", "dbip-asn"],
            "192.0.2.10",
            ["BR", "", "64511", "Rede Exemplo", ""],
        ),
        (
            &["ipinfo-lite"],
            "198.51.100.7",
            ["FR", "", "64497", "Example, Inc.", ""],
        ),
        (
            &["ipinfo-lite"],
            "2001:db8:1::7",
            ["FR", "", "64497", "Example, Inc.", ""],
        ),
        (
            &["ipinfo-city", "ipinfo-asn"],
            "198.51.100.7",
            ["FR", "Paris", "64498", "Example SA", ""],
        ),
        // The first that knows something counts.
        (
            &["dbip-country", "maxmind-city", "ipinfo-lite"],
            "198.51.100.7",
            ["AT", "Munich", "64497", "Example, Inc.", ""],
        ),
        // Where a network is registered is not where a request came from.
        (&["maxmind-city"], "203.0.113.7", ["", "", "", "", ""]),
        (&["four-only"], "198.51.100.7", ["CH", "", "", "", ""]),
        (&["four-only"], "2001:db8:1::7", ["", "", "", "", ""]),
        (&["maxmind-city"], "192.0.2.10", ["", "", "", "", ""]),
        // Other spellings, lists, and what is no address of the internet.
        (
            &["maxmind-city"],
            "::ffff:198.51.100.7",
            ["DE", "Munich", "", "", ""],
        ),
        (
            &["maxmind-city"],
            "198.51.100.7, 10.0.0.7",
            ["DE", "Munich", "", "", ""],
        ),
        (
            &["maxmind-city"],
            "10.0.0.7, 198.51.100.7",
            ["DE", "Munich", "", "", ""],
        ),
        (&["maxmind-city"], "10.0.0.7", ["", "", "", "", ""]),
        (&["maxmind-city"], "ec2.amazonaws.com", ["", "", "", "", ""]),
        (&["maxmind-city"], "AWS Internal", ["", "", "", "", ""]),
        (&["maxmind-city"], "", ["", "", "", "", ""]),
    ] {
        let plugin = Plugin::load(&json!({"geoDatabases": databases.of(names)}).to_string());
        // The second time it is known.
        for number in 1..3 {
            assert_eq!(
                shown(&plugin, number, address),
                expected,
                "{names:?} {address}"
            );
        }
    }
    let config = json!({
        "geoDatabases": databases.of(&["maxmind-city"]),
        "awsIpRanges": databases.path("ip-ranges.json"),
    });
    let plugin = Plugin::load(&config.to_string());
    assert_eq!(shown(&plugin, 1, "203.0.113.7")[4], "EC2 us-east-1");
    assert_eq!(shown(&plugin, 2, "198.51.100.7")[4], "");
    // AWS's list alone is enough for its field.
    let config = json!({"awsIpRanges": databases.path("ip-ranges.json")});
    let plugin = Plugin::load(&config.to_string());
    assert_eq!(
        shown(&plugin, 1, "203.0.113.7"),
        ["", "", "", "", "EC2 us-east-1"]
    );
    let plugin = Plugin::load("");
    assert_eq!(shown(&plugin, 1, "198.51.100.7"), ["", "", "", "", ""]);
    // Nothing but an address has a place, and events may have none.
    let none = Event::new(1, 0, br#"{"eventID":"e1","sourceIPAddress":{"a":1}}"#);
    assert!(plugin.extract(&none, &FIELDS).unwrap().is_empty());
}

/// More addresses than are kept, in an order that takes each other's places.
#[test]
fn what_is_kept_is_that_of_the_address() {
    let Some(databases) = Databases::make() else {
        return;
    };
    let config = json!({"geoDatabases": databases.of(&["maxmind-city", "dbip-country"])});
    let plugin = Plugin::load(&config.to_string());
    let mut number = 0;
    for round in 0..3 {
        for n in 0..256 {
            for (network, country) in [("198.51.100", "DE"), ("192.0.2", "BR"), ("192.0.3", "")] {
                number += 1;
                let address = format!("{network}.{}", (n * 7 + round) % 256);
                assert_eq!(shown(&plugin, number, &address)[0], country, "{address}");
            }
        }
    }
}

fn folder_of(addresses: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<String> = addresses
        .iter()
        .enumerate()
        .map(|(n, address)| {
            json!({"eventVersion": "1.08", "eventID": format!("e{n}"), "eventTime": "2026-11-24T00:00:00Z", "eventName": "x",
                "eventSource": "x.amazonaws.com", "sourceIPAddress": address})
            .to_string()
        })
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    fs::write(folder.path().join("log.json"), log_text(&records)).unwrap();
    folder
}

#[test]
fn filters_choose_by_country_and_network() {
    let Some(databases) = Databases::make() else {
        return;
    };
    let folder = folder_of(&["198.51.100.7", "192.0.2.10", "10.0.0.7", "203.0.113.7"]);
    for (filter, expected) in [
        ("ct.geo.country=DE", &["e0"][..]),
        ("ct.geo.country in (DE, BR)", &["e0", "e1"]),
        (
            "ct.geo.country exists and not ct.geo.country in (DE, CH)",
            &["e1"],
        ),
        ("not ct.geo.country exists", &["e2", "e3"]),
        ("ct.geo.asn=64496", &["e0"]),
        ("ct.geo.asn > 64500", &["e1"]),
        ("ct.geo.asorg contains Net", &["e0"]),
        ("ct.geo.aws startswith EC2", &["e3"]),
        // What other events tell is decided later.
        ("ct.geo.country=DE or ct.origin=nobody", &["e0"]),
    ] {
        let config = json!({
            "geoDatabases": databases.of(&["maxmind-city", "maxmind-asn", "dbip-country", "dbip-asn"]),
            "awsIpRanges": databases.path("ip-ranges.json"),
            "filter": filter,
        });
        let seen = Capture::new(folder.path().display().to_string())
            .config(config)
            .run();
        assert_eq!(seen.error, None);
        assert_eq!(seen.ids(), expected, "{filter}");
        let log = seen.log();
        for word in [
            "addresses by GeoLite2-City of 20",
            "AWS's addresses of 2026-11-24",
        ] {
            assert!(log.contains(word), "{word}: {log}");
        }
    }
}

#[test]
fn a_bad_database_is_an_error_at_the_beginning() {
    let Some(databases) = Databases::make() else {
        return;
    };
    let good = fs::read(databases.path("maxmind-city.mmdb")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(databases.path(name), bytes).unwrap();
    write("cut.mmdb", &good[..good.len() / 2]);
    write("zeros.mmdb", &[0; 100_000]);
    write("nothing.mmdb", b"");
    write("text.mmdb", b"country,DE\n");
    // The tree of it leads nowhere.
    let mut damaged = good.clone();
    damaged[..1_000.min(good.len() / 4)].fill(0xff);
    write("damaged.mmdb", &damaged);
    fs::create_dir(databases.path("folder.mmdb")).unwrap();
    let library = harness::host::Library::load().unwrap();
    for (key, name, expected) in [
        (
            "geoDatabases",
            "cut.mmdb",
            "is not a database in MaxMind's format, or not a whole one",
        ),
        (
            "geoDatabases",
            "zeros.mmdb",
            "is not a database in MaxMind's format",
        ),
        (
            "geoDatabases",
            "nothing.mmdb",
            "is not a database in MaxMind's format",
        ),
        (
            "geoDatabases",
            "text.mmdb",
            "is not a database in MaxMind's format",
        ),
        ("geoDatabases", "damaged.mmdb", "is damaged"),
        ("geoDatabases", "folder.mmdb", "is not a file"),
        ("geoDatabases", "missing.mmdb", "can't be read"),
        (
            "geoDatabases",
            "ip-ranges.json",
            "is not a database in MaxMind's format",
        ),
        (
            "geoDatabases",
            "connection.mmdb",
            "is a database of type \"GeoIP2-Connection-Type\", which tells neither countries, cities nor networks",
        ),
        ("geoDatabases", "empty.mmdb", "without any entry"),
        (
            "awsIpRanges",
            "maxmind-city.mmdb",
            "is not the file that AWS publishes",
        ),
        ("awsIpRanges", "missing.json", "can't be read"),
    ] {
        let config = json!({key: databases.path(name)}).to_string();
        let error = match library.init(&config) {
            Ok(_) => panic!("{name} is taken"),
            Err(error) => format!("{error:#}"),
        };
        for word in [key, name, expected] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_there() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} is not there after a minute");
}

#[test]
fn a_file_that_changes_is_read_again_and_a_bad_one_is_not() {
    let Some(databases) = Databases::make() else {
        return;
    };
    let path = databases.path("maxmind-city.mmdb");
    let config = json!({"geoDatabases": path, "s3Follow": true});
    let plugin = Plugin::load(&config.to_string());
    let mut number = 0;
    let mut country = || {
        number += 1;
        shown(&plugin, number, "198.51.100.7")[0].clone()
    };
    assert_eq!(country(), "DE");
    let other = tempfile::tempdir().unwrap();
    databases.write(other.path(), &["LU"]);
    fs::rename(other.path().join("maxmind-city.mmdb"), &path).unwrap();
    wait_for("the new country", || country() == "LU");
    // Half a file, as while it is copied.
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let folder = folder_of(&["198.51.100.7"]);
    wait_for("the warning", || {
        plugin.events(folder.path().to_str().unwrap()).unwrap();
        plugin.log().contains("what was loaded before is used on")
    });
    assert_eq!(country(), "LU");
    fs::write(
        &path,
        fs::read(databases.path("dbip-country.mmdb")).unwrap(),
    )
    .unwrap();
    wait_for("another database", || country() == "AT");
    // One that is gone stays as it was.
    fs::remove_file(&path).unwrap();
    thread::sleep(Duration::from_secs(11));
    assert_eq!(country(), "AT");
}

#[test]
fn sysdig_shows_where_addresses_are_from() {
    let (Some(databases), Some(hosts)) = (Databases::make(), Hosts::new("geo")) else {
        return;
    };
    let folder = folder_of(&["198.51.100.7", "192.0.2.10", "10.0.0.7"]);
    let config = json!({"geoDatabases": databases.of(&["maxmind-city", "maxmind-asn"])});
    let shown = hosts.sysdig(
        folder.path().to_str().unwrap(),
        &config.to_string(),
        &[
            "-p",
            "%ct.id %ct.geo.country %ct.geo.city %ct.geo.asn %ct.geo.asorg",
            "ct.geo.country exists and not ct.geo.country in (FR, CH)",
        ],
    );
    assert_eq!(shown, ["e0 DE Munich 64496 Example Net"]);
}
