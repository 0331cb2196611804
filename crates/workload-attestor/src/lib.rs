//! Who is at the other end of the socket, and which selectors it has.
//!
//! [`peer`] answers the first half: a Unix listener whose connections know the process that made
//! them, and can tell at any later moment whether that process is still the same. A
//! [`WorkloadAttestor`] answers the second: from a [`Peer`](peer::Peer) to selectors. One file per
//! attestor; the agent's `assemble.rs` names them.
//!
//! ```text
//! socket ─accept─▶ PeerConn ──Arc<Peer>──▶ WorkloadAttestor::attest ─▶ selectors
//!                                └──────▶ Peer::still_same, before a key leaves
//! ```

mod attestor;
pub mod k8s;
pub mod peer;
pub mod unix;

pub use attestor::{AttestError, WorkloadAttestor};
