//! One fact coming or going, and whom it concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use signet_spiffe::{Bundle, SpiffeId, TrustDomain};

use crate::agent::Agent;
use crate::entry::{Entry, EntryId};
use crate::single_use::{EvidenceId, UsedEvidence};
use crate::token::{JoinToken, TokenId};

/// A change to what the issuer knows. Putting replaces; deleting what is not there does nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An entry was created or updated.
    PutEntry(Arc<Entry>),
    /// An entry is gone.
    DeleteEntry(EntryId),
    /// An agent was attested, renewed, promoted or banned.
    PutAgent(Arc<Agent>),
    /// An agent was evicted.
    DeleteAgent(SpiffeId),
    /// A bundle, the own or a federated one, was created or changed.
    PutBundle(Arc<Bundle>),
    /// A federated bundle is gone.
    DeleteBundle(TrustDomain),
    /// A join token was created or taken.
    PutToken(Arc<JoinToken>),
    /// A join token is gone.
    DeleteToken(TokenId),
    /// Evidence that counts once was used.
    PutUsed(Arc<UsedEvidence>),
    /// Evidence that was used need not be remembered any more.
    DeleteUsed(EvidenceId),
}

/// Whom a change concerns: these and no others may have to be told something new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Agents whose authorized entries, or whose own standing, may differ.
    pub agents: BTreeSet<SpiffeId>,
    /// The trust domain whose bundle differs.
    pub bundle: Option<TrustDomain>,
}

impl Affected {
    /// Whether nobody is concerned.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty() && self.bundle.is_none()
    }
}
