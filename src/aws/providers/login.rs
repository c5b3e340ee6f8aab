//! A session of `aws login`: keys that AWS Sign-In renews.
//!
//! What the SDK has for it (aws-config 1.13) asks AWS itself whatever endpoint the profile names, and does not read every
//! form of time that the AWS CLI takes. A renewal proves that it has the session's private key (DPoP, RFC 9449).

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_signin::operation::create_o_auth2_token::CreateOAuth2TokenError;
use aws_sdk_signin::types::{
    CreateOAuth2TokenRequestBody, CreateOAuth2TokenResponseBody, OAuth2ErrorCode,
};
use aws_smithy_async::time::SharedTimeSource;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::token_file::{TokenFile, written};
use super::{Services, failed};
use crate::aws::files::{expand, variable};
use crate::aws::sdk_error::reason;
use crate::integrity::hex;
use crate::process::platform::user_path;

/// So long before their end keys are renewed, as the CLI does.
const RENEWED_BEFORE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct Login {
    signin: aws_sdk_signin::Client,
    token: TokenFile,
    time: SharedTimeSource,
}

impl Login {
    /// The session that a profile names.
    pub fn new(session: &str, profile: &str, services: &Services) -> Self {
        let folder = variable("AWS_LOGIN_CACHE_DIRECTORY").map(|folder| expand(&folder));
        let hash = ring::digest::digest(&ring::digest::SHA256, session.as_bytes());
        Self {
            signin: aws_sdk_signin::Client::new(&services.signin),
            token: TokenFile::new(
                "login session",
                user_path(folder.as_deref().unwrap_or("~/.aws/login/cache"))
                    .join(format!("{}.json", hex(hash.as_ref()))),
                "aws login",
                profile,
            ),
            time: services.signin.time_source().unwrap_or_default(),
        }
    }

    async fn find(&self) -> provider::Result {
        let mut session = self.token.read()?;
        let keys = self.keys(&session)?;
        let end = self.token.end(&session["accessToken"])?;
        let now = self.time.now();
        if end > now + RENEWED_BEFORE {
            return Ok(keys);
        }
        match self.renew(&session).await {
            Ok(answer) => {
                self.keep(&mut session, answer, now)?;
                self.keys(&session)
            }
            // They are good for some minutes still.
            Err(_) if end > now => Ok(keys),
            Err(error) => {
                let others = self.token.renewed_by_others(&session);
                let keys = others.and_then(|session| self.keys(&session).ok());
                let good = keys.filter(|keys| keys.expiry().is_some_and(|end| end > now));
                good.ok_or(error)
            }
        }
    }

    /// The keys of a session. One that lacks anything is refused, as the CLI does.
    fn keys(&self, session: &Value) -> provider::Result {
        for member in ["refreshToken", "dpopKey", "clientId"] {
            self.token.text(session, member)?;
        }
        let token = &session["accessToken"];
        let text = |name: &str| self.token.text(token, name);
        text("accountId")?;
        Ok(Credentials::new(
            text("accessKeyId")?,
            text("secretAccessKey")?,
            Some(text("sessionToken")?),
            Some(self.token.end(token)?),
            "Login",
        ))
    }

    /// Ask for other keys.
    async fn renew(
        &self,
        session: &Value,
    ) -> Result<CreateOAuth2TokenResponseBody, CredentialsError> {
        let text = |name: &str| self.token.text(session, name);
        let key = private_key(&text("dpopKey")?)
            .map_err(|why| self.token.log_in(&format!("has a dpopKey that {why}")))?;
        let input = CreateOAuth2TokenRequestBody::builder()
            .client_id(text("clientId")?)
            .grant_type("refresh_token")
            .refresh_token(text("refreshToken")?)
            .build()
            .map_err(CredentialsError::provider_error)?;
        let time = self.time.clone();
        let answer = self
            .signin
            .create_o_auth2_token()
            .token_input(input)
            .customize()
            .mutate_request(move |request| {
                if let Some(proof) = proof(&key, request.uri(), time.now()) {
                    request.headers_mut().insert("DPoP", proof);
                }
            })
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(CreateOAuth2TokenError::AccessDeniedException(denied)) => match denied.error {
                    OAuth2ErrorCode::TokenExpired => self.token.log_in("has expired"),
                    OAuth2ErrorCode::UserCredentialsChanged => {
                        self.token.log_in("is of a password that has changed")
                    }
                    OAuth2ErrorCode::InsufficientPermissions => {
                        CredentialsError::invalid_configuration(
                            "the login session can't be renewed without the permission signin:CreateOAuth2Token",
                        )
                    }
                    _ => self.token.log_in("was refused"),
                },
                Some(CreateOAuth2TokenError::ValidationException(_)) => {
                    self.token.log_in("was refused")
                }
                _ => failed(format!("AWS Sign-In: {}", reason(&error))),
            })?;
        answer
            .token_output
            .ok_or_else(|| failed("AWS Sign-In gave no keys"))
    }

    /// Put other keys in the place of those of a session, for other programs, too.
    fn keep(
        &self,
        session: &mut Value,
        answer: CreateOAuth2TokenResponseBody,
        now: SystemTime,
    ) -> Result<(), CredentialsError> {
        let keys = answer.access_token.filter(|keys| {
            let texts = [
                &keys.access_key_id,
                &keys.secret_access_key,
                &keys.session_token,
            ];
            texts.iter().all(|text| !text.is_empty())
        });
        let is_whole = !answer.refresh_token.is_empty() && answer.expires_in > 0;
        let (Some(keys), Some(end), true) = (keys, written(now, answer.expires_in), is_whole)
        else {
            return Err(failed("AWS Sign-In gave no keys"));
        };
        let before = session.clone();
        session["accessToken"] = json!({
            "accessKeyId": keys.access_key_id,
            "secretAccessKey": keys.secret_access_key,
            "sessionToken": keys.session_token,
            "accountId": session["accessToken"]["accountId"],
            "expiresAt": end,
        });
        session["refreshToken"] = answer.refresh_token.into();
        self.token.replace(&before, session);
        Ok(())
    }
}

impl ProvideCredentials for Login {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.find())
    }
}

/// A private key on the curve P-256 in PEM, as RFC 5915 or PKCS #8 has it.
fn private_key(pem: &str) -> Result<EcdsaKeyPair, Box<dyn StdError>> {
    /// What says so in PKCS #8, which is what ring reads.
    const P256: &[u8] = b"\x02\x01\0\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    let lines = pem.lines().map(str::trim);
    let text: String = lines.filter(|line| !line.starts_with("-----")).collect();
    let key = BASE64_STANDARD
        .decode(text)
        .map_err(|_| "is not a private key in PEM form")?;
    let der = |tag: u8, content: &[u8]| -> Result<Vec<u8>, Box<dyn StdError>> {
        let length = u8::try_from(content.len()).map_err(|_| "is too long")?;
        // Lengths from 128 on have a length of their own.
        let head: &[u8] = if length < 128 { &[tag] } else { &[tag, 0x81] };
        Ok([head, &[length], content].concat())
    };
    let read = |pkcs8: &[u8]| {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new())
    };
    let pkcs8 = der(0x30, &[P256, &der(4, &key)?].concat())?;
    // It may be in that form already.
    let pair = read(&pkcs8).or_else(|error| read(&key).map_err(|_| error));
    pair.map_err(|error| format!("is not a private key on the curve P-256: {error}").into())
}

/// A proof of having the key, for one request to this URL. None where the system has no random numbers.
fn proof(key: &EcdsaKeyPair, url: &str, now: SystemTime) -> Option<String> {
    let random = SystemRandom::new();
    let id: [u8; 16] = ring::rand::generate(&random).ok()?.expose();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    // 4 and the two coordinates.
    let (x, y) = key.public_key().as_ref().get(1..)?.split_at_checked(32)?;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = json!({
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": {"kty": "EC", "x": encode(x), "y": encode(y), "crv": "P-256"},
    });
    let claims = json!({"htm": "POST", "htu": url, "iat": seconds, "jti": hex(&id)});
    let signed = [head, claims].map(|part| encode(part.to_string().as_bytes()));
    let signed = signed.join(".");
    let signature = key.sign(&random, signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", encode(signature.as_ref())))
}
