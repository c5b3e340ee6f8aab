//! What is asked in the place of AWS, by service, and who says so.

use anyhow::{Result, ensure};

use super::files::{Files, variable};
use crate::settings;
use crate::settings::location::presentable;

/// The URL of the store that is asked in the place of S3, if anything names one. Files that can't be read name none here;
/// whoever asks the store is told.
pub(crate) fn store_url(settings: &settings::Aws) -> Option<String> {
    let configured = || {
        let files = Files::read(settings).ok()?;
        let endpoint = Endpoint::configured(&files, "s3").ok()??;
        Some(endpoint.url)
    };
    settings.endpoint.clone().or_else(configured)
}

/// A server that is asked in the place of AWS.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Endpoint {
    pub url: String,
    /// The setting, variable or key that names it.
    pub from: String,
}

impl Endpoint {
    pub fn new(url: &str, from: impl Into<String>) -> Self {
        let url = url.trim();
        // What a bucket's name is joined to.
        let has_path = url
            .split_once("://")
            .is_some_and(|(_, rest)| rest.contains('/'));
        let slash = if has_path && !url.ends_with('/') {
            "/"
        } else {
            ""
        };
        Self {
            url: format!("{url}{slash}"),
            from: from.into(),
        }
    }

    /// What the configuration names for a service, `s3` say, in the order of the AWS CLI.
    pub fn configured(files: &Files, service: &str) -> Result<Option<Self>> {
        if files.is_on(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "ignore_configured_endpoint_urls",
        ) {
            return Ok(None);
        }
        let own = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
        for name in [own.as_str(), "AWS_ENDPOINT_URL"] {
            if let Some(url) = variable(name) {
                return Self::checked(&url, name.to_owned()).map(Some);
            }
        }
        let profile = &files.profile;
        if let Some(url) = files.of_service(service, "endpoint_url")? {
            let from =
                format!("endpoint_url of {service} in the services of the profile {profile:?}");
            return Self::checked(url, from).map(Some);
        }
        match files
            .get("endpoint_url")
            .filter(|url| !url.trim().is_empty())
        {
            Some(url) => {
                let from = format!("endpoint_url of the profile {profile:?}");
                Self::checked(url, from).map(Some)
            }
            None => Ok(None),
        }
    }

    fn checked(url: &str, from: String) -> Result<Self> {
        let is_url = url::Url::parse(url.trim())
            .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.host().is_some());
        ensure!(
            is_url,
            "{from}: {:?} is not a URL such as https://minio.example.com:9000",
            presentable(url)
        );
        Ok(Self::new(url, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_added_to_the_path_of_an_endpoint() {
        for (url, expected) in [
            ("http://h:9000", "http://h:9000"),
            ("http://h/", "http://h/"),
            ("http://h/storage/v1/s3", "http://h/storage/v1/s3/"),
            (" https://h/a/ ", "https://h/a/"),
        ] {
            assert_eq!(Endpoint::new(url, "x").url, expected);
        }
    }

    #[test]
    fn an_endpoint_that_is_not_a_url_is_an_error() {
        for bad in ["minio:9000", "http://", "ftp://h", "h"] {
            let error = Endpoint::checked(bad, "AWS_ENDPOINT_URL".to_owned());
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("AWS_ENDPOINT_URL: "), "{error}");
        }
    }
}
