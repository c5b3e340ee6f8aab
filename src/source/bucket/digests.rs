//! Digest files in a bucket.

use std::sync::Arc;

use anyhow::Result;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::Bucket;
use super::layout::folder_name;
use crate::aws::cloudtrail;
use crate::aws::s3::{From, Query};
use crate::integrity::{self, Listed, PublicKeys, Stored};
use crate::trail::{self, Interval};

/// The digests of the part of a bucket that is read. All names are `s3://` URLs.
pub(in crate::source) struct BucketDigests(pub(super) Arc<Bucket>);

impl BucketDigests {
    fn key<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&self.0.client.url(""))
            .unwrap_or_default()
    }
}

impl integrity::DigestStore for BucketDigests {
    fn list(&self, folder: String, after: Option<String>) -> BoxFuture<'_, Result<Listed>> {
        Box::pin(async move {
            let query = Query {
                prefix: self.key(&folder).to_owned(),
                from: after.map_or(From::Start, |after| {
                    From::After(self.key(&after).to_owned())
                }),
                ..Query::default()
            };
            let page = self.0.list(&query).await?;
            let last = page.objects.last_key().map(|key| self.0.client.url(&key));
            Ok(Listed {
                names: page
                    .objects
                    .map(|object| self.0.client.url(&object.key))
                    .collect(),
                next: last.filter(|_| page.next.is_some()),
            })
        })
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Stored>> {
        let key = self.key(&name).to_owned();
        Box::pin(async move {
            let client = Arc::clone(&self.0.client);
            let (bytes, mut metadata) = client.fetch_small(key).await?;
            Ok(Stored {
                bytes,
                signature: metadata.remove("signature"),
                generated: metadata
                    .remove("backfill-generation-timestamp")
                    .and_then(|time| time.parse().ok()),
            })
        })
    }

    fn folders(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async move {
            let accounts = std::mem::take(&mut *self.0.digest_folders());
            let mut regions = Vec::new();
            for account in accounts {
                let query = Query {
                    prefix: account,
                    delimiter: true,
                    ..Query::default()
                };
                let page = self.0.list(&query).await?;
                let wanted = &self.0.wanted.regions;
                let folders = page.folders.iter();
                let folders = folders.filter(|folder| wanted.contain(Some(folder_name(folder))));
                regions.extend(folders.map(|key| self.0.client.url(key)));
            }
            Ok(regions)
        })
    }

    fn wants(&self, name: &str) -> bool {
        let (key, wanted) = (self.key(name), &self.0.wanted);
        key.starts_with(&self.0.location.prefix)
            && trail::delivery_time(key).is_some_and(|time| wanted.interval.contains(time))
            && wanted.takes_place(key)
    }

    fn span(&self) -> Interval {
        let days = trail::days_of(&self.0.location.prefix);
        self.0.wanted.interval.and(days)
    }

    fn bucket(&self) -> Option<&str> {
        Some(&self.0.location.bucket)
    }

    fn exists(&self, name: String) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let key = self.key(&name);
            let query = Query {
                prefix: key.strip_suffix(".gz").unwrap_or(key).to_owned(),
                most: Some(1),
                ..Query::default()
            };
            let page = self.0.list(&query).await;
            page.is_ok_and(|page| !page.objects.is_empty())
        })
    }

    fn public_keys(
        &self,
        region: String,
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'_, Result<PublicKeys>> {
        Box::pin(async move {
            let keys = cloudtrail::public_keys(&self.0.login, &region, from, to, &self.0.stats);
            Ok(keys.await?)
        })
    }
}
