//! What the upstream authority publishes, taken over into the own bundle.
//!
//! ```text
//! new root or key ─▶ appended
//! tainted root    ─▶ another authority below another root, which signs at once ─▶ tainted here too
//! gone after that ─▶ gone here too
//! ```
//!
//! A root that disappears without having been tainted stays until it expires: SVIDs below it may be
//! in use, and an upstream that forgets is no reason to break them.

use super::fault::{AuthorityFault, LocalFault};
use super::parent::Parent;
use super::reconcile::Reconciler;
use super::shelf::Shelf;
use super::stored;
use crate::bundles::{Addition, appended};
use crate::state::{Plan, Snapshot};
use signet_ca::slots::{Kind, SlotId};
use signet_datastore::records::SlotState;
use signet_model::Change;
use signet_runtime::{Backoff, Stop};
use signet_spiffe::{Bundle, JwtAuthority, X509Authority};
use signet_upstream::UpstreamBundle;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The first pause before a change that failed is tried again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// How long an authority in a tainted one's place waits for the agents to have it: they need it to
/// verify each other, but the tainted one must go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a change of the upstream was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum FollowFault {
    /// Not stored.
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
    /// No authority could be put in place of the one below the tainted root.
    #[error("could not leave the tainted upstream authority")]
    Leave(#[from] LocalFault),
    /// The upstream signs with the tainted root again.
    #[error("the upstream authority still signs below a root that it calls tainted")]
    StillTainted,
}

impl Reconciler {
    /// Takes over what the upstream publishes, whenever it changes, until the stop signal.
    pub async fn follow_upstream(self: Arc<Self>, stop: Stop) -> Result<(), Infallible> {
        let Parent::Upstream(upstream) = &self.parent else {
            stop.stopped().await;
            return Ok(());
        };
        let mut published = upstream.port.bundle();
        let mut backoff = Backoff::new(RETRY.0, RETRY.1, 2.0);
        loop {
            let latest = published.borrow_and_update().clone();
            let retry = match latest {
                Some(latest) => self.note_follow(&latest, &mut backoff).await,
                None => None,
            };
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                changed = published.changed() => if changed.is_err() {
                    stop.stopped().await;
                    return Ok(());
                },
                () = pause(retry) => {}
            }
        }
    }

    /// When to try again, if it failed.
    async fn note_follow(
        &self,
        latest: &UpstreamBundle,
        backoff: &mut Backoff,
    ) -> Option<Duration> {
        match self.take_over(latest).await {
            Ok(()) => {
                backoff.reset();
                None
            }
            Err(error) => {
                let error = crate::api::types::chain(&error);
                tracing::error!(
                    error,
                    "a change of the upstream authority was not taken over"
                );
                Some(backoff.next_delay())
            }
        }
    }

    /// Brings our bundle, and our authority if need be, in line with the upstream's.
    pub(super) async fn take_over(&self, latest: &UpstreamBundle) -> Result<(), FollowFault> {
        self.edit_bundle(|own| appended(own, &addition(latest)))
            .await?;
        let tainted = tainted(latest);
        if self.hangs_on(&tainted) {
            self.leave(&tainted).await?;
        }
        self.edit_bundle(|own| retired(own, latest)).await?;
        Ok(())
    }

    /// Whether an authority of ours that signs, or is to sign, hangs on one of these.
    fn hangs_on(&self, upstream: &BTreeSet<String>) -> bool {
        SlotId::BOTH
            .into_iter()
            .filter_map(|slot| self.stored(Kind::X509, slot))
            .filter(|slot| slot.state != SlotState::Old)
            .any(|slot| stored::upstream(&slot).is_some_and(|id| upstream.contains(id)))
    }

    /// Puts an authority below another root in place.
    async fn leave(&self, tainted: &BTreeSet<String>) -> Result<(), FollowFault> {
        let prepared = self.prepare_now(Kind::X509).await?;
        if tainted.contains(&prepared.upstream_authority_id) {
            return Err(FollowFault::StillTainted);
        }
        let _patience = tokio::time::timeout(PATIENCE, self.acknowledged(Kind::X509)).await;
        self.activate_now(Kind::X509, &prepared.authority_id)
            .await?;
        tracing::warn!(
            authority_id = prepared.authority_id,
            "an authority below another root was activated: the upstream's was tainted"
        );
        Ok(())
    }

    /// Waits until all agents have the prepared authority.
    async fn acknowledged(&self, kind: Kind) {
        let mut news = self.online.acknowledged();
        while !self.is_acknowledged(kind) {
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn edit_bundle(
        &self,
        edit: impl Fn(&Bundle) -> Bundle + Send + Sync,
    ) -> Result<(), AuthorityFault> {
        let change = |snapshot: &Snapshot| {
            let own = self.bundle(snapshot);
            let edited = edit(&own);
            let plan = match edited == own {
                true => Plan::default(),
                false => Plan::default().change(Change::PutBundle(Arc::new(edited))),
            };
            Ok((plan, ()))
        };
        self.state.change(change).await
    }
}

async fn pause(retry: Option<Duration>) {
    match retry {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// What the upstream has; taints come after, once nothing of ours hangs on them.
fn addition(latest: &UpstreamBundle) -> Addition {
    let roots = latest.x509_authorities.iter();
    let trusted = |keys: &Option<Vec<JwtAuthority>>| {
        let keys = keys.iter().flatten().cloned();
        let keys = keys.map(|key| JwtAuthority {
            tainted: false,
            ..key
        });
        keys.collect()
    };
    Addition {
        x509: roots.map(|root| root.clone().with_taint(false)).collect(),
        jwt: trusted(&latest.jwt_authorities),
        wit: trusted(&latest.wit_authorities),
    }
}

/// The subject key ids of roots that the upstream calls tainted.
fn tainted(latest: &UpstreamBundle) -> BTreeSet<String> {
    let roots = latest.x509_authorities.iter();
    roots.filter(|root| root.tainted).map(key_id).collect()
}

/// Our bundle with the upstream's taints, and without what it has taken out after tainting it.
fn retired(own: &Bundle, latest: &UpstreamBundle) -> Bundle {
    let mut bundle = own.clone();
    let roots = latest.x509_authorities.iter();
    let roots: Vec<_> = roots.map(|root| (key_id(root), root.tainted)).collect();
    settle(Shelf::X509, &mut bundle, &roots, own_roots(own));
    for (shelf, theirs, ours) in [
        (Shelf::Jwt, &latest.jwt_authorities, &own.jwt_authorities),
        (Shelf::Wit, &latest.wit_authorities, &own.wit_authorities),
    ] {
        let Some(keys) = theirs else { continue };
        let keys = keys.iter().map(|key| (key.key_id.clone(), key.tainted));
        let known = ours.iter().map(|key| key.key_id.clone());
        settle(
            shelf,
            &mut bundle,
            &keys.collect::<Vec<_>>(),
            known.collect(),
        );
    }
    bundle
}

fn settle(shelf: Shelf, bundle: &mut Bundle, latest: &[(String, bool)], known: Vec<String>) {
    for id in known {
        let tainted = shelf.find(bundle, &id).is_some_and(|found| found.tainted);
        let upstream = latest.iter().find(|(other, _)| *other == id);
        match upstream {
            Some((_, true)) if !tainted => shelf.taint(bundle, &id),
            None if tainted => shelf.remove(bundle, &id),
            _ => {}
        }
    }
}

fn own_roots(own: &Bundle) -> Vec<String> {
    own.x509_authorities.iter().map(key_id).collect()
}

fn key_id(root: &X509Authority) -> String {
    signet_crypto::hex(&root.subject_key_id())
}
