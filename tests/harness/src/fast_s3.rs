//! A fast S3 on 127.0.0.1, for timings: it reads only, checks no signatures, and has one bucket of any name. SQS is
//! there too.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_RANGE, ETAG, RANGE},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use crate::{aws::REGION, server::Server, sqs::Queues};

/// Keys of a page of a listing.
const PAGE: usize = 1000;

/// What is in the bucket, made when it is asked for: so millions of keys take no memory.
pub trait Objects: Send + Sync + 'static {
    /// How many there are.
    fn count(&self) -> usize;
    /// The key of one, in the order of keys. It holds letters, digits and `/-_.` only, which no URL encodes.
    fn key(&self, index: usize) -> String;
    /// The body of one.
    fn body(&self, index: usize) -> Bytes;
    /// The storage class of one.
    fn class(&self, _index: usize) -> &str {
        "STANDARD"
    }
}

/// What was asked for so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// ListObjectsV2
    pub lists: AtomicUsize,
    /// GetObject
    pub gets: AtomicUsize,
    /// Requests at the same time, at most.
    pub peak: AtomicUsize,
    now: AtomicUsize,
}

/// The server. It ends when dropped.
pub struct FastS3 {
    state: Arc<State>,
    server: Server<1>,
}

struct State {
    objects: Box<dyn Objects>,
    delay: Duration,
    counts: Counts,
    queues: Queues,
}

impl FastS3 {
    /// Serves these objects; every answer takes so long.
    pub fn start(objects: impl Objects, delay: Duration) -> Self {
        let state = Arc::new(State {
            objects: Box::new(objects),
            delay,
            counts: Counts::default(),
            queues: Queues::default(),
        });
        let served = state.clone();
        let server = Server::start([0], move |_, tcp| serve(served.clone(), tcp));
        Self { state, server }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.addresses[0])
    }

    /// SQS.
    pub fn queues(&self) -> &Queues {
        &self.state.queues
    }

    /// What was asked for so far.
    pub fn counts(&self) -> &Counts {
        &self.state.counts
    }
}

async fn serve(state: Arc<State>, tcp: TcpStream) {
    let service = service_fn(|request| answer(state.clone(), request));
    // An error is that the client went away.
    _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service)
        .await;
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let action = head
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    if let Some(action) = action.and_then(|target| target.strip_prefix("AmazonSQS.")) {
        // One that breaks off is no JSON.
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        return Ok(state
            .queues
            .answer("localhost", action, &body)
            .await
            .map(Full::new));
    }
    let request = Request::from_parts(head, ());
    let counts = &state.counts;
    counts
        .peak
        .fetch_max(counts.now.fetch_add(1, Relaxed) + 1, Relaxed);
    let uri = request.uri();
    let (_bucket, key) = uri.path()[1..]
        .split_once('/')
        .unwrap_or((&uri.path()[1..], ""));
    let response = if request.method() == Method::HEAD && key.is_empty() {
        Response::builder()
            .header("x-amz-bucket-region", REGION)
            .body(Full::default())
            .unwrap()
    } else if request.method() != Method::GET {
        error(StatusCode::NOT_IMPLEMENTED, "NotImplemented")
    } else if key.is_empty() {
        counts.lists.fetch_add(1, Relaxed);
        let page = list(
            &*state.objects,
            &query(uri.query().unwrap_or_default()),
            PAGE,
        );
        Response::new(Full::from(page))
    } else {
        counts.gets.fetch_add(1, Relaxed);
        let index = position(&*state.objects, key);
        if index < state.objects.count() && state.objects.key(index) == key {
            get(state.objects.body(index), request.headers())
        } else {
            error(StatusCode::NOT_FOUND, "NoSuchKey")
        }
    };
    if !state.delay.is_zero() {
        tokio::time::sleep(state.delay).await;
    }
    counts.now.fetch_sub(1, Relaxed);
    Ok(response)
}

fn error(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

pub(crate) fn query(query: &str) -> HashMap<&str, String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy().into()))
        .collect()
}

/// The first object whose key is not below.
pub(crate) fn position(objects: &dyn Objects, key: &str) -> usize {
    let (mut low, mut high) = (0, objects.count());
    while low < high {
        let middle = (low + high) / 2;
        if objects.key(middle).as_str() < key {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// An object, or the part of it that was asked for.
pub(crate) fn get(body: Bytes, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let range = headers
        .get(RANGE)
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'))
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok())));
    let response = Response::builder().header(ETAG, "\"1\"");
    let size = body.len();
    let response = match range {
        None => response.body(Full::new(body)),
        Some((first, _)) if first >= size => {
            return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
        }
        Some((first, last)) => {
            let last = last.unwrap_or(size).clamp(first, size - 1);
            response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))
                .body(Full::new(body.slice(first..=last)))
        }
    };
    response.unwrap()
}

/// A page of so many keys at most, as ListObjectsV2 gives it.
pub(crate) fn list(objects: &dyn Objects, query: &HashMap<&str, String>, page: usize) -> String {
    let asked = |name| query.get(name).map_or("", String::as_str);
    let (prefix, delimiter) = (asked("prefix"), asked("delimiter"));
    let most = asked("max-keys").parse().unwrap_or(page).min(page);
    // A token is where to go on.
    let mut index = asked("continuation-token").parse().unwrap_or_else(|_| {
        let after = match asked("start-after") {
            "" => 0,
            after => position(objects, &format!("{after}\0")),
        };
        position(objects, prefix).max(after)
    });
    let (mut found, mut count) = (String::new(), 0);
    let more = loop {
        let key = (index < objects.count()).then(|| objects.key(index));
        let Some((key, rest)) = key
            .as_ref()
            .and_then(|key| Some((key, key.strip_prefix(prefix)?)))
        else {
            break false;
        };
        if count == most {
            break true;
        }
        count += 1;
        match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => {
                let folder = &key[..prefix.len() + at + delimiter.len()];
                write!(
                    found,
                    "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
                )
                .unwrap();
                index = position(objects, &format!("{folder}\u{10ffff}"));
            }
            None => {
                let (size, class) = (objects.body(index).len(), objects.class(index));
                write!(
                    found,
                    "<Contents><Key>{key}</Key><LastModified>2024-03-06T00:00:00.000Z</LastModified>\
                     <ETag>&quot;1&quot;</ETag><Size>{size}</Size><StorageClass>{class}</StorageClass></Contents>"
                )
                .unwrap();
                index += 1;
            }
        }
    };
    let next = if more {
        format!("<NextContinuationToken>{index}</NextContinuationToken>")
    } else {
        String::new()
    };
    let encoding = match asked("encoding-type") {
        "" => String::new(),
        encoding => format!("<EncodingType>{encoding}</EncodingType>"),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><KeyCount>{count}</KeyCount>\
         <IsTruncated>{more}</IsTruncated>{next}{encoding}{found}</ListBucketResult>"
    )
}
