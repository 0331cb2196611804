//! A bundle that was read is written so that it is read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_spiffe::jwks::{Flavor, encode, parse, parse_plain_jwt};
use signet_spiffe::{TrustDomain, bundle_map};

fuzz_target!(|document: &[u8]| {
    let td = TrustDomain::parse("example.org").expect("a trust domain");
    if let Ok(bundle) = parse(td.clone(), document) {
        let text = encode(&bundle, Flavor::Spiffe);
        assert_eq!(parse(td.clone(), text.as_bytes()), Ok(bundle));
    }
    if let Ok(bundle) = parse_plain_jwt(td.clone(), document) {
        let text = encode(&bundle, Flavor::JwtOnlyPlain);
        assert_eq!(parse_plain_jwt(td, text.as_bytes()), Ok(bundle));
    }
    if let Ok(bundles) = bundle_map::parse(document) {
        let text = bundle_map::encode(bundles.values());
        assert_eq!(bundle_map::parse(text.as_bytes()), Ok(bundles));
    }
});
