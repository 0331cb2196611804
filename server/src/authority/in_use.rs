//! What signs now. The reconciler sets it; whoever issues takes it.

use super::audience::Audiences;
use super::fault::AuthorityFault;
use arc_swap::ArcSwapOption;
use signet_ca::slots::Kind;
use signet_ca::{JwtAuthorityKey, WitAuthorityKey, X509Authority};
use signet_datastore::records::{Slot, SlotKind};
use signet_keys::Signer;
use std::sync::Arc;
use tokio::sync::watch;

/// No authority of this kind may sign at the moment: its key or its place in the bundle is gone, and
/// no other could be made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no {0} authority can sign at the moment; the log says why")]
pub struct NoAuthority(pub Kind);

/// The authorities that sign now. Set before anything is served.
#[derive(Default)]
pub struct Authorities {
    x509: ArcSwapOption<X509Authority>,
    jwt: ArcSwapOption<JwtAuthorityKey>,
    jwt_alternative: ArcSwapOption<JwtAuthorityKey>,
    alternative_for: Audiences,
    wit: ArcSwapOption<WitAuthorityKey>,
    changes: watch::Sender<()>,
}

impl Authorities {
    /// None yet. The alternative JWT key is to sign for these audiences.
    pub fn new(alternative_for: Audiences) -> Self {
        Self {
            alternative_for,
            ..Self::default()
        }
    }

    /// The X.509 authority that signs now.
    pub fn x509(&self) -> Result<Arc<X509Authority>, NoAuthority> {
        self.x509.load_full().ok_or(NoAuthority(Kind::X509))
    }

    /// The JWT key that signs now for a token with these audiences.
    pub fn jwt_for(&self, audience: &[String]) -> Result<Arc<JwtAuthorityKey>, NoAuthority> {
        let (key, kind) = match self.alternative_for.match_all(audience) {
            true => (&self.jwt_alternative, Kind::JwtAlternative),
            false => (&self.jwt, Kind::Jwt),
        };
        key.load_full().ok_or(NoAuthority(kind))
    }

    /// The WIT key that signs now; none where WIT-SVIDs are off.
    pub fn wit(&self) -> Option<Arc<WitAuthorityKey>> {
        self.wit.load_full()
    }

    /// Hears whenever another authority signs.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether it is this one that signs.
    pub(super) fn is_used(&self, kind: Kind, authority_id: &str) -> bool {
        let jwt = |key: &ArcSwapOption<JwtAuthorityKey>| {
            key.load()
                .as_ref()
                .is_some_and(|key| key.key_id == authority_id)
        };
        match kind {
            Kind::X509 => {
                let used = self.x509.load();
                used.as_ref()
                    .is_some_and(|used| used.authority_id() == authority_id)
            }
            Kind::Jwt => jwt(&self.jwt),
            Kind::JwtAlternative => jwt(&self.jwt_alternative),
            Kind::Wit => {
                let used = self.wit.load();
                used.as_ref()
                    .is_some_and(|used| used.key_id == authority_id)
            }
        }
    }

    /// Lets the authority of this committed slot sign.
    pub(super) fn take(
        &self,
        kind: Kind,
        slot: &Slot,
        signer: Arc<dyn Signer>,
    ) -> Result<(), AuthorityFault> {
        let (key_id, not_after) = (slot.authority_id.clone(), slot.not_after);
        match (&slot.kind, kind) {
            (
                SlotKind::X509 {
                    certificate,
                    upstream_chain,
                    ..
                },
                _,
            ) => {
                let chain = upstream_chain.iter().map(|der| Arc::from(der.as_ref()));
                let authority = X509Authority::new(certificate, chain.collect(), signer)?;
                self.x509.store(Some(Arc::new(authority)));
            }
            (SlotKind::Jwt { .. }, kind) => {
                let key = JwtAuthorityKey {
                    key_id,
                    signer,
                    not_after,
                };
                let place = match kind {
                    Kind::JwtAlternative => &self.jwt_alternative,
                    _ => &self.jwt,
                };
                place.store(Some(Arc::new(key)));
            }
            (SlotKind::Wit { .. }, _) => {
                let key = WitAuthorityKey {
                    key_id,
                    signer,
                    not_after,
                };
                self.wit.store(Some(Arc::new(key)));
            }
        }
        self.changes.send_replace(());
        Ok(())
    }

    /// Nothing of this kind signs until another is taken.
    pub(super) fn withdraw(&self, kind: Kind) {
        match kind {
            Kind::X509 => self.x509.store(None),
            Kind::Jwt => self.jwt.store(None),
            Kind::JwtAlternative => self.jwt_alternative.store(None),
            Kind::Wit => self.wit.store(None),
        }
        self.changes.send_replace(());
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities")
            .field("x509", &self.x509.load())
            .field("jwt", &self.jwt.load())
            .finish_non_exhaustive()
    }
}
