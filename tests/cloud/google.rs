//! Google's Compute Engine with one instance: its metadata service, its API, and Google's keys.

use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use signet_tests::openssl::openssl;

use super::{Cloud, TOKEN_KEY, json_of, key_set, now, signed};
use crate::web::{Answer, Asked};

/// What the instance's agent is called.
pub(crate) const AGENT: &str = "/spire/agent/gcp_iit/my-project/152986662232938449";

/// What is known of it, with [`server_plugin`], in order.
pub(crate) const SELECTORS: [&str; 7] = [
    "gcp_iit:instance-name:example",
    "gcp_iit:label:env:prod",
    "gcp_iit:metadata:role:front",
    "gcp_iit:project-id:my-project",
    "gcp_iit:sa:123456789-compute@developer.gserviceaccount.com",
    "gcp_iit:tag:web",
    "gcp_iit:zone:us-west1-a",
];

const MACHINE: &str = "152986662232938449";
const ACCOUNT: &str = "signet@my-project.iam.gserviceaccount.com";
/// The least that reads an instance; Google's own library asks for more beside it.
const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const ACCOUNTS: &str = "GET /computeMetadata/v1/instance/service-accounts/default";
const INSTANCE: &str = "GET /compute/v1/projects/my-project/zones/us-west1-a/instances/example?";

/// The cloud.
pub(crate) async fn cloud(directory: &Path) -> Cloud {
    let certificates = certificates(directory).await;
    Cloud::new(directory, move |asked| answer(asked, &certificates)).await
}

/// The server's half, which both makers read; `credentials` is a line about them.
pub(crate) fn server_plugin(cloud: &Cloud, credentials: &str) -> String {
    let (url, metadata, ca) = (&cloud.url, &cloud.plain.url, cloud.ca.display());
    format!(
        "NodeAttestor \"gcp_iit\" {{ plugin_data {{
           projectid_allow_list = [\"my-project\"]
           use_instance_metadata = true
           allowed_label_keys = [\"env\"]
           allowed_metadata_keys = [\"role\"]
           {credentials}
           experimental {{ keys_url = \"{url}/oauth2/v3/certs\" compute_url = \"{url}\"
             metadata_url = \"{metadata}\" ca_path = \"{ca}\" }}
         }} }}"
    )
}

/// The agent's half.
pub(crate) fn agent_plugin(cloud: &Cloud) -> String {
    let host = cloud.plain.host();
    format!("NodeAttestor \"gcp_iit\" {{ plugin_data {{ identity_token_host = \"{host}\" }} }}")
}

/// A service account's key in a file, whose tokens are the cloud's; gives the line that names it.
pub(crate) fn service_account(cloud: &Cloud, directory: &Path) -> String {
    let path = key_file(cloud, directory, TOKEN_KEY);
    format!("service_account_file = \"{}\"", path.display())
}

/// Such a file with a key of the caller's choice.
pub(crate) fn key_file(cloud: &Cloud, directory: &Path, key: &str) -> PathBuf {
    let path = directory.join("service-account.json");
    let file = json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "k1",
        "private_key": key, "client_id": "1", "client_email": ACCOUNT,
        "token_uri": format!("{}/token", cloud.url),
    });
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

fn answer(asked: &Asked, certificates: &Value) -> Answer {
    let may_ask = || asked.headers.contains("authorization: bearer ");
    match asked.line.as_str() {
        "GET /oauth2/v3/certs" => Answer::Ok(key_set()),
        "GET /oauth2/v1/certs" => json_of(certificates),
        "POST /token" if is_grant(&asked.body) => json_of(&token()),
        "POST /token" => Answer::Status(400),
        line if line.starts_with(INSTANCE) && may_ask() => json_of(&instance()),
        line => match line.strip_prefix(ACCOUNTS) {
            Some("/identity?audience=spire-gcp-node-attestor&format=full") => {
                let token = token_of(MACHINE).into_bytes();
                Answer::With("Metadata-Flavor: Google", token)
            }
            Some("/token") => json_of(&token()),
            _ => Answer::Status(404),
        },
    }
}

/// Whether a service account asks for a token with its key (RFC 7523 section 2.1), as another's library
/// reads it.
fn is_grant(form: &str) -> bool {
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    let mut pairs = form.split('&');
    let assertion = pairs.find_map(|pair| pair.strip_prefix("assertion="));
    let keys: Value = serde_json::from_slice(&key_set()).unwrap();
    let part = |name: &str| keys["keys"][0][name].as_str().unwrap();
    let key = DecodingKey::from_rsa_components(part("n"), part("e")).unwrap();
    let mut expected = Validation::new(Algorithm::RS256);
    expected.set_issuer(&[ACCOUNT]);
    // The port is anew in each test.
    expected.validate_aud = false;
    let claims = decode::<Value>(assertion.unwrap_or_default(), &key, &expected);
    claims.is_ok_and(|token| {
        let claims = token.claims;
        let (to, scopes) = (claims["aud"].as_str(), claims["scope"].as_str());
        let life = claims["exp"].as_u64().zip(claims["iat"].as_u64());
        form.contains(grant)
            && to.is_some_and(|url| url.starts_with("https://") && url.ends_with("/token"))
            && scopes.is_some_and(|scopes| scopes.split(' ').any(|one| one == SCOPE))
            && life.is_some_and(|(end, start)| end > start && end - start <= 3600)
    })
}

fn token() -> Value {
    json!({"access_token": "at", "expires_in": 3599, "token_type": "Bearer"})
}

fn instance() -> Value {
    json!({
        "id": MACHINE, "name": "example", "tags": {"items": ["web"]},
        "labels": {"env": "prod", "team": "blue"},
        "metadata": {"items": [{"key": "role", "value": "front"}, {"key": "other", "value": "x"}]},
    })
}

/// The identity token of a machine with this number.
pub(crate) fn token_of(machine: &str) -> String {
    signed(&json!({
        "iss": "https://accounts.google.com", "aud": "spire-gcp-node-attestor", "sub": "1",
        "azp": "1", "iat": now(), "exp": now() + 3600, "email_verified": true,
        "email": "123456789-compute@developer.gserviceaccount.com",
        "google": {"compute_engine": {
            "project_id": "my-project", "project_number": 1, "zone": "us-west1-a",
            "instance_id": machine, "instance_name": "example",
            "instance_creation_timestamp": 1,
        }},
    }))
}

/// The same keys once more, as certificates.
async fn certificates(directory: &Path) -> Value {
    let path = directory.join("google.key");
    std::fs::write(&path, TOKEN_KEY).unwrap();
    let key = path.display().to_string();
    let line = [
        "req",
        "-x509",
        "-key",
        &key,
        "-subj",
        "/CN=federated-signon",
        "-days",
        "2",
    ];
    json!({"k1": openssl(&line).await.ok()})
}
