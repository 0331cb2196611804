//! TLS as a workload sees it at one moment: rustls, with the SVID and the bundle of one message of the
//! Workload API.
//!
//! `spiffe-rustls` is not the witness here. From the moment at which its source has a new message until
//! its own task has converted it, it refuses every handshake, whatever the message says, and says it to
//! the peer as "access denied" (its 0.11, `PendingRevision`). With news every second that happens.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::workload::Held;

pub(super) fn acceptor(held: &Held) -> TlsAcceptor {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(held), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain(held), key(held))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub(super) fn connector(held: &Held) -> TlsConnector {
    let provider = provider();
    let verifier = ByBundle {
        roots: roots(held),
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain(held), key(held))
        .unwrap();
    TlsConnector::from(Arc::new(config))
}

/// The chain verifies by an authority of the bundle; names are for the caller.
pub(super) fn verify(held: &Held, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
    let verifier = ByBundle {
        roots: roots(held),
        provider: provider(),
    };
    let (leaf, above) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    verifier.verify(leaf, above, UnixTime::now())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(held: &Held) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in held.bundle.authorities() {
        roots.add(authority.as_bytes().to_vec().into()).unwrap();
    }
    Arc::new(roots)
}

fn chain(held: &Held) -> Vec<CertificateDer<'static>> {
    let chain = held.svid.cert_chain().iter();
    chain.map(|one| one.as_bytes().to_vec().into()).collect()
}

fn key(held: &Held) -> PrivateKeyDer<'static> {
    let key = held.svid.private_key().as_bytes().to_vec();
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key))
}

/// As SPIFFE has it: the name that was dialled says nothing.
#[derive(Debug)]
struct ByBundle {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ByBundle {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let leaf = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, above, now, algorithms)
    }
}

impl ServerCertVerifier for ByBundle {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, above, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
