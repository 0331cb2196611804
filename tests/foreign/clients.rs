//! Clients in other languages, as programs of their own.

use std::path::{Path, PathBuf};

use signet_tests::{Scene, command, id, skip};

const WORKLOAD: &str = "/workload";

/// Four lifetimes: an SVID is renewed at half of its own.
const RENEWALS: &str = "8";

/// Short enough for several lifetimes in a test, long enough for a busy machine.
const SHORT_TTL: &str = "12";

#[tokio::test]
async fn go_spiffe_gets_verifies_and_validates() {
    if let Some(client) = go("go_spiffe_gets_verifies_and_validates") {
        let scene = scene(&[]).await;
        let said = client.run(&scene, &[]).await;
        assert_eq!(said.matches("ok ").count(), 5, "{said}");
    }
}

#[tokio::test]
async fn go_spiffe_holds_a_source_through_renewals() {
    if let Some(client) = go("go_spiffe_holds_a_source_through_renewals") {
        let scene = scene(&["-x509SVIDTTL", SHORT_TTL]).await;
        client.run(&scene, &["rotate", RENEWALS]).await;
    }
}

#[tokio::test]
async fn py_spiffe_gets_verifies_and_validates() {
    if let Some(client) = python("py_spiffe_gets_verifies_and_validates") {
        let scene = scene(&[]).await;
        let said = client.run(&scene, &[]).await;
        assert_eq!(said.matches("ok ").count(), 3, "{said}");
    }
}

#[tokio::test]
async fn py_spiffe_holds_a_source_through_renewals() {
    if let Some(client) = python("py_spiffe_holds_a_source_through_renewals") {
        let scene = scene(&["-x509SVIDTTL", SHORT_TTL]).await;
        client.run(&scene, &["rotate", RENEWALS]).await;
    }
}

/// A program that plays the workload.
pub(crate) struct Client {
    program: PathBuf,
    script: Option<PathBuf>,
}

/// The Go client, or a skip.
pub(crate) fn go(name: &str) -> Option<Client> {
    let program = skip::path_from("INTEROP_GO_CLIENT", name)?;
    Some(Client {
        program,
        script: None,
    })
}

/// The Python client, or a skip.
pub(crate) fn python(name: &str) -> Option<Client> {
    let program = skip::path_from("INTEROP_PYTHON", name)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/python/client.py");
    Some(Client {
        program,
        script: Some(script),
    })
}

impl Client {
    /// Runs it as the workload of the scene, and gives what it said.
    pub(crate) async fn run(&self, scene: &Scene, further: &[&str]) -> String {
        let script = self.script.as_ref().map(|path| path.display().to_string());
        let (endpoint, identity) = (scene.agent.endpoint(), id(WORKLOAD));
        let mut line: Vec<&str> = script.as_deref().into_iter().collect();
        line.extend([endpoint.as_str(), identity.as_str()]);
        line.extend(further);
        command::run(&self.program, &line).await.ok()
    }

    /// The file that runs, as the kernel knows it.
    pub(crate) fn program(&self) -> PathBuf {
        self.program.canonicalize().unwrap()
    }

    /// The beginning of its command line, for a workload with this identity.
    pub(crate) fn command(&self, endpoint: &str, identity: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.script).args([endpoint, identity]);
        command
    }
}

async fn scene(further: &[&str]) -> Scene {
    let scene = Scene::start().await;
    scene.server.entry(WORKLOAD, further).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    scene
}
