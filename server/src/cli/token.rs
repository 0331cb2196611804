//! `token generate`: a join token, which admits one agent.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use signet_cli::{Answer, Call, ClientCommand, Failure, Target, json, value};
use signet_proto::spire::server::agent::v1::CreateJoinTokenRequest;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::types;
use tonic::transport::Channel;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Token {
    /// Make a join token
    Generate(Call<Generate>),
}

impl Token {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Generate(call) => call.execute(target),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct Generate {
    /// How long the token can be used, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    ttl: i32,
    /// A further SPIFFE ID for the agent, by which entries can name it as their parent
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Option<types::Spiffeid>,
}

impl ClientCommand for Generate {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let nameless = self.spiffe_id.is_none();
        let request = CreateJoinTokenRequest {
            ttl: self.ttl,
            token: String::new(),
            agent_id: self.spiffe_id,
        };
        let token = AgentClient::new(channel)
            .create_join_token(request)
            .await
            .map_err(Failure::call("make the join token"))?
            .into_inner();
        let mut answer = Answer::new(
            format!("Token: {}\n", token.value),
            json::join_token(&token),
        );
        if nameless {
            answer.problems =
                "Warning: no --spiffe-id given, so entries can name this agent only by \
                               its own id\n"
                    .into();
        }
        Ok(answer)
    }
}
