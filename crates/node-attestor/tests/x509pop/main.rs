//! Both halves of `x509pop` against each other, and against agents that lie.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod answers;
mod chains;
mod configuration;
mod names;
mod world;
