//! The handshake from both sides, over streams in memory and over TCP.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is the point"
)]

mod channel;
mod clients;
mod protocol;
mod servers;
mod support;
