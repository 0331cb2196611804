//! A fresh key and the PKCS#10 request for it, in the form SPIRE's agents send.

use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm};
use signet_crypto::{KeyError, KeyType, PrivateKey, PublicKey, SignError};
use signet_spiffe::SpiffeId;

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// The key could not be made.
    #[error("could not make a key of type {key_type}")]
    Key {
        /// The type that was asked for.
        key_type: KeyType,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The request could not be written or signed.
    #[error("could not make the certificate request")]
    Request {
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// Makes a key and a request for it: Subject `C=US, O=SPIRE`, and the SPIFFE ID as the only URI
/// name. An agent's own request names no ID: the server decides it.
pub fn make_request(
    key_type: KeyType,
    id: Option<&SpiffeId>,
) -> Result<(PrivateKey, Vec<u8>), CsrError> {
    let key =
        PrivateKey::generate(key_type).map_err(|source| CsrError::Key { key_type, source })?;
    let csr = request_for(&key, id)?;
    Ok((key, csr))
}

/// The request for a key that exists.
pub fn request_for(key: &PrivateKey, id: Option<&SpiffeId>) -> Result<Vec<u8>, CsrError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject();
    if let Some(id) = id {
        let uri = id.to_string().try_into();
        let uri = uri.map_err(|source| CsrError::Request { source })?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    let signer = RequestKey(key);
    let request = params.serialize_request(&signer);
    let request = request.map_err(|source| CsrError::Request { source })?;
    Ok(request.der().to_vec())
}

fn subject() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::OrganizationName, "SPIRE");
    name
}

/// Lets rcgen sign with our keys.
struct RequestKey<'a>(&'a PrivateKey);

impl rcgen::PublicKeyData for RequestKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        PublicKey::key_bytes(self.0.public_key())
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.0.key_type() {
            Some(KeyType::EcP384) => &PKCS_ECDSA_P384_SHA384,
            Some(KeyType::Rsa2048 | KeyType::Rsa4096) => &PKCS_RSA_SHA256,
            Some(KeyType::EcP256) | None => &PKCS_ECDSA_P256_SHA256,
        }
    }
}

impl rcgen::SigningKey for RequestKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let algorithm = self.0.public_key().default_algorithm();
        let signed: Result<_, SignError> = self.0.sign(algorithm, message);
        signed.map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_spiffe::csr;

    #[test]
    fn a_workloads_request_names_its_id_and_nothing_else_and_its_signature_holds() {
        let id = SpiffeId::parse("spiffe://example.org/web").expect("valid");
        let (key, der) = make_request(KeyType::EcP256, Some(&id)).expect("made");
        let parsed = csr::verify(&der).expect("signature holds");
        assert_eq!(parsed.public_key, *key.public_key());
        assert_eq!(parsed.spiffe_ids, [id]);
        assert!(parsed.dns_names.is_empty());
    }

    #[test]
    fn an_agents_request_names_no_id() {
        let (_, der) = make_request(KeyType::EcP384, None).expect("made");
        assert!(
            csr::verify(&der)
                .expect("signature holds")
                .spiffe_ids
                .is_empty()
        );
    }
}
