//! Nobody but the trusted signer makes a message that is believed, and what is read stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_node_attestor::pkcs7::{MAX_CERTIFICATES, SignedMessage};
use signet_spiffe::{Certificate, pem};

const SIGNER: &str =
    include_str!("../../../crates/node-attestor/tests/fixtures/pkcs7/signer.pem");
const DOCUMENT: &[u8] =
    b"{\n  \"accountId\" : \"123456789012\",\n  \"region\" : \"us-west-2\"\n}\n";

fuzz_target!(|message: &[u8]| {
    let Ok(read) = SignedMessage::parse(message) else {
        return;
    };
    assert!(read.certificates().len() <= MAX_CERTIFICATES);
    let _ = read.signer();
    let signer = pem::parse_pem_certs(SIGNER).expect("PEM");
    let signer = Certificate::parse(&signer[0]).expect("a certificate");
    if let Ok(document) = read.verified_by(&signer) {
        assert_eq!(document.into_inner(), DOCUMENT);
    }
});
