//! `agent`: the attested agents.

mod act;
mod count;
mod explain;
mod filter;
mod list;
mod purge;
mod show;
mod text;

use std::process::ExitCode;

use clap::Subcommand;
use signet_cli::{Call, Target, socket};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use tonic::transport::Channel;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Agent {
    /// List agents
    List(Call<list::List>),
    /// Show one agent and its selectors
    Show(Call<show::Show>),
    /// Say what an agent proved, when and by what, and which entries follow
    Explain(Call<explain::Explain>),
    /// Count agents
    Count(Call<count::Count>),
    /// Forget an agent; it may attest again
    Evict(Call<act::Evict>),
    /// Ban an agent; it may not attest again until it is evicted
    Ban(Call<act::Ban>),
    /// Evict agents that expired some time ago and can attest again by themselves
    Purge(Call<purge::Purge>),
}

impl Agent {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::List(call) => call.execute(target),
            Self::Show(call) => call.execute(target),
            Self::Explain(call) => call.execute(target),
            Self::Count(call) => call.execute(target),
            Self::Evict(call) => call.execute(target),
            Self::Ban(call) => call.execute(target),
            Self::Purge(call) => call.execute(target),
        }
    }
}

fn client(channel: Channel) -> AgentClient<Channel> {
    AgentClient::new(channel).max_decoding_message_size(socket::MAX_MESSAGE_BYTES)
}
