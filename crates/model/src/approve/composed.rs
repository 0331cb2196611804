//! Approved grants stay approved when a server's composers have had their say.

use super::{Approved, JwtGrant, X509Grant};
use crate::compose::{ComposeError, Composers};

impl Approved<X509Grant> {
    /// The same grant with subject, DNS names and further extensions as `composers` make them.
    ///
    /// # Errors
    /// [`ComposeError`] names the composer and what it did.
    pub fn composed(self, composers: &Composers) -> Result<Self, ComposeError> {
        composers.svid(self.0).map(Self)
    }
}

impl Approved<JwtGrant> {
    /// The same grant with the claims as `composers` make them.
    ///
    /// # Errors
    /// [`ComposeError`] names the composer and what it did.
    pub fn composed(self, composers: &Composers) -> Result<Self, ComposeError> {
        composers.token(self.0).map(Self)
    }
}
