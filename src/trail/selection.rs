//! Which log files of a trail are read: interval and accounts.

use std::collections::BTreeSet;
use std::str::FromStr;

use anyhow::{Error, Result, ensure};
use jiff::Timestamp;

use super::interval::Interval;
use super::key::account;
use super::names::is_account;
use super::naming::is_archive;
use super::times::delivery_time;

/// What is asked of a source, beside its location.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Of deliveries.
    pub interval: Interval,
    /// The interval as the user has given it, of deliveries or of events.
    pub asked: Interval,
    /// The interval of events. Events outside of it are left out.
    pub events: Interval,
    pub accounts: Accounts,
}

impl Selection {
    /// Does the list of accounts take this log file? An archive whose account is not known is taken, for it may hold log
    /// files of the accounts in the list.
    pub fn takes_account(&self, key: &str) -> bool {
        let account = account(key);
        self.accounts.contain(account) || account.is_none() && is_archive(key)
    }

    /// Does a log file that was delivered at this time, if it is known, belong to the interval? For an archive, only the time
    /// in its name counts.
    pub fn takes_time(&self, key: &str, delivered: Option<Timestamp>) -> bool {
        let time = match is_archive(key) {
            true => delivery_time(key),
            false => delivered,
        };
        time.is_none_or(|time| self.interval.contains(time))
    }
}

/// Which accounts to read: all, or those of `s3AccountList`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Accounts(BTreeSet<String>);

impl FromStr for Accounts {
    type Err = Error;

    /// Comma-separated account IDs of twelve digits each; spaces do not matter.
    fn from_str(list: &str) -> Result<Self> {
        let mut accounts = BTreeSet::new();
        for account in list
            .split(',')
            .map(str::trim)
            .filter(|account| !account.is_empty())
        {
            ensure!(
                is_account(account),
                "{account:?} is not a valid AWS account ID: give account IDs of 12 digits, separated by commas, such as 123456789012,210987654321"
            );
            accounts.insert(account.to_owned());
        }
        ensure!(
            !accounts.is_empty() || list.trim().is_empty(),
            "{list:?} contains no account ID"
        );
        Ok(Self(accounts))
    }
}

impl Accounts {
    /// Are all accounts read, because there is no list?
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Does the list take this account? A list takes no file whose account is unknown.
    pub fn contain(&self, account: Option<&str>) -> bool {
        self.are_all() || account.is_some_and(|account| self.0.contains(account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_lists() {
        let accounts = " 111122223333 ,444455556666,".parse::<Accounts>().unwrap();
        assert!(accounts.contain(Some("444455556666")));
        assert!(!accounts.contain(Some("777788889999")));
        assert!(!accounts.contain(None));
        assert!("".parse::<Accounts>().unwrap().contain(None));
        for bad in ["1111", "111122223333;444455556666", "11112222333x", ","] {
            assert!(bad.parse::<Accounts>().is_err(), "{bad}");
        }
    }
}
