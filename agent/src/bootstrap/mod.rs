//! The first trust in the server, as long as the agent has no bundle of its own: a file, a URL, or
//! none at all when the operator insists.

mod fetch;

pub use fetch::FetchError;

use crate::config::{BundleFormat, BundleSource};
use bytes::Bytes;
use http::Uri;
use signet_spiffe::jwks::{self, JwksError};
use signet_spiffe::{AuthorityError, Bundle, TrustDomain, X509Authority, pem};
use signet_tls::{ServerAddress, ServerTrust, Trust};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use time::UtcDateTime;
use time::macros::format_description;

/// A bundle of a thousand authorities is smaller.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// Why there is no first bundle.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The file cannot be read.
    #[error("could not read the trust bundle {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The URL does not give it.
    #[error("could not fetch the trust bundle from {url}")]
    Fetch {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// It is no PEM.
    #[error("the trust bundle is not PEM: {0}; is trust_bundle_format right?")]
    Pem(String),
    /// A certificate in it is unusable.
    #[error("a certificate of the trust bundle is unusable")]
    Authority(#[source] AuthorityError),
    /// It is no SPIFFE bundle.
    #[error("the trust bundle is not a SPIFFE bundle; is trust_bundle_format right?")]
    Spiffe(#[source] JwksError),
    /// It holds no authority.
    #[error("the trust bundle holds no X.509 authority")]
    Empty,
}

/// The operator's choice of a first bundle.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The trust domain it is for.
    pub trust_domain: TrustDomain,
    /// Where it comes from.
    pub source: BundleSource,
    /// The server that it is for, of which whoever answers on the Unix socket is told.
    pub server: ServerAddress,
    /// Who vouches for the web server, if not the authorities that the machine trusts.
    pub authorities: Option<PathBuf>,
}

/// How often the agent has tried to get in, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The first is 1.
    pub number: u32,
    /// When the first was made.
    pub began: SystemTime,
}

impl Attempt {
    /// The first, now.
    pub fn first(now: SystemTime) -> Self {
        Self {
            number: 1,
            began: now,
        }
    }

    /// One more.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            ..self
        }
    }
}

impl Bootstrap {
    /// The file with the bundle, as long as nobody has put it there or anything into it: the server does,
    /// into a `ConfigMap` that the agent's pod mounts.
    pub async fn awaited(&self) -> Option<&Path> {
        let BundleSource::File { path, .. } = &self.source else {
            return None;
        };
        let is_awaited = match read(path.clone()).await {
            Ok(content) => content.trim_ascii().is_empty(),
            Err(BootstrapError::Read { source, .. }) => source.kind() == io::ErrorKind::NotFound,
            Err(_) => false,
        };
        is_awaited.then_some(path)
    }

    /// What to verify the server with at the first contact.
    pub async fn trust(&self, attempt: &Attempt) -> Result<ServerTrust, BootstrapError> {
        let bundle = self.bundle(attempt).await?;
        Ok(match bundle {
            Some(bundle) => Self::trust_in(&bundle),
            None => ServerTrust::InsecureBootstrap,
        })
    }

    /// Trust in this bundle and nothing else.
    pub fn trust_in(bundle: &Bundle) -> ServerTrust {
        ServerTrust::Bundle(Arc::new(Trust::new([bundle])))
    }

    /// The bundle; nothing when the operator chose to go without.
    pub async fn bundle(&self, attempt: &Attempt) -> Result<Option<Bundle>, BootstrapError> {
        let (content, format) = match &self.source {
            BundleSource::File { path, format } => (read(path.clone()).await?, format),
            BundleSource::Url { url, format } => (
                fetch::https(url, self.authorities.as_deref())
                    .await
                    .map_err(could_not_fetch(url))?,
                format,
            ),
            BundleSource::UnixSocket {
                url,
                socket,
                format,
            } => {
                let asked = with_facts(url, &self.facts(attempt)).map_err(could_not_fetch(url))?;
                let fetched = fetch::over_socket(&asked, socket).await;
                (fetched.map_err(could_not_fetch(url))?, format)
            }
            BundleSource::Insecure => return Ok(None),
        };
        self.parse(&content, *format).map(Some)
    }

    /// What SPIRE's agent tells whoever answers on the Unix socket.
    fn facts(&self, attempt: &Attempt) -> [(&'static str, String); 6] {
        [
            ("spire-attest-mode", "bootstrap".to_owned()),
            ("spire-connection-attempts", attempt.number.to_string()),
            ("spire-attest-start-time", rfc3339(attempt.began)),
            ("spire-server-address", self.server.host.clone()),
            ("spire-server-port", self.server.port.to_string()),
            ("spiffe-trust-domain", self.trust_domain.to_string()),
        ]
    }

    fn parse(&self, content: &[u8], format: BundleFormat) -> Result<Bundle, BootstrapError> {
        let name = self.trust_domain.clone();
        let bundle = match format {
            BundleFormat::Pem => from_pem(name, content)?,
            BundleFormat::Spiffe => jwks::parse(name, content).map_err(BootstrapError::Spiffe)?,
        };
        if bundle.x509_authorities.is_empty() {
            return Err(BootstrapError::Empty);
        }
        Ok(bundle)
    }
}

/// In UTC and whole seconds, as Go prints it.
fn rfc3339(time: SystemTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let text = UtcDateTime::from(time).format(&form);
    text.unwrap_or_default()
}

/// The URL with more in its query. Host names, ports, times and trust domains need no escaping.
fn with_facts(url: &Uri, facts: &[(&str, String)]) -> Result<Uri, FetchError> {
    let pairs: Vec<_> = facts
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let separator = if url.query().is_some() { '&' } else { '?' };
    let text = format!("{url}{separator}{}", pairs.join("&"));
    text.parse()
        .map_err(|_| FetchError::Url("the server's address cannot be told in it"))
}

async fn read(path: PathBuf) -> Result<Bytes, BootstrapError> {
    let content = tokio::fs::read(&path).await.map(Bytes::from);
    content.map_err(|source| BootstrapError::Read { path, source })
}

fn could_not_fetch(url: &Uri) -> impl Fn(FetchError) -> BootstrapError {
    move |source| BootstrapError::Fetch {
        url: url.to_string(),
        source,
    }
}

fn from_pem(trust_domain: TrustDomain, content: &[u8]) -> Result<Bundle, BootstrapError> {
    let text = std::str::from_utf8(content).map_err(|e| BootstrapError::Pem(e.to_string()))?;
    let ders = pem::parse_pem_certs(text).map_err(|e| BootstrapError::Pem(e.to_string()))?;
    let authorities = ders.iter().map(|der| X509Authority::from_der(der));
    let x509_authorities = authorities.collect::<Result<_, _>>();
    Ok(Bundle {
        x509_authorities: x509_authorities.map_err(BootstrapError::Authority)?,
        ..Bundle::empty(trust_domain)
    })
}

#[cfg(test)]
mod tests;
