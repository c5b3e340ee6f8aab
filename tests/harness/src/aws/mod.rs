//! An AWS on 127.0.0.1.
//!
//! S3 is s3s-fs over a folder that has a folder for each bucket, behind s3s with its signature
//! checks. Before it sits what makes it behave like AWS: regions and partitions, session tokens,
//! virtual hosts and access points, a log of all requests, and faults on demand. Beside it are the
//! services that credentials come from: STS, containers, instances, SSO, Sign-In.
//!
//! ```no_run
//! use harness::aws::{Aws, Fault, Op};
//!
//! let aws = Aws::start();
//! aws.put("logs", "AWSLogs/1.json", br#"{"Records":[]}"#);
//! aws.fault(|request| request.op == Op::GetObject, Fault::error(403, "AccessDenied", "no"));
//! println!("{}", aws.endpoint());
//! ```

mod container;
mod fault;
mod imds;
mod login;
mod request;
mod s3;
mod server;
mod sso;
mod sts;
mod world;

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use s3s::service::S3Service;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

pub use fault::Fault;
pub use login::{EMPTY, ENDED, session};
pub use request::{Op, Request};
pub use world::Credentials;

use crate::{
    history::Histories,
    logs::LogGroups,
    server::Server,
    sqs::Queues,
    tls::Authority,
    trail::{LogFile, Maker},
};
use fault::Faults;
use world::World;

/// The long-lived access key that is always there.
pub const ACCESS_KEY: &str = "AKIAHARNESSEXAMPLE00";
/// Its secret.
pub const SECRET_KEY: &str = "harness/secret/never/in/a/log/EXAMPLEKEY";
/// Where buckets are unless [`Aws::put_in`] says so.
pub const REGION: &str = "us-east-1";
/// The account of everybody.
pub const ACCOUNT: &str = "123456789012";

/// The server. It ends when dropped.
pub struct Aws {
    state: Arc<State>,
    server: Server<2>,
    folder: Folder,
}

/// The ports of the server.
const HTTP: usize = 0;
const HTTPS: usize = 1;

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
    acceptor: TlsAcceptor,
    ca_file: tempfile::NamedTempFile,
    s3: S3Service,
    world: Arc<World>,
    faults: Faults,
    log: Mutex<Vec<Request>>,
    queues: Queues,
    history: Histories,
    logs: LogGroups,
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
        world.add_key(Credentials::long_lived());
        let authority = Authority::new();
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        fs::write(ca_file.path(), authority.pem()).unwrap();
        let state = Arc::new(State {
            start: Instant::now(),
            ca_file,
            s3: s3::service(folder.path(), &world),
            world,
            faults: Faults::default(),
            log: Mutex::default(),
            queues: Queues::default(),
            history: Histories::default(),
            logs: LogGroups::default(),
            acceptor: authority.acceptor(),
        });
        let served = state.clone();
        let server = Server::start(ports, move |port, tcp| {
            server::serve(served.clone(), tcp, port == HTTPS)
        });
        Self {
            state,
            server,
            folder,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.http_address())
    }

    /// `https://127.0.0.1:PORT`, trusted by those who trust [`Aws::ca_file`].
    pub fn secure_endpoint(&self) -> String {
        format!("https://{}", self.https_address())
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.server.addresses[HTTP]
    }

    /// Where HTTPS is served.
    pub fn https_address(&self) -> SocketAddr {
        self.server.addresses[HTTPS]
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

    /// CloudWatch Logs.
    pub fn logs(&self) -> &LogGroups {
        &self.state.logs
    }

    /// Says when an object was stored, which is now otherwise.
    pub fn stored(&self, bucket: &str, key: &str, time: jiff::Timestamp) {
        let path = self.bucket(bucket).join(key);
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(time.into()).unwrap();
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

    /// An access key as given, or what was asked for it where it is temporary.
    pub fn origin(&self, access_key: &str) -> String {
        self.state.world.origin(access_key)
    }

    /// The session token of an access key.
    pub fn token(&self, access_key: &str) -> Option<String> {
        let keys = self.state.world.keys.lock().unwrap();
        keys.get(access_key)?.token.clone()
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

    /// Lists keys as they are, and says that they are percent-encoded.
    pub fn raw_keys(&self) {
        self.state.world.raw.store(true, Ordering::Relaxed);
    }

    /// Tells ETags in listings, as S3 does, for which each object is read.
    pub fn etags(&self) {
        self.state.world.etags.store(true, Ordering::Relaxed);
    }

    /// Makes every request on which the condition holds go wrong. Of several, the first counts.
    pub fn fault(&self, when: impl Fn(&Request) -> bool + Send + Sync + 'static, fault: Fault) {
        self.state.faults.add(Box::new(when), None, fault);
    }

    /// Makes the first `times` requests on which the condition holds go wrong.
    pub fn fault_times(
        &self,
        times: usize,
        when: impl Fn(&Request) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) {
        self.state.faults.add(Box::new(when), Some(times), fault);
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
