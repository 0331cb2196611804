//! One step at a time: the reconciler and an operator never change the slots of a kind together.

use signet_ca::slots::Kind;
use tokio::sync::{Mutex, MutexGuard};

/// A turn for each kind of authority. While one kind waits for a slow parent, the others go on.
#[derive(Debug, Default)]
pub struct Turns {
    x509: Mutex<()>,
    jwt: Mutex<()>,
    jwt_alternative: Mutex<()>,
    wit: Mutex<()>,
}

impl Turns {
    /// Waits until nobody else changes the slots of this kind.
    pub(super) async fn take(&self, kind: Kind) -> MutexGuard<'_, ()> {
        let turn = match kind {
            Kind::X509 => &self.x509,
            Kind::Jwt => &self.jwt,
            Kind::JwtAlternative => &self.jwt_alternative,
            Kind::Wit => &self.wit,
        };
        turn.lock().await
    }
}
