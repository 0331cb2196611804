//! Identification with attestors that follow a script.

use super::*;
use crate::testing::selectors;
use async_trait::async_trait;
use signet_workload_attestor::peer::FakeProcess;

enum Script {
    Finds(&'static str),
    Fails,
    Departed,
    Hangs,
}

struct Scripted(&'static str, Script);

#[async_trait]
impl WorkloadAttestor for Scripted {
    fn kind(&self) -> &'static str {
        self.0
    }

    async fn attest(&self, _: &Peer) -> Result<Vec<Selector>, AttestError> {
        match self.1 {
            Script::Finds(text) => Ok(vec![Selector::parse(text).expect("valid")]),
            Script::Fails => Err(AttestError::ProgramChanged),
            Script::Departed => Err(AttestError::Departed { attestor: self.0 }),
            Script::Hangs => std::future::pending().await,
        }
    }
}

fn identify(scripts: Vec<Scripted>) -> Identify {
    let attestors = scripts
        .into_iter()
        .map(|one| Arc::new(one) as Arc<dyn WorkloadAttestor>);
    Identify::new(attestors.collect(), DEADLINE)
}

fn peer() -> (FakeProcess, Peer) {
    let process = FakeProcess::new(7, 1, 1);
    let peer = Peer::fake(&process).expect("alive");
    (process, peer)
}

#[tokio::test(start_paused = true)]
async fn the_selectors_of_all_attestors_count_together() {
    let both = identify(vec![
        Scripted("unix", Script::Finds("unix:uid:1")),
        Scripted("docker", Script::Finds("docker:label:x")),
    ]);
    let found = both.identify(&peer().1).await.expect("identified");
    assert_eq!(
        found.selectors,
        selectors(&["unix:uid:1", "docker:label:x"])
    );
}

#[tokio::test(start_paused = true)]
async fn an_attestor_that_fails_or_hangs_does_not_stop_the_others() {
    let some = identify(vec![
        Scripted("docker", Script::Fails),
        Scripted("unix", Script::Finds("unix:uid:1")),
        Scripted("k8s", Script::Hangs),
    ]);
    let found = some.identify(&peer().1).await.expect("identified");
    assert_eq!(found.selectors, selectors(&["unix:uid:1"]));
    assert!(found.findings[0].outcome.is_err() && found.findings[2].outcome.is_err());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_identified_when_all_attestors_fail() {
    let none = identify(vec![
        Scripted("unix", Script::Fails),
        Scripted("k8s", Script::Hangs),
    ]);
    let error = none.identify(&peer().1).await.expect_err("all failed");
    assert!(matches!(error, Unidentified::AllFailed(why) if why.len() == 2));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ended_meanwhile_is_nobody() {
    let one = identify(vec![Scripted("unix", Script::Finds("unix:uid:1"))]);
    let (process, peer) = peer();
    process.exit();
    let error = one.identify(&peer).await.expect_err("gone");
    assert!(matches!(error, Unidentified::Gone(_)));
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_about_again_stays_unless_something_else_is_said() {
    let before = selectors(&["unix:uid:1"]);
    let again = async |scripts| identify(scripts).again(&peer().1, &before).await;
    let unix = || Scripted("unix", Script::Finds("unix:uid:1"));
    assert!(matches!(again(vec![unix()]).await, Standing::Same));
    let failing = Scripted("k8s", Script::Fails);
    assert!(matches!(again(vec![unix(), failing]).await, Standing::Same));
    let more = Scripted("k8s", Script::Finds("k8s:ns:shop"));
    let changed = again(vec![unix(), more]).await;
    assert!(matches!(changed, Standing::Changed(found) if found.selectors.len() == 2));
    let departed = Scripted("k8s", Script::Departed);
    assert!(matches!(
        again(vec![unix(), departed]).await,
        Standing::Gone(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_about_again_and_has_ended_is_gone() {
    let one = identify(vec![Scripted("unix", Script::Finds("unix:uid:1"))]);
    let (process, peer) = peer();
    process.exit();
    let standing = one.again(&peer, &selectors(&["unix:uid:1"])).await;
    assert!(matches!(standing, Standing::Gone(_)));
}
