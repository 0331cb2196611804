//! Random values of everything that can be stored, for the tests of encoding.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use proptest::{collection, option, prelude::*};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use signet_model::{
    Agent, Attestation, Entry, EntryId, EvidenceId, JoinToken, Selector, SelectorSet, SingleUse,
    Stewardship, Taken, TokenHold, TokenId, UsedEvidence,
};
use signet_spiffe::{
    Bundle, JwtAuthority, PublicKey, Serial, SpiffeId, TrustDomain, X509Authority,
};

use super::{Condemnation, Slot, SlotKind, SlotState};

/// The trust domain of the server.
pub(super) fn trust_domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

pub(super) fn entry() -> impl Strategy<Value = Entry> {
    let names = (entry_id(), id(), id(), selectors());
    let times = (
        option::of(ttl()),
        option::of(ttl()),
        option::of(some_time()),
        time(),
    );
    let flags = any::<[bool; 6]>();
    let texts = (
        collection::vec("[a-z.]{1,20}", 0..4),
        ".{0,20}",
        any::<i64>(),
    );
    let rest = (collection::btree_set(domain(), 0..4), stewardship());
    (names, times, flags, texts, rest).prop_map(|(names, times, flags, texts, rest)| {
        let [admin, downstream, store_svid, no_prefetch, jti, disabled] = flags;
        Entry {
            id: names.0,
            spiffe_id: names.1,
            parent_id: names.2,
            selectors: names.3,
            x509_svid_ttl: times.0,
            jwt_svid_ttl: times.1,
            federates_with: rest.0,
            admin,
            downstream,
            store_svid,
            expires_at: times.2,
            dns_names: texts.0,
            hint: texts.1,
            revision_number: texts.2,
            created_at: times.3,
            disable_x509_svid_prefetch: no_prefetch,
            jwt_svid_include_jti: jti,
            disabled,
            stewardship: rest.1,
        }
    })
}

pub(super) fn agent() -> impl Strategy<Value = Agent> {
    let svid = (option::of(serial()), time(), option::of((serial(), time())));
    let hold = option::of(token_id().prop_map(|token| TokenHold { token }));
    let texts = ("[a-z0-9_]{0,12}", ".{0,12}");
    let how = (any::<bool>(), option::of(attestation()));
    (agent_id(), texts, svid, selectors(), how, hold).prop_map(
        |(id, texts, svid, selectors, (can_reattest, attestation), token)| Agent {
            id,
            attestation_type: texts.0,
            serial: svid.0,
            expires_at: svid.1,
            pending: svid.2,
            selectors,
            can_reattest,
            agent_version: texts.1,
            token,
            attestation,
        },
    )
}

pub(super) fn token() -> impl Strategy<Value = JoinToken> {
    (token_id(), time(), option::of(taken()), option::of(id())).prop_map(
        |(id, expires_at, taken, alias)| JoinToken {
            id,
            expires_at,
            taken,
            alias,
        },
    )
}

pub(super) fn used() -> impl Strategy<Value = UsedEvidence> {
    let what = (any::<[u8; 32]>(), time()).prop_map(|(hash, until)| SingleUse {
        id: EvidenceId::from_hash(hash),
        until,
    });
    (what, taken()).prop_map(|(what, taken)| UsedEvidence { what, taken })
}

fn taken() -> impl Strategy<Value = Taken> {
    let taken = (any::<[u8; 32]>(), agent_id());
    taken.prop_map(|(key_hash, agent_id)| Taken { key_hash, agent_id })
}

fn attestation() -> impl Strategy<Value = Attestation> {
    let proofs = collection::vec("[a-z0-9_]{1,12}", 0..3);
    (time(), proofs).prop_map(|(at, proofs)| Attestation { at, proofs })
}

pub(super) fn bundle() -> impl Strategy<Value = Bundle> {
    let x509 = any::<bool>().prop_map(|tainted| authority().clone().with_taint(tainted));
    let keys = || collection::vec(key(), 0..3);
    let hint = option::of((0..i64::MAX as u64).prop_map(Duration::from_secs));
    let x509 = collection::vec(x509, 0..3);
    (domain(), x509, keys(), keys(), hint, any::<u64>()).prop_map(
        |(trust_domain, x509_authorities, jwt_authorities, wit_authorities, hint, sequence)| {
            Bundle {
                trust_domain,
                x509_authorities,
                jwt_authorities,
                wit_authorities,
                refresh_hint: hint,
                sequence,
            }
        },
    )
}

pub(super) fn slot() -> impl Strategy<Value = Slot> {
    let states = [SlotState::Prepared, SlotState::Active, SlotState::Old];
    let names = (
        "[a-z0-9-]{1,20}",
        "[a-z0-9-]{1,9}",
        "[a-f0-9]{0,40}",
        "[a-z0-9-]{0,20}",
    );
    let state = proptest::sample::select(states.to_vec());
    (names, state, time(), time(), slot_kind()).prop_map(
        |(names, state, issued_at, not_after, kind)| Slot {
            server_id: names.0,
            slot: names.1,
            state,
            authority_id: names.2,
            key_manager_id: names.3,
            issued_at,
            not_after,
            kind,
        },
    )
}

pub(super) fn condemnation() -> impl Strategy<Value = Condemnation> {
    let names = ("[a-z0-9-]{1,20}", "[a-z0-9-]{1,20}", ".{0,20}");
    let ids = collection::vec("[a-zA-Z0-9]{1,40}", 0..4);
    (names, ids, time()).prop_map(|(names, authority_ids, begun_at)| Condemnation {
        server_id: names.0,
        kind: names.1,
        authority_ids,
        reason: names.2,
        begun_at,
    })
}

fn slot_kind() -> impl Strategy<Value = SlotKind> {
    let der = || collection::vec(any::<u8>(), 0..50).prop_map(Bytes::from);
    let x509 = (
        der(),
        collection::vec(der(), 0..3),
        "[a-f0-9]{0,40}",
        any::<bool>(),
    );
    prop_oneof![
        x509.prop_map(
            |(certificate, upstream_chain, id, tainted)| SlotKind::X509 {
                certificate,
                upstream_chain,
                upstream_authority_id: id,
                tainted,
            }
        ),
        any::<bool>().prop_map(|tainted| SlotKind::Jwt {
            public_key: public_key(),
            tainted,
        }),
        any::<bool>().prop_map(|tainted| SlotKind::Wit {
            public_key: public_key(),
            tainted,
        }),
    ]
}

fn authority() -> &'static X509Authority {
    static AUTHORITY: OnceLock<X509Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        X509Authority::from_der(certificate.der()).unwrap()
    })
}

fn public_key() -> PublicKey {
    authority().public_key().clone()
}

fn key() -> impl Strategy<Value = JwtAuthority> {
    ("[a-zA-Z0-9]{1,32}", option::of(some_time()), any::<bool>()).prop_map(
        |(key_id, expires_at, tainted)| JwtAuthority {
            expires_at,
            tainted,
            ..JwtAuthority::new(key_id, public_key()).unwrap()
        },
    )
}

fn stewardship() -> impl Strategy<Value = Stewardship> {
    (".{0,12}", ".{0,12}", option::of(some_time())).prop_map(|(owner, purpose, review_by)| {
        Stewardship {
            owner,
            purpose,
            review_by,
        }
    })
}

fn selectors() -> impl Strategy<Value = SelectorSet> {
    let selector = ("[a-z0-9_]{1,8}", ".{1,20}");
    let selector = selector.prop_map(|(kind, value)| Selector::new(&kind, &value).unwrap());
    collection::vec(selector, 0..5).prop_map(|selectors| selectors.into_iter().collect())
}

fn entry_id() -> impl Strategy<Value = EntryId> {
    "[A-Za-z0-9._-]{1,40}".prop_map(|text| EntryId::parse(&text).unwrap())
}

fn domain() -> impl Strategy<Value = TrustDomain> {
    "[a-z][a-z0-9.-]{0,20}".prop_map(|name| TrustDomain::parse(&name).unwrap())
}

fn id() -> impl Strategy<Value = SpiffeId> {
    (domain(), "(/[a-z0-9_-]{1,8}){0,4}").prop_map(|(td, path)| SpiffeId::new(&td, &path).unwrap())
}

fn agent_id() -> impl Strategy<Value = SpiffeId> {
    "(/[a-z0-9_-]{1,8}){1,3}"
        .prop_map(|path| SpiffeId::new(&trust_domain(), &format!("/spire/agent{path}")).unwrap())
}

fn token_id() -> impl Strategy<Value = TokenId> {
    any::<[u8; 32]>().prop_map(TokenId::from_hash)
}

fn serial() -> impl Strategy<Value = Serial> {
    collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Serial::from_bytes(&bytes))
}

fn ttl() -> impl Strategy<Value = Duration> {
    (1..10_000_000_u64).prop_map(Duration::from_secs)
}

fn time() -> impl Strategy<Value = SystemTime> {
    (0..10_000_000_000_u64).prop_map(|s| UNIX_EPOCH + Duration::from_secs(s))
}

/// A time that is there: zero would mean that it is not.
fn some_time() -> impl Strategy<Value = SystemTime> {
    (1..10_000_000_000_u64).prop_map(|s| UNIX_EPOCH + Duration::from_secs(s))
}
