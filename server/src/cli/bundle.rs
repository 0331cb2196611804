//! `bundle`: this trust domain's authorities and those of the trust domains federated with.

mod count;
mod delete;
mod document;
mod list;
mod set;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use signet_cli::{Call, Target, socket};
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use tonic::transport::Channel;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Bundle {
    /// Show the bundle of the server's own trust domain
    Show(Call<show::Show>),
    /// Count all bundles, the server's own among them
    Count(Call<count::Count>),
    /// Show the bundles of federated trust domains
    List(Call<list::List>),
    /// Store the bundle of a federated trust domain
    Set(Call<set::Set>),
    /// Delete the bundle of a federated trust domain
    Delete(Call<delete::Delete>),
}

impl Bundle {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Show(call) => call.execute(target),
            Self::Count(call) => call.execute(target),
            Self::List(call) => call.execute(target),
            Self::Set(call) => call.execute(target),
            Self::Delete(call) => call.execute(target),
        }
    }
}

fn client(channel: Channel) -> BundleClient<Channel> {
    BundleClient::new(channel).max_decoding_message_size(socket::MAX_MESSAGE_BYTES)
}
