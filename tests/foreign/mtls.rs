//! `spiffe-rustls` between two workloads.

use std::io;
use std::sync::Arc;

use signet_tests::{Scene, id, wait};
use spiffe::x509_source::SvidPicker;
use spiffe::{X509Source, X509SourceBuilder, X509Svid};
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const SHOP: &str = "/shop";
const TILL: &str = "/till";

#[tokio::test]
async fn two_workloads_speak_mtls() {
    let scene = two_workloads().await;
    let (shop, till) = (source(&scene, SHOP).await, source(&scene, TILL).await);
    let (said, heard) = conversation(shop, till, SHOP, TILL).await;
    assert_eq!(said.unwrap(), "four apples");
    heard.unwrap();
}

#[tokio::test]
async fn a_workload_with_another_identity_is_refused() {
    let scene = two_workloads().await;
    let (shop, till) = (source(&scene, SHOP).await, source(&scene, TILL).await);
    let (said, heard) = conversation(shop, till, SHOP, "/someone-else").await;
    heard.unwrap_err();
    assert_ne!(said.unwrap_or_default(), "four apples");
}

async fn two_workloads() -> Scene {
    let scene = Scene::start().await;
    scene.server.entry(SHOP, &["-hint", "shop"]).await;
    scene.server.entry(TILL, &["-hint", "till"]).await;
    scene
}

/// Picks the identity with the path.
#[derive(Debug)]
struct ByPath(&'static str);

impl SvidPicker for ByPath {
    fn pick_svid(&self, svids: &[Arc<X509Svid>]) -> Option<usize> {
        let wanted = id(self.0);
        svids
            .iter()
            .position(|svid| svid.spiffe_id().to_string() == wanted)
    }
}

/// A source that takes the identity with the path.
pub(crate) async fn source(scene: &Scene, path: &'static str) -> X509Source {
    wait::until("both identities", async || {
        let builder = X509SourceBuilder::new().endpoint(scene.agent.endpoint());
        builder.picker(ByPath(path)).build().await.ok()
    })
    .await
}

/// What the client read, and how the server fared.
async fn conversation(
    server: X509Source,
    client: X509Source,
    server_is: &str,
    client_is: &str,
) -> (io::Result<String>, io::Result<()>) {
    let server = mtls_server(server).authorize(authorizer::exact([id(client_is)]).unwrap());
    let client = mtls_client(client).authorize(authorizer::exact([id(server_is)]).unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(server.build().unwrap()));
    let connector = TlsConnector::from(Arc::new(client.build().unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (tcp, _) = listener.accept().await?;
        let mut tls = acceptor.accept(tcp).await?;
        tls.write_all(b"four apples").await?;
        tls.shutdown().await
    };
    let ask = async {
        let name = ServerName::try_from("shop.example").unwrap();
        let tcp = TcpStream::connect(address).await?;
        let mut tls = connector.connect(name, tcp).await?;
        let mut said = String::new();
        tls.read_to_string(&mut said).await?;
        Ok(said)
    };
    tokio::join!(ask, serve)
}
