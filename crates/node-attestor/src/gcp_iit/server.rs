//! The server's half: verifies the token, and says which instance it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_cloud::CloudError;
use signet_cloud::gcp::{Compute, Instance};
use signet_model::{Selector, SelectorError};
use signet_oidc::{Expected, IssuerKeys, Token, TokenError};
use signet_runtime::Clock;
use signet_spiffe::TrustDomain;

use super::payload::{FactsError, InstanceFacts};
use super::{AUDIENCE, ISSUER, KIND};
use crate::{
    AgentPathTemplate, Attested, Challenger, Peer, Refused, ServerAttestor, TemplateError, Value,
};

/// The variables of an agent path template.
pub const VARIABLES: &[&str] = &[
    "PluginName",
    "ProjectID",
    "InstanceID",
    "ProjectNumber",
    "Zone",
    "InstanceName",
    "InstanceCreationTimestamp",
    "ServiceAccount",
];

/// Longest metadata value that becomes a selector, in bytes, if nothing else is said.
pub const DEFAULT_MAX_METADATA_VALUE_SIZE: usize = 128;

const DEFAULT_TEMPLATE: &str = "/{{ .PluginName }}/{{ .ProjectID }}/{{ .InstanceID }}";

/// How far Google's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);

/// Most selectors of an instance: it has at most 64 tags and 64 labels.
const MAX_SELECTORS: usize = 256;

/// What an operator can set.
pub struct GcpIitConfig {
    /// `projectid_allow_list`.
    pub projects: BTreeSet<String>,
    /// With `use_instance_metadata`.
    pub instance_metadata: Option<InstanceMetadata>,
    /// `agent_path_template`.
    pub agent_path_template: Option<String>,
}

/// What else becomes selectors.
pub struct InstanceMetadata {
    /// Who knows it.
    pub compute: Compute,
    /// `allowed_label_keys`.
    pub label_keys: BTreeSet<String>,
    /// `allowed_metadata_keys`.
    pub metadata_keys: BTreeSet<String>,
    /// `max_metadata_value_size`, in bytes.
    pub max_metadata_value_size: usize,
}

/// What an agent did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The token is not accepted.
    #[error("the identity token is not accepted")]
    Token(#[source] TokenError),
    /// It names no instance.
    #[error("the identity token is not an instance's")]
    Facts(#[from] FactsError),
    /// Its project may not attest.
    #[error("the instance's project is not in projectid_allow_list")]
    Project,
    /// There is no such instance any more.
    #[error("Compute Engine does not know the instance")]
    Unknown(#[source] CloudError),
    /// Another instance has the name now.
    #[error("the instance of this name has another ID than the token")]
    OtherInstance,
    /// A metadata value is longer than allowed.
    #[error(
        "the value of an allowed metadata key has {len} bytes, more than max_metadata_value_size ({limit})"
    )]
    MetadataTooLong {
        /// Bytes found.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The instance has too much of it.
    #[error("the instance has {0} tags, labels and metadata values, more than {MAX_SELECTORS}")]
    TooManySelectors(usize),
    /// A value that cannot be a selector.
    #[error("a tag, label or metadata value cannot be a selector")]
    Selector(#[from] SelectorError),
}

/// Attests Compute Engine instances.
pub struct GcpIitServer {
    trust_domain: TrustDomain,
    config: GcpIitConfig,
    template: AgentPathTemplate,
    audiences: [String; 1],
    keys: IssuerKeys,
    clock: Arc<dyn Clock>,
}

impl GcpIitServer {
    /// For agents of this trust domain. `keys` are Google's.
    ///
    /// # Errors
    /// [`TemplateError`] if the template cannot be read.
    pub fn new(
        trust_domain: TrustDomain,
        config: GcpIitConfig,
        keys: IssuerKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TemplateError> {
        let template = config.agent_path_template.as_deref();
        let template = AgentPathTemplate::given(template, DEFAULT_TEMPLATE, VARIABLES)?;
        Ok(Self {
            trust_domain,
            config,
            template,
            audiences: [AUDIENCE.to_owned()],
            keys,
            clock,
        })
    }

    async fn verify(&self, payload: &[u8]) -> Result<InstanceFacts, Refused> {
        let text = std::str::from_utf8(payload).map_err(|error| Refused::Payload(error.into()))?;
        let expected = Expected {
            issuer: ISSUER,
            audiences: &self.audiences,
            leeway: LEEWAY,
        };
        let token = Token::parse(text).map_err(|error| Refused::Payload(error.into()))?;
        let claims = token.verify(&self.keys, &expected, self.clock.now()).await;
        let claims = claims.map_err(|error| match error.is_transient() {
            true => Refused::Unavailable(error.into()),
            false => evidence(EvidenceError::Token(error)),
        })?;
        let facts = InstanceFacts::of(claims).map_err(|error| evidence(error.into()))?;
        if !self.config.projects.contains(&facts.get().project_id) {
            return Err(evidence(EvidenceError::Project));
        }
        Ok(facts.into_inner())
    }

    async fn metadata_selectors(&self, facts: &InstanceFacts) -> Result<Vec<Selector>, Refused> {
        let Some(metadata) = &self.config.instance_metadata else {
            return Ok(Vec::new());
        };
        let (project, zone, name) = (&facts.project_id, &facts.zone, &facts.instance_name);
        let instance = metadata.compute.instance(project, zone, name).await;
        let instance = instance.map_err(|error| match error.is_missing() {
            true => evidence(EvidenceError::Unknown(error)),
            false => Refused::Unavailable(error.into()),
        })?;
        if instance.id != facts.instance_id {
            return Err(evidence(EvidenceError::OtherInstance));
        }
        metadata.selectors(&instance).map_err(evidence)
    }
}

#[async_trait]
impl ServerAttestor for GcpIitServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        _: &Peer,
        _: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let facts = self.verify(payload).await?;
        let agent_id = self.template.render(&self.trust_domain, &|name| {
            facts.value(name).map(Value::Segment)
        });
        let agent_id = agent_id.map_err(|error| Refused::AgentId(error.into()))?;
        let mut selectors = facts.selectors().map_err(|error| evidence(error.into()))?;
        selectors.extend(self.metadata_selectors(&facts).await?);
        Ok(Attested {
            agent_id,
            selectors,
            can_reattest: false,
            first_use: true,
            token: None,
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }
}

impl InstanceFacts {
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "PluginName" => Some(KIND.to_owned()),
            "ProjectID" => Some(self.project_id.clone()),
            "InstanceID" => Some(self.instance_id.clone()),
            "ProjectNumber" => Some(self.project_number.clone()),
            "Zone" => Some(self.zone.clone()),
            "InstanceName" => Some(self.instance_name.clone()),
            "InstanceCreationTimestamp" => self.created.clone(),
            "ServiceAccount" => self
                .service_account
                .as_ref()
                .map(|email| email.replace('@', "_")),
            _ => None,
        }
    }

    fn selectors(&self) -> Result<Vec<Selector>, SelectorError> {
        let account = self
            .service_account
            .iter()
            .map(|email| format!("sa:{email}"));
        let values = [
            format!("project-id:{}", self.project_id),
            format!("zone:{}", self.zone),
            format!("instance-name:{}", self.instance_name),
        ];
        let values = values.into_iter().chain(account);
        values.map(|value| Selector::new(KIND, &value)).collect()
    }
}

impl InstanceMetadata {
    fn selectors(&self, instance: &Instance) -> Result<Vec<Selector>, EvidenceError> {
        let tags = instance.tags.iter().map(|tag| format!("tag:{tag}"));
        let labels = instance.labels.iter();
        let labels = labels.filter(|(key, _)| self.label_keys.contains(*key));
        let metadata = instance.metadata.iter();
        let metadata: Vec<_> = metadata
            .filter(|(key, _)| self.metadata_keys.contains(*key))
            .collect();
        let limit = self.max_metadata_value_size;
        if let Some((_, value)) = metadata.iter().find(|(_, value)| value.len() > limit) {
            let len = value.len();
            return Err(EvidenceError::MetadataTooLong { len, limit });
        }
        let values: Vec<_> = tags
            .chain(labels.map(|(key, value)| format!("label:{key}:{value}")))
            .chain(
                metadata
                    .into_iter()
                    .map(|(key, value)| format!("metadata:{key}:{value}")),
            )
            .collect();
        if values.len() > MAX_SELECTORS {
            return Err(EvidenceError::TooManySelectors(values.len()));
        }
        let selectors = values.iter().map(|value| Selector::new(KIND, value));
        Ok(selectors.collect::<Result<_, _>>()?)
    }
}

fn evidence(error: EvidenceError) -> Refused {
    Refused::Evidence(error.into())
}
