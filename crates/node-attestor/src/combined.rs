//! The `combined` attestor: several proofs in one exchange, all of which must hold.
//!
//! **What it proves.** What each of its attestors proves, of the agent at the other end of this
//! exchange. The proofs are not bound to each other otherwise: two of two machines pass where the
//! machines let one have both. SPIRE has no such attestor.
//!
//! **On the wire** ([`payload`]). The payload is JSON: the attestors with their payloads in the
//! server's order. A challenge and its answer name the proof that they belong to. To a peer without
//! this attestor it is one of an unknown type.
//!
//! **Agent ID.** As the first attestor makes it. The selectors are those of all. The agent may attest
//! again if all of them allow it, and is trusted on first use if any of them is. What it was attested
//! by is kept with it: it never comes back with less, be it by another attestor that makes the same ID.
//!
//! **Configuration.** `attestors` lists two or more attestors in order, on the server and on the agent;
//! each has its own block beside this one. On the server those are from then on accepted in this
//! combination only.

mod agent;
pub mod payload;
mod server;

pub use agent::CombinedAgent;
pub use server::{CombinedServer, ProofError};

/// The attestor's name on the wire.
pub const KIND: &str = "combined";

/// Most attestors of a combination: each costs an exchange before anybody is trusted.
pub const MAX_PROOFS: usize = 4;
