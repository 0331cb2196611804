//! `--wait` of the commands that change entries.

use std::sync::{Arc, Mutex};

use signet_cli::testing::Fake;
use signet_proto::signet::admin::v1::{
    EntryExtras, SetEntryExtrasRequest, WaitForEntriesRequest, WaitForEntriesResponse,
};
use signet_proto::spire::server::entry::v1::{
    BatchCreateEntryRequest, BatchCreateEntryResponse, BatchDeleteEntryRequest,
    BatchDeleteEntryResponse, GetEntryRequest, batch_create_entry_response,
    batch_delete_entry_response,
};
use signet_proto::spire::types::{Entry, Status};

use super::{asked, parsed};

const WAIT: &str = "/signet.admin.v1.Admin/WaitForEntries";
const CREATE: &str = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
const DELETE: &str = "/spire.api.server.entry.v1.Entry/BatchDeleteEntry";
const GET: &str = "/spire.api.server.entry.v1.Entry/GetEntry";
const SET_EXTRAS: &str = "/signet.admin.v1.Admin/SetEntryExtras";
const LINE: &str = "entry create -spiffeID spiffe://td/web -parentID spiffe://td/node -selector \
                    unix:uid:0 --wait";
const ONE: &str = "spiffe://td/spire/agent/one";
const TWO: &str = "spiffe://td/spire/agent/two";

type Asked = Arc<Mutex<Vec<WaitForEntriesRequest>>>;

/// A server on which the agents stand so, before the change and after it.
fn server(before: WaitForEntriesResponse, after: WaitForEntriesResponse) -> (Fake, Asked) {
    let asked = Asked::default();
    let noted = asked.clone();
    let fake = Fake::new()
        .on(CREATE, |request: BatchCreateEntryRequest| {
            let results = request.entries.into_iter().map(|entry| {
                let entry = Some(Entry {
                    id: "1".into(),
                    ..entry
                });
                batch_create_entry_response::Result {
                    status: Some(Status::default()),
                    entry,
                }
            });
            let results = results.collect();
            Ok(BatchCreateEntryResponse { results })
        })
        .on(DELETE, |request: BatchDeleteEntryRequest| {
            let result = |id| batch_delete_entry_response::Result { status: None, id };
            let results = request.ids.into_iter().map(result).collect();
            Ok(BatchDeleteEntryResponse { results })
        })
        .on(WAIT, move |request: WaitForEntriesRequest| {
            let mut noted = noted.lock().unwrap();
            noted.push(request);
            Ok(match noted.len() {
                1 => before.clone(),
                _ => after.clone(),
            })
        });
    (fake, asked)
}

fn agents(ready: &[&str], missing: &[&str], offline: &[&str]) -> WaitForEntriesResponse {
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    WaitForEntriesResponse {
        ready: texts(ready),
        missing: texts(missing),
        offline: texts(offline),
    }
}

#[tokio::test]
async fn a_created_entry_is_confirmed_by_its_agents() {
    let (fake, requests) = server(agents(&[], &[], &[]), agents(&[ONE, TWO], &[], &[]));
    let answer = asked(&fake, LINE).await.unwrap();
    assert!(!answer.failed);
    assert_eq!(answer.problems, "");
    assert!(
        answer.text.contains("\nConfirmed by 2 agents after 0."),
        "{}",
        answer.text
    );
    let json = answer.json.unwrap();
    assert_eq!(json["results"][0]["entry"]["id"], "1");
    assert_eq!(json["wait"]["ready"][1], TWO);
    let requests = requests.lock().unwrap();
    assert_eq!(requests[0], WaitForEntriesRequest::default());
    assert_eq!(requests[1].entry_ids, ["1"]);
    assert_eq!(requests[1].timeout_milliseconds, 30_000);
}

#[tokio::test]
async fn agents_that_do_not_confirm_in_time_are_named_and_the_entry_is_told_all_the_same() {
    let (fake, requests) = server(agents(&[], &[], &[]), agents(&[ONE], &[TWO], &[]));
    let answer = asked(&fake, &format!("{LINE} -waitTimeout 1m30s"))
        .await
        .unwrap();
    assert!(answer.failed);
    assert!(answer.text.contains("Entry ID         : 1\n"));
    assert!(
        answer
            .problems
            .starts_with("Error: 1 of 2 agents did not confirm the change")
    );
    assert!(
        answer.problems.ends_with(&format!(": {TWO}\n")),
        "{}",
        answer.problems
    );
    let requests = requests.lock().unwrap();
    assert_eq!(requests[1].timeout_milliseconds, 90_000);
}

#[tokio::test]
async fn an_entry_that_no_connected_agent_serves_is_an_error_and_a_deleted_one_is_not() {
    let none = || agents(&[], &[], &[ONE]);
    let answer = asked(&server(none(), none()).0, LINE).await.unwrap();
    assert!(answer.failed);
    let expected = "no agent that the change concerns is connected; attested: ";
    assert_eq!(answer.problems, format!("Error: {expected}{ONE}\n"));

    let line = "entry delete -entryID 1 --wait";
    let answer = asked(&server(none(), none()).0, line).await.unwrap();
    assert!(!answer.failed);
    assert_eq!(answer.problems, format!("Note: {expected}{ONE}\n"));
}

#[tokio::test]
async fn a_deleted_entry_is_waited_for_at_the_agents_that_had_it() {
    let (fake, requests) = server(
        agents(&[ONE], &[TWO], &["spiffe://td/x"]),
        agents(&[ONE, TWO], &[], &[]),
    );
    let answer = asked(&fake, "entry delete -entryID 1 --wait")
        .await
        .unwrap();
    assert!(!answer.failed, "{}", answer.problems);
    let requests = requests.lock().unwrap();
    assert_eq!(requests[0].entry_ids, ["1"]);
    assert_eq!(requests[1].agent_ids, [ONE, TWO]);
}

#[tokio::test]
async fn a_disabled_entry_is_waited_for_too() {
    let (fake, requests) = server(agents(&[ONE], &[], &[]), agents(&[ONE], &[], &[]));
    let fake = fake
        .on(SET_EXTRAS, |_: SetEntryExtrasRequest| {
            Ok(EntryExtras::default())
        })
        .on(GET, |_: GetEntryRequest| Ok(Entry::default()));
    let line = "entry patch --entry-id 1 --disabled --wait";
    let answer = asked(&fake, line).await.unwrap();
    assert!(
        answer.text.contains("Confirmed by 1 agent after"),
        "{}",
        answer.text
    );
    assert_eq!(requests.lock().unwrap()[1].agent_ids, [ONE]);
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_told_apart_before_anything_changes() {
    // This one would panic at a creation: it knows none.
    let failure = asked(&Fake::new(), LINE).await.unwrap_err().to_string();
    assert!(failure.contains("does not offer --wait"), "{failure}");
    assert!(failure.contains("nothing was changed"), "{failure}");

    let broken = Fake::new().on(WAIT, |_: WaitForEntriesRequest| {
        Err::<WaitForEntriesResponse, _>(tonic::Status::unavailable("stopping"))
    });
    let failure = asked(&broken, LINE).await.unwrap_err().to_string();
    assert!(failure.contains("stopping"), "{failure}");
}

#[tokio::test]
async fn a_wait_that_breaks_off_still_tells_what_was_created() {
    let (fake, _) = server(agents(&[], &[], &[]), agents(&[], &[], &[]));
    let calls = Mutex::new(0);
    let fake = fake.on(WAIT, move |_: WaitForEntriesRequest| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls {
            1 => Ok(WaitForEntriesResponse::default()),
            _ => Err(tonic::Status::unavailable("stopping")),
        }
    });
    let answer = asked(&fake, LINE).await.unwrap();
    assert!(answer.failed);
    assert!(answer.text.contains("Entry ID         : 1\n"));
    assert!(
        answer.problems.contains("could not wait for the agents"),
        "{}",
        answer.problems
    );
}

#[tokio::test]
async fn without_the_flag_nobody_is_asked() {
    let (fake, requests) = server(agents(&[], &[], &[]), agents(&[], &[], &[]));
    for line in [LINE.trim_end_matches(" --wait"), &format!("{LINE}=false")] {
        let answer = asked(&fake, line).await.unwrap();
        assert!(!answer.failed);
        assert_eq!(answer.json.unwrap().get("wait"), None);
    }
    assert!(requests.lock().unwrap().is_empty());
}

#[test]
fn a_time_to_wait_without_a_wait_is_refused() {
    let line = LINE.replace("--wait", "--wait-timeout 5s");
    assert!(parsed(&line).is_err());
    assert!(parsed(&format!("{LINE} --wait-timeout 5")).is_err());
    assert!(parsed(&format!("{LINE} --wait-timeout 5s")).is_ok());
}
