//! The Signet node agent.

pub mod cli;
pub mod config;
