//! A database of countries, cities or networks in MaxMind's format, see
//! <https://maxmind.github.io/MaxMind-DB/>. What an entry looks like differs by who has made it:
//!
//! | | MaxMind, DB-IP | IPinfo |
//! | --- | --- | --- |
//! | country | `country.iso_code` | `country_code`, or a `country` of two letters |
//! | city | `city.names.en` | `city` |
//! | network | `autonomous_system_number`, `autonomous_system_organization` | `asn` (`AS64496`), `as_name` or `name` |

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use maxminddb::{MaxMindDbError, Reader};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::Place;

/// So many entries are looked at to see whether a database has what it is for.
const SAMPLE: usize = 10_000;

/// A database in memory.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
}

/// An entry, of any maker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    country: Option<Named<'a>>,
    #[serde(borrow)]
    country_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    city: Option<Named<'a>>,
    #[serde(deserialize_with = "number")]
    autonomous_system_number: Option<u64>,
    #[serde(borrow)]
    autonomous_system_organization: Option<Cow<'a, str>>,
    #[serde(borrow)]
    asn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    as_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// A country or city: its name alone, or what is known of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Named<'a> {
    Name(#[serde(borrow)] Cow<'a, str>),
    Known {
        #[serde(borrow, default)]
        iso_code: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        names: HashMap<&'a str, Cow<'a, str>>,
    },
}

/// A number of any width, of which makers take the one that they like.
fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<u64>, D::Error> {
    struct Any;
    impl Visitor<'_> for Any {
        type Value = u64;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a number")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> std::result::Result<u64, E> {
            u64::try_from(number).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Any).map(Some)
}

impl Database {
    /// # Errors
    /// Where these are not the bytes of such a database, or of one that has nothing of this.
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        let reader = Reader::from_source(bytes).map_err(|error| match error {
            MaxMindDbError::InvalidDatabase { .. } => {
                anyhow::anyhow!(
                    "is not a database in MaxMind's format, or not a whole one: {error}"
                )
            }
            error => error.into(),
        })?;
        let database = Self { reader };
        database.check()?;
        Ok(database)
    }

    /// Is there a country, a city or a network in it?
    fn check(&self) -> Result<()> {
        let networks = self.reader.networks(maxminddb::WithinOptions::default());
        let mut entries = 0;
        for found in networks.context("is damaged")?.take(SAMPLE) {
            let entry = found.context("is damaged")?.decode::<Entry<'_>>();
            if entry
                .context("is damaged")?
                .is_some_and(|entry| entry.tells())
            {
                return Ok(());
            }
            entries += 1;
        }
        let kind = &self.reader.metadata().database_type;
        match entries {
            0 => bail!("is a database of type {kind:?} without any entry"),
            _ => bail!(
                "is a database of type {kind:?}, which tells neither countries, cities nor networks in a form that is known: \
                 those of MaxMind, DB-IP and IPinfo are"
            ),
        }
    }

    /// What it is, and when it was made: `GeoLite2-City of 2026-11-24`.
    pub fn describe(&self) -> String {
        let metadata = self.reader.metadata();
        let made = i64::try_from(metadata.build_epoch).ok();
        let made = made.and_then(|made| Timestamp::from_second(made).ok());
        let kind: String = metadata.database_type.chars().take(40).collect();
        match made {
            Some(made) => format!("{kind} of {}", made.strftime("%Y-%m-%d")),
            None => kind,
        }
    }

    /// Add what is known of an address to what others have said. False where the entry can't be read.
    pub fn tell(&self, address: IpAddr, place: &mut Place) -> bool {
        // A database of IPv4 alone knows nothing of others.
        let Ok(found) = self.reader.lookup(address) else {
            return address.is_ipv6();
        };
        match found.decode::<Entry<'_>>() {
            Ok(Some(entry)) => {
                entry.tell(place);
                true
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

impl Entry<'_> {
    fn tells(&self) -> bool {
        let mut place = Place::default();
        self.tell(&mut place);
        place != Place::default()
    }

    fn tell(&self, place: &mut Place) {
        let set = |part: &mut Option<Box<str>>, text: Option<&str>| {
            let text = text.filter(|text| !text.is_empty());
            if part.is_none() {
                *part = text.map(Into::into);
            }
        };
        set(&mut place.country, self.country());
        set(
            &mut place.city,
            match &self.city {
                Some(Named::Name(name)) => Some(name),
                Some(Named::Known { names, .. }) => names.get("en").map(AsRef::as_ref),
                None => None,
            },
        );
        if place.asn.is_none() {
            let number = || self.asn.as_deref()?.strip_prefix("AS")?.parse().ok();
            place.asn = self.autonomous_system_number.or_else(number);
        }
        let organization = self.autonomous_system_organization.as_deref();
        // In a database of networks, what has a name is the network.
        let named = self.name.as_deref().filter(|_| self.asn.is_some());
        set(
            &mut place.as_org,
            organization.or(self.as_name.as_deref()).or(named),
        );
    }

    /// The ISO code.
    fn country(&self) -> Option<&str> {
        let is_code =
            |code: &&str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let country = match self.country.as_ref() {
            Some(Named::Name(name)) => Some(name.as_ref()),
            Some(Named::Known { iso_code, .. }) => iso_code.as_deref(),
            None => None,
        };
        self.country_code
            .as_deref()
            .filter(is_code)
            .or(country.filter(is_code))
    }
}
