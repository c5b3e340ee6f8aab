//! Clients from the settings, the AWS CLI's files and the environment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::chain::{Base, Chain, Role};
use super::credentials::{Credentials, Missing, describe};
use super::endpoint::Endpoint;
use super::files::{Files, variable};
use super::http::{CONNECT_TIMEOUT, Http, READ_TIMEOUT};
use super::operation::Service;
use super::providers::{self, Services};
use crate::clock::Clock;
use crate::settings;
use crate::settings::location::is_s3_of_aws;
use crate::settings::partitions::Partition;

/// The region in which roles are assumed, and to which other requests go, if none is configured.
pub(super) const ANYWHERE: &str = "us-east-1";

/// How often the SDK sends a request, at most.
pub(super) const ATTEMPTS: u32 = 4;

/// How long the SDK waits before it sends a request for the second time, at most.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(200);

/// How the SDK sends a request again, so often in all.
pub(super) fn retries(attempts: u32) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(FIRST_WAIT)
}

/// What a role's session is called where nothing says so.
pub(super) const SESSION_NAME: &str = "cloudtrail-plugin";

/// Credentials and settings that all clients share.
#[derive(Debug)]
pub(crate) struct Access {
    sdk: SdkConfig,
    endpoints: Endpoints,
    s3: S3Style,
    credentials: Credentials,
    http: Http,
    clock: Clock,
}

/// What is asked in the place of AWS, by service.
#[derive(Debug)]
struct Endpoints {
    s3: Option<Endpoint>,
    sqs: Option<Endpoint>,
    cloudtrail: Option<Endpoint>,
    logs: Option<Endpoint>,
}

/// How buckets are named in requests.
#[derive(Debug)]
struct S3Style {
    /// In the path, not in the host's name.
    in_path: bool,
    uses_dual_stack: bool,
    /// The store has refused that.
    is_turned: AtomicBool,
}

impl TimeSource for Clock {
    fn now(&self) -> std::time::SystemTime {
        Clock::now(*self).into()
    }
}

impl Access {
    /// Take what files and environment say. Nothing is sent yet.
    pub async fn load(
        settings: &settings::Aws,
        files: &Files,
        http: &Http,
        clock: Clock,
    ) -> Result<Self> {
        let region = configured_region(settings, files)?;
        let sdk = sdk_config(files, region, http, clock);
        let endpoints = Endpoints::find(settings, files)?;
        let credentials = find_credentials(settings, files, &sdk, http, clock).await?;
        let provider = SharedCredentialsProvider::new(credentials.clone());
        Ok(Self {
            sdk: sdk.into_builder().credentials_provider(provider).build(),
            s3: S3Style::find(files, endpoints.s3.is_some()),
            endpoints,
            credentials,
            http: http.clone(),
            clock,
        })
    }

    /// It takes the place of another one.
    pub(super) fn follow(&self, before: &Self) {
        self.credentials.follow(&before.credentials);
    }

    /// The region of the configuration, if any.
    pub fn region(&self) -> Option<String> {
        self.sdk.region().map(ToString::to_string)
    }

    /// What sends single requests.
    pub(super) fn connector(&self) -> SharedHttpConnector {
        self.http.connector()
    }

    /// What gives the credentials.
    pub(super) fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// The time of day.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// What users call the credentials in use.
    pub fn who(&self) -> String {
        self.credentials.who()
    }

    /// Why there were no credentials at the last attempt to get some.
    pub(super) fn missing_credentials(&self) -> Option<Missing> {
        self.credentials.missing()
    }

    /// What is asked in the place of AWS by a service, if anything.
    pub(super) fn endpoint(&self, service: Service) -> Option<&Endpoint> {
        match service {
            Service::S3 => &self.endpoints.s3,
            Service::Sqs => &self.endpoints.sqs,
            Service::CloudTrail => &self.endpoints.cloudtrail,
            Service::Logs => &self.endpoints.logs,
        }
        .as_ref()
    }

    /// Is S3 that of others than AWS?
    pub(super) fn asks_a_store(&self) -> bool {
        let endpoint = self.endpoints.s3.as_ref();
        endpoint.is_some_and(|endpoint| !is_s3_of_aws(&endpoint.url))
    }

    /// A client of S3 for a region.
    pub fn s3(&self, region: &str) -> aws_sdk_s3::Client {
        let mut builder = aws_sdk_s3::config::Builder::from(&self.sdk)
            .region(Region::new(region.to_owned()))
            .force_path_style(self.s3.in_path != self.is_turned())
            // An access point's ARN tells its region, whatever is configured.
            .use_arn_region(true);
        match &self.endpoints.s3 {
            Some(endpoint) => {
                builder = builder
                    .endpoint_url(&endpoint.url)
                    .use_fips(false)
                    .use_dual_stack(false);
            }
            None if self.s3.uses_dual_stack => builder = builder.use_dual_stack(true),
            None => {}
        }
        aws_sdk_s3::Client::from_conf(builder.build())
    }

    /// Name buckets the other way from now on. False where AWS is asked.
    pub(super) fn turn_style(&self) -> bool {
        let is_store = self.endpoints.s3.is_some();
        self.s3.is_turned.store(is_store, Ordering::Relaxed);
        is_store
    }

    /// Are buckets named the other way than the settings say?
    pub(super) fn is_turned(&self) -> bool {
        self.s3.is_turned.load(Ordering::Relaxed)
    }

    /// A client of SQS for a region; `endpoint` is where the queue is, where its own URL says so.
    pub fn sqs(&self, region: &str, endpoint: Option<&str>) -> aws_sdk_sqs::Client {
        let mut builder =
            aws_sdk_sqs::config::Builder::from(&self.sdk).region(Region::new(region.to_owned()));
        let configured = self.endpoints.sqs.as_ref();
        if let Some(url) = endpoint.or(configured.map(|endpoint| endpoint.url.as_str())) {
            builder = builder
                .endpoint_url(url)
                .use_fips(false)
                .use_dual_stack(false);
        }
        aws_sdk_sqs::Client::from_conf(builder.build())
    }

    /// A client of CloudTrail for a region.
    pub fn cloudtrail(&self, region: &str) -> aws_sdk_cloudtrail::Client {
        let mut builder = aws_sdk_cloudtrail::config::Builder::from(&self.sdk)
            .region(Region::new(region.to_owned()));
        if let Some(endpoint) = &self.endpoints.cloudtrail {
            builder = builder
                .endpoint_url(&endpoint.url)
                .use_fips(false)
                .use_dual_stack(false);
        }
        aws_sdk_cloudtrail::Client::from_conf(builder.build())
    }

    /// A client of CloudWatch Logs for a region.
    pub fn logs(&self, region: &str) -> aws_sdk_cloudwatchlogs::Client {
        let mut builder = aws_sdk_cloudwatchlogs::config::Builder::from(&self.sdk)
            .region(Region::new(region.to_owned()));
        if let Some(endpoint) = &self.endpoints.logs {
            builder = builder
                .endpoint_url(&endpoint.url)
                .use_fips(false)
                .use_dual_stack(false);
        }
        aws_sdk_cloudwatchlogs::Client::from_conf(builder.build())
    }

    /// The region of log groups that do not tell their own.
    pub async fn region_of_logs(&self) -> Option<String> {
        self.region_or_machine(Service::Logs).await
    }

    /// The region for what does not tell its own: that of the configuration or else of the machine, if it is AWS's.
    pub(super) async fn region_or_machine(&self, service: Service) -> Option<String> {
        match self.region() {
            None if self.endpoint(service).is_some() => Some(ANYWHERE.to_owned()),
            None => {
                let machine = ImdsRegionProvider::builder()
                    .configure(&ProviderConfig::default().with_http_client(self.sdk.http_client()?))
                    .build();
                machine.region().await.map(|region| region.to_string())
            }
            region => region,
        }
    }
}

impl Endpoints {
    fn find(settings: &settings::Aws, files: &Files) -> Result<Self> {
        let Some(url) = &settings.endpoint else {
            return Ok(Self {
                s3: Endpoint::configured(files, "s3")?,
                sqs: Endpoint::configured(files, "sqs")?,
                cloudtrail: Endpoint::configured(files, "cloudtrail")?,
                logs: Endpoint::configured(files, "cloudwatch_logs")?,
            });
        };
        let endpoint = Endpoint::new(url, "aws.endpoint");
        // An endpoint of S3 in one's own network is not one of other services.
        let of_others = (!is_s3_of_aws(url)).then(|| endpoint.clone());
        Ok(Self {
            s3: Some(endpoint),
            sqs: of_others.clone(),
            cloudtrail: of_others.clone(),
            logs: of_others,
        })
    }
}

impl S3Style {
    fn find(files: &Files, has_endpoint: bool) -> Self {
        let style = files.of_s3("addressing_style");
        Self {
            // Other stores seldom have a name for each bucket.
            in_path: match has_endpoint {
                true => style != Some("virtual"),
                false => style == Some("path"),
            },
            uses_dual_stack: files
                .of_s3("use_dualstack_endpoint")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            is_turned: AtomicBool::new(false),
        }
    }
}

/// How long credentials may take. The SDK alone would give them 40 seconds.
const LONGEST_LOAD: Duration = Duration::from_secs(10 * 60);

/// What all clients share. Of the SDK's own reading of files and environment nothing is used, for it differs from the
/// CLI's.
fn sdk_config(files: &Files, region: Option<Region>, http: &Http, clock: Clock) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http.client())
        .time_source(SharedTimeSource::new(clock))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .region(region)
        // Who waits for credentials decides for how long: a process may ask its user in a browser.
        .identity_cache(IdentityCache::lazy().load_timeout(LONGEST_LOAD).build())
        .use_fips(files.is_on("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"))
        .use_dual_stack(files.is_on("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"))
        // Objects carry no checksum that gzip doesn't, and other stores don't know them.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(retries(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .build(),
        )
        .build()
}

/// The credentials that the settings, the files and the environment lead to. They are asked for when they are needed.
async fn find_credentials(
    settings: &settings::Aws,
    files: &Files,
    sdk: &SdkConfig,
    http: &Http,
    clock: Clock,
) -> Result<Credentials> {
    // A profile or file that was asked for comes before what the environment holds.
    let profile_first = [&settings.profile, &settings.credentials, &settings.config]
        .into_iter()
        .any(Option::is_some);
    let chain = Chain::find(files, profile_first)?;
    // Roles are assumed in any region, since STS answers in all regions of a partition.
    let partition = chain.role().or(settings.role_arn.as_deref());
    let partition = partition.and_then(Partition::of_arn);
    let anywhere = partition.map_or(ANYWHERE, |partition| partition.regions[0]);
    let region = sdk
        .region()
        .cloned()
        .unwrap_or(Region::from_static(anywhere));
    let at = |service: &str| -> Result<SdkConfig> {
        let endpoint = Endpoint::configured(files, service)?;
        let at = sdk.to_builder().region(region.clone());
        Ok(match endpoint {
            // The SDK takes one or the other, and the endpoint is the nearer.
            Some(endpoint) => at
                .endpoint_url(endpoint.url)
                .use_fips(false)
                .use_dual_stack(false)
                .build(),
            None => at.build(),
        })
    };
    let services = Services {
        sts: at("sts")?,
        sso: at("sso")?,
        sso_oidc: at("sso_oidc")?,
        signin: at("signin")?,
        direct: match chain.base {
            Base::Container => Http::direct(files)?,
            _ => http.clone(),
        },
    };
    let config = ProviderConfig::default()
        .with_http_client(http.client())
        .with_time_source(SharedTimeSource::new(clock))
        .with_sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .with_region(Some(region.clone()));
    let is_configured = chain.base != Base::Instance;
    let mut found = providers::of_base(chain.base, &config, &services, files);
    for role in chain.roles {
        found = assume(&role, &services.sts, found).await;
    }
    let who = describe(settings, files);
    let credentials = Credentials::new(found, who, is_configured, clock);
    let Some(arn) = &settings.role_arn else {
        return Ok(credentials);
    };
    let who = format!("the role {arn} assumed with {}", credentials.who());
    let role = Role {
        arn: arn.clone(),
        external_id: settings.external_id.clone(),
        session_name: None,
        seconds: None,
    };
    let with = SharedCredentialsProvider::new(credentials);
    let found = assume(&role, &services.sts, with).await;
    Ok(Credentials::new(found, who, is_configured, clock))
}

/// The credentials of a role that is assumed with others.
async fn assume(
    role: &Role,
    sts: &SdkConfig,
    with: SharedCredentialsProvider,
) -> SharedCredentialsProvider {
    let session = role.session_name.as_deref().unwrap_or(SESSION_NAME);
    let mut assume = AssumeRoleProvider::builder(&role.arn).session_name(session);
    if let Some(id) = &role.external_id {
        assume = assume.external_id(id);
    }
    if let Some(seconds) = role.seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        assume = assume.session_length(Duration::from_secs(seconds));
    }
    let provider = assume.configure(sts).build_from_provider(with).await;
    SharedCredentialsProvider::new(provider)
}

/// The region of the settings, the environment or the profile; not the machine's own, which costs a laptop seconds: a
/// bucket's region is found by itself.
fn configured_region(settings: &settings::Aws, files: &Files) -> Result<Option<Region>> {
    if let Some(region) = &settings.region {
        return Ok(Some(Region::new(region.clone())));
    }
    let of_environment = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| Some((name.to_owned(), variable(name)?)));
    let of_profile = || {
        let region = files
            .get("region")
            .filter(|region| !region.trim().is_empty())?;
        let from = format!("region of the profile {:?}", files.profile);
        Some((from, region.to_owned()))
    };
    let Some((from, region)) = of_environment.or_else(of_profile) else {
        return Ok(None);
    };
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '-';
    ensure!(
        region.chars().all(is_name),
        "{from} is {region:?}, which is not the name of a region: it has {}",
        match region.contains(char::is_whitespace) {
            true => "a blank or the end of a line in it",
            false => "other characters than letters, digits and hyphens",
        }
    );
    Ok(Some(Region::new(region)))
}
