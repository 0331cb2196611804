//! Replaces authorities whose keys are not to be trusted any more, in the order in which no workload
//! is ever without an identity that verifies.
//!
//! ```text
//! condemn ─▶ prepare ─▶ all agents have it ─▶ supersede ─▶ none serves the old ─▶ revoke
//! ```
//!
//! The agents are those with a stream, those heard of a moment ago, and, after a start, those that may
//! not have come back yet.
//!
//! Which authorities are to go is in the store from the first step to the last, and what is due
//! follows from what is there ([`crate::authority::Due`]). So a replacement that was cut off, or that
//! the ordinary rotation ran into, goes on where it stands when it is asked for again.

use crate::authority::{Due, Kind, LocalFault};
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
/// More steps than any replacement has: somebody undoes them.
const MAX_STEPS: usize = 32;

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
        "{count} agents have not confirmed that they {what} (one is {first}); nothing was revoked. \
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
    /// What was done did not last.
    #[error("the {kind} authorities kept changing: does somebody else change them by hand?")]
    Restless {
        /// Which authorities.
        kind: Kind,
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
    /// The authority is to go.
    Condemned,
    /// The authority was to go already: its replacement goes on.
    Resumed,
    /// The successor is published.
    Prepared,
    /// These agents do not have it yet.
    Spreading(Vec<SpiffeId>),
    /// The successor signs, the old authority is tainted.
    Superseded,
    /// These agents may still serve what the old authority signed.
    Draining(Vec<SpiffeId>),
    /// These agents did not confirm in time, and are waited for no longer.
    LeftBehind(Vec<SpiffeId>),
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

    /// Replaces the authorities, one kind after the other, and tells how far it is. X.509 authorities
    /// below an upstream one come last: they cannot be replaced here, and must not keep the others.
    pub async fn replace_authorities(
        &self,
        by: &Authorized,
        wanted: &Replacement,
        tell: mpsc::Sender<Progress>,
    ) -> Result<(), ReplaceFault> {
        let begun = Instant::now();
        let is_refused = |kind: &Kind| *kind == Kind::X509 && self.rotation.parent.is_upstream();
        let mut kinds = wanted.kinds.clone();
        kinds.sort_by_key(is_refused);
        for kind in kinds {
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
        let reason = &self.wanted.reason;
        let condemned = self.issuer.condemn_authorities(self.by, self.kind, reason);
        let (condemned, is_new) = condemned.await.map_err(self.failed("condemn"))?;
        for id in &condemned {
            let step = if is_new {
                Step::Condemned
            } else {
                Step::Resumed
            };
            self.say(self.told(id, "", step)).await?;
        }
        let first = condemned.first().map_or("", String::as_str);
        for _ in 0..MAX_STEPS {
            match self.issuer.rotation.due_now(self.kind) {
                Due::Prepare => self.prepare(first).await?,
                Due::Supersede(next) => self.supersede(first, &next).await?,
                Due::Taint(_) => self.supersede(first, "").await?,
                Due::Revoke(_) => self.revoke(first).await?,
                Due::Nothing => return self.conclude().await,
            }
        }
        Err(ReplaceFault::Restless { kind: self.kind })
    }

    async fn prepare(&self, old: &str) -> Result<(), ReplaceFault> {
        let prepared = self.issuer.prepare_successor(self.by, self.kind).await;
        match prepared.map_err(self.failed("prepare"))? {
            Some(next) => {
                let told = self.told(old, &next.authority_id, Step::Prepared);
                self.say(told).await
            }
            None => Ok(()),
        }
    }

    /// The authority that signs gives way to the one that is known to all.
    async fn supersede(&self, old: &str, next: &str) -> Result<(), ReplaceFault> {
        let have = "have the new authority";
        self.until_none(
            have,
            Online::awaited,
            |step| self.told(old, next, step),
            Step::Spreading,
        )
        .await?;
        let (issuer, reason) = (self.issuer, &self.wanted.reason);
        let superseded = issuer.supersede_authorities(self.by, self.kind, next, reason);
        for id in superseded.await.map_err(self.failed("supersede"))? {
            self.say(self.told(&id, next, Step::Superseded)).await?;
        }
        Ok(())
    }

    async fn revoke(&self, old: &str) -> Result<(), ReplaceFault> {
        let serve = "serve nothing of the old authority";
        self.until_none(
            serve,
            Online::unready,
            |step| self.told(old, "", step),
            Step::Draining,
        )
        .await?;
        self.conclude().await
    }

    async fn conclude(&self) -> Result<(), ReplaceFault> {
        let gone = self.issuer.conclude_replacement(self.by, self.kind).await;
        for id in gone.map_err(self.failed("revoke"))? {
            self.say(self.told(&id, "", Step::Revoked)).await?;
        }
        Ok(())
    }

    /// Waits until no agent that can be reached lags behind the bundle as it is now, or patience ends.
    async fn until_none(
        &self,
        what: &'static str,
        lagging: fn(&Online, Revision) -> Vec<SpiffeId>,
        told: impl Fn(Step) -> Progress,
        waiting: fn(Vec<SpiffeId>) -> Step,
    ) -> Result<(), ReplaceFault> {
        let online = &self.issuer.online;
        let revision = self.published_at();
        let give_up = Instant::now() + self.wanted.patience;
        let mut news = online.acknowledged();
        let mut tell_next = Instant::now();
        loop {
            news.mark_unchanged();
            let mut agents = lagging(online, revision);
            agents.extend(self.issuer.rotation.not_back());
            let Some(first) = agents.first().cloned() else {
                return Ok(());
            };
            let now = Instant::now();
            if now >= give_up {
                if self.wanted.force {
                    self.leave_behind(what, &agents)?;
                    return self.say(told(Step::LeftBehind(agents))).await;
                }
                let count = agents.len();
                return Err(ReplaceFault::Unconfirmed { count, first, what });
            }
            if now >= tell_next {
                tell_next = now + TELL_EVERY;
                self.say(told(waiting(agents))).await?;
            }
            let until = give_up.min(tell_next);
            let _nothing_new = tokio::time::timeout_at(until, news.changed()).await;
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }

    fn leave_behind(&self, what: &str, agents: &[SpiffeId]) -> Result<(), ReplaceFault> {
        let (by, kind) = (self.by, self.kind);
        let kept = self.issuer.leave_behind(by, kind, what, agents);
        kept.map_err(self.failed("record who is left behind by"))
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
