//! `spire.api.server.agent.v1.Agent`.

use super::page::page;
use super::{authorized, source, status_of, types};
use crate::agents::{AgentFault, AgentFilter};
use crate::attest::{AttestFault, AttestedAgent, Evidence};
use crate::caller::{Authorized, Caller};
use crate::issuer::Issuer;
use signet_ca::IssuedX509;
use signet_model::{AgentReason, role};
use signet_node_attestor::{Challenger, Fault, Refused};
use signet_proto::spire::server::agent::v1::{self as api, agent_server};
use signet_proto::spire::types as wire;
use signet_spiffe::SpiffeId;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};

/// A node that has not answered everything by then starts anew.
const ATTESTATION_LIMIT: Duration = Duration::from_secs(30);

/// The service.
#[derive(Debug, Clone)]
pub(super) struct AgentService(pub Arc<Issuer>);

#[tonic::async_trait]
impl agent_server::Agent for AgentService {
    async fn count_agents(
        &self,
        request: Request<api::CountAgentsRequest>,
    ) -> Result<Response<api::CountAgentsResponse>, Status> {
        let filter = request
            .into_inner()
            .filter
            .map(|filter| api::list_agents_request::Filter {
                by_attestation_type: filter.by_attestation_type,
                by_selector_match: filter.by_selector_match,
                by_banned: filter.by_banned,
                by_can_reattest: filter.by_can_reattest,
                by_expires_before: filter.by_expires_before,
            });
        let count = self.0.find_agents(&read_filter(filter)?).len();
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        Ok(Response::new(api::CountAgentsResponse { count }))
    }

    async fn list_agents(
        &self,
        request: Request<api::ListAgentsRequest>,
    ) -> Result<Response<api::ListAgentsResponse>, Status> {
        let request = request.into_inner();
        let found = self.0.find_agents(&read_filter(request.filter)?);
        let (found, next_page_token) =
            page(found, request.page_size, &request.page_token, |agent| {
                agent.id.to_string()
            })?;
        let masked = |agent: &Arc<signet_model::Agent>| {
            let mut agent = types::agent(agent);
            types::mask_agent(&mut agent, request.output_mask.as_ref());
            agent
        };
        let agents = found.iter().map(masked).collect();
        Ok(Response::new(api::ListAgentsResponse {
            agents,
            next_page_token,
        }))
    }

    async fn get_agent(
        &self,
        request: Request<api::GetAgentRequest>,
    ) -> Result<Response<wire::Agent>, Status> {
        let request = request.into_inner();
        let id = self.agent_id(request.id.as_ref())?;
        let agent = self
            .0
            .agent(&id)
            .ok_or_else(|| Status::not_found("agent not found"))?;
        let mut agent = types::agent(&agent);
        types::mask_agent(&mut agent, request.output_mask.as_ref());
        Ok(Response::new(agent))
    }

    async fn delete_agent(
        &self,
        request: Request<api::DeleteAgentRequest>,
    ) -> Result<Response<()>, Status> {
        let by = authorized(&request)?;
        let id = self.agent_id(request.into_inner().id.as_ref())?;
        self.0.evict_agent(&by, &id).await?;
        Ok(Response::new(()))
    }

    async fn ban_agent(
        &self,
        request: Request<api::BanAgentRequest>,
    ) -> Result<Response<()>, Status> {
        let by = authorized(&request)?;
        let id = self.agent_id(request.into_inner().id.as_ref())?;
        self.0.ban_agent(&by, &id).await?;
        Ok(Response::new(()))
    }

    type AttestAgentStream =
        Pin<Box<dyn Stream<Item = Result<api::AttestAgentResponse, Status>> + Send>>;

    async fn attest_agent(
        &self,
        request: Request<Streaming<api::AttestAgentRequest>>,
    ) -> Result<Response<Self::AttestAgentStream>, Status> {
        let by = authorized(&request)?;
        let (answers, sent) = mpsc::channel(1);
        let service = self.clone();
        let requests = request.into_inner();
        // A task of its own: once the outcome is being stored, it must get its record too, whether
        // or not the node is still there.
        self.0.tasks.spawn("attestation", async move {
            let exchange = service.exchange(&by, requests, answers.clone());
            let outcome = tokio::time::timeout(ATTESTATION_LIMIT, exchange).await;
            let late = Status::deadline_exceeded("attestation took too long; start anew");
            let last = outcome.unwrap_or(Err(late));
            if let Err(status) = &last {
                let audit = &service.0.audit;
                audit.refused_early(&by, "AttestAgent", status.message());
            }
            let _gone = answers.send(last).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }

    async fn renew_agent(
        &self,
        request: Request<api::RenewAgentRequest>,
    ) -> Result<Response<api::RenewAgentResponse>, Status> {
        let by = authorized(&request)?;
        self.0.limits.csr(source(&by), 1).await?;
        let params = request.into_inner().params.unwrap_or_default();
        if params.csr.is_empty() {
            return Err(Status::invalid_argument("malformed param: missing CSR"));
        }
        let id = by
            .agent()
            .ok_or_else(|| Status::permission_denied("caller is not an agent"))?;
        let svid = self.0.renew_agent(&by, id, &params.csr).await?;
        Ok(Response::new(api::RenewAgentResponse {
            svid: Some(x509_svid(id, &svid)),
        }))
    }

    async fn create_join_token(
        &self,
        request: Request<api::CreateJoinTokenRequest>,
    ) -> Result<Response<wire::JoinToken>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let ttl = Duration::from_secs(u64::try_from(request.ttl).unwrap_or(0));
        let value = Some(request.token).filter(|value| !value.is_empty());
        let alias = request
            .agent_id
            .map(|id| types::read_spiffe_id("invalid agent ID", Some(&id)))
            .transpose()?;
        let token = self.0.create_token(&by, ttl, value, alias).await?;
        let expires_at = types::seconds(token.expires_at);
        Ok(Response::new(wire::JoinToken {
            value: token.value,
            expires_at,
        }))
    }

    async fn post_status(
        &self,
        request: Request<api::PostStatusRequest>,
    ) -> Result<Response<api::PostStatusResponse>, Status> {
        let by = authorized(&request)?;
        self.0.limits.status(source(&by)).await?;
        let id = by
            .agent()
            .ok_or_else(|| Status::permission_denied("caller is not an agent"))?;
        self.0
            .note_version(id, &request.into_inner().agent_version)
            .await?;
        Ok(Response::new(api::PostStatusResponse {}))
    }
}

impl AgentService {
    fn agent_id(&self, id: Option<&wire::Spiffeid>) -> Result<SpiffeId, Status> {
        let id = types::read_spiffe_id("invalid agent ID", id)?;
        role::agent(&id, &self.0.trust_domain)
            .map_err(|error| Status::invalid_argument(format!("invalid agent ID: {error}")))?;
        Ok(id)
    }

    async fn exchange(
        &self,
        by: &Authorized,
        mut requests: Streaming<api::AttestAgentRequest>,
        answers: mpsc::Sender<Result<api::AttestAgentResponse, Status>>,
    ) -> Result<api::AttestAgentResponse, Status> {
        let address = match &by.caller {
            Caller::Anonymous { address } | Caller::Peer { address, .. } => *address,
            Caller::Local { .. } => None,
        };
        let _place = self
            .0
            .limits
            .attestation(address.map(|address| address.ip()))
            .await?;
        let first = requests.message().await?;
        let (data, csr) = read_params(first)?;
        let evidence = Evidence {
            kind: data.r#type,
            payload: data.payload.to_vec(),
            csr: csr.to_vec(),
            address,
        };
        let mut wire = Wire { requests, answers };
        let agent = self
            .0
            .attest(by, evidence, &mut wire)
            .await
            .map_err(|fault| {
                tracing::warn!(
                    request_id = by.request_id,
                    caller = by.caller.name(),
                    error = types::chain(&fault),
                    "node attestation failed"
                );
                attest_status(&fault)
            })?;
        tracing::info!(spiffe_id = %agent.id, serial = %agent.svid.serial, "agent attested");
        Ok(result(&agent))
    }
}

/// Yields the answers while driving the exchange that makes them.
pub(super) fn driven_by<F, S>(exchange: F, answers: S) -> impl Stream<Item = S::Item> + Send
where
    F: Future<Output = ()> + Send + 'static,
    S: Stream + Send + Unpin + 'static,
    S::Item: Send,
{
    let driver = futures::stream::once(exchange).filter_map(|()| None);
    futures::stream::select(driver, answers)
}

fn read_params(
    request: Option<api::AttestAgentRequest>,
) -> Result<(wire::AttestationData, bytes::Bytes), Status> {
    let malformed = |what: &str| Status::invalid_argument(format!("malformed param: {what}"));
    let step = request.and_then(|request| request.step);
    let Some(api::attest_agent_request::Step::Params(params)) = step else {
        return Err(malformed("missing params"));
    };
    let data = params
        .data
        .ok_or_else(|| malformed("missing attestation data"))?;
    let csr = params
        .params
        .ok_or_else(|| malformed("missing X509-SVID parameters"))?
        .csr;
    if data.r#type.is_empty() {
        return Err(malformed("missing attestation data type"));
    }
    if data.payload.is_empty() {
        return Err(malformed("missing attestation data payload"));
    }
    if csr.is_empty() {
        return Err(malformed("missing CSR"));
    }
    Ok((data, csr))
}

/// The other end of an attestation, for challenges.
struct Wire {
    requests: Streaming<api::AttestAgentRequest>,
    answers: mpsc::Sender<Result<api::AttestAgentResponse, Status>>,
}

#[tonic::async_trait]
impl Challenger for Wire {
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let step = api::attest_agent_response::Step::Challenge(bytes.into());
        let sent = self
            .answers
            .send(Ok(api::AttestAgentResponse { step: Some(step) }))
            .await;
        sent.map_err(|error| Refused::Ended(Some(error.to_string().into())))?;
        let answer = self
            .requests
            .message()
            .await
            .map_err(|status| Refused::Ended(Some(status.message().into())))?;
        match answer.and_then(|answer| answer.step) {
            Some(api::attest_agent_request::Step::ChallengeResponse(answer)) => Ok(answer.to_vec()),
            _ => Err(Refused::Ended(None)),
        }
    }
}

fn result(agent: &AttestedAgent) -> api::AttestAgentResponse {
    let result = api::attest_agent_response::Result {
        svid: Some(x509_svid(&agent.id, &agent.svid)),
        reattestable: agent.can_reattest,
    };
    api::AttestAgentResponse {
        step: Some(api::attest_agent_response::Step::Result(result)),
    }
}

/// An X.509-SVID for the wire; the hint is the agent's business.
pub(super) fn x509_svid(id: &SpiffeId, svid: &IssuedX509) -> wire::X509svid {
    wire::X509svid {
        cert_chain: svid
            .chain
            .iter()
            .map(|der| bytes::Bytes::copy_from_slice(der))
            .collect(),
        id: Some(types::spiffe_id(id)),
        expires_at: types::seconds(svid.not_after),
        hint: String::new(),
    }
}

fn attest_status(fault: &AttestFault) -> Status {
    if let AttestFault::Refused(refused @ Refused::Unavailable(_)) = fault {
        // The causes say what the server can reach, and how.
        return Status::internal(refused.to_string());
    }
    let code = match fault {
        AttestFault::Csr(_) | AttestFault::Token(_) | AttestFault::PayloadTooLong { .. } => {
            Code::InvalidArgument
        }
        AttestFault::UnknownType(_) => Code::FailedPrecondition,
        AttestFault::Refused(refused) => match refused.fault() {
            Fault::Caller => Code::InvalidArgument,
            Fault::NotAllowed => Code::PermissionDenied,
            Fault::Ours => Code::Internal,
        },
        AttestFault::Banned
        | AttestFault::UsedBefore(_)
        | AttestFault::UsedUp(_)
        | AttestFault::FewerProofs { .. } => Code::PermissionDenied,
        AttestFault::NotApproved(refusal) if !refusal.is_ours() => Code::PermissionDenied,
        AttestFault::Sign(error) if error.is_transient() => Code::Unavailable,
        AttestFault::NotApproved(_) | AttestFault::Sign(_) | AttestFault::Audit(_) => {
            Code::Internal
        }
        AttestFault::NoAuthority(_) => Code::Unavailable,
        AttestFault::State(error) => super::code_of(error),
    };
    status_of(code, fault)
}

impl From<AgentFault> for Status {
    fn from(fault: AgentFault) -> Self {
        let code = match &fault {
            AgentFault::NotFound => Code::NotFound,
            AgentFault::MustReattest => {
                let text = "agent must reattest instead of renew".to_owned();
                return super::authorize::permission_denied(text, AgentReason::MustReattest);
            }
            AgentFault::Csr(_)
            | AgentFault::VersionTooLong(_)
            | AgentFault::TokenText
            | AgentFault::TokenTtl
            | AgentFault::Alias(_) => Code::InvalidArgument,
            AgentFault::TokenTaken => Code::AlreadyExists,
            AgentFault::NotApproved(refusal) if !refusal.is_ours() => Code::PermissionDenied,
            AgentFault::Sign(error) if error.is_transient() => Code::Unavailable,
            AgentFault::NotApproved(_) | AgentFault::Sign(_) | AgentFault::Audit(_) => {
                Code::Internal
            }
            AgentFault::NoAuthority(_) => Code::Unavailable,
            AgentFault::State(error) => super::code_of(error),
        };
        status_of(code, &fault)
    }
}

fn read_filter(filter: Option<api::list_agents_request::Filter>) -> Result<AgentFilter, Status> {
    let Some(filter) = filter else {
        return Ok(AgentFilter::default());
    };
    Ok(AgentFilter {
        attestation_type: Some(filter.by_attestation_type).filter(|kind| !kind.is_empty()),
        selectors: filter
            .by_selector_match
            .map(super::read_selector_match)
            .transpose()?,
        banned: filter.by_banned,
        can_reattest: filter.by_can_reattest,
        expires_before: read_expires_before(&filter.by_expires_before)?,
    })
}

/// `2006-01-02 15:04:05 -0700 -07`, as SPIRE's command line sends it.
fn read_expires_before(text: &str) -> Result<Option<SystemTime>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let malformed = || {
        let form = "year-month-day hour:minute:second +hhmm +hh";
        Status::invalid_argument(format!("malformed expiry filter: it must be {form}"))
    };
    let format = time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
    );
    let (instant, _zone) = text.rsplit_once(' ').ok_or_else(malformed)?;
    let instant = OffsetDateTime::parse(instant, format).map_err(|_| malformed())?;
    Ok(Some(instant.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_filter_reads_what_spires_command_line_sends() {
        let read = read_expires_before("2026-11-22 10:00:00 +0200 +02")
            .unwrap()
            .unwrap();
        let expected = time::macros::datetime!(2026-11-22 08:00:00 UTC);
        assert_eq!(OffsetDateTime::from(read), expected);
        assert_eq!(read_expires_before("").unwrap(), None);
        assert!(read_expires_before("tomorrow").is_err());
    }
}
