//! Certificates in PEM text.

use signet_crypto::pem;

const LABEL: &str = "CERTIFICATE";

/// All certificates of a PEM text, in order, in DER. Blocks of other kinds are skipped; whether
/// each is a good certificate is for the caller to find out.
pub fn parse_pem_certs(text: &str) -> Result<Vec<Vec<u8>>, pem::PemError> {
    let blocks = pem::parse(text)?;
    Ok(blocks
        .iter()
        .filter(|block| block.label == LABEL)
        .map(|block| block.content.expose().to_vec())
        .collect())
}

/// The certificates, given in DER, as PEM text.
pub fn encode_pem_certs<D: AsRef<[u8]>>(certificates: impl IntoIterator<Item = D>) -> String {
    certificates
        .into_iter()
        .map(|der| pem::encode(LABEL, der.as_ref()))
        .collect()
}
