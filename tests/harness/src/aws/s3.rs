//! S3, read only: s3s-fs behind s3s, and before it what makes it behave like AWS.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use http::{Extensions, HeaderMap, HeaderValue, Method, Response, Uri};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    auth::{S3Auth, SecretKey},
    dto::{
        ETag, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput,
        HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
        ListObjectsV2Output,
    },
    host::{S3Host, VirtualHost},
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};

use super::{
    Op, Request, State, World,
    request::parse_host,
    server::{Body, full},
    sts::Sts,
    world::partition,
};

/// S3 and STS over a folder that has a folder for each bucket.
pub fn service(folder: &Path, world: &Arc<World>) -> S3Service {
    let mut s3 = S3ServiceBuilder::new(Store {
        files: s3s_fs::FileSystem::new(folder).unwrap(),
        root: folder.to_owned(),
        world: world.clone(),
    });
    s3.set_auth(Keys(world.clone()));
    s3.set_host(Hosts);
    s3.set_route(Sts(world.clone()));
    s3.build()
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
        let raw = self.world.raw.load(Ordering::Relaxed);
        let folder = self.root.join(&input.bucket);
        if !folder.is_dir() {
            return Err(worded(s3_error!(NoSuchBucket)));
        }
        let output = crate::list::page(&folder, input, page as usize, raw);
        let mut output = output.map_err(S3Error::internal_error)?;
        if self.world.etags.load(Ordering::Relaxed) {
            let bucket = input.bucket.clone();
            for object in output.contents.iter_mut().flatten() {
                let key = object.key.clone().unwrap_or_default();
                object.e_tag = self.etag(&bucket, &key).await?;
            }
        }
        Ok(S3Response::new(output))
    }
}

impl Store {
    /// The ETag of an object whose key is percent-encoded.
    async fn etag(&self, bucket: &str, key: &str) -> S3Result<Option<ETag>> {
        let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
        let input = GetObjectInput::builder().bucket(bucket.to_owned()).key(key);
        let request = S3Request {
            input: input.build().map_err(S3Error::internal_error)?,
            method: Method::GET,
            uri: Uri::default(),
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        };
        Ok(self.files.get_object(request).await?.output.e_tag)
    }
}

/// An error as S3 sends it. `HEAD` has no body.
pub fn error(request: &Request, status: u16, code: &str, message: &str) -> Response<Body> {
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

/// What S3 refuses before it looks at the signature.
fn refuse(world: &World, request: &Request) -> Option<Response<Body>> {
    let is_s3 = !matches!(
        request.op,
        Op::AssumeRole
            | Op::AssumeRoleWithWebIdentity
            | Op::SsoToken
            | Op::Sqs
            | Op::CloudTrail
            | Op::Logs
            | Op::Other
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
        return Some(error(request, 404, "NoSuchBucket", message));
    }
    let Some(access_key) = &request.access_key else {
        return home(error(request, 403, "AccessDenied", "Access Denied"));
    };
    let known = world.key_of(request).filter(|known| {
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
        return Some(error(request, 400, "InvalidToken", message));
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

pub async fn answer(
    state: &State,
    request: http::Request<s3s::Body>,
    seen: &Request,
) -> io::Result<Response<Body>> {
    if let Some(refusal) = refuse(&state.world, seen) {
        return Ok(refusal);
    }
    let response = state.s3.call(request).await.map_err(io::Error::other)?;
    let mut response = response.map(|body| body.map_err(io::Error::other).boxed_unsync());
    if seen.op == Op::HeadBucket && response.status().is_success() {
        let here = HeaderValue::from_str(&state.world.region(&seen.bucket)).unwrap();
        response.headers_mut().insert("x-amz-bucket-region", here);
    }
    Ok(response)
}
