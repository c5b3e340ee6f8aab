//! The role of a web identity's token.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, future};

use super::{Services, failed};
use crate::aws::access::SESSION_NAME;
use crate::aws::chain;
use crate::aws::sdk_error::reason;
use crate::process::platform::user_path;

#[derive(Debug)]
pub(super) struct WebIdentity {
    sts: aws_sdk_sts::Client,
    of: chain::WebIdentity,
}

impl WebIdentity {
    pub fn new(of: chain::WebIdentity, services: &Services) -> Self {
        let sts = aws_sdk_sts::Client::new(&services.sts);
        Self { sts, of }
    }

    async fn find(&self) -> provider::Result {
        // It is written anew while this runs.
        let path = &self.of.token_file;
        let token = std::fs::read_to_string(user_path(path))
            .map_err(|error| failed(format!("{path} can't be read: {error}")))?;
        let session = self.of.session_name.as_deref().unwrap_or(SESSION_NAME);
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.of.role_arn)
            .role_session_name(session)
            .web_identity_token(token)
            .send()
            .await
            .map_err(|error| failed(format!("STS: {}", reason(&error))))?;
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
