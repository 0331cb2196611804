//! No token is accepted that the key of the bundle did not sign, and no text makes the parser fail
//! otherwise than with an error.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use signet_spiffe::{Bundle, JwtAuthority, X509Authority, jwt_svid, pem};

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let text = include_str!("../../../crates/spiffe/tests/fixtures/rsa-root.pem");
    let certificates = pem::parse_pem_certs(text).expect("PEM");
    let root = X509Authority::from_der(&certificates[0]).expect("a root");
    let key = root.public_key().clone();
    let mut bundle = Bundle::empty("example.org".parse().expect("a trust domain"));
    let authority = JwtAuthority::new("kid-1".to_owned(), key).expect("a key");
    bundle.jwt_authorities.push(authority);
    bundle
});

fuzz_target!(|token: &str| {
    if let Ok(svid) = jwt_svid::parse_unverified(token) {
        assert_eq!(svid.token, token);
        assert!(!svid.audience.is_empty() && !svid.id.path().is_empty());
    }
    let now = UNIX_EPOCH + Duration::from_secs(1_780_315_200);
    let leeway = Duration::from_secs(60);
    assert!(jwt_svid::verify(token, |_| Some(&*BUNDLE), &["me"], now, leeway).is_err());
});
