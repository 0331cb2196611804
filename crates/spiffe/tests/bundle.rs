//! Checklist X-09, J-07, W-04, B-01 to B-04: bundles as JSON, both ways
//! (SPIFFE_Trust_Domain_and_Bundle).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod pki;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pki::{ID, Signer, ca, leaf, td, uri};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use signet_crypto::jose::jwk_members;
use signet_crypto::{KeyType, PrivateKey, PublicKey};
use signet_spiffe::bundle_map::{self, BundleMapError};
use signet_spiffe::jwks::{
    Flavor, Ignored, JwksError, MAX_DOCUMENT_LEN, MAX_KEYS, Parsed, encode, parse, parse_plain_jwt,
    parse_reporting,
};
use signet_spiffe::path::SignerDefect;
use signet_spiffe::{AuthorityError, Bundle, JwtAuthority, MAX_KEY_ID_LEN, pem};

fn key() -> PublicKey {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    key.public_key().clone()
}

fn jwt(key_id: &str) -> JwtAuthority {
    JwtAuthority::new(key_id.to_owned(), key()).unwrap()
}

fn full() -> Bundle {
    let mut bundle = Signer::root().bundle();
    bundle.x509_authorities.push(Signer::root().authority());
    bundle.jwt_authorities = vec![jwt("a"), jwt("b")];
    bundle.wit_authorities = vec![jwt("c")];
    bundle.sequence = 7;
    bundle.refresh_hint = Some(Duration::from_secs(300));
    bundle
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn parsed(document: &Value) -> Parsed {
    parse_reporting(td(), document.to_string().as_bytes()).unwrap()
}

fn refused(document: &Value) -> JwksError {
    parse(td(), document.to_string().as_bytes()).unwrap_err()
}

/// What a set of this one element becomes.
fn ignored(element: &Value) -> Ignored {
    let mut parsed = parsed(&json!({"keys": [element]}));
    assert_eq!(parsed.bundle, Bundle::empty(td()));
    let (index, why) = parsed.ignored.remove(0);
    assert_eq!(index, 0);
    why
}

/// A JWK of a fresh root, with one member changed, or removed by null.
fn x509_jwk(root: &Signer, change: (&str, Value)) -> Value {
    let bundle = document(&encode(&root.bundle(), Flavor::Spiffe));
    changed(bundle["keys"][0].as_object().unwrap().clone(), change)
}

fn jwt_jwk(change: (&str, Value)) -> Value {
    let mut members = jwk_members(&key());
    members.insert("use".to_owned(), json!("jwt-svid"));
    members.insert("kid".to_owned(), json!("k"));
    changed(members, change)
}

fn changed(mut members: Map<String, Value>, (name, value): (&str, Value)) -> Value {
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    members.into()
}

#[test]
fn b_01_a_bundle_survives_its_document() {
    let bundle = full();
    let again = parse(td(), encode(&bundle, Flavor::Spiffe).as_bytes()).unwrap();
    assert_eq!(again, bundle);
}

#[test]
fn b_01_keys_must_be_there_and_may_be_empty() {
    let empty = parse(td(), br#"{"keys":[]}"#).unwrap();
    assert_eq!(empty, Bundle::empty(td()));
    assert_eq!(document(&encode(&empty, Flavor::Spiffe))["keys"], json!([]));
    for bad in [
        json!({}),
        json!({"keys": null}),
        json!({"keys": {}}),
        json!([]),
        json!("keys"),
    ] {
        assert_eq!(
            refused(&bad),
            JwksError::BadMember { member: "keys" },
            "{bad}"
        );
    }
}

#[test]
fn b_01_a_document_without_a_usable_key_leaves_an_empty_bundle_and_says_why() {
    let parsed = parsed(&json!({"keys": [{"kty": "OKP", "use": "jwt-svid"}, 5]}));
    assert_eq!(parsed.bundle, Bundle::empty(td()));
    assert_eq!(parsed.ignored.len(), 2);
    assert_eq!(parsed.ignored[1], (1, Ignored::NotAnObject));
}

#[test]
fn b_02_sequence_and_refresh_hint_are_written_and_read() {
    let text = encode(&full(), Flavor::Spiffe);
    let set = document(&text);
    assert_eq!(set["spiffe_sequence"], json!(7));
    assert_eq!(set["spiffe_refresh_hint"], json!(300));
}

#[test]
fn b_02_sequence_takes_all_of_64_bits() {
    let parsed = parsed(&json!({"keys": [], "spiffe_sequence": u64::MAX}));
    assert_eq!(parsed.bundle.sequence, u64::MAX);
}

#[test]
fn b_02_no_refresh_hint_and_a_hint_of_zero_leave_it_to_the_consumer() {
    for set in [
        json!({"keys": []}),
        json!({"keys": [], "spiffe_refresh_hint": 0}),
    ] {
        assert_eq!(parsed(&set).bundle.refresh_hint, None);
    }
    let text = encode(&Bundle::empty(td()), Flavor::Spiffe);
    assert!(!text.contains("spiffe_refresh_hint"));
}

#[test]
fn b_02_a_sequence_or_hint_that_is_no_natural_number_is_refused() {
    for member in ["spiffe_sequence", "spiffe_refresh_hint"] {
        for bad in [json!(-1), json!(1.5), json!("1"), json!([1]), json!(1e30)] {
            let error = refused(&json!({"keys": [], member: bad}));
            assert_eq!(error, JwksError::BadMember { member });
        }
    }
    let error = refused(&json!({"keys": [], "spiffe_refresh_hint": u64::MAX}));
    let member = "spiffe_refresh_hint";
    assert_eq!(error, JwksError::BadMember { member });
}

#[test]
fn b_03_an_element_of_unknown_use_or_none_is_ignored() {
    for bad in [
        json!(null),
        json!("sig"),
        json!("JWT-SVID"),
        json!(""),
        json!(1),
    ] {
        assert_eq!(ignored(&jwt_jwk(("use", bad))), Ignored::UnknownUse);
    }
}

#[test]
fn b_03_an_element_of_unknown_key_type_or_none_is_ignored() {
    for bad in [json!(null), json!("OKP"), json!("oct"), json!("ec")] {
        for element in [
            jwt_jwk(("kty", bad.clone())),
            x509_jwk(&Signer::root(), ("kty", bad)),
        ] {
            assert!(matches!(ignored(&element), Ignored::Key(_)));
        }
    }
}

#[test]
fn b_03_the_other_elements_of_the_set_still_count() {
    let set = json!({"keys": [
        jwt_jwk(("kty", json!("OKP"))),
        jwt_jwk(("kid", json!("good"))),
        x509_jwk(&Signer::root(), ("use", json!("future-svid"))),
        x509_jwk(&Signer::root(), ("use", json!("x509-svid"))),
    ]});
    let parsed = parsed(&set);
    assert_eq!(parsed.bundle.jwt_authorities[0].key_id, "good");
    assert_eq!(parsed.bundle.x509_authorities.len(), 1);
    let positions = parsed.ignored.iter().map(|(index, _)| *index);
    assert_eq!(positions.collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn b_04_members_we_do_not_know_are_allowed_and_not_written() {
    let mut element = jwt_jwk(("x-colour", json!("blue")));
    element["alg"] = json!("ES256");
    let set = json!({"keys": [element], "x-owner": {"name": "me"}});
    let bundle = parsed(&set).bundle;
    assert_eq!(bundle.jwt_authorities.len(), 1);
    let again = encode(&bundle, Flavor::Spiffe);
    assert!(!again.contains("x-") && !again.contains("alg"));
}

#[test]
fn b_04_only_the_members_that_are_defined_are_written() {
    let set = document(&encode(&full(), Flavor::Spiffe));
    let names = |value: &Value| {
        let members = value.as_object().unwrap();
        members.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        names(&set),
        ["keys", "spiffe_refresh_hint", "spiffe_sequence"]
    );
    assert_eq!(
        names(&set["keys"][0]),
        ["crv", "kty", "use", "x", "x5c", "y"]
    );
    assert_eq!(
        names(&set["keys"][4]),
        ["crv", "kid", "kty", "use", "x", "y"]
    );
}

#[test]
fn b_05_a_bundle_map_is_read_by_trust_domain_name() {
    let mut other = full();
    other.trust_domain = "other.example".parse().unwrap();
    let mut bundles = [full(), other];
    let text = bundle_map::encode(&bundles);
    let map = bundle_map::parse(text.as_bytes()).unwrap();
    // Refresh hints mean nothing inside a map.
    bundles
        .iter_mut()
        .for_each(|bundle| bundle.refresh_hint = None);
    assert!(map.values().eq(&bundles));
    let hint = json!({"trust_domains": {"a": {"keys": [], "spiffe_refresh_hint": 5}}});
    let map = bundle_map::parse(hint.to_string().as_bytes()).unwrap();
    assert!(map.values().all(|bundle| bundle.refresh_hint.is_none()));
    assert!(
        bundle_map::parse(br#"{"trust_domains":{}}"#)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn b_05_a_bundle_map_with_any_defect_is_refused_as_a_whole() {
    let refused = |text: &str| bundle_map::parse(text.as_bytes()).unwrap_err();
    for none in ["{}", r#"{"trust_domains":[]}"#, r#"{"keys":[]}"#] {
        assert_eq!(refused(none), BundleMapError::NoTrustDomains);
    }
    let twice = r#"{"trust_domains":{"a":{"keys":[]},"a":{"keys":[]}}}"#;
    let error = refused(twice);
    assert!(matches!(
        error,
        BundleMapError::Document(JwksError::Json(_))
    ));
    for name in ["spiffe://a", "A", ""] {
        let map = json!({"trust_domains": {name: {"keys": []}, "a": {"keys": []}}});
        assert!(
            matches!(refused(&map.to_string()), BundleMapError::Name(_)),
            "{name}"
        );
    }
    for bad in [json!([]), json!({}), json!(null)] {
        let map = json!({"trust_domains": {"a": bad, "b": {"keys": []}}});
        assert!(matches!(
            refused(&map.to_string()),
            BundleMapError::Bundle { .. }
        ));
    }
}

#[test]
fn b_05_a_member_twice_is_refused() {
    for bad in [
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#,
        r#"{"keys":[],"x":{"a":1,"a":1}}"#,
    ] {
        let error = parse(td(), bad.as_bytes()).unwrap_err();
        assert!(matches!(error, JwksError::Json(_)), "{bad}");
    }
}

#[test]
fn x_09_an_x509_key_is_written_with_one_certificate_and_no_kid() {
    let root = Signer::root();
    let set = document(&encode(&root.bundle(), Flavor::Spiffe));
    let element = &set["keys"][0];
    assert_eq!(element["use"], json!("x509-svid"));
    assert_eq!(element["x5c"], json!([BASE64_STANDARD.encode(root.der())]));
    assert!(element.get("kid").is_none());
}

#[test]
fn x_09_an_element_without_a_certificate_is_ignored() {
    let root = Signer::root();
    for bad in [
        json!(null),
        json!([]),
        json!(""),
        json!([""]),
        json!([5]),
        json!(["!"]),
        json!({}),
    ] {
        let why = ignored(&x509_jwk(&root, ("x5c", bad.clone())));
        let nothing = bad == json!([""]);
        assert_eq!(why == Ignored::NoCertificate, !nothing, "{bad}");
    }
}

#[test]
fn x_09_only_the_first_certificate_of_an_element_counts() {
    let (root, second) = (Signer::root(), Signer::root());
    let text = |signer: &Signer| BASE64_STANDARD.encode(signer.der());
    let element = x509_jwk(&root, ("x5c", json!([text(&root), text(&second), "junk"])));
    let bundle = parsed(&json!({"keys": [element]})).bundle;
    assert_eq!(bundle.x509_authorities, [root.authority()]);
}

#[test]
fn x_09_a_certificate_of_another_key_than_the_element_says_is_ignored() {
    let other = BASE64_STANDARD.encode(Signer::root().der());
    let element = x509_jwk(&Signer::root(), ("x5c", json!([other])));
    assert_eq!(ignored(&element), Ignored::OtherKey);
}

#[test]
fn x_09_a_certificate_that_may_not_sign_is_ignored() {
    let root = Signer::root();
    let mut with_path = ca("root");
    with_path.subject_alt_names = vec![uri(ID)];
    for (der, defect) in [
        (root.issue(leaf(ID)), SignerDefect::NotCa),
        (Signer::root_of(with_path).der(), SignerDefect::HasPath),
    ] {
        let element = x509_jwk(&root, ("x5c", json!([BASE64_STANDARD.encode(der)])));
        let expected = Ignored::Authority(AuthorityError::NotASigner(defect));
        assert_eq!(ignored(&element), expected);
    }
}

#[test]
fn x_09_the_same_certificate_twice_counts_once() {
    let root = Signer::root();
    let element = x509_jwk(&root, ("use", json!("x509-svid")));
    let bundle = parsed(&json!({"keys": [element, element]})).bundle;
    assert_eq!(bundle.x509_authorities.len(), 1);
}

#[test]
fn j_07_a_jwt_key_is_written_with_use_and_kid() {
    let set = document(&encode(&full(), Flavor::Spiffe));
    let keys = set["keys"].as_array().unwrap();
    let jwt = keys.iter().filter(|key| key["use"] == json!("jwt-svid"));
    let ids = jwt.map(|key| key["kid"].clone()).collect::<Vec<_>>();
    assert_eq!(ids, [json!("a"), json!("b")]);
}

#[test]
fn j_07_a_jwt_key_without_a_usable_kid_is_ignored() {
    let longest = "k".repeat(MAX_KEY_ID_LEN);
    for bad in [
        json!(null),
        json!(""),
        json!(7),
        json!(format!("{longest}k")),
    ] {
        let why = ignored(&jwt_jwk(("kid", bad)));
        assert_eq!(why, Ignored::Authority(AuthorityError::BadKeyId));
    }
    let set = json!({"keys": [jwt_jwk(("kid", json!(longest)))]});
    assert_eq!(parsed(&set).bundle.jwt_authorities.len(), 1);
}

#[test]
fn j_07_keys_of_other_uses_are_no_jwt_keys() {
    let set = json!({"keys": [
        jwt_jwk(("use", json!("wit-svid"))),
        x509_jwk(&Signer::root(), ("kid", json!("x"))),
    ]});
    let bundle = parsed(&set).bundle;
    assert!(bundle.jwt_authorities.is_empty());
    assert_eq!(bundle.jwt_authority("x"), None);
    assert_eq!(bundle.wit_authorities.len(), 1);
}

#[test]
fn w_04_two_keys_under_one_kid_are_refused_and_the_same_key_twice_is_not() {
    let element = jwt_jwk(("kid", json!("k")));
    let set = json!({"keys": [element, element]});
    assert_eq!(parsed(&set).bundle.jwt_authorities.len(), 1);
    let wit = jwt_jwk(("use", json!("wit-svid")));
    for other in [jwt_jwk(("kid", json!("k"))), wit] {
        let error = refused(&json!({"keys": [element, other]}));
        assert_eq!(error, JwksError::AmbiguousKeyId { index: 1 });
    }
}

#[test]
fn a_08_the_plain_set_holds_the_jwt_keys_alone_and_nothing_of_spiffe() {
    let bundle = full();
    let text = encode(&bundle, Flavor::JwtOnlyPlain);
    let set = document(&text);
    assert_eq!(set.as_object().unwrap().len(), 1);
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(
        keys.iter()
            .all(|key| key.get("use").is_none() && key["kid"].is_string())
    );
    let again = parse_plain_jwt(td(), text.as_bytes()).unwrap();
    assert_eq!(again.jwt_authorities, bundle.jwt_authorities);
    assert!(
        parse(td(), text.as_bytes())
            .unwrap()
            .jwt_authorities
            .is_empty()
    );
}

#[test]
fn a_plain_set_read_from_a_full_one_keeps_only_jwt_keys() {
    let bundle = full();
    let text = encode(&bundle, Flavor::Spiffe);
    let plain = parse_plain_jwt(td(), text.as_bytes()).unwrap();
    assert_eq!(plain.jwt_authorities, bundle.jwt_authorities);
    assert!(plain.x509_authorities.is_empty() && plain.wit_authorities.is_empty());
}

#[test]
fn rsa_keys_survive_the_document_and_weak_ones_are_ignored() {
    let text = include_str!("fixtures/rsa-root.pem");
    let der = pem::parse_pem_certs(text).unwrap().remove(0);
    let authority = signet_spiffe::X509Authority::from_der(&der).unwrap();
    let mut bundle = Bundle::empty(td());
    let jwt = JwtAuthority::new("rsa".to_owned(), authority.public_key().clone()).unwrap();
    bundle.jwt_authorities.push(jwt);
    bundle.x509_authorities.push(authority);
    let again = parse(td(), encode(&bundle, Flavor::Spiffe).as_bytes()).unwrap();
    assert_eq!(again, bundle);
    let weak = json!({"kty": "RSA", "use": "jwt-svid", "kid": "k", "e": "AQAB",
        "n": "_".repeat(171)});
    assert!(matches!(ignored(&weak), Ignored::Key(_)));
}

#[test]
fn a_document_over_the_limits_is_refused() {
    let long = vec![b' '; MAX_DOCUMENT_LEN + 1];
    let len = long.len();
    assert_eq!(parse(td(), &long), Err(JwksError::TooLong { len }));
    let many = json!({"keys": vec![1; MAX_KEYS + 1]});
    let count = MAX_KEYS + 1;
    assert_eq!(refused(&many), JwksError::TooManyKeys { count });
    let deep = "[".repeat(1000);
    assert!(matches!(
        parse(td(), deep.as_bytes()),
        Err(JwksError::Json(_))
    ));
}

#[test]
fn bytes_that_are_no_json_are_refused() {
    for bad in [
        &b""[..],
        b"{",
        b"\xff",
        b"-----BEGIN CERTIFICATE-----",
        b"{\"keys\":[]}x",
    ] {
        assert!(matches!(parse(td(), bad), Err(JwksError::Json(_))));
    }
}

#[test]
fn certificates_survive_pem_text() {
    let root = Signer::root();
    let chain = vec![root.issue(leaf(ID)), root.der()];
    let text = pem::encode_pem_certs(&chain);
    assert_eq!(pem::parse_pem_certs(&text).unwrap(), chain);
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mixed = format!("{}{text}", key.pkcs8_pem().expose());
    assert_eq!(pem::parse_pem_certs(&mixed).unwrap(), chain);
}

#[test]
fn an_authority_keeps_its_key_identifier_and_taint() {
    let authority = Signer::root().authority();
    let expected = authority.public_key().subject_key_id();
    assert_eq!(
        authority
            .certificate()
            .subject_key_id
            .as_ref()
            .unwrap()
            .len(),
        20
    );
    assert_eq!(expected.len(), 20);
    assert_ne!(authority.clone().with_taint(true), authority);
    assert_eq!(
        authority.clone().with_taint(true).with_taint(false),
        authority
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn b_01_any_bundle_survives_its_document(
        roots in 0..3_usize,
        ids in prop::collection::btree_set("\\PC{1,20}", 0..5),
        sequence in any::<u64>(),
        hint in prop::option::of(1..i64::MAX as u64),
    ) {
        let mut bundle = Bundle::empty(td());
        bundle.x509_authorities = (0..roots).map(|_| Signer::root().authority()).collect();
        bundle.jwt_authorities = ids.iter().map(|id| jwt(id)).collect();
        bundle.sequence = sequence;
        bundle.refresh_hint = hint.map(Duration::from_secs);
        let text = encode(&bundle, Flavor::Spiffe);
        prop_assert_eq!(parse(td(), text.as_bytes()).unwrap(), bundle);
    }
}
