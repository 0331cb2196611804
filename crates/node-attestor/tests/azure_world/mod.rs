//! Azure with its authorities and a signer of documents, and agents that send them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::azure::{self, SUBSCRIPTION, VM, clock, machines};
use crate::cms::{Attributes, Message, Signer, element};
use crate::web::{Answer, Asked, Web};
use async_trait::async_trait;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use signet_cloud::Endpoint;
use signet_cloud::azure::Tenants;
use signet_crypto::{PrivateKey, SystemRandom};
use signet_node_attestor::azure_imds::payload::Response;
use signet_node_attestor::azure_imds::{
    AzureImdsConfig, AzureImdsServer, DEFAULT_DOMAIN, EvidenceError, Issuers, SignerError, Signers,
    Tenant,
};
use signet_node_attestor::x509pop::Roots;
use signet_node_attestor::{Attested, Challenger, Peer, Refused, ServerAttestor};
use signet_spiffe::TrustDomain;

pub(crate) const RSA_2048: &str = include_str!("../../../crypto/tests/fixtures/rsa-2048-pkcs1.pem");
pub(crate) const RSA_3072: &str = include_str!("../../../crypto/tests/fixtures/rsa-3072-pkcs8.pem");
pub(crate) const PLACE: &str = "http://www.microsoft.com/pkiops/certs/test.crt";
pub(crate) const DOMAIN: &str = "example.onmicrosoft.com";

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// An RSA public key in DER.
struct Rsa(Vec<u8>);

impl rcgen::PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

pub(crate) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// As Azure's certificates are.
pub(crate) fn leaf(name: &str, place: &str) -> CertificateParams {
    let mut params = named("metadata.azure.com");
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from(77));
    let ca_issuers = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let access = element(0x30, &[&ca_issuers, &element(0x86, &[place.as_bytes()])]);
    let access = element(0x30, &[&access]);
    let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access);
    params.custom_extensions.push(extension);
    params
}

pub(crate) fn signer(issuer: &Authority, params: &CertificateParams, key: &str) -> Signer {
    let key = PrivateKey::from_pem(key).unwrap();
    let public = Rsa(key.public_key().key_bytes().to_vec());
    let der = params.signed_by(&public, issuer).unwrap().der().to_vec();
    Signer { key, der }
}

/// A root, an intermediate, the signer below it, and Azure.
pub(crate) struct World {
    pub(crate) root: Authority,
    pub(crate) intermediate: Authority,
    pub(crate) signer: Signer,
    pub(crate) web: Web,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&leaf("eastus.metadata.azure.com", PLACE)).await
    }

    pub(crate) async fn with(params: &CertificateParams) -> Self {
        Self::answering(params, azure::answer).await
    }

    pub(crate) async fn answering(
        params: &CertificateParams,
        azure: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let root = KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(authority("root"), root).unwrap();
        let key = KeyPair::generate().unwrap();
        let intermediate = CertifiedIssuer::signed_by(authority("issuing"), key, &root).unwrap();
        let published = intermediate.der().to_vec();
        let web = Web::new(move |asked| match asked.line.as_str() {
            "GET /pkiops/certs/test.crt" => Answer::Ok(published.clone()),
            "GET /pkiops/certs/html.crt" => Answer::Html,
            "GET /pkiops/certs/elsewhere.crt" => Answer::Redirect("http://169.254.169.254/"),
            "GET /pkiops/certs/long.crt" => Answer::Ok(vec![0x30; 10 << 20]),
            "GET /pkiops/certs/hangs.crt" => Answer::Hang,
            _ => azure(asked),
        });
        Self {
            signer: signer(&intermediate, params, RSA_2048),
            root,
            intermediate,
            web: web.await,
        }
    }

    pub(crate) fn server(&self) -> AzureImdsServer {
        self.server_with(|_| {}, None)
    }

    pub(crate) fn server_with(
        &self,
        change: impl FnOnce(&mut Tenant),
        template: Option<&str>,
    ) -> AzureImdsServer {
        let issuers = Issuers::new(Endpoint::new(&self.web.url), clock()).unwrap();
        let roots = Roots::new([self.root.der()]).unwrap();
        let signers = Signers::new(roots, vec![DEFAULT_DOMAIN.to_owned()], issuers);
        let mut tenant = Tenant {
            subscriptions: BTreeSet::new(),
            tags: BTreeSet::from(["environment".to_owned()]),
            machines: machines(&self.web.url),
        };
        change(&mut tenant);
        let config = AzureImdsConfig {
            tenants: BTreeMap::from([(DOMAIN.to_owned(), tenant)]),
            agent_path_template: template.map(str::to_owned),
        };
        let tenants = Tenants::new(Endpoint::new(&self.web.url)).unwrap();
        let random = Arc::new(SystemRandom::new());
        AzureImdsServer::new(domain(), config, signers, tenants, clock(), random).unwrap()
    }

    /// The outcome for an agent that sends this document.
    pub(crate) async fn attest(
        &self,
        document: impl Fn(&str) -> Vec<u8> + Send,
    ) -> Result<Attested, Refused> {
        attest(&self.server(), DOMAIN, document).await
    }

    /// A document of this content with a good signature.
    pub(crate) fn signed(&self, content: &str) -> Vec<u8> {
        message(content.as_bytes(), &self.signer).der()
    }

    pub(crate) fn fetched(&self) -> usize {
        let asked = self.web.asked();
        asked
            .iter()
            .filter(|one| one.line.contains("/pkiops/"))
            .count()
    }
}

pub(crate) fn message<'a>(content: &'a [u8], signer: &'a Signer) -> Message<'a> {
    Message {
        certificates: vec![signer.der.clone()],
        attributes: Attributes::None,
        ..Message::good(content, signer)
    }
}

pub(crate) fn content(nonce: &str) -> String {
    content_of(nonce, SUBSCRIPTION, VM)
}

pub(crate) fn content_of(nonce: &str, subscription: &str, vm: &str) -> String {
    format!(
        r#"{{"licenseType":"","nonce":"{nonce}","plan":{{"name":""}},"sku":"x","subscriptionId":"{subscription}","timeStamp":{{"createdOn":"06/01/26 00:00:00 -0000","expiresOn":"06/01/26 06:00:00 -0000"}},"vmId":"{vm}"}}"#
    )
}

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

pub(crate) struct Answers<F>(pub(crate) F, pub(crate) String, pub(crate) Option<String>);

#[async_trait]
impl<F: Fn(&str) -> Vec<u8> + Send> Challenger for Answers<F> {
    async fn challenge(&mut self, nonce: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let response = Response {
            signed: (self.0)(std::str::from_utf8(&nonce).unwrap()),
            domain: self.1.clone(),
            scale_set: self.2.clone(),
        };
        Ok(response.encode())
    }
}

pub(crate) async fn attest(
    server: &AzureImdsServer,
    domain: &str,
    document: impl Fn(&str) -> Vec<u8> + Send,
) -> Result<Attested, Refused> {
    let mut challenger = Answers(document, domain.to_owned(), None);
    server
        .attest(b"non_empty_payload", &Peer::default(), &mut challenger)
        .await
}

pub(crate) fn values(attested: &Attested) -> BTreeSet<String> {
    attested.selectors.iter().map(|one| one.expose()).collect()
}

#[track_caller]
pub(crate) fn signer_error(outcome: Result<Attested, Refused>) -> SignerError {
    match evidence(outcome) {
        EvidenceError::Signer(error) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn evidence(outcome: Result<Attested, Refused>) -> EvidenceError {
    match outcome {
        Err(Refused::Evidence(error)) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}
