//! Finding a virtual machine, by what it proved, with the Resource Graph and the Resource Manager.
//!
//! The graph writes names of resource groups in lower case, the Resource Manager as they were given.
//! Selectors hold them and are compared by case, so each question goes where SPIRE's goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use signet_crypto::SecretString;
use signet_runtime::Clock;

use super::Credentials;
use super::machine::{Interface, Machine, ResourceId, Subnet};
use super::tenant::is_uuid;
use crate::rest::{Api, bearer, encoded, named};
use crate::token::Tokens;
use crate::{CloudError, Endpoint};

/// For all questions about one machine.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Most network interfaces asked for: no size of machine has more than eight.
const MAX_INTERFACES: usize = 8;

/// Most pages of a list: a scale set has up to a thousand machines, and a page about a hundred.
const MAX_PAGES: usize = 32;

const MACHINE: &str = "a virtual machine";
const SCALE_SET: &str = "a scale set of that name";
const INTERFACE: &str = "a network interface";

/// The API of a tenant, asked with credentials.
pub struct Machines {
    api: Api,
    tokens: Tokens,
}

#[derive(Deserialize)]
struct Found<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireScaleSet {
    id: String,
    resource_group: Option<String>,
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default = "Vec::new")]
    value: Vec<T>,
    #[serde(rename = "nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMachine {
    id: String,
    /// As the graph writes it; the Resource Manager has it in the ID only.
    resource_group: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    properties: WireProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties {
    #[serde(default)]
    vm_id: String,
    #[serde(default)]
    network_profile: Profile,
    #[serde(default)]
    virtual_machine_scale_set: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(default)]
    network_interfaces: Vec<Named>,
}

#[derive(Deserialize)]
struct WireInterface {
    properties: InterfaceProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceProperties {
    network_security_group: Option<Named>,
    #[serde(default)]
    ip_configurations: Vec<IpConfiguration>,
}

#[derive(Deserialize)]
struct IpConfiguration {
    properties: IpProperties,
}

#[derive(Deserialize)]
struct IpProperties {
    subnet: Option<Named>,
}

impl Machines {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`CloudError`] if a client cannot be set up.
    pub fn new(
        management: Endpoint,
        login: Endpoint,
        tenant: &str,
        credentials: Credentials,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CloudError> {
        Ok(Self {
            api: Api::new(management)?,
            tokens: credentials.tokens(login, tenant, clock)?,
        })
    }

    /// The machine with this ID in a subscription. A machine of a uniform scale set is found only in
    /// the set, whose name somebody must know; others are found whatever the name.
    ///
    /// # Errors
    /// [`CloudError`] says what could not be had.
    pub async fn by_id(
        &self,
        subscription: &str,
        vm_id: &str,
        scale_set: Option<&str>,
    ) -> Result<Machine, CloudError> {
        let (subscription, vm_id) = (
            uuid("the subscription's ID", subscription)?,
            uuid("the machine's ID", vm_id)?,
        );
        self.in_time(async {
            let token = self.tokens.token().await?;
            let with_id = format!("properties.vmId =~ '{vm_id}'");
            let found = self.in_graph(&token, Some(subscription), &with_id).await;
            let found = match (found, scale_set) {
                (Err(CloudError::Missing(_)), Some(name)) => {
                    self.in_scale_set(&token, subscription, name, vm_id).await
                }
                (found, _) => found,
            };
            self.machine(&token, found?).await
        })
        .await
    }

    /// The only machine with this managed identity, in a subscription or any that the credentials
    /// show. The Resource Manager lists machines by identities of their own only; those that share
    /// one are found in the graph.
    ///
    /// # Errors
    /// [`CloudError`] says what could not be had.
    pub async fn by_principal(
        &self,
        subscription: Option<&str>,
        principal: &str,
    ) -> Result<Machine, CloudError> {
        let subscription = subscription
            .map(|id| uuid("the subscription's ID", id))
            .transpose()?;
        let principal = uuid("the principal's ID", principal)?;
        self.in_time(async {
            let token = self.tokens.token().await?;
            let with_identity = format!(
                "identity.principalId =~ '{principal}' or \
                 tostring(identity.userAssignedIdentities) contains '{principal}'"
            );
            let in_graph = || self.in_graph(&token, subscription, &with_identity);
            let found = match subscription {
                Some(_) => None,
                None => Some(in_graph().await?),
            };
            let elsewhere = found
                .as_ref()
                .and_then(|found| ResourceId::parse(&found.id));
            let elsewhere = elsewhere.and_then(|id| id.part("subscriptions"));
            let listed = match subscription.or(elsewhere) {
                Some(subscription) => self.listed(&token, subscription, principal).await?,
                None => None,
            };
            let machine = match (listed, found) {
                (Some(machine), _) | (None, Some(machine)) => machine,
                (None, None) => in_graph().await?,
            };
            self.machine(&token, machine).await
        })
        .await
    }

    async fn in_time<T>(
        &self,
        asking: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let asked = tokio::time::timeout(TIME_LIMIT, asking).await;
        asked.unwrap_or(Err(CloudError::Late(TIME_LIMIT)))
    }

    async fn in_graph(
        &self,
        token: &SecretString,
        subscription: Option<&str>,
        which: &str,
    ) -> Result<WireMachine, CloudError> {
        let query = format!(
            "Resources | where type =~ 'microsoft.compute/virtualmachines' | where {which} \
             | project id, name, location, tags, resourceGroup, properties"
        );
        one(
            MACHINE,
            self.graph(MACHINE, token, subscription, &query).await?,
        )
    }

    async fn graph<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        token: &SecretString,
        subscription: Option<&str>,
        query: &str,
    ) -> Result<Vec<T>, CloudError> {
        // Two are enough to know that there is more than one.
        let options = json!({"resultFormat": "objectArray", "$top": 2});
        let mut question = json!({"query": query, "options": options});
        if let Some(subscription) = subscription {
            question["subscriptions"] = json!([subscription]);
        }
        let path = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01";
        let request = bearer(self.api.post(path), token);
        let request = request.header("content-type", "application/json");
        let found: Found<T> = self
            .api
            .json(what, request, question.to_string().into())
            .await?;
        Ok(found.data)
    }

    /// The machine with this identity of its own, by the ID that the Resource Manager lists it with.
    async fn listed(
        &self,
        token: &SecretString,
        subscription: &str,
        principal: &str,
    ) -> Result<Option<WireMachine>, CloudError> {
        let filter = format!(
            "resourceType eq 'Microsoft.Compute/virtualMachines' and identity/principalId eq '{principal}'"
        );
        let path = format!(
            "/subscriptions/{subscription}/resources?api-version=2021-04-01&$filter={}",
            encoded(&filter)
        );
        let found: Vec<Named> = self.pages(token, path).await?;
        let id = match one(MACHINE, found) {
            Ok(found) => found.id,
            Err(CloudError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = ResourceId::parse(&id).ok_or(CloudError::Name("the machine's ID"))?;
        let path = format!("{}?api-version=2024-07-01", name.as_str());
        let request = bearer(self.api.get(&path), token);
        let machine: WireMachine = self.api.json(MACHINE, request, Bytes::new()).await?;
        let name = name.part("virtualMachines").unwrap_or_default().to_owned();
        Ok(Some(WireMachine {
            id,
            name,
            ..machine
        }))
    }

    async fn in_scale_set(
        &self,
        token: &SecretString,
        subscription: &str,
        name: &str,
        vm_id: &str,
    ) -> Result<WireMachine, CloudError> {
        let name = named("the scale set's name", name)?;
        let query = format!(
            "Resources | where type =~ 'microsoft.compute/virtualmachinescalesets' \
             | where name =~ '{name}' | project id, resourceGroup"
        );
        let set: WireScaleSet = one(
            SCALE_SET,
            self.graph(SCALE_SET, token, Some(subscription), &query)
                .await?,
        )?;
        let id = ResourceId::parse(&set.id).ok_or(CloudError::Name("the scale set's ID"))?;
        let path = format!("{}/virtualMachines?api-version=2024-07-01", id.as_str());
        let machines: Vec<WireMachine> = self.pages(token, path).await?;
        let mut machines = machines.into_iter();
        let found = machines.find(|one| one.properties.vm_id.eq_ignore_ascii_case(vm_id));
        let found = found.ok_or(CloudError::Missing(MACHINE))?;
        Ok(WireMachine {
            resource_group: set.resource_group,
            ..found
        })
    }

    /// All that a list of machines holds.
    async fn pages<T: serde::de::DeserializeOwned>(
        &self,
        token: &SecretString,
        mut path: String,
    ) -> Result<Vec<T>, CloudError> {
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let request = bearer(self.api.get(&path), token);
            let page: Page<T> = self.api.json(MACHINE, request, Bytes::new()).await?;
            all.extend(page.value);
            let Some(next) = page.next else { break };
            let next = self.api.path_of(&next);
            path = next
                .ok_or(CloudError::Name("the next page's URL"))?
                .to_owned();
        }
        Ok(all)
    }

    async fn machine(
        &self,
        token: &SecretString,
        found: WireMachine,
    ) -> Result<Machine, CloudError> {
        let id = ResourceId::parse(&found.id).ok_or(CloudError::Name("the machine's ID"))?;
        let group = found.resource_group.as_deref();
        let group = group.or(id.part("resourceGroups"));
        let group = group.ok_or(CloudError::Name("the machine's ID"))?;
        let properties = found.properties;
        let set = properties.virtual_machine_scale_set.as_ref();
        let set = set.and_then(|set| ResourceId::parse(&set.id)?.part("virtualMachineScaleSets"));
        let set = set.or(id.part("virtualMachineScaleSets"));
        let mut interfaces = Vec::new();
        for interface in properties
            .network_profile
            .network_interfaces
            .iter()
            .take(MAX_INTERFACES)
        {
            interfaces.push(self.interface(token, &interface.id).await?);
        }
        Ok(Machine {
            subscription: id.part("subscriptions").unwrap_or_default().to_owned(),
            resource_group: group.to_owned(),
            scale_set: set.map(str::to_owned),
            name: found.name,
            location: found.location,
            tags: found.tags.unwrap_or_default(),
            interfaces,
        })
    }

    async fn interface(&self, token: &SecretString, id: &str) -> Result<Interface, CloudError> {
        let id = ResourceId::parse(id).ok_or(CloudError::Name("a network interface's ID"))?;
        // Those of a scale set's machines are another provider's.
        let version = match id.part("virtualMachineScaleSets") {
            Some(_) => "2018-10-01",
            None => "2023-11-01",
        };
        let path = format!("{}?api-version={version}", id.as_str());
        let request = bearer(self.api.get(&path), token);
        let found: WireInterface = self.api.json(INTERFACE, request, Bytes::new()).await?;
        let group = found.properties.network_security_group.as_ref();
        let subnets = found.properties.ip_configurations.iter();
        Ok(Interface {
            security_group: group.and_then(|group| security_group(&group.id)),
            subnets: subnets
                .filter_map(|one| subnet(&one.properties.subnet.as_ref()?.id))
                .collect(),
        })
    }
}

fn security_group(id: &str) -> Option<(String, String)> {
    let id = ResourceId::parse(id)?;
    Some((
        id.part("resourceGroups")?.to_owned(),
        id.part("networkSecurityGroups")?.to_owned(),
    ))
}

fn subnet(id: &str) -> Option<Subnet> {
    let id = ResourceId::parse(id)?;
    Some(Subnet {
        resource_group: id.part("resourceGroups")?.to_owned(),
        network: id.part("virtualNetworks")?.to_owned(),
        name: id.part("subnets")?.to_owned(),
    })
}

fn one<T>(what: &'static str, found: Vec<T>) -> Result<T, CloudError> {
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(CloudError::Missing(what)),
        _ => Err(CloudError::Ambiguous(what)),
    }
}

/// As it stands in a query between quotes.
fn uuid<'t>(what: &'static str, text: &'t str) -> Result<&'t str, CloudError> {
    is_uuid(text).then_some(text).ok_or(CloudError::Name(what))
}
