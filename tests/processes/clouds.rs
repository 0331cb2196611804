//! Machines of the clouds get in once: emulated metadata services and APIs on this machine, documents
//! that OpenSSL signed and tokens that `jsonwebtoken` made, both in the clouds' forms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use signet_crypto::{PrivateKey, jose};
use signet_runtime::{Clock as _, SystemClock};
use signet_tests::openssl::openssl;
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings, wait};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::attestation::attestations;
use crate::azure::{self, PRINCIPAL, SUBSCRIPTION, TENANT, VM};
use crate::web::{Answer, Asked, Web, local};

const TOKEN_KEY: &str = include_str!("../../crates/crypto/tests/fixtures/rsa-2048-pkcs1.pem");

#[tokio::test]
async fn a_google_instance_attests_once() {
    local(async {
        let directory = directory();
        let cloud = Cloud::new(directory.path(), gcp).await;
        let (url, ca) = (&cloud.url, cloud.ca.display());
        let server = format!(
            "NodeAttestor \"gcp_iit\" {{ plugin_data {{
               projectid_allow_list = [\"my-project\"]
               use_instance_metadata = true
               allowed_label_keys = [\"env\"]
               experimental {{ keys_url = \"{url}/certs\" compute_url = \"{url}\"
                 metadata_url = \"{}\" ca_path = \"{ca}\" }}
             }} }}",
            cloud.plain.url
        );
        let agent = format!(
            "NodeAttestor \"gcp_iit\" {{ plugin_data {{ identity_token_host = \"{}\" }} }}",
            cloud.plain.host()
        );
        let id = "spiffe://example.org/spire/agent/gcp_iit/my-project/152986662232938449";
        let selectors = [
            "gcp_iit:project-id:my-project",
            "gcp_iit:label:env:prod",
            "gcp_iit:tag:web",
        ];
        attests_once(directory.path(), server, agent, id, &selectors).await;
    })
    .await;
}

#[tokio::test]
async fn an_azure_machine_attests_once_by_a_signed_document() {
    local(async {
        let directory = directory();
        let pki = AzurePki::make(directory.path()).await;
        let cloud = Cloud::new(directory.path(), move |asked| imds(asked, &pki)).await;
        let (url, ca) = (&cloud.url, cloud.ca.display());
        let root = directory.path().join("azure-root.pem");
        let server = format!(
            "NodeAttestor \"azure_imds\" {{ plugin_data {{
               tenants = {{ \"example.onmicrosoft.com\" = {{
                 secret_auth = {{ app_id = \"app\" app_secret = \"hunter2\" }}
                 restrict_to_subscriptions = [\"{SUBSCRIPTION}\"]
                 allowed_vm_tags = [\"environment\"]
               }} }}
               trust_bundle_path = \"{}\"
               experimental {{ login_url = \"{url}\" management_url = \"{url}\"
                 certificates_url = \"{url}\" ca_path = \"{ca}\" }}
             }} }}",
            root.display()
        );
        let agent = format!(
            "NodeAttestor \"azure_imds\" {{ plugin_data {{ tenant_domain = \"example.onmicrosoft.com\"
               experimental {{ metadata_url = \"{}\" }} }} }}",
            cloud.plain.url
        );
        let id = format!("spiffe://example.org/spire/agent/azure_imds/{TENANT}/{SUBSCRIPTION}/{VM}");
        let selectors = ["azure_imds:vm-name:blog", "azure_imds:vm-tag:environment:production"];
        attests_once(directory.path(), server, agent, &id, &selectors).await;
    })
    .await;
}

#[tokio::test]
async fn an_azure_machine_attests_once_by_its_managed_identity() {
    local(async {
        let directory = directory();
        let cloud = Cloud::new(directory.path(), msi).await;
        let (url, ca) = (&cloud.url, cloud.ca.display());
        let server = format!(
            "NodeAttestor \"azure_msi\" {{ plugin_data {{
               tenants = {{ \"{TENANT}\" = {{
                 subscription_id = \"{SUBSCRIPTION}\" app_id = \"app\" app_secret = \"hunter2\"
               }} }}
               experimental {{ keys_url = \"{url}/certs\" login_url = \"{url}\"
                 management_url = \"{url}\" ca_path = \"{ca}\" }}
             }} }}"
        );
        let agent = format!(
            "NodeAttestor \"azure_msi\" {{ plugin_data {{
               experimental {{ metadata_url = \"{}\" }} }} }}",
            cloud.plain.url
        );
        let id = format!("spiffe://example.org/spire/agent/azure_msi/{TENANT}/{PRINCIPAL}");
        let selectors = ["azure_msi:vm-name:frontend:blog"];
        attests_once(directory.path(), server, agent, &id, &selectors).await;
    })
    .await;
}

/// A first agent attests and has these selectors; a second one on the same machine is refused, until
/// the operator does what the refusal says.
async fn attests_once(
    directory: &Path,
    plugin: String,
    agent: String,
    id: &str,
    selectors: &[&str],
) {
    let settings = ServerSettings::new(Maker::Signet).plugin(plugin);
    let server = Server::start(directory, &settings).await;
    let settings = AgentSettings::new(Maker::Signet, Attestation::Plugin(agent));
    let first = Agent::start(&directory.join("first"), &server, &settings).await;
    assert_eq!(server.only_agent().await, id);
    let shown = server.cli(&["agent", "show", "-spiffeID", id]).await.ok();
    for selector in selectors {
        assert!(shown.contains(selector), "{selector}: {shown}");
    }
    let mut second = Agent::launch(&directory.join("second"), &server, &settings).await;
    wait::until("a refusal in the audit log", async || {
        (attestations(&server, "refused") > 0).then_some(())
    })
    .await;
    assert_eq!(attestations(&server, "granted"), 1);
    assert!(server.log().contains("agent evict"), "{}", server.log());
    drop((first, second.process.take()));
    server.cli(&["agent", "evict", "-spiffeID", id]).await.ok();
    let _third = Agent::start(&directory.join("third"), &server, &settings).await;
    assert_eq!(server.only_agent().await, id);
}

/// A cloud: its APIs behind TLS, its metadata service without.
struct Cloud {
    url: String,
    ca: PathBuf,
    plain: Web,
}

impl Cloud {
    async fn new(
        directory: &Path,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let plain = Web::new(answer).await;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = directory.join("cloud-ca.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let ring = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let behind = plain.host().to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::task::spawn_local(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut behind = TcpStream::connect(behind).await.ok()?;
                    copy_bidirectional(&mut stream, &mut behind).await.ok()
                });
            }
        });
        Self { url, ca, plain }
    }
}

fn gcp(asked: &Asked) -> Answer {
    let identity = "GET /computeMetadata/v1/instance/service-accounts/default/identity";
    let token = "GET /computeMetadata/v1/instance/service-accounts/default/token";
    let instance = "GET /compute/v1/projects/my-project/zones/us-west1-a/instances/example";
    match asked.line.as_str() {
        "GET /certs" => Answer::Ok(key_set()),
        line if line.starts_with(identity) => {
            let query = "audience=spire-gcp-node-attestor&format=full";
            assert!(line.ends_with(query), "{line}");
            Answer::With(
                "Metadata-Flavor: Google",
                signed(&gcp_claims()).into_bytes(),
            )
        }
        line if line == token => json_of(&json!({"access_token": "at", "expires_in": 3599})),
        line if line.starts_with(instance) => json_of(&json!({
            "id": "152986662232938449", "tags": {"items": ["web"]}, "labels": {"env": "prod"},
        })),
        _ => Answer::Status(404),
    }
}

fn gcp_claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": "spire-gcp-node-attestor", "sub": "1",
        "iat": now(), "exp": now() + 3600, "email": "a@b", "email_verified": true,
        "google": {"compute_engine": {
            "project_id": "my-project", "project_number": 1, "zone": "us-west1-a",
            "instance_id": "152986662232938449", "instance_name": "example",
            "instance_creation_timestamp": 1,
        }},
    })
}

fn msi(asked: &Asked) -> Answer {
    match asked.line.as_str() {
        "GET /certs" => Answer::Ok(key_set()),
        line if line.starts_with("GET /metadata/identity/oauth2/token?") => {
            let claims = json!({
                "aud": "https://management.azure.com/", "tid": TENANT, "sub": PRINCIPAL,
                "iss": format!("https://sts.windows.net/{TENANT}/"),
                "iat": now(), "nbf": now(), "exp": now() + 3600,
            });
            json_of(&json!({"access_token": signed(&claims), "expires_in": "3599"}))
        }
        _ => azure::answer(asked),
    }
}

fn imds(asked: &Asked, pki: &AzurePki) -> Answer {
    let attested = "GET /metadata/attested/document?api-version=2025-04-07&nonce=";
    match asked.line.as_str() {
        "GET /pkiops/certs/issuing.crt" => Answer::Ok(pki.issuer.clone()),
        line if line.starts_with("GET /metadata/instance/compute?") => {
            json_of(&json!({"vmId": VM, "vmScaleSetName": ""}))
        }
        line => match line.strip_prefix(attested) {
            Some(nonce) => json_of(&json!({"encoding": "pkcs7", "signature": pki.document(nonce)})),
            None => azure::answer(asked),
        },
    }
}

/// A root, an authority below it and a signer of documents, by OpenSSL.
struct AzurePki {
    directory: PathBuf,
    /// In DER.
    issuer: Vec<u8>,
}

impl AzurePki {
    async fn make(directory: &Path) -> Self {
        let path = |name: &str| directory.join(name).display().to_string();
        let ca = [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign",
        ];
        let leaf = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "subjectAltName=DNS:metadata.azure.com,DNS:eastus.metadata.azure.com",
            "authorityInfoAccess=caIssuers;URI:http://www.microsoft.com/pkiops/certs/issuing.crt",
        ];
        for (name, signer, extensions) in [
            ("azure-root", None, &ca[..]),
            ("azure-issuing", Some("azure-root"), &ca),
            ("azure-leaf", Some("azure-issuing"), &leaf),
        ] {
            let (key, certificate) = (path(&format!("{name}.key")), path(&format!("{name}.pem")));
            let subject = format!("/CN={name}");
            let mut line = vec![
                "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048",
            ];
            line.extend(["-subj", &subject, "-keyout", &key, "-out", &certificate]);
            extensions
                .iter()
                .for_each(|one| line.extend(["-addext", one]));
            let by =
                signer.map(|by: &str| (path(&format!("{by}.pem")), path(&format!("{by}.key"))));
            if let Some((certificate, key)) = &by {
                line.extend(["-CA", certificate, "-CAkey", key]);
            }
            openssl(&line).await.ok();
        }
        let (pem, der) = (path("azure-issuing.pem"), path("azure-issuing.der"));
        openssl(&["x509", "-in", &pem, "-outform", "DER", "-out", &der])
            .await
            .ok();
        Self {
            directory: directory.to_owned(),
            issuer: std::fs::read(der).unwrap(),
        }
    }

    /// In base64, as the metadata service hands it out.
    fn document(&self, nonce: &str) -> String {
        use base64::Engine as _;
        let document =
            json!({"nonce": nonce, "subscriptionId": SUBSCRIPTION, "vmId": VM, "sku": "x"});
        let (plain, signed) = (
            self.directory.join("document"),
            self.directory.join("document.der"),
        );
        std::fs::write(&plain, document.to_string()).unwrap();
        let line = [
            "cms",
            "-sign",
            "-nodetach",
            "-binary",
            "-noattr",
            "-md",
            "sha256",
        ];
        let mut command = std::process::Command::new("openssl");
        command.args(line).args(["-outform", "DER", "-signer"]);
        command
            .arg(self.directory.join("azure-leaf.pem"))
            .arg("-inkey");
        command
            .arg(self.directory.join("azure-leaf.key"))
            .arg("-in")
            .arg(plain);
        let status = command.arg("-out").arg(&signed).status().unwrap();
        assert!(status.success());
        base64::prelude::BASE64_STANDARD.encode(std::fs::read(signed).unwrap())
    }
}

fn key() -> PrivateKey {
    PrivateKey::from_pem(TOKEN_KEY).unwrap()
}

fn key_set() -> Vec<u8> {
    let mut members = jose::jwk_members(key().public_key());
    members.insert("kid".to_owned(), json!("k1"));
    json!({ "keys": [members] }).to_string().into_bytes()
}

/// A token by another's library.
fn signed(claims: &Value) -> String {
    let pem = signet_crypto::pem::parse(TOKEN_KEY).unwrap().remove(0);
    let key = EncodingKey::from_rsa_der(pem.content.expose());
    let header = Header {
        kid: Some("k1".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    encode(&header, claims, &key).unwrap()
}

fn json_of(value: &Value) -> Answer {
    Answer::Ok(value.to_string().into_bytes())
}

fn now() -> u64 {
    let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}
