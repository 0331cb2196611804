//! The border between *asked* and *approved*.
//!
//! Signing takes an [`Approved`] grant, and only the functions here make one. SPIFFE ID, DNS names
//! and lifetime come from the entry; of the request only the public key (and a JWT's audience, a WIT's proof algorithm)
//! comes through.

mod authority;
mod composed;
mod jwt;
mod subject;
mod wit;
mod x509;

pub use authority::{CaGrant, downstream_ca, own_ca};
pub use jwt::{JwtGrant, MAX_AUDIENCE_BYTES, MAX_AUDIENCES, mint_jwt, workload_jwt};
pub use subject::{Attribute, MAX_COMMON_NAME_CHARS, Subject};
pub use wit::{ProofKey, WitGrant, mint_wit, workload_wit};
pub use x509::{
    Purpose, X509Grant, agent_renewal_x509, agent_x509, mint_x509, server_x509, workload_x509,
};

use std::ops::Deref;
use std::time::{Duration, SystemTime};

use signet_spiffe::TrustDomain;

use crate::agent::AgentReason;
use crate::dns::DnsError;
use crate::lifetime::Spent;
use crate::role::RoleError;

/// Something that may be signed as it stands. Read it; it cannot be made or changed elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved<T>(T);

impl<T> Deref for Approved<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the server's configuration says about all it issues.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The own trust domain.
    pub trust_domain: TrustDomain,
    /// Lifetime of X509-SVIDs whose entry names none.
    pub default_x509_svid_ttl: Duration,
    /// Lifetime of JWT-SVIDs whose entry names none.
    pub default_jwt_svid_ttl: Duration,
    /// Lifetime of agents' SVIDs; `None` for that of X509-SVIDs.
    pub agent_ttl: Option<Duration>,
    /// The `iss` claim of JWT-SVIDs, if they have one.
    pub jwt_issuer: Option<String>,
    /// The `iss` claim of WIT-SVIDs, if they have one.
    pub wit_issuer: Option<String>,
}

/// When it is to be issued, and until when the authority that signs is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: SystemTime,
    /// The end of the authority's certificate, or of its JWT key.
    pub authority_not_after: SystemTime,
}

/// Why nothing is issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The SPIFFE ID may not have such an SVID.
    #[error("SPIFFE ID is not allowed")]
    SpiffeId(#[source] RoleError),
    /// The agent ID is the server's own.
    #[error("an agent cannot have the server's SPIFFE ID")]
    ServerId,
    /// The request names no SPIFFE ID, or more than one.
    #[error("CSR must have exactly one URI SAN; it has {count}")]
    SpiffeIdCount {
        /// URI SANs in the request.
        count: usize,
    },
    /// The agent may not have an SVID.
    #[error("agent is refused")]
    Agent(#[source] AgentReason),
    /// The entry was disabled.
    #[error("entry is disabled")]
    Disabled,
    /// The entry gives no right to an authority.
    #[error("entry is not one for a downstream server of this trust domain")]
    NotDownstream,
    /// An authority is asked for in another name.
    #[error("the SPIFFE ID in the CSR is not the trust domain's")]
    NotTheTrustDomain,
    /// A DNS name is bad.
    #[error("invalid DNS name")]
    Dns(#[source] DnsError),
    /// A JWT-SVID needs somebody it is for.
    #[error("at least one audience is required")]
    NoAudience,
    /// Too many audiences.
    #[error("{count} audiences given; the limit is {MAX_AUDIENCES}")]
    TooManyAudiences {
        /// Audiences given.
        count: usize,
    },
    /// An audience is too long.
    #[error("audience has {length} bytes; the limit is {MAX_AUDIENCE_BYTES}")]
    AudienceTooLong {
        /// Bytes given.
        length: usize,
    },
    /// A WIT-SVID's proofs cannot be made so.
    #[error("signing algorithm does not fit the public key")]
    ProofAlgorithm,
    /// Nothing is left of the lifetime.
    #[error("no lifetime is left")]
    Lifetime(#[source] Spent),
}

impl Refusal {
    /// Whether the authority is at fault, and not whoever asked.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Lifetime(Spent::Authority))
    }
}
