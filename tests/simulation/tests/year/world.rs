//! The server process over all its lives, and the clock.

use crate::agents::{AGENTS, Agent};
use crate::events::{Event, PERIOD, Queue};
use crate::fate::{Fate, FrailKeys, FrailStore};
use crate::judge::{IN_TIME, Judge, Moment, View, Wrong};
use crate::replace::Replacement;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use signet_crypto::SeededRandom;
use signet_datastore::{Epoch, MemoryStore, Store};
use signet_keys::memory::MemoryKeys;
use signet_model::{Change, Composers, Revision};
use signet_runtime::{Clock, Tasks, TokioClock};
use signet_server::authority::{
    Authorities, AuthorityFault, AuthoritySettings, Outlook, Parent, Reconciler, Turns,
};
use signet_server::prune;
use signet_server::state::{Plan, Snapshot, State, StateError};
use signet_server::sync::Online;
use signet_spiffe::{Bundle, TrustDomain};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// When every year begins.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
/// How late the server looks at what is due, in milliseconds.
const LOOKS_WITHIN: u64 = 10_000;
/// Lines that are told of what went before a failure.
const TOLD: usize = 60;
/// Authorities live so long that each day one is made, when half of the life of the last is over.
const AUTHORITY_TTL: Duration = Duration::from_secs(2 * 24 * 3600);
/// If nothing fails, 364 other authorities of each kind sign in a year. Absences cost some.
const ROTATIONS: u32 = 300;

/// What is wrong with the server, to see that the judge sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// A prepared authority signs, and is in the bundle later.
    PublishesLate,
    /// A prepared authority signs at once.
    ActivatesAtOnce,
    /// What waits for agents does not.
    ForgetsAgents,
    /// Expired authorities stay in the bundle for 23 hours.
    PrunesAnHourEarly,
    /// Authorities leave the bundle in their last six hours.
    PrunesTheLiving,
    /// Nothing is done after half a year.
    StopsInJune,
}

/// A clock on the wall: tokio's, and somebody sets it now and then.
pub(crate) struct WallClock {
    tokio: TokioClock,
    ahead_seconds: AtomicI64,
}

impl WallClock {
    pub(crate) fn set(&self, seconds: i64) {
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn now(&self) -> SystemTime {
        let ahead = self.ahead_seconds.load(Ordering::SeqCst);
        let by = Duration::from_secs(ahead.unsigned_abs());
        match ahead < 0 {
            true => self.tokio.now() - by,
            false => self.tokio.now() + by,
        }
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) clock: Arc<WallClock>,
    pub(crate) clock_set: Instant,
    pub(crate) fate: Arc<Fate>,
    pub(crate) server: Option<Process>,
    /// How many processes there were.
    pub(crate) lives: u32,
    pub(crate) agents: Vec<Agent>,
    pub(crate) judge: Judge,
    /// The bundle that is committed.
    pub(crate) seen: Option<Arc<View>>,
    pub(crate) queue: Queue,
    pub(crate) replacement: Option<Replacement>,
    pub(crate) replaced: u32,
    /// Whether the server waits for agents to acknowledge.
    pub(crate) waits: bool,
    /// The look at the authorities that is planned; earlier plans are void.
    pub(crate) planned: u64,
    /// Since when the server runs and its writes succeed.
    well_since: Instant,
    begun: Instant,
    seen_slots: Revision,
    defect: Defect,
    store: Arc<FrailStore>,
    keys: Arc<FrailKeys>,
    random: Arc<SeededRandom>,
    story: VecDeque<String>,
}

/// A server process.
pub(crate) struct Process {
    pub(crate) state: Arc<State>,
    pub(crate) rotation: Arc<Reconciler>,
    pub(crate) authorities: Arc<Authorities>,
    started: Instant,
    tasks: Tasks,
}

impl World {
    pub(crate) fn new(seed: u64, defect: Defect) -> Self {
        let fate = Arc::new(Fate::default());
        let now = Instant::now();
        let clock = WallClock {
            tokio: TokioClock::starting_at(UNIX_EPOCH + BEGINNING),
            ahead_seconds: AtomicI64::new(0),
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            clock: Arc::new(clock),
            clock_set: now - DAY,
            server: None,
            lives: 0,
            agents: (0..AGENTS).map(Agent::new).collect(),
            judge: Judge::new(),
            seen: None,
            queue: Queue::default(),
            replacement: None,
            replaced: 0,
            planned: 0,
            waits: false,
            well_since: now,
            begun: now,
            seen_slots: Revision(0),
            defect,
            store: Arc::new(FrailStore {
                inner: MemoryStore::with_epoch(Epoch::from_bytes([7; 16])),
                fate: fate.clone(),
            }),
            keys: Arc::new(FrailKeys {
                inner: MemoryKeys::new(),
                fate: fate.clone(),
            }),
            random: Arc::new(SeededRandom::new(seed)),
            story: VecDeque::new(),
            fate,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// How much of the year is over.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Adds a line to what is told when the year ends badly.
    pub(crate) fn tell(&mut self, line: impl Into<String>) {
        let age = self.age();
        let (days, seconds) = (age.as_secs() / 86400, age.as_secs_f64() % 86400.0);
        let line = format!("day {days:3} {seconds:9.3} {}", line.into());
        tracing::info!("{line}");
        if self.story.len() == TOLD {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    /// The last lines of the story.
    pub(crate) fn story(&self) -> String {
        Vec::from(self.story.clone()).join("\n")
    }

    /// Starts a process on what there is. It looks at its authorities before anything else.
    pub(crate) async fn start(&mut self) -> Result<(), Wrong> {
        self.fate.revive();
        let store: Arc<dyn Store> = self.store.clone();
        let loaded = State::load(store, td()).await;
        let (state, feed) = loaded.map_err(|error| format!("the store cannot be read: {error}"))?;
        let tasks = Tasks::new();
        tasks.spawn_essential("change feed", state.clone().follow(feed, tasks.stop()));
        let settings = AuthoritySettings {
            ttl: AUTHORITY_TTL,
            wit_key_type: Some(signet_crypto::KeyType::EcP256),
            ..AuthoritySettings::defaults()
        };
        let authorities = Arc::new(Authorities::new(settings.alternative_for()));
        let rotation = Reconciler {
            state: state.clone(),
            keys: self.keys.clone(),
            authorities: authorities.clone(),
            online: Arc::new(Online::default()),
            clock: self.clock.clone(),
            random: self.random.clone(),
            trust_domain: td(),
            server_id: "one".to_owned(),
            specs: settings.specs(true),
            ttl: settings.ttl,
            parent: Parent::SelfSigned {
                subject: None,
                composers: Composers::default(),
            },
            turns: Turns::default(),
        };
        self.lives += 1;
        self.server = Some(Process {
            state,
            rotation: Arc::new(rotation),
            authorities,
            started: Instant::now(),
            tasks,
        });
        self.well_since = Instant::now();
        self.tell("the server starts");
        self.enrol().await;
        self.settle().await
    }

    /// Puts the agents on record, once.
    async fn enrol(&mut self) {
        let Some(server) = &self.server else { return };
        let end = UNIX_EPOCH + BEGINNING + DAY * 1000;
        for agent in &self.agents {
            if server.state.read().index.agent(&agent.id).is_none() {
                let record = agent.record(end);
                let put = |_: &Snapshot| {
                    let plan = Plan::default().change(Change::PutAgent(record.clone()));
                    Ok::<_, StateError>((plan, ()))
                };
                server.state.change(put).await.unwrap();
            }
        }
    }

    /// Ends the process where it stands.
    pub(crate) async fn crash(&mut self) {
        let Some(process) = self.server.take() else {
            return;
        };
        for agent in &mut self.agents {
            agent.presence = None;
        }
        process.tasks.abandon().await;
    }

    /// The server looks at its authorities, and says when it wants to look again.
    pub(crate) async fn settle(&mut self) -> Result<(), Wrong> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let is_new = server.started == Instant::now();
        if self.defect == Defect::StopsInJune && self.age() > DAY * 182 && !is_new {
            return Ok(());
        }
        let settled = server.rotation.settle().await;
        self.judge.unsettled = settled.is_err();
        if let Err(error) = &settled {
            self.falters();
            self.tell(format!("the authorities are not settled: {error}"));
        }
        if let Ok(outlook) = settled {
            self.waits = outlook.waits_for_agents;
            self.misbehave(outlook).await?;
        }
        self.see(false).await?;
        self.plan_a_look(settled);
        Ok(())
    }

    fn plan_a_look(&mut self, settled: Result<Outlook, AuthorityFault>) {
        let now = self.now();
        let until = |at: SystemTime| at.duration_since(now).unwrap_or_default();
        let wait = match settled {
            Err(_) => PERIOD,
            Ok(outlook) if outlook.waits_for_agents => until(outlook.until),
            Ok(_) => {
                let lag = Duration::from_millis(self.rng.random_range(0..LOOKS_WITHIN));
                self.judge.next_due(now).map_or(HOUR, until) + lag
            }
        };
        let wait = wait + Duration::from_millis(1);
        self.look_after(wait);
    }

    /// Looks again after this time, instead of whenever it was planned.
    pub(crate) fn look_after(&mut self, wait: Duration) {
        self.planned += 1;
        self.schedule(wait, Event::Look(self.planned));
    }

    /// Looks after this time, unless it was planned for earlier.
    pub(crate) fn look_also_after(&mut self, wait: Duration) {
        self.schedule(wait, Event::Look(self.planned));
    }

    /// Removes what ended long ago.
    pub(crate) async fn prune(&mut self) -> Result<(), Wrong> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let ahead = match self.defect {
            Defect::PrunesAnHourEarly => HOUR,
            Defect::PrunesTheLiving => HOUR * 30,
            _ => Duration::ZERO,
        };
        let pruned = prune::prune_bundle(&server.state, &td(), self.now() + ahead).await;
        if let Err(error) = pruned {
            self.falters();
            self.tell(format!("nothing is pruned: {error}"));
        }
        self.see(false).await
    }

    pub(crate) fn moment(&self, by_hand: bool) -> Moment {
        let instant = Instant::now();
        Moment {
            now: self.now(),
            instant,
            by_hand,
            started: self
                .server
                .as_ref()
                .map_or(instant, |server| server.started),
            clock_set: self.clock_set,
        }
    }

    /// Looks at all that is committed; whoever listens will hear of it. A process that has died in
    /// the act is buried.
    pub(crate) async fn see(&mut self, by_hand: bool) -> Result<(), Wrong> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let current = server.state.is_current().await;
        current.map_err(|error| format!("the server does not follow its store: {error}"))?;
        let revision = server.state.revision();
        if revision != self.seen_slots {
            self.seen_slots = revision;
            let (bundle, slots) = {
                let snapshot = server.state.read();
                let bundle = snapshot.index.bundle(&td()).cloned();
                (bundle, snapshot.slots().cloned().collect())
            };
            let moment = self.moment(by_hand);
            if let Some(bundle) = bundle {
                let before = self.seen.take();
                let view = self.judge.see_bundle(bundle, revision, &moment)?;
                let is_news = before.is_none_or(|before| !Arc::ptr_eq(&before, &view));
                self.seen = Some(view);
                if is_news {
                    self.announce();
                }
            }
            self.judge.see_slots(slots, &moment, &self.agents)?;
        }
        if self.fate.is_dead() {
            self.tell("the server dies at a write");
            self.crash().await;
            self.start_again();
        }
        Ok(())
    }

    /// A write failed: what is due may take a little longer.
    pub(crate) fn falters(&mut self) {
        self.well_since = Instant::now();
    }

    /// Judges the present instant.
    pub(crate) fn judge(&mut self) -> Result<(), Wrong> {
        let now = self.now();
        self.judge.look(now, &self.agents)?;
        let is_steady = self.clock_set.elapsed() > IN_TIME;
        if self.server.is_some() && is_steady && self.well_since.elapsed() > IN_TIME {
            self.judge.is_timely(now)?;
        }
        Ok(())
    }

    /// At the end there was a year of rotations.
    pub(crate) fn sum_up(&mut self) -> Result<(), Wrong> {
        let (rotations, excuses) = (self.judge.rotations, self.judge.excuses);
        let (lives, replaced) = (self.lives, self.replaced);
        self.tell(format!(
            "{rotations:?} rotations, {replaced} by hand, in {lives} lives; {excuses} excuses"
        ));
        match rotations.iter().all(|count| *count >= ROTATIONS) {
            true => Ok(()),
            false => Err(format!("there were only {rotations:?} rotations")),
        }
    }

    async fn misbehave(&mut self, outlook: Outlook) -> Result<(), Wrong> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let (rotation, state) = (server.rotation.clone(), server.state.clone());
        for kind in crate::judge::KINDS {
            let prepared = rotation.local_authorities(kind).ok();
            let prepared = prepared.and_then(|all| all.prepared);
            let Some(id) = prepared.map(|prepared| prepared.authority_id) else {
                continue;
            };
            match self.defect {
                Defect::ActivatesAtOnce => {}
                Defect::ForgetsAgents if outlook.waits_for_agents => {
                    if !self.judge.is_due(kind, self.now()) {
                        continue;
                    }
                }
                Defect::PublishesLate => {}
                _ => continue,
            }
            let _may_fail = rotation.activate_now(kind, &id).await;
            if self.defect == Defect::PublishesLate {
                let unpublish = |snapshot: &Snapshot| {
                    let own = snapshot.index.bundle(&td()).unwrap();
                    let plan = Plan::default().change(Change::PutBundle(without(own, &id)));
                    Ok::<_, StateError>((plan, ()))
                };
                let _may_fail = state.change(unpublish).await;
                let bundle = state.read().index.bundle(&td()).cloned().unwrap();
                let view = self.judge.view(bundle, state.revision(), Instant::now());
                self.judge.signed(0, (kind, &id), self.now(), &view)?;
            }
        }
        Ok(())
    }
}

fn without(own: &Bundle, id: &str) -> Arc<Bundle> {
    let mut bundle = own.clone();
    bundle
        .x509_authorities
        .retain(|one| signet_crypto::hex(&one.subject_key_id()) != id);
    bundle.jwt_authorities.retain(|key| key.key_id != id);
    bundle.wit_authorities.retain(|key| key.key_id != id);
    bundle.sequence += 1;
    Arc::new(bundle)
}

/// The trust domain.
pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}
