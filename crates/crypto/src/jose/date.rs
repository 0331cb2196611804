//! Moments in claims (RFC 7519 section 2, NumericDate).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// 9999-12-31T23:59:59Z. Later moments are taken for mistakes, such as milliseconds.
const LAST_SECOND: i64 = 253_402_300_799;
const EARLIEST: i64 = -LAST_SECOND;

/// Seconds since 1970, perhaps with a fraction, which is dropped. `None` if it is something else.
#[must_use]
pub fn numeric_date(value: &Value) -> Option<SystemTime> {
    let seconds = value.as_i64().or_else(|| whole_seconds(value))?;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    match seconds {
        0..=LAST_SECOND => UNIX_EPOCH.checked_add(distance),
        EARLIEST..0 => UNIX_EPOCH.checked_sub(distance),
        _ => None,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the range is checked first, and dropping the fraction is meant"
)]
fn whole_seconds(value: &Value) -> Option<i64> {
    let seconds = value.as_f64()?;
    (seconds.abs() < 1e15).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_with_and_without_a_fraction_are_a_moment() {
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(numeric_date(&json!(0)), at(0));
        assert_eq!(numeric_date(&json!(1_700_000_000)), at(1_700_000_000));
        assert_eq!(numeric_date(&json!(1.9)), at(1));
        assert_eq!(numeric_date(&json!(LAST_SECOND)), at(253_402_300_799));
        assert!(numeric_date(&json!(-5)) < at(0));
    }

    #[test]
    fn text_milliseconds_and_what_no_clock_shows_are_none() {
        for value in [
            json!("1700000000"),
            json!(null),
            json!([1]),
            json!(LAST_SECOND + 1),
            json!(1_700_000_000_000_i64),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e300),
            json!(-1e300),
        ] {
            assert_eq!(numeric_date(&value), None, "{value}");
        }
    }
}
