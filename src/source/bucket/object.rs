//! One object's bytes, whatever happens on the way.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use aws_sdk_s3::primitives::ByteStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::page::Object;
use super::store::{Store, TRIES, backoff};
use crate::aws;
use crate::decode::WHOLE;
use crate::source::{Body, Fatal};

/// Get an object. A large one comes in pieces.
pub(in crate::source) async fn fetch(store: Arc<Store>, object: Object) -> Result<Body> {
    if object.archived {
        bail!("is archived (Glacier): restore it from its storage class first");
    }
    let mut download = Download {
        store,
        key: object.key,
        offset: 0,
        etag: None,
        body: None,
        tries: 0,
        size: object.size,
        moved: false,
        renewed: false,
    };
    // Whether it may be read at all, and how large it is, is known with its first piece.
    let mut piece = download.next().await?.map(|piece| piece.to_vec());
    if download.size as usize <= WHOLE {
        let mut bytes = piece.unwrap_or_default();
        bytes.reserve_exact((download.size as usize).saturating_sub(bytes.len()));
        while let Some(piece) = download.next().await? {
            bytes.extend_from_slice(&piece);
        }
        return Ok(Body::Bytes(bytes));
    }
    let (pieces, body) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(next) = piece.take() {
            if pieces.send(Ok(next)).await.is_err() {
                return;
            }
            match download.next().await {
                Ok(next) => piece = next.map(|piece| piece.to_vec()),
                Err(error) => {
                    _ = pieces
                        .send(Err(std::io::Error::other(format!("{error:#}"))))
                        .await;
                }
            }
        }
    });
    Ok(Body::Stream(body))
}

/// A download, taken up where it broke off.
struct Download {
    store: Arc<Store>,
    key: String,
    /// Bytes received.
    offset: u64,
    /// Of the object begun, lest another's end is read with it.
    etag: Option<String>,
    body: Option<ByteStream>,
    /// Tries since the last piece.
    tries: u32,
    /// How large it is, going by its listing or else by S3's first answer.
    size: u64,
    /// It was asked for in another region.
    moved: bool,
    /// Credentials were found anew since the last piece.
    renewed: bool,
}

impl Download {
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
                Ok(None) if self.offset < self.size && self.tries < TRIES => {
                    self.body = None;
                    self.wait().await;
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.body = None;
                    if self.tries >= TRIES {
                        bail!(
                            "its download broke off at byte {}: {}",
                            self.offset,
                            aws::chain(&error)
                        );
                    }
                    self.wait().await;
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<()> {
        loop {
            let store = &self.store;
            let session = store.session();
            let request = session
                .client
                .get_object()
                .bucket(&store.bucket)
                .key(&self.key)
                .set_range((self.offset > 0).then(|| format!("bytes={}-", self.offset)))
                .set_if_match(self.etag.clone())
                .set_request_payer(store.payer.clone());
            match request.send().await {
                Ok(output) => {
                    if self.offset > 0 && output.content_range.is_none() {
                        return Err(anyhow!(
                            "its download broke off at byte {}, and the store can't go on from there",
                            self.offset
                        ));
                    }
                    if self.size == 0 {
                        let size = output.content_length.unwrap_or(0);
                        self.size = u64::try_from(size).unwrap_or(0);
                    }
                    self.etag = output.e_tag;
                    self.body = Some(output.body);
                    return Ok(());
                }
                // Nothing is left where all had arrived.
                Err(error) if self.offset > 0 && aws::status(&error) == Some(416) => {
                    self.body = Some(ByteStream::default());
                    return Ok(());
                }
                Err(error) if !self.renewed && aws::has_expired(&error) => {
                    self.renewed = true;
                    store.renew(&session).await?;
                }
                // In another region than thought: S3 says which.
                Err(error)
                    if !self.moved
                        && aws::told_region(&error)
                            .is_some_and(|region| store.relocate(&session, &region)) =>
                {
                    self.moved = true;
                }
                Err(error) if self.tries < TRIES && aws::is_transient(&error) => self.wait().await,
                Err(error) => {
                    let explained = session.access.explain(&error, "reading it");
                    // Every other file would say the same.
                    return Err(
                        if aws::is_about_credentials(&error) || session.access.has_no_credentials()
                        {
                            Fatal(explained).into()
                        } else {
                            explained
                        },
                    );
                }
            }
        }
    }

    async fn wait(&mut self) {
        self.store.ledger.retries.add(1);
        sleep(backoff(self.tries)).await;
        self.tries += 1;
    }
}
