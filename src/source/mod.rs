//! Where log files come from. A source names them in the order in which their events are handed over, and knows how
//! to fetch each; what is in them is no concern of its.

mod bucket;
mod directory;
mod history;
mod queue;

#[cfg(any(fuzzing, test))]
pub(crate) use {bucket::fuzz_page as bucket_page, queue::fuzz_message as queue_message};

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::integrity::{Checks, Digests, Keys, Proof, Validated};
use crate::ledger::Ledger;
use crate::location::Location;
use crate::trail::{self, Accounts, Interval};

/// A log file to be fetched.
pub(crate) struct LogFile {
    /// A path, or an `s3://` URL: what errors call it.
    pub name: String,
    /// Its size in bytes as stored; 0 where unknown.
    pub size: u64,
    /// When it was delivered: the time in its name, else the file's or object's own.
    pub delivered: Option<Timestamp>,
    /// How to get at it.
    pub fetch: Fetch,
    /// Who waits for it to be consumed, if anybody does.
    pub receipt: Option<Receipt>,
    /// What proves it, where log files are validated.
    pub proof: Option<Proof>,
}

/// Called when the host has consumed every event of a log file; dropped where that never happens.
pub(crate) type Receipt = Box<dyn FnOnce() + Send>;

/// Gets a log file's bytes; its error is about this file alone, unless it is [`Fatal`].
pub(crate) type Fetch = Box<dyn FnOnce() -> BoxFuture<'static, Result<Body>> + Send>;

/// An error of a [`Fetch`] that is not about its file alone: the capture ends with it.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct Fatal(pub anyhow::Error);

/// A log file's bytes as stored, compressed or not.
pub(crate) enum Body {
    /// In a file, to be read by whoever decodes it.
    File(PathBuf),
    /// All of them.
    Bytes(Vec<u8>),
    /// Too many to hold: pieces in order; an error ends them.
    Stream(mpsc::Receiver<std::io::Result<Vec<u8>>>),
}

/// Names log files in order.
pub(crate) trait Source: Send + 'static {
    /// The next log file; none at the end. An error ends the capture.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>>;

    /// Does it name the newest log file first?
    fn newest_first(&self) -> bool {
        false
    }

    /// What is still to be done when a capture is closed, in as little time as there is: follow up on receipts.
    fn closing(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What is asked of a source, beside its location.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Of deliveries.
    pub interval: Interval,
    /// As the user has given it: of deliveries or events.
    pub asked: Interval,
    pub accounts: Accounts,
}

impl Wanted {
    /// Does a list of accounts take this log file? An archive of which nothing is known may hold some that it takes.
    pub fn takes_account(&self, key: &str) -> bool {
        let account = trail::account(key);
        self.accounts.contain(account) || account.is_none() && trail::is_archive(key)
    }

    /// Does a log file delivered then, if that is known, belong to the interval? For an archive only its name tells.
    pub fn takes_time(&self, key: &str, delivered: Option<Timestamp>) -> bool {
        let time = match trail::is_archive(key) {
            true => trail::delivery_time(key),
            false => delivered,
        };
        time.is_none_or(|time| self.interval.contains(time))
    }

    /// As configured, in an interval of events or deliveries.
    pub fn new(config: &Config, interval: Interval) -> Result<Self> {
        Ok(Self {
            interval: if config.s3_interval_of == "event" {
                interval.with_lateness()
            } else {
                interval
            },
            asked: interval,
            accounts: Accounts::parse(&config.s3_account_list)?,
        })
    }
}

/// Open what the user named. Returns once it is known that there is something, or what is wrong.
pub(crate) async fn open(
    location: Location,
    config: &Config,
    wanted: Wanted,
    ledger: Arc<Ledger>,
) -> Result<Box<dyn Source>> {
    if config.s3_follow && !matches!(location, Location::Bucket(_) | Location::History(_)) {
        ledger.note(match location {
            Location::Queue(_) => {
                "s3Follow has no effect on a queue, which is followed anyway".to_owned()
            }
            _ => "s3Follow has no effect on a folder or file: it is read once".to_owned(),
        });
    }
    if config.validate != "off" {
        return open_validated(location, wanted, config, ledger).await;
    }
    Ok(match location {
        Location::Path(path) => Box::new(directory::open(path, wanted, ledger).await?),
        Location::Bucket(location) => {
            Box::new(bucket::open(location, wanted, config, ledger).await?)
        }
        Location::Queue(location) => Box::new(queue::open(location, wanted, config, ledger).await?),
        // AWS goes by the time of events, whatever else the interval would be of.
        Location::History(location) => {
            Box::new(history::open(location, wanted.asked, config, ledger).await?)
        }
    })
}

/// The same, where log files are checked against their digests.
async fn open_validated(
    location: Location,
    wanted: Wanted,
    config: &Config,
    ledger: Arc<Ledger>,
) -> Result<Box<dyn Source>> {
    let late = |validate: &str| {
        anyhow!(
            "validate: {validate}: digest files come up to an hour after the log files that they prove, so what is read as it \
             comes can't be validated. Set validate to off here, and read the bucket again later, with s3Interval and \
             without s3Follow"
        )
    };
    let keys = Keys::load(config.validate_keys.trim())?;
    let (source, digests): (Box<dyn Source>, Box<dyn Digests>) = match location {
        Location::History(_) => bail!(
            "validate: {}: CloudTrail signs log files, not the event history. Set validate to off here",
            config.validate
        ),
        Location::Queue(_) => return Err(late(&config.validate)),
        _ if config.s3_follow => return Err(late(&config.validate)),
        Location::Bucket(location) => {
            let source = bucket::open(location, wanted, config, Arc::clone(&ledger)).await?;
            let digests = source.digests();
            (Box::new(source), Box::new(digests))
        }
        Location::Path(path) => {
            let digests = directory::Digests::new(path.clone(), wanted.clone(), config);
            let source = directory::open(path, wanted, Arc::clone(&ledger)).await?;
            (Box::new(source), Box::new(digests))
        }
    };
    let checks = Checks::new(config.validate == "strict", ledger, digests, keys);
    Ok(Box::new(Validated::open(source, checks).await?))
}
