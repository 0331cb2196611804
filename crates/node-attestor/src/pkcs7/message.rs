//! The parts of `SignedData` and of its signed attributes (RFC 5652 sections 5 and 11).

use signet_crypto::HashAlgorithm;
use signet_spiffe::Serial;

use super::ber::{CONTEXT_0, CONTEXT_0_PRIMITIVE, CONTEXT_1, INTEGER, OID, Reader, SEQUENCE, SET};
use super::{MAX_CERTIFICATES, Pkcs7Error, SignedMessage, SignerId, SignerInfo};

/// 1.2.840.113549.1.7.1: bytes without further form.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// 1.2.840.113549.1.7.2.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// 1.2.840.113549.1.9.3, the attribute that names the form of what is signed.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
/// 1.2.840.113549.1.9.4, the attribute with the digest of what is signed.
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];

/// 2.16.840.1.101.3.4.2: SHA-256 is 1 there, SHA-384 2, SHA-512 3.
const SHA_2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// 1.2.840.113549.1.1: RSA is 1 there, RSA with SHA-256 11, with SHA-384 12, with SHA-512 13.
const PKCS_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];

/// Most attributes that are looked at: signers put in three to six.
const MAX_ATTRIBUTES: usize = 32;

pub(super) fn read(bytes: &[u8]) -> Result<SignedMessage<'_>, Pkcs7Error> {
    let mut outer = Reader::new(bytes, "ContentInfo");
    let mut info = outer.enter(SEQUENCE, "ContentInfo")?;
    outer.finish()?;
    if info.read(OID)?.content != SIGNED_DATA {
        return Err(Pkcs7Error::Malformed("not SignedData"));
    }
    let mut explicit = info.enter(CONTEXT_0, "SignedData")?;
    info.finish()?;
    let mut signed = explicit.enter(SEQUENCE, "SignedData")?;
    explicit.finish()?;
    signed.read(INTEGER)?;
    signed.read(SET)?;
    let content = content(signed.enter(SEQUENCE, "EncapsulatedContentInfo")?)?;
    let certificates = match signed.optional(CONTEXT_0)? {
        Some(set) => certificates(Reader::new(set.content, "certificates"))?,
        None => Vec::new(),
    };
    signed.optional(CONTEXT_1)?;
    let signer = only_signer(signed.enter(SET, "SignerInfos")?)?;
    signed.finish()?;
    Ok(SignedMessage {
        content,
        certificates,
        signer,
    })
}

fn content(mut info: Reader<'_>) -> Result<Vec<u8>, Pkcs7Error> {
    if info.read(OID)?.content != DATA {
        return Err(Pkcs7Error::Malformed("content is not data"));
    }
    let mut explicit = info.enter(CONTEXT_0, "content")?;
    info.finish()?;
    let content = explicit.octets()?;
    explicit.finish()?;
    Ok(content)
}

fn certificates(mut set: Reader<'_>) -> Result<Vec<&[u8]>, Pkcs7Error> {
    let mut found = Vec::new();
    while let Some(certificate) = set.next()? {
        if found.len() == MAX_CERTIFICATES {
            return Err(Pkcs7Error::TooManyCertificates);
        }
        found.push(certificate.whole);
    }
    Ok(found)
}

fn only_signer(mut set: Reader<'_>) -> Result<SignerInfo<'_>, Pkcs7Error> {
    let Some(info) = set.next()? else {
        return Err(Pkcs7Error::Signers { count: 0 });
    };
    let mut others = 0;
    while set.next()?.is_some() {
        others += 1;
    }
    if others > 0 {
        return Err(Pkcs7Error::Signers { count: others + 1 });
    }
    let mut only = Reader::new(info.whole, "SignerInfo");
    signer_info(only.enter(SEQUENCE, "SignerInfo")?)
}

fn signer_info(mut info: Reader<'_>) -> Result<SignerInfo<'_>, Pkcs7Error> {
    info.read(INTEGER)?;
    let id = match info.optional(CONTEXT_0_PRIMITIVE)? {
        Some(key_id) => SignerId::KeyId(key_id.content),
        None => issued(info.enter(SEQUENCE, "signer identifier")?)?,
    };
    let hash = digest_algorithm(info.enter(SEQUENCE, "digest algorithm")?)?;
    let attributes = info.optional(CONTEXT_0)?.map(|found| found.whole);
    check_signature_algorithm(info.enter(SEQUENCE, "signature algorithm")?, hash)?;
    let signature = info.octets()?;
    info.optional(CONTEXT_1)?;
    info.finish()?;
    Ok(SignerInfo {
        id,
        hash,
        attributes,
        signature,
    })
}

fn issued(mut id: Reader<'_>) -> Result<SignerId<'_>, Pkcs7Error> {
    let issuer = id.read(SEQUENCE)?.whole;
    let serial = Serial::from_bytes(id.read(INTEGER)?.content);
    id.finish()?;
    Ok(SignerId::Issued { issuer, serial })
}

/// Azure names the signature's algorithm in this place, whose hash is meant.
fn digest_algorithm(mut algorithm: Reader<'_>) -> Result<HashAlgorithm, Pkcs7Error> {
    let id = algorithm.read(OID)?.content;
    match (id.strip_prefix(SHA_2), id.strip_prefix(PKCS_1)) {
        (Some([1]), _) | (_, Some([11])) => Ok(HashAlgorithm::Sha256),
        (Some([2]), _) | (_, Some([12])) => Ok(HashAlgorithm::Sha384),
        (Some([3]), _) | (_, Some([13])) => Ok(HashAlgorithm::Sha512),
        _ => Err(Pkcs7Error::Algorithm("digest algorithm")),
    }
}

/// RSASSA-PKCS1-v1_5, with the digest's hash if it names one.
fn check_signature_algorithm(
    mut algorithm: Reader<'_>,
    hash: HashAlgorithm,
) -> Result<(), Pkcs7Error> {
    match (algorithm.read(OID)?.content.strip_prefix(PKCS_1), hash) {
        (Some([1]), _)
        | (Some([11]), HashAlgorithm::Sha256)
        | (Some([12]), HashAlgorithm::Sha384)
        | (Some([13]), HashAlgorithm::Sha512) => Ok(()),
        _ => Err(Pkcs7Error::Algorithm("signature algorithm")),
    }
}

/// Whether these attributes, whose signature held, are of data with this digest (RFC 5652
/// sections 11.1 and 11.2: each of the two once, with one value).
pub(super) fn check_attributes(attributes: &[u8], digest: &[u8]) -> Result<(), Pkcs7Error> {
    let mut set = Reader::new(attributes, "signed attributes");
    let mut attributes = set.enter(SET, "signed attributes")?;
    set.finish()?;
    let (mut types, mut digests) = (Vec::new(), Vec::new());
    for count in 0.. {
        let Some(attribute) = attributes.optional(SEQUENCE)? else {
            break;
        };
        if count == MAX_ATTRIBUTES {
            return Err(Pkcs7Error::Malformed("signed attributes"));
        }
        let mut attribute = Reader::new(attribute.content, "signed attribute");
        let kind = attribute.read(OID)?.content;
        let values = attribute.enter(SET, "signed attribute")?;
        match kind {
            CONTENT_TYPE => types.push(values),
            MESSAGE_DIGEST => digests.push(values),
            _ => {}
        }
        attribute.finish()?;
    }
    attributes.finish()?;
    let mut kind = only(types, "contentType")?;
    let is_data = kind.read(OID)?.content == DATA;
    let mut signed_digest = only(digests, "messageDigest")?;
    let is_this = signed_digest.octets()? == digest;
    kind.finish()?;
    signed_digest.finish()?;
    if !is_data {
        return Err(Pkcs7Error::Attribute("contentType"));
    }
    is_this.then_some(()).ok_or(Pkcs7Error::OtherContent)
}

fn only<'a>(mut found: Vec<Reader<'a>>, name: &'static str) -> Result<Reader<'a>, Pkcs7Error> {
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(Pkcs7Error::Attribute(name)),
    }
}
