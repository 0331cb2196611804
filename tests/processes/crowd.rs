//! Ten thousand connections: the programs live, stay small, and go on serving those who ask.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signet_tests::{Process, Scene, id, skip, wait};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ALL: usize = 10_000;
/// Of these, how many finish their handshake: more than the server keeps.
const FINISHED: usize = 2_200;
/// The connections and the test's own files.
const OPEN_FILES: u64 = 10_500;
/// How much a program may grow, in KiB. What it keeps of the crowd takes about a third.
const GROWTH_KIB: u64 = 200 * 1024;

/// One crowd at a time: two have more files than a usual hard limit allows.
static CROWD: Mutex<()> = Mutex::const_new(());

/// Whether this process may hold so many connections.
fn may_open(name: &str) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|maximum| maximum < OPEN_FILES) {
        skip::skipped(name, "the hard limit on open files is below 10,500");
        return false;
    }
    let limit = Rlimit {
        current: Some(maximum.map_or(OPEN_FILES, |maximum| maximum.min(2 * OPEN_FILES))),
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    true
}

/// What the process holds in memory, in KiB.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// Looks after the programs while the crowd comes.
fn assert_small(name: &str, process: &Process, before: u64) {
    let now = resident(process);
    assert!(
        now < before + GROWTH_KIB,
        "{name} grew from {before} to {now} KiB"
    );
}

async fn tcp(port: u16) -> TcpStream {
    let connecting = TcpStream::connect(("127.0.0.1", port));
    let stream = timeout(Duration::from_secs(20), connecting).await;
    stream.unwrap().unwrap()
}

/// Some say nothing, some begin a handshake and stop.
async fn half_open(port: u16, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for number in 0..count {
        let mut stream = tcp(port).await;
        if number % 2 == 0 {
            let _gave_way = stream.write_all(&[0x16, 3, 1, 2, 0]).await;
        }
        held.push(stream);
    }
    held
}

#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn stranger() -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone());
    let mut config = config
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Strangers that speak HTTP/2, and then say nothing more.
async fn finished(port: u16, count: usize) -> Vec<TlsStream<TcpStream>> {
    let connector = stranger();
    let mut held = Vec::new();
    for _ in 0..count {
        let name = "server.example".try_into().unwrap();
        let mut stream = connector.connect(name, tcp(port).await).await.unwrap();
        let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let _gave_way = stream.write_all(opening).await;
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn ten_thousand_connections_to_the_server_keep_no_agent_and_no_operator_out() {
    if !may_open("ten thousand connections to the server") {
        return;
    }
    let _alone = CROWD.lock().await;
    let mut scene = Scene::start().await;
    scene.server.entry("/before", &["--wait"]).await;
    let port = scene.server.port;
    let before = resident(scene.server.process.as_ref().unwrap());
    let finished = finished(port, FINISHED).await;
    let half_open = half_open(port, ALL - FINISHED).await;
    assert_eq!(finished.len() + half_open.len(), ALL);

    let server = scene.server.process.as_ref().unwrap();
    assert_small("the server", server, before);
    // The agent has its stream, and gets a new entry and its SVID through it.
    scene.server.entry("/meanwhile", &["--wait"]).await;
    let fetched = scene.agent.cli(&["api", "fetch", "x509"]).await.ok();
    assert!(fetched.contains(&id("/meanwhile")), "{fetched}");
    // And it gets in anew.
    scene.agent.kill().await;
    scene.agent.resume().await;
    scene.server.entry("/after", &["--wait"]).await;

    let server = scene.server.process.as_mut().unwrap();
    assert!(server.is_running());
    assert_small("the server", server, before);
    drop((finished, half_open));
}

#[tokio::test]
async fn ten_thousand_connections_to_the_workload_api_end_and_leave_room() {
    if !may_open("ten thousand connections to the Workload API") {
        return;
    }
    let _alone = CROWD.lock().await;
    let mut scene = Scene::start().await;
    scene.server.entry("/workload", &["--wait"]).await;
    let before = resident(scene.agent.process.as_ref().unwrap());
    let mut held = Vec::new();
    for _ in 0..ALL {
        // The queue of the socket is full now and then.
        let connecting = async || UnixStream::connect(&scene.agent.socket).await.ok();
        held.push(wait::until("a place in the socket's queue", connecting).await);
    }
    assert_small("the agent", scene.agent.process.as_ref().unwrap(), before);
    // Those who say nothing are closed after a while; all of them are of this test's user.
    wait::until("room for an honest client", async || {
        let fetched = scene.agent.cli(&["api", "fetch", "x509"]).await;
        fetched.stdout.contains(&id("/workload")).then_some(())
    })
    .await;
    let agent = scene.agent.process.as_mut().unwrap();
    assert!(agent.is_running());
    assert_small("the agent", agent, before);
    drop(held);
}

#[tokio::test]
async fn a_server_that_ran_out_of_descriptors_goes_on_when_it_has_some_again() {
    let mut scene = Scene::start().await;
    scene.server.entry("/before", &["--wait"]).await;
    let server = scene.server.process.as_ref().unwrap();
    let scarce = Rlimit {
        current: Some(48),
        maximum: Some(48),
    };
    let pid = i32::try_from(server.pid()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid);
    rustix::process::prlimit(pid, Resource::Nofile, scarce).unwrap();
    let mut held = half_open(scene.server.port, 100).await;
    for _ in 0..20 {
        let socket = UnixStream::connect(&scene.server.socket).await.unwrap();
        held.push(tcp(scene.server.port).await);
        drop(socket);
    }
    // The agent's stream is open already.
    let fetched = scene.agent.cli(&["api", "fetch", "x509"]).await.ok();
    assert!(fetched.contains(&id("/before")), "{fetched}");
    drop(held);
    wait::until("an answer of the admin socket", async || {
        let healthy = scene.server.cli(&["healthcheck"]).await;
        healthy.status.success().then_some(())
    })
    .await;
    scene.server.entry("/after", &["--wait"]).await;
    assert!(scene.server.process.as_mut().unwrap().is_running());
}
