//! How long an SVID lives: as long as was wanted, but no longer than its authority or its entry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far back a certificate's validity begins, for peers whose clock is behind; as in SPIRE.
pub const BACKDATE: Duration = Duration::from_secs(10);

/// From when to when. Whole seconds: certificates and tokens know no smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// When it was issued.
    pub issued_at: SystemTime,
    /// From when a certificate is valid: [`BACKDATE`] before it was issued.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// What made it shorter than was wanted.
    pub capped_by: Option<Cap>,
}

/// What an SVID does not outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// The key or certificate that signs it.
    Authority,
    /// The entry it comes from.
    Entry,
}

/// There is no second left to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    /// The signing authority ends now or has ended.
    #[error("signing authority has expired")]
    Authority,
    /// The entry ends now or has ended.
    #[error("entry has expired")]
    Entry,
    /// A lifetime below a second was asked for.
    #[error("lifetime is shorter than a second")]
    Wanted,
}

/// Seconds since 1970, as tokens write a time.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The lifetime of an SVID issued now. Without a wish, or with a wish of zero, the default counts.
pub fn svid(
    now: SystemTime,
    wanted: Option<Duration>,
    default: Duration,
    entry_expiry: Option<SystemTime>,
    authority_not_after: SystemTime,
) -> Result<Lifetime, Spent> {
    let issued_at = whole_seconds(now);
    let ttl = wanted.filter(|ttl| !ttl.is_zero()).unwrap_or(default);
    let (not_after, capped_by) = end(issued_at, ttl, entry_expiry, authority_not_after);
    if not_after <= now {
        return Err(match capped_by {
            Some(Cap::Authority) => Spent::Authority,
            Some(Cap::Entry) => Spent::Entry,
            None => Spent::Wanted,
        });
    }
    Ok(Lifetime {
        issued_at,
        not_before: issued_at.checked_sub(BACKDATE).unwrap_or(UNIX_EPOCH),
        not_after,
        capped_by,
    })
}

/// The earliest of the three ends. A lifetime beyond what a time can hold ends with its authority.
fn end(
    issued_at: SystemTime,
    ttl: Duration,
    entry: Option<SystemTime>,
    authority: SystemTime,
) -> (SystemTime, Option<Cap>) {
    let mut end = (authority, Some(Cap::Authority));
    if let Some(entry) = entry.filter(|entry| *entry < end.0) {
        end = (entry, Some(Cap::Entry));
    }
    if let Some(wanted) = issued_at.checked_add(ttl).filter(|wanted| *wanted <= end.0) {
        end = (wanted, None);
    }
    (whole_seconds(end.0), end.1)
}

/// Rounds down, so that nothing lives longer than it should.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn after(ttl: u64) -> Option<Duration> {
        Some(Duration::from_secs(ttl))
    }

    #[test]
    fn the_wish_counts_and_the_default_where_there_is_none() {
        let lifetime = svid(at(1000), after(60), HOUR, None, at(90_000)).unwrap();
        assert_eq!(lifetime.issued_at, at(1000));
        assert_eq!(lifetime.not_before, at(990));
        assert_eq!(lifetime.not_after, at(1060));
        assert_eq!(lifetime.capped_by, None);
        for none in [None, after(0)] {
            let lifetime = svid(at(1000), none, HOUR, None, at(90_000)).unwrap();
            assert_eq!(lifetime.not_after, at(4600));
        }
    }

    #[test]
    fn it_does_not_outlive_its_authority() {
        let lifetime = svid(at(1000), after(60), HOUR, None, at(1030)).unwrap();
        assert_eq!(lifetime.not_after, at(1030));
        assert_eq!(lifetime.capped_by, Some(Cap::Authority));
    }

    #[test]
    fn it_does_not_outlive_its_entry() {
        let lifetime = svid(at(1000), after(60), HOUR, Some(at(1020)), at(1030)).unwrap();
        assert_eq!(lifetime.not_after, at(1020));
        assert_eq!(lifetime.capped_by, Some(Cap::Entry));
    }

    #[test]
    fn what_ends_later_than_wanted_caps_nothing() {
        let lifetime = svid(at(1000), after(60), HOUR, Some(at(1060)), at(1060)).unwrap();
        assert_eq!(lifetime.not_after, at(1060));
        assert_eq!(lifetime.capped_by, None);
    }

    #[test]
    fn a_wish_beyond_all_time_ends_with_its_authority() {
        let forever = Some(Duration::MAX);
        let lifetime = svid(at(1000), forever, HOUR, None, at(90_000)).unwrap();
        assert_eq!(lifetime.not_after, at(90_000));
        assert_eq!(lifetime.capped_by, Some(Cap::Authority));
    }

    #[test]
    fn fractions_of_a_second_are_cut_off() {
        let half = Duration::from_millis(500);
        let entry = Some(at(1020) + half);
        let lifetime = svid(at(1000) + half, after(60), HOUR, entry, at(90_000)).unwrap();
        assert_eq!(lifetime.issued_at, at(1000));
        assert_eq!(lifetime.not_after, at(1020));
    }

    #[test]
    fn an_ended_authority_or_entry_gives_no_lifetime() {
        for end in [at(999), at(1000)] {
            assert_eq!(
                svid(at(1000), after(60), HOUR, None, end),
                Err(Spent::Authority)
            );
            assert_eq!(
                svid(at(1000), after(60), HOUR, Some(end), at(90_000)),
                Err(Spent::Entry)
            );
        }
    }

    #[test]
    fn less_than_a_second_is_no_lifetime() {
        let short = Some(Duration::from_millis(900));
        assert_eq!(
            svid(at(1000), short, HOUR, None, at(90_000)),
            Err(Spent::Wanted)
        );
    }
}
