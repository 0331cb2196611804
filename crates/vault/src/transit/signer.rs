//! One key of a transit engine that signs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use signet_crypto::{HashAlgorithm, PublicKey, SignError, SignatureAlgorithm};
use signet_keys::{KeyError, Signer};

use super::{Engine, key_error};
use crate::VaultError;
use crate::api::{self, Call};

/// The only version of a transit key that is ever used.
pub(super) const VERSION: &str = "1";
/// What stands before each signature made with it.
const SIGNATURE_PREFIX: &str = "vault:v1:";
/// A signature of an RSA key of 4096 bits has 512 bytes, in base64 684.
const MAX_SIGNATURE: usize = 1024;

pub(super) struct TransitSigner {
    engine: Arc<Engine>,
    name: String,
    public_key: PublicKey,
    lost: AtomicBool,
}

impl TransitSigner {
    pub(super) fn new(engine: Arc<Engine>, name: String, public_key: PublicKey) -> Self {
        Self {
            engine,
            name,
            public_key,
            lost: AtomicBool::new(false),
        }
    }

    /// Whether the engine said that it has no such key (any more).
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    async fn ask(&self, path: &str, body: Value) -> Result<Vec<u8>, VaultError> {
        #[derive(Deserialize)]
        struct Signed {
            signature: String,
        }
        let call = Call::write(
            format!("{}/sign/{}/{path}", self.engine.mount, self.name),
            body,
        );
        let signed: Signed = self.engine.vault.ask(&call).await?;
        let wrong = || api::unusable(call.path(), "it is no signature of the key asked for");
        signature(&signed.signature).ok_or_else(wrong)
    }
}

#[async_trait]
impl Signer for TransitSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let Some(scheme) = scheme(&self.public_key, algorithm) else {
            let source = SignError::WrongKey;
            return Err(KeyError::Sign { source });
        };
        let hash = algorithm.hash();
        let digest = BASE64_STANDARD.encode(hash.digest(message));
        let mut body = json!({"input": digest, "prehashed": true, "key_version": 1});
        for (key, value) in scheme {
            body[key] = json!(value);
        }
        let signed = self.ask(hash_name(hash), body).await;
        signed.map_err(|error| {
            if is_gone(&error) {
                self.lost.store(true, Ordering::Relaxed);
            }
            key_error(error)
        })
    }
}

impl fmt::Debug for TransitSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitSigner")
            .field("name", &self.name)
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

type Scheme = &'static [(&'static str, &'static str)];

/// What transit is told so that it signs as `algorithm` says; none if such a key cannot.
fn scheme(key: &PublicKey, algorithm: SignatureAlgorithm) -> Option<Scheme> {
    use SignatureAlgorithm as A;
    match algorithm {
        A::EcdsaP256Sha256 | A::EcdsaP384Sha384 => {
            let fits = key.default_algorithm() == algorithm;
            fits.then_some(&[("marshaling_algorithm", "asn1")])
        }
        A::EcdsaP521Sha512 => None,
        A::RsaPkcs1Sha256 | A::RsaPkcs1Sha384 | A::RsaPkcs1Sha512 => key
            .rsa_bits()
            .map(|_| &[("signature_algorithm", "pkcs1v15")] as Scheme),
        A::RsaPssSha256 | A::RsaPssSha384 | A::RsaPssSha512 => key
            .rsa_bits()
            .map(|_| &[("signature_algorithm", "pss"), ("salt_length", "hash")] as Scheme),
    }
}

fn hash_name(hash: HashAlgorithm) -> &'static str {
    match hash {
        HashAlgorithm::Sha256 => "sha2-256",
        HashAlgorithm::Sha384 => "sha2-384",
        HashAlgorithm::Sha512 => "sha2-512",
    }
}

fn signature(text: &str) -> Option<Vec<u8>> {
    let encoded = text.strip_prefix(SIGNATURE_PREFIX)?;
    if encoded.len() > MAX_SIGNATURE {
        return None;
    }
    BASE64_STANDARD.decode(encoded).ok()
}

/// Vault and OpenBao say it with 400 or 404.
fn is_gone(error: &VaultError) -> bool {
    matches!(error, VaultError::Refused { status, .. } if matches!(status.as_u16(), 400 | 404))
}

#[cfg(test)]
mod tests {
    use signet_crypto::{KeyType, PrivateKey};

    use super::*;

    #[test]
    fn a_signature_is_of_the_first_version_and_not_endless() {
        assert_eq!(signature("vault:v1:AAEC"), Some(vec![0, 1, 2]));
        let long = format!("vault:v1:{}", "A".repeat(MAX_SIGNATURE + 4));
        for text in ["", "AAEC", "vault:v2:AAEC", "vault:v1:?", &long] {
            assert_eq!(signature(text), None);
        }
    }

    #[test]
    fn a_key_signs_only_as_its_kind_does() {
        use SignatureAlgorithm as A;
        let key = |kind| PrivateKey::generate(kind).unwrap().public_key().clone();
        let (p256, p384) = (key(KeyType::EcP256), key(KeyType::EcP384));
        assert!(scheme(&p256, A::EcdsaP256Sha256).is_some());
        assert!(scheme(&p384, A::EcdsaP384Sha384).is_some());
        for (key, algorithm) in [
            (&p256, A::EcdsaP384Sha384),
            (&p384, A::EcdsaP256Sha256),
            (&p384, A::EcdsaP521Sha512),
            (&p256, A::RsaPkcs1Sha256),
            (&p256, A::RsaPssSha512),
        ] {
            assert!(scheme(key, algorithm).is_none(), "{algorithm:?}");
        }
    }
}
