//! Checklist W-01 to W-05: which tokens are WIT-SVIDs, and whose keys they hold (WIT-SVID).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tokens;

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use signet_crypto::jose::{CompactError, JwkError, JwsAlgorithm, jwk_members};
use signet_crypto::{KeyType, PrivateKey, PublicKey, VerifyError};
use signet_spiffe::jwt_svid::{self, JwtSvidError};
use signet_spiffe::wit_svid::{
    MAX_TOKEN_LEN, WitSvid, WitSvidError as E, parse_unverified, verify,
};
use signet_spiffe::{Bundle, IdError, TrustDomain, jwks};
use tokens::{Issuer, LEEWAY, NOW, changed, now, rsa_key, td};

const KID: &str = "wit-1";

impl Issuer {
    fn bundle(&self) -> Bundle {
        let mut bundle = Bundle::empty(td());
        bundle.wit_authorities.push(self.authority(KID));
        bundle
    }

    fn header(&self) -> Value {
        json!({"alg": self.algorithm.name(), "kid": KID, "typ": "wit+jwt"})
    }

    fn verify(&self, token: &str) -> Result<WitSvid, E> {
        let bundle = self.bundle();
        verify(token, |_| Some(&bundle), now(), LEEWAY)
    }

    /// A good token, but for one claim that is changed, or removed by null.
    fn with_claim(&self, name: &str, value: Value) -> Result<WitSvid, E> {
        let claims = changed(claims(), name, value);
        self.verify(&self.token(&self.header(), &claims))
    }

    /// A good token, but for one header parameter.
    fn with_header(&self, name: &str, value: Value) -> Result<WitSvid, E> {
        let header = changed(self.header(), name, value);
        self.verify(&self.token(&header, &claims()))
    }
}

fn holder() -> PublicKey {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    key.public_key().clone()
}

fn cnf(key: &PublicKey, algorithm: &str) -> Value {
    let jwk = Value::Object(jwk_members(key));
    json!({"jwk": changed(jwk, "alg", json!(algorithm))})
}

fn claims() -> Value {
    json!({
        "sub": "spiffe://example.org/workload",
        "exp": NOW + 300,
        "iat": NOW - 10,
        "cnf": cnf(&holder(), "ES256"),
    })
}

/// Tokens that another implementation made with the RSA key under `fixtures`, each named for its
/// one defect, and why they are refused.
fn defects() -> Vec<(&'static str, &'static str, E)> {
    let form = |error| E::Form(error);
    let other = TrustDomain::parse("other.example").unwrap();
    macro_rules! fixture {
        ($name:literal, $error:expr) => {
            (
                $name,
                include_str!(concat!("fixtures/wit-svid/", $name, ".jwt")),
                $error,
            )
        };
    }
    vec![
        fixture!("with-alg-none", form(CompactError::BadAlgorithm)),
        fixture!("with-crit", form(CompactError::Critical)),
        fixture!("without-typ", E::BadType),
        fixture!("with-typ-jwt", E::BadType),
        fixture!("without-kid", E::NoKeyId),
        fixture!("with-empty-kid", E::NoKeyId),
        fixture!("with-unknown-kid", E::NoKey(td())),
        fixture!(
            "with-another-signature",
            E::Signature(VerifyError::BadSignature)
        ),
        fixture!("with-audience", E::Audience),
        fixture!("with-empty-audience", E::Audience),
        fixture!("without-sub", E::Missing { claim: "sub" }),
        fixture!("with-sub-without-path", E::NoPath),
        fixture!("of-another-trust-domain", E::NoBundle(other)),
        fixture!("without-exp", E::Missing { claim: "exp" }),
        fixture!("expired", E::Expired),
        fixture!("not-valid-yet", E::NotYet { claim: "nbf" }),
        fixture!("without-cnf", E::Missing { claim: "cnf" }),
        fixture!("with-cnf-as-text", E::BadClaim { claim: "cnf" }),
        fixture!(
            "with-cnf-of-a-thumbprint-only",
            E::BadClaim { claim: "cnf" }
        ),
        fixture!("with-cnf-without-alg", E::KeyAlgorithm),
        fixture!("with-cnf-alg-hs256", E::KeyAlgorithm),
        fixture!("with-cnf-alg-of-another-curve", E::KeyAlgorithm),
        fixture!(
            "with-cnf-of-a-shared-secret",
            E::Key(JwkError::UnknownKeyType)
        ),
        fixture!("with-private-key-in-cnf", E::PrivateKey),
    ]
}

#[test]
fn a_token_of_another_implementation_is_refused_for_its_one_defect_and_accepted_without() {
    let issuer = Issuer::of(rsa_key());
    issuer
        .verify(include_str!("fixtures/wit-svid/good.jwt"))
        .unwrap();
    for (name, token, why) in defects() {
        assert_eq!(issuer.verify(token).unwrap_err(), why, "{name}");
    }
}

#[test]
fn a_good_token_verifies_and_says_what_it_holds() {
    let issuer = Issuer::new();
    let key = holder();
    let claims = changed(claims(), "cnf", cnf(&key, "ES256"));
    let token = issuer.token(&issuer.header(), &claims);
    let svid = issuer.verify(&token).unwrap();
    assert_eq!(svid.id.as_str(), "spiffe://example.org/workload");
    assert_eq!((&svid.key, svid.key_algorithm), (&key, JwsAlgorithm::ES256));
    assert_eq!(svid.expires_at, now() + Duration::from_secs(300));
    assert_eq!(svid.issued_at, Some(now() - Duration::from_secs(10)));
    assert_eq!(svid.key_id, KID);
    assert_eq!(svid.token, token);
    assert_eq!(Value::Object(svid.claims.clone()), claims);
    assert_eq!(parse_unverified(&token).unwrap(), svid);
}

#[test]
fn w_01_json_serialization_and_other_numbers_of_parts_are_refused() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    let parts = token.split('.').collect::<Vec<_>>();
    let flattened =
        json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    let unsigned = token.rsplit_once('.').unwrap().0;
    let encrypted = format!("{token}.e30.e30");
    for bad in ["", unsigned, &flattened, &encrypted] {
        let error = issuer.verify(bad).unwrap_err();
        assert_eq!(error, E::Form(CompactError::NotThreeParts), "{bad}");
    }
}

#[test]
fn w_01_each_of_the_nine_algorithms_is_accepted_with_its_key() {
    let p384 = PrivateKey::generate(KeyType::EcP384).unwrap();
    let mut issuers = vec![Issuer::new(), Issuer::of(p384)];
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        issuers.push(Issuer {
            key: rsa_key(),
            algorithm: JwsAlgorithm::from_name(name).unwrap(),
        });
    }
    for issuer in issuers {
        let token = issuer.token(&issuer.header(), &claims());
        assert!(issuer.verify(&token).is_ok(), "{}", issuer.algorithm);
    }
}

#[test]
fn w_01_other_algorithms_and_those_of_another_key_are_refused() {
    let issuer = Issuer::new();
    for name in ["none", "", "HS256", "HS512", "EdDSA", "ES256K", "es256"] {
        let error = issuer.with_header("alg", json!(name)).unwrap_err();
        assert_eq!(error, E::Form(CompactError::BadAlgorithm), "{name}");
    }
    for name in ["ES384", "ES512", "RS256", "PS512"] {
        let error = issuer.with_header("alg", json!(name)).unwrap_err();
        assert!(matches!(error, E::Signature(_)), "{name}");
    }
}

#[test]
fn w_01_typ_is_exactly_wit_jwt() {
    let issuer = Issuer::new();
    for bad in [
        "JWT",
        "JOSE",
        "WIT+JWT",
        "wit+jwt ",
        "application/wit+jwt",
        "",
    ] {
        assert_eq!(issuer.with_header("typ", json!(bad)), Err(E::BadType));
    }
}

#[test]
fn w_01_the_case_of_kid_matters_and_the_key_is_the_one_it_names() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let error = issuer.with_header("kid", json!(KID.to_uppercase()));
    assert_eq!(error, Err(E::NoKey(td())));
    let mut bundle = Bundle::empty(td());
    bundle.wit_authorities = vec![other.authority(KID), issuer.authority("wit-2")];
    let token = issuer.token(&issuer.header(), &claims());
    let error = verify(&token, |_| Some(&bundle), now(), LEEWAY).unwrap_err();
    assert_eq!(error, E::Signature(VerifyError::BadSignature));
}

#[test]
fn w_01_unknown_parameters_are_ignored_and_keys_offered_by_them_not_used() {
    let (issuer, attacker) = (Issuer::new(), Issuer::new());
    let jwk = Value::Object(jwk_members(attacker.key.public_key()));
    for (name, value) in [
        ("x-note", json!(1)),
        ("jwk", jwk),
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/chain")),
    ] {
        assert!(issuer.with_header(name, value.clone()).is_ok(), "{name}");
        let token = attacker.token(&changed(issuer.header(), name, value), &claims());
        let error = issuer.verify(&token).unwrap_err();
        assert_eq!(error, E::Signature(VerifyError::BadSignature), "{name}");
    }
}

#[test]
fn w_01_a_token_that_demands_extensions_is_refused() {
    let issuer = Issuer::new();
    for crit in [json!(["b64"]), json!(["exp"]), json!([])] {
        let error = issuer.with_header("crit", crit).unwrap_err();
        assert_eq!(error, E::Form(CompactError::Critical));
    }
}

#[test]
fn w_02_a_token_without_sub_or_whose_sub_is_no_id_is_refused() {
    let issuer = Issuer::new();
    for nothing in [Value::Null, json!("")] {
        let error = issuer.with_claim("sub", nothing).unwrap_err();
        assert_eq!(error, E::Missing { claim: "sub" });
    }
    let error = issuer.with_claim("sub", json!(["spiffe://example.org/a"]));
    assert_eq!(error, Err(E::BadClaim { claim: "sub" }));
    let error = issuer.with_claim("sub", json!("workload"));
    assert_eq!(error, Err(E::Id(IdError::WrongScheme)));
}

#[test]
fn w_02_an_expired_token_is_refused_after_the_leeway() {
    let issuer = Issuer::new();
    for good in [json!(NOW + 1), json!(NOW), json!(NOW - 59)] {
        assert!(issuer.with_claim("exp", good).is_ok());
    }
    for bad in [json!(NOW - 60), json!(0), json!(-1)] {
        assert_eq!(issuer.with_claim("exp", bad), Err(E::Expired));
    }
    for bad in [json!("1780315500"), json!(1e300), json!(true)] {
        let error = issuer.with_claim("exp", bad);
        assert_eq!(error, Err(E::BadClaim { claim: "exp" }));
    }
}

#[test]
fn w_02_nbf_and_iat_in_the_future_are_refused_beyond_the_leeway() {
    let issuer = Issuer::new();
    for claim in ["nbf", "iat"] {
        assert!(issuer.with_claim(claim, json!(NOW + 60)).is_ok());
        let error = issuer.with_claim(claim, json!(NOW + 61));
        assert_eq!(error, Err(E::NotYet { claim }));
        let error = issuer.with_claim(claim, json!("now"));
        assert_eq!(error, Err(E::BadClaim { claim }));
    }
}

#[test]
fn w_02_a_token_with_any_audience_is_refused() {
    let issuer = Issuer::new();
    for audience in [json!("me"), json!(["me"]), json!([]), json!(""), json!(1)] {
        assert_eq!(issuer.with_claim("aud", audience), Err(E::Audience));
    }
    let claims = claims().to_string();
    let null = format!("{},\"aud\":null}}", claims.strip_suffix('}').unwrap());
    let token = issuer.sign(&issuer.header().to_string(), &null);
    assert_eq!(issuer.verify(&token), Err(E::Audience));
}

#[test]
fn w_02_the_confirmed_key_is_public_and_its_algorithm_fits() {
    let issuer = Issuer::new();
    let rsa = rsa_key().public_key().clone();
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let svid = issuer.with_claim("cnf", cnf(&rsa, name)).unwrap();
        assert_eq!(svid.key_algorithm.name(), name);
    }
    for name in ["RS256", "ES384", "ES512", "HS256", "none", "es256"] {
        let error = issuer.with_claim("cnf", cnf(&holder(), name));
        assert_eq!(error, Err(E::KeyAlgorithm), "{name}");
    }
    for bad in [
        json!("k"),
        json!([]),
        json!({}),
        json!({"kid": "k"}),
        json!({"jwk": "k"}),
    ] {
        let error = issuer.with_claim("cnf", bad);
        assert_eq!(error, Err(E::BadClaim { claim: "cnf" }));
    }
    let mut private = cnf(&holder(), "ES256");
    private["jwk"]["d"] = json!("AA");
    assert_eq!(issuer.with_claim("cnf", private), Err(E::PrivateKey));
}

#[test]
fn w_02_claims_of_others_are_kept() {
    let issuer = Issuer::new();
    for (name, value) in [
        ("jti", json!("once")),
        ("iss", json!("urn:x")),
        ("x", json!({})),
    ] {
        let svid = issuer.with_claim(name, value.clone()).unwrap();
        assert_eq!(svid.claims[name], value);
    }
}

#[test]
fn w_03_it_is_never_taken_for_a_bearer_token() {
    let issuer = Issuer::new();
    // Even with its key among those for JWT-SVIDs, and an audience that must not be there.
    let mut bundle = Bundle::empty(td());
    bundle.jwt_authorities.push(issuer.authority(KID));
    let claims = changed(claims(), "aud", json!(["me"]));
    let token = issuer.token(&issuer.header(), &claims);
    let taken = jwt_svid::verify(&token, |_| Some(&bundle), &["me"], now(), LEEWAY);
    assert_eq!(taken, Err(JwtSvidError::BadType));
    assert_eq!(
        jwt_svid::parse_unverified(&token),
        Err(JwtSvidError::BadType)
    );
}

#[test]
fn w_03_a_jwt_svid_is_never_taken_for_it() {
    let issuer = Issuer::new();
    let header = changed(issuer.header(), "typ", json!("JWT"));
    let claims = changed(changed(claims(), "aud", json!(["me"])), "cnf", Value::Null);
    let token = issuer.token(&header, &claims);
    assert_eq!(issuer.verify(&token), Err(E::BadType));
}

#[test]
fn w_03_the_token_does_not_print() {
    let issuer = Issuer::new();
    let svid = issuer.with_claim("jti", json!("x")).unwrap();
    assert!(!format!("{svid:?}").contains(&svid.token[..8]));
}

#[test]
fn w_04_only_keys_for_wit_svids_verify_them() {
    let issuer = Issuer::new();
    let mut bundle = Bundle::empty(td());
    bundle.jwt_authorities.push(issuer.authority(KID));
    let token = issuer.token(&issuer.header(), &claims());
    let error = verify(&token, |_| Some(&bundle), now(), LEEWAY).unwrap_err();
    assert_eq!(error, E::NoKey(td()));
}

#[test]
fn w_04_the_key_is_found_in_the_document_by_its_use_and_kid() {
    let issuer = Issuer::new();
    let document = jwks::encode(&issuer.bundle(), jwks::Flavor::Spiffe);
    assert!(document.contains(r#""use":"wit-svid""#) && document.contains(KID));
    let read = jwks::parse(td(), document.as_bytes()).unwrap();
    assert_eq!(read, issuer.bundle());
    let token = issuer.token(&issuer.header(), &claims());
    assert!(verify(&token, |_| Some(&read), now(), LEEWAY).is_ok());
    // JWT readers must not see it.
    let plain = jwks::encode(&issuer.bundle(), jwks::Flavor::JwtOnlyPlain);
    assert!(!plain.contains(KID));
}

#[test]
fn w_04_the_bundle_is_that_of_the_subjects_trust_domain() {
    let issuer = Issuer::new();
    let foreign = json!("spiffe://other.example/workload");
    let other = TrustDomain::parse("other.example").unwrap();
    // A bundle of another trust domain is not used, whoever hands it over.
    assert_eq!(
        issuer.with_claim("sub", foreign),
        Err(E::NoBundle(other.clone()))
    );
    let token = issuer.token(&issuer.header(), &claims());
    let error = verify(&token, |_| None, now(), LEEWAY);
    assert_eq!(error, Err(E::NoBundle(td())));
}

#[test]
fn w_05_one_token_serves_several_instances_and_is_not_tracked() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &changed(claims(), "jti", json!("x")));
    let first = issuer.verify(&token).unwrap();
    assert_eq!(issuer.verify(&token).unwrap(), first);
}

#[test]
fn the_signature_is_checked_before_the_time() {
    let (issuer, attacker) = (Issuer::new(), Issuer::new());
    let late = changed(claims(), "exp", json!(1));
    let error = issuer.verify(&attacker.token(&issuer.header(), &late));
    assert_eq!(error, Err(E::Signature(VerifyError::BadSignature)));
}

#[test]
fn a_claim_twice_or_claims_that_are_no_object_are_refused() {
    let issuer = Issuer::new();
    let header = issuer.header().to_string();
    let text = claims().to_string();
    let twice = format!(
        "{},\"sub\":\"spiffe://example.org/admin\"}}",
        text.strip_suffix('}').unwrap()
    );
    let error = issuer.verify(&issuer.sign(&header, &twice));
    assert!(matches!(error, Err(E::Claims(Some(_)))));
    for payload in ["[]", "\"x\"", "null"] {
        let error = issuer.verify(&issuer.sign(&header, payload));
        assert_eq!(error, Err(E::Claims(None)));
    }
}

#[test]
fn a_huge_token_is_refused_before_it_is_decoded() {
    let issuer = Issuer::new();
    let padded = changed(claims(), "x", json!("a".repeat(MAX_TOKEN_LEN)));
    let token = issuer.token(&issuer.header(), &padded);
    let error = CompactError::TooLong {
        len: token.len(),
        limit: MAX_TOKEN_LEN,
    };
    assert_eq!(issuer.verify(&token), Err(E::Form(error)));
}

#[test]
fn no_error_repeats_what_the_token_said() {
    let issuer = Issuer::new();
    let secret = json!("hunter2");
    for error in [
        issuer.with_claim("sub", secret.clone()).unwrap_err(),
        issuer.with_claim("cnf", secret.clone()).unwrap_err(),
        issuer.with_claim("exp", secret.clone()).unwrap_err(),
        issuer.with_claim("aud", secret.clone()).unwrap_err(),
        issuer.with_header("kid", secret.clone()).unwrap_err(),
        issuer.with_header("typ", secret).unwrap_err(),
    ] {
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_token_that_is_signed_comes_back_as_it_went(
        segments in prop::collection::vec("[a-zA-Z0-9_-]{1,20}", 1..4),
        life in 1..1_000_000_u64,
        age in 0..1_000_000_u64,
        extra in prop::collection::btree_map("x-\\PC{0,20}", "\\PC{0,40}", 0..5),
        large in any::<bool>(),
    ) {
        let kind = if large { KeyType::EcP384 } else { KeyType::EcP256 };
        let issuer = Issuer::of(PrivateKey::generate(kind).unwrap());
        let key = PrivateKey::generate(kind).unwrap().public_key().clone();
        let algorithm = JwsAlgorithm::default_for(&key);
        let id = format!("spiffe://example.org/{}", segments.join("/"));
        let mut claims = json!({
            "sub": id, "exp": NOW + life, "iat": NOW - age, "cnf": cnf(&key, algorithm.name()),
        });
        for (name, value) in extra {
            claims = changed(claims, &name, json!(value));
        }
        let svid = issuer.verify(&issuer.token(&issuer.header(), &claims)).unwrap();
        prop_assert_eq!(svid.id.as_str(), id);
        prop_assert_eq!(svid.expires_at, now() + Duration::from_secs(life));
        prop_assert_eq!(svid.issued_at, Some(now() - Duration::from_secs(age)));
        prop_assert_eq!((svid.key, svid.key_algorithm), (key, algorithm));
        prop_assert_eq!(Value::Object(svid.claims), claims);
    }
}
