//! `--wait`: a change of entries is done when the agents that it concerns serve it.
//!
//! The server is asked twice: before the change, for the agents that serve the entries as they are
//! (and whether it can be asked at all), and after it, until these and those that serve them now
//! have confirmed.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, Failure, text, value};
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::admin::v1::{WaitForEntriesRequest, WaitForEntriesResponse};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

#[derive(Args, Clone, Debug)]
pub(super) struct Wait {
    /// Come back when every connected agent that the change concerns has carried it out
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    wait: Option<bool>,
    /// How long to wait at most, as 90s or 2m; 30s if not given
    #[arg(long, value_name = "DURATION", value_parser = value::duration, requires = "wait")]
    wait_timeout: Option<Duration>,
}

/// What applies unless a flag says otherwise: an agent confirms within a second, and one whose
/// connection broke is back within a few.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an entry that nobody serves means for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// Somebody should serve the entries now.
    Agents,
    /// Nobody should.
    Nobody,
}

impl Wait {
    /// To be called before the change.
    pub(super) async fn begin(
        &self,
        channel: &Channel,
        entry_ids: Vec<String>,
    ) -> Result<Option<Waiting>, Failure> {
        if self.wait != Some(true) {
            return Ok(None);
        }
        let client = AdminClient::new(channel.clone());
        let mut waiting = Waiting {
            client,
            limit: self.wait_timeout.unwrap_or(PATIENCE),
            before: Vec::new(),
            begun: Instant::now(),
        };
        let standing = waiting.ask(entry_ids, Duration::ZERO).await;
        let standing = standing.map_err(not_offered)?;
        waiting.before = [standing.ready, standing.missing].concat();
        waiting.begun = Instant::now();
        Ok(Some(waiting))
    }
}

fn not_offered(status: Status) -> Failure {
    match status.code() {
        Code::Unimplemented => Failure::Usage(
            "the server at this socket does not offer --wait (SPIRE's servers do not); nothing was \
             changed"
                .into(),
        ),
        _ => Failure::call("ask which agents the change concerns; nothing was changed")(status),
    }
}

/// A wait under way.
#[derive(Debug)]
pub(super) struct Waiting {
    client: AdminClient<Channel>,
    limit: Duration,
    /// The connected agents that served the entries before the change.
    before: Vec<String>,
    begun: Instant,
}

impl Waiting {
    /// Waits for the agents, and adds to the answer of the change how they stand. What was changed
    /// is told in any case.
    pub(super) async fn end(
        mut self,
        answer: Answer,
        written: Vec<String>,
        expects: Expects,
    ) -> Answer {
        if written.is_empty() {
            return answer;
        }
        match self.ask(written, self.limit).await {
            Ok(standing) => told(answer, &standing, self.begun.elapsed(), expects),
            Err(status) => {
                let failure = Failure::call("wait for the agents")(status);
                failed(answer, &format!("Error: {failure}\n"))
            }
        }
    }

    async fn ask(
        &mut self,
        entry_ids: Vec<String>,
        limit: Duration,
    ) -> Result<WaitForEntriesResponse, Status> {
        let request = WaitForEntriesRequest {
            entry_ids,
            agent_ids: self.before.clone(),
            timeout_milliseconds: i64::try_from(limit.as_millis()).unwrap_or(i64::MAX),
        };
        let response = self.client.wait_for_entries(request).await;
        response.map(tonic::Response::into_inner)
    }
}

fn told(
    mut answer: Answer,
    standing: &WaitForEntriesResponse,
    took: Duration,
    expects: Expects,
) -> Answer {
    let seconds = format!("{:.3} s", took.as_secs_f64());
    let agents = |list: &[String]| text::counted(list.len(), "agent", "agents");
    if let Some(json) = &mut answer.json {
        json["wait"] = json!({
            "seconds": took.as_secs_f64(),
            "ready": standing.ready,
            "missing": standing.missing,
            "offline": standing.offline,
        });
    }
    if standing.ready.is_empty() && standing.missing.is_empty() {
        return nobody(answer, &standing.offline, expects);
    }
    if standing.missing.is_empty() {
        let line = format!("Confirmed by {} after {seconds}\n", agents(&standing.ready));
        answer.text.push_str(&line);
        return answer;
    }
    let all: BTreeSet<_> = standing.ready.iter().chain(&standing.missing).collect();
    let line = format!(
        "Error: {} of {} did not confirm the change within {seconds}: {}\n",
        standing.missing.len(),
        text::counted(all.len(), "agent", "agents"),
        standing.missing.join(", ")
    );
    failed(answer, &line)
}

fn nobody(mut answer: Answer, offline: &[String], expects: Expects) -> Answer {
    let mut line = "no agent that the change concerns is connected".to_owned();
    if !offline.is_empty() {
        line.push_str(&format!("; attested: {}", offline.join(", ")));
    }
    match expects {
        Expects::Agents => failed(answer, &format!("Error: {line}\n")),
        Expects::Nobody => {
            answer.problems.push_str(&format!("Note: {line}\n"));
            answer
        }
    }
}

fn failed(mut answer: Answer, line: &str) -> Answer {
    answer.problems.push_str(line);
    answer.failed = true;
    answer
}
