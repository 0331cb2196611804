//! Hostile input: sizes, silence, floods, and what must not be in a log.

use crate::harness::{
    World, attest_over, call, csr, entry, id, key, refusal, selector, token_request,
};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::entry::v1::BatchCreateEntryRequest;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::types::Entry;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing_subscriber::fmt::MakeWriter;

const BUNDLE: &str = "/spire.api.server.bundle.v1.Bundle/GetBundle";

#[tokio::test]
async fn a_message_of_4_mib_is_read_and_a_longer_one_refused() {
    let world = World::new().await;
    let mut client = EntryClient::new(world.local().await);
    let request = |bytes: usize| BatchCreateEntryRequest {
        entries: vec![Entry {
            hint: "h".repeat(bytes),
            ..Entry::default()
        }],
        output_mask: None,
    };
    let limit = 4 * 1024 * 1024;
    let read = client
        .batch_create_entry(request(limit - 100))
        .await
        .unwrap();
    assert_eq!(read.into_inner().results.len(), 1);
    let refused = client.batch_create_entry(request(limit)).await;
    assert!(matches!(
        refusal(refused).0,
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted
    ));
    call(&world.local().await, BUNDLE).await.unwrap();
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(world.dialer.dial().await.unwrap());
    }
    call(&world.remote(None).await, BUNDLE).await.unwrap();
    drop(silent);
    call(&world.remote(None).await, BUNDLE).await.unwrap();
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_harms_nobody() {
    let world = World::new().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 4096],
        &[0x16, 3, 1, 0xff, 0xff],
    ] {
        let mut stream = world.dialer.dial().await.unwrap();
        let _refused = stream.write_all(garbage).await;
    }
    call(&world.remote(None).await, BUNDLE).await.unwrap();
}

#[tokio::test]
async fn three_hundred_connections_at_once_are_all_served() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..300 {
        open.push(world.remote(None).await);
    }
    for channel in &open {
        call(channel, BUNDLE).await.unwrap();
    }
}

/// A frame of HTTP/2 on its first stream (RFC 9113 section 4.1), or on the connection.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags, 0, 0, 0, stream]].concat();
    [&head, payload].concat()
}

/// A health check in bytes, as a client that names its authority so.
fn health_check(authority: &str) -> Vec<u8> {
    const HEADERS: u8 = 1;
    let text = |value: &str| [&[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let named = |name: &str, value: &str| [vec![0], text(name), text(value)].concat();
    let fields = [
        named(":method", "POST"),
        named(":scheme", "http"),
        named(":path", "/grpc.health.v1.Health/Check"),
        named(":authority", authority),
        named("content-type", "application/grpc"),
        named("te", "trailers"),
    ];
    let (end_headers, end_stream) = (4, 1);
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(HEADERS, end_headers, 1, &fields.concat()),
        frame(0, end_stream, 1, &[0; 5]),
    ]
    .concat()
}

/// The kind of the first frame that answers on the first stream.
async fn first_answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> u8 {
    stream.write_all(request).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[8] == 1 && head[3] != 8 {
            return head[3];
        }
    }
}

#[tokio::test]
async fn a_client_of_the_c_core_may_name_the_socket_as_its_authority() {
    const HEADERS: u8 = 1;
    let world = World::new().await;
    for authority in ["localhost", "tmp%2Fspire-server%2Fprivate%2Fapi.sock", "%"] {
        let stream = world.raw_local().await;
        let answer = first_answer(stream, &health_check(authority)).await;
        assert_eq!(answer, HEADERS, "{authority}");
    }
}

#[tokio::test]
async fn an_authority_that_no_client_sends_is_refused() {
    const RST_STREAM: u8 = 3;
    let world = World::new().await;
    let stream = world.raw_local().await;
    let answer = first_answer(stream, &health_check("a b")).await;
    assert_eq!(answer, RST_STREAM);
    call(&world.local().await, BUNDLE).await.unwrap();
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    /// A line at a time; of other tests' lines only those that matter here are kept.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains("hidden") || line.contains("node attestation failed") {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn headers_of_more_than_16_kib_are_refused_and_the_next_call_is_served() {
    let world = World::new().await;
    let channel = world.remote(None).await;
    let headers = |length: usize| {
        let mut request = tonic::Request::new(GetBundleRequest::default());
        let value = "x".repeat(length).parse().unwrap();
        request.metadata_mut().insert("padding", value);
        request
    };
    let mut client = BundleClient::new(channel);
    client.get_bundle(headers(8 << 10)).await.unwrap();
    for length in [17 << 10, 1 << 20] {
        client.get_bundle(headers(length)).await.unwrap_err();
    }
    client.get_bundle(headers(0)).await.unwrap();
}

#[tokio::test]
async fn no_log_line_holds_a_token_a_selector_or_a_request() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("info,signet=trace")
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    // For the whole process: another test may be the first to reach a line of the log.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = World::with(|parts| parts.settings.log_calls = true).await;
    let local = world.local().await;
    let mut agents = AgentClient::new(local.clone());
    let missing = "hidden-missing-token";
    for token in ["hidden token", "hidden/token"] {
        agents
            .create_join_token(token_request(60, token, None))
            .await
            .unwrap_err();
    }
    let anonymous = world.remote(None).await;
    attest_over(anonymous.clone(), missing, &csr(&key(), &[]))
        .await
        .unwrap_err();
    attest_over(anonymous, missing, b"hidden-request")
        .await
        .unwrap_err();
    let secret = Entry {
        selectors: vec![selector("unix:hidden-selector")],
        ..entry("/web", &id("/spire/agent/x/y"))
    };
    let request = BatchCreateEntryRequest {
        entries: vec![secret.clone(), secret],
        output_mask: None,
    };
    EntryClient::new(local)
        .batch_create_entry(request)
        .await
        .unwrap();
    let node = world.agent().await;
    call(
        &node.channel,
        "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries",
    )
    .await
    .unwrap();
    let log = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("node attestation failed"),
        "nothing was captured"
    );
    assert!(!log.contains("hidden"), "{log}");
}
