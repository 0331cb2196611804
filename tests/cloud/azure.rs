//! Azure with one machine: its metadata service, documents and tokens, and Entra's keys. What its APIs
//! answer is [`crate::azure`].

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signet_tests::openssl::openssl;

use super::{Cloud, json_of, key_set, now, signed};
use crate::azure::{self, PRINCIPAL, SCALE_SET_VM, SUBSCRIPTION, TENANT, VM};
use crate::web::{Answer, Asked};

/// What the machine's agent is called by its document.
pub(crate) const AGENT_OF_DOCUMENT: &str = "/spire/agent/azure_imds/9e85e111-1103-48fc-a933-9533fe47de05/5f130ffc-0a3e-4795-b691-4f56a12a5547/bd8e7443-24a0-41f3-b949-8baf4fd1c573";

/// What is known of it then, in order.
pub(crate) const SELECTORS_OF_DOCUMENT: [&str; 8] = [
    "azure_imds:network-security-group:FrontEnd:webservers",
    "azure_imds:resource-group:frontend",
    "azure_imds:subscription-id:5f130ffc-0a3e-4795-b691-4f56a12a5547",
    "azure_imds:virtual-network-subnet:vnet:default",
    "azure_imds:virtual-network:vnet",
    "azure_imds:vm-location:eastus",
    "azure_imds:vm-name:blog",
    "azure_imds:vm-tag:environment:production",
];

/// What the agent of the scale set's machine is called.
pub(crate) const AGENT_IN_SET: &str = "/spire/agent/azure_imds/9e85e111-1103-48fc-a933-9533fe47de05/5f130ffc-0a3e-4795-b691-4f56a12a5547/11111111-24a0-41f3-b949-8baf4fd1c573";

/// What is known of it, in order.
pub(crate) const SELECTORS_IN_SET: [&str; 8] = [
    "azure_imds:network-security-group:FrontEnd:webservers",
    "azure_imds:resource-group:frontend",
    "azure_imds:subscription-id:5f130ffc-0a3e-4795-b691-4f56a12a5547",
    "azure_imds:virtual-network-subnet:vnet:default",
    "azure_imds:virtual-network:vnet",
    "azure_imds:vm-location:eastus",
    "azure_imds:vm-name:pool_0",
    "azure_imds:vmss-name:pool",
];

/// What the machine's agent is called by its managed identity.
pub(crate) const AGENT_OF_IDENTITY: &str = "/spire/agent/azure_msi/9e85e111-1103-48fc-a933-9533fe47de05/0f6f0b3e-4ba0-4fd6-8a8e-000000000001";

/// What is known of it then, in order.
pub(crate) const SELECTORS_OF_IDENTITY: [&str; 5] = [
    "azure_msi:network-security-group:FrontEnd:webservers",
    "azure_msi:subscription-id:5f130ffc-0a3e-4795-b691-4f56a12a5547",
    "azure_msi:virtual-network-subnet:FrontEnd:vnet:default",
    "azure_msi:virtual-network:FrontEnd:vnet",
    "azure_msi:vm-name:FrontEnd:blog",
];

/// The cloud; its metadata service is that of the machine, or of the scale set's.
pub(crate) async fn cloud(directory: &Path, in_set: bool) -> Cloud {
    let pki = AzurePki::make(directory).await;
    Cloud::new(directory, move |asked| answer(asked, &pki, in_set)).await
}

/// The server's half for documents, which both makers read.
pub(crate) fn server_plugin_for_documents(cloud: &Cloud, directory: &Path) -> String {
    let (url, ca) = (&cloud.url, cloud.ca.display());
    let root = directory.join("azure-root.pem");
    format!(
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
    )
}

/// The agent's half for documents.
pub(crate) fn agent_plugin_for_documents(cloud: &Cloud) -> String {
    let url = &cloud.plain.url;
    format!(
        "NodeAttestor \"azure_imds\" {{ plugin_data {{ tenant_domain = \"example.onmicrosoft.com\"
           experimental {{ metadata_url = \"{url}\" }} }} }}"
    )
}

/// The server's half for managed identities, which both makers read.
pub(crate) fn server_plugin_for_identities(cloud: &Cloud) -> String {
    let (url, ca) = (&cloud.url, cloud.ca.display());
    format!(
        "NodeAttestor \"azure_msi\" {{ plugin_data {{
           tenants = {{ \"{TENANT}\" = {{
             subscription_id = \"{SUBSCRIPTION}\" app_id = \"app\" app_secret = \"hunter2\"
           }} }}
           experimental {{ login_url = \"{url}\" management_url = \"{url}\" ca_path = \"{ca}\" }}
         }} }}"
    )
}

/// The agent's half for managed identities.
pub(crate) fn agent_plugin_for_identities(cloud: &Cloud) -> String {
    let url = &cloud.plain.url;
    format!(
        "NodeAttestor \"azure_msi\" {{ plugin_data {{
           experimental {{ metadata_url = \"{url}\" }} }} }}"
    )
}

fn answer(asked: &Asked, pki: &AzurePki, in_set: bool) -> Answer {
    let path = asked.line.strip_prefix("GET ").unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (vm, set) = if in_set {
        (SCALE_SET_VM, "pool")
    } else {
        (VM, "")
    };
    let compute = json!({
        "vmId": vm, "vmScaleSetName": set, "name": "blog", "subscriptionId": SUBSCRIPTION,
        "resourceGroupName": "FrontEnd",
    });
    match path {
        "/common/discovery/keys" => Answer::Ok(key_set()),
        "/pkiops/certs/issuing.crt" => Answer::Ok(pki.issuer.clone()),
        path if path.starts_with("/metadata/") && !asked.headers.contains("metadata: true") => {
            Answer::Status(400)
        }
        "/metadata/identity/oauth2/token" => json_of(&json!({
            "access_token": signed(&identity()), "expires_in": "3599", "token_type": "Bearer",
        })),
        "/metadata/instance/compute" => json_of(&compute),
        "/metadata/instance" => json_of(&json!({ "compute": compute })),
        "/metadata/attested/document" => {
            let mut pairs = query.split('&');
            let nonce = pairs.find_map(|pair| pair.strip_prefix("nonce="));
            let signature = pki.document(nonce.unwrap(), vm);
            json_of(&json!({"encoding": "pkcs7", "signature": signature}))
        }
        _ => azure::answer(asked),
    }
}

fn identity() -> Value {
    json!({
        "aud": "https://management.azure.com/", "tid": TENANT, "sub": PRINCIPAL,
        "iss": format!("https://sts.windows.net/{TENANT}/"),
        "iat": now(), "nbf": now(), "exp": now() + 3600,
    })
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
    fn document(&self, nonce: &str, vm: &str) -> String {
        use base64::Engine as _;
        let document =
            json!({"nonce": nonce, "subscriptionId": SUBSCRIPTION, "vmId": vm, "sku": "x"});
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
