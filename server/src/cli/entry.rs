//! `entry`: which workload gets which identity.

mod attributes;
mod count;
mod create;
mod data;
mod delete;
mod extras;
mod fields;
mod filter;
mod lifetimes;
mod patch;
mod show;
mod text;
mod update;
mod wait;

use std::process::ExitCode;

use clap::Subcommand;
use signet_cli::{Call, Target, socket};
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use tonic::transport::Channel;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Entry {
    /// Create entries, from flags or from a file
    Create(Call<create::Create>),
    /// Replace an entry: what is not given is reset (see patch for the other way)
    Update(Call<update::Update>),
    /// Change only what is given of an entry
    Patch(Call<patch::Patch>),
    /// Show entries
    Show(Call<show::Show>),
    /// Count entries
    Count(Call<count::Count>),
    /// Delete entries
    Delete(Call<delete::Delete>),
}

impl Entry {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Create(call) => call.execute(target),
            Self::Update(call) => call.execute(target),
            Self::Patch(call) => call.execute(target),
            Self::Show(call) => call.execute(target),
            Self::Count(call) => call.execute(target),
            Self::Delete(call) => call.execute(target),
        }
    }
}

fn client(channel: Channel) -> EntryClient<Channel> {
    EntryClient::new(channel).max_decoding_message_size(socket::MAX_MESSAGE_BYTES)
}
