//! Clients from the settings, the AWS CLI's files and the environment.

use std::sync::{Arc, Mutex};
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
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};

use super::credentials::{Credentials, State, describe};
use super::error::{LISTING_KEYS, status, told_region};
use super::files::profile_files;
use super::http::http_client;
use crate::settings;

/// Where to ask for a bucket's region, one for each partition of AWS: a bucket's name is known in its own only.
const PARTITIONS: [&str; 3] = ["us-east-1", "cn-north-1", "us-gov-west-1"];

/// Credentials and settings that all clients share.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    sdk: SdkConfig,
    /// What is asked in the place of AWS, if anything.
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Credentials,
}

impl Access {
    /// Read configuration files and environment. Nothing is sent yet.
    pub async fn load(settings: &settings::Aws) -> Result<Self> {
        let http = http_client()?;
        let profile = settings.profile.clone();
        let files = profile_files(settings)?;

        let mut provider_config = ProviderConfig::default().with_http_client(http.clone());
        let mut profile_region = ProfileFileRegionProvider::builder()
            .configure(&provider_config)
            .profile_files(files.clone());
        if let Some(profile) = &profile {
            profile_region = profile_region.profile_name(profile);
        }
        let region = match settings.region.clone() {
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
        let explicit =
            profile.is_some() || settings.credentials.is_some() || settings.config.is_some();
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
        let described = describe(settings);
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
        let endpoint = settings.endpoint.clone();
        let mut sdk = loader.load().await;
        if let Some(role) = settings.role_arn.clone() {
            let who = format!("the role {role} assumed with {}", credentials.who());
            let mut assume = AssumeRoleProvider::builder(role).session_name("cloudtrail-plugin");
            if let Some(id) = settings.external_id.clone() {
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
}
