//! A reconciler that can be killed at any step and started again on what it left behind, and a
//! witness who keeps what was signed.

use crate::authority::{
    Audiences, Authorities, AuthoritySettings, JwtAlternative, Kind, Parent, Reconciler, Turns,
    Upstream,
};
use crate::state::State;
use crate::sync::Online;
use async_trait::async_trait;
use signet_crypto::{KeyType, PrivateKey, PublicKey, SystemRandom};
use signet_datastore::records::{Fact, Slot, SlotState};
use signet_datastore::{ChangeFeed, Commit, Epoch, Loaded, MemoryStore, Store, StoreError};
use signet_keys::memory::MemoryKeys;
use signet_keys::{KeyError, KeyManager, Signer};
use signet_model::{Moment, Policy, Revision, approve};
use signet_runtime::{Clock, Tasks};
use signet_spiffe::{Bundle, JwtAuthority, TrustDomain, x509_svid};
use signet_upstream::testing::{FakeUpstream, Pki};
use signet_upstream::{MintedCa, UpstreamAuthority, UpstreamBundle, UpstreamError};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const KINDS: [Kind; 4] = Kind::ALL;
/// Whom the second JWT key is for.
pub(super) const LEGACY: &str = "https://legacy.example/api";
const SERVER: &str = "one";

pub(super) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// A wall clock moved by hand.
#[derive(Debug)]
pub(super) struct HandClock(AtomicU64);

impl HandClock {
    pub(super) fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub(super) fn back(&self, by: Duration) {
        self.0.fetch_sub(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// At which write of a key or a record, or demand of the upstream, the process dies. All later ones fail too.
#[derive(Debug)]
pub(super) struct Fate {
    taken: AtomicUsize,
    fatal: AtomicUsize,
    done_before_death: AtomicBool,
}

enum Verdict {
    Live,
    DieFirst,
    DieAfterwards,
}

impl Fate {
    /// Nothing fails from now on. Says how many writes there were.
    pub(super) fn spare(&self) -> usize {
        self.fatal.store(usize::MAX, Ordering::SeqCst);
        self.taken.swap(0, Ordering::SeqCst)
    }

    /// The n-th write from now on is the last, and done or not.
    pub(super) fn die_at(&self, n: usize, done: bool) {
        self.taken.store(0, Ordering::SeqCst);
        self.done_before_death.store(done, Ordering::SeqCst);
        self.fatal.store(n, Ordering::SeqCst);
    }

    fn next(&self) -> Verdict {
        let number = self.taken.fetch_add(1, Ordering::SeqCst) + 1;
        match number.cmp(&self.fatal.load(Ordering::SeqCst)) {
            std::cmp::Ordering::Less => Verdict::Live,
            std::cmp::Ordering::Equal if self.done_before_death.load(Ordering::SeqCst) => {
                Verdict::DieAfterwards
            }
            _ => Verdict::DieFirst,
        }
    }
}

struct MortalStore {
    inner: MemoryStore,
    fate: Arc<Fate>,
}

#[async_trait]
impl Store for MortalStore {
    async fn load(&self) -> Result<Loaded, StoreError> {
        self.inner.load().await
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        match self.fate.next() {
            Verdict::Live => self.inner.commit(commit).await,
            Verdict::DieFirst => Err(StoreError::Closed),
            Verdict::DieAfterwards => {
                self.inner.commit(commit).await?;
                Err(StoreError::Closed)
            }
        }
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    fn changes(&self) -> ChangeFeed {
        self.inner.changes()
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }
}

/// Keys over which no other may be made while a slot names them.
struct MortalKeys {
    inner: Arc<MemoryKeys>,
    store: Arc<MortalStore>,
    fate: Arc<Fate>,
}

impl MortalKeys {
    fn dead() -> KeyError {
        KeyError::Unreachable {
            source: "the process is dead".into(),
        }
    }
}

#[async_trait]
impl KeyManager for MortalKeys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        let named = slots_of(&self.store.inner).await;
        let named = named.iter().any(|slot| slot.key_manager_id == id);
        match self.fate.next() {
            Verdict::DieFirst => Err(Self::dead()),
            _ if named => panic!("a key was made over {id}, which a slot names"),
            Verdict::Live => self.inner.generate(id, key_type).await,
            Verdict::DieAfterwards => {
                self.inner.generate(id, key_type).await?;
                Err(Self::dead())
            }
        }
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        self.inner.get(id).await
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        self.inner.list().await
    }
}

/// The upstream as the process sees it.
struct MortalUpstream {
    inner: Arc<FakeUpstream>,
    fate: Arc<Fate>,
}

impl MortalUpstream {
    async fn ask<T>(
        &self,
        demand: impl Future<Output = Result<T, UpstreamError>> + Send,
    ) -> Result<T, UpstreamError> {
        let dead = || UpstreamError::Unreachable {
            address: "memory".to_owned(),
            source: "the process is dead".into(),
        };
        match self.fate.next() {
            Verdict::Live => demand.await,
            Verdict::DieFirst => Err(dead()),
            Verdict::DieAfterwards => {
                demand.await?;
                Err(dead())
            }
        }
    }
}

#[async_trait]
impl UpstreamAuthority for MortalUpstream {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn mint_x509_ca(
        &self,
        request: &[u8],
        preferred_ttl: Duration,
    ) -> Result<MintedCa, UpstreamError> {
        self.ask(self.inner.mint_x509_ca(request, preferred_ttl))
            .await
    }

    async fn publish_jwt_key(
        &self,
        key: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        self.ask(self.inner.publish_jwt_key(key)).await
    }

    fn bundle(&self) -> tokio::sync::watch::Receiver<Option<Arc<UpstreamBundle>>> {
        self.inner.bundle()
    }

    async fn follow(&self, stop: signet_runtime::Stop) {
        self.inner.follow(stop).await;
    }
}

async fn slots_of(store: &MemoryStore) -> Vec<Slot> {
    let records = store.load().await.unwrap().records;
    let facts = records
        .iter()
        .map(|record| Fact::read(record, &td()).unwrap());
    let slots = facts.filter_map(|fact| match fact {
        Fact::Slot(slot) => Some(slot),
        _ => None,
    });
    slots.collect()
}

/// What outlives the process: disk, keys, clock; and the witness.
pub(super) struct Bench {
    pub(super) clock: Arc<HandClock>,
    pub(super) fate: Arc<Fate>,
    pub(super) keys: Arc<MemoryKeys>,
    /// Who certifies X.509 authorities, if not they themselves.
    pub(super) upstream: Option<Arc<FakeUpstream>>,
    store: Arc<MortalStore>,
    settings: AuthoritySettings,
    seen: Mutex<Vec<Witnessed>>,
    /// Authorities that an operator wants revoked.
    pub(super) revoked: Mutex<BTreeSet<String>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let fate = Arc::new(Fate {
            taken: AtomicUsize::new(0),
            fatal: AtomicUsize::new(usize::MAX),
            done_before_death: AtomicBool::new(false),
        });
        let store = MortalStore {
            inner: MemoryStore::new(),
            fate: fate.clone(),
        };
        Self {
            clock: Arc::new(HandClock(AtomicU64::new(1_800_000_000))),
            fate,
            keys: Arc::new(MemoryKeys::new()),
            store: Arc::new(store),
            settings: AuthoritySettings {
                jwt_alternative: Some(JwtAlternative {
                    key_type: KeyType::EcP384,
                    audiences: Audiences::new(["https://legacy.example/*".parse().unwrap()]),
                }),
                wit_key_type: Some(KeyType::EcP256),
                ..AuthoritySettings::defaults()
            },
            upstream: None,
            seen: Mutex::default(),
            revoked: Mutex::default(),
        }
    }

    /// One whose server is below an upstream that keeps JWT keys.
    pub(super) fn below_an_upstream() -> Self {
        let bench = Self::new();
        let upstream = FakeUpstream::new(bench.pki("first"), bench.clock.clone());
        let upstream = Some(Arc::new(upstream.with_keys()));
        Self { upstream, ..bench }
    }

    /// What an upstream may sign with.
    pub(super) fn pki(&self, name: &str) -> Pki {
        Pki::new(name, self.clock.now())
    }

    fn parent(&self) -> Parent {
        let Some(upstream) = &self.upstream else {
            return Parent::SelfSigned {
                subject: None,
                composers: signet_model::Composers::default(),
            };
        };
        let port = MortalUpstream {
            inner: upstream.clone(),
            fate: self.fate.clone(),
        };
        Parent::Upstream(Upstream {
            port: Arc::new(port),
            subject: None,
            clock: self.clock.clone(),
        })
    }

    /// Starts the process on what there is.
    pub(super) async fn start(&self) -> Run {
        let tasks = Tasks::new();
        let (state, feed) = State::load(self.store.clone(), td()).await.unwrap();
        tasks.spawn_essential("change feed", state.clone().follow(feed, tasks.stop()));
        let keys = MortalKeys {
            inner: self.keys.clone(),
            store: self.store.clone(),
            fate: self.fate.clone(),
        };
        let authorities = Arc::new(Authorities::new(self.settings.alternative_for()));
        let rotation = Arc::new(Reconciler {
            state: state.clone(),
            keys: Arc::new(keys),
            authorities: authorities.clone(),
            online: Arc::new(Online::default()),
            clock: self.clock.clone(),
            random: Arc::new(SystemRandom::new()),
            trust_domain: td(),
            server_id: SERVER.to_owned(),
            specs: self.settings.specs(true),
            ttl: self.settings.ttl,
            parent: self.parent(),
            turns: Turns::default(),
        });
        Run {
            state,
            rotation,
            authorities,
            tasks,
        }
    }

    /// Has each kind sign something that may be in use for an hour, and keeps it.
    pub(super) async fn witness(&self, run: &Run) {
        let mut signed = vec![self.x509(run).await];
        let key = |kind, id: &str, signer: &Arc<dyn Signer>, end| {
            let (id, signer) = (id.to_owned(), signer.clone());
            async move {
                let algorithm = signer.public_key().key_type().unwrap().default_algorithm();
                let signature = signer.sign(algorithm, b"token").await.unwrap();
                (kind, id, Evidence::Token(signature), end)
            }
        };
        let jwt = run.authorities.jwt_for(&["any".to_owned()]).unwrap();
        let other = run.authorities.jwt_for(&[LEGACY.to_owned()]).unwrap();
        let wit = run.authorities.wit().unwrap();
        signed.push(key(Kind::Jwt, &jwt.key_id, &jwt.signer, jwt.not_after).await);
        let alternative = Kind::JwtAlternative;
        signed.push(key(alternative, &other.key_id, &other.signer, other.not_after).await);
        signed.push(key(Kind::Wit, &wit.key_id, &wit.signer, wit.not_after).await);
        let now = self.clock.now();
        for (kind, authority_id, evidence, end) in signed {
            assert!(end > now, "an expired {kind} authority signed");
            let not_after = end.min(now + HOUR);
            let witnessed = Witnessed {
                kind,
                authority_id,
                evidence,
                not_after,
            };
            witnessed.verify(&run.bundle(), now);
            self.seen.lock().unwrap().push(witnessed);
        }
    }

    async fn x509(&self, run: &Run) -> (Kind, String, Evidence, SystemTime) {
        let authority = run.authorities.x509().unwrap();
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: authority.not_after(),
        };
        let policy = crate::issuer::Settings::defaults(td()).policy;
        let policy = Policy {
            default_x509_svid_ttl: HOUR,
            ..policy
        };
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let grant = approve::server_x509(&policy, moment, key.public_key().clone()).unwrap();
        let random = SystemRandom::new();
        let svid = signet_ca::sign_x509(&authority, grant, &random, now).await;
        let chain = svid.unwrap().chain;
        let id = authority.authority_id();
        (
            Kind::X509,
            id,
            Evidence::Chain(chain),
            authority.not_after(),
        )
    }

    /// All that was ever signed, and was neither revoked nor is over, verifies with the bundle.
    pub(super) fn verify_all(&self, run: &Run) {
        let now = self.clock.now();
        let revoked = self.revoked.lock().unwrap();
        let bundle = run.bundle();
        for witnessed in self.seen.lock().unwrap().iter() {
            if witnessed.not_after > now && !revoked.contains(&witnessed.authority_id) {
                witnessed.verify(&bundle, now);
            }
        }
    }

    /// Each kind has one active authority, whose key is its own, and which can be verified.
    pub(super) async fn check_slots(&self, run: &Run) {
        let now = self.clock.now();
        for kind in KINDS {
            let slots = run.slots(kind).await;
            let mut active = slots.iter().filter(|slot| slot.state == SlotState::Active);
            let one = active.next().expect("each kind has an active authority");
            assert!(active.next().is_none(), "two {kind} authorities are active");
            assert!(
                one.issued_at <= now && now < one.not_after,
                "{kind}: {one:?}"
            );
            assert!(super::super::stored::is_published(one, &run.bundle()));
            assert!(run.authorities.is_used(kind, &one.authority_id), "{kind}");
        }
    }
}

/// The process.
pub(super) struct Run {
    pub(super) state: Arc<State>,
    pub(super) rotation: Arc<Reconciler>,
    pub(super) authorities: Arc<Authorities>,
    pub(super) tasks: Tasks,
}

impl Run {
    pub(super) fn bundle(&self) -> Arc<Bundle> {
        self.state.read().index.bundle(&td()).unwrap().clone()
    }

    pub(super) async fn slots(&self, kind: Kind) -> Vec<Slot> {
        let snapshot = self.state.read();
        let slots = signet_ca::slots::SlotId::BOTH.map(|slot| kind.slot_name(slot));
        let ours = snapshot
            .slots()
            .filter(|slot| slots.contains(&slot.slot.as_str()));
        ours.cloned().collect()
    }

    pub(super) async fn kill(self) {
        self.tasks.abandon().await;
    }
}

enum Evidence {
    Chain(Vec<Vec<u8>>),
    Token(Vec<u8>),
}

struct Witnessed {
    kind: Kind,
    authority_id: String,
    evidence: Evidence,
    not_after: SystemTime,
}

impl Witnessed {
    fn verify(&self, bundle: &Bundle, now: SystemTime) {
        let keys = match self.kind {
            Kind::Wit => &bundle.wit_authorities,
            _ => &bundle.jwt_authorities,
        };
        let verified = match &self.evidence {
            Evidence::Chain(chain) => x509_svid::verify(chain, bundle, now).is_ok(),
            Evidence::Token(signature) => {
                let key = keys.iter().find(|key| key.key_id == self.authority_id);
                key.is_some_and(|key| {
                    let algorithm = key.public_key.key_type().unwrap().default_algorithm();
                    key.public_key
                        .verify(algorithm, b"token", signature)
                        .is_ok()
                })
            }
        };
        assert!(
            verified,
            "what {} {} signed does not verify",
            self.kind, self.authority_id
        );
    }
}
