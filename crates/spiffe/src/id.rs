//! SPIFFE IDs (SPIFFE-ID section 2): `spiffe://<trust domain>[/<segment>...]`.
//!
//! One ID has one spelling here. Nothing is normalised, decoded or lowered on the way in; what is
//! not already canonical is refused.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::{TrustDomain, TrustDomainError};

/// Longest ID, in bytes (SPIFFE-ID section 2.3: implementations must accept 2048 and should not
/// make longer ones).
pub const MAX_ID_LEN: usize = 2048;

pub(crate) const SCHEME: &str = "spiffe://";

/// Paths that SPIRE keeps for its own parts begin with this segment.
const RESERVED: &str = "/spire";
const AGENT_PREFIX: &str = "/spire/agent/";
const SERVER_PATH: &str = "/spire/server";

/// The text is not a SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("SPIFFE ID is empty")]
    Empty,
    /// Over the limit.
    #[error("SPIFFE ID has {len} bytes, more than {MAX_ID_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// It does not begin with `spiffe://`, in lowercase.
    #[error("SPIFFE ID does not begin with `spiffe://`")]
    WrongScheme,
    /// What follows the scheme names no trust domain.
    #[error("trust domain of the SPIFFE ID is not valid")]
    TrustDomain(#[from] TrustDomainError),
    /// The path does not begin with a slash.
    #[error("path does not begin with a slash")]
    NoLeadingSlash,
    /// Two slashes in a row.
    #[error("path has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("path has a dot segment")]
    DotSegment,
    /// A slash at the end.
    #[error("path ends with a slash")]
    TrailingSlash,
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error("path segments may only hold letters, digits, dots, dashes and underscores")]
    BadCharacter,
}

/// A SPIFFE ID. Cloning is cheap; the order is that of the text.
#[derive(Clone)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Reads an ID.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > MAX_ID_LEN {
            return Err(IdError::TooLong { len: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(IdError::WrongScheme)?;
        let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let trust_domain = TrustDomain::parse(name)?;
        check_path(path)?;
        Ok(Self {
            text: text.into(),
            trust_domain,
        })
    }

    /// An ID from its parts. The path is empty or begins with a slash.
    pub fn new(trust_domain: &TrustDomain, path: &str) -> Result<Self, IdError> {
        let len = SCHEME.len() + trust_domain.name().len() + path.len();
        if len > MAX_ID_LEN {
            return Err(IdError::TooLong { len });
        }
        check_path(path)?;
        Ok(Self {
            text: format!("{SCHEME}{trust_domain}{path}").into(),
            trust_domain: trust_domain.clone(),
        })
    }

    /// An ID whose path has these segments. A segment can never bring in a slash of its own.
    pub fn from_segments(trust_domain: &TrustDomain, segments: &[&str]) -> Result<Self, IdError> {
        segments
            .iter()
            .try_for_each(|segment| check_segment(segment))?;
        let path = segments
            .iter()
            .flat_map(|segment| ["/", segment])
            .collect::<String>();
        Self::new(trust_domain, &path)
    }

    pub(crate) fn of_trust_domain(trust_domain: &TrustDomain) -> Self {
        Self {
            text: trust_domain.id_string().into(),
            trust_domain: trust_domain.clone(),
        }
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash; empty for the ID of the trust domain itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[SCHEME.len() + self.trust_domain.name().len()..]
    }

    /// The whole ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is the ID of an agent: `/spire/agent/...`.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.path().starts_with(AGENT_PREFIX)
    }

    /// Whether this is the ID of a server: `/spire/server`.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.path() == SERVER_PATH
    }

    /// Whether the path is kept for SPIRE's own parts: `/spire` and below.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.path()
            .strip_prefix(RESERVED)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn check_path(path: &str) -> Result<(), IdError> {
    if path.is_empty() {
        return Ok(());
    }
    let segments = path.strip_prefix('/').ok_or(IdError::NoLeadingSlash)?;
    if path.ends_with('/') {
        return Err(IdError::TrailingSlash);
    }
    segments.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), IdError> {
    match segment {
        "" => Err(IdError::EmptySegment),
        "." | ".." => Err(IdError::DotSegment),
        _ if !segment.bytes().all(is_allowed) => Err(IdError::BadCharacter),
        _ => Ok(()),
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

impl PartialEq for SpiffeId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SpiffeId {}

impl PartialOrd for SpiffeId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SpiffeId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for SpiffeId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for SpiffeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

impl Serialize for SpiffeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
