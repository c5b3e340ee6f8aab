//! Where credentials come from, in words of users, and why they can't be had.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};

use super::error::chain;
use crate::settings;

/// A provider that remembers how to call what it found.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub provider: SharedCredentialsProvider,
    pub state: Arc<Mutex<State>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub who: String,
    pub failure: Option<String>,
}

impl Credentials {
    pub fn who(&self) -> String {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .who
            .clone()
    }

    pub fn failure(&self) -> Option<String> {
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
pub(super) fn describe(settings: &settings::Aws) -> String {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = settings
        .profile
        .clone()
        .or_else(|| env("AWS_PROFILE"))
        .unwrap_or_else(|| "default".to_owned());
    let files: Vec<&str> = [&settings.credentials, &settings.config]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    match files.is_empty() {
        true => format!("the profile {name:?}"),
        false => format!("the profile {name:?} of {}", files.join(" and ")),
    }
}
