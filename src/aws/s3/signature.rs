//! Signatures of GET requests: AWS Signature Version 4 in a header, as
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html> has it. The SDK's own cost seven times
//! as much, since it makes the key anew for each request and knows much that these requests don't need.

use std::fmt::Write;

use aws_credential_types::Credentials;
use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::integrity::hex;

/// The SHA-256 of a request without a body.
pub(super) const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Signs with one pair of keys, for a service in a region, on one day.
pub(super) struct Signer {
    pub credentials: Credentials,
    /// `20240305`
    day: String,
    /// `20240305/us-east-1/s3/aws4_request`
    scope: String,
    key: hmac::Key,
}

impl Signer {
    /// `day` is as in `20240305`.
    pub fn new(credentials: Credentials, day: &str, region: &str, service: &str) -> Self {
        let secret = format!("AWS4{}", credentials.secret_access_key());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        for part in [day, region, service, "aws4_request"] {
            let next = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, next.as_ref());
        }
        Self {
            credentials,
            day: day.to_owned(),
            scope: format!("{day}/{region}/{service}/aws4_request"),
            key,
        }
    }

    /// Is it still right for a request on this day?
    pub fn is_for(&self, credentials: &Credentials, day: &str) -> bool {
        self.day == day && self.credentials == *credentials
    }

    /// The header `Authorization` of a GET request at a time, such as `20240305T120000Z`. Path and query are as they are
    /// sent, the query's parameters in their order; the headers' names are in lower case, and in their order too.
    pub fn authorization(
        &self,
        time: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> String {
        let mut signed = String::with_capacity(128);
        let mut request = String::with_capacity(1024);
        request.extend(["GET\n", path, "\n", query, "\n"]);
        for (name, value) in headers {
            request.extend([name, ":", value, "\n"]);
            let separator = if signed.is_empty() { "" } else { ";" };
            signed.extend([separator, name]);
        }
        request.extend(["\n", &signed, "\n", NO_BODY]);
        let scope = &self.scope;
        let hash = hex(digest(&SHA256, request.as_bytes()).as_ref());
        request.clear();
        // Writing to a string can't fail.
        _ = write!(request, "AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let signature = hex(hmac::sign(&self.key, request.as_bytes()).as_ref());
        let key = self.credentials.access_key_id();
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
    }
}
