//! The Rust witness: whom it speaks with.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::tls;
use super::workload::Workload;

/// Between two conversations with one peer.
const PAUSE: Duration = Duration::from_millis(30);
/// A conversation that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome = std::io::Result<()>;

impl Workload {
    /// Listens for conversations over mTLS, and gives the address.
    pub(super) async fn listen_tls(&self, tasks: &mut JoinSet<()>) -> String {
        let (listener, address) = bound().await;
        let own = self.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let own = own.clone();
                open.spawn(async move { own.answer_tls(tcp).await });
                while open.try_join_next().is_some() {}
            }
        });
        address
    }

    /// Listens for swaps over plain TCP, and gives the address.
    pub(super) async fn listen_swaps(&self, tasks: &mut JoinSet<()>) -> String {
        let (listener, address) = bound().await;
        let own = self.clone();
        tasks.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let swapped = timeout(PATIENCE, own.swap_all(tcp)).await;
                if let Err(why) = flat(swapped) {
                    own.tally.failed("swap", &why, json!({}));
                }
            }
        });
        address
    }

    /// Speaks with the peer over mTLS again and again.
    pub(super) async fn converse_until(&self, peer: &str, until: Instant) {
        while Instant::now() < until {
            self.converse(peer).await;
            sleep(PAUSE).await;
        }
    }

    async fn converse(&self, peer: &str) {
        let Some(held) = self.held() else { return };
        let connector = tls::connector(&held);
        let talk = async {
            let tcp = TcpStream::connect(peer).await?;
            let name = ServerName::try_from("witness.example").unwrap();
            self.swap_tokens(connector.connect(name, tcp).await?, true)
                .await
        };
        if let Err(why) = flat(timeout(PATIENCE, talk).await) {
            self.tally
                .failed("conversation as client", &why, held.told());
        }
    }

    async fn answer_tls(&self, tcp: TcpStream) {
        let Some(held) = self.held() else { return };
        let acceptor = tls::acceptor(&held);
        let talk = async { self.swap_tokens(acceptor.accept(tcp).await?, false).await };
        if let Err(why) = flat(timeout(PATIENCE, talk).await) {
            self.tally
                .failed("conversation as server", &why, held.told());
        }
    }

    /// In TLS 1.3 a client learns only here whether it was let in.
    async fn swap_tokens<S>(&self, stream: S, first: bool) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = BufReader::new(stream);
        if first {
            self.show_token(&mut stream).await?;
        }
        let mut token = String::new();
        stream.read_line(&mut token).await?;
        if !first {
            self.show_token(&mut stream).await?;
        }
        self.tally.handshake();
        self.judge_token(token.trim_end());
        Ok(())
    }

    async fn show_token(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Outcome {
        let Some(token) = self.token().await else {
            return Ok(());
        };
        stream.write_all(format!("{token}\n").as_bytes()).await?;
        stream.flush().await
    }

    /// Shows token and chain, and verifies the peer's.
    async fn swap_all(&self, tcp: TcpStream) -> Outcome {
        let mut stream = BufReader::new(tcp);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let theirs: Value = serde_json::from_str(&line)?;
        let (Some(held), Some(token)) = (self.held(), self.token().await) else {
            return Ok(());
        };
        let chain = held.svid.cert_chain().iter();
        let chain: Vec<_> = chain.map(|one| STANDARD.encode(one.as_bytes())).collect();
        let ours = json!({ "token": token, "chain": chain });
        stream.write_all(format!("{ours}\n").as_bytes()).await?;
        self.judge_token(theirs["token"].as_str().unwrap());
        let chain = theirs["chain"].as_array().unwrap().iter();
        let chain = chain.map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap().into());
        self.judge_chain(&chain.collect::<Vec<CertificateDer<'_>>>());
        Ok(())
    }
}

async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn flat(outcome: Result<Outcome, tokio::time::error::Elapsed>) -> Result<(), String> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no end after {PATIENCE:?}")),
    }
}
