//! What is agreed on the wire: versions, key exchange, application protocol, no resumption; and that
//! peers who do not go on cannot hold up others.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{AGENT, World};
use futures::StreamExt;
use rustls::client::{ClientConfig, Resumption};
use rustls::{HandshakeKind, ProtocolVersion};
use signet_tls::{HANDSHAKE_TIMEOUT, KeyExchange, TlsConn, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A handshake with a configuration of the test's own.
async fn handshake(
    world: &mut World,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<DuplexStream>> {
    let io = world.dialer.dial().await.unwrap();
    let name = "signet.test".try_into().unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, io)
        .await
}

#[tokio::test]
async fn tls_1_3_is_agreed_on() {
    let mut world = World::new();
    let config = client_config(&world.client(None)).unwrap();
    let stream = handshake(&mut world, &config).await.unwrap();
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
}

/// The configuration of a client that cannot do TLS 1.3.
fn only_1_2(world: &World) -> Arc<ClientConfig> {
    #[derive(Debug)]
    struct TrustAll(Arc<rustls::crypto::CryptoProvider>);
    impl rustls::client::danger::ServerCertVerifier for TrustAll {
        fn verify_server_cert(
            &self,
            _: &rustls_pki_types::CertificateDer<'_>,
            _: &[rustls_pki_types::CertificateDer<'_>],
            _: &rustls_pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls_pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls_pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls_pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let agent = world.authority.svid(AGENT).identity();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll(provider)))
        .with_client_cert_resolver(agent);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn a_client_of_tls_1_2_is_served() {
    let mut world = World::new();
    let config = only_1_2(&world);
    let stream = handshake(&mut world, &config).await.unwrap();
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let connection = world.incoming.next().await.unwrap().unwrap();
    assert!(connection.peer_info().peer.is_some());
}

#[tokio::test]
async fn a_client_of_tls_1_1_is_refused() {
    let world = World::new();
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, 2, 0xc0, 0x09]);
    hello.extend([1, 0]);
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let mut message = vec![1, 0, 0, length(&hello)];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, length(&message)];
    record.extend(message);
    let mut io = world.dialer.dial().await.unwrap();
    io.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    assert_eq!((answer[0], answer[5]), (21, 2), "a fatal alert");
}

#[tokio::test]
async fn nothing_is_resumed_although_the_client_would_like_to() {
    let mut world = World::new();
    let mut eager_1_3 = (*client_config(&world.client(None)).unwrap()).clone();
    eager_1_3.resumption = Resumption::in_memory_sessions(8);
    let eager_1_2 = only_1_2(&world);
    for config in [Arc::new(eager_1_3), eager_1_2] {
        for _ in 0..3 {
            let mut stream = handshake(&mut world, &config).await.unwrap();
            let mut served = world.incoming.next().await.unwrap().unwrap();
            served.write_all(b"!").await.unwrap();
            served.flush().await.unwrap();
            stream.read_u8().await.unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(session.tls13_tickets_received(), 0);
        }
    }
}

#[tokio::test]
async fn a_client_without_http_2_is_dropped() {
    let mut world = World::new();
    let mut config = (*client_config(&world.client(None)).unwrap()).clone();
    config.alpn_protocols.clear();
    let config = Arc::new(config);
    let mut stream = handshake(&mut world, &config).await.unwrap();
    assert!(stream.read_u8().await.is_err());
    let good = world.client(None);
    world.talk(&good).await.unwrap();
}

#[cfg(feature = "aws-lc")]
#[tokio::test]
async fn the_hybrid_post_quantum_key_exchange_comes_first() {
    let mut world = World::new();
    for key_exchange in [KeyExchange::Any, KeyExchange::PostQuantum] {
        let mut client = world.client(None);
        client.key_exchange = key_exchange;
        let config = client_config(&client).unwrap();
        let stream = handshake(&mut world, &config).await.unwrap();
        let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    }
}

#[cfg(feature = "aws-lc")]
#[tokio::test]
async fn a_server_that_demands_post_quantum_refuses_a_classic_client() {
    let mut world = World::with(|tls| tls.key_exchange = KeyExchange::PostQuantum, 8);
    let config = only_1_2(&world);
    handshake(&mut world, &config).await.unwrap_err();
    let client = world.client(None);
    world.talk(&client).await.unwrap();
}

#[cfg(not(feature = "aws-lc"))]
#[test]
fn a_build_without_aws_lc_says_that_it_cannot_do_post_quantum() {
    let authority = crate::support::Authority::new("one.test");
    let client = signet_tls::ClientTls {
        identity: Arc::new(signet_tls::Identity::none()),
        trust: signet_tls::ServerTrust::Bundle(Arc::new(signet_tls::Trust::new([
            &authority.bundle()
        ]))),
        server_id: crate::support::id(crate::support::SERVER),
        key_exchange: KeyExchange::PostQuantum,
        clock: crate::support::TestClock::new(),
    };
    let refused = client_config(&client).err().unwrap();
    assert!(matches!(refused, signet_tls::TlsError::NeedsAwsLc));
}

#[tokio::test]
async fn silent_peers_hold_up_nobody() {
    let mut world = World::with(|_| {}, 4);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(world.dialer.dial().await.unwrap());
    }
    let client = world.client(Some(&world.authority.svid(AGENT)));
    world.talk(&client).await.unwrap();
    // The oldest gave way, so their streams are closed.
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dropped_when_its_time_is_up() {
    let world = World::new();
    let begun = tokio::time::Instant::now();
    let mut silent = world.dialer.dial().await.unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.unwrap();
    assert!(begun.elapsed() >= HANDSHAKE_TIMEOUT);
}

/// Whether the server closes the connection before the time is over.
async fn closes_within(connection: &mut TlsConn<DuplexStream>, time: Duration) -> bool {
    let mut bytes = [0; 64];
    let closing = async { while connection.read(&mut bytes).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(time, closing).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_finished_peer_must_speak_http_2_before_long() {
    let mut world = World::new();
    let config = client_config(&world.client(None)).unwrap();
    for (bytes, closes) in [(0, true), (23, true), (24, false)] {
        let mut client = handshake(&mut world, &config).await.unwrap();
        client.write_all(&vec![0; bytes]).await.unwrap();
        client.flush().await.unwrap();
        let mut served = world.incoming.next().await.unwrap().unwrap();
        let closed = closes_within(&mut served, Duration::from_secs(20)).await;
        assert_eq!(closed, closes, "{bytes} bytes");
    }
}

/// Both ends of a new connection of this client.
async fn connected(
    world: &mut World,
    config: &Arc<ClientConfig>,
) -> (TlsStream<DuplexStream>, TlsConn<DuplexStream>) {
    let client = handshake(world, config).await.unwrap();
    (client, world.incoming.next().await.unwrap().unwrap())
}

#[tokio::test]
async fn a_crowd_without_certificates_shuts_no_agent_out() {
    let mut world = World::crowded(2);
    let agent = world.client(Some(&world.authority.svid(AGENT)));
    let agent = client_config(&agent).unwrap();
    let stranger = client_config(&world.client(None)).unwrap();
    let (_agent, mut of_agent) = connected(&mut world, &agent).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(connected(&mut world, &stranger).await);
    }
    let moment = Duration::from_millis(50);
    for (at, (_, connection)) in crowd.iter_mut().enumerate() {
        assert_eq!(closes_within(connection, moment).await, at < 2, "{at}");
    }
    assert!(!closes_within(&mut of_agent, moment).await);
    connected(&mut world, &agent).await;
}

#[tokio::test]
async fn garbage_and_a_peer_that_hangs_up_hold_up_nobody() {
    let mut world = World::new();
    let mut garbage = world.dialer.dial().await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(world.dialer.dial().await.unwrap());
    let client = world.client(None);
    world.talk(&client).await.unwrap();
}

#[tokio::test]
async fn stopping_ends_the_stream_of_connections() {
    let mut world = World::new();
    let _silent = world.dialer.dial().await.unwrap();
    assert!(
        world
            .tasks
            .shutdown(std::time::Duration::from_secs(5))
            .await
    );
    assert!(world.incoming.next().await.is_none());
    assert!(world.dialer.dial().await.is_err());
}
