//! A tonic channel to a tonic server: what a handler learns, what a caller is told.

use std::io;
use std::sync::{Arc, Mutex};

use crate::support::{AGENT, SERVER, World, address, id};
use signet_runtime::Tasks;
use signet_tls::{
    Acceptor, ConnectError, Incoming, KeyExchange, PeerInfo, ServerAddress, ServerTls, connect,
    connect_lazy, connect_over,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Serves the health service on `incoming` and keeps what its handler learns of each caller.
fn serve<Io>(tasks: &Tasks, incoming: Incoming<Io>) -> Arc<Mutex<Vec<PeerInfo>>>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let seen = Arc::new(Mutex::new(Vec::new()));
    let callers = Arc::clone(&seen);
    let (_, health) = tonic_health::server::health_reporter();
    let service = tonic::service::interceptor::InterceptedService::new(
        health,
        move |request: tonic::Request<()>| {
            let info = request
                .extensions()
                .get::<PeerInfo>()
                .expect("each request has one");
            callers.lock().unwrap().push(info.clone());
            Ok(request)
        },
    );
    tasks.spawn("server", async move {
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    seen
}

async fn call(channel: Channel) -> Result<(), tonic::Status> {
    HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .map(|_| ())
}

#[tokio::test]
async fn a_handler_learns_who_calls_over_tcp() {
    let world = World::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = ServerTls {
        identity: world.identity.clone(),
        trust: world.trust.clone(),
        trust_domain: world.authority.trust_domain.clone(),
        foreign: Default::default(),
        key_exchange: KeyExchange::Any,
        clock: world.clock.clone(),
    };
    let seen = serve(
        &world.tasks,
        Acceptor::new(&tls, &world.tasks).unwrap().listen(listener),
    );
    let address = ServerAddress {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let agent = world.client(Some(&world.authority.svid(AGENT)));
    call(connect(&address, &agent).await.unwrap())
        .await
        .unwrap();
    call(connect_lazy(&address, &world.client(None)).unwrap())
        .await
        .unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(*seen[0].peer.as_ref().unwrap().id(), id(AGENT));
    assert!(seen[0].addr.unwrap().ip().is_loopback());
    assert!(seen[1].peer.is_none());
}

#[tokio::test]
async fn a_channel_works_over_streams_in_memory() {
    let world = World::new();
    let client = world.client(None);
    let dialer = world.dialer.clone();
    let seen = serve(&world.tasks, world.incoming);
    let dial = move || {
        let dialer = dialer.clone();
        async move { dialer.dial().await }
    };
    let endpoint = address().endpoint().unwrap();
    let channel = connect_over(endpoint, &address(), &client, dial)
        .await
        .unwrap();
    call(channel).await.unwrap();
    assert!(seen.lock().unwrap()[0].addr.is_none());
}

#[tokio::test]
async fn a_status_tells_why_the_server_was_refused() {
    let world = World::new();
    let mut client = world.client(None);
    client.server_id = id("spiffe://one.test/other");
    let dialer = world.dialer.clone();
    let dial = move || {
        let dialer = dialer.clone();
        async move { dialer.dial().await }
    };
    let endpoint = address().endpoint().unwrap();
    let error = connect_over(endpoint, &address(), &client, dial)
        .await
        .unwrap_err();
    let refused = error.refused().expect("the refusal is found");
    assert!(refused.to_string().contains(SERVER));
}

#[tokio::test]
async fn a_lazy_channels_status_tells_that_nobody_listens() {
    let world = World::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = ServerAddress {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let status = call(connect_lazy(&address, &world.client(None)).unwrap())
        .await
        .unwrap_err();
    let found = ConnectError::find(&status).expect("the connect error is found");
    assert!(matches!(found, ConnectError::Dial { source, .. }
        if source.kind() == io::ErrorKind::ConnectionRefused));
}

#[test]
fn addresses_show_as_they_are_dialled() {
    let show = |host: &str| {
        ServerAddress {
            host: host.to_owned(),
            port: 8081,
        }
        .to_string()
    };
    assert_eq!(show("signet.test"), "signet.test:8081");
    assert_eq!(show("::1"), "[::1]:8081");
    let bad = ServerAddress {
        host: "no host".to_owned(),
        port: 1,
    };
    assert!(matches!(bad.endpoint(), Err(ConnectError::Address { .. })));
}
