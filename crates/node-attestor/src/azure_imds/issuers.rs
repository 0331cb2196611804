//! Certificates of issuers, fetched from where a certificate says that its issuer's is.
//!
//! The certificate that says so is not trusted yet: anybody may have made it. So only one host is
//! asked, over HTTPS, at public addresses, without redirects, for little, a few at a time. What comes
//! is kept for a day, what failed is not asked for again at once. Neither says anything of trust: the
//! chain is verified each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use signet_cloud::Endpoint;
use signet_http::{Addresses, Client, HttpError, Reach, Settings, SetupError};
use signet_runtime::Clock;
use signet_spiffe::Certificate;
use signet_spiffe::certificate::CertificateError;
use tokio::sync::Semaphore;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where Microsoft's authorities publish their certificates.
pub const CERTIFICATES_URL: &str = "https://www.microsoft.com";

/// The only host that a certificate may name.
const HOST: &str = "www.microsoft.com";

/// Where on the host: <https://www.microsoft.com/pkiops/docs/repository.htm>.
const FOLDERS: [&str; 2] = ["/pki/", "/pkiops/"];

/// Longest path: those seen have 80 bytes.
const MAX_PATH: usize = 256;

/// Longest certificate: those seen have 1.5 KiB.
const MAX_CERTIFICATE: usize = 16 << 10;

/// An agent waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Fetches that run at once; further ones are refused, so that no crowd of forgers makes others wait.
const MAX_AT_ONCE: usize = 4;

/// Issuers that are kept, and how long: about twenty are in use, and change every few years.
const MAX_KEPT: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Failures that are remembered, and how long.
const MAX_FAILURES: usize = 256;
const FAILURE_LASTS: Duration = Duration::from_secs(60);

/// 1.3.6.1.5.5.7.48.2 (RFC 5280 section 4.2.2.1).
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// Why there is no certificate of an issuer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The certificate names none that may be asked for.
    #[error("the certificate names no issuer's certificate at {HOST}")]
    NoPlace,
    /// It failed a moment ago.
    #[error("the issuer's certificate could not be had a moment ago")]
    FailedBefore,
    /// Too many are being fetched.
    #[error("too many issuers' certificates are being fetched")]
    Busy,
    /// No answer.
    #[error("the issuer's certificate could not be fetched")]
    Http(#[source] HttpError),
    /// A refusal.
    #[error("the issuer's certificate could not be fetched: {HOST} answered {0}")]
    Status(StatusCode),
    /// Something else.
    #[error("what was fetched is not the certificate of an authority")]
    NotAnAuthority(#[source] Option<CertificateError>),
}

impl FetchError {
    /// Whether it may be had later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoPlace | Self::NotAnAuthority(_) => false,
            Self::Status(status) => status.is_server_error(),
            Self::FailedBefore | Self::Busy | Self::Http(_) => true,
        }
    }
}

/// Fetches and keeps certificates of issuers.
pub struct Issuers {
    client: Client,
    base: String,
    places: Semaphore,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<String, Kept>,
    failed: BTreeMap<String, SystemTime>,
}

struct Kept {
    issuer: Certificate,
    until: SystemTime,
}

impl Issuers {
    /// From Microsoft, or from a mirror that has the same paths; a mirror may have any address.
    ///
    /// # Errors
    /// [`SetupError`] if the client cannot be set up.
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let base = endpoint.url.trim_end_matches('/').to_owned();
        let reach = if base.starts_with("http://") {
            Reach::Plain
        } else {
            Reach::Https {
                roots: endpoint.roots,
                certificate: None,
            }
        };
        let addresses = match base == CERTIFICATES_URL {
            true => Addresses::Public,
            false => Addresses::Any,
        };
        let client = Client::new(Settings {
            time_limit: TIME_LIMIT,
            max_answer: MAX_CERTIFICATE,
            reach,
            addresses,
            ..Settings::default()
        })?;
        Ok(Self {
            client,
            base,
            places: Semaphore::new(MAX_AT_ONCE),
            clock,
            state: Mutex::default(),
        })
    }

    /// The certificate that this certificate names as its issuer's: kept or fetched, not verified.
    ///
    /// # Errors
    /// [`FetchError`] says why there is none.
    pub(super) async fn of(&self, certificate: &Certificate) -> Result<Certificate, FetchError> {
        let path = place(certificate).ok_or(FetchError::NoPlace)?;
        if let Some(known) = self.known(&path) {
            return known;
        }
        let _place = self.places.try_acquire().map_err(|_| FetchError::Busy)?;
        let fetched = self.fetch(&path).await;
        self.note(path, &fetched);
        fetched
    }

    async fn fetch(&self, path: &str) -> Result<Certificate, FetchError> {
        let request = Request::get(format!("{}{path}", self.base)).body(Bytes::new());
        let request = request.map_err(|_| FetchError::NoPlace)?;
        let answer = self.client.send(request).await.map_err(FetchError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let issuer = Certificate::parse(answer.body());
        let issuer = issuer.map_err(|error| FetchError::NotAnAuthority(Some(error)))?;
        let is_ca = issuer.is_ca();
        is_ca
            .then_some(issuer)
            .ok_or(FetchError::NotAnAuthority(None))
    }

    fn known(&self, path: &str) -> Option<Result<Certificate, FetchError>> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed.retain(|_, until| now < *until);
        state.kept.retain(|_, kept| now < kept.until);
        match state.kept.get(path) {
            Some(kept) => Some(Ok(kept.issuer.clone())),
            None if state.failed.contains_key(path) => Some(Err(FetchError::FailedBefore)),
            None => None,
        }
    }

    fn note(&self, path: String, fetched: &Result<Certificate, FetchError>) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(issuer) if state.kept.len() < MAX_KEPT => {
                let kept = Kept {
                    issuer: issuer.clone(),
                    until: now + KEPT_FOR,
                };
                state.kept.insert(path, kept);
            }
            Err(_) if state.failed.len() < MAX_FAILURES => {
                state.failed.insert(path, now + FAILURE_LASTS);
            }
            _ => {}
        }
    }
}

/// Where on the host the certificate says that its issuer's is.
fn place(certificate: &Certificate) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate.der()).ok()?;
    let access =
        parsed
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => Some(access),
                _ => None,
            })?;
    let issuers = access.accessdescs.iter();
    let mut issuers = issuers.filter(|one| one.access_method.to_id_string() == CA_ISSUERS);
    issuers.find_map(|one| match &one.access_location {
        GeneralName::URI(url) => allowed(url),
        _ => None,
    })
}

/// The path of a URL that may be asked.
fn allowed(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let scheme = matches!(url.scheme_str(), Some("http" | "https"));
    let host = url
        .authority()
        .is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(HOST));
    let path = url.path();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._%".contains(&byte);
    let folder = FOLDERS.iter().any(|folder| path.starts_with(folder));
    let inside = !path.split('/').any(|segment| segment == "..");
    let fits = url.query().is_none() && path.len() <= MAX_PATH && path.bytes().all(plain);
    (scheme && host && folder && inside && fits).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_certificates_of_one_host_may_be_asked_for() {
        let path = allowed("http://www.microsoft.com/pkiops/certs/Microsoft%20Azure%20TLS.crt");
        assert_eq!(
            path.as_deref(),
            Some("/pkiops/certs/Microsoft%20Azure%20TLS.crt")
        );
        for bad in [
            "http://www.microsoft.com.evil.example/pki/x.crt",
            "http://evil.example/pki/x.crt",
            "http://www.microsoft.com@evil.example/pki/x.crt",
            "http://evil.example#www.microsoft.com/pki/x.crt",
            "http://www.microsoft.com:8080/pki/x.crt",
            "http://user@www.microsoft.com/pki/x.crt",
            "http://169.254.169.254/pki/x.crt",
            "ftp://www.microsoft.com/pki/x.crt",
            "file:///pki/x.crt",
            "http://www.microsoft.com/en-us/search?x",
            "http://www.microsoft.com/pki/x.crt?y",
            "http://www.microsoft.com/pki/../redirect",
            "",
        ] {
            assert_eq!(allowed(bad), None, "{bad}");
        }
        assert_eq!(
            allowed(&format!("http://www.microsoft.com/pki/{}", "x".repeat(300))),
            None
        );
    }
}
