//! The agent's own SVID: its key, where both are kept, and when they are to be renewed.
//!
//! Two keys alternate, `agent-svid-A` and `agent-svid-B`, as in SPIRE: a new key never overwrites
//! the one that the current SVID needs.

use crate::cache::{Authorities, Standing};
use crate::disk::{DataDir, DiskError, Stored};
use crate::rotate::{CsrError, SvidPolicy, request_for, rotate_at};
use crate::upstream::Chain;
use signet_crypto::KeyType;
use signet_keys::{KeyError, KeyManager, Signer};
use signet_spiffe::x509_svid::{self, X509Svid, X509SvidError};
use signet_spiffe::{Bundle, SpiffeId, X509Authority};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const KEY_IDS: [&str; 2] = ["agent-svid-A", "agent-svid-B"];
/// An SVID that ends within this is as good as expired.
const EXPIRY_SKEW: Duration = Duration::from_secs(1);

/// The agent's SVID with its key.
#[derive(Clone)]
pub struct OwnSvid {
    /// The agent's SPIFFE ID.
    pub id: SpiffeId,
    /// Leaf first.
    pub chain: Chain,
    /// Its key.
    pub key: Arc<dyn Signer>,
    /// When it expires.
    pub not_after: SystemTime,
    /// When it is to be renewed.
    pub renew_at: SystemTime,
    /// Whether it is renewed by attesting again.
    pub reattestable: bool,
}

impl OwnSvid {
    /// How it stands with the bundle of the trust domain, as far as that is known.
    pub fn standing(&self, bundle: Option<&Bundle>, now: SystemTime) -> Standing {
        bundle.map_or(Standing::Sound, |bundle| {
            Authorities::of(bundle).standing(&self.chain, now)
        })
    }
}

/// Why there is no usable SVID of the agent.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The key manager failed.
    #[error("the agent's key is not available")]
    Key(#[from] KeyError),
    /// The keys are elsewhere, but TLS needs them here.
    #[error("the key manager does not give the agent's key to this process")]
    NotLocal,
    /// The certificate request could not be made.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The server's certificate is not what was asked for.
    #[error("the server's certificate for this agent is unusable")]
    Unusable(#[source] X509SvidError),
    /// The certificate is for another key.
    #[error("the server certified another key than the agent's")]
    WrongKey,
    /// The certificate is for something else than an agent.
    #[error("the server named this agent {0}, which is no agent's ID of its trust domain")]
    WrongId(SpiffeId),
}

/// Keeps the agent's SVID, its keys and the bundle over restarts.
pub struct OwnStore {
    dir: DataDir,
    keys: Arc<dyn KeyManager>,
    policy: SvidPolicy,
    stored: Mutex<Stored>,
}

impl OwnStore {
    /// Reads what the last run left.
    pub fn open(
        dir: DataDir,
        keys: Arc<dyn KeyManager>,
        policy: SvidPolicy,
    ) -> Result<Self, OwnError> {
        let stored = Mutex::new(dir.load()?);
        Ok(Self {
            dir,
            keys,
            policy,
            stored,
        })
    }

    /// The stored SVID if its key is here and it has not expired.
    pub async fn load(&self, now: SystemTime, draw: f64) -> Result<Option<OwnSvid>, OwnError> {
        let stored = self.stored();
        if stored.svid.is_empty() {
            return Ok(None);
        }
        let svid = match x509_svid::parse(&stored.svid) {
            Ok(svid) => svid,
            Err(error) => {
                tracing::warn!(%error, "the stored SVID of this agent is unusable");
                return Ok(None);
            }
        };
        if svid.not_after <= now + EXPIRY_SKEW {
            tracing::info!(spiffe_id = %svid.id, "the stored SVID of this agent has expired");
            return Ok(None);
        }
        let Some(key) = self.key_of(&svid).await? else {
            tracing::warn!(spiffe_id = %svid.id, "the key of the stored SVID is not there");
            return Ok(None);
        };
        Ok(Some(self.own(svid, key, stored.reattestable, now, draw)))
    }

    /// The stored X.509 authorities as a bundle; nothing when there are none.
    pub fn bundle(&self, empty: Bundle) -> Option<Bundle> {
        let stored = self.stored();
        let authorities = stored.bundle.iter().filter_map(|der| {
            let parsed = X509Authority::from_der(der);
            let refused = |error: &_| tracing::warn!(%error, "a stored authority is unusable");
            parsed.inspect_err(refused).ok()
        });
        let x509_authorities: Vec<_> = authorities.collect();
        let bundle = Bundle {
            x509_authorities,
            ..empty
        };
        (!bundle.x509_authorities.is_empty()).then_some(bundle)
    }

    /// Makes the next key, in the place that the current SVID does not need, and a request for it.
    pub async fn next_key(
        &self,
        current: Option<&OwnSvid>,
    ) -> Result<(Arc<dyn Signer>, Vec<u8>), OwnError> {
        let key = match current {
            Some(current) => {
                let key_id = self.free_key_id(current).await?;
                self.keys.generate(key_id, KeyType::EcP256).await?
            }
            None => self.first_key().await?,
        };
        let csr = request_for(key.local().ok_or(OwnError::NotLocal)?, None)?;
        Ok((key, csr))
    }

    /// Takes over what the server certified, and stores it before it is used.
    pub fn adopt(
        &self,
        chain: &Chain,
        key: Arc<dyn Signer>,
        reattestable: bool,
        now: SystemTime,
        draw: f64,
    ) -> Result<OwnSvid, OwnError> {
        let svid = x509_svid::parse(chain).map_err(OwnError::Unusable)?;
        if svid.public_key != *key.public_key() {
            return Err(OwnError::WrongKey);
        }
        if svid.id.is_server() || svid.id.path().is_empty() {
            return Err(OwnError::WrongId(svid.id));
        }
        self.change(|stored| {
            stored.svid.clone_from(&svid.chain);
            stored.reattestable = reattestable;
        })?;
        Ok(self.own(svid, key, reattestable, now, draw))
    }

    /// Stores the bundle if it has changed.
    pub fn keep_bundle(&self, bundle: &Bundle) -> Result<(), OwnError> {
        let authorities = bundle.x509_authorities.iter();
        let ders: Vec<_> = authorities.map(|authority| authority.der.clone()).collect();
        self.change(|stored| stored.bundle = ders)
    }

    /// Forgets the SVID: the server refuses it for good. Nor will its key be asked with again.
    pub async fn forget(&self) -> Result<(), OwnError> {
        self.change(|stored| {
            stored.svid.clear();
            stored.reattestable = false;
        })?;
        self.keys.generate(KEY_IDS[0], KeyType::EcP256).await?;
        Ok(())
    }

    fn own(
        &self,
        svid: X509Svid,
        key: Arc<dyn Signer>,
        reattestable: bool,
        now: SystemTime,
        draw: f64,
    ) -> OwnSvid {
        OwnSvid {
            renew_at: rotate_at(&self.policy, now, svid.not_before, svid.not_after, draw),
            id: svid.id,
            chain: svid.chain,
            key,
            not_after: svid.not_after,
            reattestable,
        }
    }

    async fn key_of(&self, svid: &X509Svid) -> Result<Option<Arc<dyn Signer>>, OwnError> {
        for (key_id, public_key) in self.keys.list().await? {
            if public_key == svid.public_key {
                return Ok(self.keys.get(&key_id).await?);
            }
        }
        Ok(None)
    }

    /// The key of an agent without SVID: the one it asked with last, if the answer never came. The
    /// server may have taken the join token all the same, and takes it again from that key only.
    async fn first_key(&self) -> Result<Arc<dyn Signer>, OwnError> {
        let svid = x509_svid::parse(&self.stored().svid).ok();
        let spent = svid.map(|svid| svid.public_key);
        match self.keys.get(KEY_IDS[0]).await? {
            Some(key) if spent.as_ref() != Some(key.public_key()) => Ok(key),
            _ => Ok(self.keys.generate(KEY_IDS[0], KeyType::EcP256).await?),
        }
    }

    async fn free_key_id(&self, current: &OwnSvid) -> Result<&'static str, OwnError> {
        let first = self.keys.get(KEY_IDS[0]).await?;
        let first_in_use = first.is_some_and(|key| key.public_key() == current.key.public_key());
        Ok(KEY_IDS[usize::from(first_in_use)])
    }

    fn stored(&self) -> Stored {
        self.stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, edit: impl FnOnce(&mut Stored)) -> Result<(), OwnError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = stored.clone();
        edit(&mut next);
        if next != *stored {
            self.dir.save(&next)?;
            *stored = next;
        }
        Ok(())
    }
}
