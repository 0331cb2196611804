//! Compact signatures and JWKs, accepted and refused.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL;
use serde_json::{Map, Value, json};
use signet_crypto::jose::{
    Compact, CompactError, JwkError, JwsAlgorithm, MAX_KEY_ID_LEN, attach_signature,
    encode_signing_input, jwk_members, public_key_of_jwk,
};
use signet_crypto::{KeyType, PrivateKey, VerifyError};

const LIMIT: usize = 16 * 1024;

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn token(key: &PrivateKey, algorithm: JwsAlgorithm) -> String {
    let header = members(json!({"alg": algorithm.name(), "kid": "k", "typ": "JWT"}));
    let input = encode_signing_input(&header, &members(json!({"sub": "x"})));
    let signature = key
        .sign(algorithm.signature_algorithm(), input.as_bytes())
        .unwrap();
    attach_signature(input, algorithm, &signature).unwrap()
}

fn with_header(header: &str) -> Result<Compact, CompactError> {
    Compact::parse(&format!("{}.e30.AA", URL.encode(header)), LIMIT)
}

#[test]
fn a_token_of_each_algorithm_verifies_and_only_with_its_key() {
    let p256 = PrivateKey::generate(KeyType::EcP256).unwrap();
    let p384 = PrivateKey::generate(KeyType::EcP384).unwrap();
    let rsa = PrivateKey::from_pem(include_str!("fixtures/rsa-2048-pkcs1.pem")).unwrap();
    for algorithm in JwsAlgorithm::ALL {
        let (key, other) = match algorithm {
            JwsAlgorithm::ES512 => continue,
            JwsAlgorithm::ES256 => (&p256, &p384),
            JwsAlgorithm::ES384 => (&p384, &rsa),
            _ => (&rsa, &p256),
        };
        assert!(algorithm.fits(key.public_key()) && !algorithm.fits(other.public_key()));
        let parsed = Compact::parse(&token(key, algorithm), LIMIT).unwrap();
        assert_eq!(parsed.algorithm, algorithm);
        assert_eq!(parsed.payload, br#"{"sub":"x"}"#);
        assert_eq!(parsed.verify(key.public_key()), Ok(()));
        assert_eq!(
            parsed.verify(other.public_key()),
            Err(VerifyError::WrongKey)
        );
    }
}

#[test]
fn a_token_changed_in_any_part_does_not_verify() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let good = token(&key, JwsAlgorithm::ES256);
    let parts = good.split('.').collect::<Vec<_>>();
    let header = URL.encode(r#"{"alg":"ES256","kid":"k","typ":"JOSE"}"#);
    let payload = URL.encode(r#"{"sub":"y"}"#);
    for changed in [
        format!("{header}.{}.{}", parts[1], parts[2]),
        format!("{}.{payload}.{}", parts[0], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], URL.encode([7; 64])),
        format!("{}.{}.", parts[0], parts[1]),
    ] {
        let parsed = Compact::parse(&changed, LIMIT).unwrap();
        assert_eq!(
            parsed.verify(key.public_key()),
            Err(VerifyError::BadSignature)
        );
    }
}

#[test]
fn an_ecdsa_signature_in_der_is_not_a_jws_signature() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let header = members(json!({"alg": "ES256"}));
    let input = encode_signing_input(&header, &Map::new());
    let der = key
        .sign(KeyType::EcP256.default_algorithm(), input.as_bytes())
        .unwrap();
    let parsed = Compact::parse(&format!("{input}.{}", URL.encode(der)), LIMIT).unwrap();
    assert_eq!(
        parsed.verify(key.public_key()),
        Err(VerifyError::BadSignature)
    );
}

#[test]
fn algorithms_without_a_public_key_or_unknown_are_refused() {
    for name in [
        "none", "None", "HS256", "HS512", "EdDSA", "ES256K", "es256", "RSA-OAEP", "",
    ] {
        let parsed = with_header(&json!({"alg": name}).to_string());
        assert_eq!(parsed.unwrap_err(), CompactError::BadAlgorithm, "{name}");
    }
    assert_eq!(with_header("{}").unwrap_err(), CompactError::BadAlgorithm);
    let number = with_header(r#"{"alg":5}"#).unwrap_err();
    assert_eq!(number, CompactError::BadParameter { name: "alg" });
}

#[test]
fn a_token_that_demands_extensions_is_refused() {
    for crit in [json!(["exp"]), json!([]), json!("b64")] {
        let parsed = with_header(&json!({"alg": "ES256", "crit": crit}).to_string());
        assert_eq!(parsed.unwrap_err(), CompactError::Critical);
    }
}

#[test]
fn a_header_that_is_no_object_or_has_duplicates_is_refused() {
    for header in ["", "[]", "\"x\"", "{", r#"{"alg":"ES256","alg":"none"}"#] {
        let error = with_header(header).unwrap_err();
        assert!(matches!(error, CompactError::BadHeader(_)), "{header}");
    }
}

#[test]
fn header_parameters_of_the_wrong_type_or_too_long_are_refused() {
    for (header, name) in [
        (json!({"alg": "ES256", "kid": 1}), "kid"),
        (json!({"alg": "ES256", "typ": ["JWT"]}), "typ"),
        (
            json!({"alg": "ES256", "kid": "k".repeat(MAX_KEY_ID_LEN + 1)}),
            "kid",
        ),
    ] {
        let error = with_header(&header.to_string()).unwrap_err();
        assert_eq!(error, CompactError::BadParameter { name });
    }
    let longest = json!({"alg": "ES256", "kid": "k".repeat(MAX_KEY_ID_LEN)});
    assert!(with_header(&longest.to_string()).is_ok());
}

#[test]
fn anything_but_three_parts_of_base64url_is_refused() {
    let header = URL.encode(r#"{"alg":"ES256"}"#);
    for parts in [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        ".....",
        r#"{"payload":"","signatures":[]}"#,
    ] {
        let error = Compact::parse(parts, LIMIT).unwrap_err();
        assert_eq!(error, CompactError::NotThreeParts, "{parts}");
    }
    for (token, part) in [
        (format!("{header}=.e30.AA"), "header"),
        (format!(" {header}.e30.AA"), "header"),
        (format!("{header}.e3+.AA"), "payload"),
        (format!("{header}.e31.AA"), "payload"),
        (format!("{header}.e30.AA=="), "signature"),
        (format!("{header}.e30.AA\n"), "signature"),
        (format!("{header}.e30.AB"), "signature"),
    ] {
        let error = Compact::parse(&token, LIMIT).unwrap_err();
        assert_eq!(error, CompactError::NotBase64 { part }, "{token}");
    }
}

#[test]
fn a_token_over_the_limit_is_refused_before_it_is_read() {
    let error = Compact::parse(&"a".repeat(LIMIT + 1), LIMIT).unwrap_err();
    let expected = CompactError::TooLong {
        len: LIMIT + 1,
        limit: LIMIT,
    };
    assert_eq!(error, expected);
}

#[test]
fn a_jwk_gives_back_the_key_it_was_made_of() {
    for text in [
        include_str!("fixtures/ec-p256-sec1.pem"),
        include_str!("fixtures/ec-p384-pkcs8.pem"),
        include_str!("fixtures/rsa-2048-pkcs1.pem"),
        include_str!("fixtures/rsa-4096-pkcs8.pem"),
    ] {
        let key = PrivateKey::from_pem(text).unwrap();
        let jwk = jwk_members(key.public_key());
        assert_eq!(public_key_of_jwk(&jwk).as_ref(), Ok(key.public_key()));
        assert!(!jwk.contains_key("d"));
    }
}

#[test]
fn jwks_of_unknown_kind_or_with_bad_numbers_are_refused() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let good = jwk_members(key.public_key());
    let change = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk.insert(name.to_owned(), value);
        public_key_of_jwk(&jwk).unwrap_err()
    };
    assert_eq!(change("kty", json!("OKP")), JwkError::UnknownKeyType);
    assert_eq!(change("kty", json!("ec")), JwkError::UnknownKeyType);
    assert_eq!(change("kty", json!("oct")), JwkError::UnknownKeyType);
    assert_eq!(change("crv", json!("secp256k1")), JwkError::UnknownCurve);
    for bad in [json!(null), json!("+"), json!("A".repeat(3000))] {
        assert_eq!(change("x", bad), JwkError::BadNumber { member: "x" });
    }
    // RFC 7518 section 6.2.1.2: coordinates have the full length, leading zeros included.
    assert!(matches!(change("y", json!("AQ")), JwkError::BadKey(_)));
    assert!(matches!(change("crv", json!("P-384")), JwkError::BadKey(_)));
    let small = members(json!({"kty": "RSA", "n": URL.encode([0xff; 128]), "e": "AQAB"}));
    assert!(matches!(
        public_key_of_jwk(&small),
        Err(JwkError::BadKey(_))
    ));
}
