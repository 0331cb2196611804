//! What the agent answers to the challenge, with each kind of key.

use async_trait::async_trait;
use signet_crypto::{KeyType, PrivateKey};
use signet_node_attestor::x509pop::EvidenceError;
use signet_node_attestor::x509pop::payload::{Nonce, Response};
use signet_node_attestor::{AgentAttestor, AgentError, Challenger, Fault, Refused};

use crate::world::{
    Ours, P256_SEC1, P384_PKCS8, RSA_2048_PKCS1, RSA_3072_PKCS8, Says, Signs, World, agent, attest,
    attest_with_key_file, evidence, issue, leaf, payload,
};

#[tokio::test]
async fn an_agent_with_each_kind_of_key_in_each_form_is_attested() {
    let made = PrivateKey::generate(KeyType::EcP256).unwrap().pkcs8_pem();
    for pem in [made.expose(), P256_SEC1, RSA_2048_PKCS1, RSA_3072_PKCS8] {
        attest_with_key_file(pem).await.unwrap();
    }
}

#[tokio::test]
async fn a_p384_key_signs_where_aws_lc_is_there_and_names_it_where_not() {
    let outcome = attest_with_key_file(P384_PKCS8).await;
    if signet_crypto::HAS_AWS_LC {
        outcome.unwrap();
    } else {
        let Err(Refused::Ended(Some(error))) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(matches!(error.downcast_ref(), Some(AgentError::Sign(_))));
    }
}

#[tokio::test]
async fn a_recorded_answer_is_worth_nothing_in_the_next_exchange() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    let mut ours = Ours {
        agent: &agent,
        said: Vec::new(),
    };
    let shown = agent.payload().await.unwrap();
    attest(world.config(), &shown, &mut ours).await.unwrap();
    let mut replay = Says(ours.said.remove(0));
    let refused = attest(world.config(), &shown, &mut replay).await;
    assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
}

#[tokio::test]
async fn a_signature_by_another_certificate_of_the_chain_is_refused() {
    let world = World::new();
    let second = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mut chain = world.chain();
    chain.push(issue(
        &world.intermediate,
        &leaf("second"),
        second.public_key(),
    ));
    assert!(world.attest(chain.clone()).await.is_ok());
    let refused = attest(world.config(), &payload(chain), &mut Signs(&second)).await;
    assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
}

#[tokio::test]
async fn a_signature_by_a_foreign_key_is_refused() {
    let ec = PrivateKey::generate(KeyType::EcP256).unwrap();
    let rsa = PrivateKey::from_pem(RSA_3072_PKCS8).unwrap();
    for (world, foreign) in [(World::new(), ec), (World::with_rsa(), rsa)] {
        let refused = attest(
            world.config(),
            &payload(world.chain()),
            &mut Signs(&foreign),
        )
        .await;
        assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
    }
}

#[tokio::test]
async fn an_answer_for_another_kind_of_key_is_refused() {
    let world = World::with_rsa();
    let foreign = PrivateKey::generate(KeyType::EcP256).unwrap();
    let refused = attest(
        world.config(),
        &payload(world.chain()),
        &mut Signs(&foreign),
    )
    .await;
    assert!(matches!(evidence(refused), EvidenceError::WrongKind));
}

#[tokio::test]
async fn numbers_that_are_no_signature_are_refused() {
    let world = World::new();
    for (r, s) in [
        (vec![], vec![]),
        (vec![0; 32], vec![0; 32]),
        (vec![1; 33], vec![1; 32]),
    ] {
        let nonce = Nonce([7; 32]);
        let mut says = Says(Response::Ecdsa { nonce, r, s }.encode());
        let refused = attest(world.config(), &payload(world.chain()), &mut says).await;
        assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_the_callers_fault() {
    let world = World::new();
    for bytes in [&b""[..], b"{}", b"null", &[b' '; 1 << 20]] {
        let mut says = Says(bytes.to_vec());
        let refused = attest(world.config(), &payload(world.chain()), &mut says).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Refused::Response(_)));
        assert_eq!(refused.fault(), Fault::Caller);
    }
}

#[tokio::test]
async fn an_agent_that_leaves_is_not_attested() {
    struct Leaves;
    #[async_trait]
    impl Challenger for Leaves {
        async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
            Err(Refused::Ended(None))
        }
    }
    let world = World::new();
    let refused = attest(world.config(), &payload(world.chain()), &mut Leaves).await;
    assert!(matches!(refused, Err(Refused::Ended(None))));
}
