//! An extension of a certificate beyond those that SPIFFE gives a meaning.

/// The longest value: a certificate travels in each handshake, and 16 KiB is the most that many
/// peers take of all certificates together.
pub const MAX_EXTENSION_BYTES: usize = 4096;

/// The longest object identifier: twice what the longest in use have.
const MAX_ARCS: usize = 32;

/// What the issuer itself writes or SPIFFE forbids to change (X509-SVID section 4, RFC 5280 section
/// 4.2.1): key identifiers, key usages, alternative names, basic constraints.
const RESERVED: [[u64; 4]; 6] = [
    [2, 5, 29, 14],
    [2, 5, 29, 15],
    [2, 5, 29, 17],
    [2, 5, 29, 19],
    [2, 5, 29, 35],
    [2, 5, 29, 37],
];

/// One extension; its identifier can be written, and is not one of the issuer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    oid: Vec<u64>,
    critical: bool,
    value: Vec<u8>,
}

/// Why there is no such extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// X.660: two to `MAX_ARCS` arcs, the first below 3, the second below 40 unless the first is 2.
    #[error("not an object identifier")]
    BadOid,
    /// The issuer's own.
    #[error("extension 2.5.29.{} is written by the issuer alone", .0)]
    Reserved(u64),
    /// Over the limit.
    #[error("extension of {length} bytes; the limit is {MAX_EXTENSION_BYTES}")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
}

impl Extension {
    /// The extension `oid` with this value in DER. A critical one is refused by every peer that
    /// does not know it.
    ///
    /// # Errors
    /// [`ExtensionError`]
    pub fn new(oid: Vec<u64>, critical: bool, value: Vec<u8>) -> Result<Self, ExtensionError> {
        let well_formed = match oid.as_slice() {
            [0 | 1, second, ..] => *second < 40,
            // X.690 section 8.19.4 puts the first two into one number.
            [2, second, ..] => *second <= u64::MAX - 80,
            _ => false,
        };
        if !well_formed || oid.len() > MAX_ARCS {
            return Err(ExtensionError::BadOid);
        }
        if Self::is_reserved(&oid) {
            return Err(ExtensionError::Reserved(oid[3]));
        }
        if value.len() > MAX_EXTENSION_BYTES {
            return Err(ExtensionError::TooLong {
                length: value.len(),
            });
        }
        Ok(Self {
            oid,
            critical,
            value,
        })
    }

    /// Whether the issuer writes extensions of this identifier itself.
    #[must_use]
    pub fn is_reserved(oid: &[u64]) -> bool {
        RESERVED.iter().any(|reserved| oid == reserved)
    }

    /// Its object identifier.
    #[must_use]
    pub fn oid(&self) -> &[u64] {
        &self.oid
    }

    /// Whether who does not know it must refuse the certificate.
    #[must_use]
    pub fn critical(&self) -> bool {
        self.critical
    }

    /// Its value in DER.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuers_own_extensions_cannot_be_given() {
        for last in [14, 15, 17, 19, 35, 37] {
            let given = Extension::new(vec![2, 5, 29, last], false, vec![5, 0]);
            assert_eq!(given, Err(ExtensionError::Reserved(last)));
        }
        assert!(Extension::new(vec![2, 5, 29, 32], false, vec![5, 0]).is_ok());
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        let long = [vec![1, 2], vec![3; MAX_ARCS]].concat();
        for oid in [vec![], vec![1], vec![3, 1], vec![1, 40], long] {
            let given = Extension::new(oid, false, Vec::new());
            assert_eq!(given, Err(ExtensionError::BadOid));
        }
        assert!(Extension::new(vec![2, 999, 1], false, Vec::new()).is_ok());
    }

    #[test]
    fn a_value_has_a_limit() {
        let of = |length| Extension::new(vec![1, 2, 3], false, vec![0; length]);
        assert!(of(MAX_EXTENSION_BYTES).is_ok());
        let length = MAX_EXTENSION_BYTES + 1;
        assert_eq!(of(length), Err(ExtensionError::TooLong { length }));
    }
}
