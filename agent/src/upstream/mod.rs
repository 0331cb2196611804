//! What the agent asks of its server, in the agent's words, and how calls fail.
//!
//! [`Server`] is the port; `grpc` speaks to a Signet or SPIRE server; tests script a fake.

mod attest;
mod connection;
mod convert;
mod grpc;
mod reasons;

pub use attest::{AttestFailed, Attested, attest};
pub use connection::{Connection, Connector, Dial, Stream, TcpDial};
pub use convert::{NotUsable, bundle_from_proto, entry_from_proto};
pub(crate) use grpc::explained;
pub use grpc::{GrpcServer, Refused};
pub use reasons::reason_of;

use async_trait::async_trait;
use signet_model::{AgentReason, EntryId};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The time limit of one call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A chain of certificates, leaf first, in DER.
pub type Chain = Vec<Arc<[u8]>>;

/// The calls of an attested agent.
#[async_trait]
pub trait Server: Send + Sync {
    /// Asks for the X509-SVIDs of some entries. The answers stand in the order of the requests;
    /// an error concerns all of them.
    async fn new_x509_svids(&self, requests: Vec<X509Request>) -> Result<Vec<Signed>, CallError>;

    /// Asks for a JWT-SVID of an entry.
    async fn new_jwt_svid(&self, entry: &EntryId, audience: &[String])
    -> Result<NewJwt, CallError>;

    /// Asks for the next SVID of the agent itself.
    async fn renew_agent(&self, csr: Vec<u8>) -> Result<Chain, CallError>;
}

/// A certificate request for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X509Request {
    /// The entry whose SVID is asked for.
    pub entry_id: EntryId,
    /// PKCS#10 in DER.
    pub csr: Vec<u8>,
}

/// The server's answer for one entry.
pub type Signed = Result<Chain, ItemRefused>;

/// That the server refused one item of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct ItemRefused {
    /// The gRPC status code.
    pub code: i32,
    /// The server's words.
    pub message: String,
}

/// A JWT-SVID as the server made it.
#[derive(Clone)]
pub struct NewJwt {
    /// The token.
    pub token: Arc<str>,
    /// When it was issued.
    pub issued_at: SystemTime,
    /// When it expires.
    pub expires_at: SystemTime,
}

impl std::fmt::Debug for NewJwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewJwt")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// How a call failed, by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server cannot be reached, is busy or broke: the same call may succeed later.
    #[error("the server cannot answer now: {message}")]
    Transient {
        /// The server's or the transport's words.
        message: String,
    },
    /// The server refuses this very call; asking again changes nothing.
    #[error("the server refuses: {message} ({code:?})")]
    Final {
        /// The status code.
        code: tonic::Code,
        /// The server's words.
        message: String,
    },
    /// The server does not know the method: it is not ours, or older.
    #[error("the server does not offer this call: {message}")]
    Unimplemented {
        /// The server's words.
        message: String,
    },
    /// The server refuses this agent.
    #[error("the server refuses this agent: {0}")]
    Agent(AgentReason),
}

impl CallError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }
}
