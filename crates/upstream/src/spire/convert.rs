//! The upstream's messages in our words, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use signet_proto::spire::types as wire;
use signet_spiffe::certificate::{CertificateError, split_concatenated};
use signet_spiffe::{AuthorityError, JwtAuthority, PublicKey, X509Authority};

use crate::{MAX_ROOTS, UpstreamBundle};

/// Most JWT keys in one answer: each server of a trust domain adds one a day or so, and they are
/// pruned a day after they end.
const MAX_KEYS: usize = 4096;

/// What the upstream tells of its bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    /// Over a limit.
    #[error("the bundle has {count} keys of one kind, more than {limit}")]
    TooMany {
        /// Found.
        count: usize,
        /// Allowed.
        limit: usize,
    },
    /// Not certificates.
    #[error("a root cannot be read")]
    Certificates(#[from] CertificateError),
    /// No root.
    #[error("a root cannot be used")]
    Root(#[source] AuthorityError),
    /// No public key.
    #[error("a JWT or WIT key cannot be read")]
    Key(#[source] signet_crypto::KeyError),
    /// A key without a name.
    #[error("a JWT or WIT key cannot be used")]
    KeyId(#[source] AuthorityError),
}

/// The upstream's bundle.
pub(super) fn bundle(bundle: &wire::Bundle) -> Result<UpstreamBundle, BadBundle> {
    within(bundle.x509_authorities.len(), MAX_ROOTS)?;
    let roots = bundle.x509_authorities.iter().map(|one| {
        let roots = certificates(&one.asn1)?.into_iter();
        Ok(roots.map(|root| root.with_taint(one.tainted)))
    });
    let roots: Vec<_> = roots.collect::<Result<_, BadBundle>>()?;
    Ok(UpstreamBundle {
        x509_authorities: roots.into_iter().flatten().collect(),
        jwt_authorities: Some(keys(&bundle.jwt_authorities)?),
        // A server that has none may be one that keeps none, as SPIRE's.
        wit_authorities: Some(wit_keys(&bundle.wit_authorities)?).filter(|keys| !keys.is_empty()),
    })
}

/// Roots that come without taints.
pub(super) fn roots(ders: &[Bytes]) -> Result<Vec<X509Authority>, BadBundle> {
    within(ders.len(), MAX_ROOTS)?;
    let roots = ders.iter().map(|der| certificates(der));
    let roots: Vec<_> = roots.collect::<Result<_, BadBundle>>()?;
    Ok(roots.into_iter().flatten().collect())
}

/// The upstream's JWT keys.
pub(super) fn keys(keys: &[wire::JwtKey]) -> Result<Vec<JwtAuthority>, BadBundle> {
    within(keys.len(), MAX_KEYS)?;
    keys.iter().map(key).collect()
}

/// The upstream's WIT keys.
pub(super) fn wit_keys(keys: &[wire::WitKey]) -> Result<Vec<JwtAuthority>, BadBundle> {
    within(keys.len(), MAX_KEYS)?;
    let read = |wit: &wire::WitKey| {
        key(&wire::JwtKey {
            public_key: wit.public_key.clone(),
            key_id: wit.key_id.clone(),
            expires_at: wit.expires_at,
            tainted: wit.tainted,
        })
    };
    keys.iter().map(read).collect()
}

/// A WIT key of ours.
pub(super) fn wit_to_wire(key: &JwtAuthority) -> wire::WitKey {
    let jwt = to_wire(key);
    wire::WitKey {
        public_key: jwt.public_key,
        key_id: jwt.key_id,
        expires_at: jwt.expires_at,
        tainted: jwt.tainted,
    }
}

/// A JWT key of ours.
pub(super) fn to_wire(key: &JwtAuthority) -> wire::JwtKey {
    wire::JwtKey {
        public_key: Bytes::copy_from_slice(key.public_key.spki_der()),
        key_id: key.key_id.clone(),
        expires_at: key.expires_at.map_or(0, seconds),
        tainted: key.tainted,
    }
}

fn key(key: &wire::JwtKey) -> Result<JwtAuthority, BadBundle> {
    let public_key = PublicKey::from_spki_der(&key.public_key).map_err(BadBundle::Key)?;
    let named = JwtAuthority::new(key.key_id.clone(), public_key).map_err(BadBundle::KeyId)?;
    let ends = u64::try_from(key.expires_at).ok().filter(|at| *at > 0);
    Ok(JwtAuthority {
        expires_at: ends.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))),
        tainted: key.tainted,
        ..named
    })
}

/// One field may hold several certificates, one after the other.
pub(super) fn certificates(concatenated: &[u8]) -> Result<Vec<X509Authority>, BadBundle> {
    let ders = split_concatenated(concatenated, MAX_ROOTS)?;
    let roots = ders.into_iter().map(X509Authority::from_der);
    roots.collect::<Result<_, _>>().map_err(BadBundle::Root)
}

fn within(count: usize, limit: usize) -> Result<(), BadBundle> {
    match count > limit {
        true => Err(BadBundle::TooMany { count, limit }),
        false => Ok(()),
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use signet_crypto::{KeyType, PrivateKey};

    use super::*;
    use crate::testing::Pki;

    fn root(name: &str) -> X509Authority {
        Pki::new(name, UNIX_EPOCH + Duration::from_secs(1_800_000_000)).root()
    }

    fn told(roots: &[&X509Authority], tainted: bool) -> wire::X509Certificate {
        let concatenated: Vec<u8> = roots.iter().flat_map(|root| root.der.to_vec()).collect();
        wire::X509Certificate {
            asn1: concatenated.into(),
            tainted,
        }
    }

    fn jwt() -> JwtAuthority {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        JwtAuthority {
            expires_at: Some(UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            tainted: true,
            ..JwtAuthority::new("kid".to_owned(), key.public_key().clone()).unwrap()
        }
    }

    #[test]
    fn roots_and_keys_come_with_their_taints() {
        let (one, two, three) = (root("one"), root("two"), root("three"));
        let key = jwt();
        let read = bundle(&wire::Bundle {
            x509_authorities: vec![told(&[&one, &two], true), told(&[&three], false)],
            jwt_authorities: vec![to_wire(&key)],
            wit_authorities: vec![wit_to_wire(&key)],
            ..wire::Bundle::default()
        });
        let read = read.unwrap();
        let expected = [one.with_taint(true), two.with_taint(true), three];
        assert_eq!(read.x509_authorities, expected);
        assert_eq!(read.jwt_authorities, Some(vec![key.clone()]));
        assert_eq!(read.wit_authorities, Some(vec![key]));
    }

    #[test]
    fn a_server_without_wit_keys_may_be_one_that_keeps_none() {
        let read = bundle(&wire::Bundle::default()).unwrap();
        assert_eq!(read.jwt_authorities, Some(Vec::new()));
        assert_eq!(read.wit_authorities, None);
    }

    #[test]
    fn a_bundle_over_the_limits_is_refused_unread() {
        let many = vec![wire::X509Certificate::default(); MAX_ROOTS + 1];
        let told = wire::Bundle {
            x509_authorities: many,
            ..wire::Bundle::default()
        };
        assert!(matches!(bundle(&told), Err(BadBundle::TooMany { .. })));
        let many = vec![wire::JwtKey::default(); MAX_KEYS + 1];
        assert!(matches!(keys(&many), Err(BadBundle::TooMany { .. })));
        let many = vec![wire::WitKey::default(); MAX_KEYS + 1];
        assert!(matches!(wit_keys(&many), Err(BadBundle::TooMany { .. })));
    }

    #[test]
    fn bytes_that_are_no_roots_and_no_keys_are_refused() {
        let garbage = Bytes::from_static(b"garbage");
        assert!(matches!(
            roots(std::slice::from_ref(&garbage)),
            Err(BadBundle::Certificates(_))
        ));
        let bad = wire::JwtKey {
            public_key: garbage,
            ..to_wire(&jwt())
        };
        assert!(matches!(keys(&[bad]), Err(BadBundle::Key(_))));
        let nameless = wire::JwtKey {
            key_id: String::new(),
            ..to_wire(&jwt())
        };
        assert!(matches!(keys(&[nameless]), Err(BadBundle::KeyId(_))));
    }
}
