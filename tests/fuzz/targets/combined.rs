//! What is read as several proofs is what would be sent for them; nothing else makes the parser fail
//! otherwise than with an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_node_attestor::combined::MAX_PROOFS;
use signet_node_attestor::combined::payload::{Tagged, encode, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(proofs) = parse(bytes) {
        assert!(proofs.len() <= MAX_PROOFS);
        assert_eq!(parse(&encode(&proofs)).expect("our own"), proofs);
    }
    if let Ok(tagged) = Tagged::parse(bytes) {
        assert_eq!(Tagged::parse(&tagged.encode()).expect("our own"), tagged);
    }
});
