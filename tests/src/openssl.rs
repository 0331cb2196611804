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

/// An organization's authority that signs a server's.
#[derive(Clone, Debug)]
pub struct SigningPki {
    /// The root's certificate, PEM.
    pub root: PathBuf,
    /// The certificate of the authority that signs, PEM: the root's own, or an intermediate's.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl SigningPki {
    /// Makes a root in a directory and, if asked, an intermediate that signs in its place.
    ///
    /// # Panics
    /// When OpenSSL does not do it.
    pub async fn make(directory: &Path, with_intermediate: bool) -> Self {
        let path = |name: &str| directory.join(name);
        let (root, root_key) = (path("root.pem"), path("root.key"));
        let kind = NodeKey::Ec;
        let is = Role::Authority;
        request(&root_key, &root, kind, "/CN=organization root", None, is).await;
        if !with_intermediate {
            let (certificate, key) = (root.clone(), root_key);
            return Self {
                root,
                certificate,
                key,
            };
        }
        let (certificate, key) = (path("between.pem"), path("between.key"));
        let signer = Some((root.as_path(), root_key.as_path()));
        request(
            &key,
            &certificate,
            kind,
            "/CN=organization unit",
            signer,
            is,
        )
        .await;
        Self {
            root,
            certificate,
            key,
        }
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Authority,
    Node,
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
            Role::Authority,
        )
        .await;
        let signer = Some((pki.authority.as_path(), authority_key.as_path()));
        let is = Role::Node;
        request(&pki.key, &pki.certificate, kind, "/CN=node one", signer, is).await;
        pki
    }
}

async fn request(
    key: &Path,
    certificate: &Path,
    kind: NodeKey,
    subject: &str,
    signer: Option<(&Path, &Path)>,
    role: Role,
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
    if let Some((authority, authority_key)) = signer {
        line.extend([
            "-CA".into(),
            text(authority),
            "-CAkey".into(),
            text(authority_key),
        ]);
    }
    let extensions = match role {
        Role::Node => [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
        ],
        Role::Authority => [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign",
        ],
    };
    for extension in extensions {
        line.extend(["-addext".into(), extension.into()]);
    }
    let line: Vec<_> = line.iter().map(String::as_str).collect();
    openssl(&line).await.ok();
}
