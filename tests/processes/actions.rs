//! A job of GitHub Actions: the agent asks the platform for its token, over TLS.

use std::time::SystemTime;

use serde_json::json;
use signet_oidc::testing::TestIssuer;
use signet_tests::command;
use signet_tests::scene::directory;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, ServerSettings, id};

use crate::cloud::Cloud;
use crate::run_once::attestor;
use crate::web::{Answer, Asked, local};

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const SECRET: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// What GitHub answers whoever shows the job's secret.
#[allow(
    clippy::disallowed_methods,
    reason = "the programs have the machine's clock"
)]
fn platform(asked: &Asked, issuer: &TestIssuer) -> Answer {
    let is_job = asked.headers.contains("authorization: bearer of-the-job");
    match asked.line.as_str() {
        "GET /7/idtoken/a/b?api-version=2.0&audience=signet" if is_job => {
            let claims = json!({"repository": "acme/app", "run_id": "7", "jti": "7"});
            let token = issuer.token(SystemTime::now(), claims);
            Answer::Ok(
                json!({"count": 1510, "value": token})
                    .to_string()
                    .into_bytes(),
            )
        }
        _ => Answer::Status(401),
    }
}

#[tokio::test]
async fn a_job_attests_by_the_token_that_its_platform_gives_for_its_secret() {
    local(async {
        let directory = directory();
        let issuer = TestIssuer::start().await;
        let settings = ServerSettings::new(Maker::Signet).plugin(attestor(&issuer));
        let github = Cloud::new(directory.path(), move |asked| platform(asked, &issuer)).await;
        let plugin = format!(
            "NodeAttestor \"oidc\" {{ plugin_data {{ request_url_env = \"{URL}\"
               request_token_env = \"{SECRET}\" audience = \"signet\" ca_bundle_path = \"{}\" }} }}",
            github.ca.display()
        );
        let url = format!("{}/7/idtoken/a/b?api-version=2.0", github.url);
        let agent = AgentSettings::new(Maker::Signet, Attestation::Plugin(plugin))
            .environment(URL, url.as_ref())
            .environment(SECRET, "of-the-job".as_ref());
        let scene = Scene::with(directory, &settings, &agent).await;
        let expected = id("/spire/agent/ci/7");
        assert_eq!(scene.server.only_agent().await, expected);
        let selectors = scene.server.selectors_of(&expected).await;
        assert_eq!(selectors[0], "oidc:claim:repository:acme/app");
        let config = scene.path().join("agent.conf").display().to_string();
        let line = ["attest", "--dry-run", "--config", &config];
        let of_another = [(URL, url.as_ref()), (SECRET, "of-another".as_ref())];
        let refused = command::run_with(Maker::Signet.agent(), &line, &of_another).await;
        let refused = refused.refused();
        assert!(refused.contains("401"), "{refused}");
        assert!(!refused.contains("of-another"), "{refused}");
    })
    .await;
}
