//! An AWS on 127.0.0.1.
//!
//! S3 is s3s-fs over a folder that has a folder for each bucket, behind s3s with its signature
//! checks. Before it sits what makes it behave like AWS: regions and partitions, session tokens,
//! virtual hosts and access points, a log of all requests, and faults on demand. Beside it are the
//! services that credentials come from: STS, containers, instances, SSO.
//!
//! ```no_run
//! use harness::aws::{Aws, Fault, Op};
//!
//! let aws = Aws::start();
//! aws.put("logs", "AWSLogs/1.json", br#"{"Records":[]}"#);
//! aws.fault(|request| request.op == Op::GetObject, Fault::error(403, "AccessDenied", "no"));
//! println!("{}", aws.endpoint());
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    auth::{S3Auth, SecretKey},
    dto::{
        GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput,
        HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
        ListObjectsV2Output,
    },
    host::{S3Host, VirtualHost},
    route::S3Route,
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::trail::{LogFile, Maker};
use crate::{
    history::{self, Histories},
    sqs::{Queues, Refusal},
    tls::Authority,
};

/// The long-lived access key that is always there.
pub const ACCESS_KEY: &str = "AKIAHARNESSEXAMPLE00";
/// Its secret.
pub const SECRET_KEY: &str = "harness/secret/never/in/a/log/EXAMPLEKEY";
/// Where buckets are unless [`Aws::put_in`] says so.
pub const REGION: &str = "us-east-1";
/// The account of everybody.
pub const ACCOUNT: &str = "123456789012";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request, as logged and as given to the conditions of faults.
#[derive(Debug, Clone)]
pub struct Request {
    /// Since the server's start.
    pub at: Duration,
    /// What is asked for.
    pub op: Op,
    /// The bucket, where S3 is asked.
    pub bucket: String,
    /// The key, or a listing's prefix.
    pub key: String,
    /// The host asked.
    pub host: String,
    /// `GET`
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query, or a form's fields, decoded.
    pub query: BTreeMap<String, String>,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The region that the request is signed for.
    pub region: Option<String>,
    /// The access key that it is signed with.
    pub access_key: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// S3's ListObjectsV2
    ListObjects,
    /// S3's GetObject
    GetObject,
    /// S3's HeadObject
    HeadObject,
    /// S3's HeadBucket
    HeadBucket,
    /// S3's GetBucketLocation
    GetBucketLocation,
    /// STS's AssumeRole
    AssumeRole,
    /// STS's AssumeRoleWithWebIdentity
    AssumeRoleWithWebIdentity,
    /// A container's credentials
    Container,
    /// An instance's metadata
    Instance,
    /// SSO's GetRoleCredentials
    Sso,
    /// SQS, whose action is in [`Request::key`] and whose queue's name in [`Request::bucket`]
    Sqs,
    /// CloudTrail, whose action is in [`Request::key`] and what was asked in [`Request::query`]
    CloudTrail,
    /// Anything else
    Other,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error of S3's form.
    Error {
        /// `403`
        status: u16,
        /// `AccessDenied`
        code: String,
        /// Its words.
        message: String,
        /// More headers.
        headers: Vec<(String, String)>,
    },
    /// 200 and something else, an HTML page of a proxy, say.
    Body(Vec<u8>),
    /// Answers after this time.
    Delay(Duration),
    /// A TCP reset instead of an answer.
    Reset,
    /// A TCP reset after so many bytes of the body.
    ResetAfter(usize),
    /// The connection is closed in order after so many bytes of the body.
    CloseAfter(usize),
    /// So many bytes of the body, and its length states no more.
    Truncate(usize),
    /// Nothing more after so many bytes of the body.
    StallAfter(usize),
    /// Never an answer.
    Stall,
    /// The body byte by byte.
    Trickle,
}

impl Fault {
    /// An error of S3's form.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error {
            status,
            code: code.into(),
            message: message.into(),
            headers: vec![],
        }
    }

    /// 403 AccessDenied, worded as S3 words it.
    pub fn denied() -> Self {
        Self::error(403, "AccessDenied", "Access Denied")
    }

    /// 503 SlowDown
    pub fn slow_down() -> Self {
        Self::error(503, "SlowDown", "Please reduce your request rate.")
    }
}

struct Rule {
    when: Box<dyn Fn(&Request) -> bool + Send + Sync>,
    left: Option<usize>,
    fault: Fault,
}

/// Credentials that this AWS knows.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `AKIA…` or `ASIA…`
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
    /// The session token of temporary ones.
    pub token: Option<String>,
    /// `aws`, `aws-cn`, `aws-us-gov`
    pub partition: String,
    /// Whether they were good once.
    pub expired: bool,
}

/// The server. It ends when dropped.
pub struct Aws {
    state: Arc<State>,
    http: SocketAddr,
    https: SocketAddr,
    folder: Folder,
    // Dropped last: it ends all connections.
    runtime: Option<Runtime>,
}

enum Folder {
    Own(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir.path(),
            Self::Given(path) => path,
        }
    }
}

struct State {
    start: Instant,
    authority: Arc<Authority>,
    ca_file: tempfile::NamedTempFile,
    s3: S3Service,
    world: Arc<World>,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Request>>,
    queues: Queues,
    history: Histories,
}

/// What AWS knows.
#[derive(Default)]
struct World {
    keys: Mutex<HashMap<String, Credentials>>,
    /// Buckets outside [`REGION`].
    regions: Mutex<HashMap<String, String>>,
    /// Bucket names of access points.
    aliases: Mutex<HashMap<String, String>>,
    /// Of objects, by bucket and key.
    metadata: Mutex<HashMap<(String, String), HashMap<String, String>>>,
    /// Roles that may be assumed, with the external ID that they ask for.
    roles: Mutex<HashMap<String, Option<String>>>,
    /// The header with which a container must ask.
    container_token: Mutex<Option<String>>,
    /// Keys of a page of a listing; 0 for S3's own 1,000.
    page: AtomicI32,
}

/// A runtime for servers.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

impl Aws {
    /// One with a bucket `logs`, in which an account's region has so many log files, of two records each.
    pub fn with_trail(files: usize) -> (Self, Vec<LogFile>) {
        let aws = Self::start();
        let mut maker = Maker::new(1);
        let files = maker.trail(
            &["123456789012"],
            &["us-east-1"],
            "20240305T1205Z",
            files,
            2,
        );
        for file in &files {
            file.put(&aws, "logs");
        }
        (aws, files)
    }

    /// An AWS without buckets.
    pub fn start() -> Self {
        Self::start_in(Folder::Own(tempfile::tempdir().unwrap()), [0, 0])
    }

    /// An AWS whose buckets are the folders in this one; ports may be chosen.
    pub fn serve(folder: &Path, ports: [u16; 2]) -> Self {
        Self::start_in(Folder::Given(folder.into()), ports)
    }

    fn start_in(folder: Folder, ports: [u16; 2]) -> Self {
        let world = Arc::new(World::default());
        world.add_key(Credentials {
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            token: None,
            partition: "aws".into(),
            expired: false,
        });
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let mut s3 = S3ServiceBuilder::new(Store {
            files,
            root: folder.path().to_owned(),
            world: world.clone(),
        });
        s3.set_auth(Keys(world.clone()));
        s3.set_host(Hosts);
        s3.set_route(Sts(world.clone()));
        let authority = Authority::new();
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        fs::write(ca_file.path(), authority.pem()).unwrap();
        let state = Arc::new(State {
            start: Instant::now(),
            ca_file,
            s3: s3.build(),
            world,
            rules: Mutex::default(),
            log: Mutex::default(),
            queues: Queues::default(),
            history: Histories::default(),
            authority,
        });
        let runtime = runtime();
        let [http, https] = [(ports[0], false), (ports[1], true)].map(|(port, secure)| {
            let listener = runtime
                .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
                .unwrap();
            let address = listener.local_addr().unwrap();
            runtime.spawn(accept(state.clone(), listener, secure));
            address
        });
        Self {
            state,
            http,
            https,
            folder,
            runtime: Some(runtime),
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `https://127.0.0.1:PORT`, trusted by those who trust [`Aws::ca_file`].
    pub fn secure_endpoint(&self) -> String {
        format!("https://{}", self.https)
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where HTTPS is served.
    pub fn https_address(&self) -> SocketAddr {
        self.https
    }

    /// The certificate of the authority, for `AWS_CA_BUNDLE`.
    pub fn ca_file(&self) -> &Path {
        self.state.ca_file.path()
    }

    /// The folder of a bucket.
    pub fn bucket(&self, bucket: &str) -> PathBuf {
        self.folder.path().join(bucket)
    }

    /// Makes an object, and its bucket where there is none.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        let path = self.bucket(bucket).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // It appears with all its bytes at once.
        let mut part = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        part.write_all(body).unwrap();
        part.persist(path).unwrap();
    }

    /// Makes an object with metadata of its own, `x-amz-meta-…`.
    pub fn put_with(&self, bucket: &str, key: &str, body: &[u8], metadata: &[(&str, &str)]) {
        let metadata = metadata
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let object = (bucket.to_owned(), key.to_owned());
        let mut all = self.state.world.metadata.lock().unwrap();
        all.insert(object, metadata);
        drop(all);
        self.put(bucket, key, body);
    }

    /// Makes an empty bucket in a region.
    pub fn put_in(&self, region: &str, bucket: &str) {
        fs::create_dir_all(self.bucket(bucket)).unwrap();
        self.state
            .world
            .regions
            .lock()
            .unwrap()
            .insert(bucket.into(), region.into());
    }

    /// Makes an access point, or its alias, by the bucket name that requests use for it.
    pub fn alias(&self, name: &str, bucket: &str) {
        self.state
            .world
            .aliases
            .lock()
            .unwrap()
            .insert(name.into(), bucket.into());
    }

    /// SQS.
    pub fn queues(&self) -> &Queues {
        &self.state.queues
    }

    /// The event history.
    pub fn history(&self) -> &Histories {
        &self.state.history
    }

    /// Makes a role that may be assumed.
    pub fn role(&self, arn: &str, external_id: Option<&str>) {
        let external_id = external_id.map(str::to_owned);
        self.state
            .world
            .roles
            .lock()
            .unwrap()
            .insert(arn.into(), external_id);
    }

    /// Makes temporary credentials.
    pub fn issue(&self) -> Credentials {
        self.state.world.issue()
    }

    /// Adds credentials.
    pub fn add_key(&self, credentials: Credentials) {
        self.state.world.add_key(credentials);
    }

    /// Lets credentials expire.
    pub fn expire(&self, access_key: &str) {
        self.state
            .world
            .keys
            .lock()
            .unwrap()
            .get_mut(access_key)
            .unwrap()
            .expired = true;
    }

    /// Demands this `Authorization` of those who ask for a container's credentials.
    pub fn container_token(&self, token: &str) {
        *self.state.world.container_token.lock().unwrap() = Some(token.into());
    }

    /// Caps the keys on a page of a listing.
    pub fn page(&self, keys: i32) {
        self.state.world.page.store(keys, Ordering::Relaxed);
    }

    /// Makes every request on which the condition holds go wrong. Of several, the first counts.
    pub fn fault(&self, when: impl Fn(&Request) -> bool + Send + Sync + 'static, fault: Fault) {
        self.add_rule(Box::new(when), None, fault);
    }

    /// Makes the first `times` requests on which the condition holds go wrong.
    pub fn fault_times(
        &self,
        times: usize,
        when: impl Fn(&Request) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) {
        self.add_rule(Box::new(when), Some(times), fault);
    }

    fn add_rule(
        &self,
        when: Box<dyn Fn(&Request) -> bool + Send + Sync>,
        left: Option<usize>,
        fault: Fault,
    ) {
        self.state
            .rules
            .lock()
            .unwrap()
            .push(Rule { when, left, fault });
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Request> {
        self.state.log.lock().unwrap().clone()
    }

    /// The requests of one kind so far.
    pub fn log_of(&self, op: Op) -> Vec<Request> {
        self.log()
            .into_iter()
            .filter(|request| request.op == op)
            .collect()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl World {
    fn add_key(&self, credentials: Credentials) {
        self.keys
            .lock()
            .unwrap()
            .insert(credentials.access_key.clone(), credentials);
    }

    fn issue(&self) -> Credentials {
        let number = self.keys.lock().unwrap().len();
        let credentials = Credentials {
            access_key: format!("ASIAHARNESSEXAMPLE{number:02}"),
            secret_key: format!("temporary/{number:02}/secret/never/in/a/log/KEY"),
            token: Some(format!("session-token-{number:02}-never-in-a-log")),
            partition: "aws".into(),
            expired: false,
        };
        self.add_key(credentials.clone());
        credentials
    }

    fn region(&self, bucket: &str) -> String {
        let bucket = self.real(bucket);
        self.regions
            .lock()
            .unwrap()
            .get(&bucket)
            .cloned()
            .unwrap_or_else(|| REGION.into())
    }

    fn real(&self, bucket: &str) -> String {
        let aliases = self.aliases.lock().unwrap();
        aliases
            .get(bucket)
            .cloned()
            .unwrap_or_else(|| bucket.into())
    }
}

/// The partition that a region is in.
fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// An AWS host name taken apart.
#[derive(Debug, Default, PartialEq)]
struct Host<'a> {
    bucket: Option<&'a str>,
    /// The region of an endpoint of AWS.
    region: Option<&'a str>,
}

fn parse_host(host: &str) -> Host<'_> {
    let name = host.split(':').next().unwrap_or_default();
    if let Some(bucket) = name.strip_suffix(".localhost") {
        return Host {
            bucket: Some(bucket),
            region: None,
        };
    }
    let Some(name) = name
        .strip_suffix(".amazonaws.com")
        .or_else(|| name.strip_suffix(".amazonaws.com.cn"))
    else {
        return Host::default();
    };
    let labels: Vec<&str> = name.split('.').collect();
    let service = labels
        .iter()
        .rposition(|label| matches!(*label, "s3" | "s3-accesspoint"));
    let Some(service) = service else {
        return Host::default();
    };
    let bucket = labels[..service].join(".").len();
    let region = labels[service + 1..]
        .iter()
        .find(|label| **label != "dualstack");
    Host {
        bucket: (bucket > 0).then(|| &name[..bucket]),
        region: Some(region.copied().unwrap_or(REGION)),
    }
}

struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let parsed = parse_host(host);
        let virtual_host = VirtualHost::new(host);
        Ok(match parsed.bucket {
            Some(bucket) => virtual_host.with_bucket(bucket),
            None => virtual_host,
        })
    }
}

struct Keys(Arc<World>);

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.keys.lock().unwrap().get(access_key) {
            Some(credentials) => Ok(credentials.secret_key.clone().into()),
            None => Err(s3_error!(InvalidAccessKeyId)),
        }
    }
}

/// S3 gives words with each error, s3s-fs only a code.
fn worded(mut error: S3Error) -> S3Error {
    let words = match error.code() {
        S3ErrorCode::NoSuchKey => "The specified key does not exist.",
        S3ErrorCode::NoSuchBucket => "The specified bucket does not exist",
        _ => return error,
    };
    error.set_message(words);
    error
}

/// S3 as the plugin may use it: read only.
struct Store {
    files: s3s_fs::FileSystem,
    root: PathBuf,
    world: Arc<World>,
}

#[async_trait]
impl S3 for Store {
    async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        request.input.bucket = self.world.real(&request.input.bucket);
        let object = (request.input.bucket.clone(), request.input.key.clone());
        let mut response = self.files.get_object(request).await.map_err(worded)?;
        if let Some(metadata) = self.world.metadata.lock().unwrap().get(&object) {
            response.output.metadata = Some(metadata.clone());
        }
        Ok(response)
    }

    async fn head_object(
        &self,
        mut request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        request.input.bucket = self.world.real(&request.input.bucket);
        self.files.head_object(request).await.map_err(worded)
    }

    async fn head_bucket(
        &self,
        mut request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        request.input.bucket = self.world.real(&request.input.bucket);
        self.files.head_bucket(request).await.map_err(worded)
    }

    async fn get_bucket_location(
        &self,
        mut request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        request.input.bucket = self.world.real(&request.input.bucket);
        self.files
            .get_bucket_location(request)
            .await
            .map_err(worded)
    }

    async fn list_objects_v2(
        &self,
        mut request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = &mut request.input;
        input.bucket = self.world.real(&input.bucket);
        let page = match self.world.page.load(Ordering::Relaxed) {
            0 => 1000,
            page => page,
        };
        let page = input.max_keys.unwrap_or(1000).min(page);
        let folder = self.root.join(&input.bucket);
        if !folder.is_dir() {
            return Err(worded(s3s::s3_error!(NoSuchBucket)));
        }
        let output = crate::list::page(&folder, input, page as usize);
        Ok(S3Response::new(output.map_err(S3Error::internal_error)?))
    }
}

/// STS, signed as S3 is.
struct Sts(Arc<World>);

#[async_trait]
impl S3Route for Sts {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        _: &mut http::Extensions,
    ) -> bool {
        method == Method::POST && uri.path() == "/" && headers.contains_key("authorization")
    }

    async fn call(&self, mut request: S3Request<s3s::Body>) -> S3Result<S3Response<s3s::Body>> {
        let body = request.input.store_all_limited(1 << 20).await;
        let form = parse_query(&String::from_utf8_lossy(&body.unwrap_or_default()));
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let role = self.0.roles.lock().unwrap().get(field("RoleArn")).cloned();
        let denied = || {
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                <Message>User is not authorized to perform: sts:AssumeRole</Message></Error>\
                </ErrorResponse>";
            S3Response::with_status(s3s::Body::from(body.to_owned()), StatusCode::FORBIDDEN)
        };
        Ok(match role {
            Some(external_id)
                if external_id.as_deref().unwrap_or_default() == field("ExternalId") =>
            {
                S3Response::new(s3s::Body::from(sts_answer(
                    &self.0,
                    field("Action"),
                    field("RoleArn"),
                )))
            }
            _ => denied(),
        })
    }
}

fn sts_answer(world: &World, action: &str, role: &str) -> String {
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = world.issue();
    let token = token.unwrap_or_default();
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser><AssumedRoleId>AROAHARNESS:s</AssumedRoleId><Arn>{role}</Arn>\
         </AssumedRoleUser><Credentials><AccessKeyId>{access_key}</AccessKeyId>\
         <SecretAccessKey>{secret_key}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>{}</Expiration></Credentials></{action}Result></{action}Response>",
        in_an_hour()
    )
}

fn in_an_hour() -> String {
    (jiff::Timestamp::now() + Duration::from_secs(3600))
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

async fn accept(state: Arc<State>, listener: TcpListener, secure: bool) {
    let acceptor = state.authority.acceptor();
    while let Ok((tcp, _)) = listener.accept().await {
        let _ = tcp.set_nodelay(true);
        let reset = Arc::new(AtomicBool::new(false));
        let connection = Connection {
            tcp,
            reset: reset.clone(),
        };
        let (state, acceptor) = (state.clone(), acceptor.clone());
        tokio::spawn(async move {
            if !secure {
                serve(state, connection, reset, secure).await;
            } else if let Ok(connection) = acceptor.accept(connection).await {
                serve(state, connection, reset, secure).await;
            }
        });
    }
}

async fn serve<C>(state: Arc<State>, connection: C, reset: Arc<AtomicBool>, secure: bool)
where
    C: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request| answer(state.clone(), request, reset.clone(), secure));
    // An error is that the client went away, or one that a fault asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

/// A connection that can end in a reset.
struct Connection {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::SeqCst) {
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// What ends a connection without an answer.
fn cut() -> io::Error {
    io::Error::other("a fault")
}

async fn answer(
    state: Arc<State>,
    request: http::Request<Incoming>,
    reset: Arc<AtomicBool>,
    secure: bool,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = describe(&parts, &body, state.start.elapsed(), secure);
    state.log.lock().unwrap().push(seen.clone());
    let fault = take_fault(&state, &seen);
    match &fault {
        Some(Fault::Error {
            status,
            code,
            message,
            headers,
        }) => {
            let mut response = s3_error(&seen, *status, code, message);
            for (name, value) in headers {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_str(value).unwrap());
            }
            return Ok(response);
        }
        Some(Fault::Body(body)) => return Ok(Response::new(full(body.clone()))),
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Reset) => {
            reset.store(true, Ordering::SeqCst);
            return Err(cut());
        }
        _ => {}
    }
    let response = match credentials_service(&state.world, &seen) {
        _ if seen.op == Op::Sqs => {
            let response = match refuse_to_sqs(&state.world, &seen) {
                Some(refusal) => refusal.response(),
                None => state.queues.answer(&seen.host, &seen.key, &body).await,
            };
            response.map(full)
        }
        _ if seen.op == Op::CloudTrail => {
            let response = match refuse_to_cloudtrail(&state.world, &seen) {
                Some((code, message)) => history::error(400, code, message),
                None => {
                    let region = seen.region.as_deref().unwrap_or_default();
                    state.history.answer(region, &seen.key, &body)
                }
            };
            response.map(full)
        }
        Some(response) => response,
        None => match refuse(&state.world, &seen) {
            Some(response) => response,
            None => {
                let request = http::Request::from_parts(parts, s3s::Body::from(body));
                s3(&state, request, &seen).await?
            }
        },
    };
    let Some(fault) = fault else {
        return Ok(response);
    };
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = match fault {
        Fault::ResetAfter(bytes) => {
            reset.store(true, Ordering::SeqCst);
            part(body, bytes, Some(Err(cut())))
        }
        Fault::CloseAfter(bytes) => part(body, bytes, Some(Err(cut()))),
        Fault::StallAfter(bytes) => part(body, bytes, None),
        Fault::Truncate(bytes) => {
            let body = body.slice(..bytes.min(body.len()));
            parts.headers.insert("content-length", body.len().into());
            full(body)
        }
        Fault::Trickle => StreamBody::new(stream::iter(0..body.len()).then(move |at| {
            let byte = body.slice(at..at + 1);
            async move {
                tokio::task::yield_now().await;
                Ok(Frame::data(byte))
            }
        }))
        .boxed_unsync(),
        _ => full(body),
    };
    Ok(Response::from_parts(parts, body))
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// The first bytes of a body, and then an end of this kind, or none.
fn part(body: Bytes, bytes: usize, end: Option<io::Result<Frame<Bytes>>>) -> Body {
    let first = body.slice(..bytes.min(body.len()));
    let first = stream::iter((!first.is_empty()).then(|| Ok(Frame::data(first))));
    let end = stream::once(async move {
        // Let what was sent arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
        match end {
            Some(end) => end,
            None => std::future::pending().await,
        }
    });
    StreamBody::new(first.chain(end)).boxed_unsync()
}

fn take_fault(state: &State, request: &Request) -> Option<Fault> {
    let mut rules = state.rules.lock().unwrap();
    let rule = rules
        .iter_mut()
        .find(|rule| rule.left != Some(0) && (rule.when)(request))?;
    rule.left = rule.left.map(|left| left - 1);
    Some(rule.fault.clone())
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn describe(parts: &http::request::Parts, body: &[u8], at: Duration, secure: bool) -> Request {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let host = header("host").unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    let mut query = parse_query(parts.uri.query().unwrap_or_default());
    let on_host = parse_host(&host).bucket.map(str::to_owned);
    let rest = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (mut bucket, mut key) = match on_host {
        Some(bucket) => (bucket, rest.to_owned()),
        None => {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            (bucket.to_owned(), key.to_owned())
        }
    };
    let sqs_action = header("x-amz-target")
        .and_then(|target| Some(target.strip_prefix("AmazonSQS.")?.to_owned()));
    let cloudtrail_action = header("x-amz-target")
        .and_then(|target| Some(target.split_once("CloudTrail_20131101.")?.1.to_owned()));
    let op = match parts.method.as_str() {
        _ if sqs_action.is_some() => Op::Sqs,
        _ if cloudtrail_action.is_some() => Op::CloudTrail,
        "POST" if path == "/" => {
            query.append(&mut parse_query(&String::from_utf8_lossy(body)));
            match query.get("Action").map(String::as_str) {
                Some("AssumeRole") => Op::AssumeRole,
                Some("AssumeRoleWithWebIdentity") => Op::AssumeRoleWithWebIdentity,
                _ => Op::Other,
            }
        }
        _ if path.starts_with("/latest/") => Op::Instance,
        "GET" if path == "/container/credentials" => Op::Container,
        "GET" if path == "/federation/credentials" => Op::Sso,
        "GET" if key.is_empty() && query.contains_key("list-type") => Op::ListObjects,
        "GET" if key.is_empty() && query.contains_key("location") => Op::GetBucketLocation,
        "HEAD" if key.is_empty() && !bucket.is_empty() => Op::HeadBucket,
        "GET" if !key.is_empty() => Op::GetObject,
        "HEAD" if !key.is_empty() => Op::HeadObject,
        _ => Op::Other,
    };
    if op == Op::ListObjects {
        key = query.get("prefix").cloned().unwrap_or_default();
    }
    if let Some(action) = sqs_action {
        key = action;
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let name = body["QueueUrl"].as_str().or(body["QueueName"].as_str());
        bucket = name
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
    }
    if let Some(action) = cloudtrail_action {
        key = action;
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        for (name, value) in body.as_object().into_iter().flatten() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            query.insert(name.clone(), value);
        }
    }
    // AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
    let authorization = header("authorization").unwrap_or_default();
    let mut scope = authorization
        .split_once("Credential=")
        .map(|(_, rest)| rest.split(',').next().unwrap_or_default().split('/'));
    let access_key = scope
        .as_mut()
        .and_then(|scope| scope.next())
        .map(str::to_owned);
    let region = scope
        .as_mut()
        .and_then(|scope| scope.nth(1))
        .map(str::to_owned);
    let headers = parts.headers.iter().map(|(name, value)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    Request {
        at,
        op,
        bucket,
        key,
        host,
        method: parts.method.to_string(),
        path,
        query,
        headers: headers.collect(),
        region,
        access_key,
        secure,
    }
}

/// An error as S3 sends it, or SQS, or CloudTrail. `HEAD` has no body.
fn s3_error(request: &Request, status: u16, code: &str, message: &str) -> Response<Body> {
    if request.op == Op::Sqs {
        let refusal = Refusal {
            status,
            code: code.into(),
            message: message.into(),
        };
        return refusal.response().map(full);
    }
    if request.op == Op::CloudTrail {
        return history::error(status, code, message).map(full);
    }
    error_with(request, status, code, message, "")
}

fn error_with(
    request: &Request,
    status: u16,
    code: &str,
    message: &str,
    more: &str,
) -> Response<Body> {
    let body = match request.method.as_str() {
        "HEAD" => String::new(),
        _ => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>{message}</Message>{more}<RequestId>4442587FB7D0A2F9</RequestId>\
             <HostId>harness</HostId></Error>"
        ),
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .header("x-amz-request-id", "4442587FB7D0A2F9")
        .body(full(body))
        .unwrap()
}

/// What SQS refuses for the credentials. Signatures are checked with S3's requests only.
fn refuse_to_sqs(world: &World, request: &Request) -> Option<Refusal> {
    let keys = world.keys.lock().unwrap();
    let known = request.access_key.as_ref().and_then(|key| keys.get(key));
    let (code, message) = match known {
        None => (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        Some(known) if known.expired => (
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        Some(_) => return None,
    };
    Some(Refusal {
        status: 403,
        code: code.into(),
        message: message.into(),
    })
}

/// The same of CloudTrail.
fn refuse_to_cloudtrail(world: &World, request: &Request) -> Option<(&'static str, &'static str)> {
    let keys = world.keys.lock().unwrap();
    let known = request.access_key.as_ref().and_then(|key| keys.get(key));
    match known {
        None => Some((
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )),
        Some(known) if known.expired => Some((
            "ExpiredTokenException",
            "The security token included in the request is expired",
        )),
        Some(_) => None,
    }
}

/// What S3 refuses before it looks at the signature.
fn refuse(world: &World, request: &Request) -> Option<Response<Body>> {
    let is_s3 = !matches!(
        request.op,
        Op::AssumeRole | Op::AssumeRoleWithWebIdentity | Op::Sqs | Op::CloudTrail | Op::Other
    );
    if !is_s3 {
        return None;
    }
    let here = world.region(&request.bucket);
    let endpoint = parse_host(&request.host).region.map(str::to_owned);
    let home = |mut response: Response<Body>| {
        let value = HeaderValue::from_str(&here).unwrap();
        response.headers_mut().insert("x-amz-bucket-region", value);
        Some(response)
    };
    if let Some(endpoint) = &endpoint
        && partition(endpoint) != partition(&here)
    {
        let message = "The specified bucket does not exist";
        return Some(s3_error(request, 404, "NoSuchBucket", message));
    }
    let Some(access_key) = &request.access_key else {
        return home(s3_error(request, 403, "AccessDenied", "Access Denied"));
    };
    let keys = world.keys.lock().unwrap();
    let known = keys.get(access_key).filter(|known| {
        endpoint
            .as_ref()
            .is_none_or(|endpoint| partition(endpoint) == known.partition)
    });
    let Some(known) = known else {
        let message = "The AWS Access Key Id you provided does not exist in our records.";
        let more = format!("<AWSAccessKeyId>{access_key}</AWSAccessKeyId>");
        return Some(error_with(
            request,
            403,
            "InvalidAccessKeyId",
            message,
            &more,
        ));
    };
    if known.expired {
        let more = format!(
            "<Token-0>{}</Token-0>",
            known.token.as_deref().unwrap_or_default()
        );
        let message = "The provided token has expired.";
        return Some(error_with(request, 400, "ExpiredToken", message, &more));
    }
    if known.token.as_deref()
        != request
            .headers
            .get("x-amz-security-token")
            .map(String::as_str)
    {
        let message = "The provided token is malformed or otherwise invalid.";
        return Some(s3_error(request, 400, "InvalidToken", message));
    }
    let signed = request.region.as_deref().unwrap_or_default();
    if signed == here {
        return None;
    }
    // To another endpoint than the bucket's: go there. To an endpoint without a region, or with a
    // signature for another region than the endpoint's: sign anew.
    home(if endpoint.as_deref() == Some(signed) {
        let message = "The bucket you are attempting to access must be addressed using the \
                       specified endpoint. Please send all future requests to this endpoint.";
        let more = format!(
            "<Endpoint>{0}.s3.{here}.amazonaws.com</Endpoint><Bucket>{0}</Bucket>",
            request.bucket
        );
        error_with(request, 301, "PermanentRedirect", message, &more)
    } else {
        let message = format!(
            "The authorization header is malformed; the region '{signed}' is wrong; expecting '{here}'"
        );
        let more = format!("<Region>{here}</Region>");
        error_with(
            request,
            400,
            "AuthorizationHeaderMalformed",
            &message,
            &more,
        )
    })
}

async fn s3(
    state: &State,
    request: http::Request<s3s::Body>,
    seen: &Request,
) -> io::Result<Response<Body>> {
    let response = state.s3.call(request).await.map_err(io::Error::other)?;
    let mut response = response.map(|body| body.map_err(io::Error::other).boxed_unsync());
    if seen.op == Op::HeadBucket && response.status().is_success() {
        let here = HeaderValue::from_str(&state.world.region(&seen.bucket)).unwrap();
        response.headers_mut().insert("x-amz-bucket-region", here);
    }
    Ok(response)
}

/// The services besides S3 that need no signature.
fn credentials_service(world: &World, request: &Request) -> Option<Response<Body>> {
    let json = |secret: &str, expiration: &str| {
        let Credentials {
            access_key,
            secret_key,
            token,
            ..
        } = world.issue();
        let token_name = if secret == "SecretAccessKey" {
            "Token"
        } else {
            "sessionToken"
        };
        let id = if secret == "SecretAccessKey" {
            "AccessKeyId"
        } else {
            "accessKeyId"
        };
        format!(
            "\"{id}\":\"{access_key}\",\"{secret}\":\"{secret_key}\",\
             \"{token_name}\":\"{}\",{expiration}",
            token.unwrap_or_default()
        )
    };
    let dated = || {
        json(
            "SecretAccessKey",
            &format!("\"Expiration\":\"{}\"", in_an_hour()),
        )
    };
    let ok = |body: String| Some(Response::new(full(body)));
    let no = |status: u16| {
        Some(
            Response::builder()
                .status(status)
                .body(full("{\"message\":\"no\"}"))
                .unwrap(),
        )
    };
    match request.op {
        Op::AssumeRoleWithWebIdentity => {
            let role = request.query.get("RoleArn")?;
            let known = world.roles.lock().unwrap().contains_key(role);
            if !known
                || request
                    .query
                    .get("WebIdentityToken")
                    .is_none_or(String::is_empty)
            {
                return no(403);
            }
            ok(sts_answer(world, "AssumeRoleWithWebIdentity", role))
        }
        Op::Container => {
            let wanted = world.container_token.lock().unwrap().clone();
            if wanted
                .as_ref()
                .is_some_and(|token| request.headers.get("authorization") != Some(token))
            {
                return no(401);
            }
            ok(format!("{{{}}}", dated()))
        }
        Op::Sso => {
            if !request.headers.contains_key("x-amz-sso_bearer_token") {
                return no(401);
            }
            let later = jiff::Timestamp::now().as_millisecond() + 3_600_000;
            let role = json("secretAccessKey", &format!("\"expiration\":{later}"));
            ok(format!("{{\"roleCredentials\":{{{role}}}}}"))
        }
        Op::Instance => match request.path.as_str() {
            "/latest/api/token" => {
                let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "21600");
                Some(
                    Response::builder()
                        .header(ttl.0, ttl.1)
                        .body(full("imds-token"))
                        .unwrap(),
                )
            }
            _ if !request.headers.contains_key("x-aws-ec2-metadata-token") => no(401),
            "/latest/meta-data/iam/security-credentials/" => ok("harness-role".into()),
            "/latest/meta-data/iam/security-credentials/harness-role" => ok(format!(
                "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"LastUpdated\":\"2024-03-05T00:00:00Z\",{}}}",
                dated()
            )),
            "/latest/meta-data/placement/region" => ok(REGION.into()),
            _ => no(404),
        },
        _ => None,
    }
}
