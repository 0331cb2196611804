//! A client of the Workload API, as small as can be: one question, one SVID.
//!
//! It holds no stream: whoever needs an SVID asks anew when the last one is half over or was refused,
//! and the agent on the same machine has the latest at hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use signet_crypto::PrivateKey;
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_proto::workload::{X509svid, X509svidRequest};
use signet_spiffe::certificate::{CertificateError, split_concatenated};
use signet_spiffe::path::MAX_CHAIN_LEN;
use signet_spiffe::x509_svid::{self, X509SvidError};
use signet_spiffe::{TrustDomain, X509Authority};
use tokio::net::UnixStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use zeroize::Zeroize as _;

use super::convert::{self, BadBundle};

/// How long the agent may take: it may have to ask its server first.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The header that each call must carry, so that no browser can be made to call.
const HEADER: &str = "workload.spiffe.io";

/// Why there is no SVID to show.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Nobody listens on the socket.
    #[error("could not connect to the agent's socket {}: is the agent running?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The agent gave nothing.
    #[error(
        "the agent gives this server no identity: it needs a downstream entry whose selectors match \
         this process"
    )]
    Refused(#[source] Status),
    /// The agent did not answer.
    #[error("the agent did not answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    /// The stream ended before the first answer, or the answer was empty.
    #[error("the agent answered without an SVID")]
    Empty,
    /// The certificates cannot be read.
    #[error("the SVID's certificates cannot be read")]
    Certificates(#[from] CertificateError),
    /// It is no SVID.
    #[error("what the agent gave is no X509-SVID")]
    NotAnSvid(#[from] X509SvidError),
    /// Its key cannot be used.
    #[error("the SVID's key cannot be used")]
    Key(#[source] signet_crypto::KeyError),
    /// Its bundle cannot be used.
    #[error("the bundle beside the SVID cannot be used")]
    Bundle(#[from] BadBundle),
    /// A server hangs only under servers of its own trust domain.
    #[error("the agent is of trust domain `{found}`, this server of another")]
    OtherTrustDomain {
        /// The agent's.
        found: TrustDomain,
    },
}

/// An SVID of this process.
pub(super) struct Svid {
    /// Certificates in DER, leaf first.
    pub(super) chain: Vec<Arc<[u8]>>,
    /// The leaf's key.
    pub(super) key: PrivateKey,
    /// When it ends.
    pub(super) not_after: SystemTime,
    /// What verifies the servers of its trust domain.
    pub(super) roots: Vec<X509Authority>,
}

/// Asks the agent at `socket` for this process's default SVID.
pub(super) async fn fetch(
    socket: &Path,
    trust_domain: &TrustDomain,
) -> Result<Svid, WorkloadError> {
    let first = tokio::time::timeout(TIMEOUT, first_svid(socket)).await;
    let mut given = first.unwrap_or(Err(WorkloadError::TimedOut))?;
    read(&mut given, trust_domain)
}

async fn first_svid(socket: &Path) -> Result<X509svid, WorkloadError> {
    let path = socket.to_owned();
    let dial = move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    };
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(dial))
        .await;
    let channel = channel.map_err(|source| WorkloadError::Connect {
        path: socket.to_owned(),
        source,
    })?;
    let mut request = Request::new(X509svidRequest {});
    request
        .metadata_mut()
        .insert(HEADER, MetadataValue::from_static("true"));
    let mut client = SpiffeWorkloadApiClient::new(channel);
    let stream = client.fetch_x509svid(request).await;
    let mut stream = stream.map_err(WorkloadError::Refused)?.into_inner();
    let answer = stream.message().await.map_err(WorkloadError::Refused)?;
    let mut svids = answer.ok_or(WorkloadError::Empty)?.svids.into_iter();
    svids.next().ok_or(WorkloadError::Empty)
}

fn read(given: &mut X509svid, trust_domain: &TrustDomain) -> Result<Svid, WorkloadError> {
    let ders = split_concatenated(&given.x509_svid, MAX_CHAIN_LEN)?;
    let svid = x509_svid::parse(&ders)?;
    if svid.id.trust_domain() != trust_domain {
        return Err(WorkloadError::OtherTrustDomain {
            found: svid.id.trust_domain().clone(),
        });
    }
    let mut pkcs8 = Vec::from(std::mem::take(&mut given.x509_svid_key));
    let key = PrivateKey::from_pkcs8_der(&pkcs8).map_err(WorkloadError::Key);
    pkcs8.zeroize();
    Ok(Svid {
        chain: svid.chain,
        key: key?,
        not_after: svid.not_after,
        roots: convert::certificates(&given.bundle)?,
    })
}
