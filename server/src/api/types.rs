//! `spire.api.types` to and from our words: one conversion a message.

use signet_model::{Agent, Entry, EntryId, Selector, SelectorSet, Stewardship};
use signet_proto::spire::types as wire;
use signet_spiffe::certificate::split_concatenated;
use signet_spiffe::{Bundle, JwtAuthority, PublicKey, SpiffeId, TrustDomain, X509Authority};
use std::time::{Duration, SystemTime};
use tonic::{Code, Status};

/// Authorities that one federated bundle may carry: SPIRE bundles hold a handful, large
/// federations some dozens; each costs a parse.
const MAX_AUTHORITIES: usize = 1000;

/// A message that cannot be read; the text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    /// A text in SPIRE's form: what, then why.
    pub fn new(what: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        Self::invalid_argument(malformed.0)
    }
}

/// An error and its causes in one line, as SPIRE's texts are.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The status of one item of a batch.
pub fn item_status(code: Code, message: impl Into<String>) -> Option<wire::Status> {
    Some(wire::Status {
        code: code as i32,
        message: message.into(),
    })
}

/// The status of an item that went well.
pub fn item_ok() -> Option<wire::Status> {
    item_status(Code::Ok, "OK")
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The instant of a number of seconds; 0 and less mean none.
pub fn instant(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Whole seconds of a duration for a 32-bit field; none is 0.
pub fn ttl_seconds(ttl: Option<Duration>) -> i32 {
    ttl.map_or(0, |ttl| i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX))
}

/// A SPIFFE ID in two parts.
pub fn spiffe_id(id: &SpiffeId) -> wire::Spiffeid {
    let trust_domain = id.trust_domain().name().to_owned();
    wire::Spiffeid {
        trust_domain,
        path: id.path().to_owned(),
    }
}

/// The SPIFFE ID that a request names.
pub fn read_spiffe_id(what: &str, id: Option<&wire::Spiffeid>) -> Result<SpiffeId, Malformed> {
    let id = id.ok_or_else(|| Malformed::new(what, "request must specify SPIFFE ID"))?;
    let trust_domain = read_trust_domain(what, &id.trust_domain)?;
    let path = match id.path.strip_prefix('/') {
        Some(_) => id.path.clone(),
        None if id.path.is_empty() => String::new(),
        None => format!("/{}", id.path),
    };
    SpiffeId::new(&trust_domain, &path).map_err(|error| Malformed::new(what, error))
}

/// A trust domain by its name or its SPIFFE ID.
pub fn read_trust_domain(what: &str, name: &str) -> Result<TrustDomain, Malformed> {
    TrustDomain::from_name_or_id(name).map_err(|error| Malformed::new(what, error))
}

/// A selector.
pub fn selector(selector: &Selector) -> wire::Selector {
    wire::Selector {
        r#type: selector.kind().to_owned(),
        value: selector.value().to_owned(),
    }
}

/// The selectors that a request names.
pub fn read_selectors(selectors: &[wire::Selector]) -> Result<Vec<Selector>, Malformed> {
    let read = |selector: &wire::Selector| {
        Selector::new(&selector.r#type, &selector.value)
            .map_err(|error| Malformed::new("invalid selector", error))
    };
    selectors.iter().map(read).collect()
}

fn selectors(set: &SelectorSet) -> Vec<wire::Selector> {
    set.iter().map(selector).collect()
}

/// An entry.
pub fn entry(entry: &Entry) -> wire::Entry {
    let attributes = wire::entry::AdditionalAttributes {
        disable_x509_svid_prefetch: entry.disable_x509_svid_prefetch,
        jwt_svid_include_jti: entry.jwt_svid_include_jti,
    };
    let has_attributes = entry.disable_x509_svid_prefetch || entry.jwt_svid_include_jti;
    wire::Entry {
        id: entry.id.to_string(),
        spiffe_id: Some(spiffe_id(&entry.spiffe_id)),
        parent_id: Some(spiffe_id(&entry.parent_id)),
        selectors: selectors(&entry.selectors),
        x509_svid_ttl: ttl_seconds(entry.x509_svid_ttl),
        federates_with: entry
            .federates_with
            .iter()
            .map(|td| td.name().to_owned())
            .collect(),
        admin: entry.admin,
        downstream: entry.downstream,
        expires_at: entry.expires_at.map_or(0, seconds),
        dns_names: entry.dns_names.clone(),
        revision_number: entry.revision_number,
        store_svid: entry.store_svid,
        jwt_svid_ttl: ttl_seconds(entry.jwt_svid_ttl),
        hint: entry.hint.clone(),
        created_at: seconds(entry.created_at),
        additional_attributes: has_attributes.then_some(attributes),
    }
}

/// The entry that a request describes. Without an id it gets `new_id`.
pub fn read_entry(
    entry: &wire::Entry,
    new_id: impl FnOnce() -> EntryId,
) -> Result<Entry, Malformed> {
    let id = match entry.id.as_str() {
        "" => new_id(),
        id => EntryId::parse(id).map_err(|error| Malformed::new("invalid entry ID", error))?,
    };
    let attributes = entry.additional_attributes.unwrap_or_default();
    Ok(Entry {
        id,
        spiffe_id: read_spiffe_id("invalid spiffe ID", entry.spiffe_id.as_ref())?,
        parent_id: read_spiffe_id("invalid parent ID", entry.parent_id.as_ref())?,
        selectors: read_selectors(&entry.selectors)?.into_iter().collect(),
        x509_svid_ttl: read_ttl("x509_svid_ttl", entry.x509_svid_ttl)?,
        jwt_svid_ttl: read_ttl("jwt_svid_ttl", entry.jwt_svid_ttl)?,
        federates_with: entry
            .federates_with
            .iter()
            .map(|name| read_trust_domain("invalid federated trust domain", name))
            .collect::<Result<_, _>>()?,
        admin: entry.admin,
        downstream: entry.downstream,
        store_svid: entry.store_svid,
        expires_at: instant(entry.expires_at),
        dns_names: entry.dns_names.clone(),
        hint: entry.hint.clone(),
        revision_number: 0,
        created_at: SystemTime::UNIX_EPOCH,
        disable_x509_svid_prefetch: attributes.disable_x509_svid_prefetch,
        jwt_svid_include_jti: attributes.jwt_svid_include_jti,
        disabled: false,
        stewardship: Stewardship::default(),
    })
}

/// A TTL in seconds; 0 is none.
pub fn read_ttl(field: &'static str, seconds: i32) -> Result<Option<Duration>, Malformed> {
    signet_model::entry::ttl(field, i64::from(seconds))
        .map_err(|error| Malformed::new("invalid TTL", error))
}

/// Keeps the fields of the mask; all without one. The id always stays.
pub fn mask_entry(entry: &mut wire::Entry, mask: Option<&wire::EntryMask>) {
    let Some(mask) = mask else { return };
    let none = wire::Entry::default();
    macro_rules! keep {
        ($($field:ident),*) => { $(if !mask.$field { entry.$field = none.$field; })* };
    }
    keep!(
        spiffe_id,
        parent_id,
        selectors,
        x509_svid_ttl,
        federates_with,
        admin,
        downstream,
        expires_at,
        dns_names,
        revision_number,
        store_svid,
        jwt_svid_ttl,
        hint,
        created_at,
        additional_attributes
    );
}

/// An agent.
pub fn agent(agent: &Agent) -> wire::Agent {
    wire::Agent {
        id: Some(spiffe_id(&agent.id)),
        attestation_type: agent.attestation_type.clone(),
        x509svid_serial_number: agent
            .serial
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        x509svid_expires_at: seconds(agent.expires_at),
        selectors: selectors(&agent.selectors),
        banned: agent.is_banned(),
        can_reattest: agent.can_reattest,
        agent_version: agent.agent_version.clone(),
    }
}

/// Keeps the fields of the mask; all without one. The id always stays.
pub fn mask_agent(agent: &mut wire::Agent, mask: Option<&wire::AgentMask>) {
    let Some(mask) = mask else { return };
    let none = wire::Agent::default();
    macro_rules! keep {
        ($($field:ident),*) => { $(if !mask.$field { agent.$field = none.$field; })* };
    }
    keep!(
        attestation_type,
        x509svid_serial_number,
        x509svid_expires_at,
        selectors,
        banned,
        can_reattest,
        agent_version
    );
}

/// A bundle.
pub fn bundle(bundle: &Bundle) -> wire::Bundle {
    wire::Bundle {
        trust_domain: bundle.trust_domain.name().to_owned(),
        x509_authorities: bundle.x509_authorities.iter().map(x509_authority).collect(),
        jwt_authorities: bundle.jwt_authorities.iter().map(jwt_authority).collect(),
        refresh_hint: bundle
            .refresh_hint
            .map_or(0, |hint| i64::try_from(hint.as_secs()).unwrap_or(i64::MAX)),
        sequence_number: bundle.sequence,
        wit_authorities: bundle.wit_authorities.iter().map(wit_authority).collect(),
    }
}

/// An X.509 authority.
pub fn x509_authority(authority: &X509Authority) -> wire::X509Certificate {
    let asn1 = bytes::Bytes::copy_from_slice(&authority.der);
    wire::X509Certificate {
        asn1,
        tainted: authority.tainted,
    }
}

/// A JWT authority.
pub fn jwt_authority(authority: &JwtAuthority) -> wire::JwtKey {
    wire::JwtKey {
        public_key: bytes::Bytes::copy_from_slice(authority.public_key.spki_der()),
        key_id: authority.key_id.clone(),
        expires_at: authority.expires_at.map_or(0, seconds),
        tainted: authority.tainted,
    }
}

/// A WIT authority.
pub fn wit_authority(authority: &JwtAuthority) -> wire::WitKey {
    wire::WitKey {
        public_key: bytes::Bytes::copy_from_slice(authority.public_key.spki_der()),
        key_id: authority.key_id.clone(),
        expires_at: authority.expires_at.map_or(0, seconds),
        tainted: authority.tainted,
    }
}

/// The bundle that a request describes. Taint flags and WIT keys of others are not taken over.
pub fn read_bundle(bundle: &wire::Bundle) -> Result<Bundle, Malformed> {
    let trust_domain = read_trust_domain("invalid trust domain", &bundle.trust_domain)?;
    Ok(Bundle {
        trust_domain,
        x509_authorities: read_x509_authorities(&bundle.x509_authorities)?,
        jwt_authorities: read_jwt_authorities(&bundle.jwt_authorities)?,
        wit_authorities: Vec::new(),
        refresh_hint: u64::try_from(bundle.refresh_hint)
            .ok()
            .filter(|hint| *hint > 0)
            .map(Duration::from_secs),
        sequence: bundle.sequence_number,
    })
}

/// X.509 authorities of a request: each must be the certificate of a CA.
pub fn read_x509_authorities(
    authorities: &[wire::X509Certificate],
) -> Result<Vec<X509Authority>, Malformed> {
    check_count(authorities.len())?;
    let read = |authority: &wire::X509Certificate| {
        // One field may hold several certificates, one after the other.
        let certificates = split_concatenated(&authority.asn1, MAX_AUTHORITIES)
            .map_err(|error| unreadable(&error))?;
        if certificates.is_empty() {
            let what = "unable to parse X.509 authority";
            return Err(Malformed::new(what, "no certificate"));
        }
        let parse = |der: &&[u8]| X509Authority::from_der(der).map_err(|error| unreadable(&error));
        certificates
            .iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()
    };
    let read: Vec<_> = authorities.iter().map(read).collect::<Result<_, _>>()?;
    Ok(read.into_iter().flatten().collect())
}

fn unreadable(error: &dyn std::error::Error) -> Malformed {
    Malformed::new("unable to parse X.509 authority", chain(error))
}

/// JWT authorities of a request.
pub fn read_jwt_authorities(keys: &[wire::JwtKey]) -> Result<Vec<JwtAuthority>, Malformed> {
    check_count(keys.len())?;
    keys.iter().map(read_jwt_authority).collect()
}

/// A JWT authority: a public key with an id.
pub fn read_jwt_authority(key: &wire::JwtKey) -> Result<JwtAuthority, Malformed> {
    let what = "unable to parse JWT authority";
    read_key(what, &key.key_id, &key.public_key, key.expires_at)
}

/// A WIT authority: a public key with an id.
pub fn read_wit_authority(key: &wire::WitKey) -> Result<JwtAuthority, Malformed> {
    let what = "unable to parse WIT authority";
    read_key(what, &key.key_id, &key.public_key, key.expires_at)
}

fn read_key(
    what: &'static str,
    key_id: &str,
    public_key: &[u8],
    expires_at: i64,
) -> Result<JwtAuthority, Malformed> {
    if key_id.is_empty() {
        return Err(Malformed::new(what, "missing key ID"));
    }
    let public_key = PublicKey::from_spki_der(public_key)
        .map_err(|error| Malformed::new(what, chain(&error)))?;
    let named = JwtAuthority::new(key_id.to_owned(), public_key)
        .map_err(|error| Malformed::new(what, chain(&error)))?;
    Ok(JwtAuthority {
        expires_at: instant(expires_at),
        ..named
    })
}

fn check_count(count: usize) -> Result<(), Malformed> {
    if count > MAX_AUTHORITIES {
        let why = format!("{count} authorities given; the limit is {MAX_AUTHORITIES}");
        return Err(Malformed::new("invalid bundle", why));
    }
    Ok(())
}

/// Keeps the fields of the mask; all without one. The trust domain always stays.
pub fn mask_bundle(bundle: &mut wire::Bundle, mask: Option<&wire::BundleMask>) {
    let Some(mask) = mask else { return };
    let none = wire::Bundle::default();
    macro_rules! keep {
        ($($field:ident),*) => { $(if !mask.$field { bundle.$field = none.$field; })* };
    }
    keep!(
        x509_authorities,
        jwt_authorities,
        refresh_hint,
        sequence_number,
        wit_authorities
    );
}
