//! Where an issuer's keys come from.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use serde_json::Value;
use signet_crypto::jose;
use signet_http::{Addresses, Client, HttpError, Roots, Settings, SetupError};
use std::time::Duration;

use crate::issuer::https;
use crate::{IssuerUrl, KeySet, KeySetError, UrlError};

/// Longest document read: Microsoft's key set, with certificates, takes 20 KiB.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// For one of the two requests: agents wait for it.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Any error, kept as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Publishes an issuer's keys.
///
/// **Contract.** Every call asks anew; it is bounded in time and in the size of what it reads.
/// [`IssuerKeys`](crate::IssuerKeys) keeps what it gives and limits how often it is asked.
#[async_trait]
pub trait KeySource: Send + Sync + 'static {
    /// Who that is, for messages.
    fn name(&self) -> &str;

    /// The keys as they are now.
    async fn fetch(&self) -> Result<KeySet, FetchError>;
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer.
    #[error("could not read {what}")]
    Http {
        /// Of the two documents.
        what: &'static str,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// An answer that is none.
    #[error("{host} answered {status} when asked for {what}")]
    Status {
        /// Of the two documents.
        what: &'static str,
        /// The server.
        host: String,
        /// Its answer.
        status: StatusCode,
    },
    /// The discovery document is something else, such as a page for people.
    #[error("the discovery document is not a JSON object with the texts `issuer` and `jwks_uri`")]
    Discovery,
    /// The discovery document is another issuer's.
    #[error(
        "the discovery document is of another issuer; the configured name must be the same, byte for byte"
    )]
    OtherIssuer,
    /// The discovery document names a URL that is not asked.
    #[error("the discovery document names an unusable URL for the keys")]
    KeysUrl(#[source] UrlError),
    /// The key set cannot be used.
    #[error("the issuer's key set cannot be used")]
    KeySet(#[from] KeySetError),
    /// It took too long.
    #[error("the keys did not come in time")]
    Late,
    /// Another source failed.
    #[error("the keys could not be had")]
    Other(#[source] BoxError),
}

/// How an issuer is reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Who vouches for its servers.
    pub roots: Roots,
    /// Where they may be.
    pub addresses: Addresses,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            roots: Roots::System,
            addresses: Addresses::Public,
        }
    }
}

/// Keys on the web.
#[derive(Debug)]
pub struct Published {
    name: String,
    place: Place,
    client: Client,
}

#[derive(Debug)]
enum Place {
    Discovered(IssuerUrl),
    Fixed(Uri),
}

impl Published {
    /// Those that the issuer's discovery document points to, which must name this very issuer
    /// (OpenID Connect Discovery 1.0 section 4.3).
    ///
    /// # Errors
    /// [`SetupError`] if the authorities cannot be read.
    pub fn discovered(issuer: IssuerUrl, reach: Reach) -> Result<Self, SetupError> {
        Ok(Self {
            name: issuer.to_string(),
            client: client(reach)?,
            place: Place::Discovered(issuer),
        })
    }

    /// Those at a URL of the operator's or of the attestor's.
    ///
    /// # Errors
    /// [`FetchError`] if the URL is not `https` or the authorities cannot be read.
    pub fn at(url: &str, reach: Reach) -> Result<Self, FetchError> {
        Ok(Self {
            name: url.to_owned(),
            place: Place::Fixed(https(url).map_err(FetchError::KeysUrl)?),
            client: client(reach).map_err(|error| FetchError::Other(error.into()))?,
        })
    }

    async fn get(&self, what: &'static str, url: Uri) -> Result<Bytes, FetchError> {
        let host = url.host().unwrap_or_default().to_owned();
        let request = Request::get(url).header("accept", "application/json");
        let request = request
            .body(Bytes::new())
            .expect("a URI and a fixed header");
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|source| FetchError::Http { what, source })?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(FetchError::Status { what, host, status }),
        }
    }
}

#[async_trait]
impl KeySource for Published {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let url = match &self.place {
            Place::Fixed(url) => url.clone(),
            Place::Discovered(issuer) => {
                let url = https(&issuer.discovery_url()).map_err(FetchError::KeysUrl)?;
                keys_url(&self.get("the discovery document", url).await?, issuer)?
            }
        };
        Ok(KeySet::parse(&self.get("the key set", url).await?)?)
    }
}

/// Where the discovery document says that the keys are.
pub fn keys_url(document: &[u8], issuer: &IssuerUrl) -> Result<Uri, FetchError> {
    let document = jose::parse_unique(document).map_err(|_| FetchError::Discovery)?;
    let text = |name| document.get(name).and_then(Value::as_str);
    let named = text("issuer").ok_or(FetchError::Discovery)?;
    if named != issuer.as_str() {
        return Err(FetchError::OtherIssuer);
    }
    https(text("jwks_uri").ok_or(FetchError::Discovery)?).map_err(FetchError::KeysUrl)
}

fn client(reach: Reach) -> Result<Client, SetupError> {
    Client::new(Settings {
        time_limit: TIME_LIMIT,
        max_answer: MAX_DOCUMENT,
        reach: signet_http::Reach::Https {
            roots: reach.roots,
            certificate: None,
        },
        addresses: reach.addresses,
        ..Settings::default()
    })
}
