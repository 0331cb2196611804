//! A public key as the members of a JSON Web Key (RFC 7517, RFC 7518 section 6).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::{Curve, KeyError, PublicKey};

/// Longest text of one number: a modulus of 8192 bits takes 1,366 characters.
const MAX_NUMBER_LEN: usize = 2048;

/// The members do not make a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// `kty` is missing or neither `EC` nor `RSA`.
    #[error("JWK member `kty` is neither EC nor RSA")]
    UnknownKeyType,
    /// `crv` is missing or none of `P-256`, `P-384`, `P-521`.
    #[error("JWK member `crv` is none of P-256, P-384, P-521")]
    UnknownCurve,
    /// A number is missing, too long or not unpadded base64url.
    #[error("JWK member `{member}` is missing or not base64url")]
    BadNumber {
        /// Name of the member.
        member: &'static str,
    },
    /// The numbers are not a key we accept.
    #[error("JWK is no acceptable public key")]
    BadKey(#[source] KeyError),
}

/// The members that describe `key`: `kty`, then `crv`, `x`, `y` or `n`, `e`.
#[must_use]
pub fn jwk_members(key: &PublicKey) -> Map<String, Value> {
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let members = if let Some((curve, x, y)) = key.ec_coordinates() {
        vec![
            ("kty", "EC".to_owned()),
            ("crv", curve_name(curve).to_owned()),
            ("x", text(x)),
            ("y", text(y)),
        ]
    } else {
        let (n, e) = key.rsa_components().expect("a key is either EC or RSA");
        vec![("kty", "RSA".to_owned()), ("n", text(n)), ("e", text(e))]
    };
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

/// The key that the members describe; members of other meaning are left alone.
pub fn public_key_of_jwk(members: &Map<String, Value>) -> Result<PublicKey, JwkError> {
    match members.get("kty").and_then(Value::as_str) {
        Some("EC") => {
            let curve = curve(members)?;
            let (x, y) = (number(members, "x")?, number(members, "y")?);
            PublicKey::from_ec_coordinates(curve, &x, &y).map_err(JwkError::BadKey)
        }
        Some("RSA") => {
            let (n, e) = (number(members, "n")?, number(members, "e")?);
            PublicKey::from_rsa_components(&n, &e).map_err(JwkError::BadKey)
        }
        _ => Err(JwkError::UnknownKeyType),
    }
}

fn curve(members: &Map<String, Value>) -> Result<Curve, JwkError> {
    let name = members.get("crv").and_then(Value::as_str);
    Curve::ALL
        .into_iter()
        .find(|curve| name == Some(curve_name(*curve)))
        .ok_or(JwkError::UnknownCurve)
}

fn curve_name(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::P521 => "P-521",
    }
}

fn number(members: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, JwkError> {
    members
        .get(member)
        .and_then(Value::as_str)
        .filter(|text| text.len() <= MAX_NUMBER_LEN)
        .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or(JwkError::BadNumber { member })
}
