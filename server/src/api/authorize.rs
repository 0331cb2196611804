//! The layer around all services: who calls is worked out once, checked against the table, counted
//! and logged; the services behind it find the caller in the request.

use crate::audit::{self, AuditEventExt, Noted};
use crate::caller::{Authorized, Caller, Capacity, Denied, access};
use crate::issuer::Issuer;
use prost::Message;
use signet_model::AgentReason;
use signet_proto::spire::types::PermissionDeniedDetails;
use signet_proto::spire::types::permission_denied_details::Reason;
use signet_telemetry::metrics::Metrics;
use signet_tls::PeerInfo;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Which listener a connection came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The admin socket.
    Local,
    /// TLS.
    Remote,
}

/// Puts authorization around services.
#[derive(Debug, Clone)]
pub struct AuthorizeLayer {
    issuer: Arc<Issuer>,
    metrics: Metrics,
    origin: Origin,
}

impl AuthorizeLayer {
    /// For the services of one listener.
    pub fn new(issuer: Arc<Issuer>, metrics: Metrics, origin: Origin) -> Self {
        Self {
            issuer,
            metrics,
            origin,
        }
    }

    async fn authorize(
        &self,
        path: &str,
        caller: Caller,
        request_id: String,
    ) -> Result<Authorized, Status> {
        if !access(path).is_served(self.origin == Origin::Local) {
            return Err(Status::unimplemented(format!("unknown method {path}")));
        }
        match self.issuer.authorize(path, &caller).await {
            Ok(capacity) => Ok(Authorized {
                caller,
                capacity,
                request_id,
                noted: Noted::default(),
            }),
            Err(denied) => {
                if let Caller::Anonymous { address } = &caller {
                    let address = address.map(|address| address.ip());
                    self.issuer.limits.unproved(address).await?;
                }
                let by = Authorized {
                    caller,
                    capacity: Capacity::Anyone,
                    request_id,
                    noted: Noted::default(),
                };
                let status = status_of(path, &denied);
                tracing::info!(
                    request_id = by.request_id,
                    caller = by.caller.name(),
                    method = path,
                    reason = status.message(),
                    "call denied"
                );
                let event = audit::event(&by, "call.deny")
                    .about(path)
                    .because(reason(&denied));
                self.issuer.audit.refused(event);
                Err(status)
            }
        }
    }

    /// Hands the call on. What changes or issues something runs to its end, and to its record, even
    /// if the caller hangs up.
    async fn serve<S>(
        &self,
        path: String,
        by: Authorized,
        mut inner: S,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<Body>, S::Error>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>> + Send + 'static,
        S::Future: Send,
        S::Error: Send + 'static,
    {
        request.extensions_mut().insert(by.clone());
        if !audit::is_act(&path) {
            return inner.call(request).await;
        }
        let audit = self.issuer.audit.clone();
        let (done, answer) = oneshot::channel();
        self.issuer.tasks.spawn("call", async move {
            let response = inner.call(request).await;
            if let Ok(response) = &response
                && let Some(status) = Status::from_header_map(response.headers())
                && status.code() != Code::Ok
            {
                audit.refused_early(&by, &path, status.message());
            }
            let _gone = done.send(response);
        });
        let ended_early = |_| Ok(Status::internal("the call did not end").into_http());
        answer.await.unwrap_or_else(ended_early)
    }

    fn caller<B>(&self, request: &http::Request<B>) -> Caller {
        match self.origin {
            Origin::Local => {
                let info = request.extensions().get::<UdsConnectInfo>();
                let cred = info.and_then(|info| info.peer_cred);
                Caller::Local {
                    uid: cred.map_or(u32::MAX, |cred| cred.uid()),
                    pid: cred.and_then(|cred| cred.pid()),
                }
            }
            Origin::Remote => {
                let info = request.extensions().get::<PeerInfo>();
                let address = info.and_then(|info| info.addr);
                match info.and_then(|info| info.peer.clone()) {
                    Some(peer) => Caller::Peer { peer, address },
                    None => Caller::Anonymous { address },
                }
            }
        }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = AuthorizeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizeService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind authorization.
#[derive(Debug, Clone)]
pub struct AuthorizeService<S> {
    inner: S,
    layer: AuthorizeLayer,
}

impl<S> Service<http::Request<Body>> for AuthorizeService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Box::pin(async move {
            let begun = tokio::time::Instant::now();
            let path = request.uri().path().to_owned();
            let request_id = layer.issuer.random_uuid().to_string();
            let caller = layer.caller(&request);
            let name = layer.issuer.settings.log_calls.then(|| caller.name());
            let response = match layer.authorize(&path, caller, request_id.clone()).await {
                Err(status) => status.into_http(),
                Ok(by) => layer.serve(path.clone(), by, inner, request).await?,
            };
            let status = Status::from_header_map(response.headers()).map(|status| status.code());
            let code = code_name(status.unwrap_or(Code::Ok));
            if let Some(caller) = name {
                let method = path.as_str();
                tracing::info!(
                    kind = "audit",
                    request_id,
                    caller,
                    method,
                    code,
                    "API accessed"
                );
            }
            if let Some(name) = metric_name(&path) {
                layer.metrics.call(&name, code, begun.elapsed());
            }
            Ok(response)
        })
    }
}

fn reason(denied: &Denied) -> String {
    match denied {
        Denied::Permission(Some(reason)) => reason.to_string(),
        Denied::Permission(None) => "no right to this method".to_owned(),
        Denied::Unauthenticated => "the certificate is no longer good".to_owned(),
    }
}

fn status_of(path: &str, denied: &Denied) -> Status {
    let text = format!("authorization denied for method {path}");
    match denied {
        Denied::Permission(None) => Status::permission_denied(text),
        Denied::Permission(Some(reason)) => permission_denied(text, *reason),
        Denied::Unauthenticated => Status::unauthenticated(text),
    }
}

/// `google.rpc.Status`, which carries the details of a status on the wire.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `PERMISSION_DENIED` with the detail that agents act on.
pub(super) fn permission_denied(message: String, reason: AgentReason) -> Status {
    let reason = match reason {
        AgentReason::Expired => Reason::AgentExpired,
        AgentReason::NotAttested => Reason::AgentNotAttested,
        AgentReason::NotActive => Reason::AgentNotActive,
        AgentReason::Banned => Reason::AgentBanned,
        AgentReason::MustReattest => Reason::AgentMustReattest,
    };
    let details = PermissionDeniedDetails {
        reason: reason.into(),
    };
    let details = prost_types::Any {
        type_url: "type.googleapis.com/spire.api.types.PermissionDeniedDetails".to_owned(),
        value: details.encode_to_vec(),
    };
    let code = Code::PermissionDenied;
    let status = RpcStatus {
        code: code as i32,
        message: message.clone(),
        details: vec![details],
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// `spire.api.server.entry.v1.Entry/ListEntries` counts as `rpc_entry_v1_entry_list_entries`.
fn metric_name(path: &str) -> Option<String> {
    let path = path.trim_start_matches('/');
    let (service, method) = path.split_once('/')?;
    let known = access(path) != crate::caller::Access::default();
    if !known {
        return None; // a peer must not be able to fill the registry with names
    }
    let service = service.strip_prefix("spire.api.server.").unwrap_or(service);
    let words: Vec<_> = service.split('.').map(snake).collect();
    Some(format!("rpc_{}_{}", words.join("_"), snake(method)))
}

/// A word begins with a capital after a small letter, and with the last capital of a row, or the one
/// after a digit, if a small letter follows: `X509Authority`, but not `X509SVID`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut before = ' ';
    let mut rest = name.chars().peekable();
    while let Some(letter) = rest.next() {
        let begins = letter.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || (before.is_ascii_uppercase() || before.is_ascii_digit())
                    && rest.peek().is_some_and(char::is_ascii_lowercase));
        if begins {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        before = letter;
    }
    snake
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_those_of_spire() {
        let path = "/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries";
        let name = metric_name(path).unwrap();
        assert_eq!(name, "rpc_entry_v1_entry_sync_authorized_entries");
        for (path, name) in [
            (
                "localauthority.v1.LocalAuthority/PrepareX509Authority",
                "localauthority_v1_local_authority_prepare_x509_authority",
            ),
            (
                "localauthority.v1.LocalAuthority/TaintX509UpstreamAuthority",
                "localauthority_v1_local_authority_taint_x509_upstream_authority",
            ),
            (
                "localauthority.v1.LocalAuthority/GetJWTAuthorityState",
                "localauthority_v1_local_authority_get_jwt_authority_state",
            ),
            ("svid.v1.SVID/MintX509SVID", "svid_v1_svid_mint_x509svid"),
            (
                "svid.v1.SVID/NewDownstreamX509CA",
                "svid_v1_svid_new_downstream_x509ca",
            ),
            ("svid.v1.SVID/NewJWTSVID", "svid_v1_svid_new_jwtsvid"),
            (
                "bundle.v1.Bundle/PublishWITAuthority",
                "bundle_v1_bundle_publish_wit_authority",
            ),
        ] {
            let found = metric_name(&format!("/spire.api.server.{path}"));
            assert_eq!(found, Some(format!("rpc_{name}")));
        }
        assert_eq!(metric_name("/made.up/Name"), None);
    }

    #[test]
    fn a_denial_carries_the_reason_for_the_agent() {
        let status = permission_denied("no".to_owned(), AgentReason::Banned);
        let rpc = RpcStatus::decode(status.details()).unwrap();
        let details = PermissionDeniedDetails::decode(rpc.details[0].value.as_slice()).unwrap();
        assert_eq!(details.reason(), Reason::AgentBanned);
        assert_eq!(rpc.code, Code::PermissionDenied as i32);
    }
}
