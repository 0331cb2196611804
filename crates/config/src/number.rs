//! Numbers as HCL 1 writes them: decimal, hexadecimal, octal by a leading zero, floats.

/// The whole number a text stands for, if it is one that fits.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = i128::from(unsigned(digits)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Whether the text is a number of HCL 1.
pub(crate) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    integer(text).is_some() && !text.starts_with('+') || is_float(digits)
}

fn unsigned(digits: &str) -> Option<u64> {
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some(_) if digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

fn is_float(digits: &str) -> bool {
    let marked = digits.contains(['.', 'e', 'E']);
    let plain = digits
        .chars()
        .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    let led = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    marked && plain && led && digits.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_decimal_hexadecimal_or_octal() {
        let written = ["0", "8081", "-17", "0x1F", "-0x10", "017"];
        let meant = [0, 8081, -17, 31, -16, 15];
        assert_eq!(written.map(integer), meant.map(Some));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for text in [
            "",
            "-",
            "--1",
            "0x",
            "0x+1",
            "08",
            "1.5",
            "9223372036854775808",
            "1_000",
            "x",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn floats_are_numbers_but_words_are_not() {
        for text in ["1.5", "-1.5", ".5", "1e10", "2.5E-3", "0x1F", "7"] {
            assert!(is_number(text), "{text}");
        }
        for text in [
            "", "-", "inf", "nan", "1e999", "e5", "1..2", "+1", "1.5.6", "12abc",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }
}
