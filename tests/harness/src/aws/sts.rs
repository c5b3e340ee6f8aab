//! STS.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use s3s::{S3Request, S3Response, S3Result, route::S3Route};

use super::{
    Credentials, Request, World,
    request::parse_query,
    server::{Body, full, refused},
};

/// STS, signed as S3 is.
pub struct Sts(pub Arc<World>);

#[async_trait]
impl S3Route for Sts {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        _: &mut http::Extensions,
    ) -> bool {
        method == Method::POST && uri.path() == "/" && headers.contains_key("authorization")
    }

    async fn call(&self, mut request: S3Request<s3s::Body>) -> S3Result<S3Response<s3s::Body>> {
        let body = request.input.store_all_limited(1 << 20).await;
        let form = parse_query(&String::from_utf8_lossy(&body.unwrap_or_default()));
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let role = self.0.roles.lock().unwrap().get(field("RoleArn")).cloned();
        let denied = || {
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                <Message>User is not authorized to perform: sts:AssumeRole</Message></Error>\
                </ErrorResponse>";
            S3Response::with_status(s3s::Body::from(body.to_owned()), StatusCode::FORBIDDEN)
        };
        Ok(match role {
            Some(external_id)
                if external_id.as_deref().unwrap_or_default() == field("ExternalId") =>
            {
                S3Response::new(s3s::Body::from(sts_answer(
                    &self.0,
                    field("Action"),
                    field("RoleArn"),
                )))
            }
            _ => denied(),
        })
    }
}

fn sts_answer(world: &World, action: &str, role: &str) -> String {
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = world.issue();
    let token = token.unwrap_or_default();
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser><AssumedRoleId>AROAHARNESS:s</AssumedRoleId><Arn>{role}</Arn>\
         </AssumedRoleUser><Credentials><AccessKeyId>{access_key}</AccessKeyId>\
         <SecretAccessKey>{secret_key}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>{}</Expiration></Credentials></{action}Result></{action}Response>",
        in_an_hour()
    )
}

/// When what is issued now expires.
pub fn in_an_hour() -> String {
    (jiff::Timestamp::now() + Duration::from_secs(3600))
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// AssumeRoleWithWebIdentity, which needs no signature.
pub fn web_identity(world: &World, request: &Request) -> Response<Body> {
    let field = |name: &str| {
        request
            .query
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let role = field("RoleArn");
    let known = world.roles.lock().unwrap().contains_key(role);
    if !known || field("WebIdentityToken").is_empty() {
        return refused(403);
    }
    let answer = sts_answer(world, "AssumeRoleWithWebIdentity", role);
    Response::new(full(answer))
}
