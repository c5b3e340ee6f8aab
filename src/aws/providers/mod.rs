//! Providers of credentials for what a chain begins with.

mod login;
mod process;
mod single_sign_on;
mod token_file;
mod web_identity;

use std::error::Error as StdError;
use std::fmt;

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use self::login::Login;
use self::process::Process;
use self::single_sign_on::Portal;
use self::web_identity::WebIdentity;
use super::chain::Base;
use super::files::variable;

/// Settings of the clients that credentials are asked of, with the endpoint of each.
pub(super) struct Services {
    pub sts: SdkConfig,
    pub sso: SdkConfig,
    pub sso_oidc: SdkConfig,
    pub signin: SdkConfig,
}

/// What a chain begins with.
pub(super) fn of_base(
    base: Base,
    config: &ProviderConfig,
    services: &Services,
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
        Base::Login(session) => SharedCredentialsProvider::new(Login::new(session, services)),
        Base::Process(words) => SharedCredentialsProvider::new(Process::new(words)),
        Base::Container => SharedCredentialsProvider::new(
            EcsCredentialsProvider::builder().configure(config).build(),
        ),
        Base::Instance => SharedCredentialsProvider::new(
            ImdsCredentialsProvider::builder().configure(config).build(),
        ),
    }
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
    pub command: &'static str,
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
