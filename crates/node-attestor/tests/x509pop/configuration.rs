//! Both halves as they are configured: what is refused, and what the agent says of its files.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use signet_crypto::{KeyType, PrivateKey, SystemRandom};
use signet_node_attestor::x509pop::payload::{Challenge, Nonce, Response};
use signet_node_attestor::x509pop::{ChainError, ConfigError, Mode, Roots, X509PopServer};
use signet_node_attestor::{AgentAttestor, AgentError};

use crate::names::spiffe_mode;
use crate::world::{At, World, agent, der, domain};

#[test]
fn configurations_that_cannot_work_are_refused() {
    let world = World::new();
    let build = |config| {
        let (clock, random) = (Arc::new(At(UNIX_EPOCH)), Arc::new(SystemRandom::new()));
        X509PopServer::new(domain(), config, clock, random)
            .err()
            .unwrap()
    };
    let mut config = world.config();
    config.mode = Mode::ExternalPki(Roots::new::<&[u8]>([]).unwrap());
    assert!(matches!(build(config), ConfigError::NoAuthority));
    let mut config = world.config();
    config.agent_path_template = Some("/{{ .Nonsense }}".to_owned());
    assert!(matches!(build(config), ConfigError::Template(_)));
    let mut config = spiffe_mode(&world.root);
    if let Mode::Spiffe { prefix, .. } = &mut config.mode {
        *prefix = "spire-exchange".to_owned();
    }
    assert!(matches!(build(config), ConfigError::Prefix));
}

#[test]
fn a_bundle_with_what_is_no_authority_is_refused() {
    let world = World::new();
    let refused = Roots::new([der(&world.root), world.chain().remove(0)]);
    assert!(matches!(
        refused,
        Err(ChainError::NotAnAuthority { index: 1 })
    ));
    let refused = Roots::new([b"nonsense"]);
    assert!(matches!(
        refused,
        Err(ChainError::Certificate { index: 0, .. })
    ));
}

#[tokio::test]
async fn the_agent_says_which_of_its_files_is_wrong() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let good = world.key.pkcs8_pem();

    let other = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mismatched = agent(dir.path(), other.pkcs8_pem().expose(), &world.chain());
    assert!(matches!(
        mismatched.payload().await,
        Err(AgentError::KeyMismatch { .. })
    ));

    let no_key = agent(dir.path(), "hunter2", &world.chain());
    let error = no_key.payload().await.unwrap_err();
    assert!(matches!(&error, AgentError::Content { path, .. } if *path == at("key.pem")));
    assert!(!format!("{error:?}").contains("hunter2"));

    let fine = agent(dir.path(), good.expose(), &world.chain());
    fine.payload().await.unwrap();
    std::fs::write(at("others.pem"), "").unwrap();
    let error = fine.payload().await.unwrap_err();
    assert!(matches!(error, AgentError::Content { path, .. } if path == at("others.pem")));
    std::fs::remove_file(at("leaf.pem")).unwrap();
    let error = fine.payload().await.unwrap_err();
    assert!(matches!(error, AgentError::File { path, .. } if path == at("leaf.pem")));
}

#[tokio::test]
async fn an_operator_is_told_for_how_long_the_certificate_is_good() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    let leaf = signet_spiffe::Certificate::parse(&world.chain()[0]).unwrap();
    let second = Duration::from_secs(1);
    for (now, holds) in [
        (leaf.not_before - second, false),
        (leaf.not_before, true),
        (leaf.not_after, true),
        (leaf.not_after + second, false),
    ] {
        let found = agent.findings(&[], now).await.unwrap();
        assert_eq!(found[0].holds, holds, "{}", found[0].text);
        assert!(found[1..].iter().all(|one| one.holds));
    }
}

#[tokio::test]
async fn the_agent_answers_only_challenges_that_fit() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    let (ecdsa, rsa) = (
        Challenge::Ecdsa(Nonce([1; 32])),
        Challenge::Rsa(Nonce([1; 32])),
    );
    let refused = |answer| matches!(answer, Err(AgentError::Challenge(_)));
    assert!(
        refused(agent.respond(&ecdsa.encode()).await),
        "before it has shown a certificate"
    );
    agent.payload().await.unwrap();
    assert!(agent.respond(&ecdsa.encode()).await.is_ok());
    assert!(refused(agent.respond(&rsa.encode()).await));
    assert!(refused(agent.respond(b"{}").await));
    assert!(refused(agent.respond(&[b' '; 1 << 20]).await));
}

#[tokio::test]
async fn the_agent_never_signs_with_the_same_nonce_twice() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    agent.payload().await.unwrap();
    let challenge = Challenge::Ecdsa(Nonce([1; 32])).encode();
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let response = agent.respond(&challenge).await.unwrap();
        let Response::Ecdsa { nonce, .. } = Response::parse(&response).unwrap() else {
            panic!("an EC key signs ECDSA");
        };
        nonces.push(nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}
