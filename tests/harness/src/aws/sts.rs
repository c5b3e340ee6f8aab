//! STS.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use s3s::{S3Request, S3Response, S3Result, route::S3Route};

use super::{
    Credentials, Request, World,
    request::{parse_query, scope},
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
                let header = |name: &str| {
                    let value = request.headers.get(name);
                    value
                        .and_then(|value| value.to_str().ok())
                        .unwrap_or_default()
                };
                let (key, region) = scope(header("authorization"));
                let by = self.0.origin(&key.unwrap_or_default());
                let host = header("host");
                let origin = format!("{} at {host}, {region:?}, by {by}", asked(&form));
                let credentials = self.0.issue_for(origin);
                let answer = sts_answer(credentials, field("Action"), field("RoleArn"));
                S3Response::new(s3s::Body::from(answer))
            }
            _ => denied(),
        })
    }
}

/// The fields of a form that tell which credentials it asks for.
fn asked(form: &BTreeMap<String, String>) -> String {
    let names = [
        "Action",
        "RoleArn",
        "RoleSessionName",
        "ExternalId",
        "DurationSeconds",
        "WebIdentityToken",
    ];
    let fields = names
        .iter()
        .filter_map(|name| Some((name, form.get(*name)?)));
    let fields = fields.map(|(name, value)| format!("{name}={value}"));
    fields.collect::<Vec<_>>().join(" ")
}

fn sts_answer(credentials: Credentials, action: &str, role: &str) -> String {
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = credentials;
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
    let credentials = world.issue_for(format!("{} at {}", asked(&request.query), request.host));
    let answer = sts_answer(credentials, "AssumeRoleWithWebIdentity", role);
    Response::new(full(answer))
}
