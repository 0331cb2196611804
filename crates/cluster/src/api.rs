//! The requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use signet_http::{Client, HttpError, Lines, Reach as HttpReach, Settings};
use signet_runtime::Backoff;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::objects::{Review, ReviewRequest, ReviewSpec};
use crate::{AccessError, Credentials, Name, Namespace, Node, Pod, Reach, ReviewStatus};

/// etcd takes no object over 1.5 MiB.
const MAX_ANSWER: usize = 2 << 20;
/// A page of a list has objects of some KiB; that all of them have etcd's size is no cluster's case.
const MAX_PAGE: usize = 64 << 20;
/// For one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// For one page: the server may have to fetch it, and it may come slowly.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// For one question with all its tries.
const LIMIT: Duration = Duration::from_secs(10);
/// How often a busy server is asked before we give up.
const TRIES: u32 = 4;
/// Certificates, kubeconfig and authorities are read anew after this time: they are replaced in place.
const RELOAD: Duration = Duration::from_secs(60);

/// An API server. What it takes to reach it is read at the first request.
#[derive(Debug)]
pub struct Api {
    reach: Reach,
    connected: Mutex<Option<(Instant, Arc<Connected>)>>,
}

#[derive(Debug)]
struct Connected {
    client: Client,
    /// For lists and watches.
    bulk: Client,
    server: String,
    credentials: Credentials,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server cannot be reached as configured.
    #[error("the API server cannot be asked")]
    Access(#[from] AccessError),
    /// The exchange failed.
    #[error("no answer of the API server")]
    Http(#[from] HttpError),
    /// It took too long.
    #[error("no answer of the API server within {} s", LIMIT.as_secs())]
    Late,
    /// The server's URL is none.
    #[error("the API server's address is not usable")]
    Url,
    /// It does not know us.
    #[error("the API server does not accept our credentials (401)")]
    Unauthorized,
    /// We may not ask.
    #[error("the API server forbids it (403): the account needs the verb {verb} on {resource}")]
    Forbidden {
        /// The verb.
        verb: &'static str,
        /// The resource.
        resource: &'static str,
    },
    /// The version that was asked for is too old: what is known must be read anew.
    #[error("the version of {resource} that was known is too old (410)")]
    Gone {
        /// The resource.
        resource: &'static str,
    },
    /// Somebody else changed or made the object meanwhile.
    #[error("somebody else changed {resource} meanwhile (409)")]
    Conflict {
        /// The resource.
        resource: &'static str,
    },
    /// There is no such object.
    #[error("there is no such object in {resource}")]
    NotFound {
        /// The resource.
        resource: &'static str,
    },
    /// Another answer.
    #[error("the API server answered {status} to {verb} {resource}")]
    Status {
        /// The verb.
        verb: &'static str,
        /// The resource.
        resource: &'static str,
        /// The answer's status.
        status: StatusCode,
    },
    /// Not the API's JSON.
    #[error("what answers in the API server's place does not speak its language")]
    Form,
}

pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
}

/// The type of all bodies that are no patches.
pub(crate) const JSON: &str = "application/json";

impl Api {
    /// The server that `reach` leads to.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self {
            reach,
            connected: Mutex::new(None),
        }
    }

    /// Whether a token is good for one of these audiences (the server's own if there is none), and
    /// whose it is.
    ///
    /// # Errors
    /// [`ApiError`] if the server does not say. A token that is not good is an answer.
    pub async fn review_token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<ReviewStatus, ApiError> {
        let request = ReviewRequest {
            api_version: "authentication.k8s.io/v1",
            kind: "TokenReview",
            spec: ReviewSpec { token, audiences },
        };
        let body = serde_json::to_vec(&request).expect("texts become JSON");
        let question = Question {
            method: Method::POST,
            path: "/apis/authentication.k8s.io/v1/tokenreviews".to_owned(),
            body: body.into(),
            content_type: JSON,
            verb: "create",
            resource: "tokenreviews",
        };
        let review: Review = self.ask(question).await?;
        Ok(review.status)
    }

    /// A pod.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn pod(&self, namespace: &Name, name: &Name) -> Result<Pod, ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        self.get(path, "pods").await
    }

    /// A node.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn node(&self, name: &Name) -> Result<Node, ApiError> {
        self.get(format!("/api/v1/nodes/{name}"), "nodes").await
    }

    /// A namespace.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn namespace(&self, name: &Name) -> Result<Namespace, ApiError> {
        let path = format!("/api/v1/namespaces/{name}");
        self.get(path, "namespaces").await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: String,
        resource: &'static str,
    ) -> Result<T, ApiError> {
        let question = Question {
            method: Method::GET,
            path,
            body: Bytes::new(),
            content_type: JSON,
            verb: "get",
            resource,
        };
        self.ask(question).await
    }

    pub(crate) async fn ask<T: DeserializeOwned>(&self, question: Question) -> Result<T, ApiError> {
        let tries = self.ask_until_answered(question);
        let answer = tokio::time::timeout(LIMIT, tries).await;
        let answer = answer.map_err(|_| ApiError::Late)??;
        serde_json::from_slice(&answer).map_err(|_| ApiError::Form)
    }

    async fn ask_until_answered(&self, question: Question) -> Result<Bytes, ApiError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 2.0);
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.ask_once(&question).await {
                Ok(answer) => return Ok(answer),
                Err(error) if left == 0 || !error.is_transient() => return Err(error),
                Err(_) => tokio::time::sleep(backoff.next_delay()).await,
            }
        }
    }

    async fn ask_once(&self, question: &Question) -> Result<Bytes, ApiError> {
        let connected = self.connected().await?;
        let answer = connected.client.send(connected.request(question)?);
        question.answered(answer.await?)
    }

    /// One page, in the time and size of one.
    pub(crate) async fn page(&self, question: &Question) -> Result<Bytes, ApiError> {
        let connected = self.connected().await?;
        let answer = connected.bulk.send(connected.request(question)?);
        question.answered(answer.await?)
    }

    /// An answer that goes on.
    pub(crate) async fn open(
        &self,
        question: &Question,
        silence: Duration,
    ) -> Result<Lines, ApiError> {
        let connected = self.connected().await?;
        let answer = connected.bulk.open(connected.request(question)?, silence);
        question.answered(answer.await?)
    }

    async fn connected(&self) -> Result<Arc<Connected>, ApiError> {
        let mut held = self.connected.lock().await;
        if let Some((since, connected)) = &*held
            && since.elapsed() < RELOAD
        {
            return Ok(connected.clone());
        }
        let access = self.reach.access()?;
        let settings = Settings {
            time_limit: REQUEST_LIMIT,
            max_answer: MAX_ANSWER,
            reach: HttpReach::Https {
                roots: access.roots,
                certificate: access.certificate,
            },
            ..Settings::default()
        };
        let bulk = Client::new(Settings {
            time_limit: PAGE_LIMIT,
            max_answer: MAX_PAGE,
            ..settings.clone()
        });
        let connected = Arc::new(Connected {
            client: Client::new(settings).map_err(AccessError::Setup)?,
            bulk: bulk.map_err(AccessError::Setup)?,
            server: access.server,
            credentials: access.credentials,
        });
        *held = Some((Instant::now(), connected.clone()));
        Ok(connected)
    }
}

impl Connected {
    fn request(&self, question: &Question) -> Result<Request<Bytes>, ApiError> {
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(format!("{}{}", self.server, question.path))
            .header(header::ACCEPT, JSON)
            .header(header::CONTENT_TYPE, question.content_type);
        if let Some(bearer) = self.credentials.bearer()? {
            request = request.header(header::AUTHORIZATION, bearer.expose());
        }
        let request = request.body(question.body.clone());
        request.map_err(|_| ApiError::Url)
    }
}

impl Question {
    fn answered<T>(&self, answer: Response<T>) -> Result<T, ApiError> {
        let (verb, resource) = (self.verb, self.resource);
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::OK | StatusCode::CREATED => Ok(body),
            StatusCode::UNAUTHORIZED => Err(ApiError::Unauthorized),
            StatusCode::FORBIDDEN => Err(ApiError::Forbidden { verb, resource }),
            StatusCode::NOT_FOUND => Err(ApiError::NotFound { resource }),
            StatusCode::CONFLICT => Err(ApiError::Conflict { resource }),
            StatusCode::GONE => Err(ApiError::Gone { resource }),
            status => Err(ApiError::Status {
                verb,
                resource,
                status,
            }),
        }
    }
}

impl ApiError {
    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A late answer has used up the time for one request already.
            Self::Http(error) => error.is_transient() && !matches!(error, HttpError::Late { .. }),
            Self::Status { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            _ => false,
        }
    }
}
