//! A CI job in one step: an agent for the life of a command, let in by a token of an OIDC issuer.

use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use signet_oidc::testing::TestIssuer;
use signet_tests::command::{self, Output};
use signet_tests::scene::directory;
use signet_tests::{Maker, Process, Server, ServerSettings, TRUST_DOMAIN, wait};
use tokio::io::AsyncWriteExt;

/// A server that lets in jobs of one repository, and such a job.
struct Job {
    directory: tempfile::TempDir,
    server: Server,
    issuer: TestIssuer,
}

impl Job {
    async fn new() -> Self {
        let (directory, issuer) = (directory(), TestIssuer::start().await);
        let settings = ServerSettings::new(Maker::Signet).plugin(attestor(&issuer));
        let server = Server::start(directory.path(), &settings).await;
        server.bundle_to(&directory.path().join("bundle.pem")).await;
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        Self {
            directory,
            server,
            issuer,
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the programs have the machine's clock"
    )]
    fn give_token(&self, run: &str) {
        let claims = json!({"repository": "acme/app", "run_id": run, "jti": run});
        let token = self.issuer.token(SystemTime::now(), claims);
        std::fs::write(self.path("token"), token).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn line(&self, command: &[&str]) -> Vec<String> {
        let port = self.server.port.to_string();
        let (bundle, token) = (self.path("bundle.pem"), self.path("token"));
        let line = [
            "run-once",
            "--server-address",
            "127.0.0.1",
            "--server-port",
            &port,
            "--trust-domain",
            TRUST_DOMAIN,
            "--trust-bundle",
            &bundle,
            "--oidc-token-file",
            &token,
            "--wait",
            "20",
            "--",
        ];
        let whole = line.iter().chain(command);
        whole.map(ToString::to_string).collect()
    }

    async fn run(&self, command: &[&str]) -> Output {
        let temporary = self.directory.path().join("tmp");
        let environment = [("TMPDIR", temporary.as_os_str())];
        command::run_with(Maker::Signet.agent(), &self.line(command), &environment).await
    }

    fn left_behind(&self) -> usize {
        std::fs::read_dir(self.path("tmp")).unwrap().count()
    }
}

/// Lets in jobs of one repository, once each.
pub(crate) fn attestor(issuer: &TestIssuer) -> String {
    format!(
        r#"NodeAttestor "oidc" {{
  plugin_data {{
    issuer "{}" {{
      audiences = ["signet"]
      claim "repository" {{ glob = ["acme/*"] }}
      agent_path_template = "/ci/{{{{ .Claims.run_id }}}}"
      selector_claims = ["repository"]
      ca_bundle_path = "{}"
      allow_private_addresses = true
    }}
  }}
}}"#,
        issuer.url(),
        issuer.authority().display()
    )
}

/// A script that fetches its identity with the agent's own client.
fn fetch() -> String {
    let agent = Maker::Signet.agent();
    let socket = "${SPIFFE_ENDPOINT_SOCKET#unix://}";
    format!("{} api fetch x509 -socketPath {socket}", agent.display())
}

#[tokio::test]
async fn a_job_gets_its_identity_for_the_life_of_its_command_and_leaves_nothing() {
    let job = Job::new().await;
    job.give_token("7");
    let agent = format!("spiffe://{TRUST_DOMAIN}/spire/agent/ci/7");
    job.server.entry_below(&agent, "/job", &[]).await;
    let output = job.run(&["sh", "-c", &fetch()]).await;
    let said = output.ok();
    assert!(
        said.contains(&format!("spiffe://{TRUST_DOMAIN}/job")),
        "{said}"
    );
    assert_eq!(job.left_behind(), 0);

    let explained = job
        .server
        .cli(&["agent", "explain", "-spiffeID", &agent])
        .await
        .ok();
    assert!(explained.contains("Proved by: oidc"), "{explained}");
    assert!(
        explained.contains("oidc:claim:repository:acme/app"),
        "{explained}"
    );
    assert!(explained.contains("/job (entry "), "{explained}");
    assert!(!explained.contains("not known"), "{explained}");

    let again = job.run(&["true"]).await;
    assert!(again.stderr.contains("already been used"), "{again}");
    assert!(!again.status.success());
    assert_eq!(job.left_behind(), 0);
}

#[tokio::test]
async fn the_exit_code_is_the_commands() {
    let job = Job::new().await;
    for (run, script, code) in [
        ("1", "exit 0", 0),
        ("2", "exit 37", 37),
        ("3", "kill -KILL $$", 137),
    ] {
        job.give_token(run);
        let output = job.run(&["sh", "-c", script]).await;
        assert_eq!(output.status.code(), Some(code), "{output}");
    }
    job.give_token("4");
    let output = job.run(&["/no/such/program"]).await;
    assert!(output.refused().contains("could not run /no/such/program"));
    assert_eq!(job.left_behind(), 0);
}

#[tokio::test]
async fn signals_reach_the_command_and_nothing_stays() {
    let job = Job::new().await;
    job.give_token("7");
    let ready = job.path("ready");
    let script = format!("trap 'exit 42' TERM; touch {ready}; while :; do sleep 0.1; done");
    let environment = [("TMPDIR".to_owned(), job.directory.path().join("tmp"))];
    let log = job.directory.path().join("once.log");
    let line = job.line(&["sh", "-c", &script]);
    let mut process = Process::start_with(&Maker::Signet.agent(), &line, &log, &environment);
    wait::until("the command", async || {
        Path::new(&ready).exists().then_some(())
    })
    .await;
    assert_eq!(job.left_behind(), 1);
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(42));
    assert_eq!(job.left_behind(), 0);
}

#[tokio::test]
async fn an_interrupt_at_the_terminal_comes_once() {
    let job = Job::new().await;
    job.give_token("7");
    let (ready, got, mark) = (job.path("ready"), job.path("got"), job.path("mark"));
    // It never sleeps, so two interrupts are not taken for one. The mark is passed on after them.
    let command = format!(
        "trap 'echo >> {got}' INT; trap 'echo >> {mark}' USR1; trap 'exit 42' TERM; \
         echo $PPID > {ready}; while :; do :; done"
    );
    let program = Maker::Signet.agent();
    let words = [program.to_str().unwrap().to_owned()];
    let words = words.into_iter().chain(job.line(&["sh", "-c", &command]));
    let quoted: Vec<String> = words.map(|word| quoted(&word)).collect();
    let mut terminal = tokio::process::Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--command",
            &format!("exec {}", quoted.join(" ")),
            "/dev/null",
        ])
        // A shell that stays would take the interrupt too, and its exit code would be shown.
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a terminal by script(1)");
    let agent = wait::until("the command", async || {
        std::fs::read_to_string(&ready).ok()?.trim().parse().ok()
    });
    let agent = Pid::from_raw(agent.await).unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"\x03").await.unwrap();
    appears(&got).await;
    kill_process(agent, Signal::USR1).unwrap();
    appears(&mark).await;
    kill_process(agent, Signal::TERM).unwrap();
    assert_eq!(terminal.wait().await.unwrap().code(), Some(42));
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "\n");
}

async fn appears(file: &str) {
    wait::until(file, async || Path::new(file).exists().then_some(())).await;
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[tokio::test]
async fn a_dry_run_shows_the_evidence_without_the_token() {
    let job = Job::new().await;
    job.give_token("7");
    let config = job.path("agent.conf");
    let text = format!(
        r#"agent {{ trust_domain = "{TRUST_DOMAIN}" server_address = "127.0.0.1" server_port = 1
             insecure_bootstrap = true }}
           plugins {{ KeyManager "memory" {{ plugin_data {{}} }}
             NodeAttestor "oidc" {{ plugin_data {{ token_path = "{}" }} }}
             WorkloadAttestor "unix" {{ plugin_data {{}} }} }}"#,
        job.path("token")
    );
    std::fs::write(&config, text).unwrap();
    let line = ["attest", "--dry-run", "--config", &config];
    let shown = command::run(Maker::Signet.agent(), &line).await;
    assert!(shown.status.success(), "{shown}");
    let said = shown.stderr;
    assert!(
        said.contains("Node attestor: oidc") && said.contains("Nothing was sent"),
        "{said}"
    );
    assert!(said.contains(job.issuer.url().as_str()), "{said}");
    let token = std::fs::read_to_string(job.path("token")).unwrap();
    for part in token.split('.') {
        assert!(!said.contains(part), "{said}");
    }
    std::fs::write(job.path("token"), "no.token.here").unwrap();
    let refused = command::run(Maker::Signet.agent(), &line).await.refused();
    assert!(refused.contains("FAIL"), "{refused}");
}
