//! Trust domain names (SPIFFE-ID sections 2.1 and 2.3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::SpiffeId;

/// Longest name, in bytes (SPIFFE-ID section 2.3, after RFC 3986 section 3.2.2).
pub const MAX_TRUST_DOMAIN_LEN: usize = 255;

/// The text does not name a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustDomainError {
    /// Nothing there.
    #[error("trust domain is empty")]
    Empty,
    /// Over the limit.
    #[error("trust domain has {len} bytes, more than {MAX_TRUST_DOMAIN_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// A character outside `[a-z0-9._-]`. Upper case is refused, not lowered: a name has one
    /// spelling.
    #[error("trust domain may only hold lowercase letters, digits, dots, dashes and underscores")]
    BadCharacter,
    /// An ID was given where a trust domain is wanted, and it has a path.
    #[error("trust domain has a path; give the name alone or `spiffe://<name>`")]
    HasPath,
}

/// The name of a trust domain, such as `example.org`. Cloning is cheap. Names that look like DNS
/// names or IPv4 addresses are not special.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Reads a bare name.
    pub fn parse(name: &str) -> Result<Self, TrustDomainError> {
        match name.len() {
            0 => Err(TrustDomainError::Empty),
            len if len > MAX_TRUST_DOMAIN_LEN => Err(TrustDomainError::TooLong { len }),
            _ if !name.bytes().all(is_allowed) => Err(TrustDomainError::BadCharacter),
            _ => Ok(Self(name.into())),
        }
    }

    /// Reads a bare name or the trust domain's ID: `example.org` or `spiffe://example.org`.
    pub fn from_name_or_id(text: &str) -> Result<Self, TrustDomainError> {
        match text.strip_prefix(crate::id::SCHEME) {
            Some(rest) if rest.contains('/') => Err(TrustDomainError::HasPath),
            Some(name) => Self::parse(name),
            None => Self::parse(text),
        }
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The ID without a path, which names the trust domain itself and its signing authority.
    #[must_use]
    pub fn id(&self) -> SpiffeId {
        SpiffeId::of_trust_domain(self)
    }

    /// [`Self::id`] as text: the key of the bundle maps of the Workload API.
    #[must_use]
    pub fn id_string(&self) -> String {
        format!("{}{}", crate::id::SCHEME, self.0)
    }
}

fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

impl FromStr for TrustDomain {
    type Err = TrustDomainError;

    fn from_str(name: &str) -> Result<Self, TrustDomainError> {
        Self::parse(name)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({})", self.0)
    }
}

impl Serialize for TrustDomain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
