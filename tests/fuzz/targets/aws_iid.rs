//! A payload that is read is written as it says, and says nothing in its debug form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_node_attestor::aws_iid::payload::Payload;
use signet_node_attestor::aws_iid::RegionCertificates;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(payload) = Payload::parse(bytes) {
        assert!(!payload.rsa2048.is_empty() || !payload.signature.is_empty());
        assert_eq!(Payload::parse(&payload.encode()).ok(), Some(payload));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(regions) = RegionCertificates::parse(text)
    {
        assert!(regions.count() > 0);
    }
});
