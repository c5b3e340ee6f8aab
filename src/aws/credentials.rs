//! Where credentials come from, in words that users know, and why they are not available.

use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use jiff::{SignedDuration, Timestamp};

use super::files::Files;
use super::providers::LoggedOut;
use super::sdk_error::chain;
use crate::clock::Clock;
use crate::process::lock;
use crate::settings;

/// Credentials are found anew so long before they expire; not later, since the SDK, which holds them too, asks then.
const BEFORE_THE_END: SignedDuration = SignedDuration::from_secs(10);
/// Those that don't expire are found anew after this time, as by the SDK.
const HELD: SignedDuration = SignedDuration::from_mins(15);

/// A provider that remembers what it found, and how to call that. All clients of a capture share it.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    provider: SharedCredentialsProvider,
    clock: Clock,
    state: Arc<Mutex<State>>,
    /// Held while the provider is asked.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
pub(super) struct State {
    /// What users call them.
    who: String,
    /// Something says that they are to be had there. Otherwise the machine is asked, which may be none of AWS's.
    is_configured: bool,
    missing: Option<Missing>,
    /// It has provided credentials before.
    were_there: bool,
    /// What was found, and until when it is good.
    found: Option<(aws_credential_types::Credentials, Timestamp)>,
}

/// Why credentials are not available.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    pub why: String,
    /// Somebody has to do something about it, such as to log in. Otherwise it may pass by itself.
    pub needs_action: bool,
}

impl Credentials {
    pub fn new(
        provider: SharedCredentialsProvider,
        who: String,
        is_configured: bool,
        clock: Clock,
    ) -> Self {
        let state = State {
            who,
            is_configured,
            missing: None,
            were_there: false,
            found: None,
        };
        Self {
            provider,
            clock,
            state: Arc::new(Mutex::new(state)),
            asking: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn who(&self) -> String {
        self.state().who.clone()
    }

    /// Why there were none at the last attempt to get some.
    pub fn missing(&self) -> Option<Missing> {
        self.state().missing.clone()
    }

    /// They take the place of others, which were there.
    pub fn follow(&self, others: &Self) {
        let were_there = others.state().were_there;
        self.state().were_there |= were_there;
    }

    /// What was found before, if it is still good.
    pub fn held(&self) -> Option<aws_credential_types::Credentials> {
        let state = self.state();
        let (credentials, until) = state.found.as_ref()?;
        (self.clock.now() < *until).then(|| credentials.clone())
    }

    async fn find(&self) -> provider::Result {
        if let Some(held) = self.held() {
            return Ok(held);
        }
        // A caller that gives up waiting reports this.
        self.state().missing = Some(Missing {
            why: format!("no AWS credentials from {} in time", self.who()),
            needs_action: false,
        });
        let _one_at_a_time = self.asking.lock().await;
        if let Some(held) = self.held() {
            self.state().missing = None;
            return Ok(held);
        }
        let found = self.provider.provide_credentials().await;
        let now = self.clock.now();
        let mut state = self.state();
        match &found {
            Ok(credentials) => {
                let expires = credentials.expiry().map(Timestamp::try_from);
                let until = match expires {
                    Some(expires) => {
                        expires.and_then(|expires| expires.checked_sub(BEFORE_THE_END))
                    }
                    None => now.checked_add(HELD),
                };
                state.found = Some((credentials.clone(), until.unwrap_or(now)));
                if let Some(source) = source_name(credentials) {
                    state.who = source.to_owned();
                }
                state.were_there = true;
                state.missing = None;
            }
            Err(error) => state.missing = Some(missing(error, &state)),
        }
        found
    }
}

/// What an error of a provider means.
fn missing(error: &CredentialsError, state: &State) -> Missing {
    // What the SDK says around it is always the same.
    let why = error.source().map_or_else(|| error.to_string(), chain);
    let who = &state.who;
    if !state.is_configured || matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return Missing {
            why: format!(
                "no AWS credentials found in {who}: choose a profile (aws.profile) or a credentials file (aws.credentials), \
                 or log in as for the AWS CLI (aws configure, aws sso login, aws login) ({why})"
            ),
            // Where there were some before, the machine can't be reached for a while.
            needs_action: !state.were_there,
        };
    }
    let logged_out = LoggedOut::behind(error);
    // The remedy first: hosts cut long errors.
    let remedy = match logged_out {
        Some(LoggedOut { command, .. }) => format!(", log in again with `{command}`"),
        None => String::new(),
    };
    Missing {
        needs_action: logged_out.is_some()
            || matches!(error, CredentialsError::InvalidConfiguration(_)),
        why: format!("no AWS credentials from {who}{remedy}: {why}"),
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
pub(super) fn describe(settings: &settings::Aws, files: &Files) -> String {
    let mut name = format!("the profile {:?}", files.profile);
    let named: Vec<&str> = [&settings.credentials, &settings.config]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if !named.is_empty() {
        name = format!("{name} of {}", named.join(" and "));
    }
    match &files.closed {
        Some(closed) => format!("{name} ({closed})"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    /// Gives credentials that expire in time, and counts how often it is asked.
    #[derive(Debug, Clone)]
    struct Provider {
        clock: Clock,
        lifetime: Option<SignedDuration>,
        asked: Arc<AtomicU32>,
    }

    impl ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let expires = self.lifetime.map(|lifetime| self.clock.now() + lifetime);
            let key = format!("AKIA{number}");
            future::ProvideCredentials::new(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let expires = expires.map(Into::into);
                Ok(aws_credential_types::Credentials::new(
                    key, "secret", None, expires, "Test",
                ))
            })
        }
    }

    /// What gives out credentials of this lifetime, and how often it has asked for them.
    fn credentials(lifetime: Option<SignedDuration>) -> (Credentials, Arc<AtomicU32>) {
        let clock = Clock::at("2024-03-05T12:00:00Z".parse().unwrap());
        let asked = Arc::<AtomicU32>::default();
        let provider = Provider {
            clock,
            lifetime,
            asked: Arc::clone(&asked),
        };
        let provider = SharedCredentialsProvider::new(provider);
        (
            Credentials::new(provider, "them".to_owned(), true, clock),
            asked,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_found_once_for_all_until_shortly_before_they_expire() {
        for (lifetime, held) in [(Some(SignedDuration::from_hours(1)), 3590), (None, 15 * 60)] {
            let (credentials, asked) = credentials(lifetime);
            let key = async || {
                let found = credentials.provide_credentials().await.unwrap();
                found.access_key_id().to_owned()
            };
            let many = futures_util::future::join_all((0..10).map(|_| key())).await;
            assert_eq!(many, ["AKIA0"; 10]);
            // A second has gone by already, within which they were found.
            advance(Duration::from_secs(held - 3)).await;
            assert_eq!(key().await, "AKIA0");
            advance(Duration::from_secs(3)).await;
            assert_eq!(key().await, "AKIA1");
            assert_eq!(asked.load(Ordering::Relaxed), 2);
            assert!(credentials.missing().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_have_expired_already_are_not_held() {
        let (credentials, asked) = credentials(Some(SignedDuration::from_secs(5)));
        for times in 1..4 {
            credentials.provide_credentials().await.unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }
}
