//! An X509-SVID as the agent holds it, and when it has to be replaced.

use super::{Held, Standing};
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
    /// The entry as it was when the SVID was asked for. The whole of it: one that was deleted and
    /// made again within a second has the same revision number and creation.
    pub made_for: Arc<Entry>,
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
    /// Whether the server did sign, but with an authority that the bundle does not stand behind:
    /// another bundle may settle it.
    pub by_bundle: bool,
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
    /// Its authority is gone from the bundle: peers refuse it.
    Revoked,
    /// A tainted authority has a part in it, and its turn to be replaced has come.
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
        if self.standing == Standing::Gone {
            Some(Due::Revoked)
        } else if self.replace_at.is_some_and(|at| now >= at) {
            Some(Due::Tainted)
        } else if svid.made_for != self.entry {
            Some(Due::Outdated)
        } else if now >= svid.rotate_at && self.may_outlive(svid) {
            Some(Due::Expiring)
        } else {
            None
        }
    }

    /// Whether a new SVID could live longer than this one: none outlives its entry, and ends are
    /// whole seconds.
    fn may_outlive(&self, svid: &HeldSvid) -> bool {
        let longer = svid.not_after + Duration::from_secs(1);
        self.entry.expires_at.is_none_or(|end| longer <= end)
    }

    /// Whether a refusal is so fresh that asking again would only be a burden.
    pub fn is_waiting(&self, now: SystemTime) -> bool {
        self.refused
            .as_ref()
            .is_some_and(|refusal| now < refusal.retry_at())
    }

    /// Whether an SVID may still come soon.
    pub fn is_hopeful(&self) -> bool {
        let refused = self.refused.as_ref();
        refused.is_none_or(|refusal| refusal.by_bundle)
    }

    /// Whether a new SVID that stands so takes the place of the one that is held. A tainted one
    /// helps only where there is nothing better, and nobody could verify one of no authority.
    pub(super) fn takes(&self, standing: Standing, now: SystemTime) -> bool {
        match standing {
            Standing::Sound => true,
            Standing::Tainted => self
                .usable_svid(now)
                .is_none_or(|old| now >= old.rotate_at || old.made_for != self.entry),
            Standing::Gone => false,
        }
    }

    pub(super) fn refused_again(&self, why: &str, now: SystemTime) -> Refusal {
        let before = self.refused.as_ref().map_or(0, |refusal| refusal.times);
        Refusal {
            why: why.to_owned(),
            at: now,
            times: before.saturating_add(1),
            by_bundle: false,
        }
    }

    pub(super) fn unusable_again(&self, why: &str, now: SystemTime) -> Refusal {
        Refusal {
            by_bundle: true,
            ..self.refused_again(why, now)
        }
    }
}
