//! The SPIFFE Workload API: what a workload gets who connects to the agent's socket.
//!
//! ```text
//! connection (Peer) ─▶ service: method, header ─▶ call: first sync, identify ─▶ view ─▶ message
//! ```
//!
//! Behaviour towards clients: a stream never ends with OK, CANCELLED or INVALID_ARGUMENT for a
//! reason of ours; a call waits for the first sync instead of being denied; each message is whole
//! and sent once; a key leaves only while its process is still the one that was attested.

mod call;
mod codec;
mod convert;
mod counted;
mod crowd;
mod feed;
mod health;
mod jwt;
mod listen;
mod service;
mod validate;

pub use call::{Call, Options};
pub use crowd::{MAX_CONNECTIONS, MAX_CONNECTIONS_OF_USER};
pub use health::AgentHealth;
pub use listen::{Listening, ServeError, serve};
pub use service::WorkloadApi;

#[cfg(test)]
mod tests;
