//! GET requests past the SDK's orchestrator, which costs four times as much as all the rest of a request for a small object.
//!
//! The SDK says where requests go and how they are signed, in a URL that it presigns once for each session; its HTTP client
//! sends them, and its providers give the credentials. Where the answer is not a success, the SDK sends the request again,
//! since it alone knows what errors mean and what to do about them.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::{Client, config};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OnceCell;
use tokio::time::sleep;
use url::Url;

use super::signature::{NO_BODY, Signer};
use crate::aws::access::{ATTEMPTS, Access, FIRST_WAIT, retries};
use crate::aws::credentials::Credentials;
use crate::clock::Clock;
use crate::concurrency::Pace;
use crate::process::{lock, platform};

/// What is not encoded in a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Nor in a path.
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// After so many requests in a row that succeed only if the SDK sends them, it sends them all: it knows something that is
/// not known here, such as how wrong this machine's clock is.
const MOST_FAILURES: u32 = 5;

/// The key in the URL that the SDK presigns.
const ANY_KEY: &str = "k";

/// Sends GET requests for one bucket.
pub(super) struct Direct {
    /// The bucket's name, ARN or alias.
    bucket: String,
    connector: SharedHttpConnector,
    credentials: Credentials,
    clock: Clock,
    place: OnceCell<Option<Place>>,
    signer: Mutex<Option<Arc<Signer>>>,
    /// There was no answer yet, or the last one was an error that another try does not mend.
    is_doubtful: AtomicBool,
    /// In a row: requests that succeeded only when the SDK sent them.
    failures: AtomicU32,
    /// Requests that were left to the SDK since.
    left: AtomicU32,
}

/// Where requests go, and what their signatures are for.
#[derive(Debug, PartialEq)]
struct Place {
    /// `https://bucket.s3.us-east-1.amazonaws.com`
    origin: String,
    /// As the header has it: with the port where it is not the usual one.
    host: String,
    /// What comes before a key: a slash, or more.
    path: String,
    /// `us-east-1`
    region: String,
    /// `s3`
    service: String,
}

/// Why the SDK has to ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unanswered {
    /// There are too many requests: a little later, it may answer.
    Refused,
    /// The connection ended, or could not be made: the next one may do better.
    Unreached,
    /// It was an error.
    Failed,
    /// The request was not sent, since it can't be made here, or would fail.
    Left,
}

impl Unanswered {
    /// May the same request succeed by itself, a little later?
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Refused | Self::Unreached)
    }

    /// What is different for the SDK, which asks again: one of its attempts is used up.
    pub fn attempts(self) -> config::Builder {
        let used = u32::from(self.may_pass());
        config::Builder::new().retry_config(retries(ATTEMPTS - used))
    }
}

/// A request's query or headers.
pub(super) type Pairs<'a> = &'a [(&'static str, &'a str)];

/// Those that have a value.
pub(super) fn given<'a, const N: usize>(
    pairs: [(&'static str, Option<&'a str>); N],
) -> Vec<(&'static str, &'a str)> {
    let pairs = pairs.into_iter();
    pairs
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Does a request that was not answered say that there are too many? Nothing came in time, or no more files may be opened.
fn is_of_too_many(error: &ConnectorError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref().and_then(io::Error::raw_os_error);
        if code.is_some_and(|code| platform::TOO_MANY_FILES.contains(&code)) {
            return true;
        }
        cause = error.source();
    }
    error.is_timeout()
}

impl Direct {
    pub fn new(access: &Access, bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            connector: access.connector(),
            credentials: access.credentials(),
            clock: access.clock(),
            place: OnceCell::new(),
            signer: Mutex::default(),
            // The SDK asks first, for it may have to learn where the bucket is.
            is_doubtful: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            left: AtomicU32::new(0),
        }
    }

    /// Ask for a key, or for the bucket itself if that is empty. The query's parameters are in the order of their names;
    /// the headers' names are in lower case.
    pub async fn get(
        &self,
        sdk: &Client,
        key: &str,
        query: Pairs<'_>,
        headers: Pairs<'_>,
        pace: Option<&Pace>,
    ) -> Result<HttpResponse, Unanswered> {
        if self.is_doubtful.load(Ordering::Relaxed) || self.is_left() {
            return Err(Unanswered::Left);
        }
        let Some(request) = self.request(sdk, key, query, headers).await else {
            return Err(Unanswered::Left);
        };
        let sent = pace.map(|pace| (pace, pace.sent()));
        let answer = self.answer(request).await;
        match (&answer, sent) {
            (Ok(_), Some((pace, sent))) => pace.answered(&sent),
            (Err(Unanswered::Refused), Some((pace, _))) => pace.refused(),
            _ => {}
        }
        if answer.as_ref().is_err_and(|error| error.may_pass()) {
            // As the SDK does after an attempt of its own.
            sleep(FIRST_WAIT.mul_f64(fastrand::f64())).await;
        }
        answer
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
        let answer = self.connector.call(request).await;
        let answer = answer.map_err(|error| match is_of_too_many(&error) {
            true => Unanswered::Refused,
            false => Unanswered::Unreached,
        })?;
        match answer.status().as_u16() {
            200 | 206 => {
                self.failures.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            429 | 503 => Err(Unanswered::Refused),
            500.. => Err(Unanswered::Unreached),
            _ => {
                self.is_doubtful.store(true, Ordering::Relaxed);
                Err(Unanswered::Failed)
            }
        }
    }

    /// Does the SDK send all requests? One in a thousand is tried here all the same.
    fn is_left(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= MOST_FAILURES
            && self.left.fetch_add(1, Ordering::Relaxed) % 1000 != 999
    }

    /// The SDK has succeeded with a request, perhaps one that had failed here.
    pub fn sdk_succeeded(&self, before: Unanswered) {
        // Of all that failed together, one counts.
        let was_doubtful = self.is_doubtful.swap(false, Ordering::Relaxed);
        if was_doubtful && before == Unanswered::Failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A signed request. None where only the SDK can make it.
    async fn request(
        &self,
        sdk: &Client,
        key: &str,
        query: Pairs<'_>,
        headers: Pairs<'_>,
    ) -> Option<HttpRequest> {
        // The SDK finds them, or says why there are none.
        let credentials = self.credentials.held()?;
        let place = self.place(sdk).await?;
        let time = self.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = time.get(..8)?;
        let signer = {
            let mut current = lock(&self.signer);
            match &*current {
                Some(signer) if signer.is_for(&credentials, day) => Arc::clone(signer),
                _ => {
                    let made = Signer::new(credentials, day, &place.region, &place.service);
                    Arc::clone(current.insert(Arc::new(made)))
                }
            }
        };
        place.request(&signer, &time, key, query, headers)
    }

    /// Where requests go. None where that can't be known at the moment, or where they are signed in another way.
    async fn place(&self, sdk: &Client) -> Option<&Place> {
        let ask = async || {
            let soon = PresigningConfig::expires_in(Duration::from_secs(60)).map_err(drop)?;
            let request = sdk.get_object().bucket(&self.bucket).key(ANY_KEY);
            let presigned = request.presigned(soon).await.map_err(drop)?;
            Ok::<_, ()>(Place::of(presigned.uri()))
        };
        match self.place.get() {
            Some(place) => place.as_ref(),
            None => Box::pin(self.place.get_or_try_init(ask))
                .await
                .ok()?
                .as_ref(),
        }
    }
}

impl Place {
    /// What a presigned URL of [`ANY_KEY`] says. None where that can't be signed here: for multi-region access points, and
    /// for directory buckets, which have sessions of their own.
    fn of(presigned: &str) -> Option<Self> {
        let url = Url::parse(presigned).ok()?;
        let parameter = |wanted: &str| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
        };
        if parameter("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256"
            || parameter("X-Amz-S3session-Token").is_some()
        {
            return None;
        }
        let credential = parameter("X-Amz-Credential")?;
        // The key's name may hold slashes elsewhere.
        let mut scope = credential.rsplit('/').skip(1);
        let (service, region) = (scope.next()?, scope.next()?);
        let origin = url.origin().ascii_serialization();
        let (address, _) = presigned.split_once('?')?;
        let path = address.splitn(4, '/').nth(3)?;
        Some(Self {
            host: origin.split_once("://")?.1.to_owned(),
            // As it is written, for it is signed so.
            path: format!("/{}", path.strip_suffix(ANY_KEY)?),
            origin,
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }

    fn request(
        &self,
        signer: &Signer,
        time: &str,
        key: &str,
        query: Pairs<'_>,
        headers: Pairs<'_>,
    ) -> Option<HttpRequest> {
        let path = format!("{}{}", self.path, utf8_percent_encode(key, IN_PATH));
        let query = query
            .iter()
            .map(|(name, value)| {
                let [name, value] = [name, value].map(|text| utf8_percent_encode(text, IN_QUERY));
                format!("{name}={value}")
            })
            .collect::<Vec<_>>()
            .join("&");
        let token = signer.credentials.session_token();
        let mut signed = Vec::with_capacity(8);
        signed.extend_from_slice(headers);
        signed.extend([
            ("host", self.host.as_str()),
            ("x-amz-content-sha256", NO_BODY),
            ("x-amz-date", time),
        ]);
        signed.extend(token.map(|token| ("x-amz-security-token", token)));
        signed.sort_unstable();
        let authorization = signer.authorization(time, &path, &query, &signed);
        let separator = if query.is_empty() { "" } else { "?" };
        let mut request =
            HttpRequest::get([&self.origin, &path, separator, &query].concat()).ok()?;
        let sent = request.headers_mut();
        for (name, value) in signed {
            // The HTTP client adds it itself.
            if name != "host" {
                sent.try_insert(name, value.to_owned()).ok()?;
            }
        }
        sent.try_insert("authorization", authorization).ok()?;
        sent.try_insert("user-agent", USER_AGENT).ok()?;
        Some(request)
    }
}

/// What servers' logs call these requests.
const USER_AGENT: &str = concat!("cloudtrail-plugin/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use std::fmt;

    use aws_credential_types::provider::ProvideCredentials;
    use aws_sdk_s3::primitives::SdkBody;
    use aws_sdk_s3::types::RequestPayer;
    use aws_smithy_runtime_api::client::http::HttpConnectorFuture;

    use super::*;
    use crate::aws::http::Http;
    use crate::aws::sessions::{Environment, Login};
    use crate::settings;

    /// Answers everything with a status, and remembers what it was asked.
    #[derive(Clone)]
    struct Recorder {
        status: Arc<AtomicU32>,
        requests: Arc<Mutex<Vec<HttpRequest>>>,
    }

    impl fmt::Debug for Recorder {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("Recorder")
        }
    }

    impl HttpConnector for Recorder {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            lock(&self.requests).push(request);
            let status = self.status.load(Ordering::Relaxed) as u16;
            let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from("{}"));
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    impl Recorder {
        fn new() -> Self {
            Self {
                status: Arc::new(AtomicU32::new(200)),
                requests: Arc::default(),
            }
        }

        fn taken(&self) -> Vec<HttpRequest> {
            std::mem::take(&mut lock(&self.requests))
        }

        /// Both ways to ask for a bucket's objects, with these lines in the credentials file and these settings.
        async fn both(
            &self,
            lines: &str,
            bucket: &str,
            settings: settings::Aws,
        ) -> (Client, Direct) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("credentials");
            std::fs::write(&path, format!("[default]\n{lines}\n")).unwrap();
            let settings = settings::Aws {
                credentials: Some(path.display().to_string()),
                region: Some("eu-central-1".to_owned()),
                ..settings
            };
            let environment = Environment {
                clock: Clock::default(),
                http: Some(Http::of(SharedHttpConnector::new(self.clone()))),
            };
            let login = Login::load(&settings, &environment).await.unwrap();
            let (access, _) = login.current();
            access.credentials().provide_credentials().await.unwrap();
            let direct = Direct::new(&access, bucket);
            direct.sdk_succeeded(Unanswered::Left);
            (access.s3("eu-central-1"), direct)
        }
    }

    const KEYS: &str = "aws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// Path and query.
    fn target(request: &HttpRequest) -> (&str, &str) {
        let path = request.uri().splitn(4, '/').nth(3).unwrap_or_default();
        path.split_once('?').unwrap_or((path, ""))
    }

    /// What a request's signature would be if it were made here.
    fn signed_here(request: &HttpRequest, signer: &Signer) -> String {
        let header = |name: &str| match (name, request.headers().get(name)) {
            (_, Some(value)) => value.to_owned(),
            ("host", None) => {
                let host = request.uri().split('/').nth(2).unwrap();
                host.strip_suffix(":443").unwrap_or(host).to_owned()
            }
            _ => panic!("{name} is signed, but not sent"),
        };
        let authorization = header("authorization");
        let names = authorization.split_once("SignedHeaders=").unwrap().1;
        let names = names.split_once(',').unwrap().0;
        let headers: Vec<_> = names.split(';').map(|name| (name, header(name))).collect();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let (path, query) = target(request);
        let mut query: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        query.sort_unstable();
        let query: Vec<_> = query
            .into_iter()
            .map(|pair| match pair.contains('=') {
                true => pair.to_owned(),
                false => format!("{pair}="),
            })
            .collect();
        let time = header("x-amz-date");
        signer.authorization(&time, &format!("/{path}"), &query.join("&"), &headers)
    }

    fn odd_keys() -> Vec<String> {
        let mut keys: Vec<String> = [
            "a",
            "a/b.json.gz",
            "/a",
            "a//b",
            "a/../b",
            "./a",
            "a b+c%20",
            "ä/日本/🦀",
            "a?b&c=d#e",
        ]
        .map(str::to_owned)
        .to_vec();
        keys.push("x".repeat(1024));
        // Each character by itself. The SDK's HTTP types don't take control characters in a URL, which are encoded.
        keys.extend(
            (1..256)
                .filter_map(char::from_u32)
                .map(|char| format!("a/{char}z")),
        );
        let mut random = fastrand::Rng::with_seed(1);
        keys.extend((0..300).map(|_| (0..random.usize(1..60)).map(|_| random.char(..)).collect()));
        keys
    }

    #[tokio::test]
    async fn the_sdk_signs_what_we_sign() {
        let token = "FwoGZXIvYXdzEBYaD+/=".repeat(40);
        for lines in [
            KEYS.to_owned(),
            format!("{KEYS}\naws_session_token={token}"),
        ] {
            let recorder = Recorder::new();
            let (sdk, direct) = recorder
                .both(&lines, "my-trail", settings::Aws::default())
                .await;
            for key in odd_keys() {
                let request = sdk.get_object().bucket("my-trail").key(&key);
                let request = request.range("bytes=5-").if_match("\"e\"");
                _ = request.request_payer(RequestPayer::Requester).send().await;
                let headers = [
                    ("if-match", "\"e\""),
                    ("range", "bytes=5-"),
                    ("x-amz-request-payer", "requester"),
                ];
                let sent = direct.get(&sdk, &key, &[], &headers, None).await;
                assert!(sent.is_ok(), "{key:?}");
                let [theirs, ours] = recorder.taken().try_into().expect("two requests");
                assert_eq!(
                    target(&theirs),
                    (target(&ours).0, "x-id=GetObject"),
                    "{key:?}"
                );
                let signer = lock(&direct.signer).clone().expect("it has signed");
                for request in [&theirs, &ours] {
                    let authorization = request.headers().get("authorization").unwrap();
                    assert_eq!(signed_here(request, &signer), authorization, "{key:?}");
                }
                for name in [
                    "range",
                    "if-match",
                    "x-amz-request-payer",
                    "x-amz-security-token",
                ] {
                    assert_eq!(
                        ours.headers().get(name),
                        theirs.headers().get(name),
                        "{name}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn the_sdk_lists_what_we_list() {
        let recorder = Recorder::new();
        let endpoint = Some("http://127.0.0.1:9000/storage".to_owned());
        for endpoint in [None, endpoint] {
            let settings = settings::Aws {
                endpoint,
                ..settings::Aws::default()
            };
            let (sdk, direct) = recorder.both(KEYS, "my-trail", settings).await;
            for prefix in odd_keys() {
                let request = sdk
                    .list_objects_v2()
                    .bucket("my-trail")
                    .prefix(&prefix)
                    .delimiter("/");
                _ = request.start_after(&prefix).max_keys(7).send().await;
                let query = [
                    ("delimiter", "/"),
                    ("list-type", "2"),
                    ("max-keys", "7"),
                    ("prefix", &*prefix),
                    ("start-after", &*prefix),
                ];
                _ = direct.get(&sdk, "", &query, &[], None).await;
                let [theirs, ours] = recorder.taken().try_into().expect("two requests");
                let sorted = |request: &HttpRequest| {
                    let (path, query) = target(request);
                    let mut query: Vec<_> = query.split('&').map(str::to_owned).collect();
                    query.sort_unstable();
                    (path.to_owned(), query)
                };
                assert_eq!(sorted(&theirs), sorted(&ours), "{prefix:?}");
                let signer = lock(&direct.signer).clone().expect("it has signed");
                for request in [&theirs, &ours] {
                    let authorization = request.headers().get("authorization").unwrap();
                    assert_eq!(signed_here(request, &signer), authorization, "{prefix:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn requests_go_where_the_sdk_sends_them() {
        let endpoint = |url: &str| settings::Aws {
            endpoint: Some(url.to_owned()),
            ..settings::Aws::default()
        };
        for (bucket, settings) in [
            ("my-trail", settings::Aws::default()),
            ("my.trail", settings::Aws::default()),
            (
                "arn:aws:s3:eu-west-3:111122223333:accesspoint/audit",
                settings::Aws::default(),
            ),
            (
                "audit-aaaabbbbccccdddd1111222233334444eu-s3alias",
                settings::Aws::default(),
            ),
            (
                "arn:aws:s3-object-lambda:eu-west-3:111122223333:accesspoint/audit",
                settings::Aws::default(),
            ),
            ("my-trail", endpoint("http://127.0.0.1:9000")),
            ("my-trail", endpoint("https://store.example:443/a/b/")),
        ] {
            let recorder = Recorder::new();
            let (sdk, direct) = recorder.both(KEYS, bucket, settings).await;
            _ = sdk.get_object().bucket(bucket).key("a/b").send().await;
            let sent = direct.get(&sdk, "a/b", &[], &[], None).await;
            assert!(sent.is_ok(), "{bucket}");
            let [theirs, ours] = recorder.taken().try_into().expect("two requests");
            let url = theirs
                .uri()
                .split('?')
                .next()
                .unwrap()
                .replace(":443/", "/");
            assert_eq!(url, ours.uri(), "{bucket}");
            let signer = lock(&direct.signer).clone().expect("it has signed");
            let authorization = theirs.headers().get("authorization").unwrap();
            assert_eq!(signed_here(&theirs, &signer), authorization, "{bucket}");
        }
    }

    #[tokio::test]
    async fn what_is_signed_in_other_ways_is_left_to_the_sdk() {
        for bucket in [
            "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            "trail--euc1-az1--x-s3",
        ] {
            let recorder = Recorder::new();
            let (sdk, direct) = recorder.both(KEYS, bucket, settings::Aws::default()).await;
            let sent = direct.get(&sdk, "a", &[], &[], None).await;
            assert!(matches!(sent, Err(Unanswered::Left)), "{bucket}");
            assert!(
                recorder
                    .taken()
                    .iter()
                    .all(|request| request.uri().contains("?session")),
                "{bucket}"
            );
        }
    }

    #[test]
    fn a_connection_that_ends_does_not_say_that_there_are_too_many() {
        let io = |code| ConnectorError::io(Box::new(io::Error::from_raw_os_error(code)));
        let [of_process, of_all] = platform::TOO_MANY_FILES;
        assert!(is_of_too_many(&io(of_process)) && is_of_too_many(&io(of_all)));
        assert!(is_of_too_many(&ConnectorError::timeout("late".into())));
        assert!(!is_of_too_many(&io(libc::ECONNRESET)));
        assert!(!is_of_too_many(&ConnectorError::io("closed".into())));
    }

    /// A store may know who asks in a way that only the SDK gets right.
    #[tokio::test]
    async fn what_only_the_sdk_can_ask_for_is_left_to_it() {
        let recorder = Recorder::new();
        let (sdk, direct) = recorder
            .both(KEYS, "my-trail", settings::Aws::default())
            .await;
        recorder.status.store(403, Ordering::Relaxed);
        for _ in 0..MOST_FAILURES {
            let sent = direct.get(&sdk, "a", &[], &[], None).await;
            assert!(matches!(sent, Err(Unanswered::Failed)));
            // As long as the SDK has not succeeded, others would fail as well.
            let next = direct.get(&sdk, "a", &[], &[], None).await;
            assert!(matches!(next, Err(Unanswered::Left)));
            direct.sdk_succeeded(Unanswered::Failed);
        }
        recorder.status.store(200, Ordering::Relaxed);
        let sent = direct.get(&sdk, "a", &[], &[], None).await;
        assert!(matches!(sent, Err(Unanswered::Left)));
        assert_eq!(recorder.taken().len(), MOST_FAILURES as usize);
        // What was wrong may pass.
        for _ in 1..999 {
            assert!(direct.get(&sdk, "a", &[], &[], None).await.is_err());
        }
        for _ in 0..2 {
            assert!(direct.get(&sdk, "a", &[], &[], None).await.is_ok());
        }
        assert_eq!(recorder.taken().len(), 2);
    }

    #[tokio::test]
    async fn an_object_that_is_missing_costs_no_other_its_way() {
        let recorder = Recorder::new();
        let (sdk, direct) = recorder
            .both(KEYS, "my-trail", settings::Aws::default())
            .await;
        for _ in 0..3 * MOST_FAILURES {
            recorder.status.store(404, Ordering::Relaxed);
            let sent = direct.get(&sdk, "a", &[], &[], None).await;
            assert!(matches!(sent, Err(Unanswered::Failed)));
            // Another one, which the SDK asks for.
            direct.sdk_succeeded(Unanswered::Left);
            recorder.status.store(200, Ordering::Relaxed);
            let sent = direct.get(&sdk, "b", &[], &[], None).await;
            assert!(sent.is_ok());
        }
        recorder.status.store(503, Ordering::Relaxed);
        let sent = direct.get(&sdk, "b", &[], &[], None).await;
        assert!(matches!(sent, Err(Unanswered::Refused)));
    }
}
