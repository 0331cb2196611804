//! The extensions of a certificate that matter here, as plain values.

use x509_parser::prelude::{GeneralName, ParsedExtension, X509Extension};

use super::{Certificate, CertificateError, MAX_ALT_NAMES};

/// Key usage (RFC 5280 section 4.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    bits: u16,
    /// Marked critical.
    pub critical: bool,
}

impl KeyUsage {
    const DIGITAL_SIGNATURE: u16 = 1;
    const KEY_ENCIPHERMENT: u16 = 1 << 2;
    const KEY_AGREEMENT: u16 = 1 << 4;
    const KEY_CERT_SIGN: u16 = 1 << 5;
    const CRL_SIGN: u16 = 1 << 6;

    /// `digitalSignature`.
    #[must_use]
    pub fn digital_signature(self) -> bool {
        self.has(Self::DIGITAL_SIGNATURE)
    }

    /// `keyEncipherment`.
    #[must_use]
    pub fn key_encipherment(self) -> bool {
        self.has(Self::KEY_ENCIPHERMENT)
    }

    /// `keyAgreement`.
    #[must_use]
    pub fn key_agreement(self) -> bool {
        self.has(Self::KEY_AGREEMENT)
    }

    /// `keyCertSign`.
    #[must_use]
    pub fn key_cert_sign(self) -> bool {
        self.has(Self::KEY_CERT_SIGN)
    }

    /// `cRLSign`.
    #[must_use]
    pub fn crl_sign(self) -> bool {
        self.has(Self::CRL_SIGN)
    }

    /// Whether nothing is set besides what a leaf may have (X509-SVID section 4.3).
    #[must_use]
    pub fn only_leaf_bits(self) -> bool {
        let allowed = Self::DIGITAL_SIGNATURE | Self::KEY_ENCIPHERMENT | Self::KEY_AGREEMENT;
        self.bits & !allowed == 0
    }

    /// Whether nothing is set besides what a signer may have.
    #[must_use]
    pub fn only_signer_bits(self) -> bool {
        let allowed = Self::DIGITAL_SIGNATURE | Self::KEY_CERT_SIGN | Self::CRL_SIGN;
        self.bits & !allowed == 0
    }

    fn has(self, bit: u16) -> bool {
        self.bits & bit != 0
    }
}

/// Extended key usage (RFC 5280 section 4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    /// `serverAuth`.
    pub server_auth: bool,
    /// `clientAuth`.
    pub client_auth: bool,
    /// Anything else.
    pub other: bool,
    /// Marked critical.
    pub critical: bool,
}

/// Basic constraints (RFC 5280 section 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// `cA`.
    pub ca: bool,
    /// `pathLenConstraint`.
    pub path_len: Option<u32>,
    /// Marked critical.
    pub critical: bool,
}

/// Subject alternative names (RFC 5280 section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AltNames {
    /// URIs, as they stand.
    pub uris: Vec<String>,
    /// DNS names, as they stand.
    pub dns_names: Vec<String>,
    /// How many names are of another kind.
    pub others: usize,
    /// Marked critical.
    pub critical: bool,
}

impl Certificate {
    /// Takes over what one extension says.
    pub(super) fn read(&mut self, extension: &X509Extension<'_>) -> Result<(), CertificateError> {
        let critical = extension.critical;
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } => {
                let oid = extension.oid.to_id_string();
                return Err(CertificateError::BadExtension { oid });
            }
            ParsedExtension::BasicConstraints(found) => {
                self.basic_constraints = Some(BasicConstraints {
                    ca: found.ca,
                    path_len: found.path_len_constraint,
                    critical,
                });
            }
            ParsedExtension::KeyUsage(found) => {
                let bits = found.flags;
                self.key_usage = Some(KeyUsage { bits, critical });
            }
            ParsedExtension::ExtendedKeyUsage(found) => {
                self.extended_key_usage = Some(ExtendedKeyUsage {
                    server_auth: found.server_auth,
                    client_auth: found.client_auth,
                    other: found.any
                        || found.code_signing
                        || found.email_protection
                        || found.time_stamping
                        || found.ocsp_signing
                        || !found.other.is_empty(),
                    critical,
                });
            }
            ParsedExtension::SubjectAlternativeName(found) => {
                self.alt_names = Some(alt_names(&found.general_names, critical)?);
            }
            ParsedExtension::SubjectKeyIdentifier(found) => {
                self.subject_key_id = Some(found.0.to_vec());
            }
            ParsedExtension::AuthorityKeyIdentifier(found) => {
                self.authority_key_id = found.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads general names, as certificates and requests carry them.
pub(crate) fn alt_names(
    names: &[GeneralName<'_>],
    critical: bool,
) -> Result<AltNames, CertificateError> {
    if names.len() > MAX_ALT_NAMES {
        return Err(CertificateError::TooManyNames { count: names.len() });
    }
    let mut found = AltNames {
        uris: Vec::new(),
        dns_names: Vec::new(),
        others: 0,
        critical,
    };
    for name in names {
        match name {
            GeneralName::URI(uri) => found.uris.push((*uri).to_owned()),
            GeneralName::DNSName(dns) => found.dns_names.push((*dns).to_owned()),
            GeneralName::Invalid(..) => {
                let oid = "2.5.29.17".to_owned();
                return Err(CertificateError::BadExtension { oid });
            }
            _ => found.others += 1,
        }
    }
    Ok(found)
}

/// RFC 5280 section 4.2: no extension more than once.
pub(crate) fn refuse_duplicates(extensions: &[X509Extension<'_>]) -> Result<(), CertificateError> {
    let mut seen = std::collections::BTreeSet::new();
    match extensions
        .iter()
        .find(|extension| !seen.insert(extension.oid.as_bytes()))
    {
        None => Ok(()),
        Some(twice) => Err(CertificateError::DuplicateExtension {
            oid: twice.oid.to_id_string(),
        }),
    }
}
