//! Serves the workload socket.

use super::crowd::{Crowd, Placed};
use super::{AgentHealth, Call, WorkloadApi};
use futures::{Stream, StreamExt};
use signet_connections::Lenient;
use signet_proto::workload::FILE_DESCRIPTOR_SET;
use signet_runtime::{Readiness, Stop};
use signet_workload_attestor::peer::Peer;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::{Builder, Error};

/// Streams of one connection: a client needs a handful.
const MAX_STREAMS: u32 = 256;

/// What is served on the workload socket.
pub struct Listening {
    /// The answers; nothing when the Workload API is switched off.
    pub call: Option<Arc<Call>>,
    /// For the health service.
    pub readiness: Readiness,
    /// When to stop.
    pub stop: Stop,
}

/// Why the socket is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The reflection service could not be made.
    #[error("could not set up gRPC reflection")]
    Reflection(#[source] Error),
    /// The server broke.
    #[error("the Workload API stopped serving")]
    Transport(#[source] tonic::transport::Error),
}

/// Serves connections until stopped, then lets calls end: streams end themselves.
pub async fn serve<C>(
    listening: Listening,
    connections: impl Stream<Item = io::Result<C>>,
) -> Result<(), ServeError>
where
    C: Connected<ConnectInfo = Arc<Peer>> + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let reflection =
        || Builder::configure().register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET);
    let v1 = reflection().build_v1().map_err(ServeError::Reflection)?;
    let v1alpha = reflection()
        .build_v1alpha()
        .map_err(ServeError::Reflection)?;
    let mut server = Server::builder().max_concurrent_streams(Some(MAX_STREAMS));
    let router = server
        .add_optional_service(listening.call.map(WorkloadApi::new))
        .add_service(HealthServer::new(AgentHealth::new(listening.readiness)))
        .add_service(v1)
        .add_service(v1alpha);
    let stopped = async move { listening.stop.stopped().await };
    let connections = connections.map(|connection| connection.map(Lenient::new));
    let served = router
        .serve_with_incoming_shutdown(placed(connections), stopped)
        .await;
    served.map_err(ServeError::Transport)
}

/// The connections for which there is room; the others are closed.
fn placed<C>(
    connections: impl Stream<Item = io::Result<C>>,
) -> impl Stream<Item = io::Result<Placed<C>>>
where
    C: Connected<ConnectInfo = Arc<Peer>>,
{
    let crowd = Crowd::default();
    connections.filter_map(move |connection| {
        let placed = connection.map(|connection| {
            let place = crowd.enter(connection.connect_info().uid())?;
            Some(Placed::new(connection, place))
        });
        std::future::ready(placed.transpose())
    })
}
