//! SSO.

use http::Response;
use serde_json::json;

use super::{
    Credentials, Request, World,
    server::{Body, full, refused},
};

pub fn answer(world: &World, request: &Request) -> Response<Body> {
    if !request.headers.contains_key("x-amz-sso_bearer_token") {
        return refused(401);
    }
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = world.issue_for(format!(
        "SSO {:?} at {} by {:?}",
        request.query,
        request.host,
        request.headers.get("x-amz-sso_bearer_token")
    ));
    let role = json!({
        "accessKeyId": access_key,
        "secretAccessKey": secret_key,
        "sessionToken": token,
        "expiration": jiff::Timestamp::now().as_millisecond() + 3_600_000,
    });
    Response::new(full(json!({"roleCredentials": role}).to_string()))
}

/// Another token for one that ends.
pub fn token() -> Response<Body> {
    let token =
        json!({"accessToken": "renewed-never-in-a-log", "expiresIn": 3600, "tokenType": "Bearer"});
    Response::builder()
        .header("content-type", "application/json")
        .body(full(token.to_string()))
        .unwrap()
}
