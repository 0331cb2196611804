//! The server's half: verifies the token, and says whose it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_cloud::CloudError;
use signet_cloud::azure::{Machine, Machines};
use signet_model::{Selector, SelectorError};
use signet_oidc::{Expected, IssuerKeys, Token, TokenError};
use signet_runtime::Clock;
use signet_spiffe::TrustDomain;

use super::KIND;
use super::payload::{FormError, Payload, Principal, uuid};
use crate::network::{Networks, network_selectors};
use crate::{
    AgentPathTemplate, Attested, Challenger, Peer, Refused, ServerAttestor, TemplateError, Value,
};

/// The variables of an agent path template.
pub const VARIABLES: &[&str] = &["PluginName", "TenantID", "PrincipalID"];

const DEFAULT_TEMPLATE: &str = "/{{ .PluginName }}/{{ .TenantID }}/{{ .PrincipalID }}";

/// How far Entra's clock may be from ours; SPIRE's.
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// What an operator can set.
pub struct AzureMsiConfig {
    /// `tenants`, by ID.
    pub tenants: BTreeMap<String, Tenant>,
    /// `agent_path_template`.
    pub agent_path_template: Option<String>,
}

/// One tenant.
pub struct Tenant {
    /// `resource_id`.
    pub resource_id: String,
    /// `subscription_id`.
    pub subscription: Option<String>,
    /// Who knows its machines.
    pub machines: Machines,
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nobody could attest.
    #[error("azure_msi: there is no tenant")]
    NoTenant,
    /// The template cannot be read.
    #[error("azure_msi: agent_path_template cannot be used")]
    Template(#[from] TemplateError),
}

/// What an agent did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The issuer that the token names is that of no configured tenant.
    #[error("the token is of no tenant in tenants")]
    Tenant,
    /// The token is not accepted.
    #[error("the token is not accepted")]
    Token(#[source] TokenError),
    /// It names nobody.
    #[error("the token names no identity")]
    Principal(#[source] FormError),
    /// The signed tenant is another than the issuer's.
    #[error("the token's tenant is not its issuer's")]
    OtherTenant,
    /// The tenant has no machine of this identity, or several.
    #[error("the tenant has no one machine of this identity")]
    Unknown(#[source] CloudError),
    /// A value that cannot be a selector.
    #[error("a name of the machine cannot be a selector")]
    Selector(#[from] SelectorError),
}

/// Attests Azure's virtual machines by their managed identities.
pub struct AzureMsiServer {
    trust_domain: TrustDomain,
    tenants: BTreeMap<String, (Tenant, [String; 1])>,
    template: AgentPathTemplate,
    keys: IssuerKeys,
    clock: Arc<dyn Clock>,
}

impl AzureMsiServer {
    /// For agents of this trust domain. `keys` are Entra's, of all tenants.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong.
    pub fn new(
        trust_domain: TrustDomain,
        config: AzureMsiConfig,
        keys: IssuerKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        if config.tenants.is_empty() {
            return Err(ConfigError::NoTenant);
        }
        let template = config.agent_path_template.as_deref();
        let template = AgentPathTemplate::given(template, DEFAULT_TEMPLATE, VARIABLES)?;
        let tenants = config.tenants.into_iter().map(|(id, tenant)| {
            let audiences = [tenant.resource_id.clone()];
            (id.to_ascii_lowercase(), (tenant, audiences))
        });
        Ok(Self {
            trust_domain,
            tenants: tenants.collect(),
            template,
            keys,
            clock,
        })
    }

    /// The tenant is chosen by the issuer that the token names; it then must be signed in both ways.
    async fn verify(&self, payload: &[u8]) -> Result<(Principal, &Tenant), Refused> {
        let payload = Payload::parse(payload).map_err(|error| Refused::Payload(error.into()))?;
        let token = Token::parse(&payload.token).map_err(|error| Refused::Payload(error.into()))?;
        let issuer = token.claimed_issuer().unwrap_or_default().to_owned();
        let found = tenant_of(&issuer).and_then(|id| self.tenants.get_key_value(&id));
        let (id, (tenant, audiences)) = found.ok_or_else(|| evidence(EvidenceError::Tenant))?;
        let expected = Expected {
            issuer: &issuer,
            audiences,
            leeway: LEEWAY,
        };
        let claims = token.verify(&self.keys, &expected, self.clock.now()).await;
        let claims = claims.map_err(|error| match error.is_transient() {
            true => Refused::Unavailable(error.into()),
            false => evidence(EvidenceError::Token(error)),
        })?;
        let principal = Principal::of(claims);
        let principal = principal.map_err(|error| evidence(EvidenceError::Principal(error)))?;
        if principal.get().tenant_id != *id {
            return Err(evidence(EvidenceError::OtherTenant));
        }
        Ok((principal.into_inner(), tenant))
    }
}

#[async_trait]
impl ServerAttestor for AzureMsiServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        _: &Peer,
        _: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let (principal, tenant) = self.verify(payload).await?;
        let agent_id = self.template.render(&self.trust_domain, &|name| {
            let value = match name {
                "PluginName" => KIND,
                "TenantID" => &principal.tenant_id,
                "PrincipalID" => &principal.principal_id,
                _ => return None,
            };
            Some(Value::Segment(value.to_owned()))
        });
        let agent_id = agent_id.map_err(|error| Refused::AgentId(error.into()))?;
        let (subscription, id) = (tenant.subscription.as_deref(), &principal.principal_id);
        let machine = tenant.machines.by_principal(subscription, id).await;
        let machine = machine.map_err(|error| match error.is_missing() {
            true => evidence(EvidenceError::Unknown(error)),
            false => Refused::Unavailable(error.into()),
        })?;
        Ok(Attested {
            agent_id,
            selectors: selectors(&machine).map_err(|error| evidence(error.into()))?,
            can_reattest: false,
            first_use: true,
            token: None,
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }
}

/// The tenant whose issuer this is, of either version of tokens.
fn tenant_of(issuer: &str) -> Option<String> {
    let first = issuer.strip_prefix("https://sts.windows.net/");
    let first = first.and_then(|rest| rest.strip_suffix('/'));
    let second = issuer.strip_prefix("https://login.microsoftonline.com/");
    let second = second.and_then(|rest| rest.strip_suffix("/v2.0"));
    first.or(second).and_then(uuid)
}

fn selectors(machine: &Machine) -> Result<Vec<Selector>, SelectorError> {
    let values = [
        format!("subscription-id:{}", machine.subscription),
        format!("vm-name:{}:{}", machine.resource_group, machine.name),
    ];
    let values = values
        .into_iter()
        .chain(network_selectors(machine, Networks::WithGroup));
    values.map(|value| Selector::new(KIND, &value)).collect()
}

fn evidence(error: EvidenceError) -> Refused {
    Refused::Evidence(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_issuer_of_entra_names_a_tenant() {
        const ID: &str = "9e85e111-1103-48fc-a933-9533fe47de05";
        let upper = ID.to_uppercase();
        for good in [
            format!("https://sts.windows.net/{ID}/"),
            format!("https://login.microsoftonline.com/{upper}/v2.0"),
        ] {
            assert_eq!(tenant_of(&good).as_deref(), Some(ID), "{good}");
        }
        for bad in [
            format!("https://sts.windows.net/{ID}"),
            format!("https://sts.windows.net/{ID}/../x/"),
            format!("https://sts.windows.net.evil.example/{ID}/"),
            format!("http://sts.windows.net/{ID}/"),
            "https://sts.windows.net//".to_owned(),
            String::new(),
        ] {
            assert_eq!(tenant_of(&bad), None, "{bad}");
        }
    }
}
