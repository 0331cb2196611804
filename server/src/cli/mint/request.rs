//! A certificate request for a SPIFFE ID.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use rustls_pki_types::PrivatePkcs8KeyDer;
use signet_crypto::PrivateKey;
use signet_spiffe::SpiffeId;

/// The request in DER: no subject, the ID as its only URI, and the DNS names.
pub(super) fn request(
    key: &PrivateKey,
    id: &SpiffeId,
    dns_names: &[String],
) -> Result<Vec<u8>, rcgen::Error> {
    let pkcs8 = PrivatePkcs8KeyDer::from(key.pkcs8_der().expose());
    let key = KeyPair::try_from(&pkcs8)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(id.as_str())?)];
    for name in dns_names {
        let name = Ia5String::try_from(name.as_str())?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    Ok(params.serialize_request(&key)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use signet_crypto::KeyType;
    use signet_spiffe::csr;

    use super::*;

    #[test]
    fn a_request_names_id_and_dns_names_and_verifies() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let id = SpiffeId::parse("spiffe://td/web").unwrap();
        let der = request(&key, &id, &["web.td".into()]).unwrap();
        let csr = csr::verify(&der).unwrap();
        assert_eq!(csr.spiffe_ids, [id]);
        assert_eq!(csr.dns_names, ["web.td"]);
        assert_eq!(&csr.public_key, key.public_key());
    }

    #[test]
    fn a_dns_name_outside_ascii_is_refused() {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let id = SpiffeId::parse("spiffe://td/web").unwrap();
        assert!(request(&key, &id, &["wéb.td".into()]).is_err());
    }
}
