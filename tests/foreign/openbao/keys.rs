//! The key manager by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signet_crypto::{KeyType, SignatureAlgorithm};
use signet_http::Roots;
use signet_keys::testing::contract;
use signet_keys::{KeyManager, Signer};
use signet_tests::openbao::OpenBao;
use signet_tests::openssl::openssl;
use signet_vault::{Auth, Secret, Settings, TransitKeys, Vault};

use super::{token, with_transit};

pub(super) fn settings(bao: &OpenBao, auth: Auth) -> Settings {
    Settings {
        address: bao.address().parse().unwrap(),
        namespace: None,
        roots: Roots::File(bao.authority.clone()),
        auth,
    }
}

async fn vault(bao: &OpenBao) -> Arc<Vault> {
    let auth = Auth::Token(Secret::new(token(bao, "1h").await));
    Vault::connect(settings(bao, auth)).await.unwrap()
}

pub(super) async fn open(vault: &Arc<Vault>, identifier: &str) -> TransitKeys {
    let (mount, identifier) = ("transit".parse().unwrap(), identifier.parse().unwrap());
    let keys = TransitKeys::open(Arc::clone(vault), mount, &identifier).await;
    keys.unwrap()
}

#[tokio::test]
async fn transit_keeps_the_contract_of_key_managers() {
    let Some((_directory, bao)) = with_transit("transit_keeps_the_contract_of_key_managers").await
    else {
        return;
    };
    let vault = vault(&bao).await;
    let number = AtomicUsize::new(0);
    contract::check(async || {
        let number = number.fetch_add(1, Ordering::SeqCst);
        open(&vault, &format!("server-{number}")).await
    })
    .await;
}

#[tokio::test]
async fn transit_signs_in_every_way_that_a_key_can() {
    let Some((_directory, bao)) = with_transit("transit_signs_in_every_way_that_a_key_can").await
    else {
        return;
    };
    use SignatureAlgorithm as A;
    let keys = open(&vault(&bao).await, "one").await;
    let rsa = [
        A::RsaPkcs1Sha256,
        A::RsaPkcs1Sha384,
        A::RsaPkcs1Sha512,
        A::RsaPssSha256,
        A::RsaPssSha384,
        A::RsaPssSha512,
    ];
    for (kind, algorithms) in [
        (KeyType::EcP256, &[A::EcdsaP256Sha256][..]),
        (KeyType::EcP384, &[A::EcdsaP384Sha384]),
        (KeyType::Rsa2048, &rsa),
        (KeyType::Rsa4096, &rsa),
    ] {
        let signer = keys.generate(kind.name(), kind).await.unwrap();
        assert_eq!(signer.public_key().key_type(), Some(kind));
        for algorithm in algorithms {
            let signature = signer.sign(*algorithm, b"message").await.unwrap();
            let verified = signer
                .public_key()
                .verify(*algorithm, b"message", &signature);
            verified.unwrap_or_else(|error| panic!("{kind} {algorithm:?}: {error}"));
        }
    }
}

#[tokio::test]
async fn servers_share_an_engine_and_find_their_own_keys_again() {
    let name = "servers_share_an_engine_and_find_their_own_keys_again";
    let Some((_directory, bao)) = with_transit(name).await else {
        return;
    };
    let vault = vault(&bao).await;
    let (one, two) = (open(&vault, "one").await, open(&vault, "two").await);
    let made = one.generate("x509-CA-A", KeyType::EcP256).await.unwrap();
    let other = two.generate("x509-CA-A", KeyType::EcP256).await.unwrap();
    let again = open(&vault, "one").await;
    let found = again.get("x509-CA-A").await.unwrap().unwrap();
    assert_eq!(found.public_key(), made.public_key());
    assert_ne!(found.public_key(), other.public_key());
    assert_eq!(again.list().await.unwrap().len(), 1);

    // An operator rotates the transit key by hand; it stays the key that it was.
    bao.cli(&["write", "-f", "transit/keys/one.x509-CA-A.1/rotate"])
        .await
        .ok();
    let rotated = open(&vault, "one").await;
    let found = rotated.get("x509-CA-A").await.unwrap().unwrap();
    assert_eq!(found.public_key(), made.public_key());
    signs(&*found).await;
    signs(&*made).await;
}

#[tokio::test]
async fn an_approle_and_a_certificate_log_in_and_an_unknown_one_does_not() {
    let name = "an_approle_and_a_certificate_log_in_and_an_unknown_one_does_not";
    let Some((directory, bao)) = with_transit(name).await else {
        return;
    };
    for auth in [
        approle(&bao).await,
        certificate(&bao, directory.path()).await,
    ] {
        let vault = Vault::connect(settings(&bao, auth)).await.unwrap();
        let keys = open(&vault, "one").await;
        signs(&*keys.generate("id", KeyType::EcP256).await.unwrap()).await;
    }
    let unknown = Auth::AppRole {
        mount: "approle".parse().unwrap(),
        role_id: Secret::new("nobody".to_owned()),
        secret_id: Secret::new("hunter2".to_owned()),
    };
    let refused = Vault::connect(settings(&bao, unknown)).await.unwrap_err();
    assert!(!refused.is_transient());
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    let stranger = Settings {
        roots: Roots::System,
        ..settings(&bao, Auth::Token(Secret::new(bao.root_token.clone())))
    };
    Vault::connect(stranger).await.unwrap_err();
}

async fn approle(bao: &OpenBao) -> Auth {
    bao.cli(&["auth", "enable", "approle"]).await.ok();
    let role = ["write", "auth/approle/role/signet", "token_policies=signet"];
    bao.cli(&role).await.ok();
    let ask = async |line: &[&str], field: &str| {
        let answer = bao.cli(line).await.json();
        Secret::new(answer["data"][field].as_str().unwrap().to_owned())
    };
    let role_id = ["read", "-format=json", "auth/approle/role/signet/role-id"];
    let secret_id = [
        "write",
        "-f",
        "-format=json",
        "auth/approle/role/signet/secret-id",
    ];
    Auth::AppRole {
        mount: "approle".parse().unwrap(),
        role_id: ask(&role_id, "role_id").await,
        secret_id: ask(&secret_id, "secret_id").await,
    }
}

async fn certificate(bao: &OpenBao, directory: &std::path::Path) -> Auth {
    let path = |name: &str| directory.join(name);
    let (certificate, key) = (path("client.pem"), path("client.key"));
    let (out, keyout) = (certificate.display().to_string(), key.display().to_string());
    let request = [
        "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048",
    ];
    let names = ["-subj", "/CN=signet", "-keyout", &keyout, "-out", &out];
    let usage = ["-addext", "extendedKeyUsage=clientAuth"];
    openssl(&[&request[..], &names, &usage].concat()).await.ok();
    bao.cli(&["auth", "enable", "-path=tls", "cert"]).await.ok();
    let pem = format!("certificate=@{out}");
    let role = [
        "write",
        "auth/tls/certs/signet",
        "token_policies=signet",
        &pem,
    ];
    bao.cli(&role).await.ok();
    Auth::Certificate {
        mount: "tls".parse().unwrap(),
        role: Some("signet".to_owned()),
        certificate,
        key,
    }
}

pub(super) async fn signs(signer: &dyn Signer) {
    let algorithm = signer.public_key().default_algorithm();
    let signature = signer.sign(algorithm, b"message").await.unwrap();
    let key = signer.public_key();
    key.verify(algorithm, b"message", &signature).unwrap();
}
