//! The credentials of a container.

use http::Response;
use serde_json::{Value, json};

use super::{
    Credentials, Request, World,
    server::{Body, full, refused},
    sts::in_an_hour,
};

pub fn answer(world: &World, request: &Request) -> Response<Body> {
    let wanted = world.container_token.lock().unwrap().clone();
    if wanted.is_some_and(|token| request.headers.get("authorization") != Some(&token)) {
        return refused(401);
    }
    Response::new(full(
        credentials(
            world,
            format!(
                "{} by {:?}",
                request.path,
                request.headers.get("authorization")
            ),
        )
        .to_string(),
    ))
}

/// New credentials in the words that instances use, too.
pub fn credentials(world: &World, origin: String) -> Value {
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = world.issue_for(origin);
    json!({
        "AccessKeyId": access_key,
        "SecretAccessKey": secret_key,
        "Token": token,
        "Expiration": in_an_hour(),
    })
}
