//! The Signet node agent.

pub mod config;
