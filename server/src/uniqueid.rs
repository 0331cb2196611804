//! The credential composer `uniqueid`: names workloads in their subject for readers that cannot read
//! a SPIFFE ID.

use signet_crypto::{hex, sha256};
use signet_model::approve::Attribute;
use signet_model::compose::{BoxError, CertificateParts, Composer};
use signet_spiffe::{PublicKey, SpiffeId};

/// How much of the hash is kept, as in SPIRE.
const BYTES: usize = 16;

/// Adds `x500UniqueIdentifier` to the subject of workloads: the first half of the SHA-256 of their
/// SPIFFE ID in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct UniqueId;

impl Composer for UniqueId {
    fn name(&self) -> &'static str {
        "uniqueid"
    }

    fn workload_x509(
        &self,
        id: &SpiffeId,
        _key: &PublicKey,
        parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        let hash = sha256(id.as_str().as_bytes());
        let subject = std::mem::take(&mut parts.subject);
        parts.subject = subject.with(Attribute::UniqueIdentifier, hex(&hash[..BYTES]));
        Ok(())
    }
}
