//! What both programs ask of a connection before its calls count, and what they forgive it.
//!
//! | module | what |
//! |---|---|
//! | [`unix`] | the connections of a Unix socket, for ever |
//! | `authority` | a client on a Unix socket may name its authority as it likes |
//! | `preface` | a client says before long that it speaks HTTP/2 |
//!
//! How many connections there may be is decided where it is known whose they are.

mod authority;
mod preface;
pub mod unix;

pub use authority::Lenient;
pub use preface::{PREFACE_TIMEOUT, Preface};
