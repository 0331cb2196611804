//! Readers of flag values: SPIFFE IDs, selectors, and Go's booleans, durations and times.

use std::time::Duration;

use signet_proto::spire::types;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcDateTime};

/// Reads `spiffe://trust-domain/path`. The server checks the rest.
///
/// # Errors
/// A text for people when the scheme or the trust domain is missing.
pub fn spiffe_id(text: &str) -> Result<types::Spiffeid, String> {
    let rest = text
        .strip_prefix("spiffe://")
        .ok_or("a SPIFFE ID begins with spiffe://, as spiffe://example.org/web")?;
    let (trust_domain, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if trust_domain.is_empty() {
        return Err("the trust domain is missing, as in spiffe://example.org/web".into());
    }
    Ok(types::Spiffeid {
        trust_domain: trust_domain.into(),
        path: path.into(),
    })
}

/// Reads a trust domain's name, also from its SPIFFE ID.
///
/// # Errors
/// A text for people when it is empty or has a path.
pub fn trust_domain(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("spiffe://").unwrap_or(text);
    if name.is_empty() || name.contains('/') {
        return Err("give the trust domain alone, as example.org or spiffe://example.org".into());
    }
    Ok(name.into())
}

/// Reads `type:value`; the value may hold further colons.
///
/// # Errors
/// A text for people when either is missing.
pub fn selector(text: &str) -> Result<types::Selector, String> {
    match text.split_once(':') {
        Some((kind, value)) if !kind.is_empty() && !value.is_empty() => Ok(types::Selector {
            r#type: kind.into(),
            value: value.into(),
        }),
        _ => Err("a selector is type:value, as unix:uid:1000".into()),
    }
}

/// Reads a boolean in any of Go's spellings.
///
/// # Errors
/// A text for people that names the usual two.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is either true or false".into()),
    }
}

/// Reads a duration in Go's form, as `90s`, `1h30m` or `1.5h`.
///
/// # Errors
/// A text for people with an example.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| {
        "a duration is numbers with units (h, m, s, ms, us, ns), as 90s or 1h30m".into()
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = number.parse::<f64>().ok()? * unit_seconds(unit)?;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    Some(total)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "h" => Some(3600.0),
        "m" => Some(60.0),
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" | "μs" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

/// Whole seconds, rounded up, as the wire wants a TTL.
///
/// # Errors
/// A text for people when the duration is too long for it.
pub fn ttl_seconds(ttl: Duration) -> Result<i32, String> {
    let round_up = u64::from(ttl.subsec_nanos() > 0);
    i32::try_from(ttl.as_secs() + round_up).map_err(|_| "that is longer than 68 years".into())
}

/// Reads a point in time, as RFC 3339 or as SPIRE writes it (`2006-01-02 15:04:05 -0700 -07`), and
/// gives it back in SPIRE's form, which the wire wants.
///
/// # Errors
/// A text for people with an example.
pub fn expires_before(text: &str) -> Result<String, String> {
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| parse_go_time(text))
        .ok_or("a time is as 2026-01-31T12:00:00Z or \"2026-01-31 12:00:00 +0000 +00\"")?;
    let moment = UtcDateTime::from(moment);
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000 +00");
    moment.format(&form).map_err(|error| error.to_string())
}

/// Reads a point in time as Unix seconds: a number of them, an RFC 3339 time, or a date (its first
/// second in UTC). `never` is 0.
///
/// # Errors
/// A text for people with an example.
pub fn moment(text: &str) -> Result<i64, String> {
    let date = format_description!("[year]-[month]-[day]");
    if text == "never" {
        return Ok(0);
    }
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(seconds.into());
    }
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(moment.unix_timestamp());
    }
    Date::parse(text, &date)
        .map(|date| date.midnight().assume_utc().unix_timestamp())
        .map_err(|_| "a time is 2026-01-31, 2026-01-31T12:00:00Z, Unix seconds or never".into())
}

fn parse_go_time(text: &str) -> Option<OffsetDateTime> {
    let (moment, zone) = text.rsplit_once(' ')?;
    let known_zone = zone
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+-".contains(c));
    let form = format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
    );
    known_zone
        .then(|| OffsetDateTime::parse(moment, &form).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_cut_in_two() {
        let id = spiffe_id("spiffe://example.org/a/b").unwrap();
        assert_eq!((&*id.trust_domain, &*id.path), ("example.org", "/a/b"));
        assert_eq!(spiffe_id("spiffe://example.org").unwrap().path, "");
    }

    #[test]
    fn a_spiffe_id_without_scheme_or_trust_domain_is_refused() {
        for text in ["", "example.org/a", "SPIFFE://example.org/a", "spiffe:///a"] {
            assert!(spiffe_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_trust_domain_is_a_name_or_an_id_without_path() {
        assert_eq!(trust_domain("example.org").unwrap(), "example.org");
        assert_eq!(trust_domain("spiffe://example.org").unwrap(), "example.org");
        assert!(trust_domain("spiffe://example.org/web").is_err());
        assert!(trust_domain("").is_err());
    }

    #[test]
    fn a_selector_is_cut_at_its_first_colon() {
        let selector = selector("unix:uid:0").unwrap();
        assert_eq!((&*selector.r#type, &*selector.value), ("unix", "uid:0"));
    }

    #[test]
    fn a_selector_without_type_or_value_is_refused() {
        for text in ["", "unix", "unix:", ":uid:0"] {
            assert!(selector(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, seconds) in [
            ("720h", 2_592_000.0),
            ("1h30m", 5400.0),
            ("1.5h", 5400.0),
            ("300ms", 0.3),
            ("+5s", 5.0),
            ("0", 0.0),
        ] {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_duration() {
        for text in [
            "",
            "5",
            "h",
            "5x",
            "-5s",
            "1h5",
            "1..5s",
            "999999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_ttl_is_rounded_up_to_seconds() {
        assert_eq!(ttl_seconds(Duration::from_millis(1500)), Ok(2));
        assert_eq!(ttl_seconds(Duration::ZERO), Ok(0));
        assert!(ttl_seconds(Duration::from_secs(1 << 40)).is_err());
    }

    #[test]
    fn booleans_are_gos() {
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("0"), Ok(false));
        assert!(boolean("yes").is_err());
        assert!(boolean("").is_err());
    }

    #[test]
    fn a_time_leaves_in_spires_form() {
        let expected = "2026-01-31 12:00:00 +0000 +00";
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31 12:00:00 +0000 UTC",
            "2026-01-31 07:00:00 -0500 -05",
        ] {
            assert_eq!(expires_before(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_number_a_time_or_a_date() {
        for text in ["1769860800", "2026-01-31T12:00:00Z"] {
            assert_eq!(moment(text), Ok(1_769_860_800), "{text}");
        }
        assert_eq!(moment("2026-01-31"), Ok(1_769_817_600));
        assert_eq!(moment("never"), Ok(0));
        assert!(moment("-1").is_err());
        assert!(moment("soon").is_err());
    }

    #[test]
    fn a_time_without_zone_is_refused() {
        for text in ["2026-01-31", "2026-01-31 12:00:00", "tomorrow", ""] {
            assert!(expires_before(text).is_err(), "{text}");
        }
    }
}
