//! A request that verifies says the same as when it is only read, and serials print as they parse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_spiffe::{PublicKey, Serial, csr};

fuzz_target!(|der: &[u8]| {
    let parsed = csr::parse(der);
    if let Ok(request) = &parsed {
        assert!(request.spiffe_ids.len() <= request.uri_count);
        let key = PublicKey::from_spki_der(request.public_key.spki_der());
        assert_eq!(key.as_ref(), Ok(&request.public_key));
    }
    if let Ok(verified) = csr::verify(der) {
        assert_eq!(parsed, Ok(verified));
    }
    let serial = Serial::from_bytes(&der[..der.len().min(32)]);
    assert_eq!(serial.to_string().parse(), Ok(serial));
});
