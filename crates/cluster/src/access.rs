//! Where an API server is, who vouches for it, and what it is shown.

use std::path::{Path, PathBuf};

use signet_crypto::SecretString;
use signet_http::{ClientCertificate, Roots, SetupError};

use crate::kubeconfig::{self, KubeconfigError};

/// Where Kubernetes puts a pod's token and the cluster's authorities.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The longest kubeconfig that is read: one of a hundred clusters has less.
const MAX_KUBECONFIG: u64 = 1 << 20;

/// The longest token file: tokens have a few KiB.
const MAX_TOKEN: u64 = 64 << 10;

/// Which API server, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// That of the cluster that this program runs in.
    InCluster(InCluster),
    /// That of the current context of this kubeconfig, which is read anew from time to time.
    Kubeconfig(PathBuf),
}

/// The cluster that this program runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InCluster {
    /// `KUBERNETES_SERVICE_HOST`.
    pub host: String,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: u16,
    /// The folder with `token` and `ca.crt`.
    pub folder: PathBuf,
}

/// Everything that a connection takes.
#[derive(Debug)]
pub struct Access {
    /// `https://host:port`, possibly with a path, without a slash at its end.
    pub server: String,
    /// Who vouches for it.
    pub roots: Roots,
    /// The certificate it is shown.
    pub certificate: Option<ClientCertificate>,
    /// The token it is shown.
    pub credentials: Credentials,
}

/// The token that requests carry.
#[derive(Debug)]
pub enum Credentials {
    /// None.
    None,
    /// This one.
    Token(SecretString),
    /// The content of a file, read for each request: Kubernetes replaces it in time.
    File(PathBuf),
}

/// Why an API server cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kubeconfig is no good.
    #[error("kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KubeconfigError,
    },
    /// Certificates or keys are no good.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Access {
    /// That of the current context of a kubeconfig. Relative paths in it start at `folder`, where it
    /// stands.
    ///
    /// # Errors
    /// [`KubeconfigError`] says where it leads nowhere.
    pub fn of_kubeconfig(text: &str, folder: &Path) -> Result<Self, KubeconfigError> {
        kubeconfig::parse(text, folder)
    }
}

impl InCluster {
    /// From the variables that Kubernetes gives each container; `None` outside of a cluster.
    #[must_use]
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let host = variable("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty())?;
        let port = variable("KUBERNETES_SERVICE_PORT")?.parse().ok()?;
        Some(Self {
            host,
            port,
            folder: MOUNTED.into(),
        })
    }

    fn access(&self) -> Access {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        Access {
            server: format!("https://{host}:{}", self.port),
            roots: Roots::File(self.folder.join("ca.crt")),
            certificate: None,
            credentials: Credentials::File(self.folder.join("token")),
        }
    }
}

impl Reach {
    pub(crate) fn access(&self) -> Result<Access, AccessError> {
        match self {
            Self::InCluster(cluster) => Ok(cluster.access()),
            Self::Kubeconfig(path) => {
                let text = read(path, MAX_KUBECONFIG)?;
                let folder = path.parent().unwrap_or(Path::new(""));
                let found = Access::of_kubeconfig(text.expose(), folder);
                found.map_err(|source| AccessError::Kubeconfig {
                    path: path.clone(),
                    source,
                })
            }
        }
    }
}

impl Credentials {
    /// What stands in the header `Authorization`, if anything does.
    ///
    /// # Errors
    /// [`AccessError::File`].
    pub fn bearer(&self) -> Result<Option<SecretString>, AccessError> {
        let bearer =
            |token: &SecretString| SecretString::new(format!("Bearer {}", token.expose().trim()));
        Ok(match self {
            Self::None => None,
            Self::Token(token) => Some(bearer(token)),
            Self::File(path) => Some(bearer(&read(path, MAX_TOKEN)?)),
        })
    }
}

fn read(path: &Path, limit: u64) -> Result<SecretString, AccessError> {
    use std::io::Read;
    let read = || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(limit + 1).read_to_string(&mut text)?;
        if text.len() as u64 > limit {
            return Err(std::io::Error::other(format!("longer than {limit} bytes")));
        }
        Ok(SecretString::new(text))
    };
    read().map_err(|source| AccessError::File {
        path: path.to_owned(),
        source,
    })
}
