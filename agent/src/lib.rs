//! The Signet node agent: attests workloads and hands them their identity over a local socket.
//!
//! ```text
//! workload ─▶ peer ─▶ identify ─▶ views ─▶ workload_api        (watch<Arc<View>> per selector set)
//!                                  ▲ holdings (cache)
//!               server ── sync ────┴──── rotate ─ CSR ─▶ server
//! ```

pub mod admin;
pub mod assemble;
pub mod bootstrap;
pub mod cache;
pub mod cli;
pub mod config;
pub mod disk;
pub mod encoded;
pub mod holdings;
pub mod identify;
pub mod jwt;
pub mod lifecycle;
pub mod once;
pub mod own;
pub mod rotate;
pub mod running;
pub mod sync;
#[cfg(test)]
mod testing;
pub mod upstream;
pub mod views;
pub mod workload_api;
