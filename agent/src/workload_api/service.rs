//! The edge of the Workload API: which method, with the security header or not.
//!
//! Written by hand instead of generated, since answers come serialized and an unknown method is
//! `Unimplemented` even without the header.

use super::call::Call;
use super::codec::Serialized;
use super::counted::Counted;
use super::feed::Show;
use super::{convert, feed::Feed};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{HeaderMap, Request, Response};
use prost::Message;
use signet_proto::workload::{
    JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest, X509BundlesRequest, X509svidRequest,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::views::View;

/// The header that proves that the caller means this API and was not tricked into the request.
const HEADER: &str = "workload.spiffe.io";

/// The service on the workload socket.
#[derive(Clone)]
pub struct WorkloadApi(Arc<Call>);

impl WorkloadApi {
    /// The service over these calls.
    pub fn new(call: Arc<Call>) -> Self {
        Self(call)
    }
}

impl NamedService for WorkloadApi {
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

type Answer = Response<Body>;
type Stream = BoxStream<'static, Result<Bytes, Status>>;

impl tower::Service<Request<Body>> for WorkloadApi {
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.0.clone();
        Box::pin(async move { Ok(answer(call, request).await) })
    }
}

async fn answer(call: Arc<Call>, request: Request<Body>) -> Answer {
    let method = request
        .uri()
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let Some(method) = Method::named(&method) else {
        return Status::unimplemented("unknown method").into_http();
    };
    if !has_header(request.headers()) {
        return Status::invalid_argument("security header missing from request").into_http();
    }
    let name = method.metric();
    match method {
        Method::X509Svid => {
            stream::<X509svidRequest>(call, name, request, convert::x509_svids).await
        }
        Method::X509Bundles => {
            stream::<X509BundlesRequest>(call, name, request, convert::x509_bundles).await
        }
        Method::JwtBundles => {
            stream::<JwtBundlesRequest>(call, name, request, convert::jwt_bundles).await
        }
        Method::JwtSvid => {
            let serve = service_fn(move |request: tonic::Request<JwtsvidRequest>| {
                let call = call.clone();
                let counted = Counted::new(&call.metrics, name);
                async move { counted.ended(call.fetch_jwt_svid(request).await) }
            });
            Grpc::new(ProstCodec::default()).unary(serve, request).await
        }
        Method::ValidateJwt => {
            let serve = service_fn(move |request: tonic::Request<ValidateJwtsvidRequest>| {
                let call = call.clone();
                let counted = Counted::new(&call.metrics, name);
                async move { counted.ended(call.validate_jwt_svid(request).await) }
            });
            Grpc::new(ProstCodec::default()).unary(serve, request).await
        }
        Method::Wit => Status::unimplemented("WIT-SVIDs are not offered").into_http(),
    }
}

async fn stream<R: Message + Default + Send + 'static>(
    call: Arc<Call>,
    name: &'static str,
    request: Request<Body>,
    render: fn(&View, bool) -> Show,
) -> Answer {
    let serve = service_fn(move |request: tonic::Request<R>| {
        let call = call.clone();
        let mut counted = Counted::new(&call.metrics, name);
        async move {
            let feed = Feed::open(call, request.extensions(), render).await;
            let feed = feed.inspect_err(|status| counted.failed(status))?;
            let messages = feed.into_stream(counted) as Stream;
            Ok::<_, Status>(tonic::Response::new(messages))
        }
    });
    let mut grpc = Grpc::new(Serialized::<R>::default());
    grpc.server_streaming(serve, request).await
}

enum Method {
    X509Svid,
    X509Bundles,
    JwtSvid,
    JwtBundles,
    ValidateJwt,
    Wit,
}

impl Method {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "FetchX509SVID" => Self::X509Svid,
            "FetchX509Bundles" => Self::X509Bundles,
            "FetchJWTSVID" => Self::JwtSvid,
            "FetchJWTBundles" => Self::JwtBundles,
            "ValidateJWTSVID" => Self::ValidateJwt,
            "FetchWITSVID" | "FetchWITBundles" => Self::Wit,
            _ => return None,
        })
    }

    /// What SPIRE's agents count the method as.
    fn metric(&self) -> &'static str {
        match self {
            Self::X509Svid => "rpc_workload_api_fetch_x509svid",
            Self::X509Bundles => "rpc_workload_api_fetch_x509_bundles",
            Self::JwtSvid => "rpc_workload_api_fetch_jwtsvid",
            Self::JwtBundles => "rpc_workload_api_fetch_jwt_bundles",
            Self::ValidateJwt => "rpc_workload_api_validate_jwtsvid",
            Self::Wit => "rpc_workload_api_fetch_witsvid",
        }
    }
}

/// Exactly one value, and it is `true` (SPIFFE_Workload_Endpoint.md, section 3).
fn has_header(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(HEADER).iter();
    let first = values.next();
    first.is_some_and(|value| value == "true") && values.next().is_none()
}

/// The code that a denied workload sees; kept in one place with its text.
pub(super) fn denied(reference: &str) -> Status {
    Status::new(
        Code::PermissionDenied,
        format!("no identity issued (ref {reference})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(HEADER, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_header_must_be_there_once_and_say_true() {
        assert!(has_header(&headers(&["true"])));
        for bad in [
            &[][..],
            &["True"],
            &["false"],
            &[""],
            &["true", "true"],
            &["true", "x"],
        ] {
            assert!(!has_header(&headers(bad)), "{bad:?}");
        }
    }
}
