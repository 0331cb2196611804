//! Certificates made and judged by OpenSSL.

use std::path::{Path, PathBuf};

use crate::command::{self, Output};

/// Keys a node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKey {
    /// P-256.
    Ec,
    /// P-521.
    P521,
    /// RSA, 2048 bits.
    Rsa,
}

/// An authority of an organization, and a node's certificate of it.
#[derive(Clone, Debug)]
pub struct NodePki {
    /// The authority's certificate, PEM.
    pub authority: PathBuf,
    /// The node's certificate, PEM.
    pub certificate: PathBuf,
    /// The node's key, PEM.
    pub key: PathBuf,
}

/// Runs OpenSSL.
///
/// # Panics
/// When it is not there.
pub async fn openssl(arguments: &[&str]) -> Output {
    command::run("openssl", arguments).await
}

impl NodePki {
    /// Makes an authority and a node's certificate in a directory.
    ///
    /// # Panics
    /// When OpenSSL does not do it.
    pub async fn make(directory: &Path, kind: NodeKey) -> Self {
        let path = |name: &str| directory.join(name);
        let pki = Self {
            authority: path("node-ca.pem"),
            certificate: path("node.pem"),
            key: path("node.key"),
        };
        let authority_key = path("node-ca.key");
        request(
            &authority_key,
            &pki.authority,
            kind,
            "/CN=node authority",
            None,
        )
        .await;
        let signer = Some((pki.authority.as_path(), authority_key.as_path()));
        request(&pki.key, &pki.certificate, kind, "/CN=node one", signer).await;
        pki
    }
}

async fn request(
    key: &Path,
    certificate: &Path,
    kind: NodeKey,
    subject: &str,
    signer: Option<(&Path, &Path)>,
) {
    let text = |path: &Path| path.display().to_string();
    let mut line: Vec<String> = [
        "req", "-x509", "-nodes", "-days", "2", "-subj", subject, "-newkey",
    ]
    .map(String::from)
    .into();
    match kind {
        NodeKey::Ec => line.extend(["ec", "-pkeyopt", "ec_paramgen_curve:P-256"].map(String::from)),
        NodeKey::P521 => {
            line.extend(["ec", "-pkeyopt", "ec_paramgen_curve:P-521"].map(String::from));
        }
        NodeKey::Rsa => line.push("rsa:2048".into()),
    }
    line.extend([
        "-keyout".into(),
        text(key),
        "-out".into(),
        text(certificate),
    ]);
    let extensions = if let Some((authority, authority_key)) = signer {
        line.extend([
            "-CA".into(),
            text(authority),
            "-CAkey".into(),
            text(authority_key),
        ]);
        [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
        ]
    } else {
        [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]
    };
    for extension in extensions {
        line.extend(["-addext".into(), extension.into()]);
    }
    let line: Vec<_> = line.iter().map(String::as_str).collect();
    openssl(&line).await.ok();
}
