//! Providers of credentials for what a chain begins with.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::login::LoginCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_ssooidc::operation::create_token::CreateTokenOutput;
use aws_sdk_ssooidc::operation::create_token::builders::CreateTokenFluentBuilder;
use jiff::Timestamp;
use serde_json::Value;

use super::access::SESSION_NAME;
use super::chain::{Base, SingleSignOn};
use super::files::variable;
use super::sdk_error::status;
use crate::integrity::hex;
use crate::process::platform::{replace_file, user_path};

/// What a chain begins with. `sts`, `sso` and `oidc` are clients' settings with the endpoint of each.
pub(super) fn of_base(
    base: Base,
    config: &ProviderConfig,
    sts: &SdkConfig,
    sso: [&SdkConfig; 2],
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
        Base::WebIdentity {
            token_file,
            role_arn,
            session_name,
        } => SharedCredentialsProvider::new(WebIdentity {
            sts: aws_sdk_sts::Client::new(sts),
            token_file,
            role_arn,
            session_name,
        }),
        Base::SingleSignOn(of) => {
            let region = aws_config::Region::new(of.region.clone());
            let [sso, oidc] = sso.map(|sdk| sdk.to_builder().region(region.clone()).build());
            SharedCredentialsProvider::new(Portal {
                sso: aws_sdk_sso::Client::new(&sso),
                oidc: aws_sdk_ssooidc::Client::new(&oidc),
                of,
                time: config_time(&sso),
            })
        }
        Base::Login(session) => SharedCredentialsProvider::new(
            LoginCredentialsProvider::builder(session)
                .configure(config)
                .build(),
        ),
        Base::Process(words) => {
            SharedCredentialsProvider::new(CredentialProcessProvider::new(command(&words)))
        }
        Base::Container => SharedCredentialsProvider::new(
            EcsCredentialsProvider::builder().configure(config).build(),
        ),
        Base::Instance => SharedCredentialsProvider::new(
            ImdsCredentialsProvider::builder().configure(config).build(),
        ),
    }
}

fn config_time(sdk: &SdkConfig) -> aws_smithy_async::time::SharedTimeSource {
    sdk.time_source().unwrap_or_default()
}

/// A command of these words for the shell that the SDK runs it in: the CLI has none, so that nothing of it may be
/// replaced.
fn command(words: &[String]) -> String {
    let quoted = |word: &String| match cfg!(windows) {
        true if word.contains(char::is_whitespace) => format!("\"{word}\""),
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
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

/// The role of a web identity's token.
#[derive(Debug)]
struct WebIdentity {
    sts: aws_sdk_sts::Client,
    token_file: String,
    role_arn: String,
    session_name: Option<String>,
}

impl WebIdentity {
    async fn find(&self) -> provider::Result {
        // It is written anew while this runs.
        let token = std::fs::read_to_string(user_path(&self.token_file)).map_err(|error| {
            CredentialsError::provider_error(format!("{} can't be read: {error}", self.token_file))
        })?;
        let session = self.session_name.as_deref().unwrap_or(SESSION_NAME);
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role_arn)
            .role_session_name(session)
            .web_identity_token(token)
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let found = answer
            .credentials
            .ok_or_else(|| failed("STS gave no credentials"))?;
        Ok(Credentials::new(
            found.access_key_id,
            found.secret_access_key,
            Some(found.session_token),
            SystemTime::try_from(found.expiration).ok(),
            "WebIdentityToken",
        ))
    }
}

impl ProvideCredentials for WebIdentity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.find())
    }
}

fn failed(why: impl Into<String>) -> CredentialsError {
    CredentialsError::provider_error(why.into())
}

/// So long before its end a token is renewed, as the CLI does.
const RENEWED_BEFORE: Duration = Duration::from_secs(15 * 60);

/// A role of single sign-on, by the token that `aws sso login` has left.
#[derive(Debug)]
struct Portal {
    sso: aws_sdk_sso::Client,
    oidc: aws_sdk_ssooidc::Client,
    of: SingleSignOn,
    time: aws_smithy_async::time::SharedTimeSource,
}

impl Portal {
    async fn find(&self) -> provider::Result {
        let token = self.token().await?;
        let answer = self
            .sso
            .get_role_credentials()
            .role_name(&self.of.role)
            .account_id(&self.of.account)
            .access_token(token)
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(refused) if refused.is_unauthorized_exception() => {
                    failed("the SSO token is not valid any more")
                }
                // Of others nobody has to log in again.
                _ => CredentialsError::provider_error(error),
            })?;
        let found = answer
            .role_credentials
            .ok_or_else(|| failed("the portal gave no credentials"))?;
        let (Some(access_key), Some(secret_key)) = (found.access_key_id, found.secret_access_key)
        else {
            return Err(failed("the portal gave no keys"));
        };
        let expiry = u64::try_from(found.expiration).ok();
        Ok(Credentials::new(
            access_key,
            secret_key,
            found.session_token,
            expiry.map(|end| SystemTime::UNIX_EPOCH + Duration::from_millis(end)),
            "SSO",
        ))
    }

    /// The token of the cache, renewed where it ends soon and can be.
    async fn token(&self) -> Result<String, CredentialsError> {
        let name = self.of.session.as_ref().unwrap_or(&self.of.start_url);
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, name.as_bytes());
        let path = user_path(&format!("~/.aws/sso/cache/{}.json", hex(hash.as_ref())));
        let why = |why: &str| failed(format!("the SSO token in {} {why}", path.display()));
        let text = std::fs::read(&path).map_err(|error| why(&format!("can't be read: {error}")))?;
        let mut cached: Value = serde_json::from_slice(&text).map_err(|_| why("is not JSON"))?;
        let token = cached["accessToken"].as_str().map(str::to_owned);
        let end = cached["expiresAt"].as_str().and_then(time);
        let (Some(token), Some(end)) = (token, end) else {
            return Err(why("has no accessToken or no expiresAt"));
        };
        let now = self.time.now();
        let mut expired = why("has expired");
        if self.of.session.is_some() && end < now + RENEWED_BEFORE {
            match self.renew(&mut cached, now).await {
                Ok(Some(renewed)) => {
                    // Whoever comes next would have to renew it, too; where it can't be kept they do.
                    // Another process may do the same.
                    let part = path.with_extension(format!("json.{}", fastrand::u64(..)));
                    _ = replace_file(&path, &part, cached.to_string().as_bytes());
                    return Ok(renewed);
                }
                Ok(None) => {}
                Err(error) => expired = error,
            }
        }
        match end > now {
            true => Ok(token),
            false => Err(expired),
        }
    }

    /// Another token for one that ends soon. None where somebody has to log in for it; an error may pass by itself.
    async fn renew(
        &self,
        cached: &mut Value,
        now: SystemTime,
    ) -> Result<Option<String>, CredentialsError> {
        let Some(request) = self.renewal(cached, now) else {
            return Ok(None);
        };
        match request.send().await {
            Ok(answer) => Ok(keep(cached, answer, now)),
            Err(error) => match status(&error) {
                // Refused, other than for asking too often.
                Some(400..=428 | 430..=499) => Ok(None),
                _ => Err(CredentialsError::provider_error(error)),
            },
        }
    }

    /// What asks for another token, where the cached one tells how.
    fn renewal(&self, cached: &Value, now: SystemTime) -> Option<CreateTokenFluentBuilder> {
        let get = |key: &str| cached[key].as_str().map(str::to_owned);
        if time(&get("registrationExpiresAt")?)? <= now {
            return None;
        }
        Some(
            self.oidc
                .create_token()
                .grant_type("refresh_token")
                .client_id(get("clientId")?)
                .client_secret(get("clientSecret")?)
                .refresh_token(get("refreshToken")?),
        )
    }
}

/// Put another token in the place of the cached one.
fn keep(cached: &mut Value, answer: CreateTokenOutput, now: SystemTime) -> Option<String> {
    let token = answer.access_token?;
    let end = now.checked_add(Duration::from_secs(answer.expires_in.try_into().ok()?))?;
    let end = Timestamp::try_from(end).ok()?;
    cached["accessToken"] = token.clone().into();
    cached["expiresAt"] = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    if let Some(next) = answer.refresh_token {
        cached["refreshToken"] = next.into();
    }
    Some(token)
}

impl ProvideCredentials for Portal {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.find())
    }
}

/// A time in a form that the CLI writes or reads: `…Z`, `…UTC`, with an offset with or without a colon.
fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let text = match text.strip_suffix("UTC") {
        Some(time) => format!("{}Z", time.trim_end()),
        None => text.to_owned(),
    };
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_of_a_token_is_read_in_each_form() {
        let expected = time("2024-03-05T12:00:00Z");
        assert!(expected.is_some());
        for form in [
            "2024-03-05T12:00:00UTC",
            "2024-03-05T12:00:00 UTC",
            "2024-03-05T13:00:00+01:00",
            "2024-03-05T13:00:00+0100",
            "2024-03-05 12:00:00Z",
            "2024-03-05T12:00:00.000Z",
            " 2024-03-05T12:00:00+00:00 ",
        ] {
            assert_eq!(time(form), expected, "{form}");
        }
        assert_eq!(time("2024-03-05T12:00:00"), None);
        assert_eq!(time("soon"), None);
    }

    #[cfg(unix)]
    #[test]
    fn words_of_a_command_are_quoted_for_the_shell() {
        let words = ["/a b/c", "$HOME", "it's", "*"].map(str::to_owned);
        assert_eq!(command(&words), r"'/a b/c' '$HOME' 'it'\''s' '*'");
    }
}
