//! What AWS knows: buckets, keys, roles.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI32},
    },
};

use super::{ACCESS_KEY, REGION, Request, SECRET_KEY};

/// Credentials that this AWS knows.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `AKIA…` or `ASIA…`
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
    /// The session token of temporary ones.
    pub token: Option<String>,
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`
    pub partition: String,
    /// Whether they were good once.
    pub expired: bool,
}

impl Credentials {
    /// The key that is always there.
    pub fn long_lived() -> Self {
        Self {
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            token: None,
            partition: "aws".into(),
            expired: false,
        }
    }

    /// The section of a profile in a file of credentials.
    pub fn section(&self, profile: &str) -> String {
        let token = self.token.as_ref();
        let token = token.map_or(String::new(), |token| {
            format!("aws_session_token = {token}\n")
        });
        format!(
            "[{profile}]\naws_access_key_id = {}\naws_secret_access_key = {}\n{token}",
            self.access_key, self.secret_key
        )
    }
}

/// What AWS knows.
#[derive(Default)]
pub struct World {
    pub keys: Mutex<HashMap<String, Credentials>>,
    /// Buckets outside [`REGION`].
    pub regions: Mutex<HashMap<String, String>>,
    /// Bucket names of access points.
    pub aliases: Mutex<HashMap<String, String>>,
    /// Of objects, by bucket and key.
    pub metadata: Mutex<HashMap<(String, String), HashMap<String, String>>>,
    /// Roles that may be assumed, with the external ID that they ask for.
    pub roles: Mutex<HashMap<String, Option<String>>>,
    /// The header with which a container must ask.
    pub container_token: Mutex<Option<String>>,
    /// What was asked for temporary keys, by access key.
    pub origins: Mutex<HashMap<String, String>>,
    /// Keys of a page of a listing; 0 for S3's own 1,000.
    pub page: AtomicI32,
    /// Keys in listings are as they are, and are said to be encoded.
    pub raw: AtomicBool,
    /// Listings tell ETags.
    pub etags: AtomicBool,
}

impl World {
    pub fn add_key(&self, credentials: Credentials) {
        self.keys
            .lock()
            .unwrap()
            .insert(credentials.access_key.clone(), credentials);
    }

    /// The credentials that a request is signed with.
    pub fn key_of(&self, request: &Request) -> Option<Credentials> {
        let keys = self.keys.lock().unwrap();
        keys.get(request.access_key.as_ref()?).cloned()
    }

    /// Temporary credentials for a request that tells what it wants.
    pub fn issue_for(&self, origin: String) -> Credentials {
        let credentials = self.issue();
        let mut origins = self.origins.lock().unwrap();
        origins.insert(credentials.access_key.clone(), origin);
        credentials
    }

    /// A key as given, or what was asked for it.
    pub fn origin(&self, access_key: &str) -> String {
        let origins = self.origins.lock().unwrap();
        origins
            .get(access_key)
            .cloned()
            .unwrap_or_else(|| access_key.into())
    }

    pub fn issue(&self) -> Credentials {
        let number = self.keys.lock().unwrap().len();
        let credentials = Credentials {
            access_key: format!("ASIAHARNESSEXAMPLE{number:02}"),
            secret_key: format!("temporary/{number:02}/secret/never/in/a/log/KEY"),
            token: Some(format!("session-token-{number:02}-never-in-a-log")),
            partition: "aws".into(),
            expired: false,
        };
        self.add_key(credentials.clone());
        credentials
    }

    pub fn region(&self, bucket: &str) -> String {
        let bucket = self.real(bucket);
        self.regions
            .lock()
            .unwrap()
            .get(&bucket)
            .cloned()
            .unwrap_or_else(|| REGION.into())
    }

    pub fn real(&self, bucket: &str) -> String {
        let aliases = self.aliases.lock().unwrap();
        aliases
            .get(bucket)
            .cloned()
            .unwrap_or_else(|| bucket.into())
    }
}

/// The partition that a region is in.
pub fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ if region.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}
