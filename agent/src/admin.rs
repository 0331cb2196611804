//! The admin socket: explains to the operator of this node which identities a process gets, and why
//! not others. It tells nothing of other agents, and no secrets.

use crate::holdings::Holdings;
use crate::identify::{Finding, Identify};
use crate::own::OwnSvid;
use serde_json::json;
use signet_model::explain::{Explanation, Known, on_agent};
use signet_model::{Selector, SelectorSet};
use signet_proto::signet::agent::admin::v1::admin_server::{Admin, AdminServer};
use signet_proto::signet::agent::admin::v1::{WhyRequest, WhyResponse};
use signet_runtime::Stop;
use signet_workload_attestor::peer::{Peer, PeerListener, ProcRoot};
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Answers the operator of this node.
pub struct AgentAdmin {
    /// What the agent holds.
    pub holdings: Arc<Holdings>,
    /// The workload attestors.
    pub identify: Arc<Identify>,
    /// Who the agent is.
    pub member: watch::Receiver<Option<OwnSvid>>,
    /// Where processes are looked up.
    pub proc: ProcRoot,
}

#[tonic::async_trait]
impl Admin for AgentAdmin {
    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        let pid = request.get_ref().pid;
        let peer = Peer::of_pid(pid, &self.proc);
        let peer = peer.map_err(|error| Status::not_found(format!("process {pid}: {error}")))?;
        let findings = self.identify.ask(&peer).await;
        let explanation = self.explain(&findings)?;
        Ok(Response::new(WhyResponse {
            text: text(pid, &findings, &explanation),
            json: as_json(pid, &findings, &explanation).to_string(),
        }))
    }
}

impl AgentAdmin {
    fn explain(&self, findings: &[Finding]) -> Result<Explanation, Status> {
        let member = self.member.borrow().clone();
        let not_yet = "this agent is not attested yet: its log says why";
        let member = member.ok_or_else(|| Status::unavailable(not_yet))?;
        let found = findings.iter().filter_map(|one| one.outcome.as_ref().ok());
        let selectors: SelectorSet = found.flatten().cloned().collect();
        Ok(self.holdings.read(|cache| {
            let entries = cache.held().map(|held| Known {
                id: &held.entry.id,
                spiffe_id: &held.entry.spiffe_id,
                selectors: &held.entry.selectors,
            });
            let mut explanation = on_agent(&member.id, &selectors, entries);
            explanation.granted.retain(|one| {
                let held = cache.get(&one.entry_id);
                held.is_some_and(|held| !held.entry.store_svid)
            });
            explanation
        }))
    }
}

fn text(pid: i32, findings: &[Finding], explanation: &Explanation) -> String {
    let mut text = format!("Process {pid}\n");
    for finding in findings {
        match &finding.outcome {
            Ok(selectors) => {
                let _infallible = writeln!(text, "Selectors by attestor {}:", finding.attestor);
                for selector in selectors {
                    let _infallible = writeln!(text, "  {}", printable(selector));
                }
            }
            Err(why) => {
                let _infallible = writeln!(text, "Attestor {} failed: {why}", finding.attestor);
            }
        }
    }
    text.push_str(&explanation.render());
    text
}

fn as_json(pid: i32, findings: &[Finding], explanation: &Explanation) -> serde_json::Value {
    let attestors = findings.iter().map(|finding| match &finding.outcome {
        Ok(selectors) => {
            let shown: Vec<_> = selectors.iter().map(Selector::expose).collect();
            json!({"attestor": finding.attestor, "selectors": shown})
        }
        Err(why) => json!({"attestor": finding.attestor, "error": why}),
    });
    json!({
        "pid": pid,
        "attestors": attestors.collect::<Vec<_>>(),
        "explanation": explanation,
    })
}

/// A workload chooses its path; it must not move the operator's cursor with it.
fn printable(selector: &Selector) -> String {
    let text = selector.expose();
    let shown = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c });
    shown.collect()
}

/// Serves the admin socket until stopped.
pub async fn serve(
    admin: AgentAdmin,
    listener: PeerListener,
    stop: Stop,
) -> Result<(), tonic::transport::Error> {
    let stopped = async move { stop.stopped().await };
    tonic::transport::Server::builder()
        .add_service(AdminServer::new(admin))
        .serve_with_incoming_shutdown(listener.into_stream(), stopped)
        .await
}

#[cfg(test)]
mod tests;
