//! The keys of the store: `v1/<kind>/<id>`, and `unique/<hash>` where two records must not agree.

use bytes::Bytes;
use prost::Message;
use signet_crypto::{hex, sha256};
use signet_model::{Change, Entry, EntryId, EvidenceId, TokenId};
use signet_proto::signet::store::v1 as wire;
use signet_spiffe::{SpiffeId, TrustDomain};

const ENTRY: &str = "v1/entry/";
const AGENT: &str = "v1/agent";
const BUNDLE: &str = "v1/bundle/";
const TOKEN: &str = "v1/token/";
const USED: &str = "v1/used/";
const AUTHORITY: &str = "v1/authority/";
const CONDEMNATION: &str = "v1/condemnation/";
const UNIQUE: &str = "unique/";

/// The kind of record behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Entry,
    Agent,
    Bundle,
    Token,
    Used,
    Authority,
    Condemnation,
}

impl Kind {
    /// The kind, or none if the key is not of a kind with records of its own.
    pub(super) fn of(key: &str) -> Option<Self> {
        let kinds = [
            (ENTRY, Self::Entry),
            (AGENT, Self::Agent),
            (BUNDLE, Self::Bundle),
            (TOKEN, Self::Token),
            (USED, Self::Used),
            (AUTHORITY, Self::Authority),
            (CONDEMNATION, Self::Condemnation),
        ];
        let found = kinds.into_iter().find(|(prefix, kind)| {
            let rest = key.strip_prefix(prefix);
            rest.is_some_and(|rest| *kind != Self::Agent || rest.starts_with('/'))
        });
        found.map(|(_, kind)| kind)
    }
}

/// `v1/entry/<id>`.
pub fn entry(id: &EntryId) -> String {
    format!("{ENTRY}{}", id.as_str())
}

/// `v1/agent<path of the agent's ID>`: all agents are of the server's trust domain.
pub fn agent(id: &SpiffeId) -> String {
    format!("{AGENT}{}", id.path())
}

/// `v1/bundle/<trust domain>`.
pub fn bundle(trust_domain: &TrustDomain) -> String {
    format!("{BUNDLE}{}", trust_domain.name())
}

/// `v1/token/<hash of the token, hexadecimal>`.
pub fn token(id: &TokenId) -> String {
    format!("{TOKEN}{}", hex(id.as_bytes()))
}

/// `v1/used/<hash of the evidence, hexadecimal>`.
pub fn used(id: &EvidenceId) -> String {
    format!("{USED}{}", hex(id.as_bytes()))
}

/// `v1/authority/<server>/<slot>`.
pub fn authority(server_id: &str, slot: &str) -> String {
    format!("{AUTHORITY}{server_id}/{slot}")
}

/// `v1/condemnation/<server>/<kind>`.
pub fn condemnation(server_id: &str, kind: &str) -> String {
    format!("{CONDEMNATION}{server_id}/{kind}")
}

/// The key that only one of all entries with the same SPIFFE ID, parent and selectors can hold. Its
/// record is [`owner`]. A commit that creates an entry demands that it is absent; one that changes
/// the three deletes the old key and demands that the new one is absent.
pub fn unique_entry(entry: &Entry) -> String {
    let selectors = entry.selectors.iter();
    let selectors = selectors.flat_map(|selector| [selector.kind(), selector.value()]);
    let parts = [entry.spiffe_id.as_str(), entry.parent_id.as_str()];
    unique("entry", parts.into_iter().chain(selectors))
}

/// The key of the mark that a cluster declared the bundle of a trust domain. Its record is [`owner`], of
/// the bundle. While bundle and mark were written by the same revision, nobody else has changed the bundle.
pub fn declared_bundle(cluster: &str, trust_domain: &TrustDomain) -> String {
    unique(
        "declared-bundle",
        [cluster, trust_domain.name()].into_iter(),
    )
}

/// `unique/<hash>` over what must be unique. The lengths are hashed too, so that no two lists of
/// parts run together.
fn unique<'a>(what: &'a str, parts: impl Iterator<Item = &'a str>) -> String {
    let mut text = Vec::new();
    for part in [what].into_iter().chain(parts) {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    format!("{UNIQUE}{}", hex(&sha256(&text)))
}

/// The value of a uniqueness record: the key of the record that holds it.
pub fn owner(key: &str) -> Bytes {
    let owner = key.to_owned();
    wire::UniqueRecord { owner }.encode_to_vec().into()
}

/// The change to the index when the record with this key is removed, if the index has an interest.
pub fn deleted(key: &str, trust_domain: &TrustDomain) -> Option<Change> {
    match Kind::of(key)? {
        Kind::Entry => EntryId::parse(key.strip_prefix(ENTRY)?)
            .ok()
            .map(Change::DeleteEntry),
        Kind::Agent => SpiffeId::new(trust_domain, key.strip_prefix(AGENT)?)
            .ok()
            .map(Change::DeleteAgent),
        Kind::Bundle => TrustDomain::parse(key.strip_prefix(BUNDLE)?)
            .ok()
            .map(Change::DeleteBundle),
        Kind::Token => hash(key.strip_prefix(TOKEN)?)
            .map(TokenId::from_hash)
            .map(Change::DeleteToken),
        Kind::Used => hash(key.strip_prefix(USED)?)
            .map(EvidenceId::from_hash)
            .map(Change::DeleteUsed),
        Kind::Authority | Kind::Condemnation => None,
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 2 * hash.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}
