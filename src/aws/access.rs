//! Clients from the settings, the AWS CLI's files and the environment.

use std::time::Duration;

use anyhow::Result;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::credentials::{Credentials, Missing, describe};
use super::files::profile_files;
use crate::clock::Clock;
use crate::settings;
use crate::settings::location::is_s3_of_aws;
use crate::settings::partitions::Partition;

/// The region in which roles are assumed, and to which other requests go, if none is configured.
pub(super) const ANYWHERE: &str = "us-east-1";

/// Credentials and settings that all clients share.
#[derive(Debug)]
pub(crate) struct Access {
    sdk: SdkConfig,
    /// The endpoint to use instead of AWS, if any.
    pub(super) endpoint: Option<String>,
    credentials: Credentials,
}

impl TimeSource for Clock {
    fn now(&self) -> std::time::SystemTime {
        Clock::now(*self).into()
    }
}

impl Access {
    /// Read configuration files and environment. Nothing is sent yet.
    pub async fn load(
        settings: &settings::Aws,
        http: &SharedHttpClient,
        clock: Clock,
    ) -> Result<Self> {
        let files = profile_files(settings)?;
        let time = SharedTimeSource::new(clock);
        let base = ProviderConfig::default()
            .with_http_client(http.clone())
            .with_time_source(time.clone())
            .with_sleep_impl(SharedAsyncSleep::new(TokioSleep::new()));
        let region = configured_region(settings, &files, &base).await;
        // Roles are assumed somewhere, and STS answers everywhere.
        let anywhere = Region::from_static(ANYWHERE);
        let base = base.with_region(Some(region.clone().unwrap_or(anywhere)));
        let found = provider(settings, &files, &base).await;
        let mut credentials = Credentials::new(found, describe(settings));

        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .time_source(time)
            .sleep_impl(TokioSleep::new())
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
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        let mut sdk = loader.load().await;
        if let Some(role) = &settings.role_arn {
            let who = format!("the role {role} assumed with {}", credentials.who());
            let mut assume = AssumeRoleProvider::builder(role).session_name("cloudtrail-plugin");
            if let Some(id) = &settings.external_id {
                assume = assume.external_id(id);
            }
            if sdk.region().is_none() {
                let partition = Partition::of_arn(role);
                let region = partition.map_or(ANYWHERE, |partition| partition.regions[0]);
                assume = assume.region(Region::from_static(region));
            }
            let assumed = assume
                .configure(&sdk)
                .build_from_provider(credentials)
                .await;
            credentials = Credentials::new(SharedCredentialsProvider::new(assumed), who);
            sdk = sdk
                .into_builder()
                .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
                .build();
        }
        Ok(Self {
            sdk,
            endpoint: settings.endpoint.clone(),
            credentials,
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

    /// What users call the credentials in use.
    pub fn who(&self) -> String {
        self.credentials.who()
    }

    /// Why there were no credentials at the last attempt to get some.
    pub(super) fn missing_credentials(&self) -> Option<Missing> {
        self.credentials.missing()
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

    /// What is asked in the place of AWS by other services than S3: an endpoint of S3 in one's own network is none of
    /// theirs.
    fn service_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|url| !is_s3_of_aws(url))
    }

    /// The region for a queue: that of the configuration or else of the machine, if it is AWS's.
    pub async fn region_or_machine(&self) -> Option<String> {
        match self.region() {
            None if self.endpoint.is_some() => Some(ANYWHERE.to_owned()),
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

/// The region of the settings, the environment or the profile; not the machine's own, which costs a laptop seconds: a
/// bucket's region is found by itself.
async fn configured_region(
    settings: &settings::Aws,
    files: &EnvConfigFiles,
    base: &ProviderConfig,
) -> Option<Region> {
    if let Some(region) = &settings.region {
        return Some(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder()
        .configure(base)
        .profile_files(files.clone());
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .region()
        .await
}

/// Where credentials come from.
async fn provider(
    settings: &settings::Aws,
    files: &EnvConfigFiles,
    base: &ProviderConfig,
) -> SharedCredentialsProvider {
    let mut profile = ProfileFileCredentialsProvider::builder()
        .configure(base)
        .profile_files(files.clone());
    // A profile that was asked for is used or fails, as with the AWS CLI's --profile.
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
        return SharedCredentialsProvider::new(profile.build());
    }
    let all = DefaultCredentialsChain::builder()
        .configure(base.clone())
        .build()
        .await;
    if settings.credentials.is_none() && settings.config.is_none() {
        return SharedCredentialsProvider::new(all);
    }
    SharedCredentialsProvider::new(
        CredentialsProviderChain::first_try("Profile", profile.build()).or_else("Default", all),
    )
}
