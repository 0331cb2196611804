//! Ways to a token, and keeping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use signet_runtime::Tasks;
use signet_vault::{Auth, Settings, TransitKeys, Vault, VaultError};

use crate::fake::{Answer, Asked, Fake, approle, facts, given_token, granted, refused};

const LOGIN: &str = "POST auth/approle/login";
const RENEW: &str = "POST auth/token/renew-self";
const LIST: &str = "GET transit/keys?list=true";

/// Some request with the token: the engine has no keys.
async fn list(vault: &Arc<Vault>) -> Result<(), VaultError> {
    let (mount, identifier) = ("transit".parse().unwrap(), "one".parse().unwrap());
    let opened = TransitKeys::open(Arc::clone(vault), mount, &identifier).await;
    opened.map(drop)
}

fn nothing() -> Answer {
    (404, json!({"errors": []}))
}

#[tokio::test]
async fn an_approle_is_exchanged_for_the_token_of_every_later_request() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        LOGIN => granted("t1", 3600, true),
        _ => nothing(),
    })
    .await;
    let settings = Settings {
        namespace: "team/a".parse().ok(),
        ..fake.settings(approle())
    };
    let vault = Vault::connect(settings).await.unwrap();
    list(&vault).await.unwrap();
    let login = &fake.asked(LOGIN)[0];
    let ids = json!({"role_id": "role", "secret_id": "hunter2"});
    assert_eq!((&login.body, login.token.as_str()), (&ids, ""));
    let later = &fake.asked(LIST)[0];
    assert_eq!(
        (later.token.as_str(), later.namespace.as_str()),
        ("t1", "team/a")
    );
}

#[tokio::test]
async fn a_service_accounts_token_is_read_anew_at_each_login() {
    let directory = tempfile::tempdir().unwrap();
    let token_path = directory.path().join("token");
    let fake = Fake::start(|_| granted("t", 0, false)).await;
    let auth = Auth::Kubernetes {
        mount: "k8s".parse().unwrap(),
        role: "spire".to_owned(),
        token_path: token_path.clone(),
    };
    let missing = Vault::connect(fake.settings(auth.clone()))
        .await
        .unwrap_err();
    assert!(matches!(missing, VaultError::Credential { .. }));
    for jwt in ["one", "two"] {
        std::fs::write(&token_path, format!("{jwt}\n")).unwrap();
        Vault::connect(fake.settings(auth.clone())).await.unwrap();
        let asked = fake.asked("POST auth/k8s/login").pop().unwrap();
        assert_eq!(asked.body, json!({"role": "spire", "jwt": jwt}));
    }
}

#[tokio::test]
async fn a_given_token_that_is_not_valid_is_refused_at_once() {
    let fake = Fake::start(|_| refused(403, "permission denied")).await;
    let error = Vault::connect(fake.settings(given_token()))
        .await
        .unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        "Vault answered auth/token/lookup-self with 403 Forbidden: permission denied"
    );
    assert_eq!(fake.asked("").len(), 1);
}

#[tokio::test]
async fn a_vault_that_is_sealed_is_asked_again_and_then_named() {
    let fake = Fake::start(|_| refused(503, "Vault is sealed")).await;
    let error = Vault::connect(fake.settings(approle())).await.unwrap_err();
    assert!(error.is_transient());
    assert!(error.to_string().ends_with("Vault is sealed"), "{error}");
    assert_eq!(fake.asked(LOGIN).len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_no_vaults_is_refused_without_showing_it() {
    let answers = [
        Value::String("<html>s.secret</html>".to_owned()),
        json!({"auth": {"client_token": 7, "token": "s.secret"}}),
        json!({"data": "s.secret"}),
    ];
    for answer in answers {
        let fake = Fake::start(move |_| (200, answer.clone())).await;
        let error = Vault::connect(fake.settings(approle())).await.unwrap_err();
        assert!(matches!(error, VaultError::Answer { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"));
    }
    let proxy = |_: &Asked| (502, Value::String("<html>".to_owned()));
    let fake = Fake::start(proxy).await;
    let error = Vault::connect(fake.settings(approle())).await.unwrap_err();
    assert!(error.to_string().ends_with("not in the words of a Vault"));
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_replaced_when_it_no_longer_can_be() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let fake = Fake::start(move |asked| match asked.line.as_str() {
        LOGIN => {
            let number = count.fetch_add(1, Ordering::SeqCst);
            granted(&format!("t{number}"), 1, true)
        }
        RENEW if asked.token == "t0" => granted("t0", 1, true),
        RENEW => refused(400, "lease is not renewable"),
        _ => nothing(),
    })
    .await;
    let vault = Vault::connect(fake.settings(approle())).await.unwrap();
    let tasks = Tasks::new();
    tasks.spawn_essential("token", Arc::clone(&vault).keep_token(tasks.stop()));
    fake.until_asked(RENEW, 2).await;
    assert_eq!(fake.asked(LOGIN).len(), 1);
    fake.answer(|asked| match asked.line.as_str() {
        LOGIN => granted("t9", 3600, true),
        RENEW => refused(400, "lease is not renewable"),
        _ => nothing(),
    });
    fake.until_asked(LOGIN, 2).await;
    let replaced = |fake: &Fake| fake.asked(LIST).iter().any(|asked| asked.token == "t9");
    while !replaced(&fake) {
        list(&vault).await.unwrap();
    }
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_token_that_ran_out_is_replaced_at_the_next_request() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        LOGIN => granted("t", 1, false),
        _ => nothing(),
    })
    .await;
    let vault = Vault::connect(fake.settings(approle())).await.unwrap();
    pass(Duration::from_secs(2)).await;
    list(&vault).await.unwrap();
    assert_eq!(fake.asked(LOGIN).len(), 2);
}

#[tokio::test]
async fn a_given_token_that_ran_out_is_said_to_have() {
    let fake = Fake::start(|_| (200, json!({"data": {"ttl": 1, "renewable": false}}))).await;
    let vault = Vault::connect(fake.settings(given_token())).await.unwrap();
    pass(Duration::from_secs(2)).await;
    let error = list(&vault).await.unwrap_err();
    assert!(matches!(error, VaultError::Expired) && !error.is_transient());
}

#[tokio::test]
async fn a_revoked_token_is_replaced_but_a_policy_does_not_cause_a_storm_of_logins() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        LOGIN => granted("t", 3600, true),
        _ => refused(403, "permission denied"),
    })
    .await;
    let vault = Vault::connect(fake.settings(approle())).await.unwrap();
    for _ in 0..3 {
        list(&vault).await.unwrap_err();
    }
    assert_eq!(fake.asked(LOGIN).len(), 1);
    pass(Duration::from_secs(11)).await;
    for _ in 0..3 {
        list(&vault).await.unwrap_err();
    }
    assert_eq!(fake.asked(LOGIN).len(), 2);

    pass(Duration::from_secs(11)).await;
    fake.answer(|asked| match (asked.line.as_str(), asked.token.as_str()) {
        (LOGIN, _) => granted("new", 3600, true),
        (_, "new") => nothing(),
        _ => refused(403, "permission denied"),
    });
    list(&vault).await.unwrap();
}

#[tokio::test]
async fn a_given_token_needs_nothing_while_it_lives_for_ever() {
    let fake = Fake::start(|_| facts()).await;
    let vault = Vault::connect(fake.settings(given_token())).await.unwrap();
    let tasks = Tasks::new();
    tasks.spawn_essential("token", vault.keep_token(tasks.stop()));
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

/// Lets time pass without waiting for it.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
