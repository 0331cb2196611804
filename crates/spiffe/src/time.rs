//! Seconds since 1970 and [`SystemTime`], without overflow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 9999-12-31T23:59:59Z, the last moment X.509 can express (RFC 5280 section 4.1.2.5). Later ones
/// are taken for mistakes, such as milliseconds.
const LAST_SECOND: i64 = 253_402_300_799;

/// The moment `seconds` after 1970, within the years that have four digits.
pub(crate) fn from_unix(seconds: i64) -> Option<SystemTime> {
    if !(-LAST_SECOND..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}
