//! Where log files come from. A source names them in the order in which their events are handed over, and knows how
//! to fetch each. It does not look into them.

mod bucket;
mod directory;
mod history;
mod logs;
mod queue;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod tests;
mod timeline;
mod twins;
mod validated;

#[cfg(any(fuzzing, test))]
pub(crate) use queue::fuzz_message as queue_message;

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use futures_util::future::BoxFuture;

use crate::aws::s3::page::Object;
use crate::aws::s3::{BucketClient, Fetched};
use crate::aws::{self, Environment};
use crate::cache::{Cache, Name};
use crate::integrity::{DigestStore, Keys, Rules, Validation};
use crate::log_file::{Fetch, FileError, LogFile};
use crate::settings::location::Location;
use crate::settings::{self, Settings};
use crate::stats::Stats;
use crate::trail::Selection;
use validated::Validated;

/// Names log files in order.
pub(crate) trait Source: Send + 'static {
    /// The next log file; none at the end. An error ends the capture.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>>;

    /// Does it name the newest log file first?
    fn newest_first(&self) -> bool {
        false
    }

    /// What is still to be done when a capture is closed, in the little time left: finish acks.
    fn closing(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Gets an object, and keeps it in the cache, if there is one, under this name; `meaning` tells what an error means for the
/// capture.
fn fetching(
    client: Arc<BucketClient>,
    object: Object,
    cache: Option<(Arc<Cache>, Name)>,
    meaning: fn(aws::Error) -> FileError,
) -> Fetch {
    Box::new(move |room, pace| {
        Box::pin(async move {
            let listed = object.etag.clone();
            let fetched = client.fetch(object, room, pace).await;
            match (fetched.map_err(meaning)?, cache) {
                // It may have been replaced since it was listed.
                (Fetched::Body { body, etag }, Some((cache, name))) if etag == listed => {
                    Ok(cache.keep(name, body).await)
                }
                (Fetched::Body { body, .. }, _) => Ok(body),
                (Fetched::LeftArchived, _) => Err(FileError::Said),
            }
        })
    })
}

/// Open what the user named. Returns once it is known that there is something to read, or what is wrong. What is to be read
/// is returned as well, since a state file may have a start of its own.
pub(crate) async fn open(
    location: Location,
    settings: &Settings,
    wanted: Selection,
    environment: &Environment,
    stats: Arc<Stats>,
) -> Result<(Box<dyn Source>, Selection)> {
    say_what_has_no_effect(&location, settings, &stats);
    if settings.validation != settings::Validation::Off {
        let selection = wanted.clone();
        let source = open_validated(location, wanted, settings, environment, stats).await?;
        return Ok((source, selection));
    }
    Ok(match location {
        Location::Path(path) => {
            let source = directory::open(path, wanted.clone(), stats).await?;
            (Box::new(source), wanted)
        }
        Location::Bucket(location) => {
            let source = bucket::open(location, wanted, settings, environment, stats).await?;
            let selection = source.selection();
            (Box::new(source), selection)
        }
        Location::Queue(location) => {
            let source =
                queue::open(location, wanted.clone(), settings, environment, stats).await?;
            (Box::new(source), wanted)
        }
        Location::Logs(location) => {
            logs::open(location, wanted, settings, environment, stats).await?
        }
        // The event history is looked up by the time of events, whatever the interval applies to otherwise.
        Location::History(location) => {
            let (source, asked) =
                history::open(location, wanted.asked, settings, environment, stats).await?;
            (Box::new(source), settings.selection_of(asked))
        }
    })
}

/// Log which settings have no effect on what is opened.
fn say_what_has_no_effect(location: &Location, settings: &Settings, stats: &Stats) {
    let what = match location {
        Location::Bucket(_) => "a bucket",
        Location::Queue(_) => "a queue",
        Location::Path(_) => "a folder or file",
        Location::Logs(_) => "log groups",
        Location::History(_) => "the event history",
    };
    let can_be_followed = matches!(
        location,
        Location::Bucket(_) | Location::Logs(_) | Location::History(_)
    );
    if settings.follow && !can_be_followed {
        stats.note(match location {
            Location::Queue(_) => {
                "s3Follow has no effect on a queue, which is followed anyway".to_owned()
            }
            _ => format!("s3Follow has no effect on {what}: it is read once"),
        });
    }
    if settings.state_path.is_some() && !(settings.follow && can_be_followed) {
        stats.note(match location {
            Location::Queue(_) => {
                "statePath has no effect on a queue, which itself keeps what is not consumed"
                    .to_owned()
            }
            Location::Path(_) => format!("statePath has no effect on {what}: it is read once"),
            _ => "statePath has no effect without s3Follow: all is read once".to_owned(),
        });
    }
    if settings.cache.is_some() && !matches!(location, Location::Bucket(_)) {
        stats.note(format!(
            "cachePath has no effect on {what}: what a bucket holds is kept, and that only"
        ));
    }
}

/// Open what the user named, and check log files against their digests.
async fn open_validated(
    location: Location,
    wanted: Selection,
    settings: &Settings,
    environment: &Environment,
    stats: Arc<Stats>,
) -> Result<Box<dyn Source>> {
    let word = settings.validation.word();
    let late = || {
        anyhow!(
            "validate: {word}: digest files come up to an hour after the log files that they prove, so what is read as it \
             comes can't be validated. Set validate to off here, and read the bucket again later, with s3Interval and \
             without s3Follow"
        )
    };
    let keys = Keys::load(settings.validate_keys.as_deref())?;
    let rules = Rules {
        strict: settings.validation == settings::Validation::Strict,
        bucket: settings.validate_bucket.clone(),
        opened: environment.clock.now(),
    };
    let (source, digests): (Box<dyn Source>, Box<dyn DigestStore>) = match location {
        Location::History(_) => bail!(
            "validate: {word}: CloudTrail signs log files, not the event history. Set validate to off here"
        ),
        Location::Logs(_) => bail!(
            "validate: {word}: CloudTrail signs log files, not what it sends to CloudWatch Logs. Set validate to off here"
        ),
        Location::Queue(_) => return Err(late()),
        _ if settings.follow => return Err(late()),
        Location::Bucket(location) => {
            let source =
                bucket::open(location, wanted, settings, environment, Arc::clone(&stats)).await?;
            let digests = source.digests();
            (Box::new(source), Box::new(digests))
        }
        Location::Path(path) => {
            let digests = directory::DirectoryDigests::new(
                path.clone(),
                wanted.clone(),
                settings,
                environment,
                &stats,
            );
            let source = directory::open(path, wanted, Arc::clone(&stats)).await?;
            (Box::new(source), Box::new(digests))
        }
    };
    let validation = Validation::new(rules, stats, digests, keys);
    Ok(Box::new(Validated::open(source, validation).await?))
}
