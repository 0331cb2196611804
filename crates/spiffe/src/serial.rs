//! Serial numbers of certificates (RFC 5280 section 4.1.2.2).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Longest decimal text read: a serial of 32 bytes has 78 digits.
const MAX_DIGITS: usize = 80;

/// The text is not a serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("serial number is not a decimal number of at most {MAX_DIGITS} digits")]
pub struct SerialError;

/// A serial number: its big-endian magnitude without leading zeros. Shown in decimal, as SPIRE
/// writes and compares it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// From the big-endian magnitude; leading zeros do not matter.
    #[must_use]
    pub fn from_bytes(magnitude: &[u8]) -> Self {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        Self(magnitude[zeros..].into())
    }

    /// The big-endian magnitude without leading zeros; empty for zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Lowercase hexadecimal, two digits a byte.
    #[must_use]
    pub fn hex(&self) -> String {
        signet_crypto::hex(&self.0)
    }
}

impl Ord for Serial {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let digits = text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() || !digits {
            return Err(SerialError);
        }
        let mut magnitude = Vec::<u8>::new();
        for digit in text.bytes().map(|byte| byte - b'0') {
            multiply_by_ten_and_add(&mut magnitude, digit);
        }
        magnitude.reverse();
        Ok(Self::from_bytes(&magnitude))
    }
}

/// On a little-endian magnitude.
fn multiply_by_ten_and_add(magnitude: &mut Vec<u8>, digit: u8) {
    let mut carry = u16::from(digit);
    for byte in magnitude.iter_mut() {
        carry += u16::from(*byte) * 10;
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    if carry > 0 {
        magnitude.push(carry.to_le_bytes()[0]);
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::<u8>::new();
        for byte in &self.0 {
            let mut carry = u16::from(*byte);
            for digit in &mut digits {
                carry += u16::from(*digit) << 8;
                *digit = (carry % 10).to_le_bytes()[0];
                carry /= 10;
            }
            while carry > 0 {
                digits.push((carry % 10).to_le_bytes()[0]);
                carry /= 10;
            }
        }
        if digits.is_empty() {
            digits.push(0);
        }
        digits
            .iter()
            .rev()
            .try_for_each(|digit| write!(f, "{digit}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_serial_survives_its_decimal_text(bytes in prop::collection::vec(any::<u8>(), 0..33)) {
            let serial = Serial::from_bytes(&bytes);
            prop_assert_eq!(serial.to_string().parse::<Serial>(), Ok(serial));
        }

        #[test]
        fn a_serial_prints_and_orders_as_the_number_it_is(a in any::<u128>(), b in any::<u128>()) {
            let (x, y) = (Serial::from_bytes(&a.to_be_bytes()), Serial::from_bytes(&b.to_be_bytes()));
            prop_assert_eq!(x.to_string(), a.to_string());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }

    #[test]
    fn zero_is_one_digit() {
        assert_eq!(Serial::from_bytes(&[0, 0]).to_string(), "0");
        assert_eq!("000".parse(), Ok(Serial::from_bytes(&[])));
    }

    #[test]
    fn text_that_is_no_decimal_number_is_refused() {
        for bad in ["", "-1", "+1", "1 ", "0x1", "ff", &"1".repeat(81)] {
            assert_eq!(bad.parse::<Serial>(), Err(SerialError), "{bad}");
        }
    }
}
