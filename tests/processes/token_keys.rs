//! A server whose keys are on a PKCS#11 token, here one of SoftHSM.

use std::path::{Path, PathBuf};

use signet_tests::command;
use signet_tests::scene::directory;
use signet_tests::skip::skipped;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id};
use tempfile::TempDir;

use crate::judges::{assert_mints, assert_verifies, verified_claims};
use crate::key_types::server_with;

const PIN: &str = "12345678";
const CONFIG: &str = "SOFTHSM2_CONF";

/// Where distributions put the module.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// A directory with an initialized token.
struct Token {
    directory: TempDir,
    module: &'static str,
}

impl Token {
    /// A new one; without SoftHSM the scenario `name` is skipped.
    async fn make(name: &str) -> Option<Self> {
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let Some(module) = module else {
            skipped(name, "there is no SoftHSM (libsofthsm2.so)");
            return None;
        };
        let token = Self {
            directory: directory(),
            module,
        };
        std::fs::create_dir(token.path("tokens")).unwrap();
        let text = format!(
            "directories.tokendir = {}\n",
            token.path("tokens").display()
        );
        std::fs::write(token.config(), text).unwrap();
        token.write_pin(PIN);
        let line = [
            "--init-token",
            "--free",
            "--label",
            "signet",
            "--so-pin",
            "87654321",
        ];
        token
            .tool("softhsm2-util", &[&line[..], &["--pin", PIN]].concat())
            .await;
        Some(token)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("softhsm2.conf")
    }

    fn write_pin(&self, pin: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path("pin"), format!("{pin}\n")).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path("pin"), private).unwrap();
    }

    async fn tool(&self, program: &str, line: &[&str]) -> String {
        let config = self.config();
        let environment = [(CONFIG, config.as_os_str())];
        command::run_with(program, line, &environment).await.ok()
    }

    /// What stands on the token, by the tool of OpenSC.
    async fn objects(&self) -> String {
        let line = [
            "--module",
            self.module,
            "--token-label",
            "signet",
            "--login",
        ];
        let line = [&line[..], &["--pin", PIN, "--list-objects"]].concat();
        self.tool("pkcs11-tool", &line).await
    }

    fn server(&self, settings: ServerSettings, label: &str) -> ServerSettings {
        let (module, pin) = (self.module, self.path("pin"));
        let keys = format!(
            "KeyManager \"pkcs11\" {{\n    plugin_data {{\n      module_path = \"{module}\"\n      \
             token_label = \"{label}\"\n      pin_path = \"{}\"\n    }}\n  }}",
            pin.display()
        );
        settings.keys(&keys).variable(CONFIG, self.config())
    }

    /// Takes it out, as by pulling a card.
    fn take_out(&self) {
        std::fs::rename(self.path("tokens"), self.path("away")).unwrap();
    }

    fn put_in(&self) {
        std::fs::rename(self.path("away"), self.path("tokens")).unwrap();
    }
}

#[tokio::test]
async fn keys_on_a_token_serve_a_workload_and_the_authority_outlives_a_restart() {
    let name = "keys_on_a_token_serve_a_workload_and_the_authority_outlives_a_restart";
    let Some(token) = Token::make(name).await else {
        return;
    };
    let directory = directory();
    let settings = token.server(server_with("ec-p384", "rsa-2048"), "signet");
    let server = Server::start(directory.path(), &settings).await;
    let attestation = Attestation::JoinToken(server.join_token().await);
    let agent = AgentSettings::new(Maker::Signet, attestation);
    let mut scene = Scene::around(directory, server, &agent).await;
    scene.server.entry("/workload", &[]).await;
    let svids = scene.path().join("svids");
    scene.agent.fetch_x509_to(&svids).await;
    assert_verifies(&svids.join("bundle.0.pem"), &svids.join("svid.0.pem")).await;
    let jwt = scene.agent.fetch_jwt("payments").await;
    let claims = verified_claims(&scene.server, &jwt, "payments").await;
    assert_eq!(claims["sub"], id("/workload"));

    let bundle = scene.server.cli(&["bundle", "show"]).await.ok();
    let objects = token.objects_if_there(name).await;
    scene.server.kill().await;
    scene.server.resume().await;
    assert_eq!(scene.server.cli(&["bundle", "show"]).await.ok(), bundle);
    let after = scene.path().join("after");
    assert_mints(&scene.server, &after, ["ec-p384", "rsa-2048"]).await;
    assert_eq!(token.objects_if_there(name).await, objects);
    assert!(!scene.server.data_dir.join("keys.json").exists());
    assert!(!scene.server.log().contains(PIN));
}

impl Token {
    /// Labels of what stands on the token; each private key must be one that cannot be read.
    async fn objects_if_there(&self, name: &str) -> Vec<String> {
        if std::process::Command::new("pkcs11-tool").output().is_err() {
            skipped(name, "there is no pkcs11-tool to look at the token with");
            return Vec::new();
        }
        let objects = self.objects().await;
        let private = objects.matches("Private Key Object").count();
        let locked = "sensitive, always sensitive, never extractable, local";
        assert_eq!(private, 2, "{objects}");
        assert_eq!(objects.matches(locked).count(), private, "{objects}");
        let labels = objects.lines().filter(|line| line.contains("label:"));
        let mut labels: Vec<_> = labels.map(|line| line.trim().to_owned()).collect();
        labels.sort();
        assert!(
            labels.iter().any(|label| label.ends_with("/x509-CA-A")),
            "{labels:?}"
        );
        labels
    }
}

#[tokio::test]
async fn a_token_signs_with_every_type_of_key() {
    let Some(token) = Token::make("a_token_signs_with_every_type_of_key").await else {
        return;
    };
    for [ca, jwt] in [["ec-p256", "rsa-4096"], ["rsa-2048", "ec-p384"]] {
        let directory = directory();
        let settings = token.server(server_with(ca, jwt), "signet");
        let server = Server::start(directory.path(), &settings).await;
        assert_mints(&server, &directory.path().join("svids"), [ca, jwt]).await;
    }
}

#[tokio::test]
async fn a_token_that_is_taken_out_costs_no_authority() {
    let Some(token) = Token::make("a_token_that_is_taken_out_costs_no_authority").await else {
        return;
    };
    let directory = directory();
    let settings = token.server(ServerSettings::new(Maker::Signet), "signet");
    let server = Server::start(directory.path(), &settings).await;
    let p256 = ["ec-p256", "ec-p256"];
    assert_mints(&server, &directory.path().join("before"), p256).await;
    let bundle = server.cli(&["bundle", "show"]).await.ok();
    token.take_out();
    let identity = id("/minted");
    let mint = ["jwt", "mint", "-spiffeID", &identity, "-audience", "judges"];
    let refused = server.cli(&mint).await.refused();
    assert!(!refused.contains("signet.sock"), "{refused}");
    signet_tests::wait::until("the server to miss its keys", async || {
        server
            .log()
            .contains("authorities could not be brought in order")
            .then_some(())
    })
    .await;
    token.put_in();
    assert_mints(&server, &directory.path().join("after"), p256).await;
    assert_eq!(server.cli(&["bundle", "show"]).await.ok(), bundle);
    assert!(!server.log().contains("given up"), "{}", server.log());
}

#[tokio::test]
async fn a_wrong_pin_or_token_or_module_stops_the_server_and_is_named() {
    let name = "a_wrong_pin_or_token_or_module_stops_the_server_and_is_named";
    let Some(token) = Token::make(name).await else {
        return;
    };
    let scratch = directory();
    let directory = scratch.path();
    let server = Server::configured(directory, &token.server(plain(), "signet")).await;
    token.write_pin("87650000");
    let said = server.refusal().await;
    assert!(
        said.contains("the token refused the PIN; it is not tried again"),
        "{said}"
    );
    assert!(!said.contains("87650000"), "{said}");

    token.write_pin(PIN);
    server.configure(&token.server(plain(), "other"));
    let said = server.refusal().await;
    assert!(
        said.contains("there is no token with the label \"other\""),
        "{said}"
    );

    std::fs::remove_file(token.path("pin")).unwrap();
    server.configure(&token.server(plain(), "signet"));
    let said = server.refusal().await;
    assert!(said.contains("could not read the PIN file"), "{said}");

    let absent = Token {
        directory: token.directory,
        module: "/none/module.so",
    };
    absent.write_pin(PIN);
    server.configure(&absent.server(plain(), "signet"));
    let said = server.refusal().await;
    assert!(
        said.contains("could not load the PKCS#11 module /none/module.so"),
        "{said}"
    );
}

fn plain() -> ServerSettings {
    ServerSettings::new(Maker::Signet)
}
