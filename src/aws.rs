//! Clients from the configuration, and the errors of AWS worded for users.

pub(crate) mod login;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as TlsProvider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::config;
use crate::location::presentable;
use crate::platform::user_path;
use crate::process::panic_text;

/// Where to ask for a bucket's region, one for each partition of AWS: a bucket's name is known in its own only.
const PARTITIONS: [&str; 3] = ["us-east-1", "cn-north-1", "us-gov-west-1"];

/// Why a listing failed.
pub(crate) type ListError = SdkError<ListObjectsV2Error, HttpResponse>;

/// Credentials and settings that all clients share.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    sdk: SdkConfig,
    /// What is asked in the place of AWS, if anything.
    endpoint: Option<String>,
    credentials: Credentials,
}

impl Access {
    /// Read configuration files and environment. Nothing is sent yet.
    pub async fn load(config: &config::Aws) -> Result<Self> {
        let set = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let http = http_client()?;
        let profile = set(&config.profile);
        let files = profile_files(config)?;

        let mut provider_config = ProviderConfig::default().with_http_client(http.clone());
        let mut profile_region = ProfileFileRegionProvider::builder()
            .configure(&provider_config)
            .profile_files(files.clone());
        if let Some(profile) = &profile {
            profile_region = profile_region.profile_name(profile);
        }
        let region = match set(&config.region) {
            Some(region) => Some(Region::new(region)),
            // Not the machine's own, which costs a laptop seconds: a bucket's region is found by itself.
            None => {
                RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                    .or_else(profile_region.build())
                    .region()
                    .await
            }
        };
        // Roles are assumed somewhere, and STS answers everywhere.
        provider_config = provider_config.with_region(Some(
            region.clone().unwrap_or(Region::from_static(PARTITIONS[0])),
        ));

        let mut from_profile = ProfileFileCredentialsProvider::builder()
            .configure(&provider_config)
            .profile_files(files.clone());
        if let Some(profile) = &profile {
            from_profile = from_profile.profile_name(profile);
        }
        let explicit = profile.is_some()
            || set(&config.credentials).is_some()
            || set(&config.config).is_some();
        let all = || {
            DefaultCredentialsChain::builder()
                .configure(provider_config.clone())
                .build()
        };
        let found = match (&profile, explicit) {
            // A profile that was asked for is used or fails, as with the AWS CLI's --profile.
            (Some(_), _) => SharedCredentialsProvider::new(from_profile.build()),
            (None, true) => SharedCredentialsProvider::new(
                CredentialsProviderChain::first_try("Profile", from_profile.build())
                    .or_else("Default", all().await),
            ),
            (None, false) => SharedCredentialsProvider::new(all().await),
        };
        let described = describe(&profile, config);
        let mut credentials = Credentials {
            provider: found,
            state: Arc::new(Mutex::new(State {
                who: described,
                failure: None,
            })),
        };

        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .profile_files(files)
            .region(region)
            // Objects carry no checksum that gzip doesn't, and other stores don't know them.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(4)
                    .with_initial_backoff(Duration::from_millis(200)),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .read_timeout(Duration::from_secs(20))
                    .build(),
            )
            .credentials_provider(credentials.clone());
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        let endpoint = set(&config.endpoint);
        let mut sdk = loader.load().await;
        if let Some(role) = set(&config.role_arn) {
            let who = format!("the role {role} assumed with {}", credentials.who());
            let mut assume = AssumeRoleProvider::builder(role).session_name("cloudtrail-plugin");
            if let Some(id) = set(&config.external_id) {
                assume = assume.external_id(id);
            }
            if sdk.region().is_none() {
                assume = assume.region(Region::from_static(PARTITIONS[0]));
            }
            let assumed = assume
                .configure(&sdk)
                .build_from_provider(credentials.clone())
                .await;
            credentials = Credentials {
                provider: SharedCredentialsProvider::new(assumed),
                state: Arc::new(Mutex::new(State { who, failure: None })),
            };
            sdk = sdk
                .into_builder()
                .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
                .build();
        }
        Ok(Self {
            sdk,
            endpoint,
            credentials,
        })
    }

    /// The region of the configuration, if any.
    pub fn region(&self) -> Option<String> {
        self.sdk.region().map(ToString::to_string)
    }

    /// What users call the credentials in use.
    pub fn who(&self) -> String {
        self.credentials.who()
    }

    /// Could no credentials be had when they were last asked for?
    pub fn has_no_credentials(&self) -> bool {
        self.credentials.failure().is_some()
    }

    /// A client of S3 for a region.
    pub fn s3(&self, region: &str) -> aws_sdk_s3::Client {
        let mut builder = aws_sdk_s3::config::Builder::from(&self.sdk)
            .region(Region::new(region.to_owned()))
            // An access point's ARN tells its region, whatever is configured.
            .use_arn_region(true);
        if let Some(endpoint) = &self.endpoint {
            // Such stores seldom have a name for each bucket.
            builder = builder.endpoint_url(endpoint).force_path_style(true);
        }
        aws_sdk_s3::Client::from_conf(builder.build())
    }

    /// A client of SQS for a region; `endpoint` is where the queue is, where its own URL says so.
    pub fn sqs(&self, region: &str, endpoint: Option<&str>) -> aws_sdk_sqs::Client {
        let mut builder =
            aws_sdk_sqs::config::Builder::from(&self.sdk).region(Region::new(region.to_owned()));
        if let Some(endpoint) = endpoint.or(self.service_endpoint()) {
            builder = builder.endpoint_url(endpoint);
        }
        aws_sdk_sqs::Client::from_conf(builder.build())
    }

    /// A client of CloudTrail for a region.
    pub fn cloudtrail(&self, region: &str) -> aws_sdk_cloudtrail::Client {
        let mut builder = aws_sdk_cloudtrail::config::Builder::from(&self.sdk)
            .region(Region::new(region.to_owned()));
        if let Some(endpoint) = self.service_endpoint() {
            builder = builder.endpoint_url(endpoint);
        }
        aws_sdk_cloudtrail::Client::from_conf(builder.build())
    }

    /// The public keys that digests of a region were signed with in a time, by their fingerprints, in DER.
    pub async fn public_keys(
        &self,
        region: &str,
        from: jiff::Timestamp,
        to: jiff::Timestamp,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let client = self.cloudtrail(region);
        let time = |time: jiff::Timestamp| DateTime::from_secs(time.as_second());
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let page = client
                .list_public_keys()
                .start_time(time(from))
                .end_time(time(to))
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| self.explain(&error, &format!("{LISTING_KEYS} of {region}")))?;
            for key in page.public_key_list.unwrap_or_default() {
                if let (Some(fingerprint), Some(value)) = (key.fingerprint, key.value) {
                    keys.push((fingerprint, value.into_inner()));
                }
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    /// What is asked in the place of AWS by other services than S3: an endpoint of S3 in one's own network is none of
    /// theirs.
    fn service_endpoint(&self) -> Option<&str> {
        self.endpoint
            .as_deref()
            .filter(|url| !(url.contains(".s3.") && url.contains(".amazonaws.com")))
    }

    /// The region for a queue: that of the configuration or else of the machine, if it is AWS's.
    pub async fn region_or_machine(&self) -> Option<String> {
        match self.region() {
            None if self.endpoint.is_some() => Some(PARTITIONS[0].to_owned()),
            None => {
                let machine = ImdsRegionProvider::builder()
                    .configure(&ProviderConfig::default().with_http_client(self.sdk.http_client()?))
                    .build();
                machine.region().await.map(|region| region.to_string())
            }
            region => region,
        }
    }

    /// The region of a bucket, by asking each partition. None where S3 doesn't tell, as of buckets that don't exist.
    pub async fn bucket_region(&self, bucket: &str) -> Result<Option<String>> {
        if self.endpoint.is_some() {
            return Ok(None);
        }
        for partition in PARTITIONS {
            match self.s3(partition).head_bucket().bucket(bucket).send().await {
                Ok(output) => {
                    return Ok(Some(output.bucket_region().unwrap_or(partition).to_owned()));
                }
                Err(error) => match told_region(&error) {
                    Some(region) => return Ok(Some(region)),
                    None if status(&error).is_some() => {}
                    None => {
                        return Err(
                            self.explain(&error, &format!("finding the region of s3://{bucket}"))
                        );
                    }
                },
            }
        }
        Ok(None)
    }

    /// An error of AWS in the words of its users: what was being done, with which credentials, and what to do about it.
    pub fn explain<E>(&self, error: &SdkError<E, HttpResponse>, doing: &str) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let who = self.credentials.who();
        if let Some(failure) = self.credentials.failure() {
            return anyhow!("{doing}: {failure}");
        }
        let message = message(error);
        let said = |advice: &str| {
            anyhow!(
                "{doing} with {who}: {message}{}{advice}",
                if advice.is_empty() { "" } else { ": " }
            )
        };
        let code = code(error);
        let to = self.endpoint.as_ref().map_or_else(String::new, |endpoint| {
            format!(" (aws.endpoint is {})", presentable(endpoint))
        });
        let of_history = doing.starts_with(LOOKING_UP);
        let service = if of_history || doing.starts_with(LISTING_KEYS) {
            "CloudTrail"
        } else if doing.contains("queue") {
            "SQS"
        } else {
            "S3"
        };
        match code.as_str() {
            // An answer without an error that can't be understood.
            "200" => anyhow!("{doing}: the answer is not one of {service}{to}"),
            "NoSuchBucket" => anyhow!(
                "{doing}: there is no such bucket (NoSuchBucket): check its name{}",
                match &self.endpoint {
                    Some(endpoint) => format!(" and aws.endpoint, {}", presentable(endpoint)),
                    None => String::new(),
                }
            ),
            "NoSuchKey" => {
                anyhow!("{doing}: it is gone (NoSuchKey): it has been deleted since it was named")
            }
            "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => said(
                "there is no such queue there, or it is not for these credentials: check its name and region (aws.region) and, where another account owns it, sqsOwnerAccount",
            ),
            "InvalidObjectState" => anyhow!(
                "{doing}: it is archived (InvalidObjectState): restore it from its storage class first"
            ),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => said(
                "the credentials have expired: log in again (aws sso login, aws login) or renew them",
            ),
            _ if of_history && is_unknown_there(error) => said(
                "the credentials are not valid there: check the profile, and that the region is enabled for the account and of the credentials' partition",
            ),
            "InvalidAccessKeyId"
            | "InvalidToken"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException" => said(
                "the credentials are not valid there: check the profile, that they are of the bucket's partition or store, and that its region is enabled for the account",
            ),
            "InvalidSignatureException"
                if ["expired", "current"]
                    .iter()
                    .any(|word| message.contains(word)) =>
            {
                said("set this machine's clock")
            }
            "SignatureDoesNotMatch" | "InvalidSignatureException" => {
                said("the secret access key does not belong to the access key ID")
            }
            "RequestTimeTooSkewed" => said("set this machine's clock"),
            "AccessDenied"
            | "AccessDeniedException"
            | "AllAccessDisabled"
            | "403"
            | "KmsAccessDenied"
            | "KMS.AccessDeniedException" => said(&denied(doing, &message)),
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "301" => said("the bucket is in another region: set aws.region"),
            "SlowDown" | "ServiceUnavailable" | "InternalError" | "InternalFailure" | "503"
            | "500" => said(&format!(
                "{service} could not serve it after several tries: try again later"
            )),
            "" => match error {
                SdkError::ResponseError(_) => {
                    anyhow!("{doing}: the answer is not one of {service}{to}: {message}")
                }
                SdkError::TimeoutError(_) => {
                    anyhow!("{doing}: no answer in time{to}: {message}")
                }
                // Nothing was sent, or the answer makes no sense.
                SdkError::ConstructionFailure(_) => {
                    anyhow!("{doing}{to}: {}", error.source().map_or(message, chain))
                }
                _ if of_history => {
                    anyhow!(
                        "{doing}: can't reach CloudTrail there: check the region's name{to}: {message}"
                    )
                }
                _ => anyhow!("{doing}: can't reach it{to}: {message}"),
            },
            _ => said(""),
        }
    }
}

/// What is done with queues, and the permission that it takes.
const QUEUE_REQUESTS: [(&str, &str); 5] = [
    (FINDING, "sqs:GetQueueUrl"),
    (ASKING, "sqs:GetQueueAttributes"),
    (RECEIVING, "sqs:ReceiveMessage"),
    (DELETING, "sqs:DeleteMessage"),
    (KEEPING, "sqs:ChangeMessageVisibility"),
];
/// See [`QUEUE_REQUESTS`].
pub(crate) const FINDING: &str = "finding the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const ASKING: &str = "asking about the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const RECEIVING: &str = "receiving from the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const DELETING: &str = "deleting messages of the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const KEEPING: &str = "keeping messages of the queue from others";

/// What is done with the event history of a region.
pub(crate) const LOOKING_UP: &str = "looking up the event history of";
/// What is done to get the keys of digests.
const LISTING_KEYS: &str = "asking CloudTrail for the public keys";

/// The permission that is missing, as far as can be told.
fn denied(doing: &str, message: &str) -> String {
    let lower = message.to_ascii_lowercase();
    if ["kms:", "kms key", "kms.access", "kmsaccess"]
        .iter()
        .any(|word| lower.contains(word))
    {
        let what = if doing.contains("queue") {
            "queue is"
        } else {
            "log files are"
        };
        return format!("the {what} encrypted: these credentials need kms:Decrypt on the key");
    }
    if doing.starts_with(LISTING_KEYS) {
        return "these credentials need cloudtrail:ListPublicKeys, or the keys in a file (validateKeys)"
            .to_owned();
    }
    let of_queue = QUEUE_REQUESTS
        .iter()
        .find(|(request, _)| doing.starts_with(request));
    if let Some((_, action)) = of_queue {
        return format!("these credentials need {action} on the queue");
    }
    if doing.starts_with(LOOKING_UP) {
        return "these credentials need cloudtrail:LookupEvents".to_owned();
    }
    let permission = if doing.starts_with("listing") {
        "s3:ListBucket on the bucket"
    } else {
        "s3:GetObject on its objects"
    };
    let missing = if doing.starts_with("listing") {
        ""
    } else {
        " (S3 says the same of an object that is gone, where s3:ListBucket is missing)"
    };
    format!("these credentials need {permission}{missing}")
}

/// A provider that remembers how to call what it found.
#[derive(Debug, Clone)]
struct Credentials {
    provider: SharedCredentialsProvider,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    who: String,
    failure: Option<String>,
}

impl Credentials {
    fn who(&self) -> String {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .who
            .clone()
    }

    fn failure(&self) -> Option<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failure
            .clone()
    }

    async fn find(&self) -> provider::Result {
        let found = self.provider.provide_credentials().await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure = None;
        match &found {
            Ok(credentials) => {
                if let Some(source) = source_name(credentials) {
                    state.who = source.to_owned();
                }
            }
            Err(error) => {
                let why = chain(error);
                state.failure = Some(
                    if matches!(
                        error,
                        provider::error::CredentialsError::CredentialsNotLoaded(_)
                    ) || why.contains("IMDS")
                    {
                        format!(
                            "no AWS credentials found in {}: choose a profile (aws.profile) or a credentials file (aws.credentials), \
                         or log in as for the AWS CLI (aws configure, aws sso login, aws login) ({why})",
                            state.who
                        )
                    } else {
                        // The remedy first: hosts cut long errors.
                        let remedy = renewal(&why, &state.who);
                        format!("no AWS credentials from {}{remedy}: {why}", state.who)
                    },
                );
            }
        }
        found
    }
}

impl ProvideCredentials for Credentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.find())
    }
}

/// The command that begins a session which has ended, or was never there.
fn renewal(why: &str, who: &str) -> String {
    let command = if why.contains("SSO") {
        "aws sso login"
    } else if why.contains("/login/cache/") || why.contains("login session") {
        "aws login"
    } else {
        return String::new();
    };
    let profile = who.split('"').nth(1).unwrap_or("default");
    format!(", log in again with `{command} --profile {profile}`")
}

/// What users call the place that credentials come from, where the configuration doesn't say it better.
fn source_name(credentials: &aws_credential_types::Credentials) -> Option<&'static str> {
    // The only place where the SDK tells; secrets are not in it.
    let shown = format!("{credentials:?}");
    let name = shown.split("provider_name: \"").nth(1)?.split('"').next()?;
    match name {
        "EnvironmentVariable" => Some("the credentials of the environment (AWS_ACCESS_KEY_ID)"),
        "EcsContainer" => Some("the credentials of the container"),
        "IMDSv2" => Some("the role of the EC2 instance"),
        "WebIdentityToken" => Some("the role of the web identity token"),
        // A profile's, whatever it says.
        _ => None,
    }
}

/// How to call the credentials that the configuration asks for.
fn describe(profile: &Option<String>, config: &config::Aws) -> String {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = profile
        .clone()
        .or_else(|| env("AWS_PROFILE"))
        .unwrap_or_else(|| "default".to_owned());
    let files: Vec<&str> = [config.credentials.trim(), config.config.trim()]
        .into_iter()
        .filter(|file| !file.is_empty())
        .collect();
    match files.is_empty() {
        true => format!("the profile {name:?}"),
        false => format!("the profile {name:?} of {}", files.join(" and ")),
    }
}

/// The files that the configuration names, the usual ones in the place of those that it doesn't.
fn profile_files(config: &config::Aws) -> Result<EnvConfigFiles> {
    let mut files = EnvConfigFiles::builder();
    for (kind, key, path) in [
        (
            EnvConfigFileKind::Config,
            "aws.config",
            config.config.trim(),
        ),
        (
            EnvConfigFileKind::Credentials,
            "aws.credentials",
            config.credentials.trim(),
        ),
    ] {
        if path.is_empty() {
            files = match kind {
                EnvConfigFileKind::Config => files.include_default_config_file(true),
                _ => files.include_default_credentials_file(true),
            };
        } else {
            let path = user_path(path);
            std::fs::File::open(&path)
                .with_context(|| format!("{key}: {} can't be read", path.display()))?;
            files = files.with_file(kind, path);
        }
    }
    Ok(files.build())
}

/// One pool of connections for all clients: TLS with the system's roots or those of AWS_CA_BUNDLE, through the
/// proxies of the environment, as the AWS CLI does.
fn http_client() -> Result<SharedHttpClient> {
    let bundle = match std::env::var("AWS_CA_BUNDLE")
        .ok()
        .filter(|path| !path.is_empty())
    {
        Some(path) => {
            let certificates = std::fs::read(&path)
                .with_context(|| format!("AWS_CA_BUNDLE: {path} can't be read"))?;
            anyhow::ensure!(
                memchr::memmem::find(&certificates, b"-----BEGIN CERTIFICATE-----").is_some(),
                "AWS_CA_BUNDLE: {path} holds no certificates in PEM form"
            );
            let trust = TrustStore::empty()
                .with_native_roots(false)
                .with_pem_certificate(certificates);
            let tls = TlsContext::builder()
                .with_trust_store(trust)
                .build()
                .context("AWS_CA_BUNDLE")?;
            // The SDK panics over certificates that can't be parsed: let it do that here.
            catch_unwind(AssertUnwindSafe(|| connector(None, None, Some(&tls)))).map_err(
                |panic| {
                    anyhow!(
                        "AWS_CA_BUNDLE: {path} is no file of certificates in PEM form: {}",
                        panic_text(&*panic)
                    )
                },
            )?;
            Some(tls)
        }
        None => None,
    };
    // Asked for with every request; timeouts tell them apart.
    type Key = (Option<Duration>, Option<Duration>);
    let connectors: Mutex<HashMap<Key, SharedHttpConnector>> = Mutex::default();
    Ok(http_client_fn(move |settings, _| {
        let key = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = connectors.lock().unwrap_or_else(PoisonError::into_inner);
        connectors
            .entry(key)
            .or_insert_with(|| connector(key.0, key.1, bundle.as_ref()))
            .clone()
    }))
}

fn connector(
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    tls: Option<&TlsContext>,
) -> SharedHttpConnector {
    use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
    let mut settings = HttpConnectorSettings::builder();
    settings.set_connect_timeout(connect_timeout);
    settings.set_read_timeout(read_timeout);
    let mut builder = Connector::builder()
        .connector_settings(settings.build())
        .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(TlsProvider::Rustls(CryptoMode::Ring));
    if let Some(tls) = tls {
        builder = builder.tls_context(tls.clone());
    }
    SharedHttpConnector::new(builder.build())
}

/// The HTTP status of an answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// The error's code, or its status where the answer had no body; empty where there was no answer of the service.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) => code.to_owned(),
            None => service.raw().status().as_u16().to_string(),
        },
        _ => String::new(),
    }
}

/// What the service said, or what went wrong on the way.
fn message<E: ProvideErrorMetadata + StdError + 'static>(
    error: &SdkError<E, HttpResponse>,
) -> String {
    match error {
        SdkError::ServiceError(service) => match (service.err().code(), service.err().message()) {
            (Some(code), Some(message)) if !message.is_empty() => format!("{message} ({code})"),
            (Some(code), _) => code.to_owned(),
            _ => format!("HTTP status {}", service.raw().status().as_u16()),
        },
        _ => chain(error),
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// The region that S3 says a bucket is in, in an answer from another one.
pub(crate) fn told_region<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let response = error.raw_response()?;
    if let Some(region) = response.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    let region = body.split_once("<Region>")?.1.split_once("</Region>")?.0;
    (!region.is_empty()).then(|| region.to_owned())
}

/// Have the credentials expired?
pub(crate) fn has_expired<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error).as_str(),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired"
    )
}

/// Is a permission missing?
pub(crate) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error).as_str(),
        "AccessDenied" | "AccessDeniedException" | "403"
    )
}

/// Are the credentials good elsewhere at best, as those of an account are where it has not enabled the region?
pub(crate) fn is_unknown_there<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error).as_str(),
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidToken"
            | "AuthFailure"
            | "OptInRequired"
    )
}

/// Are the credentials the reason, whatever was asked for?
pub(crate) fn is_about_credentials<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    has_expired(error)
        || matches!(
            code(error).as_str(),
            "InvalidAccessKeyId"
                | "InvalidToken"
                | "InvalidClientTokenId"
                | "UnrecognizedClientException"
                | "SignatureDoesNotMatch"
        )
}

/// Is it worth another try? What S3 itself fails at, and what goes wrong on the way.
pub(crate) fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(service) => {
            matches!(service.raw().status().as_u16(), 500..=599 | 429 | 408)
                || matches!(
                    service.err().code(),
                    Some(
                        "RequestTimeout"
                            | "SlowDown"
                            | "TemporaryRedirect"
                            | "Throttling"
                            | "ThrottlingException"
                            | "RequestThrottled"
                            | "KmsThrottled"
                            | "KMS.ThrottlingException"
                            | "OverLimit"
                            | "RequestTimeTooSkewed"
                    )
                )
        }
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => false,
    }
}
