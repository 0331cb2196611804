//! Writing entries that a cluster declares: many in one commit, each with its record.
//!
//! What operators may change in such an entry stays as they set it: whether it is disabled, its end and
//! its stewardship.

use crate::audit::AuditEventExt;
use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, StateError};
use signet_datastore::records::keys;
use signet_kubernetes::Change;
use signet_model::{Actor, ActorKind, AuditEvent, Decision, Entry, EntryId};
use signet_spiffe::TrustDomain;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

/// What one commit does, with an outcome for each change.
#[derive(Default)]
struct Draft {
    plan: Plan,
    /// Why a change is not made.
    outcomes: Vec<Option<String>>,
    acts: Vec<(&'static str, Arc<Entry>)>,
    /// Whose bundles must be there still at the commit.
    bundles: BTreeSet<TrustDomain>,
}

impl Issuer {
    /// Makes these changes, as far as they can be; for each comes back why it was not made. The ids of
    /// all entries of the cluster begin with `prefix`.
    pub(crate) async fn declare_entries(
        &self,
        prefix: &str,
        changes: &[Change],
    ) -> Result<Vec<Option<String>>, StateError> {
        let now = self.clock.now();
        let write = |snapshot: &Snapshot| {
            let draft = draft(snapshot, prefix, changes, now);
            Ok((draft.plan, (draft.outcomes, draft.acts)))
        };
        let (outcomes, acts) = self.state.change::<_, StateError, _>(write).await?;
        self.record_declared(acts);
        Ok(outcomes)
    }

    fn record_declared(&self, acts: Vec<(&'static str, Arc<Entry>)>) {
        let one = record(self, "", "declared in the cluster");
        for (action, entry) in acts {
            let record = AuditEvent {
                action,
                ..one.clone()
            };
            keep(self, record.of_entry(&entry));
        }
    }
}

/// Begins the record of what is done because of the cluster's objects.
pub(super) fn record(issuer: &Issuer, action: &'static str, reason: &str) -> AuditEvent {
    AuditEvent {
        request_id: issuer.random_uuid().to_string(),
        caller: Actor {
            kind: ActorKind::Server,
            id: None,
        },
        action,
        entry: None,
        target: None,
        credential: None,
        decision: Decision::Granted,
        reason: reason.to_owned(),
    }
}

pub(super) fn keep(issuer: &Issuer, record: AuditEvent) {
    if let Err(error) = issuer.audit.record(record) {
        tracing::error!(%error, "the record of what the cluster declares could not be kept");
    }
}

fn draft(snapshot: &Snapshot, prefix: &str, changes: &[Change], now: SystemTime) -> Draft {
    let mut draft = Draft::default();
    let unset = changes.iter().filter_map(|change| match change {
        Change::Unset(id) => Some(id),
        Change::Set { .. } => None,
    });
    let unset: BTreeSet<&EntryId> = unset.collect();
    for change in changes {
        let outcome = match change {
            Change::Unset(id) => {
                if let Some(entry) = snapshot.index.entry(id) {
                    draft.act("entry.delete", entry, |plan| plan.delete_entry(entry));
                }
                None
            }
            Change::Set { entry, .. } => {
                let similar = snapshot.index.similar(entry);
                let similar = similar.filter(|similar| !unset.contains(&similar.id));
                draft.set(snapshot, prefix, entry, similar, now).err()
            }
        };
        draft.outcomes.push(outcome);
    }
    draft
}

impl Draft {
    fn set(
        &mut self,
        snapshot: &Snapshot,
        prefix: &str,
        declared: &Entry,
        similar: Option<Arc<Entry>>,
        now: SystemTime,
    ) -> Result<(), String> {
        for trust_domain in &declared.federates_with {
            if snapshot.index.bundle(trust_domain).is_none() {
                return Err(format!(
                    "the server has no bundle of \"{trust_domain}\" to federate with: declare a \
                     ClusterFederatedTrustDomain with its trustDomainBundle, or set it with \"bundle set\""
                ));
            }
            if self.bundles.insert(trust_domain.clone()) {
                let key = keys::bundle(trust_domain);
                self.plan = std::mem::take(&mut self.plan).unchanged(key);
            }
        }
        if let Some(old) = snapshot.index.entry(&declared.id) {
            let new = Arc::new(merged(declared, old));
            if *new != **old {
                let new = Arc::new(Entry {
                    revision_number: old.revision_number + 1,
                    ..Entry::clone(&new)
                });
                self.act("entry.update", &new, |plan| plan.replace_entry(old, &new));
            }
            return Ok(());
        }
        match similar {
            // Another resource declared the same until now; its own end is not worked out yet.
            Some(similar) if similar.id.as_str().starts_with(prefix) => {
                self.act("entry.delete", &similar, |plan| plan.delete_entry(&similar));
            }
            Some(similar) => {
                return Err(format!(
                    "entry \"{}\", which is not declared in the cluster, says the same",
                    similar.id
                ));
            }
            None => {}
        }
        let new = Arc::new(Entry {
            created_at: now,
            ..declared.clone()
        });
        self.act("entry.create", &new, |plan| plan.create_entry(&new));
        Ok(())
    }

    fn act(&mut self, action: &'static str, entry: &Arc<Entry>, plan: impl FnOnce(Plan) -> Plan) {
        self.plan = plan(std::mem::take(&mut self.plan));
        self.acts.push((action, entry.clone()));
    }
}

/// The declared entry with what the server and operators added to the stored one.
fn merged(declared: &Entry, old: &Entry) -> Entry {
    Entry {
        revision_number: old.revision_number,
        created_at: old.created_at,
        disabled: old.disabled,
        expires_at: old.expires_at,
        stewardship: old.stewardship.clone(),
        ..declared.clone()
    }
}
