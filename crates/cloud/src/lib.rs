//! Signed REST calls to the clouds: credentials, and the few questions that attestors ask.
//!
//! ```text
//! credentials ─▶ access token (kept until shortly before it expires)
//!                     └─▶ one question ─▶ JSON of which only what is used is read
//! ```
//!
//! Every question is bounded in time and in the size of its answer, follows no redirect, and errors
//! repeat nothing of either but the name of what was asked for.

pub mod aws;
pub mod azure;
pub mod gcp;
mod near;
mod rest;
mod token;

pub use near::metadata_url;
pub use rest::{CloudError, Endpoint};
