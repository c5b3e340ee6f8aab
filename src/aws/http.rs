//! The HTTP client that all requests share.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as TlsProvider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::files::{Files, variable};
use super::proxies::Proxies;
use crate::process::platform::user_path;
use crate::process::{lock, panic_text};

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take to begin, and then to go on.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may take to be made, and an answer to begin.
type Timeouts = (Option<Duration>, Option<Duration>);

/// One pool of connections for all requests with the same timeouts.
#[derive(Clone)]
pub(crate) struct Http(Arc<dyn Fn(Timeouts) -> SharedHttpConnector + Send + Sync>);

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Http")
    }
}

impl Http {
    /// TLS with the system's roots or those of a bundle, through the proxies of the environment, as the AWS CLI does.
    pub(super) fn new(files: &Files) -> Result<Self> {
        Self::through(Proxies::of(|name| std::env::var(name).ok()), files)
    }

    /// The same without proxies: for what is on this machine, and what nobody else is to see.
    pub(super) fn direct(files: &Files) -> Result<Self> {
        Self::through(Proxies::of(|_| None), files)
    }

    fn through(proxies: Proxies, files: &Files) -> Result<Self> {
        let bundle = bundle(files)?;
        let connectors: Mutex<HashMap<Timeouts, SharedHttpConnector>> = Mutex::default();
        Ok(Self(Arc::new(move |timeouts| {
            let mut connectors = lock(&connectors);
            connectors
                .entry(timeouts)
                .or_insert_with(|| {
                    let [http, https] = proxies
                        .configs()
                        .map(|proxy| connector(timeouts, bundle.as_ref(), proxy));
                    SharedHttpConnector::new(ByScheme { http, https })
                })
                .clone()
        })))
    }

    /// In place of the network.
    #[cfg(test)]
    pub(super) fn of(connector: SharedHttpConnector) -> Self {
        Self(Arc::new(move |_| connector.clone()))
    }

    /// As the SDK's clients have it. They ask for a connector with every request.
    pub(super) fn client(&self) -> SharedHttpClient {
        let http = self.clone();
        http_client_fn(move |settings, _| {
            (http.0)((settings.connect_timeout(), settings.read_timeout()))
        })
    }

    /// What sends single requests, with the same timeouts and connections as the SDK's clients.
    pub(super) fn connector(&self) -> SharedHttpConnector {
        (self.0)((Some(CONNECT_TIMEOUT), Some(READ_TIMEOUT)))
    }
}

/// The SDK's connectors have a proxy for one of the two.
#[derive(Debug)]
struct ByScheme {
    http: SharedHttpConnector,
    https: SharedHttpConnector,
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match request.uri().starts_with("https:") {
            true => self.https.call(request),
            false => self.http.call(request),
        }
    }
}

/// Trust in the certificates of the file that the environment or the profile names, if one of them does.
fn bundle(files: &Files) -> Result<Option<TlsContext>> {
    if let Some(path) = variable("AWS_CA_BUNDLE") {
        return trusting("AWS_CA_BUNDLE", &path).map(Some);
    }
    let Some(path) = files.get("ca_bundle").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let from = format!("ca_bundle of the profile {:?}", files.profile);
    trusting(&from, path).map(Some)
}

/// Trust in the certificates of a file, which a variable or the profile names.
fn trusting(from: &str, path: &str) -> Result<TlsContext> {
    let certificates =
        std::fs::read(user_path(path)).with_context(|| format!("{from}: {path} can't be read"))?;
    anyhow::ensure!(
        memchr::memmem::find(&certificates, b"-----BEGIN CERTIFICATE-----").is_some(),
        "{from}: {path} holds no certificates in PEM form"
    );
    let trust = TrustStore::empty()
        .with_native_roots(false)
        .with_pem_certificate(certificates);
    let tls = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .with_context(|| from.to_owned())?;
    // The SDK panics over certificates that can't be parsed: let it do that here.
    let try_out = || connector((None, None), Some(&tls), ProxyConfig::disabled());
    catch_unwind(AssertUnwindSafe(try_out)).map_err(|panic| {
        anyhow!(
            "{from}: {path} is not a file of certificates in PEM form: {}",
            panic_text(&*panic)
        )
    })?;
    Ok(tls)
}

fn connector(
    (connect_timeout, read_timeout): Timeouts,
    tls: Option<&TlsContext>,
    proxy: ProxyConfig,
) -> SharedHttpConnector {
    let mut settings = HttpConnectorSettings::builder();
    settings.set_connect_timeout(connect_timeout);
    settings.set_read_timeout(read_timeout);
    let mut builder = Connector::builder()
        .connector_settings(settings.build())
        .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .proxy_config(proxy)
        .tls_provider(TlsProvider::Rustls(CryptoMode::Ring));
    if let Some(tls) = tls {
        builder = builder.tls_context(tls.clone());
    }
    SharedHttpConnector::new(builder.build())
}
