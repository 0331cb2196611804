//! Replaces authorities whose keys are not to be trusted any more, in the order in which no workload
//! is ever without an identity that verifies.
//!
//! ```text
//! prepare ─▶ all connected agents have it ─▶ supersede ─▶ none serves anything of the old ─▶ revoke
//! ```
//!
//! Where it stands is in the slots and in the bundle alone: an authority that is tainted was
//! superseded already, so that a replacement which was cut off is taken up by asking for it again.

use crate::authority::{Kind, LocalFault};
use crate::caller::Authorized;
use crate::issuer::Issuer;
use crate::sync::Online;
use signet_datastore::records::keys;
use signet_model::Revision;
use signet_spiffe::{SpiffeId, TrustDomain};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often a wait is told about while it goes on.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Acknowledgements of many agents come close together: they are counted this often at most.
const COUNT_EVERY: Duration = Duration::from_millis(50);
/// Agents that are named in one message; the count says how many there are.
const NAMED: usize = 10;

/// What is to be replaced, and how.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Which authorities; those that are off are passed over.
    pub kinds: Vec<Kind>,
    /// Why, for the audit record.
    pub reason: String,
    /// Whether to go on without agents that have not confirmed in time.
    pub force: bool,
    /// How long agents are waited for, each time.
    pub patience: Duration,
}

/// Why a replacement ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceFault {
    /// One step could not be done.
    #[error(
        "could not {step} the {kind} authority; what was done before it stands, and the same call goes on from there"
    )]
    Step {
        /// The step.
        step: &'static str,
        /// Which authority.
        kind: Kind,
        /// Why.
        #[source]
        source: LocalFault,
    },
    /// Agents did not confirm in time.
    #[error(
        "{count} connected agents have not confirmed that they {what} (one is {first}); nothing was revoked. \
         Look at them and run it again, or go on without them by --force"
    )]
    Unconfirmed {
        /// How many.
        count: usize,
        /// One of them.
        first: SpiffeId,
        /// What they should have done.
        what: &'static str,
    },
    /// Nobody listens any more.
    #[error("the caller went away")]
    Abandoned,
}

/// How far a replacement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The kind of authority.
    pub kind: Kind,
    /// The authority that is replaced.
    pub authority_id: String,
    /// The one that replaces it, where this is known.
    pub successor_id: String,
    /// What was done, or is waited for.
    pub step: Step,
    /// Since the replacement began.
    pub elapsed: Duration,
}

/// One step of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The successor is published.
    Prepared,
    /// These agents do not have it yet.
    Spreading(Vec<SpiffeId>),
    /// The successor signs, the old authority is tainted.
    Superseded,
    /// These agents may still serve what the old authority signed.
    Draining(Vec<SpiffeId>),
    /// The old authority is gone.
    Revoked,
}

/// What hangs on the authorities of this server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Agents with a valid SVID.
    pub agents: usize,
    /// Those of them with a stream to this server.
    pub connected: usize,
    /// X509-SVIDs that they may serve.
    pub svids: usize,
    /// Servers below this one.
    pub downstream: Vec<SpiffeId>,
    /// Trust domains whose bundles are held here.
    pub federated: Vec<TrustDomain>,
}

impl Issuer {
    /// What a replacement would touch.
    pub fn exposure(&self) -> Exposure {
        let now = self.clock.now();
        let snapshot = self.state.read();
        let index = &snapshot.index;
        let agents: Vec<_> = index
            .agents()
            .filter(|agent| agent.is_active(now))
            .map(|agent| &agent.id)
            .collect();
        let downstream = index
            .entries()
            .filter(|entry| entry.downstream)
            .map(|entry| entry.spiffe_id.clone());
        let federated = index
            .bundles()
            .map(|bundle| &bundle.trust_domain)
            .filter(|name| **name != self.trust_domain);
        Exposure {
            agents: agents.len(),
            connected: self.online.count(),
            svids: agents
                .iter()
                .map(|agent| index.authorized(agent, now).len())
                .sum(),
            downstream: downstream.collect(),
            federated: federated.cloned().collect(),
        }
    }

    /// Replaces the authorities, one kind after the other, and tells how far it is.
    pub async fn replace_authorities(
        &self,
        by: &Authorized,
        wanted: &Replacement,
        tell: mpsc::Sender<Progress>,
    ) -> Result<(), ReplaceFault> {
        let begun = Instant::now();
        for &kind in &wanted.kinds {
            let replacing = Replacing {
                issuer: self,
                by,
                wanted,
                kind,
                tell: &tell,
                begun,
            };
            replacing.run().await?;
        }
        Ok(())
    }
}

/// The replacement of one kind of authority.
struct Replacing<'a> {
    issuer: &'a Issuer,
    by: &'a Authorized,
    wanted: &'a Replacement,
    kind: Kind,
    tell: &'a mpsc::Sender<Progress>,
    begun: Instant,
}

impl Replacing<'_> {
    async fn run(&self) -> Result<(), ReplaceFault> {
        let superseded = self.issuer.rotation.superseded(self.kind);
        let old = match superseded.map_err(self.failed("look up"))? {
            Some(old) => old,
            None => self.supersede().await?,
        };
        let told = |step| self.told(&old, "", step);
        let serves = "serve nothing of the old authority";
        self.until_none(serves, Online::unready, |agents| {
            told(Step::Draining(agents))
        })
        .await?;
        let revoked = self.issuer.revoke_authority(self.by, self.kind, &old).await;
        revoked.map_err(self.failed("revoke"))?;
        self.say(told(Step::Revoked)).await
    }

    /// The authority that signs gives way to a new one. Its ID.
    async fn supersede(&self) -> Result<String, ReplaceFault> {
        let found = self.issuer.local_authorities(self.kind);
        let old = found.map_err(self.failed("look up"))?.active.authority_id;
        let next = self.issuer.prepare_authority(self.by, self.kind).await;
        let next = next.map_err(self.failed("prepare"))?.authority_id;
        let told = |step| self.told(&old, &next, step);
        self.say(told(Step::Prepared)).await?;
        self.until_none("have the new authority", Online::awaited, |agents| {
            told(Step::Spreading(agents))
        })
        .await?;
        let reason = &self.wanted.reason;
        let issuer = self.issuer;
        let superseded = issuer.supersede_authority(self.by, self.kind, (&old, &next), reason);
        superseded.await.map_err(self.failed("supersede"))?;
        self.say(told(Step::Superseded)).await?;
        Ok(old)
    }

    /// Waits until no connected agent lags behind the bundle as it is now, or patience ends.
    async fn until_none(
        &self,
        what: &'static str,
        lagging: fn(&Online, Revision) -> Vec<SpiffeId>,
        told: impl Fn(Vec<SpiffeId>) -> Progress,
    ) -> Result<(), ReplaceFault> {
        let online = &self.issuer.online;
        let revision = self.published_at();
        let give_up = Instant::now() + self.wanted.patience;
        let mut news = online.acknowledged();
        let mut tell_next = Instant::now();
        loop {
            news.mark_unchanged();
            let agents = lagging(online, revision);
            let Some(first) = agents.first().cloned() else {
                return Ok(());
            };
            let now = Instant::now();
            if now >= give_up {
                let count = agents.len();
                return match self.wanted.force {
                    true => Ok(()),
                    false => Err(ReplaceFault::Unconfirmed { count, first, what }),
                };
            }
            if now >= tell_next {
                tell_next = now + TELL_EVERY;
                self.say(told(agents)).await?;
            }
            let until = give_up.min(tell_next);
            let _nothing_new = tokio::time::timeout_at(until, news.changed()).await;
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }

    /// The revision of our bundle: whoever has it has everything that was published.
    fn published_at(&self) -> Revision {
        let snapshot = self.issuer.state.read();
        let bundle = snapshot.revision_of(&keys::bundle(&self.issuer.trust_domain));
        bundle.unwrap_or_else(|| self.issuer.state.revision())
    }

    fn told(&self, old: &str, next: &str, step: Step) -> Progress {
        Progress {
            kind: self.kind,
            authority_id: old.to_owned(),
            successor_id: next.to_owned(),
            step,
            elapsed: self.begun.elapsed(),
        }
    }

    async fn say(&self, progress: Progress) -> Result<(), ReplaceFault> {
        let sent = self.tell.send(progress).await;
        sent.map_err(|_| ReplaceFault::Abandoned)
    }

    fn failed(&self, step: &'static str) -> impl FnOnce(LocalFault) -> ReplaceFault {
        let kind = self.kind;
        move |source| ReplaceFault::Step { step, kind, source }
    }
}

/// The agents that are named in a message.
pub fn named(agents: &[SpiffeId]) -> impl Iterator<Item = String> {
    agents.iter().take(NAMED).map(ToString::to_string)
}
