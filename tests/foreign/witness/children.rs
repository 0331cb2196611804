//! The witnesses in other languages, as processes.

use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use signet_tests::{Scene, id, wait};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::failures::Failures;
use crate::clients::Client;

/// A witness that runs until its input ends.
pub(super) struct Child {
    program: tokio::process::Child,
    input: ChildStdin,
    listening: Option<oneshot::Receiver<String>>,
    told: JoinSet<Value>,
}

impl Child {
    /// Starts it as the workload with the path, to speak with the peers.
    pub(super) fn start(
        client: &Client,
        scene: &Scene,
        path: &'static str,
        peers: &[&str],
        failures: &Arc<Failures>,
    ) -> Self {
        let (endpoint, identity) = (scene.agent.endpoint(), id(path));
        let mut command = client.command(&endpoint, &identity);
        command.arg("witness").args(peers);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let (heard, listening) = oneshot::channel();
        let mut told = JoinSet::new();
        told.spawn(listen(lines, path, heard, failures.clone()));
        Self {
            input: program.stdin.take().unwrap(),
            listening: Some(listening),
            program,
            told,
        }
    }

    /// Where it listens.
    pub(super) async fn address(&mut self) -> String {
        let listening = self.listening.take().unwrap();
        timeout(wait::PATIENCE, listening).await.unwrap().unwrap()
    }

    /// Ends its input, and gives its counts.
    pub(super) async fn end(mut self) -> Value {
        drop(self.input);
        let told = timeout(wait::PATIENCE, self.told.join_next()).await;
        let status = timeout(wait::PATIENCE, self.program.wait()).await;
        assert!(status.unwrap().unwrap().success());
        told.expect("it ends").expect("one task").unwrap()
    }
}

/// Passes its failures on, and gives its last line.
async fn listen(
    mut lines: Lines<BufReader<ChildStdout>>,
    path: &'static str,
    heard: oneshot::Sender<String>,
    failures: Arc<Failures>,
) -> Value {
    let mut heard = Some(heard);
    let mut last = Value::Null;
    while let Ok(Some(line)) = lines.next_line().await {
        let mut told: Value = serde_json::from_str(&line).unwrap_or_else(|_| line.into());
        match told["listening"].as_str() {
            Some(address) => {
                let _ = heard.take().unwrap().send(address.to_owned());
            }
            None if told.get("failed").is_some() => failures.note(path, &told),
            None => {
                told["witness"] = path.into();
                last = told;
            }
        }
    }
    last
}
