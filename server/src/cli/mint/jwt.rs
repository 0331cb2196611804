//! `jwt mint`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, files, json as spire_json, value};
use signet_proto::spire::server::svid::v1::MintJwtsvidRequest;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::types::Spiffeid;
use tonic::transport::Channel;

use super::shortened;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Mint {
    /// The identity
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Spiffeid,
    /// Who the token is for; may be given several times
    #[arg(long, value_name = "NAME", required = true)]
    audience: Vec<String>,
    /// How long it lives, as 5m; the server's default if left out
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    ttl: Option<Duration>,
    /// Write the token into this file, instead of printing it
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl ClientCommand for Mint {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let ttl = value::ttl_seconds(self.ttl.unwrap_or_default()).map_err(Failure::Usage)?;
        let request = MintJwtsvidRequest {
            id: Some(self.spiffe_id),
            audience: self.audience,
            ttl,
        };
        let response = SvidClient::new(channel).mint_jwtsvid(request).await;
        let response = response.map_err(Failure::call("mint the JWT-SVID"))?;
        let svid = response.into_inner().svid;
        let svid = svid.filter(|svid| !svid.token.is_empty());
        let svid = svid.ok_or_else(|| Failure::incomplete("JWT-SVID"))?;

        let mut answer = match &self.write {
            Some(path) => {
                files::write_private(path, svid.token.as_bytes())?;
                Answer::text(format!("JWT-SVID written to {}\n", path.display()))
            }
            None => {
                let json = json!({ "svid": spire_json::jwt_svid(&svid) });
                Answer::new(format!("{}\n", svid.token), json)
            }
        };
        answer.problems = shortened("the JWT-SVID", svid.expires_at, self.ttl);
        Ok(answer)
    }
}
