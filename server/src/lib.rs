//! The Signet server: use cases, the RPC edge and the loops around them.
//!
//! ```text
//! api ─▶ caller (who may) ─▶ entries · agents · attest · issue · bundles · sync
//!                                   │ plan                         │ approve, sign
//!                                   ▼                              ▼
//!                     state: index ◀─ feed ◀─ store          authority ─▶ ca ─▶ keys
//! ```

pub mod agents;
pub mod api;
pub mod assemble;
pub mod attest;
pub mod audit;
pub mod authority;
pub mod bundles;
pub mod caller;
pub mod cli;
pub mod config;
pub mod entries;
pub mod identity;
pub mod issue;
pub mod issuer;
pub mod kubernetes;
pub mod limits;
pub mod local_authorities;
pub mod prune;
pub mod publish;
pub mod replace;
pub mod running;
mod sign;
pub mod state;
pub mod sync;
pub mod uniqueid;
pub mod wait;
