//! The server's half: has a nonce signed, and says which machine signed it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use signet_cloud::CloudError;
use signet_cloud::azure::{Machine, Machines, Tenants};
use signet_crypto::Random;
use signet_model::{Selector, SelectorError};
use signet_runtime::Clock;
use signet_spiffe::TrustDomain;

use super::KIND;
use super::payload::{Document, FormError, Nonce, Response, check_payload};
use super::signer::{SignerError, Signers};
use crate::network::{Networks, network_selectors};
use crate::{
    AgentPathTemplate, Attested, Challenger, Peer, Refused, ServerAttestor, TemplateError, Value,
};

/// The variables of an agent path template.
pub const VARIABLES: &[&str] = &["PluginName", "TenantID", "SubscriptionID", "VMID"];

const DEFAULT_TEMPLATE: &str =
    "/{{ .PluginName }}/{{ .TenantID }}/{{ .SubscriptionID }}/{{ .VMID }}";

/// Most selectors of a machine: it has at most 50 tags and 8 network interfaces.
const MAX_SELECTORS: usize = 256;

/// What an operator can set.
pub struct AzureImdsConfig {
    /// `tenants`, by domain.
    pub tenants: BTreeMap<String, Tenant>,
    /// `agent_path_template`.
    pub agent_path_template: Option<String>,
}

/// One tenant.
pub struct Tenant {
    /// `restrict_to_subscriptions`; none means any.
    pub subscriptions: BTreeSet<String>,
    /// `allowed_vm_tags`.
    pub tags: BTreeSet<String>,
    /// Who knows its machines.
    pub machines: Machines,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nobody could attest.
    #[error("azure_imds: there is no tenant")]
    NoTenant,
    /// The template cannot be read.
    #[error("azure_imds: agent_path_template cannot be used")]
    Template(#[from] TemplateError),
}

/// What an agent did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The signed document is not believed.
    #[error("the attested document is not believed")]
    Signer(#[source] SignerError),
    /// What was signed is no document.
    #[error("the signed document is malformed")]
    Document(#[source] FormError),
    /// It was signed for another exchange.
    #[error("the document was signed for another nonce")]
    Nonce,
    /// The agent names a tenant that is not configured.
    #[error("the tenant is not in tenants")]
    Tenant,
    /// The tenant's agents may not come from there.
    #[error("the subscription is not in restrict_to_subscriptions")]
    Subscription,
    /// The tenant has no such machine.
    #[error("the tenant has no such machine")]
    Unknown(#[source] CloudError),
    /// The machine is in another subscription than was signed.
    #[error("the machine is in another subscription than the document says")]
    OtherSubscription,
    /// The machine has too much of it.
    #[error("the machine has {0} tags and networks, more than {MAX_SELECTORS}")]
    TooManySelectors(usize),
    /// A value that cannot be a selector.
    #[error("a name or tag of the machine cannot be a selector")]
    Selector(#[from] SelectorError),
}

/// Attests Azure's virtual machines.
pub struct AzureImdsServer {
    trust_domain: TrustDomain,
    tenants: BTreeMap<String, Tenant>,
    template: AgentPathTemplate,
    signers: Signers,
    directory: Tenants,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl AzureImdsServer {
    /// For agents of this trust domain. `directory` knows which ID a tenant's domain has.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong.
    pub fn new(
        trust_domain: TrustDomain,
        config: AzureImdsConfig,
        signers: Signers,
        directory: Tenants,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConfigError> {
        if config.tenants.is_empty() {
            return Err(ConfigError::NoTenant);
        }
        let template = config.agent_path_template.as_deref();
        let template = AgentPathTemplate::given(template, DEFAULT_TEMPLATE, VARIABLES)?;
        let tenants = config.tenants.into_iter();
        Ok(Self {
            trust_domain,
            tenants: tenants
                .map(|(name, one)| (name.to_ascii_lowercase(), one))
                .collect(),
            template,
            signers,
            directory,
            clock,
            random,
        })
    }

    async fn document(&self, signed: &[u8], nonce: &Nonce) -> Result<Document, Refused> {
        let verified = self.signers.verify(signed, self.clock.now()).await;
        let verified = verified.map_err(|error| match error.is_transient() {
            true => Refused::Unavailable(error.into()),
            false => evidence(EvidenceError::Signer(error)),
        })?;
        let document = Document::of(verified);
        let document = document.map_err(|error| evidence(EvidenceError::Document(error)))?;
        if document.get().nonce != nonce.as_str() {
            return Err(evidence(EvidenceError::Nonce));
        }
        Ok(document.into_inner())
    }

    async fn attested(
        &self,
        domain: &str,
        tenant: &Tenant,
        document: &Document,
        scale_set: Option<&str>,
    ) -> Result<Attested, Refused> {
        let tenant_id = self.directory.id(domain).await;
        let tenant_id = tenant_id.map_err(|error| Refused::Unavailable(error.into()))?;
        let machine = tenant.machine(document, scale_set).await?;
        let agent_id = self.template.render(&self.trust_domain, &|name| {
            let value = match name {
                "PluginName" => KIND,
                "TenantID" => &tenant_id,
                "SubscriptionID" => &document.subscription_id,
                "VMID" => &document.vm_id,
                _ => return None,
            };
            Some(Value::Segment(value.to_owned()))
        });
        Ok(Attested {
            agent_id: agent_id.map_err(|error| Refused::AgentId(error.into()))?,
            selectors: tenant.selectors(document, &machine).map_err(evidence)?,
            can_reattest: false,
            first_use: true,
            token: None,
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }
}

#[async_trait]
impl ServerAttestor for AzureImdsServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        _: &Peer,
        challenger: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        check_payload(payload).map_err(|error| Refused::Payload(error.into()))?;
        let nonce = Nonce::new(&*self.random);
        let challenge = nonce.as_str().as_bytes().to_vec();
        let response = Response::parse(&challenger.challenge(challenge).await?);
        let response = response.map_err(|error| Refused::Response(error.into()))?;
        let domain = response.domain.to_ascii_lowercase();
        let tenant = self.tenants.get(&domain);
        let tenant = tenant.ok_or_else(|| evidence(EvidenceError::Tenant))?;
        let document = self.document(&response.signed, &nonce).await?;
        tenant.check_subscription(&document).map_err(evidence)?;
        let scale_set = response.scale_set.as_deref();
        self.attested(&domain, tenant, &document, scale_set).await
    }
}

impl Tenant {
    fn check_subscription(&self, document: &Document) -> Result<(), EvidenceError> {
        let mut allowed = self.subscriptions.iter();
        let is_allowed = allowed.any(|one| one.eq_ignore_ascii_case(&document.subscription_id));
        (is_allowed || self.subscriptions.is_empty())
            .then_some(())
            .ok_or(EvidenceError::Subscription)
    }

    /// The scale set is where the agent says that it is to be looked for; only a machine with the
    /// signed ID is found there.
    async fn machine(
        &self,
        document: &Document,
        scale_set: Option<&str>,
    ) -> Result<Machine, Refused> {
        let (subscription, vm_id) = (&document.subscription_id, &document.vm_id);
        let found = self.machines.by_id(subscription, vm_id, scale_set).await;
        let machine = found.map_err(|error| match error.is_missing() {
            true => evidence(EvidenceError::Unknown(error)),
            false => Refused::Unavailable(error.into()),
        })?;
        if !machine.subscription.eq_ignore_ascii_case(subscription) {
            return Err(evidence(EvidenceError::OtherSubscription));
        }
        Ok(machine)
    }

    fn selectors(
        &self,
        document: &Document,
        machine: &Machine,
    ) -> Result<Vec<Selector>, EvidenceError> {
        let set = machine.scale_set.iter();
        let tags = machine.tags.iter();
        let tags = tags.filter(|(key, _)| self.tags.contains(*key));
        let values = [
            format!("subscription-id:{}", document.subscription_id),
            format!("vm-name:{}", machine.name),
            format!("vm-location:{}", machine.location),
            format!("resource-group:{}", machine.resource_group),
        ];
        let values: Vec<_> = values
            .into_iter()
            .chain(set.map(|name| format!("vmss-name:{name}")))
            .chain(tags.map(|(key, value)| format!("vm-tag:{key}:{value}")))
            .chain(network_selectors(machine, Networks::ByName))
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
