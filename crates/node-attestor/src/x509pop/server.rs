//! The server's half: verifies the chain, challenges, and says which agent it is.

use std::sync::Arc;

use async_trait::async_trait;
use signet_crypto::{HashAlgorithm, PublicKey, Random, VerifyError, jose};
use signet_runtime::Clock;
use signet_spiffe::{Bundle, Certificate, SpiffeId, TrustDomain};

use super::KIND;
use super::chain::{self, ChainError, Limits, Roots, VerifiedChain};
use super::leaf::{LeafFacts, names_address};
use super::payload::{Challenge, NONCE_LEN, Nonce, Payload, Response};
use crate::{
    AgentPathTemplate, Attested, BoxError, Challenger, Peer, Refused, ServerAttestor,
    TemplateError, Value,
};

/// What the path of a leaf's SPIFFE ID begins with in the mode `spiffe`.
pub const DEFAULT_SPIFFE_PREFIX: &str = "/spire-exchange/";

/// The variables of an agent path template.
pub const VARIABLES: &[&str] = &[
    "PluginName",
    "Fingerprint",
    "TrustDomain",
    "SerialNumberHex",
    "SerialNumber",
    "SVIDPathTrimmed",
    "Subject.CommonName",
    "Issuer.CommonName",
    "URISanSelectors.*",
];

const EXTERNAL_TEMPLATE: &str = "/{{ .PluginName }}/{{ .Fingerprint }}";
const SPIFFE_TEMPLATE: &str = "/{{ .PluginName }}/{{ .SVIDPathTrimmed }}";

/// Where the trust bundle of our own trust domain is known.
pub trait TrustBundle: Send + Sync {
    /// The bundle as it is now.
    fn bundle(&self) -> Arc<Bundle>;
}

/// Which certificates are accepted.
pub enum Mode {
    /// Those of a PKI of the operator.
    ExternalPki(Roots),
    /// X.509-SVIDs of our own trust domain whose path begins with a prefix.
    Spiffe {
        /// The authorities.
        bundle: Arc<dyn TrustBundle>,
        /// Begins and ends with a slash.
        prefix: String,
    },
}

/// What an operator can set.
pub struct X509PopConfig {
    /// Which certificates are accepted.
    pub mode: Mode,
    /// What an exchange may cost.
    pub limits: Limits,
    /// How agents' IDs are made; by default as the mode has it.
    pub agent_path_template: Option<String>,
    /// Whether the agent's address must be among the leaf's names.
    pub verify_client_ip: bool,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no authority.
    #[error("x509pop: the CA bundle holds no certificate")]
    NoAuthority,
    /// The prefix does not begin and end with a slash.
    #[error("x509pop: spiffe_prefix must begin and end with \"/\"")]
    Prefix,
    /// The template cannot be read.
    #[error("x509pop: agent_path_template cannot be used")]
    Template(#[from] TemplateError),
}

/// What an agent did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The chain does not hold.
    #[error("certificate verification failed")]
    Chain(#[from] ChainError),
    /// The agent's address is not one of the certificate's.
    #[error("the agent's address is not among the IP names of its certificate")]
    Address,
    /// The mode `spiffe` needs a SPIFFE ID of our trust domain behind the prefix.
    #[error("the certificate has no SPIFFE ID with the required prefix")]
    Prefix,
    /// The answer is for another kind of key than the certificate has.
    #[error("the answer is for another kind of key")]
    WrongKind,
    /// The signature is not by the leaf's key over these nonces.
    #[error("challenge response verification failed")]
    Signature(#[source] VerifyError),
}

/// Attests agents by a certificate of theirs.
pub struct X509PopServer {
    trust_domain: TrustDomain,
    mode: Mode,
    limits: Limits,
    template: AgentPathTemplate,
    verify_client_ip: bool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl X509PopServer {
    /// For agents of this trust domain.
    pub fn new(
        trust_domain: TrustDomain,
        config: X509PopConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConfigError> {
        config.mode.check()?;
        let template = config.agent_path_template.as_deref();
        let template =
            AgentPathTemplate::given(template, config.mode.default_template(), VARIABLES)?;
        Ok(Self {
            trust_domain,
            limits: config.limits,
            template,
            verify_client_ip: config.verify_client_ip,
            mode: config.mode,
            clock,
            random,
        })
    }

    fn verify(&self, payload: &[u8], peer: &Peer) -> Result<VerifiedChain, Refused> {
        let most = self.limits.max_intermediates.saturating_add(1);
        let payload =
            Payload::parse(payload, most).map_err(|error| Refused::Payload(error.into()))?;
        let chain = match &self.mode {
            Mode::ExternalPki(roots) => self.verify_chain(&payload, roots)?,
            Mode::Spiffe { bundle, .. } => {
                let roots = Roots::of_bundle(&bundle.bundle());
                self.verify_chain(
                    &payload,
                    &roots.map_err(|e| Refused::Unavailable(e.into()))?,
                )?
            }
        };
        if self.verify_client_ip && !names_address(chain.leaf(), peer.addr) {
            return Err(evidence(EvidenceError::Address));
        }
        Ok(chain)
    }

    fn verify_chain(&self, payload: &Payload, roots: &Roots) -> Result<VerifiedChain, Refused> {
        chain::verify(&payload.certificates, roots, self.limits, self.clock.now())
            .map_err(|error| evidence(error.into()))
    }

    async fn challenge(
        &self,
        key: &PublicKey,
        challenger: &mut dyn Challenger,
    ) -> Result<(), Refused> {
        let mut nonce = Nonce([0; NONCE_LEN]);
        self.random.fill(&mut nonce.0);
        let challenge = match key.curve() {
            None => Challenge::Rsa(nonce),
            Some(_) => Challenge::Ecdsa(nonce),
        };
        let response = challenger.challenge(challenge.encode()).await?;
        let response =
            Response::parse(&response).map_err(|error| Refused::Response(error.into()))?;
        verify_response(key, &nonce, &response).map_err(evidence)
    }

    fn attested(&self, chain: &VerifiedChain) -> Result<Attested, Refused> {
        let facts = LeafFacts::of(chain.leaf(), &self.trust_domain);
        let svid_path = self.svid_path(chain.leaf())?;
        let agent_id = self
            .template
            .render(&self.trust_domain, &|name| match name {
                "SVIDPathTrimmed" => svid_path.clone().map(Value::Path),
                name => facts.value(name, &self.trust_domain).map(Value::Segment),
            });
        Ok(Attested {
            agent_id: agent_id.map_err(|error| Refused::AgentId(error.into()))?,
            selectors: facts.selectors(chain),
            can_reattest: true,
            first_use: false,
            token: None,
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }

    /// In the mode `spiffe`, the path of the leaf's ID behind the prefix, which must be there.
    fn svid_path(&self, leaf: &Certificate) -> Result<Option<String>, Refused> {
        let Mode::Spiffe { prefix, .. } = &self.mode else {
            return Ok(None);
        };
        let uri = leaf.uris().iter().find(|uri| uri.starts_with("spiffe:"));
        let id = uri.and_then(|uri| SpiffeId::parse(uri).ok());
        let id = id.filter(|id| id.trust_domain() == &self.trust_domain);
        let trimmed = id
            .as_ref()
            .and_then(|id| id.path().strip_prefix(prefix.as_str()));
        match trimmed.filter(|path| !path.is_empty()) {
            Some(path) => Ok(Some(path.to_owned())),
            None => Err(evidence(EvidenceError::Prefix)),
        }
    }
}

#[async_trait]
impl ServerAttestor for X509PopServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        peer: &Peer,
        challenger: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let chain = self.verify(payload, peer)?;
        let attested = self.attested(&chain)?;
        self.challenge(&chain.leaf().public_key, challenger).await?;
        Ok(attested)
    }
}

impl Mode {
    fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::ExternalPki(roots) if roots.is_empty() => Err(ConfigError::NoAuthority),
            Self::Spiffe { prefix, .. } if !prefix.starts_with('/') || !prefix.ends_with('/') => {
                Err(ConfigError::Prefix)
            }
            _ => Ok(()),
        }
    }

    fn default_template(&self) -> &'static str {
        match self {
            Self::ExternalPki(_) => EXTERNAL_TEMPLATE,
            Self::Spiffe { .. } => SPIFFE_TEMPLATE,
        }
    }
}

/// Only the algorithm that the key calls for is tried, over exactly our nonce and the agent's.
fn verify_response(
    key: &PublicKey,
    nonce: &Nonce,
    response: &Response,
) -> Result<(), EvidenceError> {
    let verified = match (response, key.curve()) {
        (
            Response::Rsa {
                nonce: agents,
                signature,
            },
            None,
        ) => key.verify_rsa_pss_sha256_any_salt(&nonce.with(agents), signature),
        (
            Response::Ecdsa {
                nonce: agents,
                r,
                s,
            },
            Some(curve),
        ) => {
            let fixed = fixed(r, s, curve.coordinate_len());
            let signature = fixed.and_then(|fixed| jose::ecdsa_fixed_to_der(curve, &fixed).ok());
            let signature = signature.ok_or(EvidenceError::Signature(VerifyError::BadSignature))?;
            key.verify_ecdsa(HashAlgorithm::Sha256, &nonce.with(agents), &signature)
        }
        _ => return Err(EvidenceError::WrongKind),
    };
    verified.map_err(EvidenceError::Signature)
}

/// Both numbers with the same length, `None` if one is longer than the curve's.
fn fixed(r: &[u8], s: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut fixed = vec![0; 2 * len];
    for (number, place) in [r, s].into_iter().zip(fixed.chunks_mut(len)) {
        let start = len.checked_sub(number.len())?;
        place[start..].copy_from_slice(number);
    }
    Some(fixed)
}

fn evidence(error: EvidenceError) -> Refused {
    Refused::Evidence(BoxError::from(error))
}
