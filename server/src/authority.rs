//! The authorities of this server: which keys sign now, which comes next.
//!
//! `signet_ca::rotation` says what is due; here it is carried out. The key is made first, never
//! over one that a slot names; then the slot and the bundle change in one commit; and only what
//! is committed signs. A crash anywhere between leaves a key that nobody names, or a step that is
//! due again.

use crate::bundles::appended;
use crate::state::{Plan, Snapshot, State, StateError};
use crate::sync::Online;
use arc_swap::ArcSwapOption;
use signet_ca::rotation::{Step, next_step};
use signet_ca::slots::{self, Kind, SlotId, Slots, Status};
use signet_ca::{AuthorityError, JwtAuthorityKey, NewAuthority, X509Authority, X509Error};
use signet_crypto::{KeyType, Random};
use signet_datastore::records::{Slot, SlotKind, SlotState};
use signet_keys::{KeyError, KeyManager, Signer};
use signet_model::Change;
use signet_model::approve::Subject;
use signet_runtime::{Clock, Stop};
use signet_spiffe::{Bundle, PublicKey, TrustDomain};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the slots are looked at, at least.
const PERIOD: Duration = Duration::from_secs(10);
/// Steps that one look may take: retire, prepare and activate for each slot, and some more.
const MAX_STEPS: usize = 8;
/// The kinds of authority that this server has.
const KINDS: [Kind; 2] = [Kind::X509, Kind::Jwt];

/// Why the authorities could not be brought in order.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityFault {
    /// The key manager failed.
    #[error("the key manager failed")]
    Keys(#[from] KeyError),
    /// A new authority could not be made.
    #[error("could not make an authority")]
    Make(#[from] X509Error),
    /// A stored authority cannot be used.
    #[error("the stored authority cannot be used")]
    Stored(#[from] AuthorityError),
    /// A key cannot stand in the bundle.
    #[error("the key cannot stand in the bundle")]
    Publish(#[from] signet_spiffe::AuthorityError),
    /// The slots do not allow it.
    #[error("the slots are not as expected")]
    Slots(#[from] slots::SlotError),
    /// Not stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// The steps do not come to an end.
    #[error("the rotation of {0:?} authorities does not settle: this is a defect")]
    Unsettled(Kind),
}

/// The authorities that sign now. Set before anything is served.
#[derive(Default)]
pub struct Authorities {
    x509: ArcSwapOption<X509Authority>,
    jwt: ArcSwapOption<JwtAuthorityKey>,
}

impl Authorities {
    /// The X.509 authority that signs now.
    pub fn x509(&self) -> Arc<X509Authority> {
        self.x509
            .load_full()
            .expect("the authorities are in order before anything is served")
    }

    /// The JWT key that signs now.
    pub fn jwt(&self) -> Arc<JwtAuthorityKey> {
        self.jwt
            .load_full()
            .expect("the authorities are in order before anything is served")
    }
}

/// What the operator chose for authorities.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// How long an authority lives.
    pub ttl: Duration,
    /// The key of an X.509 authority.
    pub ca_key_type: KeyType,
    /// The key of a JWT authority.
    pub jwt_key_type: KeyType,
    /// The name of an X.509 authority, if not the usual one.
    pub subject: Option<Subject>,
}

/// Keeps the authorities in order.
pub struct Reconciler {
    /// Where slots and bundle are.
    pub state: Arc<State>,
    /// Where the keys are.
    pub keys: Arc<dyn KeyManager>,
    /// What it sets.
    pub authorities: Arc<Authorities>,
    /// Who must have a new authority before it signs.
    pub online: Arc<Online>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Serials and key ids.
    pub random: Arc<dyn Random>,
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// Whose slots these are.
    pub server_id: String,
    /// What the operator chose.
    pub settings: AuthoritySettings,
}

impl Reconciler {
    /// Does what is due now. Afterwards both kinds have an authority that signs.
    pub async fn settle(&self) -> Result<SystemTime, AuthorityFault> {
        let mut next = self.clock.now() + PERIOD;
        for kind in KINDS {
            next = next.min(self.settle_kind(kind).await?);
        }
        Ok(next)
    }

    /// Settles again and again until the stop signal.
    pub async fn run(self, stop: Stop) -> Result<(), Infallible> {
        let mut failing = false;
        loop {
            let wait = match self.settle().await {
                Ok(next) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the authorities are in order again");
                    }
                    next.duration_since(self.clock.now()).unwrap_or_default()
                }
                Err(error) => {
                    let error = crate::api::types::chain(&error);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(error, "the authorities could not be brought in order");
                    }
                    PERIOD
                }
            };
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep(wait.clamp(Duration::from_millis(100), PERIOD)) => {}
            }
        }
    }

    async fn settle_kind(&self, kind: Kind) -> Result<SystemTime, AuthorityFault> {
        self.drop_orphans(kind).await?;
        for _ in 0..MAX_STEPS {
            let slots = self.slots(kind);
            match next_step(self.clock.now(), &slots) {
                Step::Wait { until } => {
                    self.load(kind).await?;
                    return Ok(until);
                }
                Step::Retire(slot) => self.retire(kind, slot).await?,
                Step::Prepare(slot) => self.prepare(kind, slot).await?,
                Step::Activate(slot) => self.activate(kind, slot).await?,
            }
        }
        Err(AuthorityFault::Unsettled(kind))
    }

    /// Our slots of this kind as the pure rules see them.
    fn slots(&self, kind: Kind) -> Slots {
        let snapshot = self.state.read();
        let find = |slot| self.stored(&snapshot, kind, slot).map(as_slot);
        Slots {
            a: find(SlotId::A),
            b: find(SlotId::B),
        }
    }

    fn stored<'a>(&self, snapshot: &'a Snapshot, kind: Kind, slot: SlotId) -> Option<&'a Slot> {
        let name = slot_name(kind, slot);
        snapshot
            .slots()
            .find(|stored| stored.server_id == self.server_id && stored.slot == name)
    }

    /// A slot whose key is gone or another one, or whose authority somebody took out of the bundle,
    /// cannot sign: it is given up. So a restored backup, or keys in memory, end in a new authority.
    async fn drop_orphans(&self, kind: Kind) -> Result<(), AuthorityFault> {
        for slot in [SlotId::A, SlotId::B] {
            let stored = self.stored(&self.state.read(), kind, slot).cloned();
            let Some(stored) = stored else { continue };
            let key = self.keys.get(&stored.key_manager_id).await?;
            let has_key = key.is_some_and(|key| belongs(key.public_key(), &stored));
            let published = self.is_published(&stored);
            if !has_key || !published {
                tracing::warn!(
                    authority_id = stored.authority_id,
                    has_key,
                    published,
                    "an authority is given up: its key or its place in the bundle is gone"
                );
                self.drop_slot(&stored).await?;
            }
        }
        Ok(())
    }

    fn is_published(&self, stored: &Slot) -> bool {
        let snapshot = self.state.read();
        let Some(bundle) = snapshot.index.bundle(&self.trust_domain) else {
            return false;
        };
        match &stored.kind {
            SlotKind::X509 {
                certificate,
                upstream_chain,
                ..
            } => {
                let certificate = certificate.as_ref();
                !upstream_chain.is_empty()
                    || bundle
                        .x509_authorities
                        .iter()
                        .any(|known| *known.der == *certificate)
            }
            SlotKind::Jwt { .. } => bundle
                .jwt_authorities
                .iter()
                .any(|known| known.key_id == stored.authority_id),
            SlotKind::Wit { .. } => true,
        }
    }

    async fn drop_slot(&self, stored: &Slot) -> Result<(), AuthorityFault> {
        let drop = |_: &Snapshot| Ok((Plan::default().drop_slot(stored), ()));
        self.state.change(drop).await
    }

    async fn retire(&self, kind: Kind, slot: SlotId) -> Result<(), AuthorityFault> {
        let stored = self.stored(&self.state.read(), kind, slot).cloned();
        match stored {
            Some(stored) => self.drop_slot(&stored).await,
            None => Ok(()),
        }
    }

    async fn prepare(&self, kind: Kind, slot: SlotId) -> Result<(), AuthorityFault> {
        let now = self.clock.now();
        let (stored, addition) = match kind {
            Kind::Jwt | Kind::Wit => self.make_jwt(slot, now).await?,
            Kind::X509 => self.make_x509(slot, now).await?,
        };
        let authority_id = stored.authority_id.clone();
        let publish = |snapshot: &Snapshot| {
            let bundle = snapshot.index.bundle(&self.trust_domain);
            let bundle = bundle.map_or_else(
                || empty_bundle(&self.trust_domain),
                |bundle| Bundle::clone(bundle),
            );
            let bundle = Arc::new(appended(&bundle, &addition.x509, &addition.jwt));
            let plan = Plan::default()
                .put_slot(stored.clone())
                .change(Change::PutBundle(bundle));
            Ok((plan, ()))
        };
        self.state.change::<_, AuthorityFault, _>(publish).await?;
        tracing::info!(authority_id, kind = ?kind, "an authority was prepared and published");
        Ok(())
    }

    async fn make_x509(
        &self,
        slot: SlotId,
        now: SystemTime,
    ) -> Result<(Slot, Addition), AuthorityFault> {
        let key_id = Kind::X509.key_id(slot);
        let signer = self
            .keys
            .generate(key_id, self.settings.ca_key_type)
            .await?;
        let wanted = NewAuthority {
            trust_domain: self.trust_domain.clone(),
            subject: self.settings.subject.clone(),
            extensions: Vec::new(),
            ttl: self.settings.ttl,
        };
        let made = signet_ca::new_self_signed(wanted, signer, &*self.random, now).await?;
        let kind = SlotKind::X509 {
            certificate: bytes::Bytes::copy_from_slice(made.certificate_der()),
            upstream_chain: Vec::new(),
            upstream_authority_id: String::new(),
            tainted: false,
        };
        let authority_id = made.authority_id();
        let stored = self.new_slot(Kind::X509, slot, authority_id, now, made.not_after(), kind);
        let addition = Addition {
            x509: vec![made.bundle_entry().clone()],
            jwt: Vec::new(),
        };
        Ok((stored, addition))
    }

    async fn make_jwt(
        &self,
        slot: SlotId,
        now: SystemTime,
    ) -> Result<(Slot, Addition), AuthorityFault> {
        let signer = self
            .keys
            .generate(Kind::Jwt.key_id(slot), self.settings.jwt_key_type)
            .await?;
        let public_key = signer.public_key().clone();
        let key_id = signet_ca::new_key_id(&*self.random);
        let not_after = now + self.settings.ttl;
        let key = JwtAuthorityKey {
            key_id: key_id.clone(),
            signer,
            not_after,
        };
        let kind = SlotKind::Jwt {
            public_key,
            tainted: false,
        };
        let stored = self.new_slot(Kind::Jwt, slot, key_id, now, not_after, kind);
        let addition = Addition {
            x509: Vec::new(),
            jwt: vec![key.bundle_entry()?],
        };
        Ok((stored, addition))
    }

    fn new_slot(
        &self,
        kind: Kind,
        slot: SlotId,
        authority_id: String,
        issued_at: SystemTime,
        not_after: SystemTime,
        content: SlotKind,
    ) -> Slot {
        Slot {
            server_id: self.server_id.clone(),
            slot: slot_name(kind, slot).to_owned(),
            state: SlotState::Prepared,
            authority_id,
            key_manager_id: kind.key_id(slot).to_owned(),
            issued_at,
            not_after,
            kind: content,
        }
    }

    /// The prepared authority signs from now on. It was published long ago; whoever is connected and
    /// still lacks it is named, and stops nothing.
    async fn activate(&self, kind: Kind, slot: SlotId) -> Result<(), AuthorityFault> {
        let behind = self.online.behind(self.state.revision());
        if !behind.is_empty() && self.slots(kind).find(Status::Active).is_some() {
            let first = behind.first().map(ToString::to_string);
            tracing::warn!(
                count = behind.len(),
                first,
                "agents lack the authority to be activated"
            );
        }
        let activate = |snapshot: &Snapshot| {
            let mut plan = Plan::default();
            let old = self.stored(snapshot, kind, slot.other());
            if let Some(old) = old.filter(|old| old.state == SlotState::Active) {
                plan = plan.put_slot(Slot {
                    state: SlotState::Old,
                    ..old.clone()
                });
            }
            let next = self.stored(snapshot, kind, slot);
            let next = next.ok_or(slots::SlotError::NotPrepared(slot))?;
            plan = plan.put_slot(Slot {
                state: SlotState::Active,
                ..next.clone()
            });
            Ok((plan, next.authority_id.clone()))
        };
        let authority_id = self.state.change::<_, AuthorityFault, _>(activate).await?;
        tracing::info!(authority_id, kind = ?kind, "an authority was activated");
        self.load(kind).await
    }

    /// Takes the committed active authority into use.
    async fn load(&self, kind: Kind) -> Result<(), AuthorityFault> {
        let active = {
            let snapshot = self.state.read();
            let slots = [SlotId::A, SlotId::B];
            let mut found = slots
                .into_iter()
                .filter_map(|slot| self.stored(&snapshot, kind, slot));
            found
                .find(|stored| stored.state == SlotState::Active)
                .cloned()
        };
        let Some(active) = active else { return Ok(()) };
        let Some(signer) = self.keys.get(&active.key_manager_id).await? else {
            return Ok(());
        };
        self.use_now(&active, signer)
    }

    fn use_now(&self, active: &Slot, signer: Arc<dyn Signer>) -> Result<(), AuthorityFault> {
        match &active.kind {
            SlotKind::X509 {
                certificate,
                upstream_chain,
                ..
            } => {
                let in_use = self.authorities.x509.load();
                if in_use
                    .as_ref()
                    .is_some_and(|used| **used.certificate_der() == **certificate)
                {
                    return Ok(());
                }
                let chain = upstream_chain
                    .iter()
                    .map(|der| Arc::from(der.as_ref()))
                    .collect();
                let authority = X509Authority::new(certificate, chain, signer)?;
                self.authorities.x509.store(Some(Arc::new(authority)));
            }
            SlotKind::Jwt { .. } => {
                let key_id = active.authority_id.clone();
                let key = JwtAuthorityKey {
                    key_id,
                    signer,
                    not_after: active.not_after,
                };
                self.authorities.jwt.store(Some(Arc::new(key)));
            }
            SlotKind::Wit { .. } => {}
        }
        Ok(())
    }
}

/// What a new authority adds to the bundle.
struct Addition {
    x509: Vec<signet_spiffe::X509Authority>,
    jwt: Vec<signet_spiffe::JwtAuthority>,
}

fn empty_bundle(trust_domain: &TrustDomain) -> Bundle {
    Bundle::empty(trust_domain.clone())
}

fn slot_name(kind: Kind, slot: SlotId) -> &'static str {
    match (kind, slot) {
        (Kind::X509, SlotId::A) => "x509-a",
        (Kind::X509, SlotId::B) => "x509-b",
        (Kind::Jwt, SlotId::A) => "jwt-a",
        (Kind::Jwt, SlotId::B) => "jwt-b",
        (Kind::Wit, SlotId::A) => "wit-a",
        (Kind::Wit, SlotId::B) => "wit-b",
    }
}

fn as_slot(stored: &Slot) -> slots::Slot {
    let status = match stored.state {
        SlotState::Prepared => Status::Prepared,
        SlotState::Active => Status::Active,
        SlotState::Old => Status::Old,
    };
    slots::Slot {
        authority_id: stored.authority_id.clone(),
        status,
        issued_at: stored.issued_at,
        not_after: stored.not_after,
    }
}

/// Whether this is the key of what stands in the slot.
fn belongs(key: &PublicKey, stored: &Slot) -> bool {
    match &stored.kind {
        SlotKind::X509 { certificate, .. } => {
            let authority = signet_spiffe::X509Authority::from_der(certificate);
            authority.is_ok_and(|authority| authority.public_key() == key)
        }
        SlotKind::Jwt { public_key, .. } | SlotKind::Wit { public_key, .. } => public_key == key,
    }
}
