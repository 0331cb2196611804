//! An X509-SVID as the agent holds it, and when it has to be replaced.

use super::Held;
use signet_crypto::PrivateKey;
use signet_model::Entry;
use signet_spiffe::SpiffeId;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The first wait after the server refused an SVID of one entry, and the longest.
const REFUSAL_FIRST_WAIT: Duration = Duration::from_secs(5);
const REFUSAL_MAX_WAIT: Duration = Duration::from_secs(240);

/// The SVID of an entry with its key. The key was made for this SVID alone and is never stored.
#[derive(Debug)]
pub struct HeldSvid {
    /// Whom it names.
    pub id: SpiffeId,
    /// Leaf first, in DER.
    pub chain: Vec<Arc<[u8]>>,
    /// Its private key.
    pub key: PrivateKey,
    /// When it expires.
    pub not_after: SystemTime,
    /// When it is to be replaced; drawn once, so that checking more often does not mean earlier.
    pub rotate_at: SystemTime,
    /// The form of the entry for which it was asked.
    pub made_for: EntryForm,
}

/// Tells two forms of an entry apart: the revision, and the creation for entries that were deleted
/// and made again under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryForm {
    revision: i64,
    created_at: SystemTime,
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        Self {
            revision: entry.revision_number,
            created_at: entry.created_at,
        }
    }
}

/// That the server refused an SVID for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The server's words.
    pub why: String,
    /// When it said so last.
    pub at: SystemTime,
    /// How often in a row.
    pub times: u32,
}

impl Refusal {
    /// When it makes sense to ask again.
    pub fn retry_at(&self) -> SystemTime {
        let growth = 2u32.saturating_pow(self.times.saturating_sub(1).min(16));
        let wait = REFUSAL_FIRST_WAIT.saturating_mul(growth);
        self.at + wait.min(REFUSAL_MAX_WAIT)
    }
}

/// Why an entry needs a new SVID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// There is none, or it has expired: a workload may be waiting.
    Missing,
    /// No authority of the bundle that is free of taint vouches for it.
    Tainted,
    /// The entry was changed since.
    Outdated,
    /// Its time to be replaced has come.
    Expiring,
}

impl Held {
    /// Whether a new SVID is needed, and why; the first reason that holds.
    pub fn due(&self, now: SystemTime) -> Option<Due> {
        let Some(svid) = self.valid_svid(now) else {
            return Some(Due::Missing);
        };
        if self.tainted {
            Some(Due::Tainted)
        } else if svid.made_for != EntryForm::from(self.entry.as_ref()) {
            Some(Due::Outdated)
        } else if now >= svid.rotate_at {
            Some(Due::Expiring)
        } else {
            None
        }
    }

    /// Whether a refusal is so fresh that asking again would only be a burden.
    pub fn is_waiting(&self, now: SystemTime) -> bool {
        self.refused
            .as_ref()
            .is_some_and(|refusal| now < refusal.retry_at())
    }
}
