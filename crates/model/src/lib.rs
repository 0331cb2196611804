//! What the issuer knows and the pure rules over it.
//!
//! Entries, agents, join tokens and bundles are the facts; a [`Change`] is one fact coming or
//! going; the [`Index`] holds them all in memory and answers who may have what. [`approve`] turns
//! an answer into the only thing the signing crate accepts.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time is an argument.

pub mod agent;
pub mod approve;
pub mod audit;
pub mod change;
pub mod compose;
pub mod dns;
pub mod entry;
pub mod explain;
#[cfg(test)]
mod fixtures;
pub mod holdings;
pub mod index;
pub mod lifetime;
pub mod role;
pub mod selector;
mod serialize;
pub mod single_use;
pub mod stewardship;
pub mod token;

pub use agent::{Admission, Agent, AgentReason, Attestation, MAX_VERSION_BYTES, TokenHold, admit};
pub use approve::{
    Approved, CaGrant, JwtGrant, Moment, Policy, ProofKey, Refusal, Subject, WitGrant, X509Grant,
    agent_renewal_x509, agent_x509, downstream_ca, mint_jwt, mint_wit, mint_x509, own_ca,
    server_x509, workload_jwt, workload_wit, workload_x509,
};
pub use audit::{Actor, ActorKind, AuditEvent, Credential, Decision};
pub use change::{Affected, Change};
pub use compose::{ComposeError, Composer, Composers};
pub use entry::{Entry, EntryError, EntryId, EntryIdError, Revision};
pub use holdings::holdings_lines;
pub use index::{Authorized, Index};
pub use lifetime::Lifetime;
pub use selector::{Selector, SelectorError, SelectorSet};
pub use single_use::{EvidenceId, SingleUse, UsedEvidence, UsedUp};
pub use stewardship::{Stewardship, StewardshipError};
pub use token::{JoinToken, Taken, TokenId, TokenRefusal, Use};
