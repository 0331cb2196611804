//! Where in the bundle the authorities of a kind stand: found, tainted and taken out by their IDs.

use signet_ca::slots::Kind;
use signet_datastore::records::SlotKind;
use signet_spiffe::{Bundle, JwtAuthority, X509Authority};
use std::time::SystemTime;

/// One of the lists of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// The roots of X509-SVIDs, by subject key id in hexadecimal.
    X509,
    /// The keys of JWT-SVIDs, by key id.
    Jwt,
    /// The keys of WIT-SVIDs, by key id.
    Wit,
}

/// How an authority stands in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// No longer to be relied on.
    pub tainted: bool,
    /// When it expires, if that is known.
    pub expires_at: Option<SystemTime>,
}

impl Shelf {
    /// Where authorities of this kind stand.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::X509 => Self::X509,
            Kind::Jwt | Kind::JwtAlternative => Self::Jwt,
            Kind::Wit => Self::Wit,
        }
    }

    /// Whether what a slot holds stands here.
    pub fn holds(self, kind: &SlotKind) -> bool {
        match kind {
            SlotKind::X509 { .. } => self == Self::X509,
            SlotKind::Jwt { .. } => self == Self::Jwt,
            SlotKind::Wit { .. } => self == Self::Wit,
        }
    }

    /// The authority of this ID. Where one key stands in several certificates, it is tainted only if
    /// all of them are.
    pub fn find(self, bundle: &Bundle, id: &str) -> Option<Published> {
        let x509 = bundle.x509_authorities.iter();
        let x509 = x509.filter(|one| is(one, id)).map(|one| Published {
            tainted: one.tainted,
            expires_at: Some(one.not_after()),
        });
        let key = |key: &JwtAuthority| Published {
            tainted: key.tainted,
            expires_at: key.expires_at,
        };
        let found: Vec<_> = match self {
            Self::X509 => x509.collect(),
            Self::Jwt => named(&bundle.jwt_authorities, id).map(key).collect(),
            Self::Wit => named(&bundle.wit_authorities, id).map(key).collect(),
        };
        let tainted = found.iter().all(|one| one.tainted);
        found.first().map(|first| Published { tainted, ..*first })
    }

    /// Taints the authority of this ID.
    pub fn taint(self, bundle: &mut Bundle, id: &str) {
        let taint = |keys: &mut Vec<JwtAuthority>| {
            let keys = keys.iter_mut().filter(|key| key.key_id == id);
            keys.for_each(|key| key.tainted = true);
        };
        match self {
            Self::X509 => {
                let roots = bundle.x509_authorities.iter_mut();
                roots
                    .filter(|one| is(one, id))
                    .for_each(|one| one.tainted = true);
            }
            Self::Jwt => taint(&mut bundle.jwt_authorities),
            Self::Wit => taint(&mut bundle.wit_authorities),
        }
        bundle.sequence += 1;
    }

    /// Takes the authority of this ID out.
    pub fn remove(self, bundle: &mut Bundle, id: &str) {
        match self {
            Self::X509 => bundle.x509_authorities.retain(|one| !is(one, id)),
            Self::Jwt => bundle.jwt_authorities.retain(|key| key.key_id != id),
            Self::Wit => bundle.wit_authorities.retain(|key| key.key_id != id),
        }
        bundle.sequence += 1;
    }
}

fn is(authority: &X509Authority, id: &str) -> bool {
    signet_crypto::hex(&authority.subject_key_id()) == id
}

fn named<'a>(keys: &'a [JwtAuthority], id: &'a str) -> impl Iterator<Item = &'a JwtAuthority> {
    keys.iter().filter(move |key| key.key_id == id)
}
