//! Takes log files from the source and fetches them.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};

use super::Limits;
use super::ahead::{Ahead, Unseen};
use crate::budget::{Budget, Room};
use crate::concurrency::Concurrency;
use crate::decode::{Buffers, Decode, Fingerprints};
use crate::log_file::{Ack, Body, FileError, LogFile, Proof};
use crate::source::Source;

/// Bytes of log files held as stored, waiting to be decoded, about.
const FETCHED: usize = 16 << 20;

/// A log file that is being fetched: its body, and its room in the budget for stored bytes.
pub(super) struct Fetching {
    pub name: String,
    pub ack: Option<Ack>,
    pub proof: Option<Box<dyn Proof>>,
    pub decode: Decode,
    pub unseen: Unseen,
    pub body: JoinHandle<(Result<Body, FileError>, Room)>,
}

/// Fetch what the source names, until it has no more.
pub(super) async fn run(
    mut source: Box<dyn Source>,
    limits: Limits,
    concurrency: Concurrency,
    ahead: Ahead,
    fetches: mpsc::Sender<Fetching>,
) -> Result<()> {
    let held = Budget::new(FETCHED);
    let (stored, inflated) = (Buffers::default(), Buffers::default());
    let newest_first = source.newest_first();
    let fingerprints = Fingerprints::new(limits.dedupe);
    while let Some(LogFile {
        name,
        size,
        delivered,
        cached,
        fetch,
        ack,
        proof,
    }) = source.next().await?
    {
        let unseen = ahead.name();
        let room = held.take(size).await?;
        // What is in a cache needs no place among the requests; what turns out not to be there takes one later.
        let slot = match cached {
            None => Some(concurrency.slot().await),
            Some(_) => None,
        };
        let concurrency = concurrency.clone();
        let body = tokio::spawn(async move {
            if let Some(cached) = cached
                && let Some(body) = cached(room.clone()).await
            {
                return (Ok(body), room);
            }
            let slot = match slot {
                Some(slot) => slot,
                None => concurrency.slot().await,
            };
            let body = fetch(room.clone(), concurrency.pace()).await;
            // The connection is given back by a task of its own; the next request would make another one.
            yield_now().await;
            drop(slot);
            (body, room)
        });
        let decode = Decode {
            stored: stored.clone(),
            inflated: inflated.clone(),
            delivered,
            include_insights: limits.include_insights,
            newest_first,
            selection: Arc::clone(&limits.selection),
            filter: limits.filter.clone(),
            atlas: Arc::clone(&limits.atlas),
            fingerprints: fingerprints.clone(),
            redaction: Arc::clone(&limits.redaction),
            sessions: Arc::clone(&limits.sessions),
            ..Decode::default()
        };
        let fetching = Fetching {
            name,
            ack,
            proof,
            decode,
            unseen,
            body,
        };
        if fetches.send(fetching).await.is_err() {
            break;
        }
    }
    Ok(())
}
