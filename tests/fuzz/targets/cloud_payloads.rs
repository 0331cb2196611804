//! What agents of Google's and Azure's machines send: arbitrary bytes, and the same with a signature.
//!
//! Whatever is read fits the limits and is the same after being written. Documents and claims are
//! parsed only from what a signature covers, so this target signs them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use signet_crypto::{KeyType, PrivateKey, SignatureAlgorithm, Verified};
use signet_node_attestor::azure_imds::payload::{Document, Nonce, Response};
use signet_node_attestor::azure_msi::payload::{Payload, Principal};
use signet_node_attestor::gcp_iit::payload::InstanceFacts;
use signet_node_attestor::pkcs7::SignedMessage;
use signet_oidc::{Claims, Token};

static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(KeyType::EcP256).expect("ring makes P-256 keys"));

fuzz_target!(|input: &[u8]| {
    if let Ok(response) = Response::parse(input) {
        let again = Response::parse(&response.encode()).expect("what was written is read");
        assert_eq!(again, response);
        let _ = SignedMessage::parse(&response.signed);
    }
    if let Ok(payload) = Payload::parse(input) {
        let _ = Token::parse(&payload.token);
    }
    if let Ok(nonce) = Nonce::parse(input) {
        assert_eq!(nonce.as_str().as_bytes(), input);
    }
    let _ = SignedMessage::parse(input);
    if serde_json::from_slice::<serde::de::IgnoredAny>(input).is_ok() {
        signed(input);
    }
});

fn signed(input: &[u8]) {
    if let Ok(document) = Document::of(verified(input)) {
        assert_eq!(document.get().vm_id.len(), 36);
        assert_eq!(document.get().subscription_id.len(), 36);
    }
    if let Ok(claims) = verified(input).parse(|bytes| Claims::parse(&bytes)) {
        if let Ok(principal) = Principal::of(claims.clone()) {
            assert_eq!(principal.get().principal_id.len(), 36);
        }
        if let Ok(facts) = InstanceFacts::of(claims) {
            assert!(!facts.get().instance_id.is_empty());
        }
    }
}

fn verified(input: &[u8]) -> Verified<Vec<u8>> {
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let signature = KEY.sign(algorithm, input).expect("a key of this algorithm");
    let verified = KEY.public_key().verified(algorithm, input, &signature);
    let verified = verified.expect("just signed");
    verified
        .parse(|bytes| Ok::<_, std::convert::Infallible>(bytes.to_vec()))
        .expect("a copy")
}
