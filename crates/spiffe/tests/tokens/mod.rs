//! An issuer of tokens for tests, good or not.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL;
use serde_json::Value;
use signet_crypto::jose::{JwsAlgorithm, attach_signature};
use signet_crypto::{KeyType, PrivateKey};
use signet_spiffe::{JwtAuthority, TrustDomain};

pub(crate) const NOW: u64 = 1_780_315_200;
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// The key under `fixtures`, since not every build can make RSA keys.
pub(crate) fn rsa_key() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../fixtures/rsa-2048-key.pem")).unwrap()
}

pub(crate) struct Issuer {
    pub(crate) key: PrivateKey,
    pub(crate) algorithm: JwsAlgorithm,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        Self::of(PrivateKey::generate(KeyType::EcP256).unwrap())
    }

    pub(crate) fn of(key: PrivateKey) -> Self {
        let algorithm = JwsAlgorithm::default_for(key.public_key());
        Self { key, algorithm }
    }

    pub(crate) fn authority(&self, key_id: &str) -> JwtAuthority {
        JwtAuthority::new(key_id.to_owned(), self.key.public_key().clone()).unwrap()
    }

    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", URL.encode(header), URL.encode(payload));
        let algorithm = self.algorithm.signature_algorithm();
        let signature = self.key.sign(algorithm, input.as_bytes()).unwrap();
        attach_signature(input, self.algorithm, &signature).unwrap()
    }

    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        self.sign(&header.to_string(), &claims.to_string())
    }
}

/// `object` with one member changed, or removed by null.
pub(crate) fn changed(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    object
}
