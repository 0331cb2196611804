//! A chain that is read consists of the bytes that came in; one that verifies was read the same, and
//! the library that verifies signatures sees the same SPIFFE ID as the one we read it with, and finds
//! an issuer where we do.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use signet_spiffe::certificate::split_concatenated;
use signet_spiffe::path::MAX_CHAIN_LEN;
use signet_spiffe::{Bundle, Certificate, X509Authority, pem, x509_svid};
use webpki::EndEntityCert;

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let text = include_str!("../../../crates/spiffe/tests/fixtures/rsa-root.pem");
    let certificates = pem::parse_pem_certs(text).expect("PEM");
    let root = X509Authority::from_der(&certificates[0]).expect("a root");
    let mut bundle = Bundle::empty("example.org".parse().expect("a trust domain"));
    bundle.x509_authorities.push(root);
    bundle
});

fuzz_target!(|input: &[u8]| {
    let Ok(chain) = split_concatenated(input, MAX_CHAIN_LEN) else {
        return;
    };
    assert_eq!(chain.concat(), input);
    for der in &chain {
        let _ = X509Authority::from_der(der);
    }
    let parsed = x509_svid::parse(&chain);
    if let Ok(svid) = &parsed {
        assert_eq!(svid.chain.concat(), input);
        assert!(!svid.id.path().is_empty());
    }
    let now = BUNDLE.x509_authorities[0].certificate().not_before + Duration::from_secs(3600);
    if let Ok(verified) = x509_svid::verify(&chain, &BUNDLE, now) {
        let der = CertificateDer::from(chain[0]);
        let leaf = EndEntityCert::try_from(&der).expect("it has just verified");
        assert!(leaf.valid_uri_names().eq([verified.id.as_str()]));
        assert_eq!(parsed, Ok(verified));
        let read = |der: &&[u8]| Certificate::parse(der).expect("it has just verified");
        let all: Vec<Certificate> = chain.iter().map(read).collect();
        let mut signers = all[1..].iter().chain([BUNDLE.x509_authorities[0].certificate()]);
        assert!(signers.any(|signer| all[0].check_issued_by(signer).is_ok()));
    }
});
