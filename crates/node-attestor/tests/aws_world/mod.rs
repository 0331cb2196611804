//! AWS's sample document signed by a test authority, and AWS as a test wants it.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crate::cms::{Message, Signer};
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use signet_cloud::aws::{Account, AwsError, Instance};
use signet_node_attestor::aws_iid::payload::Payload;
use signet_node_attestor::aws_iid::{AwsIidConfig, AwsIidServer, Cloud, RegionCertificates};
use signet_node_attestor::{Attested, Challenger, Fault, Peer, Refused, ServerAttestor};
use signet_spiffe::TrustDomain;

pub(crate) const DOCUMENT: &str = include_str!("../fixtures/aws_iid/document");
pub(crate) const RSA_2048: &str = include_str!("../fixtures/aws_iid/rsa2048");
pub(crate) const SIGNATURE: &str = include_str!("../fixtures/aws_iid/signature");
pub(crate) const CERTIFICATES: &str = include_str!("../fixtures/aws_iid/certificates.txt");
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const INSTANCE: &str = "i-1234567890abcdef0";

/// AWS as a test wants it.
#[derive(Default)]
pub(crate) struct FakeCloud {
    pub(crate) instance: Option<Instance>,
    pub(crate) roles: Vec<String>,
    pub(crate) in_cluster: bool,
    pub(crate) accounts: Vec<Account>,
    pub(crate) down: bool,
    pub(crate) asked: AtomicUsize,
}

impl FakeCloud {
    fn answer<T>(&self, value: T) -> Result<T, AwsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.down {
            return Err(AwsError::NoCredentials);
        }
        Ok(value)
    }
}

#[async_trait]
impl Cloud for FakeCloud {
    async fn instance(&self, _: &str, _: &str, _: &str) -> Result<Option<Instance>, AwsError> {
        self.answer(self.instance.clone())
    }

    async fn roles(&self, _: &str, _: &str, profile: &str) -> Result<Vec<String>, AwsError> {
        assert_eq!(profile, "web");
        self.answer(self.roles.clone())
    }

    async fn is_in_cluster(&self, _: &str, _: &str, _: &str, _: &str) -> Result<bool, AwsError> {
        self.answer(self.in_cluster)
    }

    async fn accounts(&self, _: &str, _: &str, _: &str) -> Result<Vec<Account>, AwsError> {
        self.answer(self.accounts.clone())
    }
}

pub(crate) struct Nobody;

#[async_trait]
impl Challenger for Nobody {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        panic!("there is no challenge");
    }
}

pub(crate) fn launched() -> Instance {
    let launch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_479_573_131);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    Instance {
        id: INSTANCE.to_owned(),
        owner: ACCOUNT.to_owned(),
        state: "running".to_owned(),
        tags: vec![pair("Name", "web-7"), pair("team", "blue")],
        security_groups: vec![pair("sg-1", "front")],
        instance_profile: Some("arn:aws:iam::123456789012:instance-profile/path/web".to_owned()),
        root_device_type: "ebs".to_owned(),
        root_volume_attached: Some(launch + Duration::from_secs(1)),
        first_interface_attached: Some(launch),
    }
}

pub(crate) fn cloud() -> FakeCloud {
    FakeCloud {
        instance: Some(launched()),
        roles: vec!["arn:aws:iam::123456789012:role/web".to_owned()],
        ..FakeCloud::default()
    }
}

pub(crate) fn config() -> AwsIidConfig {
    AwsIidConfig {
        regions: RegionCertificates::parse(CERTIFICATES).unwrap(),
        agent_path_template: None,
        skip_block_device: false,
        disable_instance_profile_selectors: false,
        local_accounts: BTreeSet::new(),
        accounts: None,
        clusters: vec![],
    }
}

pub(crate) fn payload() -> Payload {
    Payload {
        document: DOCUMENT.to_owned(),
        signature: SIGNATURE.to_owned(),
        rsa2048: RSA_2048.to_owned(),
    }
}

/// A payload signed by [`Signer::trusted`], and the configuration that has it sign for us-west-2.
pub(crate) fn own(message: &Message<'_>, document: &str) -> (Payload, AwsIidConfig) {
    let pem = format!(
        "region us-west-2\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        BASE64_STANDARD.encode(&Signer::trusted().der)
    );
    let config = AwsIidConfig {
        regions: RegionCertificates::parse(&pem).unwrap(),
        ..config()
    };
    let payload = Payload {
        document: document.to_owned(),
        signature: String::new(),
        rsa2048: BASE64_STANDARD.encode(message.der()),
    };
    (payload, config)
}

pub(crate) async fn attest(
    payload: &[u8],
    config: AwsIidConfig,
    cloud: FakeCloud,
) -> Result<Attested, Refused> {
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let server = AwsIidServer::new(trust_domain, config, Arc::new(cloud)).unwrap();
    server.attest(payload, &Peer::default(), &mut Nobody).await
}

/// The whole story of a refusal, as the server logs it.
pub(crate) fn story(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[track_caller]
pub(crate) fn assert_refused(outcome: Result<Attested, Refused>, fault: Fault, reason: &str) {
    let refused = outcome.unwrap_err();
    let story = story(&refused);
    assert!(story.contains(reason), "{story}");
    assert_eq!(refused.fault(), fault, "{story}");
    assert!(!refused.to_string().contains(ACCOUNT));
}
