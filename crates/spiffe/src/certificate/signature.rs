//! Whether one certificate was signed by the key of another: for paths that end in an authority,
//! which path libraries refuse to verify, since they only know paths that end in a leaf.

use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::prelude::X509Certificate;

use super::Certificate;

/// Why a certificate does not stand under another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotIssuedBy {
    /// RFC 5280 section 6.1.3 (a)(4).
    #[error("its issuer has another name")]
    Name,
    /// None that a leaf's path could be verified with either.
    #[error("it is signed with an algorithm that is not supported for the issuer's key")]
    Algorithm,
    /// Signed by another key, or changed since.
    #[error("its signature does not verify with the issuer's key")]
    Signature,
}

impl Certificate {
    /// Whether `issuer` has issued this certificate: by name and by signature. What `issuer` may
    /// sign, and until when, is not looked at.
    ///
    /// # Errors
    /// [`NotIssuedBy`] says why not.
    pub fn check_issued_by(&self, issuer: &Certificate) -> Result<(), NotIssuedBy> {
        if self.issuer_der() != issuer.subject_der() {
            return Err(NotIssuedBy::Name);
        }
        let signed = Signed::read(&self.der).ok_or(NotIssuedBy::Signature)?;
        let key_kind = key_kind(issuer.public_key.spki_der()).ok_or(NotIssuedBy::Algorithm)?;
        let mut fitting = webpki::ALL_VERIFICATION_ALGS
            .iter()
            .filter(|known| signed.fits(**known, key_kind))
            .peekable();
        if fitting.peek().is_none() {
            return Err(NotIssuedBy::Algorithm);
        }
        let key = issuer.public_key.key_bytes();
        fitting
            .any(|known| {
                known
                    .verify_signature(key, signed.message, signed.signature)
                    .is_ok()
            })
            .then_some(())
            .ok_or(NotIssuedBy::Signature)
    }
}

/// The three parts of a certificate in DER.
struct Signed<'a> {
    message: &'a [u8],
    /// The contents of the algorithm's identifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let (_, outer) = Any::from_der(der).ok()?;
        let (after, _) = Any::from_der(outer.data).ok()?;
        let message = outer.data.get(..outer.data.len() - after.len())?;
        let (after, algorithm) = Any::from_der(after).ok()?;
        let (_, signature) = Any::from_der(after).ok()?;
        // RFC 5280 section 4.1.1.2: the algorithm outside, which is not signed, repeats the one inside.
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        if parsed.signature_algorithm != parsed.tbs_certificate.signature {
            return None;
        }
        Some(Self {
            message,
            algorithm: algorithm.data,
            // The first byte of a bit string counts the bits that are unused: none.
            signature: signature.data.strip_prefix(&[0])?,
        })
    }

    fn fits(&self, known: &dyn SignatureVerificationAlgorithm, key_kind: &[u8]) -> bool {
        *known.signature_alg_id() == *self.algorithm && *known.public_key_alg_id() == *key_kind
    }
}

/// The contents of the algorithm's identifier in a `SubjectPublicKeyInfo`.
fn key_kind(spki: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(spki).ok()?;
    let (_, algorithm) = Any::from_der(outer.data).ok()?;
    Some(algorithm.data)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn parse(made: &rcgen::Certificate) -> Certificate {
        Certificate::parse(made.der()).unwrap()
    }

    #[test]
    fn a_certificate_stands_under_its_issuer_for_each_kind_of_key() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let root = params("root").self_signed(&key).unwrap();
            let Ok(root) = Certificate::parse(root.der()) else {
                continue; // a kind of key that certificates here may not have
            };
            let below = KeyPair::generate().unwrap();
            let issuer = Issuer::new(params("root"), key);
            let child = parse(&params("child").signed_by(&below, &issuer).unwrap());
            child.check_issued_by(&root).unwrap();
            root.check_issued_by(&root).unwrap();
            assert_eq!(root.check_issued_by(&child), Err(NotIssuedBy::Name));
        }
    }

    #[test]
    fn another_key_of_the_same_name_and_a_changed_certificate_are_refused() {
        let keys = [(); 3].map(|()| KeyPair::generate().unwrap());
        let [root, other] = [0, 1].map(|at: usize| {
            let made = params("root").self_signed(&keys[at]).unwrap();
            parse(&made)
        });
        let [key, _, below] = keys;
        let issuer = Issuer::new(params("root"), key);
        let made = params("child").signed_by(&below, &issuer).unwrap();
        let child = parse(&made);
        assert_eq!(child.check_issued_by(&other), Err(NotIssuedBy::Signature));
        let mut bent = made.der().to_vec();
        let last = bent.len() - 1;
        bent[last] ^= 1;
        let bent = Certificate::parse(&bent).unwrap();
        assert_eq!(bent.check_issued_by(&root), Err(NotIssuedBy::Signature));
    }
}
