//! Answers of upstreams, good and bad, as they are judged before use.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SanType};
use signet_crypto::KeyType;
use signet_runtime::{Clock, TokioClock};
use signet_spiffe::certificate::NotIssuedBy;
use signet_spiffe::path::{PathError, SignerDefect};
use signet_spiffe::{JwtAuthority, TrustDomain};
use signet_upstream::testing::{Behaviour, FakeUpstream, Pki, contract, request};
use signet_upstream::{
    InvalidAnswer, MINT_TIMEOUT, MintedCa, UpstreamCa, UpstreamError, mint, publish_jwt,
    publish_wit, validate,
};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::starting_at(now()))
}

fn trust_domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// What becomes of an answer of `pki` that `spoil` and `garble` had their way with.
fn judged(
    pki: &Pki,
    spoil: impl FnOnce(&mut CertificateParams),
    garble: impl FnOnce(&mut MintedCa),
) -> Result<UpstreamCa, InvalidAnswer> {
    let (key, request) = request(&trust_domain(), KeyType::EcP256);
    let mut minted = pki.mint(&request, HOUR, now(), spoil);
    garble(&mut minted);
    validate(minted, key.public_key(), &trust_domain(), now())
}

fn spoiled(spoil: impl FnOnce(&mut CertificateParams)) -> InvalidAnswer {
    judged(&Pki::new("root", now()), spoil, |_| {}).unwrap_err()
}

fn garbled(garble: impl FnOnce(&mut MintedCa)) -> InvalidAnswer {
    judged(&Pki::new("root", now()), |_| {}, garble).unwrap_err()
}

fn limit(below: u8) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below))
}

#[tokio::test(start_paused = true)]
async fn the_fake_keeps_the_contract_with_and_without_jwt_keys() {
    let clock = clock();
    let fake = FakeUpstream::new(Pki::new("root", now()), Arc::clone(&clock));
    contract::check(&fake, &trust_domain(), &clock).await;
    let fake = FakeUpstream::new(Pki::new("root", now()), Arc::clone(&clock)).with_keys();
    contract::check(&fake, &trust_domain(), &clock).await;
}

#[test]
fn chains_of_one_two_and_three_are_taken_as_they_are() {
    let one = Pki::new("root", now());
    let two = Pki::new("root", now()).below("a", |_| {});
    let three = Pki::new("root", now())
        .below("a", |_| {})
        .below("b", |_| {});
    for (pki, length) in [(one, 1), (two, 2), (three, 3)] {
        let ca = judged(&pki, |_| {}, |_| {}).unwrap();
        assert_eq!(ca.chain.len(), length);
        assert_eq!(ca.root, pki.root());
    }
}

#[test]
fn an_authority_without_uri_name_and_one_with_digital_signature_are_taken() {
    let pki = Pki::new("root", now());
    judged(&pki, |params| params.subject_alt_names.clear(), |_| {}).unwrap();
    let signs = |params: &mut CertificateParams| {
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
    };
    judged(&pki, signs, |_| {}).unwrap();
}

#[test]
fn a_root_sent_along_in_the_chain_is_left_out() {
    let with_root = |minted: &mut MintedCa| minted.chain.push(Arc::clone(&minted.roots[0].der));
    let ca = judged(&Pki::new("root", now()), |_| {}, with_root).unwrap();
    assert_eq!(ca.chain.len(), 1);
}

#[test]
fn the_right_root_is_found_among_others_of_the_same_name() {
    let pki = Pki::new("root", now());
    let others = |minted: &mut MintedCa| {
        minted.roots.insert(0, Pki::new("root", now()).root());
        minted.roots.insert(0, Pki::new("other", now()).root());
    };
    assert_eq!(judged(&pki, |_| {}, others).unwrap().root, pki.root());
}

#[test]
fn an_answer_without_certificates_or_roots_is_refused() {
    let refused = garbled(|minted| minted.chain.clear());
    assert_eq!(refused, InvalidAnswer::Chain(PathError::Empty));
    let refused = garbled(|minted| minted.roots.clear());
    assert_eq!(refused, InvalidAnswer::NoRoots);
}

#[test]
fn too_many_roots_and_too_long_a_chain_are_refused() {
    let refused = garbled(|minted| minted.roots = vec![minted.roots[0].clone(); 129]);
    assert_eq!(refused, InvalidAnswer::TooManyRoots { count: 129 });
    let refused = garbled(|minted| minted.chain = vec![minted.chain[0].clone(); 17]);
    assert_eq!(
        refused,
        InvalidAnswer::Chain(PathError::TooLong { len: 17 })
    );
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let refused = garbled(|minted| minted.chain[0] = Arc::from(&b"no certificate"[..]));
    assert!(matches!(
        refused,
        InvalidAnswer::Chain(PathError::Certificate { index: 0, .. })
    ));
}

#[test]
fn an_authority_for_another_key_is_refused() {
    let (_, asked) = request(&trust_domain(), KeyType::EcP256);
    let (other, _) = request(&trust_domain(), KeyType::EcP256);
    let minted = Pki::new("root", now()).mint(&asked, HOUR, now(), |_| {});
    let refused = validate(minted, other.public_key(), &trust_domain(), now()).unwrap_err();
    assert_eq!(refused, InvalidAnswer::OtherKey);
}

#[test]
fn an_expired_authority_and_one_of_the_future_are_refused() {
    let not_valid = InvalidAnswer::NotValidNow { index: 0 };
    let expired = spoiled(|params| params.not_after = (now() - HOUR).into());
    assert_eq!(expired, not_valid);
    let early = spoiled(|params| params.not_before = (now() + HOUR).into());
    assert_eq!(early, not_valid);
}

#[test]
fn a_leaf_in_place_of_an_authority_is_refused() {
    let refused = spoiled(|params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(refused, InvalidAnswer::Authority(SignerDefect::NotCa));
}

#[test]
fn an_authority_without_key_cert_sign_or_with_too_much_is_refused() {
    let refused = spoiled(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let lacks = SignerDefect::MayNotSignCertificates;
    assert_eq!(refused, InvalidAnswer::Authority(lacks));
    let refused = spoiled(|params| params.key_usages.clear());
    assert_eq!(refused, InvalidAnswer::KeyUsage);
    let refused = spoiled(|params| params.key_usages.push(KeyUsagePurpose::KeyEncipherment));
    assert_eq!(refused, InvalidAnswer::KeyUsage);
}

#[test]
fn an_authority_of_another_trust_domain_or_with_a_path_or_two_names_is_refused() {
    let name = |uri: &str| SanType::URI(uri.try_into().unwrap());
    let other = spoiled(|params| params.subject_alt_names = vec![name("spiffe://other.org")]);
    assert!(matches!(other, InvalidAnswer::Id { .. }), "{other:?}");
    let path = spoiled(|params| params.subject_alt_names = vec![name("spiffe://example.org/ca")]);
    assert_eq!(path, InvalidAnswer::Authority(SignerDefect::HasPath));
    let two = spoiled(|params| params.subject_alt_names.push(name("spiffe://example.org")));
    let count = SignerDefect::UriCount { count: 2 };
    assert_eq!(two, InvalidAnswer::Authority(count));
    let web = spoiled(|params| params.subject_alt_names = vec![name("https://example.org")]);
    assert!(matches!(web, InvalidAnswer::Id { .. }), "{web:?}");
}

#[test]
fn a_chain_to_another_root_is_refused_whatever_that_root_is_called() {
    let roots = 1;
    let refused = garbled(|minted| minted.roots = vec![Pki::new("other", now()).root()]);
    let source = NotIssuedBy::Name;
    assert_eq!(refused, InvalidAnswer::NoRoot { roots, source });
    let refused = garbled(|minted| minted.roots = vec![Pki::new("root", now()).root()]);
    let source = NotIssuedBy::Signature;
    assert_eq!(refused, InvalidAnswer::NoRoot { roots, source });
}

#[test]
fn a_chain_with_a_missing_or_exchanged_link_is_refused() {
    let pki = || {
        Pki::new("root", now())
            .below("a", |_| {})
            .below("b", |_| {})
    };
    let missing = |minted: &mut MintedCa| drop(minted.chain.remove(1));
    assert_eq!(
        judged(&pki(), |_| {}, missing).unwrap_err(),
        InvalidAnswer::Broken {
            index: 0,
            source: NotIssuedBy::Name
        }
    );
    let exchanged = |minted: &mut MintedCa| {
        let other = pki();
        minted.chain[1] = Arc::clone(other.certificates().last().unwrap());
    };
    assert_eq!(
        judged(&pki(), |_| {}, exchanged).unwrap_err(),
        InvalidAnswer::Broken {
            index: 0,
            source: NotIssuedBy::Signature
        }
    );
}

#[test]
fn an_expired_intermediate_and_an_expired_root_are_refused() {
    let expire = |params: &mut CertificateParams| params.not_after = (now() - HOUR).into();
    let pki = Pki::new("root", now()).below("a", expire);
    let refused = judged(&pki, |_| {}, |_| {}).unwrap_err();
    assert_eq!(refused, InvalidAnswer::NotValidNow { index: 1 });
    let pki = Pki::with_root("root", now(), expire);
    let refused = judged(&pki, |_| {}, |_| {}).unwrap_err();
    assert_eq!(refused, InvalidAnswer::RootNotValidNow);
}

#[test]
fn path_lengths_must_leave_room_for_this_authority_and_a_leaf() {
    let enough = Pki::with_root("root", now(), limit(2)).below("a", limit(1));
    judged(&enough, limit(0), |_| {}).unwrap();
    let root = Pki::with_root("root", now(), limit(1)).below("a", limit(1));
    let refused = judged(&root, |_| {}, |_| {}).unwrap_err();
    assert_eq!(refused, InvalidAnswer::PathLength { index: 2 });
    let intermediate = Pki::new("root", now()).below("a", limit(0));
    let refused = judged(&intermediate, |_| {}, |_| {}).unwrap_err();
    assert_eq!(refused, InvalidAnswer::PathLength { index: 1 });
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_is_given_up_in_time() {
    let clock = clock();
    let fake = FakeUpstream::new(Pki::new("root", now()), Arc::clone(&clock));
    fake.behave(Behaviour::Hangs);
    let (_, request) = request(&trust_domain(), KeyType::EcP256);
    let error = mint(&fake, &request, HOUR, &trust_domain(), &clock)
        .await
        .unwrap_err();
    assert!(matches!(error, UpstreamError::TimedOut { after } if after == MINT_TIMEOUT));
    assert!(error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_refused_says_what_is_wrong_and_is_not_tried_at_once() {
    let clock = clock();
    let fake = FakeUpstream::new(Pki::new("root", now()), Arc::clone(&clock));
    fake.behave(Behaviour::Spoils(Arc::new(|params| {
        params.not_after = (now() - HOUR).into();
    })));
    let (_, request) = request(&trust_domain(), KeyType::EcP256);
    let error = mint(&fake, &request, HOUR, &trust_domain(), &clock)
        .await
        .unwrap_err();
    assert!(!error.is_transient());
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "certificate 0 of the chain is not valid now");
}

#[tokio::test(start_paused = true)]
async fn a_published_key_that_is_not_in_the_answer_is_not_published() {
    let fake = FakeUpstream::new(Pki::new("root", now()), clock()).with_keys();
    let key = |id: &str| {
        let (key, _) = request(&trust_domain(), KeyType::EcP256);
        JwtAuthority::new(id.to_owned(), key.public_key().clone()).unwrap()
    };
    publish_jwt(&fake, &key("one")).await.unwrap().unwrap();
    publish_wit(&fake, &key("two")).await.unwrap().unwrap();
    for taken in [
        publish_jwt(&fake, &key("one")).await,
        publish_wit(&fake, &key("two")).await,
    ] {
        assert!(matches!(
            taken,
            Err(UpstreamError::Answer(InvalidAnswer::NotPublished))
        ));
    }
}
