//! Bundles of several trust domains in one JSON document
//! (SPIFFE_Trust_Domain_and_Bundle, section on bundle maps).
//!
//! The document is taken as a whole or not at all, so that a reader never mixes two versions.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::jwks::{self, JwksError};
use crate::{Bundle, TrustDomain, TrustDomainError};

const TRUST_DOMAINS: &str = "trust_domains";

/// The document is no bundle map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleMapError {
    /// Not JSON, a member twice, or over the limits.
    #[error("bundle map cannot be read")]
    Document(#[source] JwksError),
    /// `trust_domains` is missing or no object.
    #[error("bundle map has no object `trust_domains`")]
    NoTrustDomains,
    /// A key names no trust domain.
    #[error("bundle map has an entry whose key is no trust domain")]
    Name(#[from] TrustDomainError),
    /// An entry is no bundle.
    #[error("bundle of trust domain `{trust_domain}` in the bundle map cannot be read")]
    Bundle {
        /// The entry's trust domain.
        trust_domain: TrustDomain,
        /// What is wrong with it.
        #[source]
        source: JwksError,
    },
}

/// Reads a bundle map. Refresh hints inside it mean nothing and are dropped.
pub fn parse(document: &[u8]) -> Result<BTreeMap<TrustDomain, Bundle>, BundleMapError> {
    let set = jwks::read_set(document).map_err(BundleMapError::Document)?;
    set.get(TRUST_DOMAINS)
        .and_then(Value::as_object)
        .ok_or(BundleMapError::NoTrustDomains)?
        .iter()
        .map(|(name, value)| entry(name, value))
        .collect()
}

/// Writes a bundle map.
#[must_use]
pub fn encode<'b>(bundles: impl IntoIterator<Item = &'b Bundle>) -> String {
    let entries = bundles
        .into_iter()
        .map(|bundle| {
            let mut bundle = bundle.clone();
            bundle.refresh_hint = None;
            let name = bundle.trust_domain.name().to_owned();
            (name, jwks::document(&bundle, jwks::Flavor::Spiffe))
        })
        .collect::<Map<_, _>>();
    Value::Object(Map::from_iter([(TRUST_DOMAINS.to_owned(), entries.into())])).to_string()
}

fn entry(name: &str, value: &Value) -> Result<(TrustDomain, Bundle), BundleMapError> {
    let trust_domain = TrustDomain::parse(name)?;
    let bundle = match value.as_object() {
        Some(set) => jwks::bundle_of_set(trust_domain.clone(), set),
        None => Err(JwksError::BadMember { member: "keys" }),
    };
    let mut bundle = bundle
        .map_err(|source| BundleMapError::Bundle {
            trust_domain: trust_domain.clone(),
            source,
        })?
        .bundle;
    bundle.refresh_hint = None;
    Ok((trust_domain, bundle))
}
