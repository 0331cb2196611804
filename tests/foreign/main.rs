//! Programs and clients that others made, unmodified, with ours.
//!
//! The Rust client is linked into this test. The others are started by it, and `tests/interop/run`
//! prepares them. Without them, or without SPIRE's programs, their scenarios are skipped by name.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[macro_use]
mod both_ways;
mod aws_api;
#[path = "../../crates/node-attestor/tests/azure/mod.rs"]
mod azure;
mod clients;
#[path = "../cloud/mod.rs"]
mod cloud;
#[path = "../processes/kubernetes/cluster.rs"]
mod cluster;
mod harness;
mod mtls;
mod nested;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../processes/kubernetes/objects.rs"]
mod objects;
mod openbao;
mod rust_client;
mod spire_agent;
mod spire_aws;
mod spire_cli;
mod spire_clouds;
mod spire_data;
mod spire_entries;
mod spire_nodes;
#[path = "../../crates/node-attestor/tests/web/mod.rs"]
mod web;
mod witness;
