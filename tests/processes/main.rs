//! Our programs as processes: what an operator and a workload see of them.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod actions;
mod attestation;
mod aws;
#[path = "../../crates/node-attestor/tests/azure/mod.rs"]
mod azure;
mod bootstrap;
#[path = "../cloud/mod.rs"]
mod cloud;
mod clouds;
mod crash;
mod crowd;
mod csi;
mod judges;
mod key_files;
mod key_types;
mod kubernetes;
mod main_job;
mod nested;
mod operations;
mod outage;
mod revocation;
mod rotation;
mod run_once;
mod token_keys;
mod wait;
#[path = "../../crates/node-attestor/tests/web/mod.rs"]
mod web;
