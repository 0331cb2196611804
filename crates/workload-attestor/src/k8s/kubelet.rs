//! Asking the kubelet for its pods.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use signet_cluster::{AccessError, Credentials};
use signet_http::{
    Client, ClientCertificate, HttpError, Proxies, Reach, Roots, Settings, SetupError,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::pods::NotPods;

/// 500 pods, which is more than any node is made for, of 64 KiB each.
const MAX_ANSWER: usize = 32 << 20;
/// As in SPIRE.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Lists the pods of this node.
#[async_trait]
pub trait PodSource: Send + Sync {
    /// The list as it is now, in JSON.
    async fn fetch(&self) -> Result<Bytes, KubeletError>;
}

/// How the kubelet is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletConfig {
    /// The kubelet's port.
    pub port: KubeletPort,
    /// What it is shown.
    pub credentials: KubeletCredentials,
    /// Certificates and authorities are read anew after this time.
    pub reload_interval: Duration,
}

/// The kubelet's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletPort {
    /// `kubelet_secure_port`: HTTPS.
    Secure {
        /// The port.
        port: u16,
        /// The node's name or address; without it the kubelet is asked at 127.0.0.1.
        node_name: Option<String>,
        /// How it is verified.
        verification: KubeletVerification,
    },
    /// `kubelet_read_only_port`: HTTP at 127.0.0.1, without credentials.
    ReadOnly(u16),
}

/// Who vouches for the kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletVerification {
    /// The authorities in this file. Its name is checked if it is asked by its node's name.
    Ca(PathBuf),
    /// `skip_kubelet_verification`: nobody.
    Skipped,
}

/// What the kubelet is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletCredentials {
    /// The token in this file, which is read for each request: Kubernetes replaces it in time.
    Token(PathBuf),
    /// A certificate and its key.
    Certificate {
        /// `certificate_path`.
        certificate: PathBuf,
        /// `private_key_path`.
        key: PathBuf,
    },
    /// `use_anonymous_authentication`: nothing.
    Anonymous,
}

/// Why the kubelet's pods are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeletError {
    /// The token cannot be read.
    #[error("the kubelet token cannot be had")]
    Token(#[from] AccessError),
    /// Certificates or keys are no good.
    #[error("the kubelet cannot be asked")]
    Setup(#[from] SetupError),
    /// The node's name makes no address.
    #[error("the node's name makes no address of a kubelet")]
    Address,
    /// The exchange failed.
    #[error(
        "no answer of the kubelet; if its certificate is refused, kubelet_ca_path must name who vouches for it, or that certificate where the kubelet signed it itself (the component kubelet-self-signed of the manifests)"
    )]
    Http(#[from] HttpError),
    /// It does not know us.
    #[error("the kubelet does not accept the agent's credentials (401)")]
    Unauthorized,
    /// We may not ask.
    #[error(
        "the kubelet forbids it (403): the agent's account needs the verb get on nodes/pods, or on nodes/proxy where the cluster is older than 1.33"
    )]
    Forbidden,
    /// Another answer.
    #[error("the kubelet answered {0}")]
    Status(StatusCode),
    /// It is no list of pods.
    #[error("what answers in the kubelet's place does not speak its language")]
    Form(#[from] NotPods),
    /// The agent is stopping.
    #[error("the kubelet's answer was not read to its end")]
    Interrupted,
}

/// The kubelet of this node.
pub struct Kubelet {
    config: KubeletConfig,
    client: Mutex<Option<(Instant, Arc<Client>)>>,
}

impl Kubelet {
    /// The kubelet that this configuration leads to. Files are read at the first request.
    pub fn new(config: KubeletConfig) -> Self {
        Self {
            config,
            client: Mutex::new(None),
        }
    }

    async fn client(&self) -> Result<Arc<Client>, KubeletError> {
        let mut held = self.client.lock().await;
        if let Some((since, client)) = &*held
            && since.elapsed() < self.config.reload_interval
        {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::new(Settings {
            time_limit: TIME_LIMIT,
            max_answer: MAX_ANSWER,
            reach: self.config.reach()?,
            proxies: Proxies::Direct,
            ..Settings::default()
        })?);
        *held = Some((Instant::now(), client.clone()));
        Ok(client)
    }

    fn request(&self) -> Result<Request<Bytes>, KubeletError> {
        let mut request = Request::get(self.config.port.url());
        if let (KubeletPort::Secure { .. }, KubeletCredentials::Token(path)) =
            (&self.config.port, &self.config.credentials)
        {
            let bearer = Credentials::File(path.clone()).bearer()?;
            if let Some(bearer) = bearer {
                request = request.header(header::AUTHORIZATION, bearer.expose());
            }
        }
        request
            .body(Bytes::new())
            .map_err(|_| KubeletError::Address)
    }
}

#[async_trait]
impl PodSource for Kubelet {
    async fn fetch(&self) -> Result<Bytes, KubeletError> {
        let client = self.client().await?;
        let answer = client.send(self.request()?).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            StatusCode::UNAUTHORIZED => Err(KubeletError::Unauthorized),
            StatusCode::FORBIDDEN => Err(KubeletError::Forbidden),
            status => Err(KubeletError::Status(status)),
        }
    }
}

impl KubeletConfig {
    fn reach(&self) -> Result<Reach, SetupError> {
        let KubeletPort::Secure {
            node_name,
            verification,
            ..
        } = &self.port
        else {
            return Ok(Reach::Plain);
        };
        let certificate = match &self.credentials {
            KubeletCredentials::Certificate { certificate, key } => {
                Some(ClientCertificate::from_files(certificate, key)?)
            }
            KubeletCredentials::Token(_) | KubeletCredentials::Anonymous => None,
        };
        let roots = match (verification, node_name) {
            (KubeletVerification::Skipped, _) => Roots::Unverified,
            (KubeletVerification::Ca(path), Some(_)) => Roots::File(path.clone()),
            (KubeletVerification::Ca(path), None) => Roots::FileForAnyName(path.clone()),
        };
        Ok(Reach::Https { roots, certificate })
    }
}

impl KubeletPort {
    fn url(&self) -> String {
        match self {
            Self::ReadOnly(port) => format!("http://127.0.0.1:{port}/pods"),
            Self::Secure {
                port, node_name, ..
            } => {
                let host = node_name.as_deref().unwrap_or("127.0.0.1");
                match host.contains(':') {
                    true => format!("https://[{host}]:{port}/pods"),
                    false => format!("https://{host}:{port}/pods"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(node_name: Option<&str>, verification: KubeletVerification) -> KubeletConfig {
        KubeletConfig {
            port: KubeletPort::Secure {
                port: 10250,
                node_name: node_name.map(str::to_owned),
                verification,
            },
            credentials: KubeletCredentials::Anonymous,
            reload_interval: Duration::from_secs(60),
        }
    }

    fn roots(config: &KubeletConfig) -> Roots {
        match config.reach().unwrap() {
            Reach::Https { roots, .. } => roots,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_kubelet_is_verified_by_name_only_where_its_name_is_known() {
        let ca = || KubeletVerification::Ca("/ca".into());
        assert_eq!(roots(&config(Some("n"), ca())), Roots::File("/ca".into()));
        assert_eq!(
            roots(&config(None, ca())),
            Roots::FileForAnyName("/ca".into())
        );
        let skipped = config(Some("n"), KubeletVerification::Skipped);
        assert_eq!(roots(&skipped), Roots::Unverified);
    }

    #[test]
    fn a_kubelet_is_asked_at_its_node_or_on_this_machine() {
        let url = |name| config(name, KubeletVerification::Skipped).port.url();
        assert_eq!(url(None), "https://127.0.0.1:10250/pods");
        assert_eq!(url(Some("node-1")), "https://node-1:10250/pods");
        assert_eq!(url(Some("fd00::1")), "https://[fd00::1]:10250/pods");
        let read_only = KubeletPort::ReadOnly(10255);
        assert_eq!(read_only.url(), "http://127.0.0.1:10255/pods");
    }

    #[test]
    fn a_token_that_was_replaced_is_shown_and_never_over_plain_http() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let secure = KubeletConfig {
            credentials: KubeletCredentials::Token(path.clone()),
            ..config(None, KubeletVerification::Skipped)
        };
        let plain = KubeletConfig {
            port: KubeletPort::ReadOnly(10255),
            ..secure.clone()
        };
        let kubelet = Kubelet::new(secure);
        assert!(matches!(kubelet.request(), Err(KubeletError::Token(_))));
        for token in ["first", "second"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            let request = kubelet.request().unwrap();
            let shown = &request.headers()[header::AUTHORIZATION];
            assert_eq!(shown, &format!("Bearer {token}"));
        }
        let request = Kubelet::new(plain).request().unwrap();
        assert!(request.headers().is_empty());
    }
}
