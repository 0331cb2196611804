//! Certificate requests (PKCS#10, RFC 2986): the public key, and what else was written into it.
//!
//! An issuer uses the key alone, and only of a request whose signature verified: the request proves
//! that its sender has the private half. Names and IDs in it are wishes.

use signet_crypto::{HashAlgorithm, KeyError, VerifyError};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::{
    FromDer as _, ParsedCriAttribute, ParsedExtension, X509CertificationRequest,
};
use x509_parser::x509::X509Name;

use crate::certificate::{CertificateError, alt_names, refuse_duplicates};
use crate::{PublicKey, SpiffeId};

/// Longest request read, in bytes. One for an RSA key of 4096 bits has about 1,700; the room is for
/// DNS names.
pub const MAX_CSR_LEN: usize = 16 * 1024;

/// Most attributes in a request's subject.
pub const MAX_SUBJECT_ATTRIBUTES: usize = 32;

const ECDSA: [(Oid<'static>, HashAlgorithm); 3] = [
    (oid!(1.2.840.10045.4.3.2), HashAlgorithm::Sha256),
    (oid!(1.2.840.10045.4.3.3), HashAlgorithm::Sha384),
    (oid!(1.2.840.10045.4.3.4), HashAlgorithm::Sha512),
];
const RSA_PKCS1: [(Oid<'static>, HashAlgorithm); 3] = [
    (oid!(1.2.840.113549.1.1.11), HashAlgorithm::Sha256),
    (oid!(1.2.840.113549.1.1.12), HashAlgorithm::Sha384),
    (oid!(1.2.840.113549.1.1.13), HashAlgorithm::Sha512),
];

/// The bytes are no request that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Over the limit; not parsed.
    #[error("certificate request of {len} bytes is longer than the limit of {MAX_CSR_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// Not a request in DER.
    #[error("not a certificate request in DER")]
    Malformed,
    /// Bytes follow the request.
    #[error("{len} bytes follow the certificate request")]
    Trailing {
        /// How many.
        len: usize,
    },
    /// The key is not one we certify.
    #[error("public key of the certificate request cannot be used")]
    Key(#[source] KeyError),
    /// The subject has too many attributes, or one that is no text.
    #[error(
        "subject of the certificate request is malformed or has more than {MAX_SUBJECT_ATTRIBUTES} attributes"
    )]
    Subject,
    /// The attributes cannot be read or one appears twice.
    #[error("attributes of the certificate request are malformed")]
    Attributes,
    /// The extensions asked for cannot be read.
    #[error("extensions of the certificate request are malformed")]
    Extensions(#[from] CertificateError),
    /// Not one of ECDSA or RSA PKCS#1 with SHA-256, SHA-384 or SHA-512.
    #[error("signature algorithm of the certificate request is not supported")]
    UnknownAlgorithm,
    /// The sender does not have the private key.
    #[error("signature of the certificate request does not verify")]
    Signature(#[source] VerifyError),
}

/// One attribute of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectAttribute {
    /// Object identifier of the attribute's type, such as 2.5.4.3 for a common name.
    pub oid: Vec<u64>,
    /// Its text.
    pub value: String,
}

/// A request's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// The key to certify.
    pub public_key: PublicKey,
    /// The subject's attributes, in order.
    pub subject: Vec<SubjectAttribute>,
    /// Those of the URIs that are SPIFFE IDs.
    pub spiffe_ids: Vec<SpiffeId>,
    /// How many URIs there are in all.
    pub uri_count: usize,
    /// DNS names asked for.
    pub dns_names: Vec<String>,
}

/// Reads a request. Its signature is not checked: use [`verify`] before certifying the key.
pub fn parse(der: &[u8]) -> Result<Csr, CsrError> {
    contents(&read(der)?)
}

/// Reads a request and checks that it is signed with the key it is for.
pub fn verify(der: &[u8]) -> Result<Csr, CsrError> {
    let request = read(der)?;
    let csr = contents(&request)?;
    let message = request.certification_request_info.raw;
    let signature = &request.signature_value.data;
    let algorithm = &request.signature_algorithm.algorithm;
    let hash_in = |table: &[(Oid<'static>, HashAlgorithm)]| {
        let row = table.iter().find(|(oid, _)| oid == algorithm);
        row.map(|(_, hash)| *hash)
    };
    let verified = match (hash_in(&ECDSA), hash_in(&RSA_PKCS1)) {
        (Some(hash), _) => csr.public_key.verify_ecdsa(hash, message, signature),
        (_, Some(hash)) => csr.public_key.verify_rsa_pkcs1(hash, message, signature),
        (None, None) => return Err(CsrError::UnknownAlgorithm),
    };
    verified.map_err(CsrError::Signature)?;
    Ok(csr)
}

fn read(der: &[u8]) -> Result<X509CertificationRequest<'_>, CsrError> {
    if der.len() > MAX_CSR_LEN {
        return Err(CsrError::TooLong { len: der.len() });
    }
    match X509CertificationRequest::from_der(der) {
        Ok(([], request)) => Ok(request),
        Ok((rest, _)) => Err(CsrError::Trailing { len: rest.len() }),
        Err(_) => Err(CsrError::Malformed),
    }
}

fn contents(request: &X509CertificationRequest<'_>) -> Result<Csr, CsrError> {
    let info = &request.certification_request_info;
    let mut csr = Csr {
        public_key: PublicKey::from_spki_der(info.subject_pki.raw).map_err(CsrError::Key)?,
        subject: subject(&info.subject)?,
        spiffe_ids: Vec::new(),
        uri_count: 0,
        dns_names: Vec::new(),
    };
    let attributes = info.attributes_map().map_err(|_| CsrError::Attributes)?;
    for attribute in attributes.values() {
        if let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() {
            refuse_duplicates(&requested.extensions)?;
            for extension in &requested.extensions {
                read_extension(&mut csr, extension.parsed_extension())?;
            }
        }
    }
    Ok(csr)
}

fn read_extension(csr: &mut Csr, extension: &ParsedExtension<'_>) -> Result<(), CsrError> {
    match extension {
        ParsedExtension::ParseError { .. } => Err(CsrError::Attributes),
        ParsedExtension::SubjectAlternativeName(names) => {
            let names = alt_names(&names.general_names, false)?;
            csr.uri_count = names.uris.len();
            csr.spiffe_ids = names
                .uris
                .iter()
                .filter_map(|uri| SpiffeId::parse(uri).ok())
                .collect();
            csr.dns_names = names.dns_names;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn subject(name: &X509Name<'_>) -> Result<Vec<SubjectAttribute>, CsrError> {
    if name.iter_attributes().count() > MAX_SUBJECT_ATTRIBUTES {
        return Err(CsrError::Subject);
    }
    name.iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type().iter().ok_or(CsrError::Subject)?;
            let value = attribute.as_str().map_err(|_| CsrError::Subject)?;
            Ok(SubjectAttribute {
                oid: oid.collect(),
                value: value.to_owned(),
            })
        })
        .collect()
}
