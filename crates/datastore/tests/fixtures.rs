//! Stores written by earlier programs still open, and say what they said.
//!
//! `tests/fixtures/schema-<n>.redb` was written by the first program with schema n, and is never
//! written again: a change of schema adds a fixture and a migration. The ignored test at the end
//! wrote the newest one; it refuses to replace it.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use signet_datastore::{
    Commit, RedbStore, Store,
    records::{Fact, Ledger, Slot, SlotKind, SlotState, Stored, Unknown, encode, keys},
};
use signet_model::{
    Agent, Entry, EntryId, JoinToken, Revision, Selector, SelectorSet, Stewardship, Taken,
    TokenHold, TokenId,
};
use signet_spiffe::{Bundle, JwtAuthority, Serial, SpiffeId, TrustDomain, X509Authority};

/// A field that the program which wrote the fixture did not know: number 1000, varint 5.
const FUTURE: [u8; 3] = [0xc0, 0x3e, 5];

#[tokio::test]
async fn a_store_of_schema_1_opens_and_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    fs::copy(fixture("schema-1.redb"), &path).unwrap();
    let store = RedbStore::open(&path).unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.revision, Revision(3));

    let mut ledger = Ledger::default();
    let facts = loaded
        .records
        .iter()
        .map(|r| ledger.take(r, &td()).unwrap());
    let facts: Vec<Fact> = facts.collect();
    let expected = [
        Fact::Other,
        Fact::Agent(agent()),
        Fact::Slot(slot()),
        Fact::Bundle(bundle()),
        Fact::Entry(entry()),
        Fact::Token(token()),
    ];
    assert_eq!(facts, expected);

    let disabled = Entry {
        disabled: true,
        ..entry()
    };
    let commit = ledger.replace(Commit::new(), &disabled);
    assert_eq!(store.commit(commit).await.unwrap(), Revision(4));
    let records = store.load().await.unwrap().records;
    let rewritten = records.iter().find(|r| r.key == entry().key()).unwrap();
    assert!(rewritten.value.ends_with(&FUTURE));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

fn id(path: &str) -> SpiffeId {
    SpiffeId::new(&td(), path).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn selectors(texts: &[&str]) -> SelectorSet {
    let parsed = texts.iter().map(|text| Selector::parse(text).unwrap());
    parsed.collect()
}

fn entry() -> Entry {
    Entry {
        id: EntryId::parse("0193a5c0-0000-7000-8000-000000000001").unwrap(),
        spiffe_id: id("/web"),
        parent_id: id("/spire/agent/join_token/one"),
        selectors: selectors(&["unix:uid:1000", "unix:path:/usr/bin/web"]),
        x509_svid_ttl: Some(Duration::from_secs(600)),
        jwt_svid_ttl: None,
        federates_with: [TrustDomain::parse("other.org").unwrap()].into(),
        admin: false,
        downstream: true,
        store_svid: false,
        expires_at: Some(at(2_000_000_000)),
        dns_names: vec!["web.example.org".to_owned(), "www.example.org".to_owned()],
        hint: "internal".to_owned(),
        revision_number: 3,
        created_at: at(1_800_000_000),
        disable_x509_svid_prefetch: true,
        jwt_svid_include_jti: true,
        disabled: false,
        stewardship: Stewardship {
            owner: "team-web".to_owned(),
            purpose: "the front".to_owned(),
            review_by: Some(at(1_900_000_000)),
        },
    }
}

fn agent() -> Agent {
    Agent {
        id: id("/spire/agent/join_token/one"),
        attestation_type: "join_token".to_owned(),
        serial: Some(Serial::from_bytes(&[1, 2, 3])),
        expires_at: at(1_800_003_600),
        pending: Some((Serial::from_bytes(&[4, 5]), at(1_800_007_200))),
        selectors: selectors(&["join_token:one"]),
        can_reattest: false,
        agent_version: "0.1.0".to_owned(),
        token: Some(TokenHold { token: token().id }),
        attestation: None,
    }
}

fn token() -> JoinToken {
    JoinToken {
        id: TokenId::from_hash([7; 32]),
        expires_at: at(1_800_000_600),
        taken: Some(Taken {
            key_hash: [9; 32],
            agent_id: id("/spire/agent/join_token/one"),
        }),
        alias: Some(id("/node/one")),
    }
}

fn authority() -> X509Authority {
    let der = fs::read(fixture("authority.der")).unwrap();
    X509Authority::from_der(&der).unwrap()
}

fn bundle() -> Bundle {
    let key = authority().public_key().clone();
    let jwt = JwtAuthority::new("key-1".to_owned(), key).unwrap();
    Bundle {
        trust_domain: td(),
        x509_authorities: vec![authority().with_taint(true)],
        jwt_authorities: vec![JwtAuthority {
            expires_at: Some(at(1_900_000_000)),
            ..jwt.clone()
        }],
        wit_authorities: vec![jwt],
        refresh_hint: Some(Duration::from_secs(300)),
        sequence: 12,
    }
}

fn slot() -> Slot {
    Slot {
        server_id: "server-1".to_owned(),
        slot: "x509-a".to_owned(),
        state: SlotState::Active,
        authority_id: "0a0b".to_owned(),
        key_manager_id: "x509-CA-A".to_owned(),
        issued_at: at(1_800_000_000),
        not_after: at(1_800_086_400),
        kind: SlotKind::X509 {
            certificate: Bytes::from_owner(Arc::clone(&authority().der)),
            upstream_chain: Vec::new(),
            upstream_authority_id: String::new(),
            tainted: false,
        },
    }
}

#[tokio::test]
#[ignore = "writes the fixture, once for each schema"]
async fn write_the_fixture() {
    let path = fixture("schema-1.redb");
    assert!(!path.exists(), "a released fixture is never written again");
    let store = RedbStore::open(path).unwrap();
    let mut with_future = encode(&entry(), &Unknown::default()).to_vec();
    with_future.extend(FUTURE);
    let own = Commit::new()
        .put(bundle().key(), encode(&bundle(), &Unknown::default()))
        .put(slot().key(), encode(&slot(), &Unknown::default()));
    store.commit(own).await.unwrap();
    let node = Commit::new()
        .put(token().key(), encode(&token(), &Unknown::default()))
        .put(agent().key(), encode(&agent(), &Unknown::default()));
    store.commit(node).await.unwrap();
    let unique = keys::unique_entry(&entry());
    let workload = Commit::new()
        .absent(unique.clone())
        .put(unique, keys::owner(&entry().key()))
        .put(entry().key(), with_future);
    store.commit(workload).await.unwrap();
}
