//! The Signet server.

pub mod cli;
