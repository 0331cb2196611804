//! The Signet server.

pub mod config;
