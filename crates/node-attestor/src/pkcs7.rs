//! Signed documents of the clouds: CMS `SignedData` (RFC 5652), which is PKCS #7 of old.
//!
//! A message carries a document, a signature over it and any number of certificates that its sender
//! put there. Nothing of that is believed until the caller names the certificate that it trusts:
//! pinned, or found in the message and then led to a root by the caller. The document comes out only
//! as [`Verified`], and only if the one signer that the message names *is* that certificate, so
//! that no other certificate of the bag can have signed it.
//!
//! ```text
//! bytes ─ parse ─▶ SignedMessage ─ signer ─▶ a certificate of the bag, to be judged by the caller
//!                        └──────── verified_by(trusted) ─▶ Verified<document>
//! ```
//!
//! Senders use BER with indefinite lengths, which is read too. Signatures are RSASSA-PKCS1-v1_5
//! with SHA-2: what the clouds use.

mod ber;
mod message;

use signet_crypto::{HashAlgorithm, Verified, VerifyError};
use signet_spiffe::{Certificate, Serial};

use ber::BerError;

/// Longest message read, in bytes: the clouds' documents have 2 KiB, with a chain 6 KiB.
pub const MAX_MESSAGE_LEN: usize = 64 << 10;

/// Most certificates in a message: a leaf and its intermediates take two or three.
pub const MAX_CERTIFICATES: usize = 8;

/// A message whose parts were told apart, and nothing more.
#[derive(Debug)]
pub struct SignedMessage<'m> {
    content: Vec<u8>,
    certificates: Vec<&'m [u8]>,
    signer: SignerInfo<'m>,
}

/// What the message says of its only signer.
#[derive(Debug)]
struct SignerInfo<'m> {
    id: SignerId<'m>,
    hash: HashAlgorithm,
    /// As the message has them, with the tag of their place there.
    attributes: Option<&'m [u8]>,
    signature: Vec<u8>,
}

/// How the message names its signer's certificate.
#[derive(Debug)]
enum SignerId<'m> {
    Issued { issuer: &'m [u8], serial: Serial },
    KeyId(&'m [u8]),
}

/// Why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs7Error {
    /// Too long to be looked at.
    #[error("signed message of {len} bytes is longer than the limit of {MAX_MESSAGE_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// More certificates than are looked at.
    #[error("signed message holds more than {MAX_CERTIFICATES} certificates")]
    TooManyCertificates,
    /// Not `SignedData` with a document inside.
    #[error("signed message is malformed: {0}")]
    Malformed(&'static str),
    /// Not exactly one signer.
    #[error("signed message must have one signer and has {count}")]
    Signers {
        /// How many there are.
        count: usize,
    },
    /// A hash or signature algorithm that is not used here.
    #[error("signed message uses an unsupported {0}; supported is RSA with SHA-256, -384 or -512")]
    Algorithm(&'static str),
    /// The message holds no certificate (or several) of the name its signer has.
    #[error("signed message must hold the certificate of its signer once and has it {count} times")]
    NoSignerCertificate {
        /// How many there are.
        count: usize,
    },
    /// Signed by somebody else than the trusted certificate.
    #[error("signed message names another signer than the trusted certificate")]
    OtherSigner,
    /// The signature is not by the trusted certificate's key.
    #[error("signature of the signed message does not hold")]
    Signature(#[source] VerifyError),
    /// An attribute that must be signed along is missing, doubled or malformed.
    #[error("signed message lacks a usable signed attribute {0}")]
    Attribute(&'static str),
    /// The signature covers another document than the one in the message.
    #[error("signature covers another document than the signed message holds")]
    OtherContent,
}

impl<'m> SignedMessage<'m> {
    /// Tells the parts of a message apart, in BER. Sizes and counts are checked, no signature is.
    ///
    /// # Errors
    /// [`Pkcs7Error`] says what is wrong with its form.
    pub fn parse(bytes: &'m [u8]) -> Result<Self, Pkcs7Error> {
        if bytes.len() > MAX_MESSAGE_LEN {
            return Err(Pkcs7Error::TooLong { len: bytes.len() });
        }
        message::read(bytes)
    }

    /// The certificate that the message names as its signer's, if it holds it. It is the sender's
    /// word: judge it, then hand it to [`verified_by`](Self::verified_by).
    ///
    /// # Errors
    /// [`Pkcs7Error::NoSignerCertificate`] if there is not exactly one.
    pub fn signer(&self) -> Result<Certificate, Pkcs7Error> {
        let parsed = self.certificates.iter().map(|der| Certificate::parse(der));
        let mut named: Vec<_> = parsed
            .filter_map(Result::ok)
            .filter(|certificate| self.signer.id.names(certificate))
            .collect();
        match (named.pop(), named.len()) {
            (Some(one), 0) => Ok(one),
            (None, _) => Err(Pkcs7Error::NoSignerCertificate { count: 0 }),
            (Some(_), others) => Err(Pkcs7Error::NoSignerCertificate { count: others + 1 }),
        }
    }

    /// Whether this is the certificate that the message names as its signer's. It says nothing of
    /// whether that one signed it.
    pub fn names(&self, certificate: &Certificate) -> bool {
        self.signer.id.names(certificate)
    }

    /// All certificates of the message in DER, unjudged, at most [`MAX_CERTIFICATES`].
    pub fn certificates(&self) -> &[&'m [u8]] {
        &self.certificates
    }

    /// The document, if `trusted` signed it. Whether to trust that certificate, and whether it is
    /// valid now, is the caller's decision.
    ///
    /// # Errors
    /// [`Pkcs7Error`] says why the document is not believed.
    pub fn verified_by(self, trusted: &Certificate) -> Result<Verified<Vec<u8>>, Pkcs7Error> {
        let Self {
            content, signer, ..
        } = self;
        if !signer.id.names(trusted) {
            return Err(Pkcs7Error::OtherSigner);
        }
        let verified = |message: &[u8]| {
            trusted
                .public_key
                .verified_rsa_pkcs1(signer.hash, message, &signer.signature)
                .map_err(Pkcs7Error::Signature)
                .map(|verified| verified.parse(|bytes| Ok(bytes.to_vec())))
        };
        match signer.attributes {
            None => verified(&content)?,
            Some(attributes) => verified(&as_signed(attributes)?)??.parse(|attributes| {
                message::check_attributes(&attributes, &signer.hash.digest(&content))?;
                Ok(content)
            }),
        }
    }
}

impl SignerId<'_> {
    fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Issued { issuer, serial } => {
                certificate.issuer_der() == *issuer && certificate.serial == *serial
            }
            Self::KeyId(id) => certificate.subject_key_id.as_deref() == Some(*id),
        }
    }
}

/// What is signed is the attributes as a SET, not with the tag that they have in the message
/// (RFC 5652 section 5.4).
fn as_signed(attributes: &[u8]) -> Result<Vec<u8>, Pkcs7Error> {
    const INDEFINITE: u8 = 0x80;
    let mut signed = attributes.to_vec();
    match signed.as_mut_slice() {
        [_, INDEFINITE, ..] | [] => Err(Pkcs7Error::Malformed("signed attributes are not DER")),
        [tag, ..] => {
            *tag = ber::SET;
            Ok(signed)
        }
    }
}

impl From<BerError> for Pkcs7Error {
    fn from(error: BerError) -> Self {
        Self::Malformed(error.0)
    }
}
