//! Judges what came with the libraries of others: the chain with webpki, the token with the `spiffe`
//! crate. The trust is the bundle that the Workload API gave.

use rustls_pki_types::{CertificateDer, UnixTime};
use spiffe::{BundleSource, JwtSource, JwtSvid, SpiffeId, TrustDomain, X509Source};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{parse_x509_certificate, prelude::X509Certificate};

/// What is worth showing of an X.509-SVID.
pub(crate) struct X509 {
    pub(crate) id: SpiffeId,
    /// In decimal, as in the server's audit log.
    pub(crate) serial: String,
    pub(crate) issuer: String,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    /// As it stands in the certificate.
    pub(crate) public_key: Vec<u8>,
}

/// What came is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the source has no SVID")]
    NoSvid(#[from] spiffe::X509SourceError),
    #[error("there is no bundle for {0}")]
    NoBundle(TrustDomain),
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate's chain does not end in the bundle")]
    Chain(#[source] webpki::Error),
    #[error("the token does not verify")]
    Token(#[from] spiffe::JwtSvidError),
}

/// Checks that the current SVID's chain ends in its trust domain's bundle.
pub(crate) fn x509(source: &X509Source) -> Result<X509, Refused> {
    let svid = source.svid()?;
    let domain = svid.spiffe_id().trust_domain();
    let bundle = source.bundle_for_trust_domain(domain)?;
    let bundle = bundle.ok_or_else(|| Refused::NoBundle(domain.clone()))?;
    let chain: Vec<_> = svid.cert_chain().iter().map(spiffe_der).collect();
    let roots: Vec<_> = bundle.authorities().iter().map(spiffe_der).collect();
    check_path(&chain, &roots)?;
    let (_, leaf) = parse_x509_certificate(&chain[0]).map_err(|_| Refused::Unreadable)?;
    Ok(facts(svid.spiffe_id().clone(), &leaf))
}

/// Checks the token's signature with its trust domain's bundle, its times and its audience.
pub(crate) fn jwt(token: &str, source: &JwtSource, audience: &str) -> Result<JwtSvid, Refused> {
    Ok(JwtSvid::parse_and_validate(token, source, &[audience])?)
}

fn check_path(chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>]) -> Result<(), Refused> {
    let (leaf, intermediates) = chain.split_first().ok_or(Refused::Unreadable)?;
    let anchors: Vec<_> = roots
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(Refused::Chain)?;
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| {
            leaf.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                intermediates,
                UnixTime::now(),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map(drop)
        })
        .map_err(Refused::Chain)
}

fn facts(id: SpiffeId, leaf: &X509Certificate<'_>) -> X509 {
    X509 {
        id,
        serial: leaf.tbs_certificate.serial.to_string(),
        issuer: leaf.issuer().to_string(),
        not_before: leaf.validity().not_before.to_datetime(),
        not_after: leaf.validity().not_after.to_datetime(),
        public_key: leaf.public_key().subject_public_key.data.to_vec(),
    }
}

fn spiffe_der(certificate: &spiffe::Certificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.as_bytes())
}
