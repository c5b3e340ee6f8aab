//! A home for plugins of the test's own process, whose environment belongs to all its tests: credentials are in a file
//! that the configuration names, and that a test may write anew.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    aws::{Credentials, REGION},
    capture::merge,
};

/// A folder with a file of credentials.
pub struct Home(TempDir);

impl Home {
    /// With the long-lived key.
    pub fn make() -> Self {
        let home = Self(TempDir::new().unwrap());
        home.log_in(&Credentials::long_lived());
        home
    }

    /// Replaces the credentials.
    pub fn log_in(&self, credentials: &Credentials) {
        fs::write(self.credentials(), credentials.section("default")).unwrap();
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The file of credentials.
    pub fn credentials(&self) -> PathBuf {
        self.path().join("credentials")
    }

    /// A configuration that finds them, and more keys.
    pub fn config(&self, endpoint: &str, more: Value) -> String {
        let mut config = json!({"aws": {
            "endpoint": endpoint,
            "region": REGION,
            "profile": "default",
            "credentials": self.credentials(),
        }});
        merge(&mut config, more);
        config.to_string()
    }
}
