//! The first bundle over HTTPS: whom the agent believes, and what it does not take.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A web server's certificate for this name.
fn of_host(name: &str, authority: &Authority) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What a visitor finds.
struct Visit {
    tls: TlsAcceptor,
    answer: Vec<u8>,
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One visit after the other; the last one is for all that come later. Gives the requests it read.
async fn serve(listener: TcpListener, visits: Vec<Visit>, requests: &Mutex<Vec<String>>) -> ! {
    let mut visits = visits.into_iter().peekable();
    let mut visit = visits.next().unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if let Some(request) = receive(stream, &visit).await {
            requests.lock().unwrap().push(request);
        }
        visit = visits.next().unwrap_or(visit);
    }
}

/// The first line of the request; none when the visitor did not like the certificate.
async fn receive(stream: TcpStream, visit: &Visit) -> Option<String> {
    let mut stream = visit.tls.accept(stream).await.ok()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    // Who refuses a long answer does not read to its end.
    let _hung_up = stream.write_all(&visit.answer).await;
    let _hung_up = stream.shutdown().await;
    let text = String::from_utf8(request).ok()?;
    text.lines().next().map(str::to_owned)
}

fn write_pem(path: &Path, authority: &Authority) {
    std::fs::write(path, authority.pem()).unwrap();
}

#[tokio::test]
async fn the_agent_takes_its_bundle_from_whom_it_trusts_and_is_misled_by_nobody_else() {
    let directory = directory();
    let server = Server::start(directory.path(), &ServerSettings::new(Maker::Signet)).await;
    let bundle = server.cli(&["bundle", "show"]).await.ok();
    let (trusted, stranger) = (authority("trusted"), authority("stranger"));
    let roots = directory.path().join("roots.pem");
    write_pem(&roots, &trusted);
    let good = || of_host("localhost", &trusted);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let elsewhere = format!("302 Found\r\nlocation: https://localhost:{port}/elsewhere");
    let visit = |tls, answer| Visit { tls, answer };
    let visits = vec![
        visit(
            of_host("localhost", &stranger),
            answer("200 OK", bundle.as_bytes()),
        ),
        visit(
            of_host("other.example", &trusted),
            answer("200 OK", bundle.as_bytes()),
        ),
        visit(good(), answer(&elsewhere, b"")),
        visit(good(), answer("200 OK", &vec![b'x'; (4 << 20) + 1])),
        visit(good(), answer("404 Not Found", b"")),
        visit(good(), answer("200 OK", b"no bundle")),
        visit(good(), answer("200 OK", bundle.as_bytes())),
    ];
    let requests = Mutex::new(Vec::new());
    let url = format!("https://localhost:{port}/bundle.pem");
    let attestation = Attestation::JoinToken(server.join_token().await);
    let settings = AgentSettings::new(Maker::Signet, attestation)
        .bundle_from(&url)
        .environment("SSL_CERT_FILE", &roots);
    let mut agent = Agent::launch(directory.path(), &server, &settings).await;
    tokio::select! {
        never = serve(listener, visits, &requests) => never,
        () = agent.healthy() => {}
    }

    // In the order of the visits; after each the agent tried again.
    let log = agent.log();
    let reasons = [
        "UnknownIssuer",
        "not valid for name",
        "302",
        "longer than 4194304 bytes",
        "404",
        "holds no X.509 authority",
    ];
    let mut rest = log.as_str();
    for reason in reasons {
        let at = rest.find(reason);
        let at =
            at.unwrap_or_else(|| panic!("{reason} is not in the log, or not in order:\n{log}"));
        rest = &rest[at..];
    }
    let requests = requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 5, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|line| line == "GET /bundle.pem HTTP/1.1")
    );

    server.entry("/workload", &["--wait"]).await;
    agent.fetch_x509_to(&directory.path().join("svids")).await;
    wait::until("the only attestation", async || {
        let granted = crate::attestation::attestations(&server, "granted");
        (granted == 1).then_some(())
    })
    .await;
}
