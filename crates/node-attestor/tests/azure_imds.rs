//! Both halves of `azure_imds` against emulated services, a document of Azure, and forgeries.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod azure;
mod azure_world;
mod cms;
mod web;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use azure::{NOW, SCALE_SET_VM, SUBSCRIPTION, TENANT, VM, clock};
use azure_world::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cms::{Attributes, Message};
use rcgen::{CertifiedIssuer, KeyPair, SerialNumber, date_time_ymd};
use signet_cloud::Endpoint;
use signet_cloud::azure::Tenants;
use signet_crypto::SystemRandom;
use signet_node_attestor::azure_imds::payload::Document;
use signet_node_attestor::azure_imds::{
    AzureImdsAgent, AzureImdsConfig, AzureImdsServer, ConfigError, DEFAULT_DOMAIN, EvidenceError,
    FetchError, Issuers, SignerError, Signers, roots,
};
use signet_node_attestor::pkcs7::Pkcs7Error;
use signet_node_attestor::x509pop::{ChainError, Roots};
use signet_node_attestor::{
    AgentAttestor, AgentError, Challenger, Fault, Peer, Refused, ServerAttestor,
};
use signet_spiffe::{Certificate, pem};
use web::{Answer, Web, local};

#[tokio::test]
async fn a_machine_whose_nonce_azure_signed_is_attested() {
    local(async {
        let world = World::new().await;
        let attested = world
            .attest(|nonce| world.signed(&content(nonce)))
            .await
            .unwrap();
        let id = format!("/spire/agent/azure_imds/{TENANT}/{SUBSCRIPTION}/{VM}");
        assert_eq!(attested.agent_id.path(), id);
        assert!(attested.first_use && !attested.can_reattest);
        let subscription = format!("azure_imds:subscription-id:{SUBSCRIPTION}");
        let expected = [
            &*subscription,
            "azure_imds:vm-name:blog",
            "azure_imds:vm-location:eastus",
            "azure_imds:resource-group:frontend",
            "azure_imds:vm-tag:environment:production",
            "azure_imds:network-security-group:FrontEnd:webservers",
            "azure_imds:virtual-network:vnet",
            "azure_imds:virtual-network-subnet:vnet:default",
        ];
        assert_eq!(values(&attested), expected.map(str::to_owned).into());
    })
    .await;
}

#[tokio::test]
async fn the_issuer_is_fetched_once_for_many_machines() {
    local(async {
        let world = World::new().await;
        let server = world.server();
        for _ in 0..3 {
            attest(&server, DOMAIN, |nonce| world.signed(&content(nonce)))
                .await
                .unwrap();
        }
        assert_eq!(world.fetched(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_machine_of_a_uniform_scale_set_is_found_in_its_set() {
    local(async {
        let world = World::new().await;
        let sign = |nonce: &str| world.signed(&content_of(nonce, SUBSCRIPTION, SCALE_SET_VM));
        let mut challenger = Answers(sign, DOMAIN.to_owned(), Some("pool".to_owned()));
        let attested = world
            .server()
            .attest(b"x", &Peer::default(), &mut challenger)
            .await;
        let values = values(&attested.unwrap());
        assert!(values.contains("azure_imds:vmss-name:pool"), "{values:?}");
        assert!(values.contains("azure_imds:vm-name:pool_0"));
        assert!(values.contains("azure_imds:virtual-network:vnet"));
        for name in ["other/../pool", "x' or 'a' == 'a"] {
            let mut challenger = Answers(sign, DOMAIN.to_owned(), Some(name.to_owned()));
            let refused = world
                .server()
                .attest(b"x", &Peer::default(), &mut challenger)
                .await;
            assert!(
                matches!(evidence(refused), EvidenceError::Unknown(_)),
                "{name}"
            );
        }
    })
    .await;
}

/// Field 1.15.1: the chain of one certificate was checked, and another in the bag had signed.
#[tokio::test]
async fn a_signature_by_another_certificate_of_the_bag_is_refused() {
    local(async {
        let world = World::new().await;
        let own = CertifiedIssuer::self_signed(authority("own"), KeyPair::generate().unwrap());
        let mut params = leaf("metadata.azure.com", PLACE);
        params.serial_number = Some(SerialNumber::from(5));
        let forger = signer(&own.unwrap(), &params, RSA_3072);
        let bags = [
            vec![world.signer.der.clone(), forger.der.clone()],
            vec![forger.der.clone(), world.signer.der.clone()],
        ];
        for bag in bags {
            // The forger signs and is named: his chain leads nowhere.
            let refused = world.attest(|nonce| {
                let text = content(nonce);
                let forged = Message {
                    certificates: bag.clone(),
                    ..message(text.as_bytes(), &forger)
                };
                forged.der()
            });
            let error = signer_error(refused.await);
            assert!(matches!(error, SignerError::Chain(_)), "{error:?}");
            // The forger signs and Azure's certificate is named: its key did not sign.
            let refused = world.attest(|nonce| {
                let text = content(nonce);
                let forged = Message {
                    certificates: bag.clone(),
                    signed_by: &forger,
                    ..message(text.as_bytes(), &world.signer)
                };
                forged.der()
            });
            let error = signer_error(refused.await);
            assert!(
                matches!(error, SignerError::Message(Pkcs7Error::Signature(_))),
                "{error:?}"
            );
        }
    })
    .await;
}

/// Field 1.15.2: what is read is what the signature covers.
#[tokio::test]
async fn a_document_that_differs_from_what_was_signed_is_refused() {
    local(async {
        let world = World::new().await;
        for attributes in [Attributes::None, Attributes::Good] {
            let refused = world.attest(|nonce| {
                let (told, signed) = (content(nonce), content("another nonce"));
                let forged = Message {
                    signed: signed.as_bytes(),
                    attributes,
                    ..message(told.as_bytes(), &world.signer)
                };
                forged.der()
            });
            let error = signer_error(refused.await);
            assert!(matches!(error, SignerError::Message(_)), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_document_of_another_exchange_is_refused() {
    local(async {
        let world = World::new().await;
        for nonce in ["", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let refused = world.attest(|_| world.signed(&content(nonce))).await;
            assert!(matches!(evidence(refused), EvidenceError::Nonce));
        }
        let refused = world
            .attest(|nonce| world.signed(&content(&nonce.to_lowercase())))
            .await;
        assert!(matches!(evidence(refused), EvidenceError::Nonce));
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_another_name_may_not_sign() {
    local(async {
        for name in [
            "www.example.com",
            "metadata.azure.com.evil.example",
            "evilmetadata.azure.com",
            "azure.com",
        ] {
            let world = World::with(&leaf(name, PLACE)).await;
            let refused = world.attest(|nonce| world.signed(&content(nonce))).await;
            assert!(matches!(signer_error(refused), SignerError::Name), "{name}");
            assert_eq!(
                world.fetched(),
                0,
                "nothing is fetched for a name that may not sign"
            );
        }
        // The subject's common name is no name.
        let mut params = leaf("www.example.com", PLACE);
        params.subject_alt_names.clear();
        let world = World::with(&params).await;
        let refused = world.attest(|nonce| world.signed(&content(nonce))).await;
        assert!(matches!(signer_error(refused), SignerError::Name));
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_another_time_may_not_sign() {
    local(async {
        for (from, to) in [(2024, 2025), (2027, 2028)] {
            let mut params = leaf("metadata.azure.com", PLACE);
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
            let world = World::with(&params).await;
            let refused = world.attest(|nonce| world.signed(&content(nonce))).await;
            assert!(matches!(signer_error(refused), SignerError::Time));
        }
    })
    .await;
}

#[tokio::test]
async fn issuers_are_fetched_from_one_host_only_within_bounds() {
    local(async {
        for place in [
            "http://169.254.169.254/pki/x.crt",
            "http://www.microsoft.com.evil.example/pki/x.crt",
            "http://www.microsoft.com/en-us/search",
        ] {
            let world = World::with(&leaf("metadata.azure.com", place)).await;
            let refused = world.attest(|nonce| world.signed(&content(nonce))).await;
            let error = signer_error(refused);
            assert!(
                matches!(error, SignerError::Issuer(FetchError::NoPlace)),
                "{error:?}"
            );
            assert!(world.web.asked().is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn issuers_that_redirect_are_pages_or_too_long_or_missing_are_refused() {
    local(async {
        for (file, is_final) in [
            ("html", true),
            ("elsewhere", false),
            ("long", false),
            ("none", true),
        ] {
            let place = format!("http://www.microsoft.com/pkiops/certs/{file}.crt");
            let world = World::with(&leaf("metadata.azure.com", &place)).await;
            let server = world.server();
            let sign = |nonce: &str| world.signed(&content(nonce));
            let refused = attest(&server, DOMAIN, sign).await.unwrap_err();
            assert_eq!(
                refused.fault() == Fault::NotAllowed,
                is_final,
                "{file}: {refused:?}"
            );
            // It is not asked for again at once.
            let again = attest(&server, DOMAIN, sign).await.unwrap_err();
            assert!(
                matches!(again, Refused::Unavailable(_)),
                "{file}: {again:?}"
            );
            assert_eq!(world.fetched(), 1, "{file}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_ends_in_time() {
    local(async {
        let place = "http://www.microsoft.com/pkiops/certs/hangs.crt";
        let world = World::with(&leaf("metadata.azure.com", place)).await;
        let begun = tokio::time::Instant::now();
        let refused = world.attest(|nonce| world.signed(&content(nonce))).await;
        assert!(
            matches!(refused, Err(Refused::Unavailable(_))),
            "{refused:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10));
    })
    .await;
}

#[tokio::test]
async fn messages_of_the_wrong_form_are_refused_before_anything_is_asked() {
    local(async {
        let world = World::new().await;
        let text = content("x");
        let mut bag = message(text.as_bytes(), &world.signer);
        bag.certificates = vec![world.signer.der.clone(); 100];
        let refused = world.attest(|_| bag.der()).await;
        assert!(matches!(refused, Err(Refused::Response(_))), "{refused:?}");
        bag.certificates.truncate(20);
        let error = signer_error(world.attest(|_| bag.der()).await);
        let too_many = SignerError::Message(Pkcs7Error::TooManyCertificates);
        assert_eq!(error.to_string(), too_many.to_string(), "{error:?}");
        let mut bag = message(text.as_bytes(), &world.signer);
        bag.certificates = vec![cms::huge_certificate()];
        let error = signer_error(world.attest(|_| bag.der()).await);
        assert!(
            matches!(
                error,
                SignerError::Message(Pkcs7Error::NoSignerCertificate { .. })
            ),
            "{error:?}"
        );
        for garbage in [vec![0x30], b"<html>".to_vec(), vec![0xff; 1000]] {
            let error = signer_error(world.attest(|_| garbage.clone()).await);
            assert!(matches!(error, SignerError::Message(_)), "{error:?}");
        }
        assert!(world.web.asked().is_empty());
    })
    .await;
}

#[tokio::test]
async fn answers_that_are_empty_or_of_10_mb_are_refused() {
    struct Says(Vec<u8>);
    #[async_trait]
    impl Challenger for Says {
        async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
            Ok(self.0.clone())
        }
    }
    local(async {
        let world = World::new().await;
        for bytes in [vec![], vec![b'{'; 10 << 20], b"\n".to_vec()] {
            let refused = world
                .server()
                .attest(b"x", &Peer::default(), &mut Says(bytes))
                .await;
            assert!(matches!(refused, Err(Refused::Response(_))), "{refused:?}");
        }
        for payload in [vec![], vec![b'x'; 10 << 20]] {
            let refused = world
                .server()
                .attest(&payload, &Peer::default(), &mut Says(vec![]))
                .await;
            assert!(matches!(refused, Err(Refused::Payload(_))), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_of_another_tenant_or_subscription_is_refused() {
    local(async {
        let world = World::new().await;
        let sign = |nonce: &str| world.signed(&content(nonce));
        for other in ["other.onmicrosoft.com", "..", "a/b", "%2e%2e"] {
            let refused = attest(&world.server(), other, sign).await;
            assert!(
                matches!(evidence(refused), EvidenceError::Tenant),
                "{other}"
            );
        }
        assert!(
            world.web.asked().is_empty(),
            "a tenant that is not configured costs nothing"
        );
        let other = "00000000-0000-0000-0000-000000000000".to_owned();
        let server = world.server_with(|tenant| tenant.subscriptions = [other].into(), None);
        let refused = attest(&server, DOMAIN, sign).await;
        assert!(matches!(evidence(refused), EvidenceError::Subscription));
        let allowed = SUBSCRIPTION.to_uppercase();
        let server = world.server_with(|tenant| tenant.subscriptions = [allowed].into(), None);
        attest(&server, DOMAIN, sign).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_machine_that_the_tenant_does_not_have_is_refused() {
    local(async {
        let world = World::new().await;
        let unknown = "22222222-24a0-41f3-b949-8baf4fd1c573";
        let sign = |nonce: &str| world.signed(&content_of(nonce, SUBSCRIPTION, unknown));
        let refused = world.attest(sign).await;
        assert!(matches!(evidence(refused), EvidenceError::Unknown(_)));
        // The API answers for a machine in another subscription than was signed.
        let other = "33333333-24a0-41f3-b949-8baf4fd1c573";
        let refused = world
            .attest(|nonce| world.signed(&content_of(nonce, other, VM)))
            .await;
        assert!(matches!(
            evidence(refused),
            EvidenceError::OtherSubscription
        ));
    })
    .await;
}

#[tokio::test]
async fn ids_that_are_no_uuids_are_refused_even_when_signed() {
    local(async {
        let world = World::new().await;
        for vm in ["", "..", "a/b", "%2e", "x' or 'a' == 'a"] {
            let refused = world.attest(|nonce| world.signed(&content_of(nonce, SUBSCRIPTION, vm)));
            assert!(
                matches!(evidence(refused.await), EvidenceError::Document(_)),
                "{vm}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_api_that_redirects_or_answers_pages_makes_the_server_unable_to_decide() {
    local(async {
        for kind in 0..3 {
            let params = leaf("metadata.azure.com", PLACE);
            let world = World::answering(&params, move |_| match kind {
                0 => Answer::Html,
                1 => Answer::Redirect("http://169.254.169.254/"),
                _ => Answer::Status(503),
            });
            let world = world.await;
            let refused = world.attest(|nonce| world.signed(&content(nonce))).await;
            assert!(
                matches!(refused, Err(Refused::Unavailable(_))),
                "{refused:?}"
            );
        }
    })
    .await;
}

/// A document that Azure's metadata service signed in 2022, and the certificates above it.
#[tokio::test]
async fn a_published_document_of_azure_is_verified_at_its_time() {
    local(async {
        let issuer = include_str!("fixtures/azure_imds/microsoft-rsa-tls-ca-01.pem");
        let issuer = pem::parse_pem_certs(issuer).unwrap().remove(0);
        let web = Web::new(move |asked| {
            let place = "GET /pki/mscorp/Microsoft%20RSA%20TLS%20CA%2001.crt";
            assert_eq!(asked.line, place);
            Answer::Ok(issuer.clone())
        });
        let web = web.await;
        let root = include_str!("fixtures/azure_imds/baltimore-cybertrust-root.pem");
        let roots = Roots::new(pem::parse_pem_certs(root).unwrap()).unwrap();
        let issuers = Issuers::new(Endpoint::new(&web.url), clock()).unwrap();
        let signers = Signers::new(roots, vec![DEFAULT_DOMAIN.to_owned()], issuers);
        let signed = include_str!("fixtures/azure_imds/document.b64").trim();
        let mut signed = BASE64_STANDARD.decode(signed).unwrap();
        // 1 June 2022, and 2026.
        let then = UNIX_EPOCH + Duration::from_secs(1_654_041_600);
        let document = Document::of(signers.verify(&signed, then).await.unwrap()).unwrap();
        assert_eq!(document.get().vm_id, "bd8e7443-24a0-41f3-b949-8baf4fd1c573");
        assert_eq!(document.get().nonce, "20220419-072721");
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let late = signers.verify(&signed, now).await;
        assert!(matches!(late, Err(SignerError::Time)), "{late:?}");
        let place = signed.windows(4).position(|four| four == b"vmId").unwrap();
        signed[place + 8] ^= 1;
        let forged = signers.verify(&signed, then).await;
        assert!(matches!(
            forged,
            Err(SignerError::Message(Pkcs7Error::Signature(_)))
        ));
    })
    .await;
}

#[tokio::test]
async fn a_root_that_is_not_known_is_not_trusted_though_the_chain_is_whole() {
    local(async {
        let world = World::new().await;
        let issuers = Issuers::new(Endpoint::new(&world.web.url), clock()).unwrap();
        let signers = Signers::new(
            roots(None).unwrap(),
            vec![DEFAULT_DOMAIN.to_owned()],
            issuers,
        );
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let error = signers.verify(&world.signed("{}"), now).await.unwrap_err();
        assert!(
            matches!(error, SignerError::Chain(ChainError::Path(_))),
            "{error:?}"
        );
        let parsed = Certificate::parse(world.intermediate.der()).unwrap();
        assert!(parsed.is_ca());
    })
    .await;
}

#[test]
fn the_built_in_roots_are_read_and_more_can_be_added() {
    assert!(!roots(None).unwrap().is_empty());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("roots.pem");
    assert!(roots(Some(&path)).is_err());
    std::fs::write(&path, "no certificate").unwrap();
    assert!(roots(Some(&path)).is_err());
    let own = CertifiedIssuer::self_signed(authority("own"), KeyPair::generate().unwrap()).unwrap();
    std::fs::write(&path, pem::encode_pem_certs([own.der()])).unwrap();
    roots(Some(&path)).unwrap();
}

#[tokio::test]
async fn templates_and_tenants_are_checked_at_the_start() {
    local(async {
        let world = World::new().await;
        let server = world.server_with(|_| {}, Some("/{{ .PluginName }}/x/{{ .VMID }}"));
        let attested = attest(&server, DOMAIN, |nonce| world.signed(&content(nonce))).await;
        let path = format!("/spire/agent/azure_imds/x/{VM}");
        assert_eq!(attested.unwrap().agent_id.path(), path);
        let issuers = Issuers::new(Endpoint::new(&world.web.url), clock()).unwrap();
        let signers = Signers::new(roots(None).unwrap(), vec![], issuers);
        let tenants = Tenants::new(Endpoint::new(&world.web.url)).unwrap();
        let config = AzureImdsConfig {
            tenants: BTreeMap::new(),
            agent_path_template: None,
        };
        let random = Arc::new(SystemRandom::new());
        let none = AzureImdsServer::new(domain(), config, signers, tenants, clock(), random);
        assert!(matches!(none.err(), Some(ConfigError::NoTenant)));
    })
    .await;
}

#[tokio::test]
async fn both_halves_go_together_over_an_emulated_metadata_service() {
    struct Agent(AzureImdsAgent);
    #[async_trait]
    impl Challenger for Agent {
        async fn challenge(&mut self, nonce: Vec<u8>) -> Result<Vec<u8>, Refused> {
            Ok(self.0.respond(&nonce).await.unwrap())
        }
    }
    local(async {
        let world = Arc::new(World::new().await);
        let signing = Arc::clone(&world);
        let service = Web::new(move |asked| {
            assert!(asked.headers.contains("metadata: true"), "{asked:?}");
            let attested = "GET /metadata/attested/document?api-version=2025-04-07&nonce=";
            let compute = "GET /metadata/instance/compute?api-version=2025-04-07&format=json";
            match asked.line.strip_prefix(attested) {
                Some(nonce) => {
                    let signature = BASE64_STANDARD.encode(signing.signed(&content(nonce)));
                    let text = format!(r#"{{"encoding":"pkcs7","signature":"{signature}"}}"#);
                    Answer::Ok(text.into_bytes())
                }
                None if asked.line == compute => {
                    Answer::Ok(format!(r#"{{"vmId":"{VM}","vmScaleSetName":""}}"#).into_bytes())
                }
                None => Answer::Status(404),
            }
        });
        let service = service.await;
        let agent = AzureImdsAgent::new(&service.url, DOMAIN);
        let payload = agent.payload().await.unwrap();
        assert_eq!(payload, b"non_empty_payload");
        let (server, peer, mut agent) = (world.server(), Peer::default(), Agent(agent));
        let attested = server.attest(&payload, &peer, &mut agent);
        assert!(attested.await.unwrap().agent_id.path().ends_with(VM));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_agent_takes_nothing_from_a_service_that_hangs_redirects_or_answers_pages() {
    local(async {
        for kind in 0..5 {
            let service = Web::new(move |_| match kind {
                0 => Answer::Hang,
                1 => Answer::Redirect("http://127.0.0.1:1/"),
                2 => Answer::Html,
                3 => Answer::Ok(vec![b' '; 10 << 20]),
                _ => Answer::Status(500),
            });
            let agent = AzureImdsAgent::new(&service.await.url, DOMAIN);
            let failed = agent.respond(&[b'a'; 32]).await;
            assert!(
                matches!(failed, Err(AgentError::Metadata { .. })),
                "{failed:?}"
            );
        }
        let agent = AzureImdsAgent::new("http://127.0.0.1:1", DOMAIN);
        for challenge in [&b""[..], b"short", &[b'&'; 32], &[b'a'; 10_000]] {
            let failed = agent.respond(challenge).await;
            assert!(
                matches!(failed, Err(AgentError::Challenge(Some(_)))),
                "{failed:?}"
            );
        }
    })
    .await;
}
