//! The client against servers in this process that misbehave.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test's server is a task of its own"
)]

mod pki;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use signet_crypto::{KeyType, SecretString};
use signet_http::{
    Addresses, Client, ClientCertificate, HttpError, Reach, Redirects, Roots, Settings, SetupError,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use pki::Pki;

/// A server that gives the same answer to all; what it was asked comes out of the channel.
struct Answering {
    port: u16,
    asked: mpsc::UnboundedReceiver<String>,
}

impl Answering {
    async fn tls(acceptor: TlsAcceptor, answer: &str) -> Self {
        let (listener, port) = listener().await;
        let (sender, asked) = mpsc::unbounded_channel();
        let answer = answer.to_owned();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(tcp).await {
                    tokio::spawn(serve(stream, answer.clone(), sender.clone()));
                }
            }
        });
        Self { port, asked }
    }

    async fn plain(answer: &str) -> Self {
        let (listener, port) = listener().await;
        let (sender, asked) = mpsc::unbounded_channel();
        let answer = answer.replace("PORT", &port.to_string());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(tcp, answer.clone(), sender.clone()));
            }
        });
        Self { port, asked }
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn serve<S>(mut stream: S, answer: String, asked: mpsc::UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        request.push(byte);
        if request.ends_with(b"\r\n\r\n") {
            asked
                .send(String::from_utf8(std::mem::take(&mut request)).unwrap())
                .ok();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn https(roots: Roots, certificate: Option<ClientCertificate>) -> Settings {
    Settings {
        reach: Reach::Https { roots, certificate },
        ..Settings::default()
    }
}

fn plain() -> Settings {
    Settings {
        reach: Reach::Plain,
        ..Settings::default()
    }
}

async fn get(settings: Settings, url: &str) -> Result<String, HttpError> {
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let answer = Client::new(settings).unwrap().send(request).await?;
    Ok(String::from_utf8(answer.body().to_vec()).unwrap())
}

#[tokio::test]
async fn a_server_vouched_for_is_asked_over_one_connection_again_and_again() {
    let pki = Pki::new();
    let mut server = Answering::tls(pki.acceptor("localhost", false), HELLO).await;
    let client = Client::new(https(pki.roots(), None)).unwrap();
    for _ in 0..2 {
        let request = Request::get(format!("https://localhost:{}/a?b=c", server.port));
        let request = request.header("x-one", "two").body(Bytes::new()).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.body(), "hello");
        let asked = server.asked.recv().await.unwrap();
        assert!(asked.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("x-one: two"), "{asked}");
    }
}

#[tokio::test]
async fn a_server_of_another_name_or_authority_is_refused_unless_nobody_is_verified() {
    let pki = Pki::new();
    let other = Pki::new();
    for acceptor in [
        pki.acceptor("other.example", false),
        other.acceptor("localhost", false),
    ] {
        let server = Answering::tls(acceptor, HELLO).await;
        let url = format!("https://localhost:{}/secret", server.port);
        let refused = get(https(pki.roots(), None), &url).await.unwrap_err();
        assert!(matches!(refused, HttpError::Connect { .. }), "{refused:?}");
        assert!(!format!("{refused:?}").contains("secret"));
        let taken = get(https(Roots::Unverified, None), &url).await;
        assert_eq!(taken.unwrap(), "hello");
    }
}

#[tokio::test]
async fn a_server_whose_name_does_not_matter_still_needs_its_authority() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = Answering::tls(pki.acceptor("node-1", false), HELLO).await;
    let url = format!("https://127.0.0.1:{}/", server.port);
    let any_name = |pki: &Pki| Roots::FileForAnyName(pki.path("ca.pem"));
    assert_eq!(
        get(https(any_name(&pki), None), &url).await.unwrap(),
        "hello"
    );
    get(https(any_name(&other), None), &url).await.unwrap_err();
    get(https(pki.roots(), None), &url).await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_asks_is_shown_the_certificate() {
    let pki = Pki::new();
    let server = Answering::tls(pki.acceptor("localhost", true), HELLO).await;
    let url = format!("https://localhost:{}/", server.port);
    let shown = https(pki.roots(), Some(pki.client_certificate()));
    assert_eq!(get(shown, &url).await.unwrap(), "hello");
    let text = |name: &str| std::fs::read_to_string(pki.path(name)).unwrap();
    let key = SecretString::new(text("client.key"));
    let certificate = ClientCertificate::from_texts(&text("client.pem"), &key).unwrap();
    let shown = https(Roots::Text(text("ca.pem")), Some(certificate));
    assert_eq!(get(shown, &url).await.unwrap(), "hello");
    get(https(pki.roots(), None), &url).await.unwrap_err();
}

#[tokio::test]
async fn the_machines_authorities_do_not_vouch_for_ours() {
    let pki = Pki::new();
    let Ok(client) = Client::new(Settings::default()) else {
        return; // a machine without any
    };
    let server = Answering::tls(pki.acceptor("localhost", false), HELLO).await;
    let url = format!("https://localhost:{}/", server.port);
    let request = Request::get(url).body(Bytes::new()).unwrap();
    client.send(request).await.unwrap_err();
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused_announced_or_not() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n0123456789abcdefg",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n",
    ] {
        let server = Answering::plain(answer).await;
        let url = format!("http://127.0.0.1:{}/", server.port);
        let small = |max_answer| Settings {
            max_answer,
            ..plain()
        };
        let refused = get(small(16), &url).await.unwrap_err();
        assert!(matches!(refused, HttpError::TooLong { limit: 16, .. }));
        assert!(!refused.is_transient());
        assert_eq!(get(small(17), &url).await.unwrap().len(), 17);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_or_breaks_off_is_given_up() {
    let server = Answering::plain("").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let hasty = Settings {
        time_limit: Duration::from_millis(50),
        ..plain()
    };
    let late = get(hasty, &url).await.unwrap_err();
    assert!(matches!(late, HttpError::Late { .. }) && late.is_transient());

    let server = Answering::plain("no HTTP at all\r\n\r\n").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let broken = get(plain(), &url).await.unwrap_err();
    assert!(matches!(broken, HttpError::Exchange { .. }), "{broken:?}");
}

#[tokio::test]
async fn nobody_listening_is_transient_and_names_the_host() {
    let (listener, port) = listener().await;
    drop(listener);
    let error = get(plain(), &format!("http://127.0.0.1:{port}/")).await;
    let error = error.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.to_string(), "could not connect to 127.0.0.1");
}

#[tokio::test]
async fn only_public_addresses_are_connected_to_where_others_have_a_say_in_the_url() {
    let mut server = Answering::plain(HELLO).await;
    let public = Settings {
        addresses: Addresses::Public,
        ..plain()
    };
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", server.port);
        let refused = get(public.clone(), &url).await.unwrap_err();
        assert!(matches!(refused, HttpError::Connect { .. }), "{refused:?}");
        assert!(
            format!("{refused:?}").contains("is a private"),
            "{refused:?}"
        );
    }
    assert!(server.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_redirect_is_refused_unless_it_is_to_be_followed() {
    let goal = Answering::plain(HELLO).await;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{}/there\r\ncontent-length: 0\r\n\r\n",
        goal.port
    );
    let server = Answering::plain(&answer).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let refused = get(plain(), &url).await.unwrap_err();
    assert!(matches!(refused, HttpError::Redirected { .. }));
    let followed = Settings {
        redirects: Redirects::Followed(1),
        ..plain()
    };
    assert_eq!(get(followed, &url).await.unwrap(), "hello");
}

#[tokio::test]
async fn redirects_in_a_circle_or_out_of_reach_end() {
    let circle = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:PORT/\r\ncontent-length: 0\r\n\r\n";
    let server = Answering::plain(circle).await;
    let followed = Settings {
        redirects: Redirects::Followed(3),
        ..plain()
    };
    let url = format!("http://127.0.0.1:{}/", server.port);
    let ended = get(followed.clone(), &url).await.unwrap_err();
    assert!(matches!(ended, HttpError::Redirected { .. }));

    let away = "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://127.0.0.1:PORT/\r\ncontent-length: 0\r\n\r\n";
    let server = Answering::plain(away).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let ended = get(followed, &url).await.unwrap_err();
    assert!(matches!(ended, HttpError::Url(_)));
}

#[tokio::test]
async fn a_url_of_the_wrong_kind_is_not_asked() {
    let pki = Pki::new();
    for url in ["http://localhost/", "ftp://localhost/", "/path"] {
        let refused = get(https(pki.roots(), None), url).await.unwrap_err();
        assert!(matches!(refused, HttpError::Url(_)), "{url}");
    }
}

#[tokio::test]
async fn a_unix_socket_answers_whatever_host_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, _asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, HELLO.to_owned(), sender).await;
    });
    let over_socket = Settings {
        reach: Reach::Socket(path),
        ..Settings::default()
    };
    assert_eq!(get(over_socket, "http://local/").await.unwrap(), "hello");
}

#[test]
fn files_that_are_missing_empty_or_of_another_kind_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = |file: &str| Client::new(https(Roots::File(path(file)), None)).unwrap_err();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("torn"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let key = signet_crypto::PrivateKey::generate(KeyType::EcP256).unwrap();
    std::fs::write(path("key"), key.pkcs8_pem().expose()).unwrap();
    assert!(matches!(made("missing"), SetupError::Read { .. }));
    assert!(matches!(made("torn"), SetupError::Pem { .. }));
    for file in ["empty", "key"] {
        let error = made(file);
        assert!(matches!(error, SetupError::NoCertificate { .. }));
        assert!(error.to_string().contains(file));
    }
    let pki = Pki::new();
    let unusable = ClientCertificate::from_files(&pki.path("ca.pem"), &pki.path("ca.pem"));
    assert!(matches!(unusable.unwrap_err(), SetupError::Key { .. }));
}

async fn lines(answer: &str, settings: Settings) -> (Vec<String>, Option<HttpError>) {
    let server = Answering::plain(answer).await;
    let request = Request::get(format!("http://127.0.0.1:{}/", server.port));
    let request = request.body(Bytes::new()).unwrap();
    let client = Client::new(settings).unwrap();
    let answer = client.open(request, Duration::from_millis(200)).await;
    let mut body = answer.unwrap().into_body();
    let mut read = Vec::new();
    loop {
        match body.next().await {
            Ok(Some(line)) => read.push(String::from_utf8(line.to_vec()).unwrap()),
            Ok(None) => return (read, None),
            Err(error) => return (read, Some(error)),
        }
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn an_answer_that_goes_on_is_read_line_by_line() {
    let whole = format!("{CHUNKED}3\r\none\r\n5\r\n\ntwo\n\r\n4\r\nhalf\r\n0\r\n\r\n");
    let (read, error) = lines(&whole, plain()).await;
    assert_eq!(read, ["one", "two"]);
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_falls_silent_or_has_a_line_over_the_limit_is_given_up() {
    let silent = format!("{CHUNKED}4\r\none\n\r\n");
    let (read, error) = lines(&silent, plain()).await;
    assert_eq!(read, ["one"]);
    assert!(matches!(error, Some(HttpError::Late { .. })), "{error:?}");
    let long = format!("{CHUNKED}b\r\na long line\r\n");
    let settings = Settings {
        max_answer: 10,
        ..plain()
    };
    let (_, error) = lines(&long, settings).await;
    assert!(
        matches!(error, Some(HttpError::TooLong { .. })),
        "{error:?}"
    );
}
