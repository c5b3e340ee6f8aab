//! Certificates for any host name, from an authority made when the test runs.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

/// A certificate authority of its own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new authority, trusted by nobody yet.
    pub fn new() -> Arc<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "the harness of the cloudtrail plugin");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Arc::new(Self {
            issuer,
            key: KeyPair::generate().unwrap(),
            made: Mutex::default(),
        })
    }

    /// What goes into the file that `AWS_CA_BUNDLE` names.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Takes TLS connections in the name of any host.
    pub fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config).into()
    }

    fn certify(&self, host: &str) -> CertifiedKey {
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let leaf = params.signed_by(&self.key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let key = ring::sign::any_supported_type(&key).unwrap();
        CertifiedKey::new(vec![leaf.der().clone()], key)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Clients that were given an address name no host.
        let host = hello.server_name().unwrap_or("127.0.0.1").to_owned();
        let mut made = self.made.lock().unwrap();
        Some(
            made.entry(host.clone())
                .or_insert_with(|| Arc::new(self.certify(&host)))
                .clone(),
        )
    }
}
