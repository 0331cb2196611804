//! The [`Server`] port over gRPC, as Signet's and SPIRE's servers speak it.

use super::convert::{chain, instant};
use super::{
    CALL_TIMEOUT, CallError, Chain, Connection, ItemRefused, NewJwt, Server, Signed, X509Request,
};
use async_trait::async_trait;
use signet_model::{AgentReason, EntryId};
use signet_proto::spire::server::agent::v1 as agent;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::svid::v1 as svid;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use std::error::Error;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::Channel;

/// Answers may hold 500 chains.
const MAX_ANSWER: usize = 64 << 20;

/// A server reached over the agent's connection.
pub struct GrpcServer {
    connection: Arc<Connection>,
    refusals: watch::Sender<Option<Refused>>,
}

/// That the server refuses this agent, and the generation of the certificate it refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: AgentReason,
    /// Which of the agent's certificates.
    pub generation: u64,
}

impl GrpcServer {
    /// The server at the other end of this connection.
    pub fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            refusals: watch::Sender::new(None),
        }
    }

    /// Follows refusals of the agent as such.
    pub fn refusals(&self) -> watch::Receiver<Option<Refused>> {
        self.refusals.subscribe()
    }

    /// Changes whenever the agent has another certificate.
    pub fn renewed(&self) -> watch::Receiver<u64> {
        self.connection.renewed()
    }

    /// Makes one call with a time limit, and sorts what went wrong.
    pub async fn call<T, F>(&self, call: impl FnOnce(Channel) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let (channel, generation) = self.channel().await?;
        match tokio::time::timeout(CALL_TIMEOUT, call(channel)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.sort(status, generation).await),
            Err(_) => Err(CallError::Transient {
                message: format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            }),
        }
    }

    /// The channel for a stream, and the generation to sort its end with.
    pub async fn channel(&self) -> Result<(Channel, u64), CallError> {
        self.connection.channel().await.map_err(unreachable)
    }

    /// A new connection for a stream that takes over from another.
    pub async fn another_channel(&self) -> Result<(Channel, u64), CallError> {
        self.connection.another().await.map_err(unreachable)
    }

    /// What a status means. A refusal of a certificate that was replaced meanwhile is no refusal.
    pub async fn sort(&self, status: Status, generation: u64) -> CallError {
        let error = match connect_error(&status) {
            Some(message) => CallError::Transient { message },
            None => CallError::from(status),
        };
        let CallError::Agent(reason) = error else {
            return error;
        };
        if generation != self.connection.generation().await {
            let message = "the call went out with a certificate that was just replaced".to_owned();
            return CallError::Transient { message };
        }
        self.refusals
            .send_replace(Some(Refused { reason, generation }));
        error
    }
}

fn unreachable(error: impl Error + 'static) -> CallError {
    CallError::Transient {
        message: explained(&error),
    }
}

/// The reason why there is no connection, if that is what the status hides.
fn connect_error(status: &Status) -> Option<String> {
    let source = status.source()?;
    signet_tls::ConnectError::find(source).map(|error| explained(error))
}

/// An error with its causes.
pub(crate) fn explained(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[async_trait]
impl Server for GrpcServer {
    async fn new_x509_svids(&self, requests: Vec<X509Request>) -> Result<Vec<Signed>, CallError> {
        let params = requests.into_iter().map(|request| svid::NewX509svidParams {
            entry_id: request.entry_id.to_string(),
            csr: request.csr.into(),
        });
        let message = svid::BatchNewX509svidRequest {
            params: params.collect(),
        };
        let call = |channel| async move {
            let mut client = SvidClient::new(channel).max_decoding_message_size(MAX_ANSWER);
            client.batch_new_x509svid(message).await
        };
        let answer = self.call(call).await?.into_inner();
        Ok(answer.results.into_iter().map(signed).collect())
    }

    async fn new_jwt_svid(
        &self,
        entry: &EntryId,
        audience: &[String],
    ) -> Result<NewJwt, CallError> {
        let message = svid::NewJwtsvidRequest {
            entry_id: entry.to_string(),
            audience: audience.to_vec(),
        };
        let call = |channel| async move { SvidClient::new(channel).new_jwtsvid(message).await };
        let answer = self.call(call).await?.into_inner();
        let jwt = answer.svid.ok_or_else(|| incomplete("the JWT-SVID"))?;
        Ok(NewJwt {
            token: jwt.token.into(),
            issued_at: instant(jwt.issued_at).unwrap_or(UNIX_EPOCH),
            expires_at: instant(jwt.expires_at).ok_or_else(|| incomplete("the expiry"))?,
        })
    }

    async fn renew_agent(&self, csr: Vec<u8>) -> Result<Chain, CallError> {
        let message = agent::RenewAgentRequest {
            params: Some(agent::AgentX509svidParams { csr: csr.into() }),
        };
        let call = |channel| async move { AgentClient::new(channel).renew_agent(message).await };
        let answer = self.call(call).await?.into_inner();
        chain(answer.svid).ok_or_else(|| incomplete("the SVID"))
    }
}

fn signed(result: svid::batch_new_x509svid_response::Result) -> Signed {
    // A SPIRE server leaves the status out for some successes.
    let status = result.status.unwrap_or_default();
    if status.code != 0 {
        return Err(ItemRefused {
            code: status.code,
            message: status.message,
        });
    }
    chain(result.svid).ok_or_else(|| ItemRefused {
        code: tonic::Code::Internal.into(),
        message: "the server sent no SVID".to_owned(),
    })
}

fn incomplete(what: &str) -> CallError {
    CallError::Transient {
        message: format!("the server's answer lacks {what}"),
    }
}
