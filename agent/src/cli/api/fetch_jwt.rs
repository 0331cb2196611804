//! `api fetch jwt`.

use clap::Args;
use serde_json::Value;
use signet_cli::{Answer, ClientCommand, Failure};
use signet_proto::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse,
};
use tonic::transport::Channel;

use super::{Deadline, client, json, refused, with_header};

const STEP: &str = "fetch the JWT-SVIDs";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Jwt {
    #[command(flatten)]
    deadline: Deadline,
    /// Who the tokens are for; several with commas between them
    #[arg(long, value_name = "NAMES", required = true, value_delimiter = ',')]
    audience: Vec<String>,
    /// Only the token of this identity
    #[arg(long, value_name = "SPIFFE_ID")]
    spiffe_id: Option<String>,
}

impl ClientCommand for Jwt {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = JwtsvidRequest {
            audience: self.audience,
            spiffe_id: self.spiffe_id.unwrap_or_default(),
        };
        let both = both(channel, request);
        let (svids, bundles) = self.deadline.limit(STEP, both).await?;
        let json = Value::Array(vec![
            json::jwt_response(&svids),
            json::jwt_bundles(&bundles),
        ]);
        Ok(Answer::new(shown(&svids, &bundles), json))
    }
}

async fn both(
    channel: Channel,
    request: JwtsvidRequest,
) -> Result<(JwtsvidResponse, JwtBundlesResponse), Failure> {
    let mut client = client(channel);
    let svids = client
        .fetch_jwtsvid(with_header(request))
        .await
        .map_err(refused(STEP))?;
    let bundles = client
        .fetch_jwt_bundles(with_header(JwtBundlesRequest {}))
        .await;
    let mut bundles = bundles.map_err(refused(STEP))?.into_inner();
    let bundles = bundles.message().await.map_err(refused(STEP))?;
    let bundles = bundles.ok_or_else(|| Failure::incomplete("JWT bundles"))?;
    Ok((svids.into_inner(), bundles))
}

fn shown(svids: &JwtsvidResponse, bundles: &JwtBundlesResponse) -> String {
    let mut lines = String::new();
    for svid in &svids.svids {
        lines.push_str(&format!("token({}):\n\t{}\n", svid.spiffe_id, svid.svid));
        if !svid.hint.is_empty() {
            lines.push_str(&format!("hint({}):\n\t{}\n", svid.spiffe_id, svid.hint));
        }
    }
    for (trust_domain, bundle) in &bundles.bundles {
        let keys = String::from_utf8_lossy(bundle);
        lines.push_str(&format!("bundle({trust_domain}):\n\t{keys}\n"));
    }
    lines
}
