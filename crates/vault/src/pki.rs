//! Authorities signed by a PKI engine: the upstream authority `vault`.
//!
//! The engine signs what the request says, for the time asked; whether that may serve is judged by
//! `signet-upstream`. It keeps no JWT keys, and its roots are known from its answers: a new one comes
//! with the first authority that it signs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use signet_crypto::pem;
use signet_runtime::Stop;
use signet_spiffe::{Certificate, JwtAuthority, X509Authority};
use signet_upstream::{MintedCa, UpstreamAuthority, UpstreamBundle, UpstreamError};
use tokio::sync::watch;

use crate::api::{self, Call};
use crate::{Mount, Vault, VaultError};

/// Longest way up to a root that is read; organizations have one or two intermediates.
const MAX_CHAIN: usize = 8;
const TOO_LONG: &str = "its chain is too long, or a circle";

/// The upstream authority over a PKI engine.
#[derive(Debug)]
pub struct PkiUpstream {
    vault: Arc<Vault>,
    mount: Mount,
    bundle: watch::Sender<Option<Arc<UpstreamBundle>>>,
}

impl PkiUpstream {
    /// Has authorities signed by the engine at `mount`.
    #[must_use]
    pub fn new(vault: Arc<Vault>, mount: Mount) -> Self {
        Self {
            vault,
            mount,
            bundle: watch::Sender::new(None),
        }
    }

    async fn sign(&self, csr: &[u8], ttl: Duration) -> Result<Signed, VaultError> {
        let body = json!({
            "csr": pem::encode("CERTIFICATE REQUEST", csr),
            "use_csr_values": true,
            "ttl": format!("{}s", ttl.as_secs()),
            "format": "pem",
        });
        self.vault.ask(&Call::write(self.path(), body)).await
    }

    fn path(&self) -> String {
        format!("{}/root/sign-intermediate", self.mount)
    }

    fn publish(&self, root: &X509Authority) {
        let bundle = UpstreamBundle {
            x509_authorities: vec![root.clone()],
            jwt_authorities: None,
            wit_authorities: None,
        };
        self.bundle.send_if_modified(|known| {
            let changed = known.as_deref() != Some(&bundle);
            if changed {
                *known = Some(Arc::new(bundle));
            }
            changed
        });
    }
}

#[async_trait]
impl UpstreamAuthority for PkiUpstream {
    fn kind(&self) -> &'static str {
        "vault"
    }

    async fn mint_x509_ca(
        &self,
        csr: &[u8],
        preferred_ttl: Duration,
    ) -> Result<MintedCa, UpstreamError> {
        let signed = self.sign(csr, preferred_ttl).await;
        let signed = signed.map_err(|error| self.upstream_error(error))?;
        let minted = signed.arranged();
        let minted = minted.map_err(|what| {
            let source = api::unusable(&self.path(), what);
            self.upstream_error(source)
        })?;
        self.publish(&minted.roots[0]);
        Ok(minted)
    }

    async fn publish_jwt_key(
        &self,
        _: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        Ok(None)
    }

    fn bundle(&self) -> watch::Receiver<Option<Arc<UpstreamBundle>>> {
        self.bundle.subscribe()
    }

    async fn follow(&self, stop: Stop) {
        stop.stopped().await;
    }
}

impl PkiUpstream {
    fn upstream_error(&self, error: VaultError) -> UpstreamError {
        if error.is_transient() {
            UpstreamError::Unreachable {
                address: self.vault.address(),
                source: Box::new(error),
            }
        } else {
            UpstreamError::Refused(Box::new(error))
        }
    }
}

/// What sign-intermediate answers, in PEM.
#[derive(Debug, Default, Deserialize)]
struct Signed {
    certificate: String,
    #[serde(default)]
    issuing_ca: String,
    #[serde(default)]
    ca_chain: Vec<String>,
}

impl Signed {
    /// Our certificate, those above it in order, and the root: the one that issued itself, or else
    /// the last that is known. Engines differ in what they put where, so the names decide.
    fn arranged(&self) -> Result<MintedCa, &'static str> {
        let ours = certificates(&self.certificate)?;
        let ours = ours.into_iter().next();
        let ours = ours.ok_or("it has no certificate")?;
        let mut above = certificates(&self.issuing_ca)?;
        if self.ca_chain.len() > MAX_CHAIN {
            return Err(TOO_LONG);
        }
        for text in &self.ca_chain {
            above.extend(certificates(text)?);
        }
        let mut chain = vec![ours];
        let root = loop {
            let last = chain.last().expect("it begins with ours");
            let issuer = above
                .iter()
                .find(|one| one.subject_der() == last.issuer_der());
            let issuer = match issuer {
                Some(issuer) if last.subject_der() != last.issuer_der() => issuer.clone(),
                _ if chain.len() > 1 => break chain.pop().expect("more than one"),
                _ => return Err("it lacks the certificate that signed"),
            };
            if chain.len() > MAX_CHAIN {
                return Err(TOO_LONG);
            }
            chain.push(issuer);
        };
        let root = X509Authority::from_der(root.der());
        let root = root.map_err(|_| "the root of its chain is no authority")?;
        Ok(MintedCa {
            chain: chain.iter().map(|one| Arc::clone(one.der())).collect(),
            roots: vec![root],
        })
    }
}

fn certificates(text: &str) -> Result<Vec<Certificate>, &'static str> {
    let blocks = pem::parse(text).map_err(|_| "a certificate is not PEM")?;
    let parsed = blocks
        .iter()
        .filter(|block| block.label == "CERTIFICATE")
        .take(MAX_CHAIN + 1)
        .map(|block| Certificate::parse(block.content.expose()));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|_| "a certificate cannot be read")
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// `root`, and below it one authority after the other, each in PEM.
    fn ladder(length: usize) -> Vec<String> {
        let mut made = Vec::new();
        let mut above: Option<(CertificateParams, KeyPair)> = None;
        for step in 0..length {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let name = format!("authority {step}");
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = match &above {
                None => params.self_signed(&key),
                Some((issuer, issuer_key)) => {
                    params.signed_by(&key, &Issuer::from_params(issuer, issuer_key))
                }
            };
            made.push(certificate.unwrap().pem());
            above = Some((params, key));
        }
        made
    }

    fn der(pem: &str) -> Arc<[u8]> {
        Arc::clone(certificates(pem).unwrap()[0].der())
    }

    fn signed(certificate: &str, issuing_ca: &str, ca_chain: &[&str]) -> Signed {
        Signed {
            certificate: certificate.to_owned(),
            issuing_ca: issuing_ca.to_owned(),
            ca_chain: ca_chain.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_root_engine_answers_with_the_root_alone() {
        let [root, ours] = ladder(2).try_into().unwrap();
        for chain in [&[][..], &[root.as_str()]] {
            let minted = signed(&ours, &root, chain).arranged().unwrap();
            assert_eq!(minted.chain, [der(&ours)]);
            assert_eq!(minted.roots[0].der, der(&root));
        }
    }

    #[test]
    fn an_intermediate_engine_answers_in_any_order() {
        let [root, middle, issuing, ours] = ladder(4).try_into().unwrap();
        let joined = format!("{middle}{root}");
        for chain in [
            &[issuing.as_str(), &middle, &root][..],
            &[root.as_str(), &middle, &issuing],
            &[joined.as_str()],
        ] {
            let minted = signed(&ours, &issuing, chain).arranged().unwrap();
            assert_eq!(minted.chain, [der(&ours), der(&issuing), der(&middle)]);
            assert_eq!(minted.roots[0].der, der(&root));
        }
    }

    #[test]
    fn without_a_self_signed_root_the_last_one_known_is_the_root() {
        let [_, middle, issuing, ours] = ladder(4).try_into().unwrap();
        let minted = signed(&ours, &issuing, &[&middle]).arranged().unwrap();
        assert_eq!(minted.chain, [der(&ours), der(&issuing)]);
        assert_eq!(minted.roots[0].der, der(&middle));
    }

    #[test]
    fn an_answer_without_what_signed_or_of_another_kind_is_refused() {
        let [root, ours] = ladder(2).try_into().unwrap();
        for bad in [
            signed("", &root, &[]),
            signed(&ours, "", &[]),
            signed(&root, &root, &[]),
            signed(&ours, &ladder(1)[0].replace("CERTIFICATE", "X"), &[]),
            signed("-----BEGIN CERTIFICATE-----\nAA", &root, &[]),
            signed(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
                &root,
                &[],
            ),
        ] {
            bad.arranged().unwrap_err();
        }
        let long = ladder(MAX_CHAIN + 3);
        let (ours, above) = long.split_last().unwrap();
        let above: Vec<_> = above.iter().map(String::as_str).collect();
        signed(ours, above[above.len() - 1], &above)
            .arranged()
            .unwrap_err();
    }
}
