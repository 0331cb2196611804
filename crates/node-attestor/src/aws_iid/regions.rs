//! The certificates with whose keys AWS signs documents, by region.

use std::collections::BTreeSet;

use signet_crypto::LegacyRsaKey;
use signet_spiffe::{Certificate, pem};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const BUILT_IN: &str = include_str!("certificates.txt");
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A line of this beginning names a region of the certificates that follow.
const REGION: &str = "region ";

/// Which certificates sign for which regions.
#[derive(Clone, Debug, Default)]
pub struct RegionCertificates {
    pub(super) pkcs7: Vec<(Regions, Certificate)>,
    pub(super) plain: Vec<(Regions, LegacyRsaKey)>,
}

/// Names of regions.
pub(super) type Regions = BTreeSet<String>;

/// Why a list of certificates cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// A line is neither a comment, a region nor part of a certificate.
    #[error("line {line} is neither \"region NAME\", a comment nor part of a certificate")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// A certificate stands before any region.
    #[error("the certificate that ends in line {line} belongs to no region")]
    NoRegion {
        /// The line, from 1.
        line: usize,
    },
    /// A certificate cannot be used.
    #[error(
        "the certificate that ends in line {line} has no RSA key of 1024, or of 2048 to 8192 bits"
    )]
    Certificate {
        /// The line, from 1.
        line: usize,
    },
    /// A certificate has no end, or there is none at all.
    #[error("the list ends without a whole certificate")]
    End,
}

impl RegionCertificates {
    /// Those of AWS, as far as this release knows.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the list is a file of this crate and has a test")
    }

    /// Reads a list: `region NAME` lines, then the certificates for these regions in PEM. A line that
    /// begins with `#` is a comment.
    ///
    /// # Errors
    /// [`RegionError`] names the line.
    pub fn parse(text: &str) -> Result<Self, RegionError> {
        let mut found = Self::default();
        let (mut regions, mut naming) = (Regions::new(), false);
        let mut open: Option<String> = None;
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if let Some(certificate) = &mut open {
                certificate.push_str(text);
                certificate.push('\n');
                if text == END {
                    found.add(&regions, certificate, line)?;
                    open = None;
                }
            } else if let Some(name) = text.strip_prefix(REGION) {
                if !naming {
                    regions.clear();
                }
                regions.insert(name.trim().to_owned());
                naming = true;
            } else if text == BEGIN {
                naming = false;
                open = Some(format!("{BEGIN}\n"));
            } else if !text.is_empty() && !text.starts_with('#') {
                return Err(RegionError::Line { line });
            }
        }
        let is_empty = found.pkcs7.is_empty() && found.plain.is_empty();
        if open.is_some() || is_empty {
            return Err(RegionError::End);
        }
        Ok(found)
    }

    /// With those of another list besides.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.pkcs7.extend(others.pkcs7);
        self.plain.extend(others.plain);
        self
    }

    /// How many certificates there are.
    pub fn count(&self) -> usize {
        self.pkcs7.len() + self.plain.len()
    }

    fn add(&mut self, regions: &Regions, text: &str, line: usize) -> Result<(), RegionError> {
        if regions.is_empty() {
            return Err(RegionError::NoRegion { line });
        }
        let unusable = RegionError::Certificate { line };
        let parsed = pem::parse_pem_certs(text).map_err(|_| unusable.clone())?;
        let der = parsed.first().ok_or(unusable.clone())?;
        if let Ok(certificate) = Certificate::parse(der) {
            if certificate.public_key.rsa_bits().is_none() {
                return Err(unusable);
            }
            self.pkcs7.push((regions.clone(), certificate));
            return Ok(());
        }
        let (_, old) = X509Certificate::from_der(der).map_err(|_| unusable.clone())?;
        let key = LegacyRsaKey::from_spki_der(old.public_key().raw).map_err(|_| unusable)?;
        self.plain.push((regions.clone(), key));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_of_the_built_in_list_has_a_certificate_of_both_kinds() {
        let built_in = RegionCertificates::built_in();
        let pkcs7: Regions = built_in
            .pkcs7
            .iter()
            .flat_map(|one| one.0.clone())
            .collect();
        let plain: Regions = built_in
            .plain
            .iter()
            .flat_map(|one| one.0.clone())
            .collect();
        assert_eq!(pkcs7, plain);
        assert_eq!(pkcs7.len(), 36);
        for name in ["us-east-1", "cn-north-1", "us-gov-west-1"] {
            assert!(pkcs7.contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        let error = |text: &str| RegionCertificates::parse(text).unwrap_err();
        assert_eq!(error("# nothing\n"), RegionError::End);
        assert_eq!(error("region a\nnonsense\n"), RegionError::Line { line: 2 });
        assert_eq!(
            error(&format!("region a\n{BEGIN}\nAAAA\n")),
            RegionError::End
        );
        let certificate = format!("{BEGIN}\nAAAA\n{END}\n");
        assert_eq!(error(&certificate), RegionError::NoRegion { line: 3 });
        let error = error(&format!("region a\n{certificate}"));
        assert_eq!(error, RegionError::Certificate { line: 4 });
    }
}
