//! What the command lines of both programs share: SPIRE's flag spellings, the local socket, the two
//! forms of output, and errors that say what to do.
//!
//! ```text
//! argv ─ go_flags ─▶ clap ─▶ command ─ socket ─▶ gRPC call ─▶ Answer ─▶ stdout, stderr, exit code
//! ```
//!
//! The commands themselves live in the programs. Nothing here knows one.

pub mod answer;
pub mod call;
pub mod failure;
pub mod files;
pub mod go_flags;
pub mod health;
pub mod json;
pub mod parse;
pub mod socket;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod value;

pub use answer::{Answer, OutputFormat};
pub use call::{Call, ClientCommand, Target};
pub use failure::Failure;
pub use parse::{Stop, parse};
