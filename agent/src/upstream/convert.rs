//! From the server's messages to our types. Malformed parts are named and left out by the caller:
//! one bad entry must not hide the others.

use crate::upstream::Chain;
use signet_crypto::PublicKey;
use signet_model::{Entry, EntryId, Selector, SelectorSet, Stewardship};
use signet_proto::spire::types;
use signet_spiffe::{Bundle, JwtAuthority, SpiffeId, TrustDomain, X509Authority};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Authorities of one bundle and selectors of one entry: far more than anybody has.
const MAX_AUTHORITIES: usize = 1000;
const MAX_SELECTORS: usize = 1000;

/// In what way a message of the server is unusable.
#[derive(Debug, thiserror::Error)]
pub enum NotUsable {
    /// A part is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A part is malformed.
    #[error("{part} is malformed: {why}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// In what way.
        why: String,
    },
    /// There is more of something than is reasonable.
    #[error("{0} are too many")]
    TooMany(&'static str),
}

fn malformed(part: &'static str) -> impl Fn(&dyn std::fmt::Display) -> NotUsable {
    move |why| NotUsable::Malformed {
        part,
        why: why.to_string(),
    }
}

/// An entry as the agent needs it. Fields that the agent did not ask for keep their defaults.
pub fn entry_from_proto(message: types::Entry) -> Result<Entry, NotUsable> {
    if message.selectors.len() > MAX_SELECTORS {
        return Err(NotUsable::TooMany("the selectors"));
    }
    let id = EntryId::parse(&message.id).map_err(|e| malformed("the entry id")(&e))?;
    let spiffe_id = spiffe_id(message.spiffe_id, "the SPIFFE ID")?;
    let selectors = message.selectors.iter().map(selector);
    let selectors: SelectorSet = selectors.collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        return Err(NotUsable::Missing("the selectors"));
    }
    let federates = message.federates_with.iter().map(|name| trust_domain(name));
    let more = message.additional_attributes.unwrap_or_default();
    Ok(Entry {
        id,
        parent_id: match message.parent_id {
            Some(parent) => self::spiffe_id(Some(parent), "the parent ID")?,
            None => spiffe_id.trust_domain().id(),
        },
        spiffe_id,
        selectors,
        x509_svid_ttl: ttl(message.x509_svid_ttl),
        jwt_svid_ttl: ttl(message.jwt_svid_ttl),
        federates_with: federates.collect::<Result<BTreeSet<_>, _>>()?,
        admin: message.admin,
        downstream: message.downstream,
        store_svid: message.store_svid,
        expires_at: instant(message.expires_at),
        dns_names: message.dns_names,
        hint: message.hint,
        revision_number: message.revision_number,
        created_at: instant(message.created_at).unwrap_or(UNIX_EPOCH),
        disable_x509_svid_prefetch: more.disable_x509_svid_prefetch,
        jwt_svid_include_jti: more.jwt_svid_include_jti,
        disabled: false,
        stewardship: Stewardship::default(),
    })
}

/// A bundle. Authorities that are no authorities are left out and named.
pub fn bundle_from_proto(message: types::Bundle) -> Result<Bundle, NotUsable> {
    let count = message.x509_authorities.len() + message.jwt_authorities.len();
    if count > MAX_AUTHORITIES {
        return Err(NotUsable::TooMany("the authorities"));
    }
    let name = trust_domain(&message.trust_domain)?;
    let x509 = message.x509_authorities.into_iter();
    let jwt = message.jwt_authorities.into_iter();
    let usable = |part: &'static str| {
        let name = name.clone();
        move |error: &NotUsable| {
            tracing::warn!(trust_domain = %name, part, %error, "left out of a bundle");
        }
    };
    Ok(Bundle {
        x509_authorities: x509
            .filter_map(|one| {
                x509_authority(one)
                    .inspect_err(usable("X.509 authority"))
                    .ok()
            })
            .collect(),
        jwt_authorities: jwt
            .filter_map(|one| jwt_authority(one).inspect_err(usable("JWT authority")).ok())
            .collect(),
        wit_authorities: Vec::new(),
        refresh_hint: u64::try_from(message.refresh_hint)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        sequence: message.sequence_number,
        trust_domain: name,
    })
}

/// A certificate chain, leaf first.
pub(super) fn chain(svid: Option<types::X509svid>) -> Option<Chain> {
    let chain = svid?.cert_chain;
    let chain: Chain = chain.iter().map(|der| Arc::from(der.as_ref())).collect();
    (!chain.is_empty()).then_some(chain)
}

/// An instant in Unix seconds; zero and less mean none.
pub(super) fn instant(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

pub(super) fn trust_domain(name: &str) -> Result<TrustDomain, NotUsable> {
    TrustDomain::from_name_or_id(name).map_err(|e| malformed("the trust domain")(&e))
}

fn spiffe_id(message: Option<types::Spiffeid>, part: &'static str) -> Result<SpiffeId, NotUsable> {
    let message = message.ok_or(NotUsable::Missing(part))?;
    let text = format!("spiffe://{}{}", message.trust_domain, message.path);
    SpiffeId::parse(&text).map_err(|e| malformed(part)(&e))
}

fn selector(message: &types::Selector) -> Result<Selector, NotUsable> {
    let made = Selector::new(&message.r#type, &message.value);
    made.map_err(|e| malformed("a selector")(&e))
}

fn ttl(seconds: i32) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

fn x509_authority(message: types::X509Certificate) -> Result<X509Authority, NotUsable> {
    let parsed = X509Authority::from_der(&message.asn1);
    let authority = parsed.map_err(|e| malformed("the certificate")(&e))?;
    Ok(authority.with_taint(message.tainted))
}

fn jwt_authority(message: types::JwtKey) -> Result<JwtAuthority, NotUsable> {
    let key = PublicKey::from_spki_der(&message.public_key);
    let key = key.map_err(|e| malformed("the public key")(&e))?;
    let made = JwtAuthority::new(message.key_id, key);
    let mut authority = made.map_err(|e| malformed("the key id")(&e))?;
    authority.expires_at = instant(message.expires_at);
    authority.tainted = message.tainted;
    Ok(authority)
}
