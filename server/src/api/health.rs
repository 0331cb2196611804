//! `grpc.health.v1.Health` on the admin socket: what the `healthcheck` command asks.

use crate::issuer::Issuer;
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The health of the whole server.
#[derive(Debug, Clone)]
pub(super) struct HealthService(Arc<Issuer>);

/// The service, ready to be added.
pub(super) fn server(issuer: Arc<Issuer>) -> HealthServer<HealthService> {
    HealthServer::new(HealthService(issuer))
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::invalid_argument(
                "per-service health is not supported",
            ));
        }
        let status = match self.0.own_bundle() {
            Some(_) => ServingStatus::Serving,
            None => ServingStatus::NotServing,
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("use Check with an empty service"))
    }
}
