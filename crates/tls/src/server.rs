//! The server's side of a handshake: the client's certificate is optional, but a bad one is fatal.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use signet_runtime::Clock;
use signet_spiffe::{SpiffeId, TrustDomain};

use crate::identity::Identity;
use crate::provider::{self, KeyExchange, TlsError};
use crate::refused::PeerRefused;
use crate::time::{ClockTime, system};
use crate::trust::{self, Trust};

/// The only application protocol: gRPC is HTTP/2.
pub(crate) const ALPN: &[u8] = b"h2";

/// What the server's side of a handshake goes by.
#[derive(Clone)]
pub struct ServerTls {
    /// What it shows.
    pub identity: Arc<Identity>,
    /// What it verifies clients with.
    pub trust: Arc<Trust>,
    /// The trust domain whose members may connect.
    pub trust_domain: TrustDomain,
    /// Members of other trust domains that may connect too (SPIRE's `admin_ids`).
    pub foreign: BTreeSet<SpiffeId>,
    /// Which key exchanges it agrees to.
    pub key_exchange: KeyExchange,
    /// The time it judges validity by.
    pub clock: Arc<dyn Clock>,
}

/// The rustls configuration for `tls`: 1.3 or 1.2, `h2`, a certificate asked for but not demanded, no
/// tickets and no resumption of any kind.
///
/// # Errors
/// [`TlsError`] if this build cannot do what is asked.
pub fn server_config(tls: &ServerTls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider::provider(tls.key_exchange)?;
    let verifier = Verifier {
        tls: tls.clone(),
        provider: Arc::clone(&provider),
    };
    let time = Arc::new(ClockTime(Arc::clone(&tls.clock)));
    let mut config = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(provider::versions(tls.key_exchange))
        .map_err(|source| TlsError::Configure { source })?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::clone(&tls.identity) as _);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the check against the current bundle.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Verifies a client's certificate.
struct Verifier {
    tls: ServerTls,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// The cheap questions come first: a stranger shall not cost us a path check.
    fn verify(&self, chain: &[&[u8]], now: UnixTime) -> Result<(), PeerRefused> {
        let svid = trust::parse(chain)?;
        let own = *svid.id.trust_domain() == self.tls.trust_domain;
        if !own && !self.tls.foreign.contains(&svid.id) {
            return Err(PeerRefused::Foreign { claimed: svid.id });
        }
        self.tls
            .trust
            .verify_as_of(svid.id.trust_domain(), chain, system(now))?;
        Ok(())
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: they would tell a stranger our authorities, and clients have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(&chain(end_entity, intermediates), now)?;
        Ok(ClientCertVerified::assertion())
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
            .field("trust_domain", &self.tls.trust_domain)
            .finish()
    }
}

/// Leaf and intermediates as one chain.
pub(crate) fn chain<'a>(
    end_entity: &'a CertificateDer<'_>,
    intermediates: &'a [CertificateDer<'_>],
) -> Vec<&'a [u8]> {
    std::iter::once(end_entity)
        .chain(intermediates)
        .map(AsRef::as_ref)
        .collect()
}
