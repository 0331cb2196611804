//! What happens in a run: operators change things, programs die, the network and the disk fail.
//! Everything is drawn from the seed.

use crate::invariants::Wrong;
use crate::ledger::Ledger;
use crate::net::Weather;
use crate::store::Illness;
use crate::world::{AGENTS, WORKLOADS, World, gid, operator, td, uid};
use rand::Rng;
use rand::seq::IndexedRandom;
use signet_model::{Entry, EntryId, SelectorSet, Stewardship};
use signet_server::bundles::{BundleFault, OnFederated, Write};
use signet_server::entries::EntryFault;
use signet_server::state::StateError;
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

/// What happens in one run, besides the beginning and the healing.
const STEPS: usize = 32;
/// The longest time between two of them.
const LONGEST_GAP: f64 = 50.0;
/// Foreign trust domains.
const PEERS: [&str; 2] = ["peer.example", "other.example"];
/// Identities; several entries may give the same.
const IDENTITIES: u32 = 8;

/// What became of a write.
enum Outcome {
    Written,
    Refused,
    Unknown,
}

impl World {
    /// The whole run.
    pub(crate) async fn live(&mut self) -> Result<(), Wrong> {
        self.start_server().await;
        for number in 0..AGENTS {
            self.enrol(number).await;
        }
        for _ in 0..4 {
            self.create_entry();
        }
        for _ in 0..STEPS {
            self.step().await;
            // Many things at once sometimes, mostly one after the other.
            let gap = match self.rng.random_bool(0.2) {
                true => 0.0,
                false => self.rng.random_range(0.1..LONGEST_GAP),
            };
            self.pass(Duration::from_secs_f64(gap)).await?;
        }
        self.heal().await;
        self.converge().await?;
        self.pass(Duration::from_secs(60)).await?;
        self.converge().await
    }

    async fn heal(&mut self) {
        self.tell("everything heals");
        self.set_disk(Illness::default());
        for number in 0..AGENTS {
            self.set_link(number, Weather::Clear);
        }
        self.start_server().await;
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..16 => self.create_entry(),
            16..30 => self.update_entry(),
            30..37 => self.delete_entry(),
            37..43 => self.write_bundle(),
            43..46 => self.delete_bundle().await,
            46..49 => self.remove_agent(true),
            49..53 => self.remove_agent(false),
            53..61 => self.revive().await,
            61..66 => self.restart_agent().await,
            66..74 => self.change_server().await,
            74..90 => self.change_link(),
            90..100 => self.change_disk(),
            _ => unreachable!("drawn below 100"),
        }
    }

    fn create_entry(&mut self) {
        let number = self.rng.random_range(0..1_000_000);
        let id = EntryId::parse(&format!("entry-{number:06}")).unwrap();
        let entry = self.draw_entry(id.clone());
        let Some((issuer, tasks)) = self.server() else {
            return;
        };
        let ledger = self.ledger.clone();
        if !ledger.lock().unwrap().is_new(&id) {
            return;
        }
        self.tell(format!("create {}", told(&entry)));
        ledger.lock().unwrap().begin_entry(&id, Some(entry.clone()));
        tasks.spawn("create", async move {
            let created = issuer.create_entry(&operator(), entry).await;
            let now = created.as_ref().ok().map(|entry| Entry::clone(entry));
            settle_entry(&ledger, &id, outcome(&created), now);
        });
    }

    fn update_entry(&mut self) {
        let Some((old, (issuer, tasks))) = self.draw_settled().zip(self.server()) else {
            return;
        };
        let next = self.draw_change(&old);
        self.tell(format!("update {}", told(&next)));
        let expected = Entry {
            revision_number: old.revision_number + 1,
            ..next.clone()
        };
        let ledger = self.ledger.clone();
        ledger.lock().unwrap().begin_entry(&old.id, Some(expected));
        tasks.spawn("update", async move {
            let edit = |_: &Entry| Ok(next.clone());
            let updated = issuer.update_entry(&operator(), &old.id, edit).await;
            let now = updated.as_ref().ok().map(|entry| Entry::clone(entry));
            settle_entry(&ledger, &old.id, outcome(&updated), now);
        });
    }

    fn delete_entry(&mut self) {
        let Some((old, (issuer, tasks))) = self.draw_settled().zip(self.server()) else {
            return;
        };
        self.tell(format!("delete {}", old.id));
        let ledger = self.ledger.clone();
        ledger.lock().unwrap().begin_entry(&old.id, None);
        tasks.spawn("delete", async move {
            let deleted = issuer.delete_entry(&operator(), &old.id).await;
            settle_entry(&ledger, &old.id, outcome(&deleted), None);
        });
    }

    fn write_bundle(&mut self) {
        let name = TrustDomain::parse(PEERS.choose(&mut self.rng).unwrap()).unwrap();
        let Some((issuer, tasks)) = self.server() else {
            return;
        };
        let ledger = self.ledger.clone();
        if ledger.lock().unwrap().is_busy(name.name()) {
            return;
        }
        let Some(own) = issuer.own_bundle() else {
            return;
        };
        let bundle = Bundle {
            trust_domain: name.clone(),
            sequence: self.rng.random_range(1..1000),
            ..Bundle::clone(&own)
        };
        self.tell(format!("set bundle {name}"));
        ledger
            .lock()
            .unwrap()
            .begin_bundle(&name, Some(bundle.clone()));
        tasks.spawn("bundle", async move {
            let edit = |_: Option<&Bundle>| Ok(bundle.clone());
            let written = issuer
                .write_bundle(&operator(), &name, Write::Set, edit)
                .await;
            settle_bundle(&ledger, &name, bundle_outcome(&written), Some(bundle));
        });
    }

    /// Touches every entry that federates, so it waits for its end and happens alone.
    async fn delete_bundle(&mut self) {
        let Some((issuer, tasks)) = self.server() else {
            return;
        };
        let ledger = self.ledger.clone();
        let names = ledger.lock().unwrap().settled_bundles();
        let Some(name) = names.choose(&mut self.rng).cloned() else {
            return;
        };
        if !ledger.lock().unwrap().is_idle() {
            return;
        }
        let how = match self.rng.random_bool(0.5) {
            true => OnFederated::Restrict,
            false => OnFederated::Dissociate,
        };
        self.tell(format!("delete bundle {name}: {how:?}"));
        ledger.lock().unwrap().begin_bundle(&name, None);
        let (done, waits) = tokio::sync::oneshot::channel();
        tasks.spawn("bundle", async move {
            let deleted = issuer.delete_bundle(&operator(), &name, how).await;
            settle_bundle(&ledger, &name, bundle_outcome(&deleted), None);
            let _nobody = done.send(());
        });
        let _dropped = waits.await;
    }

    /// Bans or evicts an agent.
    fn remove_agent(&mut self, for_good: bool) {
        let number = self.rng.random_range(0..AGENTS);
        let Some(((id, _), (issuer, tasks))) = self.agents[number].last.clone().zip(self.server())
        else {
            return;
        };
        let verb = if for_good { "ban" } else { "evict" };
        self.tell(format!("{verb} agent {number}: {id}"));
        self.agents[number].unwanted.insert(id.clone());
        let ledger = self.ledger.clone();
        tasks.spawn("remove agent", async move {
            let by = operator();
            if for_good && issuer.ban_agent(&by, &id).await.is_ok() {
                ledger.lock().unwrap().banned(&id);
            }
            if !for_good && issuer.evict_agent(&by, &id).await.is_ok() {
                ledger.lock().unwrap().evicted(&id);
            }
        });
    }

    /// Gives an agent that has ended a new token.
    async fn revive(&mut self) {
        for number in 0..AGENTS {
            if self.agents[number].life.is_none() {
                self.enrol(number).await;
            }
        }
    }

    async fn restart_agent(&mut self) {
        let number = self.rng.random_range(0..AGENTS);
        let lived = self.agents[number].life.is_some();
        self.crash_agent(number).await;
        if lived {
            self.start_agent(number);
        }
    }

    async fn change_server(&mut self) {
        match self.server() {
            None => self.start_server().await,
            Some(_) => {
                self.crash_server().await;
                if self.rng.random_bool(0.5) {
                    self.start_server().await;
                }
            }
        }
    }

    fn change_link(&mut self) {
        let number = self.rng.random_range(0..AGENTS);
        match self.agents[number].link.is_clear() {
            false => self.set_link(number, Weather::Clear),
            true => match self.rng.random_range(0..3) {
                0 => self.set_link(number, Weather::Refused),
                1 => self.set_link(number, Weather::Held),
                _ => self.cut_link(number),
            },
        }
    }

    fn change_disk(&mut self) {
        let illness = match self.rng.random_range(0..3) {
            0 => Illness::default(),
            1 => Illness {
                slowest: Duration::from_secs_f64(self.rng.random_range(0.01..4.0)),
                failing: 0.0,
            },
            _ => Illness {
                slowest: Duration::from_secs_f64(self.rng.random_range(0.01..1.0)),
                failing: self.rng.random_range(0.1..0.6),
            },
        };
        self.set_disk(illness);
    }

    fn draw_settled(&mut self) -> Option<Entry> {
        let entries = self.ledger.lock().unwrap().settled_entries();
        entries.choose(&mut self.rng).cloned()
    }

    fn draw_entry(&mut self, id: EntryId) -> Entry {
        Entry {
            id,
            spiffe_id: self.draw_identity(),
            parent_id: self.draw_parent(),
            selectors: self.draw_selectors(),
            x509_svid_ttl: self.draw_ttl(),
            jwt_svid_ttl: None,
            federates_with: self.draw_federation(),
            admin: false,
            downstream: false,
            store_svid: false,
            expires_at: None,
            dns_names: Vec::new(),
            hint: String::new(),
            revision_number: 0,
            created_at: UNIX_EPOCH,
            disable_x509_svid_prefetch: self.rng.random_bool(0.2),
            jwt_svid_include_jti: false,
            disabled: false,
            stewardship: Stewardship::default(),
        }
        .ending(self)
    }

    fn draw_change(&mut self, old: &Entry) -> Entry {
        let old = old.clone();
        match self.rng.random_range(0..7) {
            0 => Entry {
                disabled: !old.disabled,
                ..old
            },
            1 => Entry {
                spiffe_id: self.draw_identity(),
                ..old
            },
            2 => Entry {
                selectors: self.draw_selectors(),
                ..old
            },
            3 => Entry {
                parent_id: self.draw_parent(),
                ..old
            },
            4 => Entry {
                x509_svid_ttl: self.draw_ttl(),
                hint: format!("hint-{}", self.rng.random_range(0..10)),
                ..old
            },
            5 => Entry {
                federates_with: self.draw_federation(),
                ..old
            },
            _ => old.ending(self),
        }
    }

    fn draw_identity(&mut self) -> SpiffeId {
        let number = self.rng.random_range(0..IDENTITIES);
        SpiffeId::new(&td(), &format!("/workload/{number}")).unwrap()
    }

    /// Mostly a node by its alias, or an agent by its own ID, or another entry's identity.
    fn draw_parent(&mut self) -> SpiffeId {
        let number = self.rng.random_range(0..AGENTS);
        let node = &self.agents[number];
        match self.rng.random_range(0..10) {
            0..2 => node
                .last
                .as_ref()
                .map_or(node.name.clone(), |last| last.0.clone()),
            2 => self.draw_identity(),
            _ => node.name.clone(),
        }
    }

    fn draw_selectors(&mut self) -> SelectorSet {
        let user = uid(self.rng.random_range(0..WORKLOADS));
        match self.rng.random_range(0..4) {
            0 => SelectorSet::from_iter([gid()]),
            1 => SelectorSet::from_iter([user, gid()]),
            _ => SelectorSet::from_iter([user]),
        }
    }

    fn draw_ttl(&mut self) -> Option<Duration> {
        let minutes = [None, None, Some(2), Some(5)];
        let minutes = *minutes.choose(&mut self.rng).unwrap();
        minutes.map(|minutes| Duration::from_secs(minutes * 60))
    }

    fn draw_federation(&mut self) -> BTreeSet<TrustDomain> {
        let names = self.ledger.lock().unwrap().settled_bundles();
        match self.rng.random_bool(0.4) {
            true => names.choose(&mut self.rng).cloned().into_iter().collect(),
            false => BTreeSet::new(),
        }
    }
}

/// Gives a thing an end, sometimes.
trait Ending {
    fn ending(self, world: &mut World) -> Self;
}

impl Ending for Entry {
    fn ending(self, world: &mut World) -> Self {
        let minutes = [None, None, None, Some(1), Some(7), Some(20)];
        let minutes = *minutes.choose(&mut world.rng).unwrap();
        let now = world.clock.now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        Self {
            expires_at: minutes.map(|minutes| now + Duration::from_secs(minutes * 60)),
            ..self
        }
    }
}

fn told(entry: &Entry) -> String {
    let selectors: Vec<_> = entry.selectors.iter().map(|one| one.expose()).collect();
    format!(
        "{} {} under {} for {selectors:?} ends {:?} disabled {}",
        entry.id, entry.spiffe_id, entry.parent_id, entry.expires_at, entry.disabled
    )
}

fn outcome<T>(answer: &Result<T, EntryFault>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Written,
        Err(EntryFault::State(StateError::Store(_) | StateError::Stopping)) => Outcome::Unknown,
        Err(_) => Outcome::Refused,
    }
}

fn bundle_outcome<T>(answer: &Result<T, BundleFault>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Written,
        Err(BundleFault::State(StateError::Store(_) | StateError::Stopping)) => Outcome::Unknown,
        Err(_) => Outcome::Refused,
    }
}

fn settle_entry(ledger: &Arc<Mutex<Ledger>>, id: &EntryId, what: Outcome, now: Option<Entry>) {
    let mut ledger = ledger.lock().unwrap();
    match what {
        Outcome::Written => ledger.entry_is(id, now),
        Outcome::Refused => ledger.entry_stays(id),
        Outcome::Unknown => ledger.entry_unknown(id),
    }
}

fn settle_bundle(
    ledger: &Arc<Mutex<Ledger>>,
    name: &TrustDomain,
    what: Outcome,
    now: Option<Bundle>,
) {
    let mut ledger = ledger.lock().unwrap();
    match what {
        Outcome::Written => ledger.bundle_is(name, now),
        Outcome::Refused => ledger.bundle_stays(name),
        Outcome::Unknown => ledger.bundle_unknown(name),
    }
}
