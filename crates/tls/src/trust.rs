//! The authorities of each trust domain, swapped live, and the one check of a peer's chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use signet_spiffe::path::PathError;
use signet_spiffe::x509_svid::{self, X509Svid, X509SvidError};
use signet_spiffe::{Bundle, TrustDomain};

use crate::refused::PeerRefused;

/// The X.509 authorities of every trust domain we know.
///
/// Each change that could alter a verdict makes a new *generation*; who verified a peer keeps the
/// number and asks again when it is no longer the current one. A tainted authority still verifies:
/// tainted means "move away from it", revoked means gone.
#[derive(Debug, Default)]
pub struct Trust {
    current: ArcSwap<Generation>,
}

#[derive(Debug, Default)]
struct Generation {
    number: u64,
    domains: Domains,
}

/// Bundles cut down to their X.509 authorities.
type Domains = BTreeMap<TrustDomain, Arc<Bundle>>;

impl Trust {
    /// The authorities of `bundles`.
    pub fn new<'a>(bundles: impl IntoIterator<Item = &'a Bundle>) -> Self {
        let trust = Self::default();
        trust.replace(bundles);
        trust
    }

    /// Takes `bundle` in place of what was known of its trust domain.
    pub fn set(&self, bundle: &Bundle) {
        let authorities = x509_only(bundle);
        self.change(|domains| {
            domains.insert(bundle.trust_domain.clone(), Arc::clone(&authorities));
        });
    }

    /// Forgets `trust_domain`.
    pub fn remove(&self, trust_domain: &TrustDomain) {
        self.change(|domains| {
            domains.remove(trust_domain);
        });
    }

    /// Takes `bundles` in place of everything known.
    pub fn replace<'a>(&self, bundles: impl IntoIterator<Item = &'a Bundle>) {
        let next: Domains = bundles
            .into_iter()
            .map(|bundle| (bundle.trust_domain.clone(), x509_only(bundle)))
            .collect();
        self.change(|domains| domains.clone_from(&next));
    }

    /// The number of the current generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.load().number
    }

    /// Verifies `chain`, leaf first, at `now`: it is an X509-SVID and leads to the bundle of its own
    /// trust domain (X509-SVID section 5). Whether that peer may do anything is not decided here.
    ///
    /// # Errors
    /// [`PeerRefused`] says why not.
    pub fn verify(
        &self,
        chain: &[impl AsRef<[u8]>],
        now: SystemTime,
    ) -> Result<X509Svid, PeerRefused> {
        let claimed = parse(chain)?;
        self.verify_as_of(claimed.id.trust_domain(), chain, now)
    }

    /// As [`Trust::verify`], for who has parsed the chain already and knows what it claims.
    pub(crate) fn verify_as_of(
        &self,
        claimed: &TrustDomain,
        chain: &[impl AsRef<[u8]>],
        now: SystemTime,
    ) -> Result<X509Svid, PeerRefused> {
        let current = self.current.load();
        let bundle = current
            .domains
            .get(claimed)
            .ok_or_else(|| PeerRefused::NoBundle {
                claimed: claimed.clone(),
            })?;
        x509_svid::verify(chain, bundle, now).map_err(refusal)
    }

    /// Applies `edit` and, if the outcome differs, makes it the next generation.
    fn change(&self, edit: impl Fn(&mut Domains)) {
        self.current.rcu(|current| {
            let mut domains = current.domains.clone();
            edit(&mut domains);
            if same(&domains, &current.domains) {
                return Arc::clone(current);
            }
            Arc::new(Generation {
                number: current.number + 1,
                domains,
            })
        });
    }
}

/// Reads `chain` as an X509-SVID, without trusting it.
pub(crate) fn parse(chain: &[impl AsRef<[u8]>]) -> Result<X509Svid, PeerRefused> {
    x509_svid::parse(chain).map_err(refusal)
}

fn refusal(error: X509SvidError) -> PeerRefused {
    let path = match error {
        X509SvidError::Path(path) => path,
        source => return PeerRefused::NotAnSvid { source },
    };
    match path {
        PathError::NotVerified(webpki::Error::CertExpired { .. }) => PeerRefused::Expired,
        PathError::NotVerified(webpki::Error::CertNotValidYet { .. }) => PeerRefused::NotYetValid,
        PathError::NotVerified(source) => PeerRefused::Unchained { source },
        PathError::NoAuthority => PeerRefused::AuthorityNotValid,
        other => PeerRefused::NotAnSvid {
            source: X509SvidError::Path(other),
        },
    }
}

fn x509_only(bundle: &Bundle) -> Arc<Bundle> {
    let mut authorities = Bundle::empty(bundle.trust_domain.clone());
    authorities
        .x509_authorities
        .clone_from(&bundle.x509_authorities);
    Arc::new(authorities)
}

/// Taint, order of arrival and everything but the certificates change no verdict.
fn same(a: &Domains, b: &Domains) -> bool {
    let certificates = |bundle: &Bundle| -> Vec<Arc<[u8]>> {
        bundle
            .x509_authorities
            .iter()
            .map(|authority| Arc::clone(&authority.der))
            .collect()
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|((a_name, a), (b_name, b))| {
            a_name == b_name && (Arc::ptr_eq(a, b) || certificates(a) == certificates(b))
        })
}
