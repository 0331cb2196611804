//! Tokens of an issuer whose keys a test has.

#![allow(dead_code, reason = "each test program uses its part")]

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_crypto::PrivateKey;
use signet_crypto::jose::{JwsAlgorithm, attach_signature, encode_signing_input, jwk_members};
use signet_node_attestor::{Challenger, Refused};
use signet_oidc::{FetchError, IssuerKeys, KeySet, KeySource};
use signet_runtime::Tasks;

const RSA_2048: &str = include_str!("../../../crypto/tests/fixtures/rsa-2048-pkcs1.pem");
const RSA_3072: &str = include_str!("../../../crypto/tests/fixtures/rsa-3072-pkcs8.pem");

pub(crate) struct Issuer(PrivateKey);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(PrivateKey::from_pem(RSA_2048).unwrap())
    }

    /// With another key of the same name.
    pub(crate) fn other() -> Self {
        Self(PrivateKey::from_pem(RSA_3072).unwrap())
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "kid": "k1", "typ": "JWT"});
        let (header, claims) = (header.as_object().unwrap(), claims.as_object().unwrap());
        let input = encode_signing_input(header, claims);
        let algorithm = JwsAlgorithm::RS256;
        let signature = self
            .0
            .sign(algorithm.signature_algorithm(), input.as_bytes());
        attach_signature(input, algorithm, &signature.unwrap()).unwrap()
    }

    pub(crate) fn key_set(&self) -> String {
        let mut members = jwk_members(self.0.public_key());
        members.insert("kid".to_owned(), json!("k1"));
        members.insert("use".to_owned(), json!("sig"));
        json!({ "keys": [members] }).to_string()
    }

    pub(crate) fn keys(&self) -> IssuerKeys {
        IssuerKeys::new(Fixed(self.key_set()), Tasks::new())
    }
}

struct Fixed(String);

#[async_trait]
impl KeySource for Fixed {
    fn name(&self) -> &str {
        "an issuer"
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        Ok(KeySet::parse(self.0.as_bytes())?)
    }
}

/// The token with other claims and its old signature.
pub(crate) fn altered(token: &str, claims: &Value) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{claims}.{}", parts[0], parts[2])
}

/// The algorithm `none`.
pub(crate) fn unsigned(claims: &Value) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    format!(
        "{header}.{}.",
        BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

/// Nobody is to be challenged.
pub(crate) struct Nobody;

#[async_trait]
impl Challenger for Nobody {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        panic!("there is no challenge")
    }
}
