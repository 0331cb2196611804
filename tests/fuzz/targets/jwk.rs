//! A key that is read, from JSON or from DER, is the same after being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signet_crypto::jose::{jwk_members, parse_unique, public_key_of_jwk};
use signet_crypto::{PrivateKey, PublicKey};

fuzz_target!(|input: &[u8]| {
    if let Ok(Value::Object(members)) = parse_unique(input)
        && let Ok(key) = public_key_of_jwk(&members)
    {
        survives(&key);
    }
    if let Ok(key) = PublicKey::from_spki_der(input) {
        assert_eq!(key.spki_der(), input);
        survives(&key);
    }
    if let Ok(key) = PrivateKey::from_pkcs8_der(input) {
        survives(key.public_key());
    }
});

fn survives(key: &PublicKey) {
    assert_eq!(public_key_of_jwk(&jwk_members(key)).as_ref(), Ok(key));
    assert_eq!(PublicKey::from_spki_der(key.spki_der()).as_ref(), Ok(key));
}
