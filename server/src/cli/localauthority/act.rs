//! `localauthority … prepare | activate | taint | revoke`.

use std::marker::PhantomData;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure};
use signet_proto::spire::server::localauthority::v1::AuthorityState;
use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use tonic::Status;
use tonic::transport::Channel;

use super::kind::Kind;
use super::text::{section, value};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Prepare<K: Kind> {
    #[arg(skip)]
    kind: PhantomData<K>,
}

impl<K: Kind> ClientCommand for Prepare<K> {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let prepared = K::prepare(LocalAuthorityClient::new(channel)).await;
        answer::<K>("prepare", "Prepared", "prepared_authority", prepared)
    }
}

/// The three acts on an authority that the operator names.
macro_rules! act {
    ($(#[$about:meta])* $act:ident $call:ident, $step:literal, $done:literal, $field:literal) => {
        #[derive(Args, Clone, Debug)]
        pub(in crate::cli) struct $act<K: Kind> {
            $(#[$about])*
            #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
            authority_id: String,
            #[arg(skip)]
            kind: PhantomData<K>,
        }

        impl<K: Kind> ClientCommand for $act<K> {
            async fn run(self, channel: Channel) -> Result<Answer, Failure> {
                let client = LocalAuthorityClient::new(channel);
                let done = K::$call(client, self.authority_id).await;
                answer::<K>($step, $done, $field, done)
            }
        }
    };
}

act!(
    /// The prepared authority's ID, as `show` prints it
    Activate activate, "activate", "Activated", "activated_authority"
);
act!(
    /// The old authority's ID, as `show` prints it
    Taint taint, "taint", "Tainted", "tainted_authority"
);
act!(
    /// The tainted authority's ID, as `show` prints it
    Revoke revoke, "revoke", "Revoked", "revoked_authority"
);

fn answer<K: Kind>(
    step: &str,
    done: &str,
    field: &str,
    state: Result<Option<AuthorityState>, Status>,
) -> Result<Answer, Failure> {
    let state = state.map_err(Failure::call(format!("{step} the {} authority", K::NAME)))?;
    let state = state.ok_or_else(|| Failure::incomplete("authority"))?;
    let text = section::<K>(done, Some(&state));
    Ok(Answer::new(text, json!({ field: value(Some(&state)) })))
}
