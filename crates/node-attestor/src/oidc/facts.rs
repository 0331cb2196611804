//! What verified claims say of the node: values for the template, selectors, the token's own ID.

use std::time::Duration;

use signet_crypto::{Sha256, hex};
use signet_model::{EvidenceId, Selector, SingleUse};
use signet_oidc::{Claims, IssuerUrl};
use signet_spiffe::TrustDomain;

use super::KIND;
use super::condition::{ClaimName, text};
use crate::Value;

/// Most selectors of one token: an entry has a handful, and each is kept with the agent.
const MAX_SELECTORS: usize = 64;

pub(super) struct Facts<'a> {
    pub(super) issuer: &'a IssuerUrl,
    pub(super) claims: &'a Claims,
}

impl Facts<'_> {
    /// What a variable of the template holds.
    pub(super) fn value(&self, name: &str, trust_domain: &TrustDomain) -> Option<Value> {
        let value = match name {
            "PluginName" => Some(KIND.to_owned()),
            "TrustDomain" => Some(trust_domain.name().to_owned()),
            "IssuerHost" => Some(self.issuer.host().to_owned()),
            "SubjectHash" => self.short_hash("subject", self.claims.subject.as_deref()),
            "TokenHash" => self.short_hash("token", self.claims.token_id.as_deref()),
            name => {
                let claim = self.claims.all.get(name.strip_prefix("Claims.")?);
                claim.and_then(text)
            }
        };
        value.map(Value::Segment)
    }

    pub(super) fn selectors(&self, wanted: &[ClaimName]) -> Vec<Selector> {
        let issuer = std::iter::once(format!("iss:{}", self.issuer));
        let claims = wanted.iter().flat_map(|claim| {
            let values = claim.values(&self.claims.all).into_iter();
            values.map(|value| format!("claim:{}:{value}", claim.as_str()))
        });
        let values = issuer.chain(claims).take(MAX_SELECTORS);
        values
            .filter_map(|value| Selector::new(KIND, &value).ok())
            .collect()
    }

    /// What makes the token the only one of its kind, if it says so.
    pub(super) fn single_use(&self, leeway: Duration) -> Option<SingleUse> {
        let id = self.claims.token_id.as_deref()?;
        let end = self.claims.expires_at;
        Some(SingleUse {
            id: EvidenceId::from_hash(self.hash("token", id)),
            until: end.checked_add(leeway).unwrap_or(end),
        })
    }

    /// Half of the hash: as much as a UUID, and short enough to read.
    fn short_hash(&self, what: &str, text: Option<&str>) -> Option<String> {
        text.map(|text| hex(&self.hash(what, text)[..16]))
    }

    /// The lengths are hashed too, so that no two lists of parts run together.
    fn hash(&self, what: &str, text: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [KIND, what, self.issuer.as_str(), text] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finish()
    }
}
