//! What the tests of this crate are made of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signet_spiffe::{PublicKey, Serial, SpiffeId, TrustDomain};

use crate::approve::{Moment, Policy};
use crate::{Agent, Change, Entry, EntryId, Index, Selector, SelectorSet, Stewardship};

/// SubjectPublicKeyInfo of an EC P-256 key that nobody has the private half of.
const SPKI: [u8; 91] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x1e, 0x1f, 0xbf, 0x65, 0x95,
    0x51, 0x04, 0xfd, 0x8e, 0x77, 0x5e, 0x8d, 0x7f, 0x72, 0xb7, 0x84, 0x4f, 0xe0, 0x02, 0x30, 0x08,
    0x86, 0xc7, 0x55, 0x0a, 0x44, 0x66, 0x84, 0x5b, 0x40, 0x95, 0xd3, 0x66, 0x3a, 0x64, 0xd4, 0x4b,
    0xbd, 0xd7, 0x95, 0xc9, 0x4b, 0x72, 0x6f, 0x29, 0x21, 0x0c, 0xfb, 0x08, 0xfe, 0xad, 0x0b, 0xd8,
    0x85, 0x65, 0x80, 0x49, 0x7e, 0x20, 0xb6, 0xd6, 0x5c, 0x37, 0x4f,
];

pub(crate) fn key() -> PublicKey {
    PublicKey::from_spki_der(&SPKI).unwrap()
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap()
}

pub(crate) fn agent_id(name: &str) -> SpiffeId {
    id(&format!("/spire/agent/test/{name}"))
}

pub(crate) fn set(selectors: &[&str]) -> SelectorSet {
    let selectors = selectors.iter();
    selectors.map(|s| Selector::parse(s).unwrap()).collect()
}

pub(crate) fn serial(number: u8) -> Serial {
    Serial::from_bytes(&[number])
}

/// An entry under this parent for this identity, with one selector.
pub(crate) fn entry(name: &str, parent_id: SpiffeId, spiffe_id: SpiffeId) -> Entry {
    Entry {
        id: EntryId::parse(name).unwrap(),
        spiffe_id,
        parent_id,
        selectors: set(&["unix:uid:1000"]),
        x509_svid_ttl: None,
        jwt_svid_ttl: None,
        federates_with: BTreeSet::new(),
        admin: false,
        downstream: false,
        store_svid: false,
        expires_at: None,
        dns_names: Vec::new(),
        hint: String::new(),
        revision_number: 0,
        created_at: at(0),
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
        disabled: false,
        stewardship: Stewardship::default(),
    }
}

/// A node alias: agents with these selectors may serve what is below this identity.
pub(crate) fn alias(name: &str, spiffe_id: SpiffeId, selectors: &[&str]) -> Entry {
    Entry {
        selectors: set(selectors),
        ..entry(name, id("/spire/server"), spiffe_id)
    }
}

/// An agent with these selectors whose SVID has serial 1 and ends after 10,000 seconds.
pub(crate) fn agent(name: &str, selectors: &[&str]) -> Agent {
    Agent {
        id: agent_id(name),
        attestation_type: "test".to_owned(),
        serial: Some(serial(1)),
        expires_at: at(10_000),
        pending: None,
        selectors: set(selectors),
        can_reattest: false,
        agent_version: String::new(),
        token: None,
        attestation: None,
    }
}

pub(crate) fn put_entry(entry: Entry) -> Change {
    Change::PutEntry(Arc::new(entry))
}

pub(crate) fn put_agent(agent: Agent) -> Change {
    Change::PutAgent(Arc::new(agent))
}

pub(crate) fn index(changes: impl IntoIterator<Item = Change>) -> Index {
    let mut index = Index::new(td());
    for change in changes {
        index.apply(&change);
    }
    index
}

/// The ids of the entries the agent may serve.
pub(crate) fn served(index: &Index, agent: &SpiffeId, now: SystemTime) -> Vec<String> {
    let entries = index.authorized(agent, now);
    entries.iter().map(|entry| entry.id.to_string()).collect()
}

pub(crate) fn policy() -> Policy {
    Policy {
        trust_domain: td(),
        default_x509_svid_ttl: Duration::from_secs(3600),
        default_jwt_svid_ttl: Duration::from_secs(300),
        agent_ttl: None,
        jwt_issuer: None,
        wit_issuer: None,
    }
}

/// The thousandth second, under an authority that is good for a day.
pub(crate) fn moment() -> Moment {
    Moment {
        now: at(1000),
        authority_not_after: at(87_400),
    }
}
