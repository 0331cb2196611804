//! The ways to a token.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signet_http::ClientCertificate;

use crate::VaultError;
use crate::api::Call;
use crate::settings::{Mount, Secret};

/// How a token is had. Files are read at each login, so that they may be replaced meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// It is given.
    Token(Secret),
    /// An AppRole's two ids are exchanged for it.
    AppRole {
        /// Where the method is mounted.
        mount: Mount,
        /// Which role.
        role_id: Secret,
        /// Its password.
        secret_id: Secret,
    },
    /// A TLS certificate is shown for it.
    Certificate {
        /// Where the method is mounted.
        mount: Mount,
        /// Only this role; otherwise whichever the certificate fits.
        role: Option<String>,
        /// The certificate in PEM.
        certificate: PathBuf,
        /// Its key in PEM.
        key: PathBuf,
    },
    /// The token of a Kubernetes service account is exchanged for it.
    Kubernetes {
        /// Where the method is mounted.
        mount: Mount,
        /// Which role.
        role: String,
        /// The service account's token.
        token_path: PathBuf,
    },
}

impl Auth {
    /// Whether it gives another token when one is over.
    pub(crate) fn logs_in(&self) -> bool {
        !matches!(self, Self::Token(_))
    }

    /// What is shown to the server at the handshake.
    pub(crate) fn client_certificate(&self) -> Result<Option<ClientCertificate>, VaultError> {
        match self {
            Self::Certificate {
                certificate, key, ..
            } => ClientCertificate::from_files(certificate, key)
                .map(Some)
                .map_err(VaultError::SetUp),
            _ => Ok(None),
        }
    }

    /// The call that gives a token; a given token needs none.
    pub(crate) async fn login(&self) -> Result<Option<Call>, VaultError> {
        let (mount, body) = match self {
            Self::Token(_) => return Ok(None),
            Self::AppRole {
                mount,
                role_id,
                secret_id,
            } => (
                mount,
                json!({"role_id": role_id.expose(), "secret_id": secret_id.expose()}),
            ),
            Self::Certificate { mount, role, .. } => (
                mount,
                role.as_ref()
                    .map_or(json!({}), |role| json!({"name": role})),
            ),
            Self::Kubernetes {
                mount,
                role,
                token_path,
            } => (mount, kubernetes(role, token_path).await?),
        };
        Ok(Some(Call::write(format!("auth/{mount}/login"), body)))
    }
}

async fn kubernetes(role: &str, token_path: &Path) -> Result<Value, VaultError> {
    let token = tokio::fs::read_to_string(token_path).await;
    let token = token.map_err(|source| VaultError::Credential {
        path: token_path.to_owned(),
        source,
    })?;
    Ok(json!({"role": role, "jwt": token.trim()}))
}
