//! A compact signature that is read is made of the parts that came in, in their only encoding.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use signet_crypto::jose::Compact;

fuzz_target!(|token: &str| {
    if let Ok(parsed) = Compact::parse(token, 16 * 1024) {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(parsed.signature());
        assert_eq!(format!("{}.{signature}", parsed.signing_input()), token);
        assert_eq!(parsed.header["alg"], parsed.algorithm.name());
    }
});
