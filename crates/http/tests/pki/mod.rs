//! An authority for servers and clients of these tests.

#![allow(dead_code, reason = "each test program uses its part")]

use std::path::PathBuf;
use std::sync::Arc;

use signet_http::{ClientCertificate, Roots};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// An authority and what it vouches for, in files.
pub(crate) struct Pki {
    pub(crate) directory: TempDir,
    key: rcgen::KeyPair,
    certificate: rcgen::Certificate,
    params: rcgen::CertificateParams,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            directory,
            key,
            certificate,
            params,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::File(self.path("ca.pem"))
    }

    pub(crate) fn leaf(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap(), key)
    }

    pub(crate) fn client_certificate(&self) -> ClientCertificate {
        let (certificate, key) = self.leaf("client");
        std::fs::write(self.path("client.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("client.key"), key.serialize_pem()).unwrap();
        ClientCertificate::from_files(&self.path("client.pem"), &self.path("client.key")).unwrap()
    }

    pub(crate) fn acceptor(&self, name: &str, asks: bool) -> TlsAcceptor {
        let (certificate, key) = self.leaf(name);
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if asks {
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}
