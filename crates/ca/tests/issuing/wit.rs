//! WIT-SVIDs, judged by our own reader and by a JOSE library that is not ours.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use signet_ca::{WitAuthorityKey, WitError, sign_wit};
use signet_crypto::jose::JwsAlgorithm;
use signet_crypto::{KeyType, PrivateKey};
use signet_model::approve::{Policy, ProofKey, mint_wit};
use signet_spiffe::{Bundle, wit_svid};

use crate::support::{
    DAY, LyingSigner, approved_wit, id, local, moment, now, policy, proof_key, remote, td, wit_key,
};

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn bundle(key: &WitAuthorityKey) -> Bundle {
    let mut bundle = Bundle::empty(td());
    bundle.wit_authorities.push(key.bundle_entry().unwrap());
    bundle
}

#[tokio::test]
async fn a_foreign_library_accepts_the_token_and_its_key_for_a_proof() {
    let key = wit_key(local(KeyType::EcP256));
    let holder = PrivateKey::generate(KeyType::EcP256).unwrap();
    let proof_key = ProofKey {
        public_key: holder.public_key().clone(),
        algorithm: JwsAlgorithm::ES256,
    };
    let issued = sign_wit(&key, approved_wit(proof_key), now())
        .await
        .unwrap();
    let token = issued.token.expose();
    let (_, x, y) = key.signer.public_key().ec_coordinates().unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let foreign = DecodingKey::from_ec_components(&text(x), &text(y)).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    // Its clock is the machine's; the dates are compared below.
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Value>(token, &foreign, &validation).unwrap();
    let jwk = &decoded.claims["cnf"]["jwk"];
    let member = |name: &str| jwk[name].as_str().unwrap();
    let of_holder = DecodingKey::from_ec_components(member("x"), member("y")).unwrap();
    let proof = holder
        .sign(JwsAlgorithm::ES256.signature_algorithm(), b"proof")
        .unwrap();
    let curve = JwsAlgorithm::ES256.curve().unwrap();
    let proof = signet_crypto::jose::ecdsa_der_to_fixed(curve, &proof).unwrap();
    let holds = jsonwebtoken::crypto::verify(&text(&proof), b"proof", &of_holder, Algorithm::ES256);
    assert!(holds.unwrap());
}

#[tokio::test]
async fn header_and_claims_are_those_of_spire() {
    let key = wit_key(local(KeyType::EcP256));
    let proof_key = proof_key();
    let (_, x, y) = proof_key.public_key.ec_coordinates().unwrap();
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let issued = sign_wit(&key, approved_wit(proof_key), now())
        .await
        .unwrap();
    let token = issued.token.expose();
    assert_eq!(
        part(token, 0),
        json!({"alg": "ES256", "kid": "wit-kid", "typ": "wit+jwt"})
    );
    assert_eq!(
        part(token, 1),
        json!({
            "sub": "spiffe://example.org/web",
            "iat": 1_800_000_000_u64,
            "exp": 1_800_003_600_u64,
            "cnf": {"jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256"}},
        })
    );
    assert_eq!(issued.issued_at, now());
    assert_eq!(issued.expires_at, now() + Duration::from_secs(3600));
}

#[tokio::test]
async fn the_token_verifies_with_the_bundle_for_each_authority_and_each_proof_key() {
    let rsa = signet_crypto::HAS_AWS_LC.then_some(KeyType::Rsa2048);
    let kinds: Vec<_> = [KeyType::EcP256, KeyType::EcP384]
        .into_iter()
        .chain(rsa)
        .collect();
    for authority in &kinds {
        let key = wit_key(local(*authority));
        for holder in &kinds {
            let public_key = local(*holder).public_key().clone();
            let fitting = JwsAlgorithm::ALL
                .into_iter()
                .filter(|algorithm| algorithm.fits(&public_key));
            for algorithm in fitting {
                let proof_key = ProofKey {
                    public_key: public_key.clone(),
                    algorithm,
                };
                let approved = approved_wit(proof_key.clone());
                let issued = sign_wit(&key, approved, now()).await.unwrap();
                let bundle = bundle(&key);
                let read = wit_svid::verify(
                    issued.token.expose(),
                    |_| Some(&bundle),
                    now(),
                    Duration::ZERO,
                )
                .unwrap();
                assert_eq!(read.key, proof_key.public_key);
                assert_eq!(read.key_algorithm, algorithm);
            }
        }
    }
}

#[tokio::test]
async fn a_configured_issuer_is_a_claim() {
    let key = wit_key(local(KeyType::EcP256));
    let policy = Policy {
        wit_issuer: Some("urn:example:wit".to_owned()),
        ..policy()
    };
    let end = moment(now() + DAY);
    let approved = mint_wit(&policy, end, id("/web"), proof_key(), None).unwrap();
    let issued = sign_wit(&key, approved, now()).await.unwrap();
    assert_eq!(part(issued.token.expose(), 1)["iss"], "urn:example:wit");
}

#[tokio::test]
async fn a_remote_key_signs_and_its_absence_is_transient() {
    let (keys, signer) = remote().await;
    let key = wit_key(signer);
    let sign = || sign_wit(&key, approved_wit(proof_key()), now());
    sign().await.unwrap();
    keys.cut_off(true);
    assert!(sign().await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_remote_key_that_signs_something_else_is_caught() {
    let key = wit_key(Arc::new(LyingSigner(local(KeyType::EcP256))));
    let error = sign_wit(&key, approved_wit(proof_key()), now())
        .await
        .unwrap_err();
    assert!(matches!(error, WitError::Signature));
}

#[tokio::test]
async fn an_authority_without_a_key_id_issues_nothing() {
    let mut key = wit_key(local(KeyType::EcP256));
    key.key_id = String::new();
    let error = sign_wit(&key, approved_wit(proof_key()), now())
        .await
        .unwrap_err();
    assert!(matches!(error, WitError::Unreadable(_)));
}

#[tokio::test]
async fn a_token_does_not_outlive_its_key() {
    let mut key = wit_key(local(KeyType::EcP256));
    key.not_after = now() + Duration::from_secs(3599);
    let refused = sign_wit(&key, approved_wit(proof_key()), now())
        .await
        .unwrap_err();
    assert!(matches!(refused, WitError::Outlives));
}

#[tokio::test]
async fn a_token_that_is_over_or_of_the_future_does_not_leave() {
    let key = wit_key(local(KeyType::EcP256));
    for at in [
        now() + Duration::from_secs(3600),
        now() - Duration::from_secs(5),
    ] {
        let refused = sign_wit(&key, approved_wit(proof_key()), at)
            .await
            .unwrap_err();
        assert!(matches!(refused, WitError::NotValidNow));
    }
}

#[tokio::test]
async fn a_token_does_not_print() {
    let key = wit_key(local(KeyType::EcP256));
    let issued = sign_wit(&key, approved_wit(proof_key()), now())
        .await
        .unwrap();
    assert!(!format!("{issued:?}").contains(issued.token.expose()));
}
