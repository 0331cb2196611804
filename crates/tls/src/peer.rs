//! Who is at the other end, as far as its certificate proved it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use signet_spiffe::x509_svid::X509Svid;
use signet_spiffe::{Serial, SpiffeId};

use crate::refused::PeerRefused;
use crate::trust::{self, Trust};

/// What is known of a connection's other end; tonic puts it into each request's extensions.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Its network address; none for streams in memory.
    pub addr: Option<SocketAddr>,
    /// Who it proved to be; none if it showed no certificate.
    pub peer: Option<Arc<VerifiedPeer>>,
}

/// A peer whose certificate chain was verified, and may have to be again.
#[derive(Debug)]
pub struct VerifiedPeer {
    svid: X509Svid,
    generation: AtomicU64,
}

impl VerifiedPeer {
    /// Reads the chain of a handshake that `generation` of the trust, or a later one, has verified.
    /// Passing the generation from before the handshake is safe: at worst the chain is checked twice.
    pub(crate) fn after_handshake(
        chain: &[impl AsRef<[u8]>],
        generation: u64,
    ) -> Result<Self, PeerRefused> {
        Ok(Self {
            svid: trust::parse(chain)?,
            generation: AtomicU64::new(generation),
        })
    }

    /// Verifies `chain`, leaf first, as a handshake would: for callers that come in another way.
    ///
    /// # Errors
    /// [`PeerRefused`] says why not.
    pub fn verify(
        chain: &[impl AsRef<[u8]>],
        trust: &Trust,
        now: SystemTime,
    ) -> Result<Self, PeerRefused> {
        let generation = trust.generation();
        let svid = trust.verify(chain, now)?;
        Ok(Self {
            svid,
            generation: AtomicU64::new(generation),
        })
    }

    /// Judges an open connection at a call: the certificate must not have expired, and if the trust
    /// has changed since it was last verified, the chain is verified again.
    ///
    /// # Errors
    /// [`PeerRefused`]: this call must be refused, and each later one will be too.
    pub fn recheck(&self, trust: &Trust, now: SystemTime) -> Result<(), PeerRefused> {
        if now > self.svid.not_after {
            return Err(PeerRefused::Expired);
        }
        let generation = trust.generation();
        if self.generation.load(Ordering::Acquire) != generation {
            trust.verify_as_of(self.id().trust_domain(), &self.svid.chain, now)?;
            self.generation.store(generation, Ordering::Release);
        }
        Ok(())
    }

    /// Its SPIFFE ID.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.svid.id
    }

    /// The serial number of its certificate.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.svid.serial
    }

    /// When its certificate begins to be valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.svid.not_before
    }

    /// When its certificate expires.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.svid.not_after
    }

    /// Its certificate chain in DER, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[Arc<[u8]>] {
        &self.svid.chain
    }

    /// All of its X509-SVID.
    #[must_use]
    pub fn svid(&self) -> &X509Svid {
        &self.svid
    }
}
