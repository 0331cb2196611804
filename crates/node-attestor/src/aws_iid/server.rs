//! The server's half: verifies the document, asks AWS, and says which agent it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use signet_cloud::aws::{AwsError, Instance};
use signet_model::Selector;
use signet_spiffe::TrustDomain;

use super::KIND;
use super::cloud::Cloud;
use super::document::IdentityDocument;
use super::organization::{AccountList, Accounts};
use super::payload::Payload;
use super::regions::RegionCertificates;
use super::tamper::{self, TamperError};
use super::verify::{self, VerificationError};
use crate::{
    AgentPathTemplate, Attested, BoxError, Challenger, Peer, Refused, ServerAttestor,
    TemplateError, Value,
};

/// The variables of an agent path template.
pub const VARIABLES: &[&str] = &["PluginName", "AccountID", "Region", "InstanceID", "Tags.*"];

const TEMPLATE: &str = "/{{ .PluginName }}/{{ .AccountID }}/{{ .Region }}/{{ .InstanceID }}";

/// States of an instance in which it can have sent something.
const ALIVE: &[&str] = &["pending", "running"];

/// What an operator can set.
pub struct AwsIidConfig {
    /// Who signs documents.
    pub regions: RegionCertificates,
    /// How agents' IDs are made.
    pub agent_path_template: Option<String>,
    /// Whether a root volume may have been moved.
    pub skip_block_device: bool,
    /// Whether instance profiles are left alone.
    pub disable_instance_profile_selectors: bool,
    /// Accounts for which AWS is not asked.
    pub local_accounts: BTreeSet<String>,
    /// Which accounts may have nodes; all if there is no list.
    pub accounts: Option<AccountList>,
    /// EKS clusters, of which the instance must be in one; any instance will do if there is none.
    pub clusters: Vec<String>,
}

/// What an agent did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// AWS did not sign the document.
    #[error("the identity document does not hold")]
    Document(#[from] VerificationError),
    /// The account is not in the list.
    #[error("the instance's account is not in the organization or list of accounts")]
    Account,
    /// AWS has no such instance that is alive in this account.
    #[error("AWS has no running instance of this ID in this account and region")]
    NoInstance,
    /// The root volume may have been moved.
    #[error("the instance may have been tampered with")]
    Tampered(#[from] TamperError),
    /// The instance is in none of the clusters.
    #[error("the instance is in no managed node group of the configured EKS clusters")]
    NotInCluster,
}

/// Attests agents by the identity documents of their instances.
pub struct AwsIidServer {
    trust_domain: TrustDomain,
    config: AwsIidConfig,
    template: AgentPathTemplate,
    accounts: Option<Accounts>,
    cloud: Arc<dyn Cloud>,
}

impl AwsIidServer {
    /// For agents of this trust domain.
    ///
    /// # Errors
    /// [`TemplateError`] if the template cannot be used.
    pub fn new(
        trust_domain: TrustDomain,
        config: AwsIidConfig,
        cloud: Arc<dyn Cloud>,
    ) -> Result<Self, TemplateError> {
        let template = config.agent_path_template.as_deref();
        Ok(Self {
            trust_domain,
            template: AgentPathTemplate::given(template, TEMPLATE, VARIABLES)?,
            accounts: config.accounts.clone().map(Accounts::new),
            config,
            cloud,
        })
    }

    async fn check_account(&self, account: &str) -> Result<(), Refused> {
        let Some(accounts) = &self.accounts else {
            return Ok(());
        };
        let holds = accounts.hold(account, self.cloud.as_ref()).await;
        match holds.map_err(|error| Refused::Unavailable(error.into()))? {
            true => Ok(()),
            false => Err(evidence(EvidenceError::Account)),
        }
    }

    /// The instance as AWS has it, if it passes the checks.
    async fn instance(&self, document: &IdentityDocument) -> Result<Instance, Refused> {
        let (account, region) = (&document.account_id, &document.region);
        let id = &document.instance_id;
        let instance = self.cloud.instance(account, region, id).await;
        let instance = instance.map_err(unavailable)?.filter(|instance| {
            instance.owner == *account && ALIVE.contains(&instance.state.as_str())
        });
        let instance = instance.ok_or_else(|| evidence(EvidenceError::NoInstance))?;
        if !self.config.skip_block_device {
            tamper::check(&instance).map_err(|error| evidence(error.into()))?;
        }
        Ok(instance)
    }

    async fn check_cluster(&self, document: &IdentityDocument) -> Result<(), Refused> {
        let (account, region) = (&document.account_id, &document.region);
        for cluster in &self.config.clusters {
            let id = &document.instance_id;
            let is_in = self.cloud.is_in_cluster(account, region, cluster, id).await;
            if is_in.map_err(unavailable)? {
                return Ok(());
            }
        }
        match self.config.clusters.is_empty() {
            true => Ok(()),
            false => Err(evidence(EvidenceError::NotInCluster)),
        }
    }

    async fn roles(
        &self,
        document: &IdentityDocument,
        instance: &Instance,
    ) -> Result<Vec<String>, Refused> {
        let profile = instance.instance_profile.as_deref().unwrap_or_default();
        let name = profile.rsplit('/').next().unwrap_or_default();
        if self.config.disable_instance_profile_selectors || name.is_empty() {
            return Ok(Vec::new());
        }
        let (account, region) = (&document.account_id, &document.region);
        let roles = self.cloud.roles(account, region, name).await;
        roles.map_err(unavailable)
    }

    fn attested(
        &self,
        document: &IdentityDocument,
        instance: &Instance,
        roles: &[String],
    ) -> Result<Attested, Refused> {
        let value = |name: &str| match name.strip_prefix("Tags.") {
            Some(key) => instance
                .tags
                .iter()
                .find(|tag| tag.0 == key)
                .map(|tag| &*tag.1),
            None => match name {
                "PluginName" => Some(KIND),
                "AccountID" => Some(document.account_id.as_str()),
                "Region" => Some(document.region.as_str()),
                "InstanceID" => Some(document.instance_id.as_str()),
                _ => None,
            },
        };
        let agent_id = self.template.render(&self.trust_domain, &|name| {
            value(name).map(|value| Value::Segment(value.to_owned()))
        });
        Ok(Attested {
            agent_id: agent_id.map_err(|error| Refused::AgentId(error.into()))?,
            selectors: selectors(document, instance, roles)
                .map_err(|error| Refused::Unavailable(error.into()))?,
            can_reattest: false,
            first_use: true,
            token: None,
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }
}

#[async_trait]
impl ServerAttestor for AwsIidServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        _peer: &Peer,
        _challenger: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let payload = Payload::parse(payload).map_err(|error| Refused::Payload(error.into()))?;
        let document = verify::verify(&payload, &self.config.regions);
        let document = document.map_err(|error| evidence(error.into()))?;
        let document = document.get();
        self.check_account(&document.account_id).await?;
        if self.config.local_accounts.contains(&document.account_id) {
            return self.attested(document, &Instance::default(), &[]);
        }
        let instance = self.instance(document).await?;
        self.check_cluster(document).await?;
        let roles = self.roles(document, &instance).await?;
        self.attested(document, &instance, &roles)
    }
}

fn selectors(
    document: &IdentityDocument,
    instance: &Instance,
    roles: &[String],
) -> Result<Vec<Selector>, signet_model::SelectorError> {
    let mut values = vec![
        format!("account_id:{}", document.account_id),
        format!("region:{}", document.region),
        format!("instance:id:{}", document.instance_id),
    ];
    values.extend(
        document
            .availability_zone
            .iter()
            .map(|az| format!("az:{az}")),
    );
    values.extend(document.image_id.iter().map(|id| format!("image:id:{id}")));
    values.extend(
        instance
            .tags
            .iter()
            .map(|(key, value)| format!("tag:{key}:{value}")),
    );
    for (id, name) in &instance.security_groups {
        values.push(format!("sg:id:{id}"));
        values.push(format!("sg:name:{name}"));
    }
    values.extend(roles.iter().map(|arn| format!("iamrole:{arn}")));
    values
        .iter()
        .map(|value| Selector::new(KIND, value))
        .collect()
}

fn evidence(error: EvidenceError) -> Refused {
    Refused::Evidence(BoxError::from(error))
}

fn unavailable(error: AwsError) -> Refused {
    Refused::Unavailable(error.into())
}
