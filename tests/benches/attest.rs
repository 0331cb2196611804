//! A thousand nodes that boot together behind one address: how long until all are attested, by each
//! attestor, each with a server of its own as a process.
//!
//! ```text
//! cargo bench -p signet-tests --bench attest
//! ```
//!
//! The server takes fifty a second from one address, so twenty seconds are the least.
//! `SIGNET_BENCH_AGENTS` is the number of nodes (1,000).

#![allow(
    clippy::unwrap_used,
    reason = "a measurement may stop at the first surprise"
)]
#![allow(
    clippy::print_stdout,
    reason = "a benchmark reports on its standard output"
)]

#[path = "../../crates/node-attestor/tests/azure/mod.rs"]
mod azure;
#[path = "../cloud/mod.rs"]
mod cloud;
#[path = "../../crates/node-attestor/tests/web/mod.rs"]
mod web;

use cloud::google;
use futures::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::json;
use signet_agent::bootstrap::Bootstrap;
use signet_agent::upstream::{Connector, TcpDial, attest};
use signet_crypto::{SecretString, SystemRandom};
use signet_node_attestor::aws_iid::payload::Payload;
use signet_node_attestor::combined::CombinedAgent;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_node_attestor::oidc::{OidcAgent, TokenSource};
use signet_node_attestor::x509pop::{X509PopAgent, X509PopFiles};
use signet_node_attestor::{AgentAttestor, AgentError};
use signet_oidc::testing::TestIssuer;
use signet_runtime::{Clock as _, SystemClock};
use signet_spiffe::{Bundle, SpiffeId, TrustDomain, X509Authority, pem};
use signet_tests::aws::{ACCOUNT, DocumentAuthority};
use signet_tests::scene::directory;
use signet_tests::{Maker, Server, ServerSettings, TRUST_DOMAIN};
use signet_tls::{Identity, KeyExchange, ServerAddress};
use std::path::Path;
use std::sync::Arc;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// Each attestor whose evidence can be made here for a thousand nodes.
const KINDS: [&str; 6] = [
    "join_token",
    "x509pop",
    "oidc",
    "combined",
    "aws_iid",
    "gcp_iit",
];

type Proof = Arc<dyn AgentAttestor>;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let nodes = std::env::var_os("SIGNET_BENCH_AGENTS");
    let nodes = nodes.and_then(|text| text.to_str()?.parse().ok());
    let nodes = nodes.unwrap_or(1000);
    for kind in KINDS {
        LocalSet::new().block_on(&runtime, measure(kind, nodes));
    }
}

async fn measure(kind: &str, nodes: usize) {
    let (directory, issuer) = (directory(), TestIssuer::start().await);
    let pki = Pki::make(directory.path());
    let amazon = DocumentAuthority::make(directory.path()).await;
    let google = google::cloud(directory.path()).await;
    let mut settings = ServerSettings::new(Maker::Signet)
        .plugin(oidc(&issuer))
        .plugin(x509pop(directory.path()))
        .plugin(aws_iid(&amazon))
        .plugin(gcp_iit(&google));
    if kind == "combined" {
        settings.plugins.push(
            r#"NodeAttestor "combined" { plugin_data { attestors = ["x509pop", "oidc"] } }"#.into(),
        );
    }
    let server = Server::start(directory.path(), &settings).await;
    let mut proofs = Vec::with_capacity(nodes);
    for number in 0..nodes {
        proofs.push(match kind {
            "join_token" => {
                let token = SecretString::new(server.join_token().await);
                Arc::new(JoinTokenAgent::new(token)) as Proof
            }
            "x509pop" => pki.node(number),
            "oidc" => token(&issuer, number),
            "aws_iid" => instance(&amazon, number).await,
            "gcp_iit" => machine(number),
            _ => Arc::new(CombinedAgent::new(vec![
                pki.node(number),
                token(&issuer, number),
            ])),
        });
    }
    let bundle = bundle(&server, directory.path()).await;
    let begun = Instant::now();
    let all = proofs
        .iter()
        .map(|proof| node(&server, &bundle, proof, begun));
    let outcomes = join_all(all).await;
    let whole = begun.elapsed();
    let mut times: Vec<f64> = outcomes.iter().flatten().copied().collect();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{kind}: {} of {nodes} attested in {:.1} s; a node waited {:.1} s (p50), {:.1} s (p99)",
        times.len(),
        whole.as_secs_f64(),
        at(50),
        at(99)
    );
    for refused in outcomes.iter().filter_map(|one| one.as_ref().err()).take(3) {
        println!("  refused: {refused}");
    }
}

/// Seconds from the beginning until the node has its SVID.
async fn node(
    server: &Server,
    bundle: &Bundle,
    proof: &Proof,
    begun: Instant,
) -> Result<f64, String> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(Vec::<String>::new()).unwrap();
    let csr = params.serialize_request(&key).unwrap().der().to_vec();
    let address = ServerAddress {
        host: "127.0.0.1".to_owned(),
        port: server.port,
    };
    let connector = Connector {
        dial: Arc::new(TcpDial(address.clone())),
        address,
        server_id: SpiffeId::new(&bundle.trust_domain, "/spire/server").unwrap(),
        key_exchange: KeyExchange::default(),
        clock: Arc::new(SystemClock),
    };
    let nobody = Arc::new(Identity::none());
    let channel = connector.connect(nobody, Bootstrap::trust_in(bundle)).await;
    let channel = channel.map_err(|error| error.to_string())?;
    let attested = attest(channel, &**proof, csr).await;
    attested.map_err(|error| error.to_string())?;
    Ok(begun.elapsed().as_secs_f64())
}

async fn bundle(server: &Server, directory: &Path) -> Bundle {
    let path = directory.join("bundle.pem");
    server.bundle_to(&path).await;
    let text = std::fs::read_to_string(path).unwrap();
    let mut bundle = Bundle::empty(TrustDomain::parse(TRUST_DOMAIN).unwrap());
    let certificates = pem::parse_pem_certs(&text).unwrap();
    let authorities = certificates
        .iter()
        .map(|der| X509Authority::from_der(der).unwrap());
    bundle.x509_authorities.extend(authorities);
    bundle
}

/// An authority in `ca.pem`, and nodes with certificates of it.
struct Pki<'d> {
    directory: &'d Path,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl<'d> Pki<'d> {
    fn make(directory: &'d Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
        Self {
            directory,
            authority,
        }
    }

    fn node(&self, number: usize) -> Proof {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![format!("node-{number}")]).unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let path = |kind: &str| self.directory.join(format!("{number}.{kind}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let files = X509PopFiles {
            private_key: path("key"),
            certificate: path("pem"),
            intermediates: None,
        };
        Arc::new(X509PopAgent::new(files, Arc::new(SystemRandom::new())))
    }
}

fn token(issuer: &TestIssuer, number: usize) -> Proof {
    let number = number.to_string();
    let claims = json!({"repository": "acme/app", "run_id": number, "jti": number});
    let token = issuer.token(SystemClock.now(), claims);
    let environment = move |_: &str| Some(token.clone());
    let source = TokenSource::Variable("TOKEN".to_owned());
    Arc::new(OidcAgent::new(source, Arc::new(environment)))
}

/// Evidence that was made beforehand.
struct Made {
    kind: &'static str,
    payload: Vec<u8>,
}

#[tonic::async_trait]
impl AgentAttestor for Made {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        Ok(self.payload.clone())
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }
}

async fn instance(authority: &DocumentAuthority, number: usize) -> Proof {
    let signed = authority.sign(&format!("i-{number:017x}")).await;
    let payload = Payload {
        document: signed.document,
        signature: signed.signature,
        rsa2048: signed.rsa2048,
    };
    Arc::new(Made {
        kind: "aws_iid",
        payload: payload.encode(),
    })
}

fn machine(number: usize) -> Proof {
    Arc::new(Made {
        kind: "gcp_iit",
        payload: google::token_of(&number.to_string()).into_bytes(),
    })
}

fn aws_iid(authority: &DocumentAuthority) -> String {
    let certificates = authority.certificates.display();
    format!(
        r#"NodeAttestor "aws_iid" {{ plugin_data {{
             region_certificates_path = "{certificates}"
             account_ids_for_local_validation = ["{ACCOUNT}"]
           }} }}"#
    )
}

fn gcp_iit(cloud: &cloud::Cloud) -> String {
    let (url, authority) = (&cloud.url, cloud.ca.display());
    format!(
        r#"NodeAttestor "gcp_iit" {{ plugin_data {{
             projectid_allow_list = ["my-project"]
             experimental {{ keys_url = "{url}/oauth2/v3/certs" ca_path = "{authority}" }}
           }} }}"#
    )
}

fn x509pop(directory: &Path) -> String {
    let authority = directory.join("ca.pem");
    let authority = authority.display();
    format!(r#"NodeAttestor "x509pop" {{ plugin_data {{ ca_bundle_path = "{authority}" }} }}"#)
}

fn oidc(issuer: &TestIssuer) -> String {
    let (url, authority) = (issuer.url(), issuer.authority());
    let authority = authority.display();
    format!(
        r#"NodeAttestor "oidc" {{
  plugin_data {{
    issuer "{url}" {{
      audiences = ["signet"]
      claim "repository" {{ equals = ["acme/app"] }}
      agent_path_template = "/ci/{{{{ .Claims.run_id }}}}"
      ca_bundle_path = "{authority}"
      allow_private_addresses = true
    }}
  }}
}}"#
    )
}
