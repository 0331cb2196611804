//! The client's side of a handshake: the server must be the one SPIFFE ID that was dialled.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use signet_runtime::Clock;
use signet_spiffe::SpiffeId;

use crate::identity::Identity;
use crate::provider::{self, KeyExchange, TlsError};
use crate::refused::PeerRefused;
use crate::server::{ALPN, chain};
use crate::time::{ClockTime, system};
use crate::trust::{self, Trust};

/// What the client's side of a handshake goes by.
#[derive(Clone)]
pub struct ClientTls {
    /// What it shows; nothing for a connection that authenticates the server only.
    pub identity: Arc<Identity>,
    /// What it verifies the server with.
    pub trust: ServerTrust,
    /// The only server it talks to. Host names in certificates mean nothing here.
    pub server_id: SpiffeId,
    /// Which key exchanges it agrees to.
    pub key_exchange: KeyExchange,
    /// The time it judges validity by.
    pub clock: Arc<dyn Clock>,
}

/// What a server is verified with.
#[derive(Clone)]
pub enum ServerTrust {
    /// Its chain must lead to the bundle of its trust domain.
    Bundle(Arc<Trust>),
    /// Its certificate need only name the expected ID, which anyone can do: for the first contact of
    /// an agent whose operator chose `insecure_bootstrap`, never else.
    InsecureBootstrap,
}

/// The rustls configuration for `tls`: 1.3 or 1.2, `h2`, no resumption.
///
/// # Errors
/// [`TlsError`] if this build cannot do what is asked.
pub fn client_config(tls: &ClientTls) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider::provider(tls.key_exchange)?;
    let verifier = Verifier {
        tls: tls.clone(),
        provider: Arc::clone(&provider),
    };
    let time = Arc::new(ClockTime(Arc::clone(&tls.clock)));
    let mut config = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(provider::versions(tls.key_exchange))
        .map_err(|source| TlsError::Configure { source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::clone(&tls.identity) as _);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Verifies the server's certificate.
struct Verifier {
    tls: ClientTls,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn verify(&self, chain: &[&[u8]], now: UnixTime) -> Result<(), PeerRefused> {
        let svid = trust::parse(chain)?;
        if let ServerTrust::Bundle(trust) = &self.tls.trust {
            trust.verify_as_of(svid.id.trust_domain(), chain, system(now))?;
        }
        if svid.id != self.tls.server_id {
            let expected = self.tls.server_id.clone();
            return Err(PeerRefused::WrongServer {
                expected,
                found: svid.id,
            });
        }
        Ok(())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(&chain(end_entity, intermediates), now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("server_id", &self.tls.server_id)
            .finish()
    }
}
