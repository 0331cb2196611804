//! SPIFFE verifiers, certificate resolver, bounded acceptor and connector: the same for server,
//! agent, nested upstream and bundle endpoint.
//!
//! ```text
//! Trust, Identity ──▶ server_config ──▶ Acceptor ──▶ stream of TlsConn ──▶ tonic (PeerInfo)
//!    (swapped live)   client_config ──▶ connect ──▶ tonic Channel
//! ```
//!
//! Both sides read trust and identity anew at each handshake, and nothing is resumed: a peer whose
//! authority left the bundle does not get in again. A connection that is open already is judged at
//! each call by [`VerifiedPeer::recheck`].

mod acceptor;
mod client;
mod conn;
mod connect;
mod established;
mod identity;
mod listener;
mod peer;
mod provider;
mod refusals;
mod refused;
mod server;
mod time;
mod trust;

pub use acceptor::{Acceptor, HANDSHAKE_TIMEOUT, Incoming, MAX_HANDSHAKES};
pub use client::{ClientTls, ServerTrust, client_config};
pub use conn::TlsConn;
pub use connect::{ConnectError, ServerAddress, connect, connect_lazy, connect_over, connect_tls};
pub use established::{ANONYMOUS_LIFE, MAX_ANONYMOUS, MAX_OF_IDENTITY};
pub use identity::{Identity, IdentityError};
pub use listener::{Listener, MemoryDialer, MemoryListener, memory};
pub use peer::{PeerInfo, VerifiedPeer};
pub use provider::{KeyExchange, TlsError};
pub use refused::PeerRefused;
pub use server::{ServerTls, server_config};
pub use trust::Trust;
