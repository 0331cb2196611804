//! Node attestation: proves to the server which node this is, and gets the agent's first SVID.

use super::convert::{NotUsable, bundle_from_proto, chain};
use super::{CALL_TIMEOUT, Chain};
use signet_node_attestor::AgentAttestor;
use signet_node_attestor::AgentError;
use signet_proto::spire::server::agent::v1 as proto;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::attest_agent_request::{Params, Step};
use signet_proto::spire::server::agent::v1::attest_agent_response::Step as Answer;
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::types::AttestationData;
use signet_spiffe::Bundle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// No attestor asks more often; a server that does is broken.
const MAX_CHALLENGES: usize = 16;

/// What a successful attestation gives.
#[derive(Debug, Clone)]
pub struct Attested {
    /// The agent's certificate chain.
    pub chain: Chain,
    /// Whether the agent may attest again instead of renewing.
    pub reattestable: bool,
    /// The bundle of the trust domain, from the same server.
    pub bundle: Bundle,
}

/// Why the agent was not attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestFailed {
    /// This side could not make its proof.
    #[error("the {attestor} node attestor could not make its proof")]
    Proof {
        /// The attestor.
        attestor: &'static str,
        /// Why.
        #[source]
        source: AgentError,
    },
    /// The server said no, or could not be reached.
    #[error("the server did not attest this agent: {} ({:?})", .0.message(), .0.code())]
    Server(#[source] Box<Status>),
    /// The server did not answer in time.
    #[error("the server did not answer within {} s", CALL_TIMEOUT.as_secs())]
    Late,
    /// The server broke the protocol.
    #[error("the server broke the attestation protocol: {0}")]
    Protocol(&'static str),
    /// The server's bundle is unusable.
    #[error("the server sent an unusable bundle")]
    Bundle(#[source] NotUsable),
}

impl AttestFailed {
    /// Whether trying again is pointless, as SPIRE's agent judges it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Server(status) if status.code() == Code::PermissionDenied)
    }

    /// Whether a server was reached and said no.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Server(status) => matches!(
                status.code(),
                Code::PermissionDenied
                    | Code::InvalidArgument
                    | Code::FailedPrecondition
                    | Code::Unauthenticated
                    | Code::NotFound
            ),
            _ => false,
        }
    }
}

impl From<Status> for AttestFailed {
    fn from(status: Status) -> Self {
        Self::Server(Box::new(status))
    }
}

/// Attests over a channel on which the server is authenticated and the agent is not.
pub async fn attest(
    channel: Channel,
    attestor: &dyn AgentAttestor,
    csr: Vec<u8>,
) -> Result<Attested, AttestFailed> {
    let exchange = exchange(channel, attestor, csr);
    let answer = tokio::time::timeout(CALL_TIMEOUT, exchange).await;
    answer.unwrap_or(Err(AttestFailed::Late))
}

async fn exchange(
    channel: Channel,
    attestor: &dyn AgentAttestor,
    csr: Vec<u8>,
) -> Result<Attested, AttestFailed> {
    let (out, answers) = open(channel.clone(), attestor, csr).await?;
    let result = dialogue(&out, answers, attestor).await?;
    let chain = chain(result.svid).ok_or(AttestFailed::Protocol("the SVID is missing"))?;
    Ok(Attested {
        chain,
        reattestable: result.reattestable,
        bundle: get_bundle(channel).await?,
    })
}

type Out = mpsc::Sender<proto::AttestAgentRequest>;
type Answers = Streaming<proto::AttestAgentResponse>;

async fn open(
    channel: Channel,
    attestor: &dyn AgentAttestor,
    csr: Vec<u8>,
) -> Result<(Out, Answers), AttestFailed> {
    let payload = attestor.payload().await.map_err(proof(attestor))?;
    let (out, requests) = mpsc::channel(1);
    let params = Params {
        data: Some(AttestationData {
            r#type: attestor.kind().to_owned(),
            payload: payload.into(),
        }),
        params: Some(proto::AgentX509svidParams { csr: csr.into() }),
    };
    send(&out, Step::Params(params)).await?;
    let mut client = AgentClient::new(channel);
    let answers = client.attest_agent(ReceiverStream::new(requests)).await?;
    Ok((out, answers.into_inner()))
}

async fn dialogue(
    out: &Out,
    mut answers: Answers,
    attestor: &dyn AgentAttestor,
) -> Result<proto::attest_agent_response::Result, AttestFailed> {
    for _ in 0..MAX_CHALLENGES {
        let answer = answers.message().await?;
        match answer.and_then(|answer| answer.step) {
            Some(Answer::Result(result)) => return Ok(result),
            Some(Answer::Challenge(challenge)) => {
                let response = attestor
                    .respond(&challenge)
                    .await
                    .map_err(proof(attestor))?;
                send(out, Step::ChallengeResponse(response.into())).await?;
            }
            None => return Err(AttestFailed::Protocol("it ended without a result")),
        }
    }
    Err(AttestFailed::Protocol("there are too many challenges"))
}

fn proof(attestor: &dyn AgentAttestor) -> impl Fn(AgentError) -> AttestFailed + use<> {
    let attestor = attestor.kind();
    move |source| AttestFailed::Proof { attestor, source }
}

async fn send(out: &Out, step: Step) -> Result<(), AttestFailed> {
    let message = proto::AttestAgentRequest { step: Some(step) };
    let sent = out.send(message).await;
    sent.map_err(|_| AttestFailed::Protocol("it closed the stream"))
}

/// The bundle of the server's trust domain.
async fn get_bundle(channel: Channel) -> Result<Bundle, AttestFailed> {
    let mut client = BundleClient::new(channel);
    let answer = client
        .get_bundle(GetBundleRequest { output_mask: None })
        .await?;
    bundle_from_proto(answer.into_inner()).map_err(AttestFailed::Bundle)
}
