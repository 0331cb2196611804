//! Who answers for an entry.

use std::time::SystemTime;

/// The longest owner or purpose: a name or a sentence, not a document.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Why a stewardship is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StewardshipError {
    /// The owner is too long.
    #[error("owner has {length} bytes; the limit is {MAX_TEXT_BYTES}")]
    OwnerTooLong {
        /// Bytes given.
        length: usize,
    },
    /// The purpose is too long.
    #[error("purpose has {length} bytes; the limit is {MAX_TEXT_BYTES}")]
    PurposeTooLong {
        /// Bytes given.
        length: usize,
    },
}

/// Owner, purpose and review date of an entry. All may be absent: SPIRE's clients do not know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stewardship {
    /// Who answers for the entry; empty if nobody was named.
    pub owner: String,
    /// What the entry is for; empty if not said.
    pub purpose: String,
    /// When the entry must be looked at again.
    pub review_by: Option<SystemTime>,
}

impl Stewardship {
    /// Whether a review is due.
    pub fn is_review_due(&self, now: SystemTime) -> bool {
        self.review_by.is_some_and(|date| date <= now)
    }

    /// Checks the lengths.
    pub fn check(&self) -> Result<(), StewardshipError> {
        let length = self.owner.len();
        if length > MAX_TEXT_BYTES {
            return Err(StewardshipError::OwnerTooLong { length });
        }
        let length = self.purpose.len();
        if length > MAX_TEXT_BYTES {
            return Err(StewardshipError::PurposeTooLong { length });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_review_is_due_from_its_date_on_and_never_without_one() {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        let mut stewardship = Stewardship::default();
        assert!(!stewardship.is_review_due(at(9)));
        stewardship.review_by = Some(at(5));
        assert!(!stewardship.is_review_due(at(4)));
        assert!(stewardship.is_review_due(at(5)));
    }

    #[test]
    fn texts_are_accepted_up_to_the_limit_and_refused_above() {
        let fits = "x".repeat(MAX_TEXT_BYTES);
        let mut stewardship = Stewardship {
            owner: fits.clone(),
            purpose: fits,
            review_by: None,
        };
        assert_eq!(stewardship.check(), Ok(()));
        stewardship.purpose.push('x');
        assert_eq!(
            stewardship.check(),
            Err(StewardshipError::PurposeTooLong { length: 1025 })
        );
        stewardship.owner.push('x');
        assert_eq!(
            stewardship.check(),
            Err(StewardshipError::OwnerTooLong { length: 1025 })
        );
    }
}
