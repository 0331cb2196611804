//! Which keys of a set are used.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use serde_json::{Value, json};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{KeyType, PrivateKey};
use signet_oidc::{KeySet, KeySetError, MAX_KEYS, NoKey};

fn jwk(kind: KeyType, more: &Value) -> Value {
    let key = PrivateKey::generate(kind).unwrap();
    let mut members = jose::jwk_members(key.public_key());
    members.extend(more.as_object().unwrap().clone());
    Value::Object(members)
}

fn p256(more: Value) -> Value {
    jwk(KeyType::EcP256, &more)
}

fn parse(keys: Value) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn a_key_is_found_by_its_id_and_what_it_is_for() {
    let set = parse(json!([
        p256(json!({"kid": "a"})),
        jwk(
            KeyType::EcP384,
            &json!({"kid": "a", "use": "sig", "alg": "ES384"})
        ),
        p256(json!({"kid": "b", "key_ops": ["verify"]})),
    ]));
    let set = set.unwrap();
    for (kid, algorithm) in [
        ("a", JwsAlgorithm::ES256),
        ("a", JwsAlgorithm::ES384),
        ("b", JwsAlgorithm::ES256),
    ] {
        set.find(Some(kid), algorithm).unwrap();
    }
    assert_eq!(
        set.find(Some("b"), JwsAlgorithm::ES384),
        Err(NoKey::Unknown)
    );
    assert_eq!(
        set.find(Some("c"), JwsAlgorithm::ES256),
        Err(NoKey::Unknown)
    );
    assert_eq!(
        set.find(Some("a"), JwsAlgorithm::RS256),
        Err(NoKey::Unknown)
    );
    set.find(None, JwsAlgorithm::ES384).unwrap();
    assert_eq!(set.find(None, JwsAlgorithm::ES256), Err(NoKey::Unnamed));
}

#[test]
fn keys_of_other_kinds_and_purposes_are_left_out() {
    let others = json!([
        {"kty": "oct", "k": "AAAA", "kid": "a"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "b"},
        p256(json!({"kid": "c", "use": "enc"})),
        p256(json!({"kid": "d", "use": null})),
        p256(json!({"kid": "e", "key_ops": ["encrypt"]})),
        p256(json!({"kid": "f", "alg": "HS256"})),
        p256(json!({"kid": "g", "alg": "ES384"})),
        p256(json!({"kid": "x".repeat(513)})),
        p256(json!({"kid": 7})),
        p256(json!({"x": "AAAA"})),
    ]);
    assert_eq!(parse(others.clone()), Err(KeySetError::NoneUsable));
    let mut some = others.as_array().unwrap().clone();
    some.push(p256(json!({"kid": "z"})));
    let set = parse(Value::Array(some)).unwrap();
    set.find(None, JwsAlgorithm::ES256).unwrap();
}

#[test]
fn a_set_that_is_none_or_unclear_or_too_large_is_refused() {
    let twice = json!([p256(json!({"kid": "a"})), p256(json!({"kid": "a"}))]);
    assert_eq!(parse(twice), Err(KeySetError::Ambiguous));
    let many: Vec<_> = (0..=MAX_KEYS).map(|_| json!({})).collect();
    assert_eq!(parse(json!(many)), Err(KeySetError::TooMany(MAX_KEYS + 1)));
    for none in [json!(null), json!({}), json!([1]), json!("x")] {
        assert_eq!(parse(none), Err(KeySetError::NoList));
    }
    for text in ["", "<html>", r#"{"keys":[],"keys":[]}"#] {
        let refused = KeySet::parse(text.as_bytes());
        assert!(matches!(refused, Err(KeySetError::Json(_))), "{text}");
    }
}
