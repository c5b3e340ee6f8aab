//! AWS Sign-In, which renews the sessions of `aws login`.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::Response;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{
    Credentials, Request, World,
    server::{Body, full},
};

/// A refresh token whose session has ended.
pub const ENDED: &str = "ended";

/// A refresh token to which the answer is no session at all.
pub const EMPTY: &str = "empty";

/// CreateOAuth2Token, for a refresh token.
pub fn answer(world: &World, request: &Request, body: &[u8]) -> Response<Body> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let proof = request.headers.get("dpop").map_or("", String::as_str);
    let scheme = if request.secure { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", request.host, request.path);
    if let Err(why) = check(proof, &url) {
        return refused(400, "ValidationException", "INVALID_REQUEST", &why);
    }
    if asked["grantType"] != "refresh_token" {
        return refused(400, "ValidationException", "INVALID_REQUEST", "grantType");
    }
    let token = asked["refreshToken"].as_str().unwrap_or_default();
    if token == ENDED {
        return refused(400, "AccessDeniedException", "TOKEN_EXPIRED", "ended");
    }
    if token == EMPTY {
        return Response::builder()
            .header("content-type", "application/json")
            .body(full(r#"{"accessToken": {"accessKeyId": "x"}}"#))
            .unwrap();
    }
    let Credentials {
        access_key,
        secret_key,
        token: session,
        ..
    } = world.issue_for(format!(
        "login by {token} of {} at {url}",
        asked["clientId"]
    ));
    let answer = json!({
        "accessToken": {"accessKeyId": access_key, "secretAccessKey": secret_key, "sessionToken": session},
        "tokenType": "aws_sigv4",
        "expiresIn": 900,
        "refreshToken": format!("{token}, renewed"),
    });
    Response::builder()
        .header("content-type", "application/json")
        .body(full(answer.to_string()))
        .unwrap()
}

/// Whether a DPoP proof (RFC 9449) is signed with the key that it names, for this URL.
fn check(proof: &str, url: &str) -> Result<(), String> {
    let (signed, signature) = proof.rsplit_once('.').ok_or("no proof")?;
    let (head, claims) = signed.split_once('.').ok_or("no claims")?;
    let decode = |text: &str| {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text);
        decoded.map_err(|error| format!("{text}: {error}"))
    };
    let json = |text: &str| -> Result<Value, String> {
        serde_json::from_slice(&decode(text)?).map_err(|error| error.to_string())
    };
    let (head, claims) = (json(head)?, json(claims)?);
    let mut point = vec![4];
    for name in ["x", "y"] {
        point.extend(decode(head["jwk"][name].as_str().unwrap_or_default())?);
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| "the signature is wrong")?;
    let fits = head["typ"] == "dpop+jwt"
        && head["alg"] == "ES256"
        && head["jwk"]["kty"] == "EC"
        && head["jwk"]["crv"] == "P-256"
        && claims["htm"] == "POST"
        && claims["htu"] == url
        && claims["iat"].is_u64()
        && claims["jti"].as_str().is_some_and(|id| id.len() >= 16);
    match fits {
        true => Ok(()),
        false => Err(format!("{head} {claims}")),
    }
}

fn refused(status: u16, code: &str, error: &str, message: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-amzn-errortype", code)
        .body(full(
            json!({"error": error, "message": message}).to_string(),
        ))
        .unwrap()
}

/// What `aws login` leaves in its cache: the keys of a session, until when they are good, and what renews them.
pub fn session(keys: &Credentials, until: &str, refresh_token: &str) -> Value {
    json!({
        "accessToken": {
            "accessKeyId": keys.access_key,
            "secretAccessKey": keys.secret_key,
            "sessionToken": keys.token,
            "accountId": "123456789012",
            "expiresAt": until,
        },
        "tokenType": "aws_sigv4",
        "refreshToken": refresh_token,
        "idToken": "id-never-in-a-log",
        "clientId": "arn:aws:signin:::devtools/same-device",
        "dpopKey": private_key(),
    })
}

/// A new key on the curve P-256, as RFC 5915 has it.
fn private_key() -> String {
    let pair = rcgen::KeyPair::generate().unwrap();
    let inner = pair.serialize_der();
    // In PKCS #8, the private key is the 32 bytes behind this head.
    let head = [2, 1, 1, 4, 32];
    let at = inner.windows(5).position(|bytes| bytes == head).unwrap() + 5;
    let mut der = vec![0x30, 0x77];
    der.extend(head);
    der.extend(&inner[at..at + 32]);
    der.extend(b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\xa1\x44\x03\x42\0");
    der.extend(pair.public_key_raw());
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = [0..64, 64..128, 128..text.len()].map(|of| &text[of]).into();
    format!(
        "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
        lines.join("\n")
    )
}
