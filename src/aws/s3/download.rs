//! Downloads of objects, which continue after failures on the way.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::RequestPayer;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::direct::{Unanswered, given};
use super::page::{Object, without_quotes};
use super::{BucketClient, Clients};
use crate::aws::error::{Error, Kind};
use crate::aws::http::READ_TIMEOUT;
use crate::aws::operation::Operation;
use crate::aws::retry::Retry;
use crate::aws::sdk_error::chain;
use crate::aws::sessions::Session;
use crate::budget::Room;
use crate::concurrency::Pace;
use crate::log_file::{Body, LARGEST_WHOLE};
use crate::process::lock;

/// A large object is fetched in ranges of so many bytes, since S3 limits the speed of each connection.
const RANGE: u64 = 4 << 20;
/// How many ranges of an object are fetched at once.
const RANGES: usize = 4;
/// Pieces of a stream that wait to be decoded.
const PIECES: usize = 1;
/// Once S3 has refused this many objects of a folder as archived, the others in it are no longer asked for.
const REFUSALS: u32 = 100;
/// In how many folders refusals are counted.
const FOLDERS: usize = 10_000;

/// What an object turned out to be.
pub(crate) enum Fetched {
    Body {
        body: Body,
        /// Stands for its content, without quotes. Empty where the store tells none.
        etag: String,
    },
    /// It was not asked for, since it is said to be archived, and many others in its folder were. The log says so already.
    LeftArchived,
}

impl BucketClient {
    /// Get an object. A large one, or one for which there is no room as a whole, comes in pieces.
    ///
    /// # Errors
    /// [`Kind::Archived`], [`Kind::Gone`] and [`Kind::Denied`] among others.
    pub async fn fetch(
        self: Arc<Self>,
        object: Object,
        room: Room,
        pace: Pace,
    ) -> Result<Fetched, Error> {
        let expects_archived = object.archived && !object.restored;
        if expects_archived && self.refusals(&object.key) >= REFUSALS {
            return Ok(Fetched::LeftArchived);
        }
        let mut download = Download::new(Arc::clone(&self), object.key, object.size, Some(pace));
        // What is refused is asked for once.
        download.by_sdk = expects_archived;
        if object.size > LARGEST_WHOLE as u64 {
            download.range = Some(0..RANGE);
        }
        // Whether it may be read at all, and how large it is, is known with its first piece.
        let first = match download.next().await {
            Err(error) if error.kind == Kind::Archived && expects_archived => {
                self.refused(&download.key);
                return Err(error);
            }
            first => first?,
        };
        let etag = download.etag.as_deref().map(without_quotes);
        let etag = etag.unwrap_or_default().to_owned();
        let Some(first) = first else {
            let body = Body::Bytes(Vec::new());
            return Ok(Fetched::Body { body, etag });
        };
        let fits = |size: u64| size <= LARGEST_WHOLE as u64 && room.grow(size);
        if download.range.is_none() && download.size.is_some_and(fits) {
            let body = Body::Bytes(download.rest(first.into()).await?);
            return Ok(Fetched::Body { body, etag });
        }
        let (pieces, body) = mpsc::channel(PIECES);
        tokio::spawn(async move {
            if let Err(error) = download.stream(first.into(), &pieces).await {
                _ = pieces
                    .send(Err(std::io::Error::other(error.to_string())))
                    .await;
            }
        });
        Ok(Fetched::Body {
            body: Body::Stream(body),
            etag,
        })
    }

    /// Get an object that is not large, such as a digest file, with its metadata.
    pub async fn fetch_small(
        self: Arc<Self>,
        key: String,
    ) -> Result<(Vec<u8>, HashMap<String, String>), Error> {
        let mut download = Download::new(self, key, 0, None);
        let mut bytes: Vec<u8> = Vec::new();
        while let Some(piece) = download.next().await? {
            if bytes.len() + piece.len() > LARGEST_WHOLE {
                return Err(download.failed(Kind::Other, "it is too large for a digest file"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((bytes, download.metadata.unwrap_or_default()))
    }

    /// How many objects in this one's folder S3 has refused as archived.
    fn refusals(&self, key: &str) -> u32 {
        let archived = lock(&self.archived);
        archived.get(folder(key)).copied().unwrap_or_default()
    }

    fn refused(&self, key: &str) {
        let mut archived = lock(&self.archived);
        if archived.len() >= FOLDERS {
            archived.clear();
        }
        let refusals = archived.entry(folder(key).to_owned()).or_default();
        *refusals += 1;
        if *refusals == REFUSALS {
            self.stats.warn(format!(
                "{}: {REFUSALS} of its log files are archived (Glacier): the others there that the listing calls archived \
                 are not asked for; restore them from their storage class first",
                self.url(folder(key))
            ));
        }
    }
}

/// The folder that a key lies in, with the slash.
fn folder(key: &str) -> &str {
    &key[..key.rfind('/').map_or(0, |slash| slash + 1)]
}

/// A download, which continues where it broke off.
struct Download {
    client: Arc<BucketClient>,
    key: String,
    /// Where the next byte to receive is in the object.
    offset: u64,
    /// The size of the object according to S3, or else to its listing. None while neither is known.
    size: Option<u64>,
    /// The part that is wanted, if not all of it.
    range: Option<std::ops::Range<u64>>,
    /// Bytes to skip, if the store ignores ranges and sends the object from its beginning.
    skip: u64,
    /// The ETag of the object that was begun, so that the end of another one is not taken for its end.
    etag: Option<String>,
    /// The object's metadata, known with the first piece.
    metadata: Option<HashMap<String, String>>,
    body: Option<ByteStream>,
    retry: Retry,
    /// What is told how its requests went.
    pace: Option<Pace>,
    /// Only the SDK asks for it.
    by_sdk: bool,
}

/// An answer to a request for an object, whoever has sent it.
struct Answer {
    etag: Option<String>,
    /// In bytes.
    length: Option<u64>,
    /// `Content-Range`
    range: Option<String>,
    metadata: HashMap<String, String>,
    body: ByteStream,
}

impl From<GetObjectOutput> for Answer {
    fn from(output: GetObjectOutput) -> Self {
        Self {
            etag: output.e_tag,
            length: output
                .content_length
                .and_then(|length| length.try_into().ok()),
            range: output.content_range,
            metadata: output.metadata.unwrap_or_default(),
            body: output.body,
        }
    }
}

impl From<HttpResponse> for Answer {
    fn from(response: HttpResponse) -> Self {
        let headers = response.headers();
        let metadata = headers.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self {
            etag: headers.get("etag").map(str::to_owned),
            length: headers
                .get("content-length")
                .and_then(|length| length.parse().ok()),
            range: headers.get("content-range").map(str::to_owned),
            metadata: metadata.collect(),
            body: ByteStream::new(response.into_body()),
        }
    }
}

impl Download {
    fn new(client: Arc<BucketClient>, key: String, told: u64, pace: Option<Pace>) -> Self {
        Self {
            retry: Retry::new(client.reading),
            pace,
            by_sdk: false,
            client,
            key,
            offset: 0,
            // If it comes in ranges, S3's answer gives the size.
            size: (1..=LARGEST_WHOLE as u64).contains(&told).then_some(told),
            range: None,
            skip: 0,
            etag: None,
            metadata: None,
            body: None,
        }
    }

    fn failed(&self, kind: Kind, why: &str) -> Error {
        Error::new(
            kind,
            Operation::Get,
            &self.client.url(&self.key),
            why.to_owned(),
        )
    }

    fn broke_off(&self, why: &str) -> Error {
        let at = self.offset;
        let why = format!("its download broke off at byte {at}: {why}");
        self.failed(Kind::Transient, &why)
    }

    /// Another part of the same object.
    fn part(&self, range: std::ops::Range<u64>) -> Self {
        Self {
            offset: range.start,
            size: self.size,
            range: Some(range),
            etag: self.etag.clone(),
            by_sdk: self.by_sdk,
            ..Self::new(
                Arc::clone(&self.client),
                self.key.clone(),
                0,
                self.pace.clone(),
            )
        }
    }

    /// Where it ends, as far as that is known.
    fn end(&self) -> Option<u64> {
        match (&self.range, self.size) {
            (Some(range), Some(size)) => Some(range.end.min(size)),
            (Some(range), None) => Some(range.end),
            (None, size) => size,
        }
    }

    /// All that is left, behind the `bytes` that came before.
    async fn rest(mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        let missing = self.end().map_or(0, |end| end.saturating_sub(self.offset));
        bytes.reserve_exact(missing.min(LARGEST_WHOLE as u64) as usize);
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Send it in pieces, as long as somebody receives them.
    async fn stream(
        mut self,
        first: Vec<u8>,
        pieces: &mpsc::Sender<std::io::Result<Vec<u8>>>,
    ) -> Result<(), Error> {
        let Some(size) = self.size.filter(|_| self.range.is_some()) else {
            let mut piece = Some(first);
            while let Some(next) = piece {
                if pieces.send(Ok(next)).await.is_err() {
                    return Ok(());
                }
                piece = self.next().await?.map(Into::into);
            }
            return Ok(());
        };
        let begun = self.part(0..0);
        // The first range is one of those that are held.
        let mut ranges = FuturesOrdered::from_iter([self.rest(first).boxed()]);
        let mut start = RANGE;
        loop {
            // The size comes from outside, so nothing is made for a range before its turn has come.
            while ranges.len() < RANGES && start < size {
                let end = size.min(start.saturating_add(RANGE));
                ranges.push_back(begun.part(start..end).rest(Vec::new()).boxed());
                start = end;
            }
            let Some(range) = ranges.next().await else {
                return Ok(());
            };
            if pieces.send(Ok(range?)).await.is_err() {
                return Ok(());
            }
        }
    }

    /// The next piece. None at the end, once everything has arrived.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        loop {
            let left = match &self.range {
                Some(range) => range.end.saturating_sub(self.offset),
                None => u64::MAX,
            };
            if left == 0 {
                return Ok(None);
            }
            let Some(body) = &mut self.body else {
                self.begin().await?;
                continue;
            };
            let Ok(piece) = timeout(READ_TIMEOUT, body.try_next()).await else {
                if let Some(pace) = &self.pace {
                    pace.refused();
                }
                let why = format!("nothing came for {} seconds", READ_TIMEOUT.as_secs());
                let error = self.broke_off(&why);
                let session = self.client.sessions.current();
                self.try_again_after(error, &session).await?;
                continue;
            };
            let error = match piece {
                Ok(Some(mut piece)) => {
                    let skipped = self.skip.min(piece.len() as u64);
                    self.skip -= skipped;
                    let mut piece = piece.split_off(skipped as usize);
                    piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    if piece.is_empty() {
                        continue;
                    }
                    self.offset += piece.len() as u64;
                    self.retry.succeeded(&self.client.read_trouble);
                    return Ok(Some(piece));
                }
                Ok(None) if self.end().is_none_or(|end| self.offset >= end) => return Ok(None),
                // A proxy may do that. The missing bytes are asked for.
                Ok(None) => self.broke_off("the connection was closed too early"),
                Err(error) => self.broke_off(&chain(&error)),
            };
            let session = self.client.sessions.current();
            self.try_again_after(error, &session).await?;
        }
    }

    /// Get ready to ask for what is left.
    async fn try_again_after(
        &mut self,
        error: Error,
        session: &Session<Clients>,
    ) -> Result<(), Error> {
        self.body = None;
        let Self { client, retry, .. } = self;
        let again = retry.after(error, &client.sessions, session, &client.read_trouble);
        // It may find credentials, whose futures are large.
        Box::pin(again).await
    }

    /// Ask for what is left.
    async fn begin(&mut self) -> Result<(), Error> {
        loop {
            let session = self.client.sessions.current();
            let range = match &self.range {
                Some(range) => Some(format!("bytes={}-{}", self.offset, range.end - 1)),
                None => (self.offset > 0).then(|| format!("bytes={}-", self.offset)),
            };
            let unanswered = match self.ask_directly(&session, range.as_deref()).await {
                Ok(answer) => return self.begun(answer.into()),
                Err(unanswered) => unanswered,
            };
            // The SDK's futures are large, and seldom needed.
            let error = match Box::pin(self.ask_the_sdk(&session, range, unanswered)).await {
                Ok(answer) => return self.begun(answer),
                Err(error) => error,
            };
            // Everything had arrived already, whatever size was stated before.
            if self.offset > 0 && error.status == Some(416) {
                self.size = Some(self.offset);
                self.body = Some(ByteStream::default());
                return Ok(());
            }
            self.try_again_after(error, &session).await?;
        }
    }

    async fn ask_the_sdk(
        &self,
        session: &Session<Clients>,
        range: Option<String>,
        unanswered: Unanswered,
    ) -> Result<Answer, Error> {
        let client = &self.client;
        let Clients { sdk, direct } = &session.client;
        let request = sdk
            .get_object()
            .bucket(&client.name)
            .key(&self.key)
            .set_range(range)
            .set_if_match(self.etag.clone())
            .set_request_payer(client.payer.clone());
        let request = request.customize().config_override(unanswered.attempts());
        let sent = self.pace.as_ref().map(|pace| (pace, pace.sent()));
        match (request.send().await, sent) {
            (Ok(output), sent) => {
                direct.sdk_succeeded(unanswered);
                if let Some((pace, sent)) = sent {
                    pace.answered(&sent);
                }
                Ok(output.into())
            }
            (Err(error), sent) => {
                let url = client.url(&self.key);
                let error = Error::of(&session.access, Operation::Get, &url, &error);
                if let Some((pace, _)) = sent.filter(|_| error.kind == Kind::Throttled) {
                    pace.refused();
                }
                Err(error)
            }
        }
    }

    /// Ask past the SDK, which may have to ask again.
    async fn ask_directly(
        &self,
        session: &Session<Clients>,
        range: Option<&str>,
    ) -> Result<HttpResponse, Unanswered> {
        if self.by_sdk {
            return Err(Unanswered::Left);
        }
        let payer = self.client.payer.as_ref();
        let headers = given([
            ("if-match", self.etag.as_deref()),
            ("range", range),
            ("x-amz-request-payer", payer.map(RequestPayer::as_str)),
        ]);
        let Clients { sdk, direct } = &session.client;
        let pace = self.pace.as_ref();
        let answer = direct.get(sdk, &self.key, &[], &headers, pace).await;
        if answer.as_ref().is_err_and(|error| error.may_pass()) {
            self.client.stats.retries.add(1);
        }
        answer
    }

    /// Compare an answer with what was asked for.
    fn begun(&mut self, answer: Answer) -> Result<(), Error> {
        if let (Some(before), Some(now)) = (&self.etag, &answer.etag)
            && before != now
        {
            return Err(self.failed(Kind::Other, "it was replaced while it was being read"));
        }
        match answer.range.as_deref().and_then(content_range) {
            Some((start, total)) => {
                if start != self.offset {
                    let why = format!(
                        "the store sent its bytes from {start} on instead of those from {} on",
                        self.offset
                    );
                    return Err(self.failed(Kind::Other, &why));
                }
                self.size = total.or(self.size);
            }
            // A store that does not support ranges sends all of it.
            None => {
                if self.offset == 0 {
                    self.range = None;
                }
                self.skip = self.offset;
                // An answer that states a smaller size than the listing is probably cut short.
                self.size = answer.length.max(self.size);
            }
        }
        self.etag = answer.etag.or(self.etag.take());
        self.metadata = Some(answer.metadata);
        self.body = Some(answer.body);
        Ok(())
    }
}

/// Where a `Content-Range` such as `bytes 0-99/1234` begins, and how large the whole is.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::memory::Aws;
    use crate::aws::s3::Use;
    use crate::aws::sessions::Login;
    use crate::budget::Budget;
    use crate::clock::Clock;
    use crate::concurrency::Concurrency;
    use crate::stats::Stats;

    /// The first request of a session is the SDK's, as are all of those that can't be made here.
    #[tokio::test]
    async fn requests_tell_how_they_went_whoever_has_sent_them() {
        let clock = Clock::at("2024-03-05T12:00:00Z".parse().unwrap());
        let aws = Aws::new(clock, |_, _| None);
        aws.put("a", b"abc".to_vec());
        let folder = tempfile::tempdir().unwrap();
        let settings = Aws::settings(folder.path()).aws;
        let login = Login::load(&settings, &aws.environment()).await.unwrap();
        let stats = Arc::new(Stats::default());
        let client = BucketClient::new(
            &Arc::new(login),
            "bucket",
            Some("us-east-1"),
            &settings,
            Use::Once,
            &stats,
        );
        let client = Arc::new(client);
        let concurrency = Concurrency::new(8);
        for count in 1..4 {
            let room = Budget::new(1 << 20).take(3).await.unwrap();
            let object = Object {
                key: "a".to_owned(),
                size: 3,
                ..Object::default()
            };
            let fetched = Arc::clone(&client).fetch(object, room, concurrency.pace());
            let Fetched::Body {
                body: Body::Bytes(bytes),
                ..
            } = fetched.await.unwrap()
            else {
                panic!("it is small");
            };
            assert_eq!((&*bytes, concurrency.answers()), (&b"abc"[..], count));
        }
    }

    #[test]
    fn a_content_range_gives_its_beginning_and_the_whole_size() {
        for (text, expected) in [
            ("bytes 0-99/1234", Some((0, Some(1234)))),
            ("bytes 100-199/*", Some((100, None))),
            ("bytes */1234", None),
            ("items 0-1/2", None),
            ("", None),
        ] {
            assert_eq!(content_range(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_folder_of_a_key_ends_with_its_last_slash() {
        assert_eq!(folder("a/b/c.json.gz"), "a/b/");
        assert_eq!(folder("c.json.gz"), "");
    }
}
