//! The public half of a key as tokens give it.

use cryptoki::object::Attribute;
use signet_crypto::{Curve, KeyType, PublicKey};

/// `CKA_EC_PARAMS` of P-256 and P-384: the curve's OBJECT IDENTIFIER (RFC 5480 section 2.1.1.1).
const P256_PARAMS: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384_PARAMS: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

const OCTET_STRING: u8 = 0x04;
const UNCOMPRESSED: u8 = 0x04;

/// `CKA_EC_PARAMS` for a new key; RSA keys have none.
pub(crate) fn ec_params(key_type: KeyType) -> Option<&'static [u8]> {
    match key_type {
        KeyType::EcP256 => Some(P256_PARAMS),
        KeyType::EcP384 => Some(P384_PARAMS),
        KeyType::Rsa2048 | KeyType::Rsa4096 => None,
    }
}

/// Puts the attributes of a public key together; `None` if they are none that Signet makes.
pub(crate) fn from_attributes(attributes: &[Attribute]) -> Option<PublicKey> {
    let find = |pick: fn(&Attribute) -> Option<&[u8]>| attributes.iter().find_map(pick);
    let key = match find(ec_params_of) {
        Some(params) => ec(params, find(ec_point_of)?)?,
        None => rsa(find(modulus_of)?, find(exponent_of)?)?,
    };
    key.key_type().is_some().then_some(key)
}

fn ec_params_of(attribute: &Attribute) -> Option<&[u8]> {
    match attribute {
        Attribute::EcParams(bytes) => Some(bytes),
        _ => None,
    }
}

fn ec_point_of(attribute: &Attribute) -> Option<&[u8]> {
    match attribute {
        Attribute::EcPoint(bytes) => Some(bytes),
        _ => None,
    }
}

fn modulus_of(attribute: &Attribute) -> Option<&[u8]> {
    match attribute {
        Attribute::Modulus(bytes) => Some(bytes),
        _ => None,
    }
}

fn exponent_of(attribute: &Attribute) -> Option<&[u8]> {
    match attribute {
        Attribute::PublicExponent(bytes) => Some(bytes),
        _ => None,
    }
}

fn ec(params: &[u8], point: &[u8]) -> Option<PublicKey> {
    let curve = match params {
        P256_PARAMS => Curve::P256,
        P384_PARAMS => Curve::P384,
        _ => return None,
    };
    let (x, y) = coordinates(curve, point)?;
    PublicKey::from_ec_coordinates(curve, x, y).ok()
}

/// The standard has the point in an OCTET STRING; some tokens give it bare.
fn coordinates(curve: Curve, point: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = 1 + 2 * curve.coordinate_len();
    let bare = match point {
        [OCTET_STRING, short, rest @ ..] if usize::from(*short) == len && rest.len() == len => rest,
        _ if point.len() == len => point,
        _ => return None,
    };
    let (form, coordinates) = bare.split_first()?;
    (*form == UNCOMPRESSED).then(|| coordinates.split_at(curve.coordinate_len()))
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<PublicKey> {
    PublicKey::from_rsa_components(without_zeros(modulus), without_zeros(exponent)).ok()
}

/// Some tokens put a zero before a number, as DER would.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use signet_crypto::PrivateKey;

    use super::*;

    fn ec_key(key_type: KeyType) -> (PublicKey, Vec<u8>) {
        let key = PrivateKey::generate(key_type).unwrap();
        let point = key.public_key().key_bytes().to_vec();
        (key.public_key().clone(), point)
    }

    fn wrapped(point: &[u8]) -> Vec<u8> {
        let len = u8::try_from(point.len()).unwrap();
        [&[OCTET_STRING, len], point].concat()
    }

    fn read(params: &[u8], point: Vec<u8>) -> Option<PublicKey> {
        from_attributes(&[
            Attribute::EcPoint(point),
            Attribute::EcParams(params.to_vec()),
        ])
    }

    #[test]
    fn an_ec_point_is_read_in_an_octet_string_and_bare() {
        for key_type in [KeyType::EcP256, KeyType::EcP384] {
            let params = ec_params(key_type).unwrap();
            let (key, point) = ec_key(key_type);
            assert_eq!(read(params, wrapped(&point)), Some(key.clone()));
            assert_eq!(read(params, point), Some(key));
        }
    }

    #[test]
    fn points_of_another_curve_compressed_or_cut_are_refused() {
        let (_, point) = ec_key(KeyType::EcP256);
        assert_eq!(read(P384_PARAMS, wrapped(&point)), None);
        assert_eq!(read(P256_PARAMS, point[..64].to_vec()), None);
        assert_eq!(read(P256_PARAMS, Vec::new()), None);
        let mut compressed = point.clone();
        compressed[0] = 2;
        assert_eq!(read(P256_PARAMS, compressed), None);
        assert_eq!(read(&[0x06, 0x01, 0x01], point), None);
    }

    #[test]
    fn rsa_numbers_may_have_a_leading_zero_and_other_sizes_are_refused() {
        let modulus = |bytes: usize| [vec![0, 0xc5], vec![0x11; bytes - 1]].concat();
        let exponent = vec![0x01, 0x00, 0x01];
        let read = |bytes| {
            from_attributes(&[
                Attribute::Modulus(modulus(bytes)),
                Attribute::PublicExponent(exponent.clone()),
            ])
        };
        assert_eq!(read(256).unwrap().key_type(), Some(KeyType::Rsa2048));
        assert_eq!(read(512).unwrap().key_type(), Some(KeyType::Rsa4096));
        assert_eq!(read(384), None);
        assert_eq!(read(128), None);
    }

    #[test]
    fn attributes_that_are_missing_make_no_key() {
        assert_eq!(from_attributes(&[]), None);
        assert_eq!(
            from_attributes(&[Attribute::EcParams(P256_PARAMS.to_vec())]),
            None
        );
        assert_eq!(from_attributes(&[Attribute::Modulus(vec![1; 256])]), None);
    }
}
