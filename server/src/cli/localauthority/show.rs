//! `localauthority … show`.

use std::marker::PhantomData;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure};
use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use tonic::transport::Channel;

use super::kind::Kind;
use super::text::{section, value};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Show<K: Kind> {
    #[arg(skip)]
    kind: PhantomData<K>,
}

impl<K: Kind> ClientCommand for Show<K> {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let states = K::show(LocalAuthorityClient::new(channel)).await;
        let step = format!("show the {} authorities", K::NAME);
        let [active, prepared, old] = states.map_err(Failure::call(step))?;
        let shown = [
            section::<K>("Active", active.as_ref()),
            section::<K>("Prepared", prepared.as_ref()),
            section::<K>("Old", old.as_ref()),
        ];
        let json = json!({
            "active": value(active.as_ref()),
            "prepared": value(prepared.as_ref()),
            "old": value(old.as_ref()),
        });
        Ok(Answer::new(shown.join("\n"), json))
    }
}
