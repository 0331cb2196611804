//! Whatever is accepted as a SPIFFE ID or a trust domain is already in its only spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_spiffe::{SpiffeId, TrustDomain};

fuzz_target!(|text: &str| {
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(id.to_string(), text);
        assert_eq!(SpiffeId::new(id.trust_domain(), id.path()), Ok(id.clone()));
        assert!(!(id.is_agent() || id.is_server()) || id.is_reserved());
    }
    if let Ok(trust_domain) = TrustDomain::from_name_or_id(text) {
        let id = trust_domain.id();
        assert_eq!(SpiffeId::parse(id.as_str()), Ok(id));
    }
});
