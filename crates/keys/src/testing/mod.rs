//! What tests of key managers and of their users need; not built into the programs.

pub mod contract;
mod remote;

pub use remote::{RemoteKeys, RemoteSigner};
