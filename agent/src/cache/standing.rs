//! Whether the bundle still stands behind an SVID.
//!
//! A *tainted* authority may sign nothing new, but what it signed still verifies: there is time to
//! replace it before anybody refuses it. Once the authority is *gone* from the bundle, whoever
//! follows the bundle refuses what it signed.

use signet_crypto::PublicKey;
use signet_spiffe::{Bundle, Certificate, TrustDomain, X509Authority, x509_svid};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// How an SVID stands with the bundle; the better is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// No authority of the bundle vouches for it.
    Gone,
    /// A tainted authority has a part in it, be it as the root or in the chain.
    Tainted,
    /// Authorities free of taint vouch for it.
    Sound,
}

/// The X.509 authorities of a bundle, sorted by whether they are tainted.
pub struct Authorities {
    all: Bundle,
    sound: Bundle,
    tainted: Vec<PublicKey>,
    /// SVIDs of the same signers stand or fall together, and there may be thousands.
    judged: HashMap<Signers, Standing>,
}

/// The key that signed the leaf, and the certificates above it.
type Signers = (Vec<u8>, Vec<Arc<[u8]>>);

impl Authorities {
    /// Those of this bundle. A key is tainted wherever it occurs, so an authority that shares the
    /// key of a tainted one counts as tainted too.
    pub fn of(bundle: &Bundle) -> Self {
        let all = bundle.x509_authorities.clone();
        let tainted = all.iter().filter(|one| one.tainted);
        let tainted: Vec<_> = tainted.map(|one| one.public_key().clone()).collect();
        let mut sound = all.clone();
        sound.retain(|one| !tainted.contains(one.public_key()));
        Self {
            all: only(&bundle.trust_domain, all),
            sound: only(&bundle.trust_domain, sound),
            tainted,
            judged: HashMap::new(),
        }
    }

    /// How the SVID with this chain stands. A bundle without any authority is a fault of the
    /// server and says nothing.
    pub fn standing(&mut self, chain: &[Arc<[u8]>], now: SystemTime) -> Standing {
        if self.all.x509_authorities.is_empty() {
            return Standing::Sound;
        }
        let Some(signers) = signers(chain) else {
            return self.judge(chain, now);
        };
        if let Some(standing) = self.judged.get(&signers) {
            return *standing;
        }
        let standing = self.judge(chain, now);
        self.judged.insert(signers, standing);
        standing
    }

    fn judge(&self, chain: &[Arc<[u8]>], now: SystemTime) -> Standing {
        if vouches(&self.sound, chain, now) && !self.is_tainted_on_its_way(chain) {
            Standing::Sound
        } else if vouches(&self.all, chain, now) {
            Standing::Tainted
        } else {
            Standing::Gone
        }
    }

    /// A tainted key may also stand in the chain, signed across by another authority.
    fn is_tainted_on_its_way(&self, chain: &[Arc<[u8]>]) -> bool {
        let above = chain.iter().skip(1);
        let mut signers = above.filter_map(|der| Certificate::parse(der).ok());
        signers.any(|signer| self.tainted.contains(&signer.public_key))
    }
}

fn only(name: &TrustDomain, x509_authorities: Vec<X509Authority>) -> Bundle {
    Bundle {
        x509_authorities,
        ..Bundle::empty(name.clone())
    }
}

/// Nothing if the leaf does not say by which key it was signed.
fn signers(chain: &[Arc<[u8]>]) -> Option<Signers> {
    let (leaf, above) = chain.split_first()?;
    let key_id = Certificate::parse(leaf).ok()?.authority_key_id?;
    Some((key_id, above.to_vec()))
}

/// Whether an authority of this bundle vouches for the chain. A clock that differs from the
/// server's must not make an SVID look abandoned, so it is judged at a time of its own life.
fn vouches(bundle: &Bundle, chain: &[Arc<[u8]>], now: SystemTime) -> bool {
    let Ok(svid) = x509_svid::parse(chain) else {
        return false;
    };
    let at = now.min(svid.not_after).max(svid.not_before);
    x509_svid::verify(chain, bundle, at).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Standing::{Gone, Sound, Tainted};
    use super::*;
    use crate::testing::{Ca, HOUR, noon, spiffe_id, td};
    use signet_crypto::{KeyType, PrivateKey};
    use std::time::Duration;

    fn chain_of(ca: &Ca) -> Vec<Arc<[u8]>> {
        let key = PrivateKey::generate(KeyType::EcP256).expect("made");
        ca.issue(&spiffe_id("/web"), key.public_key(), noon(), HOUR)
    }

    fn bundle(authorities: impl IntoIterator<Item = X509Authority>) -> Bundle {
        only(&td(), authorities.into_iter().collect())
    }

    fn standing(chain: &[Arc<[u8]>], bundle: &Bundle, now: SystemTime) -> Standing {
        Authorities::of(bundle).standing(chain, now)
    }

    #[test]
    fn an_svid_stands_as_its_root_does() {
        let (root, other) = (Ca::new(), Ca::new());
        for ca in [&root, &Ca::new().signed_by(&root)] {
            let chain = chain_of(ca);
            let stands = |bundle| standing(&chain, &bundle, noon());
            let tainted = root.authority().with_taint(true);
            assert_eq!(stands(bundle([root.authority(), other.authority()])), Sound);
            assert_eq!(stands(bundle([tainted, other.authority()])), Tainted);
            assert_eq!(stands(bundle([other.authority()])), Gone);
            assert_eq!(stands(bundle([])), Sound, "nothing can be said");
        }
    }

    #[test]
    fn a_tainted_key_in_the_chain_counts_though_a_sound_root_vouches_for_it() {
        let (stolen, root) = (Ca::new(), Ca::new());
        let chain = chain_of(&stolen.signed_by(&root));
        let tainted = stolen.authority().with_taint(true);
        let both = bundle([root.authority(), tainted]);
        assert_eq!(standing(&chain, &both, noon()), Tainted);
        assert_eq!(standing(&chain, &bundle([root.authority()]), noon()), Sound);
    }

    #[test]
    fn a_second_certificate_of_a_tainted_key_makes_nothing_sound() {
        let stolen = Ca::new();
        let twin = stolen.renewed().authority();
        let tainted = stolen.authority().with_taint(true);
        let chain = chain_of(&stolen);
        assert_eq!(standing(&chain, &bundle([tainted, twin]), noon()), Tainted);
    }

    #[test]
    fn svids_of_one_signer_stand_alike_and_of_another_by_themselves() {
        let (old, new) = (Ca::new(), Ca::new());
        let both = bundle([old.authority().with_taint(true), new.authority()]);
        let mut authorities = Authorities::of(&both);
        for (ca, expected) in [
            (&old, Tainted),
            (&new, Sound),
            (&old, Tainted),
            (&new, Sound),
        ] {
            assert_eq!(authorities.standing(&chain_of(ca), noon()), expected);
        }
        assert_eq!(authorities.judged.len(), 2);
    }

    #[test]
    fn a_clock_that_is_off_condemns_nothing() {
        let ca = Ca::new();
        let chain = chain_of(&ca);
        let bundle = bundle([ca.authority()]);
        for now in [
            noon() - HOUR,
            noon() + 2 * HOUR,
            noon() - Duration::from_secs(11),
        ] {
            assert_eq!(standing(&chain, &bundle, now), Sound);
        }
    }

    #[test]
    fn what_is_no_svid_is_vouched_for_by_nobody() {
        let ca = Ca::new();
        let noise: Vec<Arc<[u8]>> = vec![Arc::from([1u8, 2, 3].as_slice())];
        assert_eq!(standing(&noise, &ca.bundle(), noon()), Gone);
        assert_eq!(standing(&[], &ca.bundle(), noon()), Gone);
    }
}
