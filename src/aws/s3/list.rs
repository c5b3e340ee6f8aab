//! Listings, page by page. Answers that break S3's contract are noticed: they are used if their meaning is certain, and
//! are an error otherwise.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, OptionalObjectAttributes, RequestPayer};
use tokio::time::timeout;

use super::direct::{Unanswered, given};
use super::page::{LARGEST_PAGE, Next, Page, TakePage, comes_before};
use super::{BucketClient, Clients, Error, Operation, Policy};
use crate::aws::error::Kind;
use crate::aws::http::READ_TIMEOUT;
use crate::aws::retry::Retry;
use crate::aws::sessions::Session;

/// What to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub prefix: String,
    /// Folders directly below the prefix are named, and what is in them is not listed.
    pub delimiter: bool,
    pub from: From,
    /// Keys a page, if not S3's thousand.
    pub most: Option<usize>,
}

/// Where a page of a listing begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum From {
    #[default]
    Start,
    /// Behind a key.
    After(String),
    /// Where the page before says.
    Page(Next),
}

impl BucketClient {
    /// A page, tried again if that helps.
    pub async fn list(&self, query: &Query) -> Result<Page, Error> {
        self.list_as(query, self.listing).await
    }

    /// A first page: what is wrong is reported at once.
    pub async fn list_first(&self, query: &Query) -> Result<Page, Error> {
        self.list_as(query, Policy::OPEN).await
    }

    async fn list_as(&self, query: &Query, policy: Policy) -> Result<Page, Error> {
        let raw = self.keys_are_raw.get().copied().unwrap_or_default();
        let mut page = self.page(query, policy, raw).await?;
        if page.is_raw {
            _ = self.keys_are_raw.set(true);
        }
        // AWS encodes all keys.
        let is_store = self.sessions.current().access.asks_a_store();
        if let Some(doubtful) = page.doubtful.take().filter(|_| is_store) {
            let is_raw = || self.is_there(doubtful, policy);
            if *self.keys_are_raw.get_or_try_init(is_raw).await? {
                page = self.page(query, policy, true).await?;
            }
        }
        self.check(query, page)
    }

    /// Are there keys that begin with this text as it came, not decoded? Either those exist, or those with the decoded text.
    async fn is_there(&self, prefix: String, policy: Policy) -> Result<bool, Error> {
        let query = Query {
            prefix,
            most: Some(1),
            ..Query::default()
        };
        match self.page(&query, policy, true).await {
            Ok(page) => Ok(!page.objects.is_empty()),
            // Credentials may be allowed to list only the prefix that the user named.
            Err(error) if error.kind == Kind::Denied => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A page as the store gives it. Its keys are not decoded if they are `raw`.
    async fn page(&self, query: &Query, policy: Policy, raw: bool) -> Result<Page, Error> {
        let mut retry = Retry::new(policy);
        let ask = |session| self.ask_for_page(session, query, raw);
        self.sessions.ask(&mut retry, &self.list_trouble, ask).await
    }

    async fn ask_for_page(
        &self,
        session: Arc<Session<Clients>>,
        query: &Query,
        raw: bool,
    ) -> Result<Page, Error> {
        // The semaphore is never closed.
        let _slot = self.lists.acquire().await;
        let take = TakePage::of(&query.prefix, raw, self.etags);
        let most = query.most.and_then(|most| most.try_into().ok());
        let delimiter = query.delimiter.then(|| "/".to_owned());
        let answered = if let From::Page(Next::Marker(marker)) = &query.from {
            let request = session
                .client
                .sdk
                .list_objects()
                .bucket(&self.name)
                .prefix(&query.prefix)
                .set_delimiter(delimiter)
                .marker(marker)
                .encoding_type(EncodingType::Url)
                .set_request_payer(self.payer.clone())
                .set_max_keys(most);
            let answer = request.customize().interceptor(take.clone()).send().await;
            answer
                .map(drop)
                .map_err(|error| self.listing_failed(&session, query, &error))
        } else {
            let (after, token) = match &query.from {
                From::Start | From::Page(Next::Marker(_)) => (None, None),
                From::After(key) | From::Page(Next::After(key)) => (Some(key.clone()), None),
                From::Page(Next::Token { token, .. }) => (None, Some(token.clone())),
            };
            let asked = self.ask_directly(&session, query, after.as_deref(), token.as_deref(), raw);
            let unanswered = match asked.await {
                Ok(page) => return Ok(page),
                Err(unanswered) => unanswered,
            };
            let request = session
                .client
                .sdk
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(&query.prefix)
                .set_delimiter(delimiter)
                .set_start_after(after)
                .set_continuation_token(token)
                // Keys may hold what XML can't.
                .encoding_type(EncodingType::Url)
                .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
                .set_request_payer(self.payer.clone())
                .set_max_keys(most);
            let request = request
                .customize()
                .config_override(unanswered.attempts())
                .interceptor(take.clone());
            let answer = request.send().await;
            if answer.is_ok() {
                session.client.direct.sdk_succeeded(unanswered);
            }
            answer
                .map(drop)
                .map_err(|error| self.listing_failed(&session, query, &error))
        };
        answered?;
        take.page().ok_or_else(|| {
            self.broken(
                query,
                "the answer is a listing that can't be read".to_owned(),
            )
        })
    }

    /// Ask for a page past the SDK, which has to ask again otherwise.
    async fn ask_directly(
        &self,
        session: &Session<Clients>,
        query: &Query,
        after: Option<&str>,
        token: Option<&str>,
        raw: bool,
    ) -> Result<Page, Unanswered> {
        let most = query.most.map(|most| most.to_string());
        let parameters = given([
            ("continuation-token", token),
            ("delimiter", query.delimiter.then_some("/")),
            ("encoding-type", Some("url")),
            ("list-type", Some("2")),
            ("max-keys", most.as_deref()),
            ("prefix", Some(&query.prefix)),
            ("start-after", after),
        ]);
        let payer = self.payer.as_ref();
        let headers = given([
            ("x-amz-optional-object-attributes", Some("RestoreStatus")),
            ("x-amz-request-payer", payer.map(RequestPayer::as_str)),
        ]);
        let Clients { sdk, direct } = &session.client;
        let answer = direct.get(sdk, "", &parameters, &headers, None).await?;
        let mut body = ByteStream::new(answer.into_body());
        let mut xml = Vec::new();
        loop {
            match timeout(READ_TIMEOUT, body.try_next()).await {
                Ok(Ok(Some(piece))) if xml.len() + piece.len() <= LARGEST_PAGE => {
                    xml.extend_from_slice(&piece);
                }
                Ok(Ok(None)) => break,
                _ => return Err(Unanswered::Unreached),
            }
        }
        let prefix = query.prefix.as_str().into();
        Page::parse(&xml, &prefix, raw, self.etags).ok_or(Unanswered::Failed)
    }

    fn listing_failed<E>(
        &self,
        session: &Session<Clients>,
        query: &Query,
        error: &aws_sdk_s3::error::SdkError<
            E,
            aws_smithy_runtime_api::client::orchestrator::HttpResponse,
        >,
    ) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let url = self.url(&query.prefix);
        Error::of(&session.access, Operation::List, &url, error)
    }

    fn broken(&self, query: &Query, why: String) -> Error {
        Error::new(Kind::Other, Operation::List, &self.url(&query.prefix), why)
    }

    /// Check that a page continues where the one before ended, in the order of keys, and leads to the next one.
    fn check(&self, query: &Query, page: Page) -> Result<Page, Error> {
        if page.is_encoded_unsaid {
            let why = "the store encodes keys without saying so, so they can't be known for certain: copy the log files \
                       into a folder and read that";
            return Err(self.broken(query, why.to_owned()));
        }
        if page.is_truncated && page.next.is_none() {
            let why =
                "the store says that there is more, but not where, so not all of it can be listed";
            return Err(self.broken(query, why.to_owned()));
        }
        if let (From::Page(Next::Token { token, .. }), Some(Next::Token { token: next, .. })) =
            (&query.from, &page.next)
            && token == next
        {
            let why =
                "the store's listing leads back to the same page, so not all of it can be listed";
            return Err(self.broken(query, why.to_owned()));
        }
        let last = match &query.from {
            From::Start => None,
            From::After(key) => Some(key),
            From::Page(next) => Some(next.last()),
        };
        let goes_on = match (last, page.first()) {
            // A folder is named again if some of its keys come after the last one.
            (Some(last), Some(first)) => {
                comes_before(last, &first) || query.delimiter && last.starts_with(&first)
            }
            _ => true,
        };
        if page.is_ordered && goes_on {
            return Ok(page);
        }
        let why = "the store does not list its keys in their order, as S3 does, so log files could be missed: copy \
                   them into a folder and read that";
        Err(self.broken(query, why.to_owned()))
    }
}
