"""Makes databases of addresses in the layouts of their makers, in a folder. Addresses are those of documentation.

make.py FOLDER [COUNTRY]; COUNTRY stands in the place of DE in maxmind-city.mmdb.
make.py FOLDER many NETWORKS makes many.mmdb, a city and network database of so many networks.
"""

import sys

from mmdb_writer import MMDBWriter
from netaddr import IPSet

folder = sys.argv[1]


def make(name, kind, entries, **options):
    options = {"ip_version": 6, "ipv4_compatible": True, **options}
    writer = MMDBWriter(database_type=kind, languages=["en"], description=kind, **options)
    for networks, entry in entries:
        writer.insert_network(IPSet(networks), entry)
    writer.to_db_file(f"{folder}/{name}.mmdb")


def known(code, city=None):
    entry = {"continent": {"code": "XX"}, "country": {"iso_code": code, "names": {"en": "Some country"}}}
    if city:
        entry["city"] = {"geoname_id": 1, "names": {"en": city, "de": f"{city} auf Deutsch"}}
        entry["location"] = {"latitude": 1.5, "longitude": -2.25}
    return entry


if sys.argv[2:3] == ["many"]:
    entries = []
    for n in range(int(sys.argv[3])):
        entry = known("DE" if n % 2 else "FR", f"City {n % 1000}")
        entry["autonomous_system_number"] = 64496 + n % 1000
        entry["autonomous_system_organization"] = f"Network {n % 1000}"
        entries.append(([f"{1 + n // 65536}.{n // 256 % 256}.{n % 256}.0/24"], entry))
    make("many", "Test-City", entries)
    sys.exit()

german = sys.argv[2] if len(sys.argv) > 2 else "DE"
make(
    "maxmind-city",
    "GeoLite2-City",
    [
        (["198.51.100.0/24"], known(german, "Munich")),
        (["2001:db8:1::/48"], known("JP", "Tokyo")),
        (["203.0.113.0/24"], {"registered_country": {"iso_code": "US"}}),
    ],
)
make(
    "maxmind-asn",
    "GeoLite2-ASN",
    [
        (
            ["198.51.100.0/24", "2001:db8:1::/48"],
            {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Net"},
        )
    ],
)
make("dbip-country", "DBIP-Country-Lite", [(["192.0.2.0/24"], known("BR")), (["198.51.100.0/24"], known("AT"))])
make(
    "dbip-asn",
    "DBIP-ASN-Lite (compat=GeoLite2-ASN)",
    [(["192.0.2.0/24"], {"autonomous_system_number": 64511, "autonomous_system_organization": "Rede Exemplo"})],
)
make(
    "ipinfo-lite",
    "ipinfo generic_bundle_lite.mmdb",
    [
        (
            ["198.51.100.0/24", "2001:db8:1::/48"],
            {
                "asn": "AS64497",
                "as_name": "Example, Inc.",
                "as_domain": "example.com",
                "country": "France",
                "country_code": "FR",
                "continent": "Europe",
                "continent_code": "EU",
            },
        )
    ],
)
make("ipinfo-city", "ipinfo standard_location.mmdb", [(["198.51.100.0/24"], {"city": "Paris", "country": "FR", "region": "IDF"})])
make("ipinfo-asn", "ipinfo asn.mmdb", [(["198.51.100.0/24"], {"asn": "AS64498", "name": "Example SA", "domain": "example.com"})])
make("four-only", "Four-Country", [(["198.51.100.0/24"], known("CH"))], ip_version=4, ipv4_compatible=False)
make(
    "rules",
    "Test-City",
    [
        ([f"2001:db8:9e{n}::/48"], {**known(code), "autonomous_system_number": number, "autonomous_system_organization": who})
        for n, code, number, who in [(0, "BR", 64511, "Some Hoster"), (1, "DE", 64496, "Ours"), (2, "US", 64500, "Amazon")]
    ],
)
make("connection", "GeoIP2-Connection-Type", [(["198.51.100.0/24"], {"connection_type": "Cable/DSL"})])
make("empty", "Empty-Country", [])
