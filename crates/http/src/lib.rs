//! A small client for the web servers of others: a Vault, a cloud's or cluster's API, a federated
//! trust domain's bundle endpoint.
//!
//! Every request is bounded: in time, in the size of its answer, in how many run at once. A server is
//! verified by its host name under the operator's authorities or the machine's; between SPIFFE peers
//! it is `signet-tls` that verifies. Nothing of a request but its host stands in an error.
//!
//! ```text
//! Settings ──▶ Client ── send(Request<Bytes>) ──▶ Response<Bytes>
//!                ├─ open(Request<Bytes>) ──▶ Response<Lines>    (an answer that goes on)
//!                └─ dial: TLS, also through a proxy | plain TCP | Unix socket
//!                                                             (connections are kept and used again)
//! ```

mod addresses;
mod client;
mod dial;
mod error;
mod lines;
mod proxy;
mod redirect;
mod settings;
mod tls;

pub use client::Client;
pub use error::{HttpError, SetupError};
pub use lines::Lines;
pub use settings::{Addresses, ClientCertificate, Proxies, Reach, Redirects, Roots, Settings};
