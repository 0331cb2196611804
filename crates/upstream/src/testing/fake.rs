//! An upstream in memory that can be told to misbehave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rcgen::CertificateParams;
use signet_runtime::{Clock, Stop};
use signet_spiffe::{JwtAuthority, X509Authority, csr};
use tokio::sync::watch;

use super::Pki;
use crate::{MintedCa, UpstreamAuthority, UpstreamBundle, UpstreamError};

/// What the fake does when it is asked.
#[derive(Clone)]
pub enum Behaviour {
    /// As it should.
    Answers,
    /// Never answers.
    Hangs,
    /// Says that it will not.
    Refuses,
    /// Is not there.
    Unreachable,
    /// Signs an authority with a defect.
    Spoils(Arc<dyn Fn(&mut CertificateParams) + Send + Sync>),
    /// Answers, and something is done to the answer.
    Garbles(Arc<dyn Fn(&mut MintedCa) + Send + Sync>),
}

/// An upstream with a PKI in memory.
pub struct FakeUpstream {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    bundle: watch::Sender<Option<Arc<UpstreamBundle>>>,
}

struct Inner {
    pki: Pki,
    behaviour: Behaviour,
    /// Keys published, if it keeps any.
    keys: Option<Keys>,
    minted: usize,
}

#[derive(Default)]
struct Keys {
    jwt: Vec<JwtAuthority>,
    wit: Vec<JwtAuthority>,
}

impl FakeUpstream {
    /// An upstream that signs with `pki` and keeps no keys.
    #[must_use]
    pub fn new(pki: Pki, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            pki,
            behaviour: Behaviour::Answers,
            keys: None,
            minted: 0,
        };
        Self {
            clock,
            inner: Mutex::new(inner),
            bundle: watch::Sender::new(None),
        }
    }

    /// The same, keeping keys for JWT- and WIT-SVIDs.
    #[must_use]
    pub fn with_keys(self) -> Self {
        self.with(|inner| inner.keys = Some(Keys::default()));
        self
    }

    /// Behaves like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.with(|inner| inner.behaviour = behaviour);
    }

    /// Signs with `pki` from now on; says nothing of it.
    pub fn replace(&self, pki: Pki) {
        self.with(|inner| inner.pki = pki);
    }

    /// Forgets all keys, as an administrator may have it do.
    pub fn forget_keys(&self) {
        self.with(|inner| inner.keys = inner.keys.as_ref().map(|_| Keys::default()));
    }

    /// Announces these roots, and the keys as they are.
    pub fn announce(&self, roots: Vec<X509Authority>) {
        let (jwt_authorities, wit_authorities) = self.with(|inner| {
            let keys = inner.keys.as_ref();
            let jwt = keys.map(|keys| keys.jwt.clone());
            (jwt, keys.map(|keys| keys.wit.clone()))
        });
        self.bundle.send_replace(Some(Arc::new(UpstreamBundle {
            x509_authorities: roots,
            jwt_authorities,
            wit_authorities,
        })));
    }

    /// The root that it signs under.
    #[must_use]
    pub fn root(&self) -> X509Authority {
        self.with(|inner| inner.pki.root())
    }

    /// How many authorities it has signed.
    #[must_use]
    pub fn minted(&self) -> usize {
        self.with(|inner| inner.minted)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn behaviour(&self) -> Result<Behaviour, UpstreamError> {
        match self.with(|inner| inner.behaviour.clone()) {
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Refuses => Err(UpstreamError::Refused("as it was told to".into())),
            Behaviour::Unreachable => Err(UpstreamError::Unreachable {
                address: "memory".to_owned(),
                source: "as it was told to".into(),
            }),
            other => Ok(other),
        }
    }
}

#[async_trait]
impl UpstreamAuthority for FakeUpstream {
    fn kind(&self) -> &'static str {
        "fake"
    }

    async fn mint_x509_ca(
        &self,
        request: &[u8],
        preferred_ttl: Duration,
    ) -> Result<MintedCa, UpstreamError> {
        let behaviour = self.behaviour().await?;
        csr::verify(request).map_err(|source| UpstreamError::Request(Box::new(source)))?;
        let now = self.clock.now();
        let minted = self.with(|inner| {
            inner.minted += 1;
            let spoil = |params: &mut CertificateParams| {
                if let Behaviour::Spoils(spoil) = &behaviour {
                    spoil(params);
                }
            };
            inner.pki.mint(request, preferred_ttl, now, spoil)
        });
        Ok(match behaviour {
            Behaviour::Garbles(garble) => {
                let mut minted = minted;
                garble(&mut minted);
                minted
            }
            _ => minted,
        })
    }

    async fn publish_jwt_key(
        &self,
        key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        self.behaviour().await?;
        Ok(self.with(|inner| Some(kept(&mut inner.keys.as_mut()?.jwt, key))))
    }

    async fn publish_wit_key(
        &self,
        key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        self.behaviour().await?;
        Ok(self.with(|inner| Some(kept(&mut inner.keys.as_mut()?.wit, key))))
    }

    fn bundle(&self) -> watch::Receiver<Option<Arc<UpstreamBundle>>> {
        self.bundle.subscribe()
    }

    async fn follow(&self, stop: Stop) {
        if self.bundle.borrow().is_none() {
            self.announce(vec![self.root()]);
        }
        stop.stopped().await;
    }
}

fn kept(keys: &mut Vec<JwtAuthority>, key: &JwtAuthority) -> Vec<JwtAuthority> {
    if !keys.iter().any(|known| known.key_id == key.key_id) {
        keys.push(key.clone());
    }
    keys.clone()
}
