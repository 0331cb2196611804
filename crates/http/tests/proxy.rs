//! Servers behind a proxy, which is in this process.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test's server is a task of its own"
)]

mod pki;

use bytes::Bytes;
use http::Request;
use pki::Pki;
use signet_http::{Addresses, Client, HttpError, Proxies, Reach, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Looked up by the proxy only: nobody else knows the name.
const NAME: &str = "behind.invalid";

/// A proxy that answers each request for a tunnel with `answer`, and leads it to a TLS server if that
/// is a success.
struct Proxy {
    port: u16,
    asked: mpsc::UnboundedReceiver<String>,
    pki: Pki,
}

impl Proxy {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, asked) = mpsc::unbounded_channel();
        let pki = Pki::new();
        let server = pki.acceptor(NAME, false);
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                sender.send(head(&mut tcp).await).unwrap();
                tcp.write_all(answer.as_bytes()).await.unwrap();
                if let Ok(mut tls) = server.accept(tcp).await {
                    head(&mut tls).await;
                    let hello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                    tls.write_all(hello.as_bytes()).await.unwrap();
                    tls.flush().await.unwrap();
                }
            }
        });
        Self { port, asked, pki }
    }

    fn settings(&self, credentials: &str, except: &str) -> Settings {
        Settings {
            reach: Reach::Https {
                roots: self.pki.roots(),
                certificate: None,
            },
            proxies: Proxies::Given {
                url: format!("http://{credentials}127.0.0.1:{}", self.port),
                except: except.to_owned(),
            },
            ..Settings::default()
        }
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn get(settings: Settings, url: &str) -> Result<Bytes, HttpError> {
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let answer = Client::new(settings).unwrap().send(request).await?;
    Ok(answer.into_body())
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\n\r\n";

#[tokio::test]
async fn a_server_behind_a_proxy_is_spoken_to_through_a_tunnel_and_verified_itself() {
    let mut proxy = Proxy::start(TAKEN).await;
    let url = format!("https://{NAME}:8443/");
    let answer = get(proxy.settings("us:secret@", "other.invalid"), &url).await;
    assert_eq!(answer.unwrap(), "hello");
    let asked = proxy.asked.recv().await.unwrap().to_lowercase();
    assert!(
        asked.starts_with("connect behind.invalid:8443 http/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("proxy-authorization: basic dxm6c2vjcmv0"),
        "{asked}"
    );
    let other = get(proxy.settings("", ""), "https://another.invalid/").await;
    let other = format!("{:?}", other.unwrap_err());
    assert!(other.contains("NotValidForName"), "{other}");
    let asked = proxy.asked.recv().await.unwrap();
    assert!(asked.starts_with("CONNECT another.invalid:443 "), "{asked}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let proxy = Proxy::start("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let refused = get(
        proxy.settings("us:secret@", ""),
        &format!("https://{NAME}/"),
    )
    .await;
    let refused = refused.unwrap_err();
    assert!(refused.is_transient());
    let shown = format!("{refused:?}");
    assert!(
        shown.contains(&format!("through the proxy 127.0.0.1:{}", proxy.port)),
        "{shown}"
    );
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_refused_by_name() {
    let proxy = Proxy::start(TAKEN).await;
    let mut settings = proxy.settings("", "");
    for url in ["socks5://127.0.0.1:1", "https://127.0.0.1:1"] {
        settings.proxies = Proxies::Given {
            url: url.to_owned(),
            except: String::new(),
        };
        let refused = get(settings.clone(), &format!("https://{NAME}/")).await;
        let shown = format!("{:?}", refused.unwrap_err());
        assert!(shown.contains("only proxies at http URLs"), "{shown}");
    }
}

#[tokio::test]
async fn what_is_here_or_excepted_and_all_without_a_proxy_is_reached_directly() {
    let mut proxy = Proxy::start(TAKEN).await;
    let direct = Settings {
        proxies: Proxies::Direct,
        ..proxy.settings("", "")
    };
    for (settings, host) in [
        (proxy.settings("", ""), "127.0.0.1"),
        (proxy.settings("", ""), "localhost"),
        (proxy.settings("", ".invalid"), NAME),
        (direct, NAME),
    ] {
        let error = get(settings, &format!("https://{host}:1/"))
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Connect { .. }), "{error:?}");
    }
    assert!(proxy.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_private_address_is_not_asked_for_through_a_proxy_where_others_have_a_say() {
    let mut proxy = Proxy::start(TAKEN).await;
    let public = Settings {
        addresses: Addresses::Public,
        ..proxy.settings("", "")
    };
    let refused = get(public, "https://169.254.169.254/").await.unwrap_err();
    assert!(
        format!("{refused:?}").contains("is a private"),
        "{refused:?}"
    );
    assert!(proxy.asked.try_recv().is_err());
}
