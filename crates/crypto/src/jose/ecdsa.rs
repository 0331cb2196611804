//! The two forms of an ECDSA signature: ASN.1 DER, and `r || s` of fixed length as JWS has it
//! (RFC 7518 section 3.4).

use crate::Curve;
use crate::der::{self, Reader};

/// The bytes are not a signature in the form that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed ECDSA signature")]
pub struct SignatureFormError;

/// From DER to `r || s`.
pub fn ecdsa_der_to_fixed(curve: Curve, signature: &[u8]) -> Result<Vec<u8>, SignatureFormError> {
    let (r, s) = numbers(signature).map_err(|_| SignatureFormError)?;
    let len = curve.coordinate_len();
    let mut fixed = vec![0; 2 * len];
    for (number, field) in [r, s].into_iter().zip(fixed.chunks_mut(len)) {
        let start = len.checked_sub(number.len()).ok_or(SignatureFormError)?;
        field[start..].copy_from_slice(number);
    }
    Ok(fixed)
}

/// From `r || s`, which must have exactly the curve's length, to DER.
pub fn ecdsa_fixed_to_der(curve: Curve, signature: &[u8]) -> Result<Vec<u8>, SignatureFormError> {
    let len = curve.coordinate_len();
    if signature.len() != 2 * len {
        return Err(SignatureFormError);
    }
    let (r, s) = signature.split_at(len);
    Ok(der::element(
        der::SEQUENCE,
        &[&der::unsigned(r), &der::unsigned(s)],
    ))
}

fn numbers(signature: &[u8]) -> Result<(&[u8], &[u8]), der::DerError> {
    let mut fields = Reader::new(der::only(signature, der::SEQUENCE)?);
    let pair = (fields.read_unsigned()?, fields.read_unsigned()?);
    fields.finish()?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fixed_to_der_and_back_changes_nothing(bytes in prop::collection::vec(any::<u8>(), 96)) {
            let der = ecdsa_fixed_to_der(Curve::P384, &bytes).unwrap();
            prop_assert_eq!(ecdsa_der_to_fixed(Curve::P384, &der).unwrap(), bytes);
        }
    }

    #[test]
    fn a_signature_of_another_curve_is_refused() {
        let der = ecdsa_fixed_to_der(Curve::P384, &[0x80; 96]).unwrap();
        assert!(ecdsa_der_to_fixed(Curve::P256, &der).is_err());
        assert!(ecdsa_fixed_to_der(Curve::P256, &[1; 63]).is_err());
        assert!(ecdsa_fixed_to_der(Curve::P256, &[1; 96]).is_err());
    }

    #[test]
    fn der_with_something_after_it_is_refused() {
        let mut der = ecdsa_fixed_to_der(Curve::P256, &[1; 64]).unwrap();
        der.push(0);
        assert!(ecdsa_der_to_fixed(Curve::P256, &der).is_err());
    }
}
