//! Serves the driver's two sockets.

use std::io;

use futures::{Stream, StreamExt};
use signet_connections::Lenient;
use signet_proto::csi::v1::identity_server::IdentityServer;
use signet_proto::csi::v1::node_server::NodeServer;
use signet_proto::pluginregistration::registration_server::RegistrationServer;
use signet_runtime::Stop;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::server::Connected;
use tonic::transport::{Error, Server};

use crate::{Driver, Registrar};

/// The longest request: paths, a few attributes and what the kubelet says of the pod.
const MAX_REQUEST: usize = 256 << 10;

/// Serves the driver until stopped. The kubelet connects anew for each call.
///
/// # Errors
/// The transport's, if it breaks.
pub async fn serve_driver<C>(
    driver: Driver,
    connections: impl Stream<Item = io::Result<C>>,
    stop: Stop,
) -> Result<(), Error>
where
    C: Connected + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let node = NodeServer::new(driver.clone()).max_decoding_message_size(MAX_REQUEST);
    Server::builder()
        .add_service(IdentityServer::new(driver))
        .add_service(node)
        .serve_with_incoming_shutdown(lenient(connections), stopped(stop))
        .await
}

/// Serves the socket by which the kubelet finds the driver, until stopped.
///
/// # Errors
/// The transport's, if it breaks.
pub async fn serve_registrar<C>(
    registrar: Registrar,
    connections: impl Stream<Item = io::Result<C>>,
    stop: Stop,
) -> Result<(), Error>
where
    C: Connected + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let registration = RegistrationServer::new(registrar).max_decoding_message_size(MAX_REQUEST);
    Server::builder()
        .add_service(registration)
        .serve_with_incoming_shutdown(lenient(connections), stopped(stop))
        .await
}

/// Clients in Go call a socket by its escaped path.
fn lenient<C>(
    connections: impl Stream<Item = io::Result<C>>,
) -> impl Stream<Item = io::Result<Lenient<C>>>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    connections.map(|connection| connection.map(Lenient::new))
}

async fn stopped(stop: Stop) {
    stop.stopped().await;
}
