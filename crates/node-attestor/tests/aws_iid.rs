//! Both halves of `aws_iid`: AWS's sample document, and agents, volumes and services that lie.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod aws_world;
mod cms;

use std::time::Duration;

use aws_world::*;
use cms::{Message, Signer, huge_certificate};
use signet_cloud::aws::{Account, Instance, InstanceMetadata};
use signet_model::Selector;
use signet_node_attestor::aws_iid::payload::{MAX_PAYLOAD_LEN, Payload};
use signet_node_attestor::aws_iid::{AccountList, AwsIidAgent, AwsIidConfig, RegionCertificates};
use signet_node_attestor::{AgentAttestor, AgentError, Fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn awss_sample_document_is_attested_by_either_signature() {
    let message = Payload {
        signature: "no base64!".to_owned(),
        ..payload()
    };
    let plain = Payload {
        rsa2048: String::new(),
        ..payload()
    };
    for payload in [message, plain] {
        let attested = attest(&payload.encode(), config(), cloud()).await.unwrap();
        assert_eq!(
            attested.agent_id.to_string(),
            format!("spiffe://example.org/spire/agent/aws_iid/{ACCOUNT}/us-west-2/{INSTANCE}")
        );
        assert!(attested.first_use && !attested.can_reattest && attested.token.is_none());
        let selectors: Vec<_> = attested.selectors.iter().map(Selector::value).collect();
        assert_eq!(
            selectors,
            [
                "account_id:123456789012",
                "region:us-west-2",
                "instance:id:i-1234567890abcdef0",
                "az:us-west-2b",
                "image:id:ami-5fb8c835",
                "tag:Name:web-7",
                "tag:team:blue",
                "sg:id:sg-1",
                "sg:name:front",
                "iamrole:arn:aws:iam::123456789012:role/web",
            ]
        );
    }
}

#[tokio::test]
async fn a_broken_message_is_not_made_up_for_by_a_good_plain_signature() {
    let payload = Payload {
        rsa2048: RSA_2048.replacen("MIAG", "MIAH", 1),
        ..payload()
    };
    let outcome = attest(&payload.encode(), config(), cloud()).await;
    assert_refused(outcome, Fault::NotAllowed, "rsa2048 does not hold");
}

/// SPIRE before 1.14.6 verified the document in the message and used the one beside it.
#[tokio::test]
async fn spire_1_14_6_a_document_beside_the_signed_one_is_refused() {
    let forged = DOCUMENT.replace(INSTANCE, "i-0fffffffffffffff0");
    let payload = Payload {
        document: forged,
        ..payload()
    };
    let outcome = attest(&payload.encode(), config(), cloud()).await;
    assert_refused(
        outcome,
        Fault::NotAllowed,
        "the document differs from the one that is signed",
    );
    let plain = Payload {
        rsa2048: String::new(),
        ..payload
    };
    let outcome = attest(&plain.encode(), config(), cloud()).await;
    let reason = "signature is not by a known key of AWS over the document";
    assert_refused(outcome, Fault::NotAllowed, reason);
}

/// CVE-2021-27099: a tag that somebody chose became more than one segment of the agent's ID.
#[tokio::test]
async fn cve_2021_27099_a_tag_is_one_plain_segment_of_the_id_or_there_is_none() {
    for value in ["../../admin", "a/b", "..", ".", "%2e%2e", "a%2fb", "", "ü"] {
        let mut instance = launched();
        instance.tags[0].1 = value.to_owned();
        let cloud = FakeCloud {
            instance: Some(instance),
            ..cloud()
        };
        let config = AwsIidConfig {
            agent_path_template: Some("/aws_iid/{{ .AccountID }}/{{ .Tags.Name }}".to_owned()),
            ..config()
        };
        let outcome = attest(&payload().encode(), config, cloud).await;
        let reason = "the agent's Tags.Name cannot be part of a SPIFFE ID";
        assert_refused(outcome, Fault::Ours, reason);
    }
}

#[tokio::test]
async fn a_tag_can_be_a_segment_and_a_missing_one_gives_no_id() {
    let config = |template: &str| AwsIidConfig {
        agent_path_template: Some(template.to_owned()),
        ..config()
    };
    let named = config("/aws_iid/{{ .Tags.Name }}");
    let attested = attest(&payload().encode(), named, cloud()).await.unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/aws_iid/web-7");
    let missing = config("/aws_iid/{{ .Tags.Owner }}");
    let outcome = attest(&payload().encode(), missing, cloud()).await;
    assert_refused(outcome, Fault::Ours, "the agent has no Tags.Owner");
}

#[tokio::test]
async fn a_signature_by_another_certificate_of_the_bag_is_refused() {
    let (trusted, other) = (Signer::trusted(), Signer::other());
    let bag = vec![trusted.der.clone(), other.der.clone()];
    let good = Message::good(DOCUMENT.as_bytes(), &trusted);
    let message = Message {
        signed_by: &other,
        certificates: bag.clone(),
        ..good
    };
    let (payload, config) = own(&message, DOCUMENT);
    let outcome = attest(&payload.encode(), config, cloud()).await;
    assert_refused(
        outcome,
        Fault::NotAllowed,
        "signature of the signed message",
    );
    let message = Message {
        named: &other,
        ..message
    };
    let (payload, config) = own(&message, DOCUMENT);
    let outcome = attest(&payload.encode(), config, cloud()).await;
    assert_refused(
        outcome,
        Fault::NotAllowed,
        "not signed by a known certificate of AWS",
    );
}

#[tokio::test]
async fn a_hundred_certificates_and_a_huge_key_change_nothing_or_are_refused() {
    let trusted = Signer::trusted();
    let message = Message {
        certificates: vec![vec![0x30, 0]; 100],
        ..Message::good(DOCUMENT.as_bytes(), &trusted)
    };
    let (payload, config) = own(&message, DOCUMENT);
    let outcome = attest(&payload.encode(), config, cloud()).await;
    assert_refused(outcome, Fault::NotAllowed, "more than 8 certificates");
    // The bag is never looked into: who signs for a region is pinned.
    let message = Message {
        certificates: vec![huge_certificate()],
        ..Message::good(DOCUMENT.as_bytes(), &trusted)
    };
    let (payload, config) = own(&message, DOCUMENT);
    attest(&payload.encode(), config, cloud()).await.unwrap();
}

#[tokio::test]
async fn a_document_of_another_region_than_its_signers_is_refused() {
    let trusted = Signer::trusted();
    let document = DOCUMENT.replace("us-west-2\"", "us-east-1\"");
    let message = Message::good(document.as_bytes(), &trusted);
    let (payload, config) = own(&message, &document);
    let outcome = attest(&payload.encode(), config, cloud()).await;
    assert_refused(outcome, Fault::NotAllowed, "names another region");
}

#[tokio::test]
async fn a_signed_document_with_odd_values_is_refused() {
    let trusted = Signer::trusted();
    for (from, to, name) in [
        (ACCOUNT, "12345678901x", "accountId"),
        (ACCOUNT, "", "accountId"),
        (INSTANCE, "i-1/../2", "instanceId"),
        (INSTANCE, "", "instanceId"),
        ("us-west-2\"", "us.west\"", "region"),
        ("us-west-2b", "a/b", "availabilityZone"),
        ("ami-5fb8c835", "%00", "imageId"),
    ] {
        let document = DOCUMENT.replace(from, to);
        let message = Message::good(document.as_bytes(), &trusted);
        let (payload, config) = own(&message, &document);
        let outcome = attest(&payload.encode(), config, cloud()).await;
        let reason = format!("{name} of the identity document has another form");
        assert_refused(outcome, Fault::NotAllowed, &reason);
    }
    let message = Message::good(b"<html>", &trusted);
    let (payload, config) = own(&message, "<html>");
    let outcome = attest(&payload.encode(), config, cloud()).await;
    assert_refused(
        outcome,
        Fault::NotAllowed,
        "is not JSON of the expected form",
    );
}

#[tokio::test]
async fn payloads_that_are_none_are_refused() {
    let too_long = vec![b' '; 10 << 20];
    assert!(too_long.len() > MAX_PAYLOAD_LEN);
    for (payload, reason) in [
        (too_long.as_slice(), "more than the limit of 131072"),
        (b"", "not JSON of the expected form"),
        (b"{\"document\":7}", "not JSON of the expected form"),
        (b"{}", "neither rsa2048 nor signature is there"),
    ] {
        let outcome = attest(payload, config(), cloud()).await;
        assert_refused(outcome, Fault::Caller, reason);
    }
    for (message, reason) in [
        ("?", "rsa2048 is not base64"),
        ("MAA=", "signed message is malformed"),
    ] {
        let payload = Payload {
            rsa2048: message.to_owned(),
            ..payload()
        };
        let outcome = attest(&payload.encode(), config(), cloud()).await;
        assert_refused(outcome, Fault::NotAllowed, reason);
    }
}

#[tokio::test]
async fn awss_own_certificates_did_not_sign_the_samples_of_a_test() {
    let config = AwsIidConfig {
        regions: RegionCertificates::built_in(),
        ..config()
    };
    let outcome = attest(&payload().encode(), config, cloud()).await;
    assert_refused(
        outcome,
        Fault::NotAllowed,
        "not signed by a known certificate of AWS",
    );
}

#[tokio::test]
async fn an_instance_that_aws_does_not_have_running_in_the_account_is_refused() {
    let changed = |change: fn(&mut Instance)| {
        let mut instance = launched();
        change(&mut instance);
        Some(instance)
    };
    for instance in [
        None,
        changed(|it| it.state = "terminated".to_owned()),
        changed(|it| it.owner = "999999999999".to_owned()),
    ] {
        let cloud = FakeCloud {
            instance,
            ..cloud()
        };
        let outcome = attest(&payload().encode(), config(), cloud).await;
        assert_refused(outcome, Fault::NotAllowed, "AWS has no running instance");
    }
}

#[tokio::test]
async fn a_volume_that_was_moved_is_noticed_unless_that_check_is_off() {
    let moved = || {
        let mut instance = launched();
        instance.root_volume_attached = instance
            .root_volume_attached
            .map(|at| at + Duration::from_secs(3600));
        FakeCloud {
            instance: Some(instance),
            ..cloud()
        }
    };
    let outcome = attest(&payload().encode(), config(), moved()).await;
    assert_refused(
        outcome,
        Fault::NotAllowed,
        "root volume was attached 3601 s apart",
    );
    let config = AwsIidConfig {
        skip_block_device: true,
        ..config()
    };
    attest(&payload().encode(), config, moved()).await.unwrap();
}

#[tokio::test]
async fn without_aws_nothing_is_decided() {
    let cloud = FakeCloud {
        down: true,
        ..cloud()
    };
    let outcome = attest(&payload().encode(), config(), cloud).await;
    assert_refused(outcome, Fault::Ours, "no AWS credentials");
}

#[tokio::test]
async fn an_account_with_local_validation_is_attested_without_asking_aws() {
    let config = AwsIidConfig {
        local_accounts: [ACCOUNT.to_owned()].into(),
        ..config()
    };
    let cloud = FakeCloud {
        down: true,
        ..FakeCloud::default()
    };
    let attested = attest(&payload().encode(), config, cloud).await.unwrap();
    assert_eq!(attested.selectors.len(), 5);
    assert!(attested.first_use);
}

#[tokio::test]
async fn only_active_accounts_of_the_organization_are_let_in() {
    let list = |status: &str| {
        let account = Account {
            id: ACCOUNT.to_owned(),
            status: status.to_owned(),
        };
        FakeCloud {
            accounts: vec![account],
            ..cloud()
        }
    };
    let config = || AwsIidConfig {
        accounts: Some(AccountList::Organization {
            management_account_id: "1".to_owned(),
            role: "r".to_owned(),
            region: "us-east-1".to_owned(),
            ttl: Duration::from_secs(180),
        }),
        ..config()
    };
    attest(&payload().encode(), config(), list("ACTIVE"))
        .await
        .unwrap();
    let outcome = attest(&payload().encode(), config(), list("SUSPENDED")).await;
    assert_refused(outcome, Fault::NotAllowed, "not in the organization");
}

#[tokio::test]
async fn an_account_list_file_lets_its_accounts_in() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = || AwsIidConfig {
        accounts: Some(AccountList::File(file.path().to_owned())),
        ..config()
    };
    std::fs::write(file.path(), format!("[\"{ACCOUNT}\"]")).unwrap();
    attest(&payload().encode(), config(), cloud())
        .await
        .unwrap();
    std::fs::write(file.path(), "[\"1\"]").unwrap();
    let outcome = attest(&payload().encode(), config(), cloud()).await;
    assert_refused(outcome, Fault::NotAllowed, "list of accounts");
    std::fs::write(file.path(), "{").unwrap();
    let outcome = attest(&payload().encode(), config(), cloud()).await;
    assert_refused(outcome, Fault::Ours, "is not a JSON array of account IDs");
}

#[tokio::test]
async fn an_instance_outside_the_clusters_is_refused() {
    let config = || AwsIidConfig {
        clusters: vec!["prod".to_owned()],
        ..config()
    };
    let outcome = attest(&payload().encode(), config(), cloud()).await;
    assert_refused(outcome, Fault::NotAllowed, "no managed node group");
    let inside = FakeCloud {
        in_cluster: true,
        ..cloud()
    };
    attest(&payload().encode(), config(), inside).await.unwrap();
}

/// A metadata service that gives this answer to everything but the question for a token.
async fn metadata(answer: &'static str) -> AwsIidAgent {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/latest/", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap().to_lowercase();
            let answer = if request.starts_with("put /latest/api/token ") {
                assert!(request.contains("x-aws-ec2-metadata-token-ttl-seconds: "));
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\ntoken"
            } else {
                assert!(
                    request.contains("x-aws-ec2-metadata-token: token"),
                    "{request}"
                );
                answer
            };
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    AwsIidAgent::new(InstanceMetadata::at(&endpoint).unwrap())
}

async fn agents_failure(answer: &'static str) -> String {
    let error: AgentError = metadata(answer).await.payload().await.unwrap_err();
    story(&error)
}

#[tokio::test]
async fn a_metadata_service_that_redirects_or_answers_html_or_refuses_is_refused() {
    for (answer, reason) in [
        (
            "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\nconnection: close\r\n\r\n",
            "points elsewhere, which is not followed",
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 15\r\n\r\n<html>Hi</html>",
            "is not what AWS gives",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "refused with status 401",
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10000000\r\n\r\n",
            "longer than 65536 bytes",
        ),
    ] {
        let story = agents_failure(answer).await;
        assert!(story.contains(reason), "{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_metadata_service_that_hangs_is_given_up() {
    let story = agents_failure("").await;
    assert!(
        story.contains("no answer of 127.0.0.1 within 5 s"),
        "{story}"
    );
}
