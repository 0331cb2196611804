//! Our server with a real OpenBao: keys in its transit engine, authorities signed by its PKI engine,
//! nodes let in by its tokens.

mod keys;
mod kubernetes;
mod oidc;
mod server;
mod upstream;

use signet_tests::openbao::{self, OpenBao};
use signet_tests::scene;
use tempfile::TempDir;

/// What the key manager needs, and no more.
const TRANSIT_POLICY: &str = r#"
path "transit/keys/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "transit/sign/*" { capabilities = ["update"] }
"#;

/// One with a transit engine and the policy `signet` for it; or a skip.
async fn with_transit(name: &str) -> Option<(TempDir, OpenBao)> {
    let program = openbao::program(name)?;
    let directory = scene::directory();
    let bao = OpenBao::start(directory.path(), program).await;
    bao.cli(&["secrets", "enable", "transit"]).await.ok();
    bao.policy("signet", TRANSIT_POLICY).await;
    Some((directory, bao))
}

/// A token with the policy, that can be renewed.
async fn token(bao: &OpenBao, ttl: &str) -> String {
    let ttl = format!("-ttl={ttl}");
    let line = ["token", "create", "-policy=signet", &ttl, "-format=json"];
    let made = bao.cli(&line).await.json();
    made["auth"]["client_token"].as_str().unwrap().to_owned()
}
