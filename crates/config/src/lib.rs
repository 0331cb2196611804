//! Configuration files: HCL 1 and JSON become one raw [`Value`] with positions, and a [`Section`]
//! reads typed settings out of it, collecting every problem instead of stopping at the first.
//!
//! ```text
//! file ─▶ expand ─▶ hcl | json ─▶ Value ─▶ Section (key table, typed getters) ─▶ settings
//!                        └───────── Findings: problems and warnings ────────┘
//! ```
//!
//! The crate knows no program's keys. The one exception is [`sections`]: the shapes that server and
//! agent share. Nothing here reads the environment or keeps state.

mod cursor;
mod document;
mod duration;
mod expand;
mod hcl;
mod json;
mod keys;
mod nearest;
mod number;
mod problem;
mod section;
pub mod sections;
mod value;

pub use document::{Document, MAX_FILE_BYTES, parse};
pub use duration::{DurationError, format_duration, parse_duration};
pub use expand::{Expanded, Lookup, expand_env};
pub use hcl::parse_hcl;
pub use json::parse_json;
pub use keys::{Class, Key, Unknown};
pub use nearest::nearest;
pub use problem::{ConfigError, Findings, Problem, Warning};
pub use section::Section;
pub use value::{Member, Node, Position, Value};
