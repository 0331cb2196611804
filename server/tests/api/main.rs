//! The real server, over its real connections, seen from outside: who may call what, what each
//! method answers and refuses, and what it leaves in the audit record.

#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod harness;

mod agents;
mod attestation;
mod audit;
mod bundles;
mod callers;
mod composed;
mod entries;
mod entry_sync;
mod faults;
mod input;
mod limits;
mod localauthority;
mod pods;
mod proofs;
mod replace;
mod svids;
mod upstream;
mod wait;
mod watch;
mod wits;
