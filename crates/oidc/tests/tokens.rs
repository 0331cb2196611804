//! Which tokens are accepted, and how often an issuer is asked for its keys.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::join_all;
use serde_json::{Map, Value, json};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{KeyType, PrivateKey, Verified};
use signet_oidc::{
    Claims, ClaimsError, Expected, FetchError, IssuerKeys, KeySet, KeySource, KeysError, NoKey,
    Token, TokenError,
};
use signet_runtime::Tasks;

const ISSUER: &str = "https://issuer.example";
const NOW: u64 = 1_700_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "signet", "sub": "job", "jti": "1",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = object(claims());
    claims.remove(name);
    Value::Object(claims)
}

fn sign(key: &PrivateKey, header: Value, claims: &Value) -> String {
    let input = jose::encode_signing_input(&object(header), &object(claims.clone()));
    let algorithm = JwsAlgorithm::default_for(key.public_key());
    let signature = key
        .sign(algorithm.signature_algorithm(), input.as_bytes())
        .unwrap();
    jose::attach_signature(input, algorithm, &signature).unwrap()
}

fn jwk(key: &PrivateKey, kid: &str) -> Value {
    let mut members = jose::jwk_members(key.public_key());
    members.insert("kid".to_owned(), kid.into());
    Value::Object(members)
}

/// An issuer whose next answers are a list; the last one is given again and again.
#[derive(Clone)]
struct Scripted {
    answers: Arc<Mutex<Vec<Option<Value>>>>,
    asked: Arc<AtomicUsize>,
    takes: Duration,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Option<Value>>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::default(),
            takes: Duration::from_secs(1),
        }
    }

    fn keys(&self) -> IssuerKeys {
        IssuerKeys::new(self.clone(), Tasks::new())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeySource for Scripted {
    fn name(&self) -> &str {
        ISSUER
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        let next = {
            let mut answers = self.answers.lock().unwrap();
            match answers.len() {
                1 => answers[0].clone(),
                _ => answers.remove(0),
            }
        };
        let keys = next.ok_or(FetchError::Late)?;
        Ok(KeySet::parse(
            json!({ "keys": keys }).to_string().as_bytes(),
        )?)
    }
}

async fn verify(keys: &IssuerKeys, token: &str) -> Result<Verified<Claims>, TokenError> {
    let audiences = ["signet".to_owned()];
    let expected = Expected {
        issuer: ISSUER,
        audiences: &audiences,
        leeway: Duration::from_secs(60),
    };
    Token::parse(token)?.verify(keys, &expected, now()).await
}

#[tokio::test(start_paused = true)]
async fn a_token_of_each_kind_of_key_proves_its_claims() {
    for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
        let Ok(key) = PrivateKey::generate(kind) else {
            continue; // this build makes no RSA keys
        };
        let alg = JwsAlgorithm::default_for(key.public_key()).name();
        let keys = Scripted::new([Some(json!([jwk(&key, "a")]))]).keys();
        for header in [
            json!({"alg": alg, "kid": "a", "typ": "JWT"}),
            json!({"alg": alg}),
        ] {
            let token = sign(&key, header, &claims());
            let verified = verify(&keys, &token).await.unwrap();
            assert_eq!(verified.get().token_id.as_deref(), Some("1"));
            assert_eq!(verified.get().subject.as_deref(), Some("job"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn signed_claims_that_do_not_do_are_refused_each_for_its_reason() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let keys = Scripted::new([Some(json!([jwk(&key, "a")]))]).keys();
    let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
    for (claims, why) in [
        (
            with("iss", json!("https://issuer.example/")),
            ClaimsError::Issuer,
        ),
        (without("iss"), ClaimsError::Missing("iss")),
        (with("iss", json!([ISSUER])), ClaimsError::Malformed("iss")),
        (with("aud", json!("other")), ClaimsError::Audience),
        (
            with("aud", json!(["other", "Signet"])),
            ClaimsError::Audience,
        ),
        (without("aud"), ClaimsError::Missing("aud")),
        (with("aud", json!([])), ClaimsError::Malformed("aud")),
        (with("aud", json!([1])), ClaimsError::Malformed("aud")),
        (with("aud", json!(many)), ClaimsError::Malformed("aud")),
        (with("exp", json!(NOW - 60)), ClaimsError::Expired),
        (without("exp"), ClaimsError::Missing("exp")),
        (with("exp", json!("never")), ClaimsError::Malformed("exp")),
        (
            with("exp", json!(NOW * 1000)),
            ClaimsError::Malformed("exp"),
        ),
        (with("nbf", json!(NOW + 61)), ClaimsError::NotYet("nbf")),
        (with("iat", json!(NOW + 61)), ClaimsError::NotYet("iat")),
        (with("sub", json!(7)), ClaimsError::Malformed("sub")),
        (with("jti", json!("")), ClaimsError::Malformed("jti")),
    ] {
        let token = sign(&key, json!({"alg": "ES256", "kid": "a"}), &claims);
        match verify(&keys, &token).await {
            Err(TokenError::Claims(found)) => assert_eq!(found, why, "{claims}"),
            other => panic!("{claims}: {other:?}"),
        }
    }
    for good in [
        with("exp", json!(NOW - 59)),
        with("iat", json!(NOW + 60)),
        with("aud", json!(["other", "signet"])),
        with("exp", json!(f64::from(2_000_000_000) + 0.5)),
    ] {
        let token = sign(&key, json!({"alg": "ES256", "kid": "a"}), &good);
        verify(&keys, &token).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn forged_headers_and_signatures_are_refused() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let other = PrivateKey::generate(KeyType::EcP256).unwrap();
    let p384 = PrivateKey::generate(KeyType::EcP384).unwrap();
    let keys = Scripted::new([Some(json!([jwk(&key, "a")]))]).keys();
    let good = sign(&key, json!({"alg": "ES256", "kid": "a"}), &claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = input.split_once('.').unwrap();
    let changed = sign(&other, json!({"alg": "ES256"}), &with("sub", json!("root")));
    let foreign_body = changed.split('.').nth(1).unwrap();
    for (name, token) in [
        (
            "signed by another key",
            sign(&other, json!({"alg": "ES256", "kid": "a"}), &claims()),
        ),
        ("no signature", format!("{input}.")),
        ("another body", format!("{head}.{foreign_body}.{signature}")),
        (
            "another header",
            format!("eyJhbGciOiJFUzI1NiJ9.{body}.{signature}"),
        ),
        (
            "no algorithm",
            sign(&key, json!({"alg": "none", "kid": "a"}), &claims()),
        ),
        (
            "symmetric with the public key",
            sign(&key, json!({"alg": "HS256", "kid": "a"}), &claims()),
        ),
        (
            "algorithm of another key",
            sign(&p384, json!({"alg": "ES384", "kid": "a"}), &claims()),
        ),
        (
            "unknown key",
            sign(&key, json!({"alg": "ES256", "kid": "b"}), &claims()),
        ),
        (
            "own key in the header",
            sign(
                &other,
                json!({"alg": "ES256", "kid": "a", "jwk": jwk(&other, "a")}),
                &claims(),
            ),
        ),
        (
            "extension",
            sign(
                &key,
                json!({"alg": "ES256", "kid": "a", "crit": ["b64"], "b64": false}),
                &claims(),
            ),
        ),
        (
            "another type",
            sign(
                &key,
                json!({"alg": "ES256", "kid": "a", "typ": "at+jwt"}),
                &claims(),
            ),
        ),
        (
            "huge",
            sign(
                &key,
                json!({"alg": "ES256", "kid": "a"}),
                &with("x", json!("x".repeat(20_000))),
            ),
        ),
        ("a fourth part", format!("{good}.x")),
        ("empty", String::new()),
    ] {
        let refused = verify(&keys, &token).await;
        let error = refused.expect_err(name);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("job") && !shown.contains(body), "{shown}");
    }
    verify(&keys, &format!(" {good}\n")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_stands_twice_is_refused_though_signed() {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let keys = Scripted::new([Some(json!([jwk(&key, "a")]))]).keys();
    let head = encode(br#"{"alg":"ES256","kid":"a"}"#);
    let twice = format!(r#"{{"sub":"a","sub":"b",{}"#, &claims().to_string()[1..]);
    let input = format!("{head}.{}", encode(twice.as_bytes()));
    let algorithm = JwsAlgorithm::ES256;
    let signature = key.sign(algorithm.signature_algorithm(), input.as_bytes());
    let token = jose::attach_signature(input, algorithm, &signature.unwrap()).unwrap();
    let refused = verify(&keys, &token).await.unwrap_err();
    assert!(matches!(
        refused,
        TokenError::Claims(ClaimsError::NotAnObject(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tokens_at_once_ask_the_issuer_once() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let issuer = Scripted::new([Some(json!([jwk(&key, "a")]))]);
    let keys = issuer.keys();
    let token = sign(&key, json!({"alg": "ES256", "kid": "a"}), &claims());
    let all = (0..1000).map(|_| verify(&keys, &token));
    let mut won = 0;
    for outcome in join_all(all).await {
        outcome.unwrap();
        won += 1;
    }
    assert_eq!((won, issuer.asked()), (1000, 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_key_ids_ask_the_issuer_no_more_than_once_in_ten_seconds() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let issuer = Scripted::new([Some(json!([jwk(&key, "a")]))]);
    let keys = issuer.keys();
    let begun = tokio::time::Instant::now();
    for n in 0..1000 {
        let header = json!({"alg": "ES256", "kid": format!("made up {n}")});
        let refused = verify(&keys, &sign(&key, header, &claims())).await;
        let refused = refused.unwrap_err();
        assert!(matches!(
            refused,
            TokenError::Keys(KeysError::NoKey(NoKey::Unknown))
        ));
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(
        issuer.asked() <= seconds / 10 + 1,
        "{} in {seconds} s",
        issuer.asked()
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_key_of_the_issuer_is_found_and_a_withdrawn_one_ends_within_the_hour() {
    let (old, new) = (
        PrivateKey::generate(KeyType::EcP256).unwrap(),
        PrivateKey::generate(KeyType::EcP256).unwrap(),
    );
    let issuer = Scripted::new([
        Some(json!([jwk(&old, "old")])),
        Some(json!([jwk(&old, "old"), jwk(&new, "new")])),
        Some(json!([jwk(&new, "new")])),
    ]);
    let keys = issuer.keys();
    let old_token = sign(&old, json!({"alg": "ES256", "kid": "old"}), &claims());
    let new_token = sign(&new, json!({"alg": "ES256", "kid": "new"}), &claims());
    verify(&keys, &old_token).await.unwrap();
    verify(&keys, &new_token).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(10)).await;
    verify(&keys, &new_token).await.unwrap();
    verify(&keys, &old_token).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    verify(&keys, &old_token).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    verify(&keys, &old_token).await.unwrap_err();
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn known_keys_outlive_an_issuer_that_is_away_but_not_for_ever() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let issuer = Scripted::new([Some(json!([jwk(&key, "a")])), None]);
    let keys = issuer.keys();
    let token = sign(&key, json!({"alg": "ES256", "kid": "a"}), &claims());
    verify(&keys, &token).await.unwrap();
    tokio::time::advance(Duration::from_secs(23 * 3600)).await;
    verify(&keys, &token).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let refused = verify(&keys, &token).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_given_up_and_those_who_wait_hear_of_it() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mut issuer = Scripted::new([Some(json!([jwk(&key, "a")]))]);
    issuer.takes = Duration::from_secs(3600);
    let keys = issuer.keys();
    let token = sign(&key, json!({"alg": "ES256", "kid": "a"}), &claims());
    let begun = tokio::time::Instant::now();
    for outcome in join_all((0..100).map(|_| verify(&keys, &token))).await {
        assert!(outcome.unwrap_err().is_transient());
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_does_not_stop_the_request_that_others_need() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let issuer = Scripted::new([Some(json!([jwk(&key, "a")]))]);
    let keys = issuer.keys();
    let token = sign(&key, json!({"alg": "ES256", "kid": "a"}), &claims());
    let hasty = tokio::time::timeout(Duration::from_millis(1), verify(&keys, &token)).await;
    assert!(hasty.is_err());
    verify(&keys, &token).await.unwrap();
    assert_eq!(issuer.asked(), 1);
}
