//! OpenBao as an issuer of OpenID Connect tokens, which let agents in.

use std::path::Path;

use serde_json::Value;
use signet_tests::openbao::{self, OpenBao};
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings, wait};

/// The audience of its tokens.
const CLIENT: &str = "signet";

#[tokio::test]
async fn nodes_attest_by_tokens_of_openbao_also_when_its_key_has_changed() {
    let name = "nodes_attest_by_tokens_of_openbao_also_when_its_key_has_changed";
    let Some(program) = openbao::program(name) else {
        return;
    };
    let directory = directory();
    let bao = OpenBao::start(directory.path(), program).await;
    let runner = issues_tokens(&bao).await;
    let server = Server::start(directory.path(), &believes(&bao)).await;

    let settings = shows(&bao, &runner, "7", directory.path()).await;
    let first = Agent::start(&directory.path().join("first"), &server, &settings).await;
    assert_eq!(server.only_agent().await, id("7"));
    let shown = server
        .cli(&["agent", "show", "-spiffeID", &id("7")])
        .await
        .ok();
    assert!(shown.contains("oidc:claim:repository:acme/app"), "{shown}");
    drop(first);

    bao.cli(&["write", "-f", "identity/oidc/key/ci/rotate"])
        .await
        .ok();
    let settings = shows(&bao, &runner, "8", directory.path()).await;
    let _second = Agent::start(&directory.path().join("second"), &server, &settings).await;
    assert_eq!(server.agents().await.len(), 2);

    role(&bao, "evil/app", "9").await;
    let settings = settings_for(&bao, &runner, directory.path()).await;
    let third = directory.path().join("third");
    let _third = Agent::launch(&third, &server, &settings).await;
    wait::until("a refusal in the audit log", async || {
        let refused = |record: &&Value| record["decision"] == "refused";
        server.audit().iter().find(refused).map(|_| ())
    })
    .await;
    assert!(
        server.log().contains("does not meet the condition"),
        "{}",
        server.log()
    );
    assert_eq!(server.agents().await.len(), 2);
}

fn id(run: &str) -> String {
    format!("spiffe://example.org/spire/agent/ci/{run}")
}

/// Makes it an issuer, with a runner that may have its tokens; that one's own token.
async fn issues_tokens(bao: &OpenBao) -> String {
    bao.cli(&[
        "write",
        "identity/oidc/key/ci",
        "algorithm=ES256",
        "allowed_client_ids=*",
    ])
    .await
    .ok();
    bao.policy(
        "runner",
        "path \"identity/oidc/token/ci\" { capabilities = [\"read\"] }",
    )
    .await;
    bao.cli(&["auth", "enable", "userpass"]).await.ok();
    let runner = "auth/userpass/users/runner";
    bao.cli(&["write", runner, "password=runner", "token_policies=runner"])
        .await
        .ok();
    let login = "auth/userpass/login/runner";
    let login = ["write", "-format=json", login, "password=runner"];
    text(&bao.cli(&login).await.json()["auth"]["client_token"])
}

/// From now on its tokens say this.
async fn role(bao: &OpenBao, repository: &str, run: &str) {
    let client = format!("client_id={CLIENT}");
    let template = format!("template={{\"repository\":\"{repository}\",\"run_id\":\"{run}\"}}");
    bao.cli(&[
        "write",
        "identity/oidc/role/ci",
        "key=ci",
        "ttl=10m",
        &client,
        &template,
    ])
    .await
    .ok();
}

async fn shows(bao: &OpenBao, runner: &str, run: &str, directory: &Path) -> AgentSettings {
    role(bao, "acme/app", run).await;
    settings_for(bao, runner, directory).await
}

async fn settings_for(bao: &OpenBao, runner: &str, directory: &Path) -> AgentSettings {
    let read = ["read", "-format=json", "identity/oidc/token/ci"];
    let token = text(&bao.cli_as(runner, &read).await.json()["data"]["token"]);
    let file = directory.join("token");
    std::fs::write(&file, token).unwrap();
    let plugin = format!(
        "NodeAttestor \"oidc\" {{ plugin_data {{ token_path = \"{}\" }} }}",
        file.display()
    );
    AgentSettings::new(Maker::Signet, Attestation::Plugin(plugin))
}

fn believes(bao: &OpenBao) -> ServerSettings {
    ServerSettings::new(Maker::Signet).plugin(format!(
        r#"NodeAttestor "oidc" {{
  plugin_data {{
    issuer "{}/v1/identity/oidc" {{
      audiences = ["{CLIENT}"]
      claim "repository" {{ glob = ["acme/*"] }}
      agent_path_template = "/ci/{{{{ .Claims.run_id }}}}"
      selector_claims = ["repository"]
      ca_bundle_path = "{}"
      allow_private_addresses = true
    }}
  }}
}}"#,
        bao.address(),
        bao.authority.display()
    ))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
