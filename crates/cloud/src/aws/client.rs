//! Calls as an identity: its credentials, kept while they are good, and the signed exchange.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use signet_crypto::SharedSecret;
use signet_http::{Client, HttpError, Reach, Settings, SetupError};
use signet_runtime::{Backoff, Clock};

use super::credentials::{self, Credentials};
use super::metadata::{DEFAULT_ENDPOINT, InstanceMetadata};
use super::partition::{Service, is_region};
use super::sign::{self, Scope, encode};
use super::{AwsError, Environment, Partition, sts, xml};

/// The time for one request: AWS answers within a second or two.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The longest answer: a page of an organization's accounts or of Auto Scaling groups.
const MAX_ANSWER: usize = 4 << 20;
/// How often a call is sent while the service is out of reach or asks for patience.
const ATTEMPTS: usize = 3;
/// Between two attempts.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Roles whose credentials are kept: one for each account that nodes are in.
const MAX_KEPT: usize = 1024;
/// Longest code of an error that is repeated.
const MAX_CODE: usize = 64;

/// Keys that an operator gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticKeys {
    /// The key's name, no secret.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SharedSecret,
    /// With the keys of a role.
    pub session_token: Option<SharedSecret>,
}

/// How AWS is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// The partition of all accounts.
    pub partition: Partition,
    /// Keys in place of those that the environment leads to.
    pub keys: Option<StaticKeys>,
    /// The environment.
    pub environment: Environment,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// Whoever this server is.
    Own,
    /// A role, by its ARN, that this server assumes.
    Role(String),
}

/// A client of AWS.
pub struct Aws {
    pub(crate) settings: AwsSettings,
    pub(crate) https: Client,
    pub(crate) plain: Client,
    pub(crate) metadata: Option<InstanceMetadata>,
    clock: Arc<dyn Clock>,
    kept: tokio::sync::Mutex<BTreeMap<Identity, Credentials>>,
}

/// One call.
pub(crate) struct Call<'a> {
    pub(crate) service: Service,
    pub(crate) action: &'static str,
    pub(crate) region: &'a str,
    pub(crate) kind: Kind<'a>,
}

/// How a service takes its calls.
pub(crate) enum Kind<'a> {
    /// Parameters in a form; the version of the API.
    Query(&'static str, &'a [(&'a str, &'a str)]),
    /// JSON; the prefix of actions.
    Json(&'static str, String),
    /// A path, encoded, with its query.
    Rest(String),
}

impl StaticKeys {
    pub(crate) fn of_environment(environment: &Environment) -> Option<Self> {
        let secret = |name| {
            environment
                .get(name)
                .map(|it| SharedSecret::new(it.to_owned()))
        };
        Some(Self {
            access_key_id: environment.get("AWS_ACCESS_KEY_ID")?.to_owned(),
            secret_access_key: secret("AWS_SECRET_ACCESS_KEY")?,
            session_token: secret("AWS_SESSION_TOKEN"),
        })
    }
}

impl Aws {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// [`SetupError`] if the machine's certificate authorities cannot be read.
    pub fn new(settings: AwsSettings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let client = |reach| {
            Client::new(Settings {
                time_limit: TIME_LIMIT,
                max_answer: MAX_ANSWER,
                reach,
                ..Settings::default()
            })
        };
        let environment = &settings.environment;
        let disabled = environment.get("AWS_EC2_METADATA_DISABLED") == Some("true");
        let endpoint = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let metadata = InstanceMetadata::at(endpoint.unwrap_or(DEFAULT_ENDPOINT))?;
        Ok(Self {
            https: client(Settings::default().reach)?,
            plain: client(Reach::Plain)?,
            metadata: (!disabled).then_some(metadata),
            settings,
            clock,
            kept: tokio::sync::Mutex::default(),
        })
    }

    /// The partition of all accounts.
    pub fn partition(&self) -> Partition {
        self.settings.partition
    }

    /// Calls as `identity`, and gives the body of the answer.
    pub(crate) async fn call(&self, who: &Identity, call: &Call<'_>) -> Result<Bytes, AwsError> {
        let credentials = self.credentials(who).await?;
        self.call_with(Some(&credentials), call).await
    }

    /// Calls with these credentials, or unsigned.
    pub(crate) async fn call_with(
        &self,
        credentials: Option<&Credentials>,
        call: &Call<'_>,
    ) -> Result<Bytes, AwsError> {
        let mut backoff = Backoff::new(PATIENCE.0, PATIENCE.1, 2.0);
        for _ in 1..ATTEMPTS {
            match self.once(credentials, call).await {
                Err(error) if error.is_transient() => {
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                outcome => return outcome,
            }
        }
        self.once(credentials, call).await
    }

    async fn once(
        &self,
        credentials: Option<&Credentials>,
        call: &Call<'_>,
    ) -> Result<Bytes, AwsError> {
        let (base, signing_region) = self.place(call)?;
        let http = |source| AwsError::Http {
            service: call.service.name(),
            action: call.action,
            source,
        };
        let request = call.request(&base);
        let mut request = request.ok_or_else(|| http(HttpError::Url("it cannot be read")))?;
        if let Some(credentials) = credentials {
            let scope = Scope {
                region: &signing_region,
                service: call.service.name(),
                now: self.clock.now(),
            };
            sign::sign(&mut request, credentials, &scope);
        }
        let client = if base.starts_with("http:") {
            &self.plain
        } else {
            &self.https
        };
        let answer = client.send(request).await.map_err(http)?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(AwsError::Refused {
            service: call.service.name(),
            action: call.action,
            status: answer.status(),
            code: code(&answer).unwrap_or_else(|| "no code".to_owned()),
        })
    }

    /// The URL without a path, and the region that the signature names.
    fn place(&self, call: &Call<'_>) -> Result<(String, String), AwsError> {
        if !is_region(call.region) {
            return Err(AwsError::Http {
                service: call.service.name(),
                action: call.action,
                source: HttpError::Url("the region has another form than regions have"),
            });
        }
        let (host, region) = call.service.place(self.settings.partition, call.region);
        for variable in [call.service.variable(), "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.settings.environment.get(variable) {
                let problem = |problem| AwsError::Endpoint {
                    variable: variable.to_owned(),
                    problem,
                };
                check_endpoint(url).map_err(problem)?;
                return Ok((url.trim_end_matches('/').to_owned(), region));
            }
        }
        Ok((format!("https://{host}"), region))
    }

    async fn credentials(&self, who: &Identity) -> Result<Credentials, AwsError> {
        let now = self.clock.now();
        if let Some(kept) = self.kept.lock().await.get(who)
            && kept.are_good_at(now)
        {
            return Ok(kept.clone());
        }
        let found = match who {
            Identity::Own => credentials::find(self).await?,
            Identity::Role(arn) => {
                let own = Box::pin(self.credentials(&Identity::Own)).await?;
                sts::assume_role(self, &own, arn).await?
            }
        };
        let mut kept = self.kept.lock().await;
        kept.retain(|_, credentials| credentials.are_good_at(now));
        if kept.len() < MAX_KEPT {
            kept.insert(who.clone(), found.clone());
        }
        Ok(found)
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws")
            .field("partition", &self.settings.partition)
            .finish_non_exhaustive()
    }
}

impl Call<'_> {
    fn request(&self, base: &str) -> Option<Request<Bytes>> {
        let url = match &self.kind {
            Kind::Rest(path) => format!("{base}{path}"),
            Kind::Query(..) | Kind::Json(..) => format!("{base}/"),
        };
        let uri: Uri = url.parse().ok()?;
        let host = uri.authority()?.as_str().to_owned();
        let request = Request::builder().uri(uri).header("host", host);
        match &self.kind {
            Kind::Query(version, parameters) => {
                let mut form = format!("Action={}&Version={version}", self.action);
                for (name, value) in *parameters {
                    form.push_str(&format!("&{}={}", encode(name), encode(value)));
                }
                let request = request.method("POST").header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8",
                );
                request.body(form.into()).ok()
            }
            Kind::Json(prefix, body) => {
                let request = request
                    .method("POST")
                    .header("content-type", "application/x-amz-json-1.1")
                    .header("x-amz-target", format!("{prefix}.{}", self.action));
                request.body(body.clone().into()).ok()
            }
            Kind::Rest(_) => request.method("GET").body(Bytes::new()).ok(),
        }
    }
}

/// `https`, or `http` to this machine: what comes back decides who is let in.
fn check_endpoint(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if is_here => Ok(()),
        Some("http") => Err("must begin with https://, unless it is on this machine"),
        _ => Err("must begin with https://"),
    }
}

/// AWS's code of an error, if it has the form of one.
fn code(answer: &Response<Bytes>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Json {
        #[serde(alias = "__type")]
        code: String,
    }
    let body = answer.body();
    let of_xml = || {
        xml::read(body, |root| {
            let places: [&[&str]; 2] = [&["Error", "Code"], &["Errors", "Error", "Code"]];
            places.iter().find_map(|path| xml::text(root, path))
        })
    };
    let of_json = || {
        serde_json::from_slice::<Json>(body)
            .ok()
            .map(|json| json.code)
    };
    let code = of_xml().or_else(of_json)?;
    let code = code.rsplit('#').next().unwrap_or_default();
    let is_code = (1..=MAX_CODE).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    is_code.then(|| code.to_owned())
}
