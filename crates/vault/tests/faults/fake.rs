//! A server that answers as a test tells it, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use signet_http::Roots;
use signet_vault::{Auth, Secret, Settings};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method and path below `/v1/`, such as `POST auth/approle/login`.
    pub(crate) line: String,
    pub(crate) token: String,
    pub(crate) namespace: String,
    pub(crate) body: Value,
}

pub(crate) type Answer = (u16, Value);
type Answering = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

pub(crate) struct Fake {
    port: u16,
    answering: Arc<Mutex<Answering>>,
    asked: watch::Sender<Vec<Asked>>,
}

impl Fake {
    pub(crate) async fn start(
        answering: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            answering: Arc::new(Mutex::new(Arc::new(answering))),
            asked: watch::Sender::new(Vec::new()),
        });
        spawn(accept(listener, Arc::clone(&fake)));
        fake
    }

    pub(crate) fn settings(&self, auth: Auth) -> Settings {
        Settings {
            address: format!("http://127.0.0.1:{}", self.port).parse().unwrap(),
            namespace: None,
            roots: Roots::System,
            auth,
        }
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, answering: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        *self.answering.lock().unwrap() = Arc::new(answering);
    }

    /// All requests so far whose line starts so.
    pub(crate) fn asked(&self, line: &str) -> Vec<Asked> {
        let asked = self.asked.borrow();
        let matching = asked.iter().filter(|asked| asked.line.starts_with(line));
        matching.cloned().collect()
    }

    /// Waits for that many requests.
    pub(crate) async fn until_asked(&self, line: &str, times: usize) {
        let count = |asked: &Vec<Asked>| {
            let matching = asked.iter().filter(|asked| asked.line.starts_with(line));
            matching.count() >= times
        };
        self.asked.subscribe().wait_for(count).await.unwrap();
    }
}

pub(crate) fn given_token() -> Auth {
    Auth::Token(Secret::new("given".to_owned()))
}

pub(crate) fn approle() -> Auth {
    Auth::AppRole {
        mount: "approle".parse().unwrap(),
        role_id: Secret::new("role".to_owned()),
        secret_id: Secret::new("hunter2".to_owned()),
    }
}

/// A token that lives for ever.
pub(crate) fn facts() -> Answer {
    (200, json!({"data": {"ttl": 0, "renewable": false}}))
}

pub(crate) fn granted(token: &str, seconds: u64, renewable: bool) -> Answer {
    let auth = json!({
        "client_token": token, "lease_duration": seconds, "renewable": renewable
    });
    (200, json!({"auth": auth}))
}

pub(crate) fn refused(status: u16, error: &str) -> Answer {
    (status, json!({"errors": [error]}))
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test's server is a task of its own"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

async fn accept(listener: TcpListener, fake: Arc<Fake>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let fake = Arc::clone(&fake);
        let service = service_fn(move |request| answer(Arc::clone(&fake), request));
        spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            let served = connection.serve_connection(TokioIo::new(stream), service);
            // The client may leave at any time.
            let _ = served.await;
        });
    }
}

async fn answer(
    fake: Arc<Fake>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    assert_eq!(header("x-vault-request"), "true");
    let (token, namespace) = (header("x-vault-token"), header("x-vault-namespace"));
    let path = request.uri().to_string();
    let path = path.strip_prefix("/v1/").unwrap();
    let line = format!("{} {path}", request.method());
    let body = request.into_body().collect().await?.to_bytes();
    let asked = Asked {
        line,
        token,
        namespace,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let answering = fake.answering.lock().unwrap().clone();
    let (status, body) = answering(&asked);
    fake.asked.send_modify(|all| all.push(asked));
    let body = match body {
        Value::String(raw) => raw,
        json => json.to_string(),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}
