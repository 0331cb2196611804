//! Blocks of PEM text that are read are the same after being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_crypto::{PrivateKey, pem};

fuzz_target!(|text: &str| {
    let _ = PrivateKey::from_pem(text);
    let Ok(blocks) = pem::parse(text) else {
        return;
    };
    let written = blocks
        .iter()
        .map(|block| pem::encode(&block.label, block.content.expose()))
        .collect::<String>();
    let again = pem::parse(&written).expect("what we write can be read");
    assert_eq!(again.len(), blocks.len());
    for (one, other) in again.iter().zip(&blocks) {
        assert_eq!(one.label, other.label);
        assert_eq!(one.content.expose(), other.content.expose());
    }
});
