//! One object's bytes, whatever happens on the way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::anyhow;
use aws_sdk_s3::primitives::ByteStream;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::page::Object;
use super::{Store, TRIES, backoff};
use crate::aws;
use crate::log_file::{Body, FileError, LARGEST_WHOLE};

type Result<T, E = FileError> = std::result::Result<T, E>;

/// A large object is fetched in ranges of so many bytes, since S3 limits the speed of each connection.
const RANGE: u64 = 4 << 20;
/// So many at once.
const RANGES: usize = 4;

/// Get an object. A large one comes in pieces.
pub(crate) async fn fetch(store: Arc<Store>, object: Object) -> Result<Body> {
    if object.archived {
        return Err(
            anyhow!("is archived (Glacier): restore it from its storage class first").into(),
        );
    }
    let ranged = object.size as usize > LARGEST_WHOLE;
    let mut download = Download {
        store,
        key: object.key,
        offset: 0,
        etag: None,
        metadata: None,
        body: None,
        tries: 0,
        end: if ranged { RANGE } else { object.size },
        ranged,
        moved: false,
        renewed: false,
    };
    // Whether it may be read at all, and how large it is, is known with its first piece.
    let Some(first) = download.next().await? else {
        return Ok(Body::Bytes(Vec::new()));
    };
    if download.end as usize <= LARGEST_WHOLE && !ranged {
        return Ok(Body::Bytes(download.rest(first.into()).await?));
    }
    // The first range is one of those that are held.
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(error) = stream(download, first.into(), object.size, &pieces).await {
            let error = std::io::Error::other(format!("{:#}", error.into_reason()));
            _ = pieces.send(Err(error)).await;
        }
    });
    Ok(Body::Stream(body))
}

/// Get an object that is not large, such as a digest, with what its writer has said of it.
pub(crate) async fn fetch_small(
    store: Arc<Store>,
    key: String,
) -> Result<(Vec<u8>, HashMap<String, String>)> {
    let mut download = Download {
        store,
        key,
        offset: 0,
        etag: None,
        metadata: None,
        body: None,
        tries: 0,
        end: 0,
        ranged: false,
        moved: false,
        renewed: false,
    };
    let first = download.next().await?.unwrap_or_default();
    let metadata = download.metadata.take().unwrap_or_default();
    if download.end > LARGEST_WHOLE as u64 {
        return Err(anyhow!("is too large for a digest").into());
    }
    Ok((download.rest(first.into()).await?, metadata))
}

/// Send an object in pieces, as long as somebody listens.
async fn stream(
    mut download: Download,
    first: Vec<u8>,
    size: u64,
    pieces: &mpsc::Sender<std::io::Result<Vec<u8>>>,
) -> Result<()> {
    if !download.ranged {
        let mut piece = Some(first);
        while let Some(next) = piece {
            if pieces.send(Ok(next)).await.is_err() {
                return Ok(());
            }
            piece = download.next().await?.map(Into::into);
        }
        return Ok(());
    }
    let others = (RANGE..size).step_by(RANGE as usize);
    let others: Vec<Download> = others
        .map(|start| download.range(start, size.min(start + RANGE)))
        .collect();
    let mut ranges: Vec<BoxFuture<Result<Vec<u8>>>> = vec![Box::pin(download.rest(first))];
    for range in others {
        ranges.push(Box::pin(range.rest(Vec::new())));
    }
    let mut ranges = stream::iter(ranges).buffered(RANGES);
    while let Some(range) = ranges.next().await {
        if pieces.send(Ok(range?)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A download, taken up where it broke off.
struct Download {
    store: Arc<Store>,
    key: String,
    /// Bytes received, with those of the object before them.
    offset: u64,
    /// Of the object begun, lest another's end is read with it.
    etag: Option<String>,
    /// What its writer has said of it, known with its first piece.
    metadata: Option<HashMap<String, String>>,
    body: Option<ByteStream>,
    /// Tries since the last piece.
    tries: u32,
    /// Where it ends, going by the object's listing or else by S3's first answer.
    end: u64,
    /// It is a part of the object.
    ranged: bool,
    /// It was asked for in another region.
    moved: bool,
    /// Credentials were found anew since the last piece.
    renewed: bool,
}

impl Download {
    /// Another part of the same object.
    fn range(&self, offset: u64, end: u64) -> Self {
        Self {
            store: Arc::clone(&self.store),
            key: self.key.clone(),
            offset,
            etag: self.etag.clone(),
            metadata: None,
            body: None,
            tries: 0,
            end,
            ranged: true,
            moved: false,
            renewed: false,
        }
    }

    /// All that is left, behind the `bytes` that came before.
    async fn rest(mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        bytes.reserve_exact(self.end.saturating_sub(self.offset) as usize);
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            let Some(body) = &mut self.body else {
                self.begin().await?;
                continue;
            };
            match body.try_next().await {
                Ok(Some(piece)) => {
                    self.offset += piece.len() as u64;
                    self.tries = 0;
                    self.renewed = false;
                    return Ok(Some(piece));
                }
                // A body that ends too early, by a proxy's doing say: what is missing is asked for.
                Ok(None) if self.offset < self.end && self.tries < self.store.tries => {
                    self.body = None;
                    self.wait("its download breaks off").await;
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.body = None;
                    if self.tries >= self.store.tries {
                        return Err(anyhow!(
                            "its download broke off at byte {}: {}",
                            self.offset,
                            aws::chain(&error)
                        )
                        .into());
                    }
                    self.wait(&aws::chain(&error)).await;
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<()> {
        loop {
            let store = &self.store;
            let session = store.sessions.current();
            let request = session
                .client
                .get_object()
                .bucket(&store.bucket)
                .key(&self.key)
                .set_range(match (self.ranged, self.offset) {
                    (true, offset) => Some(format!("bytes={offset}-{}", self.end - 1)),
                    (false, 0) => None,
                    (false, offset) => Some(format!("bytes={offset}-")),
                })
                .set_if_match(self.etag.clone())
                .set_request_payer(store.payer.clone());
            match request.send().await {
                Ok(output) => {
                    if self.offset > 0 && output.content_range.is_none() {
                        return Err(anyhow!(
                            "its download broke off at byte {}, and the store can't go on from there",
                            self.offset
                        )
                        .into());
                    }
                    // A store that knows no ranges gives all of it.
                    self.ranged &= output.content_range.is_some();
                    if self.offset == 0 && !self.ranged {
                        // An answer that states less than the listing is cut short, more likely than not.
                        let stated = u64::try_from(output.content_length.unwrap_or(0)).unwrap_or(0);
                        self.end = self.end.max(stated);
                    }
                    store.troubled.store(false, Ordering::Relaxed);
                    self.etag = output.e_tag;
                    self.metadata = output.metadata;
                    self.body = Some(output.body);
                    return Ok(());
                }
                // Nothing is left where all had arrived.
                Err(error) if self.offset > 0 && aws::status(&error) == Some(416) => {
                    self.end = self.offset;
                    self.body = Some(ByteStream::default());
                    return Ok(());
                }
                Err(error) if !self.renewed && aws::has_expired(&error) => {
                    self.renewed = true;
                    store.sessions.renew(&session).await?;
                }
                // In another region than thought: S3 says which.
                Err(error)
                    if !self.moved
                        && aws::told_region(&error)
                            .is_some_and(|region| store.sessions.relocate(&session, &region)) =>
                {
                    self.moved = true;
                }
                Err(error) if self.tries < store.tries && aws::is_transient(&error) => {
                    let why = session.access.explain(&error, "reading it");
                    self.wait(&format!("{why:#}")).await;
                    self.renewed = false;
                }
                Err(error) => {
                    let explained = session.access.explain(&error, "reading it");
                    // Every other file would say the same.
                    return Err(
                        if aws::is_about_credentials(&error) || session.access.has_no_credentials()
                        {
                            FileError::Capture(explained)
                        } else {
                            explained.into()
                        },
                    );
                }
            }
        }
    }

    async fn wait(&mut self, why: &str) {
        let store = &self.store;
        store.stats.retries.add(1);
        if self.tries >= TRIES && !store.troubled.swap(true, Ordering::Relaxed) {
            let key = &self.key;
            store
                .stats
                .warn(format!("{key}: {why}; it is tried again and again"));
        }
        sleep(backoff(self.tries)).await;
        self.tries += 1;
    }
}
