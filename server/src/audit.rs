//! Audit records of the use cases: one for each issue, refusal and administrative change.

use crate::caller::{Authorized, Caller, Capacity};
use signet_model::{Actor, ActorKind, AuditEvent, Credential, Decision, Entry, EntryId};
use signet_telemetry::audit::{AuditError, AuditLog};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where audit records go.
#[derive(Debug, Clone)]
pub enum Audit {
    /// To the log on disk.
    Disk(AuditLog),
    /// To memory: for tests and simulations.
    Memory(Arc<Mutex<Vec<AuditEvent>>>),
}

impl Audit {
    /// Records a decision. A grant whose record cannot be kept must not be given out.
    pub fn record(&self, event: AuditEvent) -> Result<(), AuditError> {
        match self {
            Self::Disk(log) => log.record(&event),
            Self::Memory(events) => {
                events
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(event);
                Ok(())
            }
        }
    }

    /// Records a refusal; if even that cannot be kept, the log says so.
    pub fn refused(&self, event: AuditEvent) {
        let event = AuditEvent {
            decision: Decision::Refused,
            ..event
        };
        if let Err(error) = self.record(event) {
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }

    /// Records that a call was refused before any use case saw it: it could not be read, or went
    /// over a limit. Does nothing if the call has its record.
    pub fn refused_early(&self, by: &Authorized, method: &str, why: &str) {
        if !by.noted.is_set() {
            self.refused(event(by, "call.refuse").about(method).because(why));
        }
    }

    /// A sink in memory and its records.
    pub fn memory() -> (Self, Arc<Mutex<Vec<AuditEvent>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        (Self::Memory(events.clone()), events)
    }
}

/// Whether a call has its audit record. Clones are about the same call.
#[derive(Debug, Clone, Default)]
pub struct Noted(Arc<AtomicBool>);

impl Noted {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the method of this path issues or changes something, so that each call of it leaves a
/// record. Reads and reports leave none.
pub fn is_act(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    let reads = [
        "Check",
        "Count",
        "Get",
        "List",
        "PostStatus",
        "Sync",
        "Wait",
        "Watch",
        "Why",
    ];
    !reads.iter().any(|read| method.starts_with(read))
}

/// Begins the record of what `by` does; granted until said otherwise.
pub fn event(by: &Authorized, action: &'static str) -> AuditEvent {
    by.noted.set();
    AuditEvent {
        request_id: by.request_id.clone(),
        caller: actor(by),
        action,
        entry: None,
        target: None,
        credential: None,
        decision: Decision::Granted,
        reason: String::new(),
    }
}

/// The parts of a record that differ from act to act.
pub trait AuditEventExt: Sized {
    /// The entry by which it was decided.
    #[must_use]
    fn of_entry(self, entry: &Entry) -> Self;
    /// The entry that was asked for, when there is none of that id.
    #[must_use]
    fn of_entry_id(self, id: &EntryId) -> Self;
    /// Whom or what it is about.
    #[must_use]
    fn about(self, target: impl ToString) -> Self;
    /// What was given out.
    #[must_use]
    fn with(self, credential: Credential) -> Self;
    /// Why.
    #[must_use]
    fn because(self, reason: impl ToString) -> Self;
}

impl AuditEventExt for AuditEvent {
    fn of_entry(self, entry: &Entry) -> Self {
        let id = Some((entry.id.clone(), entry.revision_number));
        Self { entry: id, ..self }.about(&entry.spiffe_id)
    }

    fn of_entry_id(self, id: &EntryId) -> Self {
        Self {
            entry: Some((id.clone(), -1)),
            ..self
        }
    }

    fn about(self, target: impl ToString) -> Self {
        Self {
            target: Some(target.to_string()),
            ..self
        }
    }

    fn with(self, credential: Credential) -> Self {
        Self {
            credential: Some(credential),
            ..self
        }
    }

    fn because(self, reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            ..self
        }
    }
}

fn actor(by: &Authorized) -> Actor {
    let kind = match (&by.capacity, &by.caller) {
        (Capacity::Local, _) => ActorKind::Local,
        (Capacity::Admin, _) => ActorKind::Admin,
        (Capacity::Agent(_), _) => ActorKind::Agent,
        (Capacity::Downstream(_), _) => ActorKind::Downstream,
        (Capacity::Anyone, Caller::Local { .. }) => ActorKind::Local,
        (Capacity::Anyone, Caller::Peer { .. }) => ActorKind::Other,
        (Capacity::Anyone, Caller::Anonymous { .. }) => ActorKind::Anonymous,
    };
    let id = match &by.caller {
        Caller::Peer { peer, .. } => Some(peer.id().clone()),
        _ => None,
    };
    Actor { kind, id }
}
