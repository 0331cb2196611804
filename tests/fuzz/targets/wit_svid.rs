//! No token is accepted that the key of the bundle did not sign, what is read holds what a WIT-SVID
//! must hold, and no text is taken for a WIT-SVID and a JWT-SVID both.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use signet_spiffe::{Bundle, JwtAuthority, X509Authority, jwt_svid, pem, wit_svid};

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let text = include_str!("../../../crates/spiffe/tests/fixtures/rsa-root.pem");
    let certificates = pem::parse_pem_certs(text).expect("PEM");
    let root = X509Authority::from_der(&certificates[0]).expect("a root");
    let key = root.public_key().clone();
    let mut bundle = Bundle::empty("example.org".parse().expect("a trust domain"));
    let authority = JwtAuthority::new("wit-1".to_owned(), key).expect("a key");
    bundle.wit_authorities.push(authority);
    bundle
});

fuzz_target!(|token: &str| {
    if let Ok(svid) = wit_svid::parse_unverified(token) {
        assert_eq!(svid.token, token);
        assert!(!svid.id.path().is_empty() && !svid.key_id.is_empty());
        assert!(svid.key_algorithm.fits(&svid.key));
        assert!(!svid.claims.contains_key("aud"));
        assert!(jwt_svid::parse_unverified(token).is_err());
    }
    let now = UNIX_EPOCH + Duration::from_secs(1_780_315_200);
    let leeway = Duration::from_secs(60);
    assert!(wit_svid::verify(token, |_| Some(&*BUNDLE), now, leeway).is_err());
});
