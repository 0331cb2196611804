//! What must hold at every moment, and what must hold once everything is well again.

use crate::world::{AGENTS, Life, WORKLOADS, World, workload};
use signet_agent::views::{Identity, View, X509Answer};
use signet_model::{Entry, EntryId};
use signet_runtime::TaskFailed;
use signet_spiffe::{SpiffeId, x509_svid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a view that somebody follows may still show what has just expired: timers count in
/// milliseconds, and the view has to be made anew.
const EXPIRES_WITHIN: Duration = Duration::from_millis(100);
/// How often it is looked at everything.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long it may take until everything is well: the agents' longest waits, twice.
const HEALS_WITHIN: Duration = Duration::from_secs(15 * 60);

/// What was found wrong.
pub(crate) type Wrong = String;

impl World {
    /// Lets time pass, and looks at everything all the while.
    pub(crate) async fn pass(&mut self, time: Duration) -> Result<(), Wrong> {
        let end = tokio::time::Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            self.look().await?;
            if left <= LOOK_EVERY {
                return Ok(());
            }
        }
    }

    /// Looks at everything now.
    pub(crate) async fn look(&mut self) -> Result<(), Wrong> {
        self.witness.catch_up().await;
        if let Some(failed) = self.server_failed() {
            return Err(format!("the server stopped: {failed}"));
        }
        self.compare_writes()?;
        for number in 0..AGENTS {
            self.look_at_agent(number).await?;
        }
        Ok(())
    }

    /// No acknowledged write is lost, neither in the store nor in what the server knows.
    fn compare_writes(&self) -> Result<(), Wrong> {
        let now = self.clock.now();
        let stored = self.witness.state.read();
        self.ledger.lock().unwrap().compare(&stored.index, now)?;
        let Some((issuer, _)) = self.server() else {
            return Ok(());
        };
        if issuer.state.revision() != self.witness.state.revision() {
            return Ok(());
        }
        let known = issuer.state.read();
        let same = known.index.entries().eq(stored.index.entries())
            && known.index.agents().eq(stored.index.agents())
            && known.index.bundles().eq(stored.index.bundles());
        match same {
            true => Ok(()),
            false => Err("the server knows something else than what is stored".to_owned()),
        }
    }

    async fn look_at_agent(&mut self, number: usize) -> Result<(), Wrong> {
        if let Some(member) = self.agents[number].member() {
            self.agents[number].last = Some(member);
        }
        if let Some(failed) = self.agent_failed(number) {
            self.excuse(number, &failed)?;
            self.tell(format!("agent {number}: {failed}"));
            self.crash_agent(number).await;
            return Ok(());
        }
        let now = self.clock.now();
        let Some(life) = &self.agents[number].life else {
            return Ok(());
        };
        for kind in 0..WORKLOADS {
            let [followed, fresh] = life.shown(kind);
            not_expired(&followed, now - EXPIRES_WITHIN)
                .map_err(|wrong| format!("agent {number} shows a follower {wrong}"))?;
            not_expired(&fresh, now).map_err(|wrong| format!("agent {number} serves {wrong}"))?;
            for identity in identities(&fresh).iter().chain(identities(&followed)) {
                self.authorized(number, kind, identity)?;
            }
        }
        Ok(())
    }

    /// An agent ends only when it is not wanted any more, or its SVID ran out.
    fn excuse(&self, number: usize, failed: &TaskFailed) -> Result<(), Wrong> {
        let node = &self.agents[number];
        let excused = match (&node.last, failed) {
            (_, TaskFailed::Panicked { .. }) => false,
            (Some((id, end)), _) => node.unwanted.contains(id) || *end <= self.clock.now(),
            (None, _) => false,
        };
        match excused {
            true => Ok(()),
            false => Err(format!("agent {number} ended without need: {failed}")),
        }
    }

    /// The agent had the right to serve this, recently enough.
    fn authorized(&self, number: usize, kind: u32, identity: &Identity) -> Result<(), Wrong> {
        let node = &self.agents[number];
        let (entry, id) = (&identity.entry, &identity.svid.id);
        let whom = format!("agent {number}, workload {kind}: entry {} {id}", entry.id);
        if entry.spiffe_id != *id {
            return Err(format!(
                "{whom}: the entry is of another SPIFFE ID: {}",
                entry.spiffe_id
            ));
        }
        if !entry.selectors.is_subset(&workload(kind)) {
            return Err(format!("{whom}: the entry is for other workloads"));
        }
        let Some((member, _)) = node.member() else {
            return Err(format!("{whom}: the agent is not attested"));
        };
        let now = self.clock.now();
        let right = (member, entry.id.clone(), id.clone());
        match self.witness.last(&right) {
            None => Err(format!("{whom}: the agent never had this right")),
            Some(last) if last < node.path.horizon(now) => Err(format!(
                "{whom}: the agent lost this right {} s ago",
                now.duration_since(last).unwrap_or_default().as_secs_f64()
            )),
            Some(_) => Ok(()),
        }
    }

    /// Waits until everything is as it should be, and sees that it stays so.
    pub(crate) async fn converge(&mut self) -> Result<(), Wrong> {
        let end = self.clock.now() + HEALS_WITHIN;
        loop {
            self.pass(Duration::from_secs(5)).await?;
            for number in 0..AGENTS {
                if self.agents[number].life.is_none() {
                    self.enrol(number).await;
                }
            }
            match self.converged() {
                Ok(()) => return self.verify(),
                Err(wrong) if self.clock.now() >= end => {
                    return Err(format!("it did not heal: {wrong}"));
                }
                Err(_) => {}
            }
        }
    }

    /// Each agent serves exactly what it may.
    fn converged(&self) -> Result<(), Wrong> {
        for (number, node) in self.agents.iter().enumerate() {
            let Some((member, _)) = node.member() else {
                return Err(format!("agent {number} is not attested"));
            };
            let life = node.life.as_ref().expect("a member lives");
            if !life.freshness.is_synced() {
                return Err(format!("agent {number} has heard nothing"));
            }
            let authorized = self.witness.authorized(&member);
            holds(life, &authorized).map_err(|wrong| format!("agent {number}: {wrong}"))?;
            for kind in 0..WORKLOADS {
                serves(life, kind, &authorized)
                    .map_err(|wrong| format!("agent {number}, workload {kind}: {wrong}"))?;
            }
        }
        Ok(())
    }

    /// Every SVID that is served verifies against the bundle that is served with it.
    fn verify(&self) -> Result<(), Wrong> {
        let now = self.clock.now();
        for life in self.agents.iter().filter_map(|node| node.life.as_ref()) {
            let [_, view] = life.shown(0);
            let bundle = view.bundle.clone().ok_or("there is no bundle")?;
            for identity in identities(&view) {
                let svid = x509_svid::verify(&identity.svid.chain, &bundle, now)
                    .map_err(|error| format!("an SVID does not verify: {error}"))?;
                if svid.public_key != *identity.svid.key.public_key() {
                    return Err("an SVID is served with another key".to_owned());
                }
            }
        }
        Ok(())
    }
}

fn identities(view: &View) -> &[Identity] {
    match &view.x509 {
        X509Answer::Ready(identities) => identities,
        X509Answer::Denied | X509Answer::Pending => &[],
    }
}

fn not_expired(view: &View, now: SystemTime) -> Result<(), Wrong> {
    let expired = identities(view)
        .iter()
        .find(|identity| identity.svid.not_after <= now);
    match expired {
        None => Ok(()),
        Some(identity) => Err(format!(
            "{} of entry {} that expired {} s ago",
            identity.svid.id,
            identity.entry.id,
            now.duration_since(identity.svid.not_after)
                .unwrap_or_default()
                .as_secs_f64()
        )),
    }
}

type Forms = BTreeMap<EntryId, (i64, SpiffeId)>;

fn forms<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Forms {
    entries
        .map(|entry| {
            let form = (entry.revision_number, entry.spiffe_id.clone());
            (entry.id.clone(), form)
        })
        .collect()
}

fn holds(life: &Life, authorized: &[Arc<Entry>]) -> Result<(), Wrong> {
    let held = life
        .holdings
        .read(|cache| forms(cache.held().map(|held| &held.entry)));
    let wanted = forms(authorized.iter());
    match held == wanted {
        true => Ok(()),
        false => Err(format!("it holds {held:?}, it should hold {wanted:?}")),
    }
}

fn serves(life: &Life, kind: u32, authorized: &[Arc<Entry>]) -> Result<(), Wrong> {
    let selectors = workload(kind);
    let wanted = authorized
        .iter()
        .filter(|entry| entry.selectors.is_subset(&selectors));
    let wanted: Vec<_> = wanted.map(|entry| &entry.id).collect();
    for view in life.shown(kind) {
        let served: Vec<_> = identities(&view).iter().map(|one| &one.entry.id).collect();
        if served != wanted {
            return Err(format!("served are {served:?}, authorized {wanted:?}"));
        }
    }
    Ok(())
}
