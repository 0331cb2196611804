//! `wit mint`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, files, json as spire_json, value};
use signet_crypto::jose::JwsAlgorithm;
use signet_crypto::{KeyType, PrivateKey, SecretString};
use signet_proto::spire::server::svid::v1::MintWitsvidRequest;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::types::{Spiffeid, Witsvid};
use tonic::transport::Channel;

use super::{shortened, unusable};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Mint {
    /// The identity
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Spiffeid,
    /// The key to make: ec-p256, ec-p384, rsa-2048 or rsa-4096
    #[arg(long, value_name = "KEY_TYPE", default_value = "ec-p256")]
    key_type: KeyType,
    /// How proofs are signed with that key, as ES256 or PS256; the usual way of such keys if left out
    #[arg(long, value_name = "ALGORITHM", value_parser = JwsAlgorithm::from_name)]
    signing_algorithm: Option<JwsAlgorithm>,
    /// How long it lives, as 1h; the server's default if left out
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    ttl: Option<Duration>,
    /// Write svid.token and key.pem into this folder, instead of printing them
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

impl ClientCommand for Mint {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let key = PrivateKey::generate(self.key_type).map_err(unusable("a new key"))?;
        let algorithm = algorithm(&key, self.signing_algorithm)?;
        let request = MintWitsvidRequest {
            id: Some(self.spiffe_id),
            public_key: key.public_key().spki_der().to_vec().into(),
            ttl: value::ttl_seconds(self.ttl.unwrap_or_default()).map_err(Failure::Usage)?,
            signing_algorithm: algorithm.name().to_owned(),
        };
        let svid = mint(channel, request).await?;
        let mut answer = match &self.write {
            Some(folder) => written(folder, &svid, &key.pkcs8_pem())?,
            None => shown(&svid, &key),
        };
        answer.problems = shortened("the WIT-SVID", svid.expires_at, self.ttl);
        Ok(answer)
    }
}

fn algorithm(key: &PrivateKey, wanted: Option<JwsAlgorithm>) -> Result<JwsAlgorithm, Failure> {
    let usual = JwsAlgorithm::default_for(key.public_key());
    let algorithm = wanted.unwrap_or(usual);
    match algorithm.fits(key.public_key()) {
        true => Ok(algorithm),
        false => Err(Failure::Usage(format!(
            "{algorithm} is not for such a key; the usual one is {usual}"
        ))),
    }
}

async fn mint(channel: Channel, request: MintWitsvidRequest) -> Result<Witsvid, Failure> {
    let response = SvidClient::new(channel).mint_witsvid(request).await;
    let response = response.map_err(Failure::call("mint the WIT-SVID"))?;
    let svid = response.into_inner().svid;
    svid.filter(|svid| !svid.token.is_empty())
        .ok_or_else(|| Failure::incomplete("WIT-SVID"))
}

fn shown(svid: &Witsvid, key: &PrivateKey) -> Answer {
    let (token, pem) = (&svid.token, key.pkcs8_pem());
    let text = format!("WIT-SVID:\n{token}\n\nPrivate key:\n{}\n", pem.expose());
    let json = json!({
        "svid": spire_json::wit_svid(svid),
        "private_key": spire_json::bytes(key.pkcs8_der().expose()),
    });
    Answer::new(text, json)
}

fn written(folder: &Path, svid: &Witsvid, key: &SecretString) -> Result<Answer, Failure> {
    let (token, pem) = (folder.join("svid.token"), folder.join("key.pem"));
    files::write_private(&token, svid.token.as_bytes())?;
    files::write_private(&pem, key.expose().as_bytes())?;
    Ok(Answer::text(format!(
        "WIT-SVID written to {}\nPrivate key written to {}\n",
        token.display(),
        pem.display()
    )))
}
