//! Key manager and key ports with the memory and disk adapters.
//!
//! A [`KeyManager`] makes and finds keys by id; a [`Signer`] is one key that signs. Authorities sign
//! only through these, so a key may live in this process, in a file or behind a network.
//!
//! ```text
//! ca ── Signer ◀── KeyManager ◀── memory | disk | (later: a crate for each remote one)
//! ```

pub mod disk;
mod local;
pub mod memory;
mod port;
#[cfg(feature = "testing")]
pub mod testing;

pub use local::LocalSigner;
pub use port::{KeyError, KeyManager, Signer};
