//! Below other authorities: two servers below one, and servers below an organization's PKI.

use std::io;
use std::path::Path;
use std::sync::Arc;

use signet_tests::nested::Level;
use signet_tests::openssl::{SigningPki, openssl};
use signet_tests::scene::directory;
use signet_tests::{Agent, Maker, ServerSettings, id, wait};
use spiffe::X509Source;
use spiffe::X509SourceBuilder;
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

const SHOP: &str = "/shop";
const TILL: &str = "/till";
/// Half of it is soon over: then an SVID is below the new root.
const SHORT: [&str; 2] = ["-x509SVIDTTL", "60"];

#[tokio::test]
async fn workloads_below_two_servers_talk_while_the_roots_authority_is_replaced() {
    let directory = directory();
    let path = directory.path();
    let root = Level::start(path, "root", &ServerSettings::new(Maker::Signet)).await;
    root.lets_servers_below(path).await;
    let one = root.below(path, "one", Maker::Signet).await;
    let two = root.below(path, "two", Maker::Signet).await;
    one.server.entry(SHOP, &SHORT).await;
    two.server.entry(TILL, &SHORT).await;
    let (shop, till) = (source(&one.agent).await, source(&two.agent).await);
    assert_eq!(shop.svid().unwrap().cert_chain().len(), 2);
    let before = issuer(&shop);
    tokens_are_good_on_the_other_side(&one.agent, &two.agent).await;
    tokens_are_good_on_the_other_side(&two.agent, &one.agent).await;

    let talk = async {
        let mut conversations = 0_u32;
        loop {
            converse(&shop, &till).await.unwrap();
            converse(&till, &shop).await.unwrap();
            conversations += 2;
            if issuer(&shop) != before && issuer(&till) != before && root.roots().await == 1 {
                return conversations;
            }
        }
    };
    let replace = async {
        let mut authorities = root.authorities().await;
        let old = authorities.active().await;
        let new = authorities.prepare().await;
        for level in [&one, &two] {
            wait::until("the new root below", async || {
                (level.roots().await == 2).then_some(())
            })
            .await;
        }
        authorities.activate(&new).await;
        authorities.taint(&old).await;
        wait::until("workloads below the new root", async || {
            (issuer(&shop) != before && issuer(&till) != before).then_some(())
        })
        .await;
        authorities.revoke(&old).await;
    };
    let (conversations, ()) = tokio::join!(talk, replace);
    assert!(conversations > 20, "{conversations}");
    for level in [&one, &two] {
        wait::until("one root below", async || {
            (level.roots().await == 1).then_some(())
        })
        .await;
    }
    converse(&shop, &till).await.unwrap();
    tokens_are_good_on_the_other_side(&one.agent, &two.agent).await;
}

#[tokio::test]
async fn openssl_accepts_chains_of_one_two_and_three() {
    for (length, with_intermediate) in [(1, None), (2, Some(false)), (3, Some(true))] {
        let directory = directory();
        let path = directory.path();
        let mut settings = ServerSettings::new(Maker::Signet);
        if let Some(with_intermediate) = with_intermediate {
            let pki = SigningPki::make(path, with_intermediate).await;
            settings = settings.plugin(in_files(&pki));
        }
        let level = Level::start(path, "level", &settings).await;
        level.server.entry(SHOP, &[]).await;
        let svids = path.join("svids");
        level.agent.fetch_x509_to(&svids).await;
        is_accepted(&svids, length).await;
    }
}

fn in_files(pki: &SigningPki) -> String {
    format!(
        "  UpstreamAuthority \"disk\" {{\n    plugin_data {{\n      cert_file_path = \"{}\"\n      \
         key_file_path = \"{}\"\n      bundle_file_path = \"{}\"\n    }}\n  }}",
        pki.certificate.display(),
        pki.key.display(),
        pki.root.display()
    )
}

async fn is_accepted(svids: &Path, length: usize) {
    let (svid, bundle) = (svids.join("svid.0.pem"), svids.join("bundle.0.pem"));
    let chain = std::fs::read_to_string(&svid).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), length);
    let (svid, bundle) = (svid.to_str().unwrap(), bundle.to_str().unwrap());
    let line = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        bundle,
        "-untrusted",
        svid,
        svid,
    ];
    assert!(openssl(&line).await.ok().contains(": OK"));
}

async fn source(agent: &Agent) -> X509Source {
    wait::until("an identity", async || {
        let builder = X509SourceBuilder::new().endpoint(agent.endpoint());
        builder.build().await.ok()
    })
    .await
}

/// The name of the root that the SVID's chain ends below.
fn issuer(source: &X509Source) -> Vec<u8> {
    let svid = source.svid().unwrap();
    let last = svid.cert_chain().last().unwrap().as_bytes().to_vec();
    let (_, last) = X509Certificate::from_der(&last).unwrap();
    last.issuer().as_raw().to_vec()
}

async fn tokens_are_good_on_the_other_side(from: &Agent, to: &Agent) {
    let token = from.fetch_jwt("payments").await;
    let line = [
        "api",
        "validate",
        "jwt",
        "-audience",
        "payments",
        "-svid",
        &token,
    ];
    wait::until("a token that is good on the other side", async || {
        to.cli(&line).await.status.success().then_some(())
    })
    .await;
}

/// One connection, both sides showing their SVIDs.
async fn converse(server: &X509Source, client: &X509Source) -> io::Result<()> {
    let ids = [id(SHOP), id(TILL)];
    let server = mtls_server(server.clone()).authorize(authorizer::exact(ids.clone()).unwrap());
    let client = mtls_client(client.clone()).authorize(authorizer::exact(ids).unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(server.build().unwrap()));
    let connector = TlsConnector::from(Arc::new(client.build().unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
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
        tls.read_to_string(&mut said).await
    };
    let (served, asked) = tokio::join!(serve, ask);
    served?;
    asked.map(drop)
}
