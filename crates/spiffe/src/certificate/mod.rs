//! What a certificate says (RFC 5280), read once into plain values.
//!
//! No signature is checked here and nothing is judged: [`crate::x509_svid`] decides what a leaf or
//! a signer may look like, and the issuer compares what it made with what was approved.

mod extensions;
mod signature;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use signet_crypto::KeyError;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

pub use extensions::{AltNames, BasicConstraints, ExtendedKeyUsage, KeyUsage};
pub(crate) use extensions::{alt_names, refuse_duplicates};
pub use signature::NotIssuedBy;

use crate::{PublicKey, Serial, time};

/// Longest certificate read, in bytes: an ordinary one has 500 to 2,000; the room is for DNS names.
pub const MAX_CERTIFICATE_LEN: usize = 64 * 1024;

/// Most names in a subject alternative name extension. Each is kept in memory per connection.
pub const MAX_ALT_NAMES: usize = 512;

/// Longest serial number: RFC 5280 section 4.1.2.2 allows 20 bytes, some issuers take more.
const MAX_SERIAL_LEN: usize = 32;

/// The bytes are not a certificate that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Over the limit; not parsed.
    #[error("certificate of {len} bytes is longer than the limit of {MAX_CERTIFICATE_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// Not a certificate in DER.
    #[error("not an X.509 certificate in DER")]
    Malformed,
    /// Bytes follow the certificate.
    #[error("{len} bytes follow the certificate")]
    Trailing {
        /// How many.
        len: usize,
    },
    /// Only version 3 has extensions, without which nothing here works.
    #[error("certificate is not of version 3")]
    NotVersion3,
    /// An extension cannot be read.
    #[error("certificate extension {oid} is malformed")]
    BadExtension {
        /// Its object identifier in dotted form.
        oid: String,
    },
    /// An extension appears twice (RFC 5280 section 4.2).
    #[error("certificate extension {oid} appears twice")]
    DuplicateExtension {
        /// Its object identifier in dotted form.
        oid: String,
    },
    /// Over the limit.
    #[error("certificate has {count} alternative names, more than {MAX_ALT_NAMES}")]
    TooManyNames {
        /// Names found.
        count: usize,
    },
    /// Negative or too long.
    #[error("serial number is negative or longer than {MAX_SERIAL_LEN} bytes")]
    BadSerial,
    /// The public key is not one we can use.
    #[error("public key of the certificate cannot be used")]
    Key(#[source] KeyError),
    /// More certificates in one input than the caller allows.
    #[error("more than {limit} certificates")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// A certificate's contents.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Arc<[u8]>,
    subject: Range<usize>,
    issuer: Range<usize>,
    /// Serial number.
    pub serial: Serial,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity, itself still valid.
    pub not_after: SystemTime,
    /// The subject's key.
    pub public_key: PublicKey,
    /// Basic constraints, if present.
    pub basic_constraints: Option<BasicConstraints>,
    /// Key usage, if present.
    pub key_usage: Option<KeyUsage>,
    /// Extended key usage, if present.
    pub extended_key_usage: Option<ExtendedKeyUsage>,
    /// Alternative names, if present.
    pub alt_names: Option<AltNames>,
    /// Subject key identifier, if present.
    pub subject_key_id: Option<Vec<u8>>,
    /// Key identifier of the authority key identifier, if present.
    pub authority_key_id: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads exactly one certificate.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err(CertificateError::TooLong { len: der.len() });
        }
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Trailing { len: rest.len() });
        }
        let tbs = &parsed.tbs_certificate;
        if tbs.version() != X509Version::V3 {
            return Err(CertificateError::NotVersion3);
        }
        let validity = tbs.validity();
        let moment = |seconds| time::from_unix(seconds).ok_or(CertificateError::Malformed);
        let mut certificate = Self {
            subject: position(der, tbs.subject().as_raw()),
            issuer: position(der, tbs.issuer().as_raw()),
            serial: serial(parsed.raw_serial())?,
            not_before: moment(validity.not_before.timestamp())?,
            not_after: moment(validity.not_after.timestamp())?,
            public_key: PublicKey::from_spki_der(tbs.public_key().raw)
                .map_err(CertificateError::Key)?,
            der: der.into(),
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            alt_names: None,
            subject_key_id: None,
            authority_key_id: None,
        };
        refuse_duplicates(tbs.extensions())?;
        for extension in tbs.extensions() {
            certificate.read(extension)?;
        }
        Ok(certificate)
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &Arc<[u8]> {
        &self.der
    }

    /// The subject, a `Name` in DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// The issuer, a `Name` in DER.
    #[must_use]
    pub fn issuer_der(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// Whether the subject has no attribute at all.
    #[must_use]
    pub fn subject_is_empty(&self) -> bool {
        self.subject_der() == [0x30, 0]
    }

    /// Whether basic constraints say that this is an authority.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|found| found.ca)
    }

    /// How many intermediates may follow below this authority, if that is limited.
    #[must_use]
    pub fn path_len(&self) -> Option<u32> {
        self.basic_constraints.and_then(|found| found.path_len)
    }

    /// The URIs among the alternative names.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        self.alt_names.as_ref().map_or(&[], |names| &names.uris)
    }

    /// Whether `now` lies within the validity, both ends included.
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("serial", &self.serial)
            .field("uris", &self.uris())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Splits certificates that follow each other without separators, as the Workload API sends
/// chains and bundles. At most `limit` are taken.
pub fn split_concatenated(input: &[u8], limit: usize) -> Result<Vec<&[u8]>, CertificateError> {
    let mut certificates = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        if certificates.len() == limit {
            return Err(CertificateError::TooMany { limit });
        }
        let (after, _) =
            X509Certificate::from_der(rest).map_err(|_| CertificateError::Malformed)?;
        let (certificate, _) = rest.split_at(rest.len() - after.len());
        certificates.push(certificate);
        rest = after;
    }
    Ok(certificates)
}

fn serial(raw: &[u8]) -> Result<Serial, CertificateError> {
    let negative = raw.first().is_none_or(|first| first & 0x80 != 0);
    if negative || raw.len() > MAX_SERIAL_LEN + 1 {
        return Err(CertificateError::BadSerial);
    }
    Ok(Serial::from_bytes(raw))
}

/// Where `part`, which must be a slice of `whole`, lies in it.
fn position(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}
