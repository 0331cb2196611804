//! A small PKI for tests: roots, intermediates and leaves, each of which a test may spoil.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    date_time_ymd,
};
use signet_spiffe::{Bundle, TrustDomain, X509Authority};

pub(crate) const ID: &str = "spiffe://example.org/workload";
pub(crate) const SAN: [u64; 4] = [2, 5, 29, 17];
pub(crate) const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];

/// The middle of the validity of everything made here.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_780_315_200) // 2026-06-01T12:00:00Z
}

pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(&[1, 2, 3]));
    params.use_authority_key_identifier_extension = true;
    params
}

/// What a good authority looks like.
pub(crate) fn ca(common_name: &str) -> CertificateParams {
    let mut params = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![uri("spiffe://example.org")];
    params
}

/// What a good leaf looks like.
pub(crate) fn leaf(id: &str) -> CertificateParams {
    let mut params = named("workload");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.subject_alt_names = vec![uri(id)];
    params
}

/// An extension written by hand, where the library would not write it like this.
pub(crate) fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

/// The content of a SAN extension with one URI.
pub(crate) fn san_of(uri: &str) -> Vec<u8> {
    let len = u8::try_from(uri.len()).unwrap();
    [&[0x30, len + 2, 0x86, len], uri.as_bytes()].concat()
}

pub(crate) struct Signer(CertifiedIssuer<'static, KeyPair>);

impl Signer {
    pub(crate) fn root() -> Self {
        Self::root_of(ca("root"))
    }

    pub(crate) fn root_of(params: CertificateParams) -> Self {
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn signer(&self, params: CertificateParams) -> Self {
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(crate) fn issue(&self, params: CertificateParams) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.0).unwrap().der().to_vec()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    pub(crate) fn authority(&self) -> X509Authority {
        X509Authority::from_der(&self.der()).unwrap()
    }

    pub(crate) fn bundle(&self) -> Bundle {
        bundle_of(&[self])
    }
}

pub(crate) fn bundle_of(roots: &[&Signer]) -> Bundle {
    let mut bundle = Bundle::empty(td());
    bundle.x509_authorities = roots.iter().map(|root| root.authority()).collect();
    bundle
}
