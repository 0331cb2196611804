//! A transit engine that does not do as it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use signet_crypto::{KeyType, PrivateKey, pem};
use signet_keys::{KeyError, KeyManager, Signer};
use signet_vault::{TransitKeys, Vault};

use crate::fake::{Answer, Asked, Fake, facts, given_token, refused};

/// An engine that keeps keys, as far as a test lets it. It cannot sign.
#[derive(Clone, Default)]
struct Engine {
    keys: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Engine {
    fn with(names: &[&str]) -> Self {
        let engine = Self::default();
        for name in names {
            engine.create(name);
        }
        engine
    }

    fn create(&self, name: &str) {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let public = pem::encode("PUBLIC KEY", key.public_key().spki_der());
        let mut keys = self.keys.lock().unwrap();
        keys.entry(name.to_owned()).or_insert(public);
    }

    fn names(&self) -> Vec<String> {
        self.keys.lock().unwrap().keys().cloned().collect()
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let (method, path) = asked.line.split_once(' ').unwrap();
        if path == "auth/token/lookup-self" {
            return facts();
        }
        if path == "transit/keys?list=true" {
            return match self.names() {
                names if names.is_empty() => (404, json!({"errors": []})),
                names => (200, json!({"data": {"keys": names}})),
            };
        }
        let Some(name) = path.strip_prefix("transit/keys/") else {
            return refused(404, "signing key not found");
        };
        match method {
            "POST" if name.ends_with("/config") => (204, Value::String(String::new())),
            "POST" => {
                self.create(name);
                (204, Value::String(String::new()))
            }
            "DELETE" => {
                self.keys.lock().unwrap().remove(name);
                (204, Value::String(String::new()))
            }
            _ => match self.keys.lock().unwrap().get(name) {
                Some(pem) => (200, json!({"data": {"keys": {"1": {"public_key": pem}}}})),
                None => (404, json!({"errors": []})),
            },
        }
    }

    async fn serve(&self) -> Arc<Fake> {
        let engine = self.clone();
        Fake::start(move |asked| engine.answer(asked)).await
    }
}

async fn open(fake: &Fake) -> TransitKeys {
    let vault = Vault::connect(fake.settings(given_token())).await.unwrap();
    let (mount, identifier) = ("transit".parse().unwrap(), "one".parse().unwrap());
    TransitKeys::open(vault, mount, &identifier).await.unwrap()
}

async fn ids(keys: &TransitKeys) -> Vec<String> {
    let listed = keys.list().await.unwrap();
    listed.into_iter().map(|(id, _)| id).collect()
}

async fn sign(signer: &dyn Signer) -> Result<Vec<u8>, KeyError> {
    let algorithm = KeyType::EcP256.default_algorithm();
    signer.sign(algorithm, b"message").await
}

#[tokio::test]
async fn the_highest_number_counts_and_keys_of_others_do_not() {
    let engine = Engine::with(&["one.a.9", "one.a.10", "two.b.1", "one-b.c.1", "d"]);
    let fake = engine.serve().await;
    let keys = open(&fake).await;
    assert_eq!(ids(&keys).await, ["a"]);
    assert_eq!(fake.asked("GET transit/keys/").len(), 1);
    keys.generate("a", KeyType::EcP256).await.unwrap();
    assert_eq!(engine.names(), ["d", "one-b.c.1", "one.a.11", "two.b.1"]);
}

#[tokio::test]
async fn a_key_that_cannot_be_made_leaves_the_one_before() {
    let engine = Engine::with(&["one.a.1"]);
    let fake = engine.serve().await;
    let keys = open(&fake).await;
    let before = keys.get("a").await.unwrap().unwrap();
    let other = engine.clone();
    fake.answer(move |asked| match asked.line.as_str() {
        "POST transit/keys/one.a.2" => refused(403, "permission denied"),
        _ => other.answer(asked),
    });
    let error = keys.generate("a", KeyType::EcP256).await.err().unwrap();
    assert!(matches!(error, KeyError::Refused { .. }) && !error.is_transient());
    let kept = keys.get("a").await.unwrap().unwrap();
    assert_eq!(kept.public_key(), before.public_key());
    assert_eq!(engine.names(), ["one.a.1"]);
}

#[tokio::test]
async fn a_key_of_another_type_than_asked_for_is_refused() {
    let engine = Engine::default();
    let keys = open(&*engine.serve().await).await;
    let error = keys.generate("a", KeyType::EcP384).await.err().unwrap();
    assert!(matches!(error, KeyError::Refused { .. }));
    assert!(ids(&keys).await.is_empty());
}

#[tokio::test]
async fn an_old_key_that_cannot_be_deleted_stays_and_is_tried_again() {
    let engine = Engine::with(&["one.a.1"]);
    let fake = engine.serve().await;
    let keys = open(&fake).await;
    let other = engine.clone();
    fake.answer(move |asked| match asked.line.as_str() {
        "DELETE transit/keys/one.a.1" => refused(400, "deletion is not allowed for this key"),
        _ => other.answer(asked),
    });
    keys.generate("a", KeyType::EcP256).await.unwrap();
    assert_eq!(engine.names(), ["one.a.1", "one.a.2"]);
    let other = engine.clone();
    fake.answer(move |asked| other.answer(asked));
    keys.generate("a", KeyType::EcP256).await.unwrap();
    assert_eq!(engine.names(), ["one.a.3"]);
}

#[tokio::test]
async fn a_key_that_is_gone_is_looked_for_again_and_then_absent() {
    let engine = Engine::with(&["one.a.1"]);
    let fake = engine.serve().await;
    let keys = open(&fake).await;
    let signer = keys.get("a").await.unwrap().unwrap();
    engine.keys.lock().unwrap().clear();
    assert!(keys.get("a").await.unwrap().is_some());
    let error = sign(&*signer).await.unwrap_err();
    assert!(matches!(error, KeyError::Refused { .. }), "{error:?}");
    assert!(keys.get("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_sealed_vault_passes_and_no_key_is_taken_for_gone() {
    let engine = Engine::with(&["one.a.1"]);
    let fake = engine.serve().await;
    let keys = open(&fake).await;
    let signer = keys.get("a").await.unwrap().unwrap();
    fake.answer(|_| refused(503, "Vault is sealed"));
    let error = sign(&*signer).await.unwrap_err();
    assert!(error.is_transient());
    assert!(keys.get("a").await.unwrap().is_some());
    let error = keys.generate("a", KeyType::EcP256).await.err().unwrap();
    assert!(error.is_transient());
}

#[tokio::test]
async fn what_is_no_signature_is_refused() {
    let engine = Engine::with(&["one.a.1"]);
    let fake = engine.serve().await;
    let keys = open(&fake).await;
    let signer = keys.get("a").await.unwrap().unwrap();
    for answer in [
        json!({"data": {"signature": "vault:v2:AAAA"}}),
        json!({"data": {"signature": ""}}),
        json!({"data": {}}),
        Value::String("nonsense".to_owned()),
    ] {
        fake.answer(move |_| (200, answer.clone()));
        let error = sign(&*signer).await.unwrap_err();
        assert!(matches!(error, KeyError::Refused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_passed_over_at_opening() {
    let engine = Engine::with(&["one.a.1", "one.b.1"]);
    let fake = engine.serve().await;
    let other = engine.clone();
    fake.answer(move |asked| match asked.line.as_str() {
        // A symmetric one has no public half.
        "GET transit/keys/one.a.1" => (200, json!({"data": {"keys": {"1": 1_700_000_000}}})),
        _ => other.answer(asked),
    });
    assert_eq!(ids(&open(&fake).await).await, ["b"]);
}
