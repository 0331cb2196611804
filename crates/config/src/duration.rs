//! Durations as Go writes them: `1h30m`, `10s`, `1.5h`, `300ms`.

use std::time::Duration;

/// Nanoseconds in each unit; longer names first where one is the start of another.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's durations are 64-bit nanoseconds: about 292 years.
const MAX_NANOSECONDS: u128 = i64::MAX as u128;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing, or no digits where a number should stand.
    #[error("needs a number and a unit, such as \"10s\" or \"1h30m\"")]
    NoNumber,
    /// A number without a unit.
    #[error("needs a unit after the number: h, m, s, ms, us or ns, such as \"10s\"")]
    NoUnit,
    /// Less than zero.
    #[error("must not be negative")]
    Negative,
    /// Over Go's range.
    #[error("is too long: at most 292 years")]
    TooLong,
}

/// Reads a duration in Go's notation. A sole `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut total = 0_u128;
    loop {
        let (nanoseconds, after) = term(rest)?;
        total += nanoseconds;
        if total > MAX_NANOSECONDS {
            return Err(DurationError::TooLong);
        }
        if after.is_empty() {
            return Ok(Duration::from_nanos(
                u64::try_from(total).expect("at most i64::MAX"),
            ));
        }
        rest = after;
    }
}

/// One number with its unit, in nanoseconds, and what follows.
fn term(text: &str) -> Result<(u128, &str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NoNumber);
    }
    let (unit, rest) = unit(rest).ok_or(DurationError::NoUnit)?;
    Ok((scaled(whole, fraction, unit)?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

fn unit(text: &str) -> Option<(u128, &str)> {
    let name = &text[..text
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(text.len())];
    let (_, size) = UNITS.iter().find(|(known, _)| *known == name)?;
    Some((u128::from(*size), &text[name.len()..]))
}

fn scaled(whole: &str, fraction: &str, unit: u128) -> Result<u128, DurationError> {
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| DurationError::TooLong)?,
    };
    let whole = whole.checked_mul(unit).ok_or(DurationError::TooLong)?;
    // Digits beyond this are below a nanosecond of every unit.
    let fraction = &fraction[..fraction.len().min(15)];
    let parts: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().unwrap_or(0)
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).expect("at most 15"));
    whole
        .checked_add(parts * unit / scale)
        .ok_or(DurationError::TooLong)
}

/// Writes a duration as Go does, without units that are zero: `1h30m`, `10s`, `1.5s`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    if duration < Duration::from_secs(1) && !duration.is_zero() {
        return below_a_second(duration.subsec_nanos());
    }
    let (total, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let mut text = String::new();
    for (count, unit) in [(hours, 'h'), (minutes, 'm')] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() || seconds > 0 || nanoseconds > 0 {
        text.push_str(&decimal(seconds, nanoseconds, 9));
        text.push('s');
    }
    text
}

fn below_a_second(nanoseconds: u32) -> String {
    let (unit, size, width) = match nanoseconds {
        1_000_000.. => ("ms", 1_000_000, 6),
        1_000.. => ("us", 1_000, 3),
        _ => ("ns", 1, 0),
    };
    decimal(u64::from(nanoseconds / size), nanoseconds % size, width) + unit
}

fn decimal(whole: u64, fraction: u32, width: usize) -> String {
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{fraction:0width$}")
        .trim_end_matches('0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_durations_are_read() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("+2m", 120_000),
            ("300ms", 300),
            ("1h0m0.5s", 3_600_500),
            (".5s", 500),
            ("1.s", 1_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("3µs"), Ok(Duration::from_micros(3)));
        assert_eq!(parse_duration("3us7ns"), Ok(Duration::from_nanos(3007)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        use DurationError::*;
        let cases = [
            ("", NoNumber),
            ("s", NoNumber),
            (".s", NoNumber),
            ("ten", NoNumber),
            ("3600", NoUnit),
            ("1d", NoUnit),
            ("1h 30m", NoUnit),
            ("1hour", NoUnit),
            ("-1s", Negative),
            ("1s-", NoUnit),
            ("99999999h", TooLong),
            ("99999999999999999999999999999999999999999h", TooLong),
        ];
        for (text, why) in cases {
            assert_eq!(parse_duration(text), Err(why), "{text}");
        }
    }

    #[test]
    fn durations_are_written_without_empty_units() {
        let cases = [
            (0, "0s"),
            (10_000, "10s"),
            (5_400_000, "1h30m"),
            (86_400_000, "24h"),
        ];
        for (milliseconds, text) in cases {
            assert_eq!(format_duration(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(format_duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(format_duration(Duration::from_micros(1500)), "1.5ms");
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(nanoseconds in 0..=i64::MAX) {
            let duration = Duration::from_nanos(nanoseconds.unsigned_abs());
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
