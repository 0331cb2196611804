//! Every record survives its encoding, keeps what it does not know, and refuses what is wrong.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use signet_model::{Agent, Change, Entry, JoinToken, Revision, Selector, UsedEvidence};
use signet_proto::signet::store::v1 as wire;
use signet_spiffe::Bundle;

use super::{
    Condemnation, Fact, FieldError, Ledger, Slot, Stored, Unknown, changes, decode, encode, keys,
    samples,
};
use crate::{Commit, Committed, MemoryStore, Record, Store};

fn round_trip<T: Stored + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = encode(value, &Unknown::default());
    let (decoded, unknown) = decode::<T>(&bytes).unwrap();
    assert_eq!(&decoded, value);
    assert!(unknown.is_empty());
    assert_eq!(decoded.key(), value.key());
}

proptest! {
    #[test]
    fn an_entry_survives_its_encoding(entry in samples::entry()) {
        round_trip(&entry);
    }

    #[test]
    fn an_agent_survives_its_encoding(agent in samples::agent()) {
        round_trip(&agent);
    }

    #[test]
    fn a_token_survives_its_encoding(token in samples::token()) {
        round_trip(&token);
    }

    #[test]
    fn used_evidence_survives_its_encoding(used in samples::used()) {
        round_trip(&used);
    }

    #[test]
    fn a_bundle_survives_its_encoding(bundle in samples::bundle()) {
        round_trip(&bundle);
    }

    #[test]
    fn a_slot_survives_its_encoding(slot in samples::slot()) {
        round_trip(&slot);
    }

    #[test]
    fn a_condemnation_survives_its_encoding(condemnation in samples::condemnation()) {
        round_trip(&condemnation);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn damaged_records_never_panic(
        entry in samples::entry(),
        bundle in samples::bundle(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for bytes in [encode(&entry, &Unknown::default()), encode(&bundle, &Unknown::default())] {
            if !bytes.is_empty() {
                let mut bytes = bytes.to_vec();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                decode_as_everything(&bytes);
                decode_as_everything(&bytes[..at]);
            }
        }
    }

    #[test]
    fn two_entries_are_unique_to_each_other_exactly_if_they_are_not_similar(
        one in samples::entry(),
        two in samples::entry(),
    ) {
        let same = keys::unique_entry(&one) == keys::unique_entry(&two);
        prop_assert_eq!(same, one.is_similar(&two));
        let renamed = Entry { id: two.id, hint: two.hint, ..one.clone() };
        prop_assert_eq!(keys::unique_entry(&one), keys::unique_entry(&renamed));
    }

    #[test]
    fn deleting_a_key_deletes_what_was_put_under_it(
        entry in samples::entry(),
        agent in samples::agent(),
        token in samples::token(),
        used in samples::used(),
        bundle in samples::bundle(),
    ) {
        let deletes = vec![entry.key(), agent.key(), token.key(), used.key(), bundle.key()];
        let expected = [
            Change::DeleteEntry(entry.id),
            Change::DeleteAgent(agent.id),
            Change::DeleteToken(token.id),
            Change::DeleteUsed(used.what.id),
            Change::DeleteBundle(bundle.trust_domain),
        ];
        let committed = Committed { revision: Revision(1), puts: vec![], deletes };
        prop_assert_eq!(changes(&committed, &samples::trust_domain()).unwrap(), expected);
    }
}

fn decode_as_everything(bytes: &[u8]) {
    let _ = decode::<Entry>(bytes);
    let _ = decode::<Agent>(bytes);
    let _ = decode::<JoinToken>(bytes);
    let _ = decode::<UsedEvidence>(bytes);
    let _ = decode::<Bundle>(bytes);
    let _ = decode::<Slot>(bytes);
    let _ = decode::<Condemnation>(bytes);
}

/// A value of a strategy, the same each time.
fn sample<S: Strategy>(strategy: S) -> S::Value {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let tree = strategy.new_tree(&mut TestRunner::deterministic());
    tree.unwrap().current()
}

fn record(key: String, value: Bytes) -> Record {
    let revision = Revision(7);
    Record {
        key,
        value,
        revision,
    }
}

/// Field 1000, a varint 5: from a program of the future.
const FUTURE: [u8; 3] = [0xc0, 0x3e, 5];

/// The numbers of the top-level fields of a message, from its `.proto` file.
fn numbers(message: &str) -> Vec<u32> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let files = protox::compile(["signet/store/v1/records.proto"], [root]).unwrap();
    let mut messages = files.file.iter().flat_map(|file| &file.message_type);
    let found = messages.find(|m| m.name() == message).unwrap();
    let numbers = found
        .field
        .iter()
        .map(|field| field.number().unsigned_abs());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_listed_tags_are_those_of_the_messages() {
    assert_eq!(Entry::TAGS, numbers("EntryRecord"));
    assert_eq!(Agent::TAGS, numbers("AgentRecord"));
    assert_eq!(JoinToken::TAGS, numbers("TokenRecord"));
    assert_eq!(UsedEvidence::TAGS, numbers("UsedEvidenceRecord"));
    assert_eq!(Bundle::TAGS, numbers("BundleRecord"));
    assert_eq!(Slot::TAGS, numbers("AuthorityRecord"));
}

#[tokio::test]
async fn fields_of_the_future_are_kept_when_a_record_is_rewritten() {
    let td = samples::trust_domain();
    let store = MemoryStore::new();
    let entry = sample(samples::entry());
    let mut value = encode(&entry, &Unknown::default()).to_vec();
    value.extend(FUTURE);
    store
        .commit(Commit::new().put(entry.key(), value))
        .await
        .unwrap();

    let mut ledger = Ledger::default();
    let loaded = store.load().await.unwrap();
    let fact = ledger.take(&loaded.records[0], &td).unwrap();
    assert_eq!(fact, Fact::Entry(entry.clone()));
    let changed = Entry {
        hint: "changed".to_owned(),
        ..entry
    };
    let commit = ledger.replace(Commit::new(), &changed);
    store.commit(commit).await.unwrap();

    let stored = &store.load().await.unwrap().records[0];
    let (read, unknown) = decode::<Entry>(&stored.value).unwrap();
    assert_eq!((read, unknown.as_bytes()), (changed, &FUTURE[..]));
}

#[tokio::test]
async fn a_ledger_that_is_behind_cannot_write_over_what_it_has_not_seen() {
    let td = samples::trust_domain();
    let store = MemoryStore::new();
    let mut feed = store.changes();
    let token = sample(samples::token());
    let mut ledger = Ledger::default();
    let create = ledger.create(Commit::new(), &token);
    store.commit(create.clone()).await.unwrap();
    assert!(store.commit(create).await.unwrap_err().is_conflict());
    let blind = ledger.replace(Commit::new(), &token);
    assert!(store.commit(blind).await.unwrap_err().is_conflict());
    let blind = ledger.delete(Commit::new(), &token.key());
    assert!(store.commit(blind).await.unwrap_err().is_conflict());

    ledger.apply(&feed.next().await.unwrap(), &td).unwrap();
    assert_eq!(
        (ledger.len(), ledger.revision(&token.key())),
        (1, Some(Revision(1)))
    );
    store
        .commit(ledger.replace(Commit::new(), &token))
        .await
        .unwrap();
    ledger.apply(&feed.next().await.unwrap(), &td).unwrap();
    store
        .commit(ledger.delete(Commit::new(), &token.key()))
        .await
        .unwrap();
    ledger.apply(&feed.next().await.unwrap(), &td).unwrap();
    assert!(ledger.is_empty());
}

#[test]
fn a_record_under_the_key_of_another_is_refused() {
    let entry = sample(samples::entry());
    let value = encode(&entry, &Unknown::default());
    let error = Fact::read(
        &record("v1/entry/other-id".to_owned(), value),
        &samples::trust_domain(),
    );
    assert!(matches!(error.unwrap_err().problem, FieldError::WrongKey));
}

#[test]
fn an_agent_of_another_trust_domain_is_refused() {
    let agent = sample(samples::agent());
    let record = record(agent.key(), encode(&agent, &Unknown::default()));
    let other = signet_spiffe::TrustDomain::parse("other.org").unwrap();
    let error = Fact::read(&record, &other).unwrap_err();
    assert!(matches!(error.problem, FieldError::ForeignAgent));
    assert!(error.to_string().contains(&record.key));
}

#[test]
fn records_of_unknown_kinds_and_uniqueness_records_are_left_alone() {
    for key in [
        "unique/0123",
        "v1/agents/x",
        "v1/agent",
        "v2/entry/a",
        "other",
    ] {
        let record = record(key.to_owned(), Bytes::from_static(b"\xff\xff"));
        let fact = Fact::read(&record, &samples::trust_domain()).unwrap();
        assert_eq!(fact, Fact::Other);
        assert_eq!(fact.into_change(), None);
    }
}

#[test]
fn keys_that_no_record_can_have_delete_nothing() {
    let bad = [
        "v1/entry/",
        "v1/entry/a b",
        "v1/agent/",
        "v1/bundle/UPPER",
        "v1/token/00",
        "v1/used/zz",
    ];
    let deletes = bad.iter().map(ToString::to_string).collect();
    let committed = Committed {
        revision: Revision(1),
        puts: vec![],
        deletes,
    };
    assert!(
        changes(&committed, &samples::trust_domain())
            .unwrap()
            .is_empty()
    );
}

/// An entry record with one field changed.
fn damaged_entry(damage: impl FnOnce(&mut wire::EntryRecord)) -> FieldError {
    let mut wire = sample(samples::entry()).to_wire();
    damage(&mut wire);
    decode::<Entry>(&wire.encode_to_vec()).unwrap_err()
}

#[test]
fn an_entry_with_a_wrong_field_is_refused_by_name() {
    let bad_id = damaged_entry(|e| e.id = "a/b".to_owned());
    assert!(matches!(bad_id, FieldError::EntryId(_)));
    let bad_spiffe_id = damaged_entry(|e| e.spiffe_id = "https://example.org".to_owned());
    assert!(matches!(
        bad_spiffe_id,
        FieldError::Id {
            field: "spiffe_id",
            ..
        }
    ));
    let no_parent = damaged_entry(|e| e.parent_id.clear());
    assert!(matches!(
        no_parent,
        FieldError::Id {
            field: "parent_id",
            ..
        }
    ));
    let bad_domain = damaged_entry(|e| e.federates_with = vec!["A".to_owned()]);
    assert!(matches!(
        bad_domain,
        FieldError::TrustDomain {
            field: "federates_with",
            ..
        }
    ));
    let bad_selector = damaged_entry(|e| e.selectors = vec![wire::SelectorRecord::default()]);
    assert!(matches!(bad_selector, FieldError::Selector(_)));
    let bad_ttl = damaged_entry(|e| e.x509_svid_ttl_seconds = -1);
    assert!(matches!(
        bad_ttl,
        FieldError::Time {
            field: "x509_svid_ttl_seconds"
        }
    ));
    let bad_time = damaged_entry(|e| e.expires_at = i64::MIN);
    assert!(matches!(
        bad_time,
        FieldError::Time {
            field: "expires_at"
        }
    ));
}

#[test]
fn a_hash_of_the_wrong_length_is_refused() {
    for length in [0, 31, 33] {
        let wire = wire::TokenRecord {
            value_hash: vec![0; length].into(),
            ..Default::default()
        };
        let error = decode::<JoinToken>(&wire.encode_to_vec()).unwrap_err();
        assert!(
            matches!(error, FieldError::Hash { field: "value_hash", length: l } if l == length)
        );
    }
}

#[test]
fn a_bundle_with_an_authority_that_is_none_is_refused() {
    let x509 = wire::BundleRecord {
        trust_domain: "example.org".to_owned(),
        x509_authorities: vec![wire::X509AuthorityRecord {
            der: Bytes::from_static(b"no certificate"),
            tainted: false,
        }],
        ..Default::default()
    };
    let error = decode::<Bundle>(&x509.encode_to_vec()).unwrap_err();
    assert!(matches!(error, FieldError::Authority(_)));
    let jwt = wire::BundleRecord {
        trust_domain: "example.org".to_owned(),
        jwt_authorities: vec![wire::KeyAuthorityRecord {
            key_id: "a".to_owned(),
            public_key: Bytes::from_static(b"no key"),
            ..Default::default()
        }],
        ..Default::default()
    };
    let error = decode::<Bundle>(&jwt.encode_to_vec()).unwrap_err();
    assert!(matches!(error, FieldError::PublicKey(_)));
}

#[test]
fn a_slot_without_a_kind_or_with_an_unknown_state_is_refused() {
    let mut wire = sample(samples::slot()).to_wire();
    wire.state = 9;
    let error = decode::<Slot>(&wire.encode_to_vec()).unwrap_err();
    assert!(matches!(error, FieldError::Enumeration { value: 9, .. }));
    wire.state = 0;
    assert!(decode::<Slot>(&wire.encode_to_vec()).is_err());
    wire.state = 1;
    wire.kind = None;
    let error = decode::<Slot>(&wire.encode_to_vec()).unwrap_err();
    assert!(matches!(error, FieldError::Missing { field: "kind" }));
}

#[test]
fn what_is_longer_than_any_value_is_refused_before_it_is_decoded() {
    let error = decode::<Entry>(&vec![0; crate::MAX_VALUE + 1]).unwrap_err();
    assert!(matches!(error, FieldError::TooLong { .. }));
}

#[test]
fn an_end_at_the_epoch_does_not_become_no_end() {
    let entry = Entry {
        expires_at: Some(UNIX_EPOCH),
        x509_svid_ttl: Some(Duration::ZERO),
        ..sample(samples::entry())
    };
    let (read, _) = decode::<Entry>(&encode(&entry, &Unknown::default())).unwrap();
    assert_eq!(read.expires_at, Some(UNIX_EPOCH + Duration::from_secs(1)));
    assert_eq!(read.x509_svid_ttl, Some(Duration::from_secs(1)));
}

#[test]
fn an_error_shows_no_selector_value() {
    let mut wire = sample(samples::entry()).to_wire();
    let secret = Selector::new("k", "hunter2").unwrap();
    wire.selectors = vec![wire::SelectorRecord {
        r#type: "a:b".to_owned(),
        value: secret.value().to_owned(),
    }];
    let error = decode::<Entry>(&wire.encode_to_vec()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
