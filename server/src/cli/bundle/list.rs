//! `bundle list`.

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, json as spire_json, value};
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::bundle::v1::{
    GetFederatedBundleRequest, ListFederatedBundlesRequest,
};
use signet_proto::spire::types;
use tonic::transport::Channel;

use super::client;
use super::document::{self, Format};

/// Bundles asked for at once. Each may hold many keys, so fewer than of other things.
const PAGE_SIZE: i32 = 100;

/// Sets one bundle apart from the next.
const RULE: &str = "****************************************";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct List {
    /// Only the bundle of this trust domain
    #[arg(long, value_name = "TRUST_DOMAIN", value_parser = value::trust_domain)]
    id: Option<String>,
    /// The form of the bundles
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    format: Format,
}

impl ClientCommand for List {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let mut client = client(channel);
        if let Some(trust_domain) = self.id {
            let bundle = one(&mut client, trust_domain).await?;
            let text = document::write(&bundle, self.format)?;
            return Ok(Answer::new(text, spire_json::bundle(&bundle)));
        }
        let bundles = all(&mut client).await?;
        let mut parts = Vec::new();
        for bundle in &bundles {
            let document = document::write(bundle, self.format)?;
            let name = &bundle.trust_domain;
            parts.push(format!("{RULE}\n* spiffe://{name}\n{RULE}\n{document}"));
        }
        let json = json!({
            "bundles": spire_json::list(&bundles, spire_json::bundle),
            "next_page_token": "",
        });
        Ok(Answer::new(parts.join("\n"), json))
    }
}

async fn one(
    client: &mut BundleClient<Channel>,
    trust_domain: String,
) -> Result<types::Bundle, Failure> {
    let request = GetFederatedBundleRequest {
        trust_domain,
        output_mask: None,
    };
    let response = client.get_federated_bundle(request).await;
    Ok(response
        .map_err(Failure::call("show the bundle"))?
        .into_inner())
}

async fn all(client: &mut BundleClient<Channel>) -> Result<Vec<types::Bundle>, Failure> {
    let mut request = ListFederatedBundlesRequest {
        output_mask: None,
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut bundles = Vec::new();
    loop {
        let response = client.list_federated_bundles(request.clone()).await;
        let response = response
            .map_err(Failure::call("list the bundles"))?
            .into_inner();
        bundles.extend(response.bundles);
        if response.next_page_token.is_empty() {
            return Ok(bundles);
        }
        request.page_token = response.next_page_token;
    }
}
