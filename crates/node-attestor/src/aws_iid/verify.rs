//! From a payload to an identity document that AWS signed.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use signet_crypto::Verified;

use super::document::{DocumentError, IdentityDocument};
use super::payload::Payload;
use super::regions::{RegionCertificates, Regions};
use crate::pkcs7::{Pkcs7Error, SignedMessage};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longest plain signature: RSA with 1024 bits has 128 bytes.
const MAX_SIGNATURE: usize = 1024;

/// Why a document is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerificationError {
    /// A signature is not base64.
    #[error("{0} is not base64")]
    Base64(&'static str),
    /// The signature has another length than AWS's.
    #[error("signature is longer than any of AWS")]
    SignatureTooLong,
    /// The PKCS #7 message does not hold.
    #[error("rsa2048 does not hold")]
    Pkcs7(#[from] Pkcs7Error),
    /// The message names a signer that is no region's certificate.
    #[error(
        "rsa2048 is not signed by a known certificate of AWS; for a region newer than this release \
         set region_certificates_path"
    )]
    UnknownSigner,
    /// No region's key made the plain signature.
    #[error("signature is not by a known key of AWS over the document")]
    Signature,
    /// The document beside the message is another than the signed one.
    #[error("the document differs from the one that is signed")]
    OtherDocument,
    /// The signed bytes are no identity document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The certificate signs for other regions.
    #[error("the document names another region than the certificate that signed it is for")]
    OtherRegion,
}

/// The document that AWS signed, if it did.
pub(super) fn verify(
    payload: &Payload,
    regions: &RegionCertificates,
) -> Result<Verified<IdentityDocument>, VerificationError> {
    let (document, regions) = if payload.rsa2048.is_empty() {
        plain(payload, regions)?
    } else {
        message(payload, regions)?
    };
    if document.get().as_slice() != payload.document.as_bytes() {
        return Err(VerificationError::OtherDocument);
    }
    let document = document.parse(|bytes| IdentityDocument::parse(&bytes))?;
    if !regions.contains(&document.get().region) {
        return Err(VerificationError::OtherRegion);
    }
    Ok(document)
}

type Signed<'r> = (Verified<Vec<u8>>, &'r Regions);

fn message<'r>(
    payload: &Payload,
    regions: &'r RegionCertificates,
) -> Result<Signed<'r>, VerificationError> {
    let bytes = decode("rsa2048", &payload.rsa2048)?;
    let message = SignedMessage::parse(&bytes)?;
    let mut known = regions.pkcs7.iter();
    let signer = known.find(|(_, certificate)| message.names(certificate));
    let (regions, certificate) = signer.ok_or(VerificationError::UnknownSigner)?;
    Ok((message.verified_by(certificate)?, regions))
}

/// The signature names nobody, so each region's key is tried: 36 of them take half a millisecond.
fn plain<'r>(
    payload: &Payload,
    regions: &'r RegionCertificates,
) -> Result<Signed<'r>, VerificationError> {
    let signature = decode("signature", &payload.signature)?;
    if signature.len() > MAX_SIGNATURE {
        return Err(VerificationError::SignatureTooLong);
    }
    let document = payload.document.as_bytes();
    let mut tried = regions
        .plain
        .iter()
        .map(|(regions, key)| (key.verified(document, &signature), regions));
    let found = tried.find_map(|(verified, regions)| Some((verified.ok()?, regions)));
    let (document, regions) = found.ok_or(VerificationError::Signature)?;
    let document = document.parse(|bytes| Ok::<_, VerificationError>(bytes.to_vec()))?;
    Ok((document, regions))
}

/// The metadata service breaks base64 into lines.
fn decode(name: &'static str, text: &str) -> Result<Vec<u8>, VerificationError> {
    let packed: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let bytes = BASE64.decode(packed);
    bytes.map_err(|_| VerificationError::Base64(name))
}
