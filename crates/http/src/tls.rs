//! The client's side of TLS: who vouches for a server, and what it is shown.

use std::path::Path;
use std::sync::Arc;

use signet_crypto::{SecretString, pem};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::{ClientCertificate, Roots, SetupError};

/// Where the distributions keep the authorities that the machine trusts.
pub(crate) const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS 1.3 or 1.2, HTTP/1.1, and a whole handshake for each connection.
pub(crate) fn config(
    roots: &Roots,
    certificate: Option<&ClientCertificate>,
) -> Result<Arc<ClientConfig>, SetupError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?;
    let lenient = |roots| {
        let verifier = Lenient { roots, provider };
        let builder = builder.clone().dangerous();
        builder.with_custom_certificate_verifier(Arc::new(verifier))
    };
    let builder = match roots {
        Roots::System => builder.clone().with_root_certificates(system_roots()?),
        Roots::File(path) => builder.clone().with_root_certificates(roots_of(path)?),
        Roots::Text(text) => builder
            .clone()
            .with_root_certificates(roots_in(text, Path::new("the CA"))?),
        Roots::FileForAnyName(path) => lenient(Some(roots_of(path)?)),
        Roots::Unverified => lenient(None),
    };
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let chain = shown.chain.iter().cloned().map(CertificateDer::from);
            let key = PrivatePkcs8KeyDer::from(shown.pkcs8.expose().to_vec());
            builder
                .with_client_auth_cert(chain.collect(), PrivateKeyDer::Pkcs8(key))
                .map_err(SetupError::Tls)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore, SetupError> {
    let found = SYSTEM_ROOTS.iter().map(|path| roots_of(Path::new(path)));
    found.flatten().next().ok_or(SetupError::NoRoots)
}

fn roots_of(path: &Path) -> Result<RootCertStore, SetupError> {
    roots_in(read(path)?.expose(), path)
}

fn roots_in(text: &str, origin: &Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    let ders = certificates_in(text, origin)?
        .into_iter()
        .map(CertificateDer::from);
    // Some of a machine's are of kinds that nobody verifies with; the others do.
    roots.add_parsable_certificates(ders);
    if roots.is_empty() {
        return Err(SetupError::NoCertificate {
            path: origin.to_owned(),
        });
    }
    Ok(roots)
}

/// The certificates in a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, SetupError> {
    certificates_in(read(path)?.expose(), path)
}

/// The certificates in a PEM text that came from `origin`, at least one.
pub(crate) fn certificates_in(text: &str, origin: &Path) -> Result<Vec<Vec<u8>>, SetupError> {
    let blocks = pem::parse(text).map_err(|source| SetupError::Pem {
        path: origin.to_owned(),
        source,
    })?;
    let certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
    let ders: Vec<_> = certificates
        .map(|block| block.content.expose().to_vec())
        .collect();
    if ders.is_empty() {
        return Err(SetupError::NoCertificate {
            path: origin.to_owned(),
        });
    }
    Ok(ders)
}

pub(crate) fn read(path: &Path) -> Result<SecretString, SetupError> {
    let text = std::fs::read_to_string(path);
    text.map(SecretString::new)
        .map_err(|source| SetupError::Read {
            path: path.to_owned(),
            source,
        })
}

/// Asks for less than the standard does, as the operator wanted: any name, or any certificate.
#[derive(Debug)]
struct Lenient {
    /// Whoever they vouch for is taken, whatever its name; without any, everybody.
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let leaf = ParsedCertificate::try_from(leaf)?;
            verify_server_cert_signed_by_trust_anchor(
                &leaf,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
