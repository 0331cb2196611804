//! `api validate jwt`.

use std::path::Path;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, files};
use signet_proto::workload::{ValidateJwtsvidRequest, ValidateJwtsvidResponse};
use tonic::transport::Channel;

use super::{Deadline, client, json, refused, with_header};

const STEP: &str = "validate the JWT-SVID";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Jwt {
    #[command(flatten)]
    deadline: Deadline,
    /// Who the token must be for
    #[arg(long, value_name = "NAME")]
    audience: String,
    /// The token; - reads it from stdin, where other users cannot see it
    #[arg(long, value_name = "TOKEN")]
    svid: String,
}

impl ClientCommand for Jwt {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let svid = match self.svid.as_str() {
            "-" => files::read_or_stdin(Path::new("-"))?.trim().to_owned(),
            _ => self.svid,
        };
        let request = ValidateJwtsvidRequest {
            audience: self.audience,
            svid,
        };
        let response = self
            .deadline
            .limit(STEP, validate(channel, request))
            .await?;
        let claims = json::object(&response.claims.unwrap_or_default());
        let id = response.spiffe_id;
        let text = format!("SVID is valid.\nSPIFFE ID : {id}\nClaims    : {claims}\n");
        Ok(Answer::new(
            text,
            json!({ "spiffe_id": id, "claims": claims }),
        ))
    }
}

async fn validate(
    channel: Channel,
    request: ValidateJwtsvidRequest,
) -> Result<ValidateJwtsvidResponse, Failure> {
    let response = client(channel).validate_jwtsvid(with_header(request)).await;
    Ok(response.map_err(refused(STEP))?.into_inner())
}
