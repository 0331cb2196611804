//! Which chains of certificates count, and which keys in them.

use rcgen::{CertifiedIssuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use signet_crypto::{hex, sha1};
use signet_node_attestor::x509pop::payload::FormError;
use signet_node_attestor::x509pop::{ChainError, Mode, Roots};

use crate::world::{
    Never, Signs, World, attest, authority, below, chain_error, der, fingerprint, form_error,
    issue, leaf, payload, root, texts,
};

#[tokio::test]
async fn payloads_over_the_limits_are_refused_before_anything_is_parsed() {
    type IsExpected = fn(&FormError) -> bool;
    let world = World::new();
    let garbage = |count| payload(vec![vec![0; 10]; count]);
    let cases: [(Vec<u8>, IsExpected); 6] = [
        (Vec::new(), |error| matches!(error, FormError::Json(_))),
        (vec![b'['; 10 << 20], |error| {
            matches!(error, FormError::TooLong { .. })
        }),
        (garbage(0), |error| {
            matches!(error, FormError::NoCertificate)
        }),
        (garbage(6), |error| {
            matches!(error, FormError::TooManyCertificates { count: 6, limit: 5 })
        }),
        (garbage(100), |error| {
            matches!(error, FormError::TooManyCertificates { .. })
        }),
        (payload(vec![vec![0; 40 << 10]]), |error| {
            matches!(error, FormError::CertificateTooLong { index: 0, .. })
        }),
    ];
    for (bytes, is_expected) in cases {
        let error = form_error(attest(world.config(), &bytes, &mut Never).await);
        assert!(is_expected(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_chain_of_as_many_certificates_as_allowed_is_followed_and_of_one_more_not() {
    let world = World::new();
    let mut authorities = vec![below(&world.root, authority("1"))];
    for name in ["2", "3", "4"] {
        authorities.push(below(authorities.last().unwrap(), authority(name)));
    }
    let last = authorities.last().unwrap();
    let mut chain = vec![issue(last, &leaf("node"), world.key.public_key())];
    chain.extend(authorities.iter().rev().map(der));
    let attested = world.attest(chain.clone()).await.unwrap();
    let authorities = texts(&attested)
        .into_iter()
        .filter(|text| text.contains("ca:fingerprint"));
    assert_eq!(authorities.count(), 5);
    chain.push(der(&world.root));
    let error = form_error(world.attest(chain).await);
    assert!(matches!(error, FormError::TooManyCertificates { .. }));
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    let world = World::new();
    for (chain, at) in [
        (vec![b"not a certificate".to_vec()], 0),
        (vec![world.chain().remove(0), vec![]], 1),
    ] {
        let refused = attest(world.config(), &payload(chain), &mut Never).await;
        let error = chain_error(refused);
        assert!(matches!(error, ChainError::Certificate { index, .. } if index == at));
    }
}

/// An RSA key of 16,384 bits that nobody has.
struct HugeKey(Vec<u8>);

impl HugeKey {
    fn new() -> Self {
        let modulus = [&[0x02, 0x82, 0x08, 0x01, 0][..], &[0xff; 2048]].concat();
        let numbers = [&modulus[..], &[0x02, 0x03, 1, 0, 1]].concat();
        let length = u16::try_from(numbers.len()).unwrap().to_be_bytes();
        Self([&[0x30, 0x82][..], &length, &numbers].concat())
    }
}

impl rcgen::PublicKeyData for HugeKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

#[tokio::test]
async fn an_rsa_key_of_16_kibibits_is_refused_wherever_it_stands() {
    let world = World::new();
    let huge = leaf("huge")
        .signed_by(&HugeKey::new(), &world.intermediate)
        .unwrap();
    let huge = huge.der().to_vec();
    let as_leaf = vec![huge.clone(), der(&world.intermediate)];
    let beside = [world.chain(), vec![huge]].concat();
    for (chain, at) in [(as_leaf, 0), (beside, 2)] {
        let refused = attest(world.config(), &payload(chain), &mut Never).await;
        let error = chain_error(refused);
        assert!(matches!(error, ChainError::Certificate { index, .. } if index == at));
    }
}

#[tokio::test]
async fn the_configured_size_of_rsa_keys_is_kept() {
    let world = World::with_rsa();
    for (limit, is_fine) in [(2048, true), (2047, false)] {
        let mut config = world.config();
        config.limits.max_rsa_key_size = limit;
        let outcome = attest(config, &payload(world.chain()), &mut Signs(&world.key)).await;
        assert_eq!(outcome.is_ok(), is_fine);
        if !is_fine {
            let error = chain_error(outcome);
            assert!(matches!(
                error,
                ChainError::RsaKeyTooLarge { bits: 2048, .. }
            ));
        }
    }
}

#[tokio::test]
async fn certificates_outside_their_validity_are_refused() {
    let world = World::new();
    let mut expired = leaf("node");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let mut early = leaf("node");
    early.not_before = date_time_ymd(2026, 6, 2);
    for params in [expired, early] {
        let error = chain_error(world.attest(world.chain_of(&params)).await);
        assert!(matches!(error, ChainError::Path(_)));
    }
    let mut expired = authority("expired");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let expired = below(&world.root, expired);
    let chain = vec![
        issue(&expired, &leaf("node"), world.key.public_key()),
        der(&expired),
    ];
    assert!(matches!(
        chain_error(world.attest(chain).await),
        ChainError::Path(_)
    ));
}

#[tokio::test]
async fn an_expired_root_is_no_root() {
    let mut expired = authority("root");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let key = KeyPair::generate().unwrap();
    let mut world = World::new();
    world.root = CertifiedIssuer::self_signed(expired, key).unwrap();
    world.intermediate = below(&world.root, authority("intermediate"));
    let error = chain_error(world.attest(world.chain()).await);
    assert!(matches!(error, ChainError::NoAuthority));
}

#[tokio::test]
async fn a_leaf_that_is_not_for_signing_is_refused() {
    let world = World::new();
    for usages in [vec![], vec![KeyUsagePurpose::KeyAgreement]] {
        let mut params = leaf("node");
        params.key_usages = usages;
        let error = chain_error(world.attest(world.chain_of(&params)).await);
        assert!(matches!(error, ChainError::NotForSigning));
    }
}

#[tokio::test]
async fn chains_that_lead_nowhere_are_refused() {
    let world = World::new();
    let other = World::new();
    let key = world.key.public_key();
    let without_intermediate = vec![world.chain().remove(0)];
    let foreign = vec![
        issue(&other.intermediate, &leaf("node"), key),
        der(&other.intermediate),
    ];
    let impostor = below(&other.root, authority("intermediate"));
    let same_names = vec![
        issue(&impostor, &leaf("node"), key),
        der(&world.intermediate),
    ];
    for chain in [without_intermediate, foreign, same_names] {
        assert!(matches!(
            chain_error(world.attest(chain).await),
            ChainError::Path(_)
        ));
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_authority_signs_nothing() {
    let world = World::new();
    let mut unfit = authority("unfit");
    unfit.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    for params in [leaf("a leaf"), unfit] {
        let signer = below(&world.intermediate, params);
        let node = issue(&signer, &leaf("node"), world.key.public_key());
        let chain = vec![node, der(&signer), der(&world.intermediate)];
        assert!(matches!(
            chain_error(world.attest(chain).await),
            ChainError::Path(_)
        ));
    }
}

#[tokio::test]
async fn an_authority_is_no_leaf() {
    let world = World::new();
    let mut both = authority("both");
    both.key_usages.push(KeyUsagePurpose::DigitalSignature);
    let error = chain_error(world.attest(world.chain_of(&both)).await);
    assert!(matches!(error, ChainError::Path(_)));
}

#[tokio::test]
async fn all_authorities_above_the_leaf_are_told_each_once() {
    let world = World::new();
    let second = root("second");
    let crossed = authority("root")
        .signed_by(world.root.key(), &second)
        .unwrap();
    let mut config = world.config();
    config.mode = Mode::ExternalPki(Roots::new([world.root.der(), second.der()]).unwrap());
    let mut chain = world.chain();
    chain.push(crossed.der().to_vec());
    let attested = attest(config, &payload(chain), &mut Signs(&world.key))
        .await
        .unwrap();
    let mut found = texts(&attested);
    found.retain(|text| text.contains("ca:fingerprint"));
    let expected = [
        fingerprint(&world.intermediate),
        fingerprint(&world.root),
        hex(&sha1(crossed.der())),
        fingerprint(&second),
    ];
    assert_eq!(
        found,
        expected.map(|print| format!("x509pop:ca:fingerprint:{print}"))
    );
}
