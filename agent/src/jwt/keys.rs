//! Which keys no token may be given out any more that they signed.

use super::store::Token;
use signet_spiffe::Bundle;
use std::collections::BTreeSet;

/// Follows the JWT authorities of the own bundle. A key is spoiled when it is tainted, or when it
/// was in the bundle and left it. A key that was never there may be one of which the agent has not
/// heard yet.
#[derive(Debug, Default)]
pub(super) struct JwtKeys {
    known: BTreeSet<String>,
    spoiled: BTreeSet<String>,
}

impl JwtKeys {
    /// Takes over a new bundle.
    pub(super) fn follow(&mut self, bundle: &Bundle) {
        let keys = bundle.jwt_authorities.iter();
        let (tainted, sound): (Vec<_>, Vec<_>) = keys.partition(|key| key.tainted);
        self.spoiled.append(&mut self.known);
        self.spoiled
            .extend(tainted.iter().map(|key| key.key_id.clone()));
        for key in sound {
            self.spoiled.remove(&key.key_id);
            self.known.insert(key.key_id.clone());
        }
    }

    /// Whether a spoiled key signed this token.
    pub(super) fn signed(&self, token: &Token) -> bool {
        let key_id = token.key_id.as_deref();
        key_id.is_some_and(|key_id| self.is_spoiled(key_id))
    }

    fn is_spoiled(&self, key_id: &str) -> bool {
        self.spoiled.contains(key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ca, td};
    use signet_spiffe::JwtAuthority;

    fn bundle(keys: &[(&str, bool)]) -> Bundle {
        let public = Ca::new().bundle().jwt_authorities[0].public_key.clone();
        let keys = keys.iter().map(|(id, tainted)| {
            let key = JwtAuthority::new((*id).to_owned(), public.clone());
            let mut key = key.expect("valid");
            key.tainted = *tainted;
            key
        });
        Bundle {
            jwt_authorities: keys.collect(),
            ..Bundle::empty(td())
        }
    }

    #[test]
    fn a_tainted_key_and_one_that_left_are_spoiled_and_an_unknown_one_is_not() {
        let mut keys = JwtKeys::default();
        keys.follow(&bundle(&[("a", false), ("b", false)]));
        assert!(!keys.is_spoiled("a") && !keys.is_spoiled("unknown"));
        keys.follow(&bundle(&[("a", true), ("c", false)]));
        assert!(keys.is_spoiled("a") && keys.is_spoiled("b"));
        assert!(!keys.is_spoiled("c"));
        keys.follow(&bundle(&[("c", false)]));
        assert!(keys.is_spoiled("a"), "it stays so when it leaves");
    }

    #[test]
    fn a_key_that_comes_back_counts_again() {
        let mut keys = JwtKeys::default();
        keys.follow(&bundle(&[("a", false)]));
        keys.follow(&bundle(&[]));
        assert!(keys.is_spoiled("a"));
        keys.follow(&bundle(&[("a", false)]));
        assert!(!keys.is_spoiled("a"));
    }
}
