//! `grpc.health.v1.Health` on the workload socket: the empty service only, and only Check, as
//! SPIRE offers it. Serving means that calls are answered and not held.

use futures::stream::BoxStream;
use signet_runtime::Readiness;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Tells whether the agent is ready.
pub struct AgentHealth {
    readiness: Readiness,
}

impl AgentHealth {
    /// Health by these blockers.
    pub fn new(readiness: Readiness) -> Self {
        Self { readiness }
    }
}

#[tonic::async_trait]
impl Health for AgentHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.get_ref().service.is_empty() {
            return Err(Status::invalid_argument(
                "per-service health is not supported",
            ));
        }
        let status = if self.readiness.is_ready() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watching health is not supported"))
    }
}
