//! What a client is told before its first request.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signet_crypto::{PrivateKey, SecretBytes, SecretString};

use crate::SetupError;

/// How a client behaves. [`Settings::default`] is the careful choice; say what differs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From the request to the last byte of its answer, redirects and waiting for a free place
    /// included.
    pub time_limit: Duration,
    /// The longest body of an answer, in bytes.
    pub max_answer: usize,
    /// Who may answer.
    pub reach: Reach,
    /// What becomes of an answer that points elsewhere.
    pub redirects: Redirects,
    /// Where the servers may be.
    pub addresses: Addresses,
    /// What stands between us and servers of `https` URLs.
    pub proxies: Proxies,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_limit: Duration::from_secs(30),
            max_answer: 1 << 20,
            reach: Reach::Https {
                roots: Roots::System,
                certificate: None,
            },
            redirects: Redirects::Refused,
            addresses: Addresses::Any,
            proxies: Proxies::Environment,
        }
    }
}

/// Who may answer a client's requests.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Servers of `https` URLs only.
    Https {
        /// What verifies them.
        roots: Roots,
        /// What the client shows to a server that asks.
        certificate: Option<ClientCertificate>,
    },
    /// Servers of `http` URLs only: those on this machine, or of a link that nobody else can reach.
    /// Anybody on the way reads and changes everything.
    Plain,
    /// Whoever listens on this Unix socket; the URL's scheme is `http`, its host only a name.
    Socket(PathBuf),
}

/// Which addresses a client connects to. A name is looked up once, and what it came to is both judged
/// and connected to. Names that are asked through a proxy are looked up there, and judged there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Any: the operator wrote the URL.
    Any,
    /// Those of the public Internet only: somebody else has a say in the URL, who must not reach what
    /// only this machine can.
    Public,
}

/// Which proxy leads to servers of `https` URLs. It is asked for a tunnel (`CONNECT`, RFC 9110 section
/// 9.3.6), so it sees host and port and nothing of what is said. What is on this machine, an `http` URL
/// or a socket is reached directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxies {
    /// What the variables `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, as curl reads them.
    Environment,
    /// The one at this `http` URL, but for these hosts, domains and networks, with commas between.
    Given {
        /// Such as `http://proxy.example:3128`.
        url: String,
        /// Such as `.cluster.local,10.0.0.0/8`.
        except: String,
    },
    /// None: the server is near, whatever the environment says.
    Direct,
}

/// Which authorities vouch for servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those that the machine trusts.
    System,
    /// Those in this PEM file, and no others. It is read when the client is made.
    File(PathBuf),
    /// Those in this PEM text, and no others.
    Text(String),
    /// Those in this PEM file vouch for the server, under whatever name it is asked: for one that is
    /// reached by an address which its certificate does not name. Each server of these authorities can
    /// pose as every other.
    FileForAnyName(PathBuf),
    /// None is asked: anybody can pose as the server. For tests only.
    Unverified,
}

/// What becomes of an answer that points elsewhere (a status of 300 to 399 with a `Location`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// It is an error.
    Refused,
    /// It is followed, this often at most, within what [`Reach`] allows. The whole request, with its
    /// credentials, goes to the new place: only for servers that are trusted with that.
    Followed(u8),
}

/// A certificate with its key, for servers that ask who is calling.
#[derive(Clone)]
pub struct ClientCertificate {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) pkcs8: Arc<SecretBytes>,
}

impl ClientCertificate {
    /// Reads the certificate, with intermediate ones after it, and its unencrypted key from two PEM
    /// files.
    ///
    /// # Errors
    /// [`SetupError`] names the file.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, SetupError> {
        let chain = crate::tls::certificates(certificate)?;
        Self::of(chain, &crate::tls::read(key)?, key)
    }

    /// As [`from_files`](Self::from_files), from two PEM texts.
    ///
    /// # Errors
    /// [`SetupError`] names the texts as if they were files.
    pub fn from_texts(certificate: &str, key: &SecretString) -> Result<Self, SetupError> {
        let chain = crate::tls::certificates_in(certificate, Path::new("the client certificate"))?;
        Self::of(chain, key, Path::new("the client key"))
    }

    fn of(chain: Vec<Vec<u8>>, key: &SecretString, origin: &Path) -> Result<Self, SetupError> {
        let private = PrivateKey::from_pem(key.expose()).map_err(|source| SetupError::Key {
            path: origin.to_owned(),
            source,
        })?;
        let pkcs8 = SecretBytes::new(private.pkcs8_der().expose().to_vec());
        Ok(Self {
            chain,
            pkcs8: Arc::new(pkcs8),
        })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}
