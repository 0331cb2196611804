//! Carries out what is due: one step, one commit, and asks again.

use super::fault::AuthorityFault;
use super::in_use::Authorities;
use super::make::Made;
use super::parent::Parent;
use super::spec::Spec;
use super::stored;
use super::turns::Turns;
use crate::bundles::appended;
use crate::state::{Plan, Snapshot, State};
use crate::sync::Online;
use futures::future::join_all;
use signet_ca::rotation::{Step, next_step};
use signet_ca::slots::{Kind, SlotError, SlotId, Slots, Status};
use signet_crypto::Random;
use signet_datastore::records::{Slot, SlotState};
use signet_keys::KeyManager;
use signet_model::Change;
use signet_runtime::{Clock, Stop};
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::MutexGuard;

/// How often the slots are looked at, at least.
const PERIOD: Duration = Duration::from_secs(10);
/// How often at most, whatever the clock does.
const SHORTEST: Duration = Duration::from_millis(100);
/// Steps that one look may take: retire, prepare and activate for each slot, and some more.
const MAX_STEPS: usize = 8;

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
    /// The kinds that are on.
    pub specs: Vec<Spec>,
    /// How long an authority lives.
    pub ttl: Duration,
    /// Who certifies X.509 authorities.
    pub parent: Parent,
    /// Who may change the slots.
    pub turns: Turns,
}

/// When the authorities are to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// At this time at the latest.
    pub until: SystemTime,
    /// Also when an agent acknowledges: one is waited for.
    pub waits_for_agents: bool,
}

impl Reconciler {
    /// Does what is due now. Afterwards each kind has an authority that signs. One kind that fails
    /// does not keep the others.
    pub async fn settle(&self) -> Result<Outlook, AuthorityFault> {
        self.forget_agents();
        let settled = join_all(self.specs.iter().map(|spec| self.settle_kind(spec))).await;
        let mut outlook = Outlook {
            until: self.clock.now() + PERIOD,
            waits_for_agents: false,
        };
        for kind in settled {
            let kind = kind?;
            outlook.until = outlook.until.min(kind.until);
            outlook.waits_for_agents |= kind.waits_for_agents;
        }
        Ok(outlook)
    }

    /// Settles again and again until the stop signal: when something is due, when the bundle was
    /// changed by somebody else, and every few seconds.
    pub async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Infallible> {
        let mut failing = false;
        loop {
            let mut news = News::from_now_on(&self);
            let settled = self.settle().await;
            note(&settled, &mut failing);
            let outlook = settled.unwrap_or(Outlook {
                until: self.clock.now() + PERIOD,
                waits_for_agents: false,
            });
            let wait = outlook.until.duration_since(self.clock.now());
            let wait = wait.unwrap_or_default().clamp(SHORTEST, PERIOD);
            news.bundle = own_bundle(&self);
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
                () = news.wait(&self, outlook) => {}
            }
        }
    }

    async fn settle_kind(&self, spec: &Spec) -> Result<Outlook, AuthorityFault> {
        let kind = spec.kind;
        let _turn = self.turn(kind).await?;
        self.give_up_orphans(kind).await?;
        for _ in 0..MAX_STEPS {
            let slots = self.slots(kind);
            let reach = self.reach(kind);
            match next_step(self.clock.now(), &slots, reach) {
                Step::Wait { until } => {
                    self.load(kind).await?;
                    let is_prepared = slots.find(Status::Prepared).is_some();
                    let waits_for_agents = is_prepared && !reach.acknowledged;
                    return Ok(Outlook {
                        until,
                        waits_for_agents,
                    });
                }
                Step::Retire(slot) => self.vacate(kind, slot).await?,
                Step::Prepare(slot) => {
                    self.prepare(spec, slot).await?;
                }
                Step::Activate(slot) => {
                    self.name_those_without(kind, slot);
                    self.activate(kind, slot).await?;
                }
            }
        }
        Err(AuthorityFault::Unsettled(kind))
    }

    /// The right to change the slots of a kind, which are seen as they are in the store: a commit that
    /// seemed to fail may have been made. No key may be made over the one it named, and what it retired
    /// may not sign any more: it may be tainted next.
    pub(super) async fn turn(&self, kind: Kind) -> Result<MutexGuard<'_, ()>, AuthorityFault> {
        let turn = self.turns.take(kind).await;
        self.state.is_current().await?;
        self.load(kind).await?;
        Ok(turn)
    }

    /// Agents that are evicted are not waited for.
    fn forget_agents(&self) {
        let snapshot = self.state.read();
        let is_known = |id: &SpiffeId| snapshot.index.agent(id).is_some();
        self.online.forget(is_known);
    }

    /// Our slots of this kind as the pure rules see them.
    pub(super) fn slots(&self, kind: Kind) -> Slots {
        stored::slots(&self.state.read(), &self.server_id, kind)
    }

    /// What one of our slots holds.
    pub(super) fn stored(&self, kind: Kind, slot: SlotId) -> Option<Slot> {
        stored::slot(&self.state.read(), &self.server_id, kind, slot).cloned()
    }

    /// Our bundle, or an empty one.
    pub(super) fn bundle(&self, snapshot: &Snapshot) -> Bundle {
        let bundle = snapshot.index.bundle(&self.trust_domain);
        bundle.map_or_else(
            || Bundle::empty(self.trust_domain.clone()),
            |bundle| Bundle::clone(bundle),
        )
    }

    /// Makes the authority that comes next in the empty slot, and publishes it.
    pub(super) async fn prepare(&self, spec: &Spec, slot: SlotId) -> Result<Slot, AuthorityFault> {
        if self.stored(spec.kind, slot).is_some() {
            return Err(SlotError::Taken(slot).into());
        }
        let mut made = self.make(spec, slot).await?;
        self.publish_upstream(&mut made).await?;
        self.publish(spec.kind, slot, &made).await?;
        let authority_id = &made.slot.authority_id;
        tracing::info!(authority_id, kind = %spec.kind, "an authority was prepared and published");
        Ok(made.slot)
    }

    /// Publishes new keys with the upstream authority first, and ours then has all of its keys.
    async fn publish_upstream(&self, made: &mut Made) -> Result<(), AuthorityFault> {
        let Some(upstream) = self.parent.upstream() else {
            return Ok(());
        };
        for key in std::mem::take(&mut made.addition.jwt) {
            made.addition.jwt.extend(upstream.publish_jwt(key).await?);
        }
        for key in std::mem::take(&mut made.addition.wit) {
            made.addition.wit.extend(upstream.publish_wit(key).await?);
        }
        Ok(())
    }

    async fn publish(&self, kind: Kind, slot: SlotId, made: &Made) -> Result<(), AuthorityFault> {
        let publish = |snapshot: &Snapshot| {
            if stored::slot(snapshot, &self.server_id, kind, slot).is_some() {
                return Err(SlotError::Taken(slot).into());
            }
            let bundle = appended(&self.bundle(snapshot), &made.addition);
            let plan = Plan::default().put_slot(made.slot.clone());
            Ok((plan.change(Change::PutBundle(Arc::new(bundle))), ()))
        };
        self.state.change(publish).await
    }

    /// The prepared authority signs from now on, and the active one no more.
    pub(super) async fn activate(&self, kind: Kind, slot: SlotId) -> Result<Slot, AuthorityFault> {
        let activate = |snapshot: &Snapshot| {
            let find = |id| stored::slot(snapshot, &self.server_id, kind, id);
            let next = find(slot).filter(|next| next.state == SlotState::Prepared);
            let next = next.ok_or(SlotError::NotPrepared(slot))?;
            let active = Slot {
                state: SlotState::Active,
                ..next.clone()
            };
            let before = find(slot.other()).filter(|other| other.state == SlotState::Active);
            let old = before.map(|before| Slot {
                state: SlotState::Old,
                ..before.clone()
            });
            let plan = Plan::default().put_slot(active.clone());
            Ok((old.into_iter().fold(plan, Plan::put_slot), active))
        };
        let active = self.state.change::<_, AuthorityFault, _>(activate).await?;
        let authority_id = &active.authority_id;
        tracing::info!(authority_id, kind = %kind, "an authority was activated");
        self.load(kind).await?;
        Ok(active)
    }

    /// Empties a slot that does not sign. What was only prepared has signed nothing, and leaves the
    /// bundle in the same commit; what is old stays there while something it signed may be valid.
    pub(super) async fn vacate(&self, kind: Kind, slot: SlotId) -> Result<(), AuthorityFault> {
        let vacate = |snapshot: &Snapshot| {
            let held = stored::slot(snapshot, &self.server_id, kind, slot);
            let Some(held) = held else {
                return Ok((Plan::default(), ()));
            };
            if held.state == SlotState::Active {
                return Err(SlotError::NotRetirable(slot).into());
            }
            Ok((self.removal(snapshot, kind, held), ()))
        };
        self.state.change(vacate).await
    }

    /// Takes the committed active authority into use, if it can be verified with the bundle.
    pub(super) async fn load(&self, kind: Kind) -> Result<(), AuthorityFault> {
        let stored = SlotId::BOTH
            .into_iter()
            .filter_map(|slot| self.stored(kind, slot));
        let mut active = stored.filter(|slot| slot.state == SlotState::Active);
        let bundle = self.bundle(&self.state.read());
        let published = active
            .next()
            .filter(|active| stored::is_published(active, &bundle));
        let Some(active) = published else {
            return Ok(()); // given up at the next look
        };
        if self.authorities.is_used(kind, &active.authority_id) {
            return Ok(());
        }
        let signer = self.keys.get(&active.key_manager_id).await?;
        match signer.filter(|signer| stored::belongs(signer.public_key(), &active)) {
            Some(signer) => self.authorities.take(kind, &active, signer),
            None => Ok(()), // given up at the next look
        }
    }
}

/// What the reconciler listens to beside the time.
struct News {
    revisions: tokio::sync::watch::Receiver<signet_model::Revision>,
    acknowledged: tokio::sync::watch::Receiver<u64>,
    bundle: Option<Arc<Bundle>>,
}

impl News {
    fn from_now_on(of: &Reconciler) -> Self {
        let mut news = Self {
            revisions: of.state.revisions(),
            acknowledged: of.online.acknowledged(),
            bundle: None,
        };
        news.revisions.mark_unchanged();
        news.acknowledged.mark_unchanged();
        news
    }

    /// Waits until somebody else has changed our bundle or an agent, if one is waited for, has
    /// acknowledged. What the reconciler itself changed is no news.
    async fn wait(&mut self, of: &Reconciler, outlook: Outlook) {
        loop {
            tokio::select! {
                changed = self.revisions.changed() => match changed {
                    Ok(()) if same(self.bundle.as_ref(), own_bundle(of).as_ref()) => {}
                    Ok(()) => return,
                    Err(_) => std::future::pending().await,
                },
                _ = self.acknowledged.changed(), if outlook.waits_for_agents => return,
            }
        }
    }
}

fn own_bundle(of: &Reconciler) -> Option<Arc<Bundle>> {
    of.state.read().index.bundle(&of.trust_domain).cloned()
}

fn same(one: Option<&Arc<Bundle>>, other: Option<&Arc<Bundle>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// A failure is told once, and its end.
fn note(settled: &Result<Outlook, AuthorityFault>, failing: &mut bool) {
    match settled {
        Ok(_) if std::mem::take(failing) => {
            tracing::info!("the authorities are in order again");
        }
        Err(error) if !std::mem::replace(failing, true) => {
            let error = crate::api::types::chain(error);
            tracing::error!(error, "the authorities could not be brought in order");
        }
        _ => {}
    }
}
