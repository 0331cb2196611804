//! Credential composition: what an operator's composer may add to what was approved.
//!
//! A composer sees a part of the credential and changes it: subject, DNS names and further
//! extensions of a certificate, further claims of a JWT-SVID. SPIFFE ID, key, validity and key usage
//! are not among the parts, so no composer can touch them; what it changed is checked after each
//! ([`Approved::composed`](crate::Approved::composed)), and the outcome is still an approved grant.
//! WIT-SVIDs are not composed, as in SPIRE.

mod apply;
mod extension;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use signet_spiffe::{PublicKey, SpiffeId};

use crate::approve::Subject;

pub use apply::{ComposeError, Fault, MAX_EXTENSIONS};
pub use extension::{Extension, ExtensionError, MAX_EXTENSION_BYTES};

/// Why a composer gave up; then nothing is issued.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The parts of an SVID's certificate that a composer may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateParts {
    /// The distinguished name; never empty.
    pub subject: Subject,
    /// The DNS SANs, in order.
    pub dns_names: Vec<String>,
    /// Extensions besides those that every SVID has.
    pub extensions: Vec<Extension>,
}

/// The parts of an authority's certificate that a composer may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityParts {
    /// The distinguished name; never empty. Unless a serial number stands in it, that of the
    /// certificate is added.
    pub subject: Subject,
    /// Extensions besides those that every authority has.
    pub extensions: Vec<Extension>,
}

/// Changes credentials between approval and signature. What a composer does not care for it leaves
/// as it is. Pure: the same parts come out the same.
pub trait Composer: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// The certificate of an authority of this server's that certifies itself.
    fn server_ca(&self, _parts: &mut AuthorityParts) -> Result<(), BoxError> {
        Ok(())
    }

    /// The certificate of the server itself.
    fn server_x509(&self, _parts: &mut CertificateParts) -> Result<(), BoxError> {
        Ok(())
    }

    /// The certificate of the agent with this ID and key.
    fn agent_x509(
        &self,
        _id: &SpiffeId,
        _key: &PublicKey,
        _parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// The certificate of the workload with this ID and key.
    fn workload_x509(
        &self,
        _id: &SpiffeId,
        _key: &PublicKey,
        _parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// All claims of the token of the workload with this ID. `sub`, `aud`, `exp` and `iat` must
    /// stay as they are.
    fn workload_jwt(
        &self,
        _id: &SpiffeId,
        _claims: &mut Map<String, Value>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The composers of a server, in the order of its configuration: each sees what the one before
/// made of it.
#[derive(Clone, Default)]
pub struct Composers(Vec<Arc<dyn Composer>>);

impl Composers {
    /// These, in this order.
    #[must_use]
    pub fn new(composers: Vec<Arc<dyn Composer>>) -> Self {
        Self(composers)
    }

    fn iter(&self) -> impl Iterator<Item = &dyn Composer> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Composers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(Composer::name))
            .finish()
    }
}
