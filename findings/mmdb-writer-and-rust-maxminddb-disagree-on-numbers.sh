#!/bin/bash
# A database that mmdb-writer makes can't be read into the types of the Rust crate maxminddb.
#
# The good guess: a number is a number. The MaxMind DB format has unsigned ones of several widths. mmdb-writer writes each as
# narrow as it fits, so AS number 64496 as a uint16, and Python's maxminddb gives it back as it was. The Rust crate's own
# geoip2::Asn, whose number is a u32, does not take it: "expected u32, got type 5". So a Rust program that was tried with
# MaxMind's databases, which have uint32 there, fails on those of others. Deserializing any number (deserialize_any) reads
# both.
#
# Seen with mmdb-writer 0.2.7, maxminddb 3.0.0 (both PyPI) and maxminddb 0.31.0 (crates.io), November 2026.
#
# Needs python3 with pip, and cargo. Everything is put into a folder that is removed at the end.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target python \
    mmdb-writer==0.2.7 netaddr==1.3.0 maxminddb==3.0.0
export PYTHONPATH=$folder/python
python3 - <<'PY'
from mmdb_writer import MMDBWriter
from netaddr import IPSet

for name, kind in [("narrow", "auto"), ("wide", "u32")]:
    writer = MMDBWriter(4, database_type="GeoLite2-ASN", languages=["en"], description="x", int_type=kind)
    entry = {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Net"}
    writer.insert_network(IPSet(["198.51.100.0/24"]), entry)
    writer.to_db_file(f"{name}.mmdb")

import maxminddb

for name in ["narrow", "wide"]:
    print(f"Python, {name}:", maxminddb.open_database(f"{name}.mmdb").get("198.51.100.7"))
PY

mkdir -p rust/src
cat >rust/Cargo.toml <<'TOML'
[package]
name = "numbers"
version = "0.0.0"
edition = "2021"
[dependencies]
maxminddb = "=0.31.0"
[workspace]
TOML
cat >rust/src/main.rs <<'RUST'
use maxminddb::{geoip2::Asn, Reader};

fn main() {
    for name in std::env::args().skip(1) {
        let reader = Reader::open_readfile(&name).unwrap();
        let found = reader.lookup("198.51.100.7".parse().unwrap()).unwrap();
        match found.decode::<Asn>() {
            Ok(asn) => println!("Rust, {name}: {:?}", asn.unwrap().autonomous_system_number),
            Err(error) => println!("Rust, {name}: {error}"),
        }
    }
}
RUST
cargo run --quiet --manifest-path rust/Cargo.toml -- narrow.mmdb wide.mmdb | tee seen

grep -q '^Rust, wide.mmdb: Some(64496)$' seen || { echo "CHANGED: wide"; exit 1; }
grep -q '^Rust, narrow.mmdb: .*expected u32, got type' seen || { echo "CHANGED: narrow"; exit 1; }
echo "As described."
