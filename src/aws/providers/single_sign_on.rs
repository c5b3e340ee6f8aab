//! A role of single sign-on, by the token that `aws sso login` has left.

use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_ssooidc::operation::create_token::CreateTokenOutput;
use aws_sdk_ssooidc::operation::create_token::builders::CreateTokenFluentBuilder;
use aws_smithy_async::time::SharedTimeSource;
use serde_json::Value;

use super::token_file::{TokenFile, time, written};
use super::{Services, failed};
use crate::aws::chain::SingleSignOn;
use crate::aws::sdk_error::{reason, status};
use crate::integrity::hex;
use crate::process::platform::user_path;

/// So long before its end a token is renewed, as the CLI does.
const RENEWED_BEFORE: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub(super) struct Portal {
    sso: aws_sdk_sso::Client,
    oidc: aws_sdk_ssooidc::Client,
    of: SingleSignOn,
    token: TokenFile,
    time: SharedTimeSource,
}

impl Portal {
    pub fn new(of: SingleSignOn, services: &Services) -> Self {
        let [sso, oidc] = [&services.sso, &services.sso_oidc].map(|sdk| {
            let region = Region::new(of.region.clone());
            sdk.to_builder().region(region).build()
        });
        let name = of.session.as_ref().unwrap_or(&of.start_url);
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, name.as_bytes());
        Self {
            sso: aws_sdk_sso::Client::new(&sso),
            oidc: aws_sdk_ssooidc::Client::new(&oidc),
            token: TokenFile::new(
                "SSO token",
                user_path(&format!("~/.aws/sso/cache/{}.json", hex(hash.as_ref()))),
                "aws sso login",
                &of.profile,
            ),
            of,
            time: sso.time_source().unwrap_or_default(),
        }
    }

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
                    self.token.log_in("is not valid any more")
                }
                // Of others nobody has to log in again.
                _ => failed(format!("the SSO portal: {}", reason(&error))),
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
        let mut cached = self.token.read()?;
        let token = self.token.text(&cached, "accessToken")?;
        let end = self.token.end(&cached)?;
        let now = self.time.now();
        let mut expired = self.token.log_in("has expired");
        if self.of.session.is_some() && end < now + RENEWED_BEFORE {
            let before = cached.clone();
            match self.renew(&mut cached, now).await {
                Ok(Some(renewed)) => {
                    self.token.replace(&before, &cached);
                    return Ok(renewed);
                }
                Ok(None) => {
                    if let Some(others) = self.token.renewed_by_others(&before)
                        && self.token.end(&others)? > now
                    {
                        return self.token.text(&others, "accessToken");
                    }
                }
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
                _ => Err(failed(format!(
                    "renewing the SSO token: {}",
                    reason(&error)
                ))),
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
    cached["expiresAt"] = written(now, answer.expires_in)?.into();
    cached["accessToken"] = token.clone().into();
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
