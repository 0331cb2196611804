//! Tokens, judged by our own reader and by a JOSE library that is not ours.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use signet_ca::{JwtError, KEY_ID_LEN, new_key_id, sign_jwt};
use signet_crypto::{KeyType, PublicKey};
use signet_model::approve::{Policy, mint_jwt};

use crate::support::{
    DAY, LyingSigner, approved_jwt, id, jwt_key, local, moment, now, policy, random, remote,
};

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The foreign library's key for ours.
fn foreign(key: &PublicKey) -> DecodingKey {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if let Some((_, x, y)) = key.ec_coordinates() {
        return DecodingKey::from_ec_components(&text(x), &text(y)).unwrap();
    }
    let (modulus, exponent) = key.rsa_components().unwrap();
    DecodingKey::from_rsa_components(&text(modulus), &text(exponent)).unwrap()
}

async fn is_judged_good(key_type: KeyType, algorithm: Algorithm, name: &str) {
    let key = jwt_key(local(key_type));
    let issued = sign_jwt(&key, approved_jwt(&["db"]), now()).await.unwrap();
    let token = issued.token.expose();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&["db"]);
    // Its clock is the machine's; the dates are compared below.
    validation.validate_exp = false;
    let foreign = foreign(key.signer.public_key());
    let decoded = jsonwebtoken::decode::<Value>(token, &foreign, &validation).unwrap();
    assert_eq!(decoded.claims["sub"], "spiffe://example.org/web");
    assert_eq!(
        part(token, 0),
        json!({"alg": name, "kid": "kid", "typ": "JWT"})
    );
}

#[tokio::test]
async fn a_foreign_library_accepts_tokens_of_ec_keys() {
    is_judged_good(KeyType::EcP256, Algorithm::ES256, "ES256").await;
    is_judged_good(KeyType::EcP384, Algorithm::ES384, "ES384").await;
}

#[tokio::test]
async fn a_foreign_library_accepts_tokens_of_rsa_keys() {
    if !signet_crypto::HAS_AWS_LC {
        return; // such a build makes no RSA key
    }
    is_judged_good(KeyType::Rsa2048, Algorithm::RS256, "RS256").await;
}

#[tokio::test]
async fn the_claims_are_those_of_spire() {
    let key = jwt_key(local(KeyType::EcP256));
    let issued = sign_jwt(&key, approved_jwt(&["db"]), now()).await.unwrap();
    assert_eq!(
        part(issued.token.expose(), 1),
        json!({
            "sub": "spiffe://example.org/web",
            "aud": ["db"],
            "iat": 1_800_000_000_u64,
            "exp": 1_800_000_300_u64,
        })
    );
    assert_eq!(issued.issued_at, now());
    assert_eq!(issued.expires_at, now() + Duration::from_secs(300));
}

#[tokio::test]
async fn a_configured_issuer_is_a_claim() {
    let key = jwt_key(local(KeyType::EcP256));
    let policy = Policy {
        jwt_issuer: Some("https://issuer.test".to_owned()),
        ..policy()
    };
    let audience = vec!["a".to_owned(), "b".to_owned()];
    let end = moment(now() + DAY);
    let approved = mint_jwt(&policy, end, id("/web"), audience, None).unwrap();
    let issued = sign_jwt(&key, approved, now()).await.unwrap();
    let claims = part(issued.token.expose(), 1);
    assert_eq!(claims["iss"], "https://issuer.test");
    assert_eq!(claims["aud"], json!(["a", "b"]));
}

#[tokio::test]
async fn a_remote_key_signs_and_its_absence_is_transient() {
    let (keys, signer) = remote().await;
    let key = jwt_key(signer);
    sign_jwt(&key, approved_jwt(&["db"]), now()).await.unwrap();
    keys.cut_off(true);
    let error = sign_jwt(&key, approved_jwt(&["db"]), now())
        .await
        .unwrap_err();
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_remote_key_that_signs_something_else_is_caught() {
    let key = jwt_key(Arc::new(LyingSigner(local(KeyType::EcP256))));
    let error = sign_jwt(&key, approved_jwt(&["db"]), now())
        .await
        .unwrap_err();
    assert!(matches!(error, JwtError::Signature));
}

#[tokio::test]
async fn a_token_does_not_outlive_its_key() {
    let mut key = jwt_key(local(KeyType::EcP256));
    key.not_after = now() + Duration::from_secs(299);
    let refused = sign_jwt(&key, approved_jwt(&["db"]), now())
        .await
        .unwrap_err();
    assert!(matches!(refused, JwtError::Outlives));
}

#[tokio::test]
async fn a_token_that_is_over_or_of_the_future_does_not_leave() {
    let key = jwt_key(local(KeyType::EcP256));
    for at in [
        now() + Duration::from_secs(300),
        now() - Duration::from_secs(5),
    ] {
        let refused = sign_jwt(&key, approved_jwt(&["db"]), at).await.unwrap_err();
        assert!(matches!(refused, JwtError::NotValidNow));
    }
}

#[tokio::test]
async fn a_token_does_not_print() {
    let key = jwt_key(local(KeyType::EcP256));
    let issued = sign_jwt(&key, approved_jwt(&["db"]), now()).await.unwrap();
    assert!(!format!("{issued:?}").contains(issued.token.expose()));
}

#[test]
fn key_ids_are_32_letters_and_digits_and_differ() {
    let random = random();
    let ids: Vec<String> = (0..50).map(|_| new_key_id(&random)).collect();
    for id in &ids {
        assert_eq!(id.len(), KEY_ID_LEN);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
    assert_ne!(ids[0], ids[1]);
    let all = ids.concat();
    assert!(
        all.contains('A') && all.contains('9'),
        "the whole alphabet is used"
    );
}

#[test]
fn a_key_stands_in_the_bundle_under_its_id() {
    let key = jwt_key(local(KeyType::EcP256));
    let entry = key.bundle_entry().unwrap();
    assert_eq!(entry.key_id, "kid");
    assert_eq!(entry.expires_at, Some(key.not_after));
    assert_eq!(entry.public_key, *key.signer.public_key());
}
