//! Checklist J-01 to J-09: which tokens are JWT-SVIDs, and for whom (JWT-SVID).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tokens;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL;
use serde_json::{Value, json};
use signet_crypto::jose::{CompactError, JwsAlgorithm, MAX_KEY_ID_LEN};
use signet_crypto::{KeyType, PrivateKey, VerifyError};
use signet_spiffe::jwt_svid::{
    JwtSvid, JwtSvidError as E, MAX_AUDIENCES, MAX_KEYS_TRIED, MAX_TOKEN_LEN, parse_unverified,
    verify,
};
use signet_spiffe::{Bundle, IdError, TrustDomain};
use tokens::{Issuer, LEEWAY, NOW, changed, now, rsa_key, td};

const KID: &str = "kid-1";

impl Issuer {
    fn bundle(&self) -> Bundle {
        let mut bundle = Bundle::empty(td());
        bundle.jwt_authorities.push(self.authority(KID));
        bundle
    }

    fn header(&self) -> Value {
        json!({"alg": self.algorithm.name(), "kid": KID, "typ": "JWT"})
    }

    fn verify(&self, token: &str) -> Result<JwtSvid, E> {
        let bundle = self.bundle();
        verify(token, |_| Some(&bundle), &["me"], now(), LEEWAY)
    }

    /// A good token, but for one claim that is changed, or removed by null.
    fn with_claim(&self, name: &str, value: Value) -> Result<JwtSvid, E> {
        let claims = changed(claims(), name, value);
        self.verify(&self.token(&self.header(), &claims))
    }

    /// A good token, but for one header parameter.
    fn with_header(&self, name: &str, value: Value) -> Result<JwtSvid, E> {
        let header = changed(self.header(), name, value);
        self.verify(&self.token(&header, &claims()))
    }
}

fn claims() -> Value {
    json!({
        "sub": "spiffe://example.org/workload",
        "aud": ["me", "other"],
        "exp": NOW + 300,
        "iat": NOW - 10,
    })
}

#[test]
fn a_good_token_verifies_and_says_what_it_holds() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    let svid = issuer.verify(&token).unwrap();
    assert_eq!(svid.id.as_str(), "spiffe://example.org/workload");
    assert_eq!(svid.audience, ["me", "other"]);
    assert_eq!(svid.expires_at, now() + Duration::from_secs(300));
    assert_eq!(svid.issued_at, Some(now() - Duration::from_secs(10)));
    assert_eq!(svid.key_id.as_deref(), Some(KID));
    assert_eq!(svid.token, token);
    assert_eq!(Value::Object(svid.claims.clone()), claims());
    assert_eq!(parse_unverified(&token).unwrap(), svid);
}

#[test]
fn id_10_the_id_is_the_one_inside_the_signed_part() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    let parts = token.split('.').collect::<Vec<_>>();
    let admin = changed(claims(), "sub", json!("spiffe://example.org/admin"));
    let forged = format!(
        "{}.{}.{}",
        parts[0],
        URL.encode(admin.to_string()),
        parts[2]
    );
    let error = issuer.verify(&forged).unwrap_err();
    assert_eq!(error, E::Signature(VerifyError::BadSignature));
}

#[test]
fn j_01_json_serialization_is_refused() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    let parts = token.split('.').collect::<Vec<_>>();
    let (protected, payload, signature) = (parts[0], parts[1], parts[2]);
    let flattened = json!({"protected": protected, "payload": payload, "signature": signature});
    let general = json!({"payload": payload,
        "signatures": [{"protected": protected, "signature": signature}]});
    let unprotected = json!({"header": {"alg": "ES256"}, "payload": payload,
        "signature": signature});
    for json in [flattened, general, unprotected] {
        let error = issuer.verify(&json.to_string()).unwrap_err();
        assert_eq!(error, E::Form(CompactError::NotThreeParts));
    }
}

#[test]
fn j_01_missing_and_extra_parts_are_refused() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    let unsigned = token.rsplit_once('.').unwrap().0;
    for bad in [
        "",
        ".",
        "a.b",
        unsigned,
        &format!("{token}."),
        &format!("{token}.e30"),
    ] {
        let error = issuer.verify(bad).unwrap_err();
        assert_eq!(error, E::Form(CompactError::NotThreeParts), "{bad}");
    }
    assert!(matches!(issuer.verify(".."), Err(E::Form(_))));
}

#[test]
fn j_01_bad_base64_and_white_space_around_are_refused() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    for bad in [
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}="),
        token.replace('.', ". "),
        format!("Bearer {token}"),
        token.replacen('e', "+", 1),
    ] {
        assert!(matches!(
            issuer.verify(&bad),
            Err(E::Form(CompactError::NotBase64 { .. }))
        ));
    }
}

#[test]
fn j_02_each_of_the_nine_algorithms_is_accepted_with_its_key() {
    let p384 = PrivateKey::generate(KeyType::EcP384).unwrap();
    let mut issuers = vec![Issuer::new(), Issuer::of(p384)];
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let algorithm = JwsAlgorithm::from_name(name).unwrap();
        issuers.push(Issuer {
            key: rsa_key(),
            algorithm,
        });
    }
    for issuer in issuers {
        let token = issuer.token(&issuer.header(), &claims());
        assert!(issuer.verify(&token).is_ok(), "{}", issuer.algorithm);
    }
}

#[test]
fn j_02_a_token_without_signature_or_with_a_shared_secret_is_refused() {
    let issuer = Issuer::new();
    for name in [
        "none", "NONE", "", "HS256", "HS384", "HS512", "EdDSA", "ES256K", "es256", "RS1",
    ] {
        let header = json!({"alg": name, "kid": KID});
        let unsigned = format!(
            "{}.{}.",
            URL.encode(header.to_string()),
            URL.encode(claims().to_string())
        );
        for token in [unsigned, issuer.token(&header, &claims())] {
            let error = issuer.verify(&token).unwrap_err();
            assert_eq!(error, E::Form(CompactError::BadAlgorithm), "{name}");
        }
    }
    let error = issuer.with_header("alg", Value::Null).unwrap_err();
    assert_eq!(error, E::Form(CompactError::BadAlgorithm));
}

#[test]
fn j_02_the_algorithm_is_refused_before_the_rest_is_looked_at() {
    let token = format!(
        "{}.!!!.!!!",
        URL.encode(r#"{"alg":"none","crit":["x"],"kid":7}"#)
    );
    let error = parse_unverified(&token).unwrap_err();
    assert_eq!(error, E::Form(CompactError::BadAlgorithm));
}

#[test]
fn j_02_an_algorithm_that_does_not_fit_the_key_is_refused() {
    let issuer = Issuer::new();
    for name in ["ES384", "ES512", "RS256", "PS512"] {
        let error = issuer.with_header("alg", json!(name)).unwrap_err();
        assert!(matches!(error, E::Signature(_)), "{name}");
    }
}

#[test]
fn j_03_typ_may_be_absent_or_jwt_or_jose() {
    let issuer = Issuer::new();
    for good in [Value::Null, json!("JWT"), json!("JOSE")] {
        assert!(issuer.with_header("typ", good).is_ok());
    }
    for bad in ["jwt", "jose", "", "wit+jwt", "at+jwt", "application/jwt"] {
        assert_eq!(
            issuer.with_header("typ", json!(bad)),
            Err(E::BadType),
            "{bad}"
        );
    }
    let error = issuer.with_header("typ", json!(["JWT"])).unwrap_err();
    assert_eq!(error, E::Form(CompactError::BadParameter { name: "typ" }));
}

#[test]
fn j_03_a_token_without_kid_is_checked_with_the_keys_that_fit() {
    let issuer = Issuer::new();
    let (other, third) = (
        Issuer::new(),
        Issuer::of(PrivateKey::generate(KeyType::EcP384).unwrap()),
    );
    let header = changed(issuer.header(), "kid", Value::Null);
    let token = issuer.token(&header, &claims());
    let mut bundle = Bundle::empty(td());
    let check = |bundle: &Bundle| verify(&token, |_| Some(bundle), &["me"], now(), LEEWAY);
    assert_eq!(check(&bundle), Err(E::NoKey(td())));
    bundle.jwt_authorities = vec![third.authority("c")];
    assert_eq!(check(&bundle), Err(E::NoKey(td())));
    bundle.jwt_authorities.push(other.authority("b"));
    assert_eq!(check(&bundle), Err(E::Signature(VerifyError::BadSignature)));
    bundle.jwt_authorities.push(issuer.authority("a"));
    assert!(check(&bundle).is_ok());
}

#[test]
fn j_03_a_token_without_kid_is_tried_with_a_bounded_number_of_keys() {
    let issuer = Issuer::new();
    let header = changed(issuer.header(), "kid", Value::Null);
    let token = issuer.token(&header, &claims());
    let mut bundle = Bundle::empty(td());
    let others = (0..MAX_KEYS_TRIED).map(|index| Issuer::new().authority(&index.to_string()));
    bundle.jwt_authorities = others.collect();
    bundle.jwt_authorities.push(issuer.authority("last"));
    let error = verify(&token, |_| Some(&bundle), &["me"], now(), LEEWAY).unwrap_err();
    assert_eq!(error, E::Signature(VerifyError::BadSignature));
}

#[test]
fn j_03_keys_offered_by_the_token_itself_are_not_used() {
    let (issuer, attacker) = (Issuer::new(), Issuer::new());
    let jwk = signet_crypto::jose::jwk_members(attacker.key.public_key());
    for (name, value) in [
        ("jwk", Value::Object(jwk)),
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/chain")),
        ("x5c", json!(["AA=="])),
    ] {
        let token = attacker.token(&changed(issuer.header(), name, value.clone()), &claims());
        let error = issuer.verify(&token).unwrap_err();
        assert_eq!(error, E::Signature(VerifyError::BadSignature), "{name}");
        // A parameter that is not ours is no reason to refuse a good token (RFC 7515 section 4).
        assert!(issuer.with_header(name, value).is_ok());
    }
}

#[test]
fn j_03_a_token_that_demands_extensions_is_refused() {
    let issuer = Issuer::new();
    for crit in [json!(["b64"]), json!(["exp"]), json!([])] {
        let error = issuer.with_header("crit", crit).unwrap_err();
        assert_eq!(error, E::Form(CompactError::Critical));
    }
}

#[test]
fn j_03_a_kid_that_is_too_long_or_no_text_is_refused() {
    let issuer = Issuer::new();
    for bad in [
        json!("k".repeat(MAX_KEY_ID_LEN + 1)),
        json!(1),
        json!([KID]),
    ] {
        let error = issuer.with_header("kid", bad).unwrap_err();
        assert_eq!(error, E::Form(CompactError::BadParameter { name: "kid" }));
    }
    let error = issuer.with_header("kid", json!("")).unwrap_err();
    assert_eq!(error, E::NoKey(td()));
}

#[test]
fn j_04_a_token_without_sub_or_whose_sub_is_no_id_is_refused() {
    let issuer = Issuer::new();
    for nothing in [Value::Null, json!("")] {
        let error = issuer.with_claim("sub", nothing).unwrap_err();
        assert_eq!(error, E::Missing { claim: "sub" });
    }
    for bad in [json!(1), json!(["spiffe://example.org/workload"])] {
        let error = issuer.with_claim("sub", bad).unwrap_err();
        assert_eq!(error, E::BadClaim { claim: "sub" });
    }
    for (bad, why) in [
        ("workload", IdError::WrongScheme),
        ("SPIFFE://example.org/workload", IdError::WrongScheme),
        ("spiffe://example.org/workload/", IdError::TrailingSlash),
        ("spiffe://example.org/../workload", IdError::DotSegment),
    ] {
        assert_eq!(
            issuer.with_claim("sub", json!(bad)),
            Err(E::Id(why)),
            "{bad}"
        );
    }
}

#[test]
fn j_04_id_07_a_sub_without_a_path_is_refused() {
    let error = Issuer::new()
        .with_claim("sub", json!("spiffe://example.org"))
        .unwrap_err();
    assert_eq!(error, E::NoPath);
}

#[test]
fn j_04_a_token_without_aud_is_refused() {
    let issuer = Issuer::new();
    for nothing in [
        Value::Null,
        json!([]),
        json!(""),
        json!([""]),
        json!(["", ""]),
    ] {
        let error = issuer.with_claim("aud", nothing).unwrap_err();
        assert_eq!(error, E::Missing { claim: "aud" });
    }
    for bad in [
        json!(1),
        json!({"me": 1}),
        json!(["me", 1]),
        json!([["me"]]),
        json!(true),
    ] {
        let error = issuer.with_claim("aud", bad).unwrap_err();
        assert_eq!(error, E::BadClaim { claim: "aud" });
    }
}

#[test]
fn j_04_the_validator_must_be_among_the_audience() {
    let issuer = Issuer::new();
    assert!(issuer.with_claim("aud", json!("me")).is_ok());
    assert!(issuer.with_claim("aud", json!(["x", "me"])).is_ok());
    for bad in [
        json!("you"),
        json!(["you"]),
        json!("Me"),
        json!("me "),
        json!("meme"),
    ] {
        assert_eq!(issuer.with_claim("aud", bad), Err(E::WrongAudience));
    }
}

#[test]
fn j_04_a_validator_without_a_name_accepts_nothing() {
    let issuer = Issuer::new();
    let bundle = issuer.bundle();
    let token = issuer.token(&issuer.header(), &claims());
    let check = |audience: &[&str]| verify(&token, |_| Some(&bundle), audience, now(), LEEWAY);
    assert_eq!(check(&[]), Err(E::WrongAudience));
    assert_eq!(check(&[""]), Err(E::WrongAudience));
    assert!(check(&["nobody", "other"]).is_ok());
}

#[test]
fn j_04_the_number_of_audiences_is_bounded() {
    let issuer = Issuer::new();
    let mut audience = vec!["x"; MAX_AUDIENCES - 1];
    audience.push("me");
    assert!(issuer.with_claim("aud", json!(audience)).is_ok());
    audience.push("x");
    let count = MAX_AUDIENCES + 1;
    let error = issuer.with_claim("aud", json!(audience)).unwrap_err();
    assert_eq!(error, E::TooManyAudiences { count });
}

#[test]
fn j_04_a_token_without_exp_is_refused() {
    let issuer = Issuer::new();
    let error = issuer.with_claim("exp", Value::Null).unwrap_err();
    assert_eq!(error, E::Missing { claim: "exp" });
    let null = claims()
        .to_string()
        .replace(&(NOW + 300).to_string(), "null");
    let error = issuer.verify(&issuer.sign(&issuer.header().to_string(), &null));
    assert_eq!(error, Err(E::BadClaim { claim: "exp" }));
    for bad in [
        json!("1780315500"),
        json!(true),
        json!([NOW]),
        json!(1e300),
        json!(i64::MAX),
    ] {
        let error = issuer.with_claim("exp", bad).unwrap_err();
        assert_eq!(error, E::BadClaim { claim: "exp" });
    }
}

#[test]
fn j_04_an_expired_token_is_refused_after_the_leeway() {
    let issuer = Issuer::new();
    for good in [
        json!(NOW + 1),
        json!(NOW),
        json!(NOW - 59),
        json!(NOW as f64 + 0.5),
    ] {
        assert!(issuer.with_claim("exp", good).is_ok());
    }
    for bad in [json!(NOW - 60), json!(NOW - 61), json!(0), json!(-1)] {
        assert_eq!(issuer.with_claim("exp", bad), Err(E::Expired));
    }
    let token = issuer.token(&issuer.header(), &changed(claims(), "exp", json!(NOW)));
    let bundle = issuer.bundle();
    let strict = verify(&token, |_| Some(&bundle), &["me"], now(), Duration::ZERO);
    assert_eq!(strict, Err(E::Expired));
}

#[test]
fn j_04_an_exp_in_milliseconds_is_taken_for_a_mistake() {
    let error = Issuer::new()
        .with_claim("exp", json!(NOW * 1000))
        .unwrap_err();
    assert_eq!(error, E::BadClaim { claim: "exp" });
}

#[test]
fn j_05_claims_of_others_are_kept_and_jti_is_not_tracked() {
    let issuer = Issuer::new();
    let claims = changed(claims(), "jti", json!("once"));
    let claims = changed(claims, "https://example.org/team", json!({"name": "x"}));
    let token = issuer.token(&issuer.header(), &claims);
    for _ in 0..2 {
        let svid = issuer.verify(&token).unwrap();
        assert_eq!(svid.claims["https://example.org/team"]["name"], json!("x"));
    }
}

#[test]
fn j_06_the_token_goes_into_a_header_as_it_is() {
    let issuer = Issuer::new();
    let token = issuer.token(&issuer.header(), &claims());
    let svid = issuer.verify(&token).unwrap();
    assert!(svid.token.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!format!("{svid:?}").contains(&token[..8]));
}

#[test]
fn j_07_only_keys_for_jwt_svids_verify_them() {
    let issuer = Issuer::new();
    let mut bundle = Bundle::empty(td());
    bundle.wit_authorities.push(issuer.authority(KID));
    let token = issuer.token(&issuer.header(), &claims());
    let error = verify(&token, |_| Some(&bundle), &["me"], now(), LEEWAY).unwrap_err();
    assert_eq!(error, E::NoKey(td()));
}

#[test]
fn j_07_the_key_is_the_one_with_the_kid_even_if_another_would_do() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let mut bundle = Bundle::empty(td());
    bundle.jwt_authorities = vec![other.authority(KID), issuer.authority("kid-2")];
    let token = issuer.token(&issuer.header(), &claims());
    let error = verify(&token, |_| Some(&bundle), &["me"], now(), LEEWAY).unwrap_err();
    assert_eq!(error, E::Signature(VerifyError::BadSignature));
}

#[test]
fn j_08_the_bundle_asked_for_is_that_of_the_subjects_trust_domain() {
    let issuer = Issuer::new();
    let foreign = changed(claims(), "sub", json!("spiffe://other.example/workload"));
    let token = issuer.token(&issuer.header(), &foreign);
    let other = TrustDomain::parse("other.example").unwrap();
    let asked = std::cell::RefCell::new(Vec::new());
    let error = verify(
        &token,
        |td| {
            asked.borrow_mut().push(td.clone());
            None
        },
        &["me"],
        now(),
        LEEWAY,
    );
    assert_eq!(error, Err(E::NoBundle(other.clone())));
    // A bundle of another trust domain is not used, whoever hands it over.
    assert_eq!(issuer.verify(&token), Err(E::NoBundle(other.clone())));
    assert_eq!(asked.into_inner(), [other]);
}

#[test]
fn j_09_nbf_and_iat_in_the_future_are_refused_beyond_the_leeway() {
    let issuer = Issuer::new();
    for claim in ["nbf", "iat"] {
        assert!(issuer.with_claim(claim, json!(NOW + 60)).is_ok());
        assert_eq!(
            issuer.with_claim(claim, json!(NOW + 61)),
            Err(E::NotYet { claim })
        );
        let error = issuer.with_claim(claim, json!("now")).unwrap_err();
        assert_eq!(error, E::BadClaim { claim });
    }
    assert!(issuer.with_claim("iat", Value::Null).is_ok());
}

#[test]
fn j_09_the_signature_is_checked_before_audience_and_time() {
    let (issuer, attacker) = (Issuer::new(), Issuer::new());
    let late = changed(changed(claims(), "exp", json!(1)), "aud", json!("you"));
    let token = attacker.token(&issuer.header(), &late);
    let error = issuer.verify(&token).unwrap_err();
    assert_eq!(error, E::Signature(VerifyError::BadSignature));
}

#[test]
fn a_claim_or_parameter_twice_is_refused() {
    let issuer = Issuer::new();
    let header = issuer.header().to_string();
    let twice = |json: &str, name: &str, value: &str| {
        format!("{},\"{name}\":{value}}}", json.strip_suffix('}').unwrap())
    };
    let claims = claims().to_string();
    for (name, value) in [
        ("sub", "\"spiffe://example.org/admin\""),
        ("aud", "\"me\""),
        ("exp", "9999999999"),
    ] {
        let token = issuer.sign(&header, &twice(&claims, name, value));
        assert!(
            matches!(issuer.verify(&token), Err(E::Claims(Some(_)))),
            "{name}"
        );
    }
    let token = issuer.sign(&twice(&header, "kid", "\"k\""), &claims);
    let error = issuer.verify(&token).unwrap_err();
    assert!(matches!(error, E::Form(CompactError::BadHeader(_))));
}

#[test]
fn claims_that_are_no_object_are_refused() {
    let issuer = Issuer::new();
    let header = issuer.header().to_string();
    for payload in ["[]", "\"x\"", "1", "null"] {
        let error = issuer.verify(&issuer.sign(&header, payload));
        assert_eq!(error, Err(E::Claims(None)));
    }
    for payload in ["", "{", "{}x", "\u{0}"] {
        let error = issuer.verify(&issuer.sign(&header, payload));
        assert!(matches!(error, Err(E::Claims(Some(_)))));
    }
}

#[test]
fn a_huge_token_is_refused_before_it_is_decoded() {
    let issuer = Issuer::new();
    let padded = changed(claims(), "x", json!("a".repeat(MAX_TOKEN_LEN)));
    let token = issuer.token(&issuer.header(), &padded);
    let expected = CompactError::TooLong {
        len: token.len(),
        limit: MAX_TOKEN_LEN,
    };
    assert_eq!(issuer.verify(&token), Err(E::Form(expected)));
}

#[test]
fn deeply_nested_claims_are_refused() {
    let issuer = Issuer::new();
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let token = issuer.sign(&issuer.header().to_string(), &deep);
    assert!(matches!(issuer.verify(&token), Err(E::Claims(Some(_)))));
}

#[test]
fn no_error_repeats_what_the_token_said() {
    let issuer = Issuer::new();
    let secret = "hunter2";
    let mut errors = vec![
        issuer.with_claim("sub", json!(secret)).unwrap_err(),
        issuer.with_claim("aud", json!(secret)).unwrap_err(),
        issuer.with_claim("exp", json!(secret)).unwrap_err(),
        issuer.with_header("kid", json!(secret)).unwrap_err(),
        issuer.with_header("alg", json!(secret)).unwrap_err(),
        issuer.with_header("typ", json!(secret)).unwrap_err(),
    ];
    errors.push(issuer.verify(secret).unwrap_err());
    for error in errors {
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}
