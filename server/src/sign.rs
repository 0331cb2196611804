//! From approved to signed: whatever certificate this server issues, its composers have had their say.

use crate::issuer::Issuer;
use signet_ca::{IssuedX509, X509Authority, X509Error};
use signet_model::approve::{Approved, X509Grant};
use signet_model::compose::ComposeError;

/// Why an approved certificate was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignFault {
    /// A composer gave up or went too far.
    #[error("could not compose the certificate")]
    Compose(#[from] ComposeError),
    /// It could not be made.
    #[error(transparent)]
    Sign(#[from] X509Error),
}

impl SignFault {
    /// Whether it may succeed unchanged later, because the authority's key is elsewhere.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Sign(source) if source.is_transient())
    }
}

impl Issuer {
    /// Signs a certificate that was approved under this authority.
    pub(crate) async fn sign_x509(
        &self,
        authority: &X509Authority,
        grant: Approved<X509Grant>,
    ) -> Result<IssuedX509, SignFault> {
        let grant = grant.composed(&self.settings.composers)?;
        let now = self.clock.now();
        Ok(signet_ca::sign_x509(authority, grant, &*self.random, now).await?)
    }
}
