//! What the operator chose for authorities, and what follows for each kind.

use super::audience::Audiences;
use super::shelf::Shelf;
use signet_ca::slots::Kind;
use signet_crypto::KeyType;
use signet_model::approve::Subject;
use std::time::Duration;

/// What the operator chose for authorities.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// How long an authority lives.
    pub ttl: Duration,
    /// The key of an X.509 authority.
    pub ca_key_type: KeyType,
    /// The key of a JWT authority.
    pub jwt_key_type: KeyType,
    /// The second JWT key, if there is to be one.
    pub jwt_alternative: Option<JwtAlternative>,
    /// The key of a WIT authority; none, if WIT-SVIDs are off.
    pub wit_key_type: Option<KeyType>,
    /// The name of an X.509 authority, if not the usual one.
    pub subject: Option<Subject>,
}

/// A second JWT key, for those who verify only another kind of signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtAlternative {
    /// Its type.
    pub key_type: KeyType,
    /// For whom it signs.
    pub audiences: Audiences,
}

/// One kind of authority as this server has it; kinds that are off have none.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Which.
    pub kind: Kind,
    /// What its keys are.
    pub key_type: KeyType,
    /// Where it stands in the bundle.
    pub shelf: Shelf,
}

impl AuthoritySettings {
    /// SPIRE's defaults.
    pub fn defaults() -> Self {
        Self {
            ttl: Duration::from_secs(24 * 3600),
            ca_key_type: KeyType::EcP256,
            jwt_key_type: KeyType::EcP256,
            jwt_alternative: None,
            wit_key_type: None,
            subject: None,
        }
    }

    /// The kinds that are on.
    pub fn specs(&self, jwt_is_on: bool) -> Vec<Spec> {
        let jwt = jwt_is_on.then_some(self.jwt_key_type);
        let alternative = self.jwt_alternative.as_ref();
        let alternative = alternative.map(|alternative| alternative.key_type);
        let kinds = [
            (Kind::X509, Some(self.ca_key_type)),
            (Kind::Jwt, jwt),
            (Kind::JwtAlternative, alternative.filter(|_| jwt_is_on)),
            (Kind::Wit, self.wit_key_type),
        ];
        kinds
            .into_iter()
            .filter_map(|(kind, key_type)| {
                let shelf = Shelf::of(kind);
                key_type.map(|key_type| Spec {
                    kind,
                    key_type,
                    shelf,
                })
            })
            .collect()
    }

    /// For whom the second JWT key signs.
    pub fn alternative_for(&self) -> Audiences {
        let alternative = self.jwt_alternative.as_ref();
        alternative.map_or_else(Audiences::default, |chosen| chosen.audiences.clone())
    }
}
