//! The contract of [`KeyManager`] and [`Signer`](crate::Signer), to be run by each implementation.

use signet_crypto::{KeyType, SignatureAlgorithm};

use crate::KeyManager;

/// Runs the whole contract; `make` gives a manager without keys, a new one at each call.
///
/// # Panics
/// Where the manager breaks the contract.
pub async fn check<K: KeyManager>(make: impl AsyncFn() -> K) {
    an_unknown_key_is_absent(&make().await).await;
    a_generated_key_is_found_and_signs(&make().await).await;
    generating_again_replaces_the_key(&make().await).await;
    a_signer_stays_with_its_key(&make().await).await;
    the_list_is_ordered_by_id(&make().await).await;
    a_key_refuses_an_algorithm_of_another_type(&make().await).await;
}

async fn an_unknown_key_is_absent(keys: &impl KeyManager) {
    assert!(keys.get("none").await.unwrap().is_none());
    assert!(keys.list().await.unwrap().is_empty());
}

async fn a_generated_key_is_found_and_signs(keys: &impl KeyManager) {
    for key_type in key_types() {
        let made = keys.generate("id", key_type).await.unwrap();
        assert_eq!(made.public_key().key_type(), Some(key_type));
        let found = keys
            .get("id")
            .await
            .unwrap()
            .expect("a generated key is found");
        assert_eq!(found.public_key(), made.public_key());
        let algorithm = key_type.default_algorithm();
        let signature = found.sign(algorithm, b"message").await.unwrap();
        made.public_key()
            .verify(algorithm, b"message", &signature)
            .unwrap();
        made.public_key()
            .verify(algorithm, b"another", &signature)
            .unwrap_err();
        if let Some(local) = found.local() {
            assert_eq!(local.public_key(), found.public_key());
        }
    }
}

async fn generating_again_replaces_the_key(keys: &impl KeyManager) {
    let first = keys.generate("id", KeyType::EcP256).await.unwrap();
    let second = keys.generate("id", KeyType::EcP384).await.unwrap();
    assert_ne!(first.public_key(), second.public_key());
    let listed = keys.list().await.unwrap();
    assert_eq!(listed, [("id".to_owned(), second.public_key().clone())]);
}

async fn a_signer_stays_with_its_key(keys: &impl KeyManager) {
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let old = keys.generate("id", KeyType::EcP256).await.unwrap();
    keys.generate("id", KeyType::EcP256).await.unwrap();
    if let Ok(signature) = old.sign(algorithm, b"message").await {
        old.public_key()
            .verify(algorithm, b"message", &signature)
            .unwrap();
    }
}

async fn the_list_is_ordered_by_id(keys: &impl KeyManager) {
    for id in ["x509-CA-B", "JWT-Signer-A", "x509-CA-A"] {
        keys.generate(id, KeyType::EcP256).await.unwrap();
    }
    let ids: Vec<String> = keys
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ids, ["JWT-Signer-A", "x509-CA-A", "x509-CA-B"]);
}

async fn a_key_refuses_an_algorithm_of_another_type(keys: &impl KeyManager) {
    let signer = keys.generate("id", KeyType::EcP256).await.unwrap();
    signer
        .sign(SignatureAlgorithm::RsaPkcs1Sha256, b"message")
        .await
        .unwrap_err();
}

/// RSA keys can be made only where aws-lc is built in. RSA-4096 takes seconds to make and differs
/// from RSA-2048 in nothing a manager sees.
fn key_types() -> Vec<KeyType> {
    let mut types = vec![KeyType::EcP256, KeyType::EcP384];
    if signet_crypto::HAS_AWS_LC {
        types.push(KeyType::Rsa2048);
    }
    types
}
