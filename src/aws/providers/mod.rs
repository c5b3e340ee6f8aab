//! Providers of credentials for what a chain begins with.

mod login;
mod process;
mod single_sign_on;
mod token_file;
mod web_identity;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::{self, credentials::ImdsCredentialsProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use self::login::Login;
use self::process::Process;
use self::single_sign_on::Portal;
use self::web_identity::WebIdentity;
use super::chain::Base;
use super::files::{Files, variable};
use super::http::Http;

/// Settings of the clients that credentials are asked of, with the endpoint of each.
pub(super) struct Services {
    pub sts: SdkConfig,
    pub sso: SdkConfig,
    pub sso_oidc: SdkConfig,
    pub signin: SdkConfig,
    /// For a container's credentials, without proxies.
    pub direct: Http,
}

/// What a chain begins with.
pub(super) fn of_base(
    base: Base,
    config: &ProviderConfig,
    services: &Services,
    files: &Files,
) -> SharedCredentialsProvider {
    match base {
        Base::Environment => SharedCredentialsProvider::new(Environment),
        Base::Keys {
            access_key,
            secret_key,
            token,
        } => SharedCredentialsProvider::new(Credentials::new(
            access_key,
            secret_key,
            token,
            None,
            "ProfileFile",
        )),
        Base::WebIdentity(of) => SharedCredentialsProvider::new(WebIdentity::new(of, services)),
        Base::SingleSignOn(of) => SharedCredentialsProvider::new(Portal::new(of, services)),
        Base::Login { session, profile } => {
            SharedCredentialsProvider::new(Login::new(&session, &profile, services))
        }
        Base::Process(words) => SharedCredentialsProvider::new(Process::new(words)),
        Base::Container => {
            // As the CLI: the token that it is asked with is nobody else's.
            let config = config.clone().with_http_client(services.direct.client());
            SharedCredentialsProvider::new(
                EcsCredentialsProvider::builder().configure(&config).build(),
            )
        }
        Base::Instance => SharedCredentialsProvider::new(
            ImdsCredentialsProvider::builder()
                .configure(config)
                .imds_client(instance_metadata(config, files))
                .build(),
        ),
    }
}

/// The machine's metadata, with what variables and the profile say of it.
pub(super) fn instance_metadata(config: &ProviderConfig, files: &Files) -> imds::Client {
    let get = |name: &str, key: &str| variable(name).or_else(|| files.get(key).map(str::to_owned));
    let number = |name: &str, key: &str| get(name, key)?.trim().parse::<u32>().ok();
    let mut client = imds::Client::builder().configure(config);
    let endpoint = get(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "ec2_metadata_service_endpoint",
    );
    // One that is not a URL is left to the SDK, which says so.
    if let Some(endpoint) = endpoint.filter(|url| url::Url::parse(url).is_ok())
        && let Ok(configured) = client.clone().endpoint(endpoint)
    {
        client = configured;
    }
    if let Some(seconds) = number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout") {
        let timeout = Duration::from_secs(seconds.into());
        client = client.connect_timeout(timeout).read_timeout(timeout);
    }
    if let Some(attempts) = number(
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "metadata_service_num_attempts",
    ) {
        client = client.max_attempts(attempts.max(1));
    }
    client.build()
}

/// Keys in variables of the environment.
#[derive(Debug)]
struct Environment;

impl ProvideCredentials for Environment {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let key = variable("AWS_ACCESS_KEY_ID");
        let Some((access_key, secret_key)) = key.zip(variable("AWS_SECRET_ACCESS_KEY")) else {
            return future::ProvideCredentials::ready(Err(
                CredentialsError::invalid_configuration(
                    "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
                ),
            ));
        };
        let token = ["AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"]
            .into_iter()
            .find_map(variable);
        future::ProvideCredentials::ready(Ok(Credentials::new(
            access_key,
            secret_key,
            token,
            None,
            "EnvironmentVariable",
        )))
    }
}

/// What may pass by itself.
fn failed(why: impl Into<String>) -> CredentialsError {
    CredentialsError::provider_error(why.into())
}

/// A session that has ended, or was never there: somebody has to log in.
#[derive(Debug)]
pub(super) struct LoggedOut {
    /// What begins one.
    pub command: String,
    why: String,
}

impl LoggedOut {
    /// The one behind an error, if there is one.
    pub fn behind(error: &CredentialsError) -> Option<&Self> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for LoggedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for LoggedOut {}
