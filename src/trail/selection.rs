//! Which log files of a trail are read: interval, accounts and regions.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use jiff::Timestamp;

use super::interval::Interval;
use super::key::{account, region};
use super::names::{file_name, is_account, is_region};
use super::naming::is_archive;

/// What is asked of a source, beside its location.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Of deliveries.
    pub interval: Interval,
    /// The interval as the user has given it, of deliveries or of events.
    pub asked: Interval,
    /// The interval of events. Events outside of it are left out.
    pub events: Interval,
    pub accounts: Listed,
    pub regions: Listed,
}

impl Selection {
    /// Do the lists of accounts and regions take this log file? An archive whose account or region is not known is taken,
    /// for it may hold log files of those in the lists.
    pub fn takes_place(&self, key: &str) -> bool {
        let is_archive = is_archive(key);
        // Whoever made an archive gave it its name.
        let key = match is_archive {
            true => &key[..key.len() - file_name(key).len()],
            false => key,
        };
        let takes =
            |list: &Listed, name: Option<&str>| list.contain(name) || name.is_none() && is_archive;
        takes(&self.accounts, account(key)) && takes(&self.regions, region(key))
    }

    /// Does it choose by time, account or region at all?
    pub fn is_limited(&self) -> bool {
        self.interval != Interval::default() || !self.accounts.are_all() || !self.regions.are_all()
    }

    /// Does a log file that was delivered at this time, if it is known, belong to the interval? What is in an archive has times
    /// of its own.
    pub fn takes_time(&self, key: &str, delivered: Option<Timestamp>) -> bool {
        is_archive(key) || delivered.is_none_or(|time| self.interval.contains(time))
    }
}

/// Which accounts or regions to read: all, or those of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Listed(BTreeSet<String>);

impl Listed {
    /// `s3AccountList`: account IDs of twelve digits each, separated by commas; blanks do not matter.
    pub fn accounts(list: &str) -> Result<Self> {
        Self::parse(list, "contains no account ID", is_account, |text| {
            format!(
                "{text:?} is not a valid AWS account ID: give account IDs of 12 digits, separated by commas, such as 123456789012,210987654321"
            )
        })
    }

    /// `s3RegionList`: names of regions, separated by commas; blanks do not matter.
    pub fn regions(list: &str) -> Result<Self> {
        Self::parse(list, "contains no region", is_region, |text| {
            format!(
                "{text:?} is not the name of a region: give names separated by commas, such as us-east-1,eu-west-1"
            )
        })
    }

    fn parse(
        list: &str,
        nothing: &str,
        is_valid: fn(&str) -> bool,
        refuse: fn(&str) -> String,
    ) -> Result<Self> {
        let names = list.split(',').map(str::trim);
        let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
        if let Some(wrong) = names.iter().find(|name| !is_valid(name)) {
            bail!(refuse(wrong));
        }
        ensure!(
            !names.is_empty() || list.trim().is_empty(),
            "{list:?} {nothing}"
        );
        Ok(Self(names.into_iter().map(str::to_owned).collect()))
    }

    /// Are all read, because there is no list?
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Is it to be read? A list takes nothing of which it is not known whose it is.
    pub fn contain(&self, name: Option<&str>) -> bool {
        self.are_all() || name.is_some_and(|name| self.0.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_accounts_and_regions() {
        let accounts = Listed::accounts(" 111122223333 ,444455556666,").unwrap();
        assert!(accounts.contain(Some("444455556666")));
        assert!(!accounts.contain(Some("777788889999")));
        assert!(!accounts.contain(None));
        assert!(Listed::accounts("").unwrap().contain(None));
        for bad in ["1111", "111122223333;444455556666", "11112222333x", ","] {
            assert!(Listed::accounts(bad).is_err(), "{bad}");
        }
        let regions = Listed::regions("us-east-1, us-gov-west-1").unwrap();
        assert!(regions.contain(Some("us-gov-west-1")));
        assert!(!regions.contain(Some("us-east-10")));
        for bad in ["us-east", "US-EAST-1", "us-east-1 us-east-2", "all"] {
            assert!(Listed::regions(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_are_taken_by_account_and_region() {
        let selection = Selection {
            accounts: Listed::accounts("111122223333").unwrap(),
            regions: Listed::regions("us-east-1").unwrap(),
            ..Selection::default()
        };
        for (key, taken) in [
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2024/03/05/x.json.gz",
                true,
            ),
            (
                "AWSLogs/111122223333/CloudTrail/eu-west-1/2024/03/05/x.json.gz",
                false,
            ),
            (
                "AWSLogs/444455556666/CloudTrail/us-east-1/2024/03/05/x.json.gz",
                false,
            ),
            (
                "111122223333_CloudTrail_us-east-1_20240305T1205Z_x.json.gz",
                true,
            ),
            (
                "111122223333_CloudTrail_us-east-2_20240305T1205Z_x.json.gz",
                false,
            ),
            ("AWSLogs/111122223333/events.json", false),
            ("trail.zip", true),
            ("AWSLogs/111122223333/CloudTrail/eu-west-1/day.zip", false),
        ] {
            assert_eq!(selection.takes_place(key), taken, "{key}");
        }
    }
}
