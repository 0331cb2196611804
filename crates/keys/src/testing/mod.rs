//! What tests of key managers and of their users need; not built into the programs.

#[allow(
    clippy::unwrap_used,
    reason = "a broken contract panics, and only tests build this"
)]
pub mod contract;
pub mod key_file;
mod remote;

pub use remote::{RemoteKeys, RemoteSigner};
