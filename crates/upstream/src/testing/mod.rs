//! What tests of upstreams and of their users need; not built into the programs.

#[allow(
    clippy::unwrap_used,
    reason = "a broken contract panics, and only tests build this"
)]
pub mod contract;
#[allow(clippy::unwrap_used, reason = "only tests build this")]
mod fake;
#[allow(clippy::unwrap_used, reason = "only tests build this")]
mod pki;

pub use fake::{Behaviour, FakeUpstream};
pub use pki::{Pki, request};
