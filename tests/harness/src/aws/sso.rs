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
    } = world.issue();
    let role = json!({
        "accessKeyId": access_key,
        "secretAccessKey": secret_key,
        "sessionToken": token,
        "expiration": jiff::Timestamp::now().as_millisecond() + 3_600_000,
    });
    Response::new(full(json!({"roleCredentials": role}).to_string()))
}
