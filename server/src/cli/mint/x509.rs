//! `x509 mint`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use signet_cli::{Answer, ClientCommand, Failure, files, json as spire_json, socket, value};
use signet_crypto::{KeyType, PrivateKey, SecretString};
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::svid::v1::MintX509svidRequest;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::types::{Bundle, X509svid};
use signet_spiffe::{SpiffeId, pem};
use tonic::transport::Channel;

use super::request::request;
use super::{shortened, unusable};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Mint {
    /// The identity
    #[arg(long, value_name = "SPIFFE_ID", value_parser = SpiffeId::parse)]
    spiffe_id: SpiffeId,
    /// How long it lives, as 1h; the server's default if left out
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    ttl: Option<Duration>,
    /// A DNS name; may be given several times
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Write svid.pem, key.pem and bundle.pem into this folder, instead of printing them
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

impl ClientCommand for Mint {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let key = PrivateKey::generate(KeyType::EcP256).map_err(unusable("a new key"))?;
        let csr = request(&key, &self.spiffe_id, &self.dns);
        let csr = csr.map_err(unusable("the certificate request"))?;
        let ttl = value::ttl_seconds(self.ttl.unwrap_or_default()).map_err(Failure::Usage)?;
        let svid = mint(channel.clone(), csr, ttl).await?;
        let bundle = bundle(channel).await?;

        let minted = Minted::new(&svid, &key, &bundle);
        let mut answer = match &self.write {
            Some(folder) => minted.written(folder)?,
            None => Answer::new(minted.shown(), json(&svid, &key, &bundle)),
        };
        answer.problems = shortened("the X509-SVID", svid.expires_at, self.ttl);
        Ok(answer)
    }
}

async fn mint(channel: Channel, csr: Vec<u8>, ttl: i32) -> Result<X509svid, Failure> {
    let request = MintX509svidRequest {
        csr: csr.into(),
        ttl,
    };
    let response = SvidClient::new(channel).mint_x509svid(request).await;
    let response = response.map_err(Failure::call("mint the X509-SVID"))?;
    let svid = response.into_inner().svid;
    svid.filter(|svid| !svid.cert_chain.is_empty())
        .ok_or_else(|| Failure::incomplete("X509-SVID"))
}

async fn bundle(channel: Channel) -> Result<Bundle, Failure> {
    let mut client =
        BundleClient::new(channel).max_decoding_message_size(socket::MAX_MESSAGE_BYTES);
    let response = client.get_bundle(GetBundleRequest::default()).await;
    let bundle = response
        .map_err(Failure::call("get the bundle"))?
        .into_inner();
    if bundle.x509_authorities.is_empty() {
        return Err(Failure::incomplete("X.509 authorities"));
    }
    Ok(bundle)
}

/// All three in PEM.
struct Minted {
    svid: String,
    key: SecretString,
    roots: String,
}

impl Minted {
    fn new(svid: &X509svid, key: &PrivateKey, bundle: &Bundle) -> Self {
        let roots = bundle.x509_authorities.iter().map(|root| &root.asn1);
        Self {
            svid: pem::encode_pem_certs(&svid.cert_chain),
            key: key.pkcs8_pem(),
            roots: pem::encode_pem_certs(roots),
        }
    }

    fn shown(&self) -> String {
        let (svid, key, roots) = (&self.svid, self.key.expose(), &self.roots);
        format!("X509-SVID:\n{svid}\nPrivate key:\n{key}\nRoot CAs:\n{roots}\n")
    }

    fn written(&self, folder: &Path) -> Result<Answer, Failure> {
        let (svid, key) = (folder.join("svid.pem"), folder.join("key.pem"));
        let roots = folder.join("bundle.pem");
        files::write_public(&svid, self.svid.as_bytes())?;
        files::write_private(&key, self.key.expose().as_bytes())?;
        files::write_public(&roots, self.roots.as_bytes())?;
        Ok(Answer::text(format!(
            "X509-SVID written to {}\nPrivate key written to {}\nRoot CAs written to {}\n",
            svid.display(),
            key.display(),
            roots.display()
        )))
    }
}

/// The shape is SPIRE's own, not that of a message.
fn json(svid: &X509svid, key: &PrivateKey, bundle: &Bundle) -> serde_json::Value {
    json!({
        "x509_svid": spire_json::list(&svid.cert_chain, |der| spire_json::bytes(der)),
        "private_key": spire_json::bytes(key.pkcs8_der().expose()),
        "root_cas": spire_json::list(&bundle.x509_authorities, |root| {
            spire_json::bytes(&root.asn1)
        }),
    })
}
