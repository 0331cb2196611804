//! Whether an entry may be written.
//!
//! What the types already say (a SPIFFE ID parses, a selector has both parts, a set has no
//! doubles) is not said again here. Whether a federated bundle exists is known to the index only.

use std::time::Duration;

use signet_spiffe::TrustDomain;

use super::Entry;
use crate::dns::{self, DnsError};
use crate::role::{self, RoleError};
use crate::stewardship::StewardshipError;

/// The longest hint; the Workload API's own recommendation.
pub const MAX_HINT_BYTES: usize = 1024;

/// The most selectors of one entry. A workload seldom shows a hundred; an entry that asks for more
/// than this matches nothing and only costs.
pub const MAX_SELECTORS: usize = 1024;

/// The most trust domains one entry may federate with: each one's bundle goes to the workload.
pub const MAX_FEDERATES_WITH: usize = 1024;

/// Why an entry may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The parent is no member of the trust domain.
    #[error("invalid parent ID")]
    Parent(#[source] RoleError),
    /// The SPIFFE ID is no workload's.
    #[error("invalid spiffe ID")]
    SpiffeId(#[source] RoleError),
    /// There is no selector: everything would match.
    #[error("selector list is empty")]
    NoSelector,
    /// There are too many selectors.
    #[error("{count} selectors given; the limit is {MAX_SELECTORS}")]
    TooManySelectors {
        /// Selectors given.
        count: usize,
    },
    /// A DNS name is bad.
    #[error("invalid DNS name")]
    Dns(#[source] DnsError),
    /// Too many trust domains to federate with.
    #[error("{count} federated trust domains given; the limit is {MAX_FEDERATES_WITH}")]
    TooManyFederated {
        /// Trust domains given.
        count: usize,
    },
    /// The hint is too long.
    #[error("hint has {length} bytes; the limit is {MAX_HINT_BYTES}")]
    HintTooLong {
        /// Bytes given.
        length: usize,
    },
    /// A lifetime below zero.
    #[error("{field} is {seconds} s; it may not be negative")]
    NegativeTtl {
        /// Which of the two lifetimes.
        field: &'static str,
        /// Seconds given.
        seconds: i64,
    },
    /// A stored SVID is delivered by one store, named by the one type of the selectors.
    #[error("selectors of an entry with store_svid must all have the same type")]
    StoreSvidWithSeveralTypes,
    /// A stored SVID is always fetched ahead.
    #[error("an entry with store_svid cannot disable the prefetch of its X509-SVID")]
    StoreSvidWithoutPrefetch,
    /// Owner or purpose is bad.
    #[error("invalid stewardship")]
    Stewardship(#[source] StewardshipError),
}

/// Checks an entry about to be created or updated in this trust domain. It comes back with repeated
/// DNS names merged; nothing else is changed.
pub fn check(mut entry: Entry, trust_domain: &TrustDomain) -> Result<Entry, EntryError> {
    role::member(&entry.parent_id, trust_domain).map_err(EntryError::Parent)?;
    role::workload(&entry.spiffe_id, trust_domain).map_err(EntryError::SpiffeId)?;
    check_counts(&entry)?;
    check_store_svid(&entry)?;
    entry.stewardship.check().map_err(EntryError::Stewardship)?;
    entry.dns_names =
        dns::check_all(std::mem::take(&mut entry.dns_names)).map_err(EntryError::Dns)?;
    Ok(entry)
}

fn check_counts(entry: &Entry) -> Result<(), EntryError> {
    match entry.selectors.len() {
        0 => return Err(EntryError::NoSelector),
        count if count > MAX_SELECTORS => return Err(EntryError::TooManySelectors { count }),
        _ => {}
    }
    let count = entry.federates_with.len();
    if count > MAX_FEDERATES_WITH {
        return Err(EntryError::TooManyFederated { count });
    }
    let length = entry.hint.len();
    if length > MAX_HINT_BYTES {
        return Err(EntryError::HintTooLong { length });
    }
    Ok(())
}

fn check_store_svid(entry: &Entry) -> Result<(), EntryError> {
    if entry.store_svid && !entry.selectors.has_one_kind() {
        return Err(EntryError::StoreSvidWithSeveralTypes);
    }
    if entry.store_svid && entry.disable_x509_svid_prefetch {
        return Err(EntryError::StoreSvidWithoutPrefetch);
    }
    Ok(())
}

/// Reads a lifetime in seconds as the wire has it: 0 means the server's default.
pub fn ttl(field: &'static str, seconds: i64) -> Result<Option<Duration>, EntryError> {
    match u64::try_from(seconds) {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(_) => Err(EntryError::NegativeTtl { field, seconds }),
    }
}
