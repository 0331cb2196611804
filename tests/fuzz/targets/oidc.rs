//! No token, key set or discovery document makes a parser fail otherwise than with an error, and no
//! token is accepted that the key did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_oidc::{Claims, IssuerUrl, KeySet, Token, keys_url};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(set) = KeySet::parse(bytes) {
        let _ = set.find(None, signet_crypto::jose::JwsAlgorithm::RS256);
    }
    let issuer = IssuerUrl::parse("https://issuer.example").expect("a URL");
    if let Ok(url) = keys_url(bytes, &issuer) {
        assert_eq!(url.scheme_str(), Some("https"));
    }
    if let Ok(claims) = Claims::parse(bytes) {
        assert!(!claims.issuer.is_empty() && !claims.audience.is_empty());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(token) = Token::parse(text) {
        let _ = token.unverified();
    }
    if let Ok(issuer) = IssuerUrl::parse(text) {
        assert!(issuer.discovery_url().starts_with("https://"));
    }
});
