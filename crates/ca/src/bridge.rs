//! rcgen signs through a synchronous trait; keys may be remote. This is the bridge.
//!
//! A local key signs in place. A remote one is asked between two encodings: the first shows what is
//! to be signed, the second puts the signature in. Encoding is deterministic and takes microseconds,
//! so no thread waits for a network.

use std::cell::RefCell;

use rcgen::{PublicKeyData, SigningKey};
use signet_crypto::{Curve, PrivateKey, PublicKey, SignError, SignatureAlgorithm};
use signet_keys::{KeyError, Signer};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Certificates for, or by, keys of this kind cannot be encoded.
    #[error("keys of this kind (only EC P-256, EC P-384 and RSA are possible) cannot be certified")]
    UnsupportedKey,
    /// The key did not sign.
    #[error("the authority's key did not sign")]
    Key {
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The certificate could not be encoded.
    #[error("could not encode the certificate")]
    Encode {
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// Runs `encode`, which has rcgen encode and sign something with the key it is given, so that
/// `signer` has signed the outcome.
pub(crate) async fn sign<E>(signer: &dyn Signer, encode: E) -> Result<Vec<u8>, BridgeError>
where
    E: Fn(&IssuerKey<'_>) -> Result<Vec<u8>, rcgen::Error>,
{
    let public = EncodedKey::new(signer.public_key())?;
    if let Some(key) = signer.local() {
        return IssuerKey::new(public, Mode::Local(key)).encode(&encode);
    }
    let message = {
        let capture = IssuerKey::new(public, Mode::Capture);
        capture.encode(&encode)?;
        capture.message.take()
    };
    let signature = signer
        .sign(public.signs_with(), &message)
        .await
        .map_err(|source| BridgeError::Key { source })?;
    let replay = Mode::Replay {
        message: &message,
        signature: &signature,
    };
    IssuerKey::new(public, replay).encode(&encode)
}

/// A public key as rcgen wants it: its own name for the kind, and the bare key.
#[derive(Clone, Copy)]
pub(crate) struct EncodedKey<'a> {
    key: &'a PublicKey,
    algorithm: &'static rcgen::SignatureAlgorithm,
    signs_with: SignatureAlgorithm,
}

impl<'a> EncodedKey<'a> {
    pub(crate) fn new(key: &'a PublicKey) -> Result<Self, BridgeError> {
        let (algorithm, signs_with) = match (key.curve(), key.rsa_bits()) {
            (Some(Curve::P256), _) => (
                &rcgen::PKCS_ECDSA_P256_SHA256,
                SignatureAlgorithm::EcdsaP256Sha256,
            ),
            (Some(Curve::P384), _) => (
                &rcgen::PKCS_ECDSA_P384_SHA384,
                SignatureAlgorithm::EcdsaP384Sha384,
            ),
            (None, Some(_)) => (&rcgen::PKCS_RSA_SHA256, SignatureAlgorithm::RsaPkcs1Sha256),
            _ => return Err(BridgeError::UnsupportedKey),
        };
        Ok(Self {
            key,
            algorithm,
            signs_with,
        })
    }

    /// How this key, if it is an authority's, signs certificates.
    pub(crate) fn signs_with(&self) -> SignatureAlgorithm {
        self.signs_with
    }
}

impl PublicKeyData for EncodedKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.key_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

/// The authority's key during one encoding.
pub(crate) struct IssuerKey<'a> {
    public: EncodedKey<'a>,
    mode: Mode<'a>,
    /// What was to be signed, once rcgen has asked.
    message: RefCell<Vec<u8>>,
    /// Why signing failed: rcgen's error cannot carry it.
    failed: RefCell<Option<SignError>>,
}

#[derive(Clone, Copy)]
enum Mode<'a> {
    /// Sign at once.
    Local(&'a PrivateKey),
    /// Keep what is to be signed.
    Capture,
    /// Give the signature that was made of the same message.
    Replay {
        message: &'a [u8],
        signature: &'a [u8],
    },
}

impl<'a> IssuerKey<'a> {
    fn new(public: EncodedKey<'a>, mode: Mode<'a>) -> Self {
        Self {
            public,
            mode,
            message: RefCell::default(),
            failed: RefCell::default(),
        }
    }

    fn encode<E>(&self, encode: &E) -> Result<Vec<u8>, BridgeError>
    where
        E: Fn(&IssuerKey<'_>) -> Result<Vec<u8>, rcgen::Error>,
    {
        encode(self).map_err(|source| match self.failed.take() {
            Some(source) => BridgeError::Key {
                source: KeyError::Sign { source },
            },
            None => BridgeError::Encode { source },
        })
    }
}

impl PublicKeyData for IssuerKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl SigningKey for IssuerKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self.mode {
            Mode::Local(key) => key
                .sign(self.public.signs_with(), message)
                .map_err(|error| {
                    self.failed.replace(Some(error));
                    rcgen::Error::RemoteKeyError
                }),
            Mode::Capture => {
                self.message.replace(message.to_vec());
                Ok(Vec::new())
            }
            Mode::Replay {
                message: signed,
                signature,
            } if signed == message => Ok(signature.to_vec()),
            Mode::Replay { .. } => Err(rcgen::Error::RemoteKeyError),
        }
    }
}
