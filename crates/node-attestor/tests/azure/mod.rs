//! Azure's login, Resource Graph and Resource Manager, with one machine and one of a scale set, as far as
//! our programs and SPIRE's ask them.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signet_cloud::Endpoint;
use signet_cloud::azure::{AppSecret, Credentials, Machines};
use signet_runtime::Clock;

use crate::web::{Answer, Asked};

pub(crate) const TENANT: &str = "9e85e111-1103-48fc-a933-9533fe47de05";
pub(crate) const SUBSCRIPTION: &str = "5f130ffc-0a3e-4795-b691-4f56a12a5547";
pub(crate) const VM: &str = "bd8e7443-24a0-41f3-b949-8baf4fd1c573";
pub(crate) const PRINCIPAL: &str = "0f6f0b3e-4ba0-4fd6-8a8e-000000000001";
/// Of an identity that machines may share.
pub(crate) const SHARED_PRINCIPAL: &str = "0f6f0b3e-4ba0-4fd6-8a8e-000000000002";
pub(crate) const SCALE_SET_VM: &str = "11111111-24a0-41f3-b949-8baf4fd1c573";

/// 1 June 2026.
pub(crate) const NOW: u64 = 1_780_272_000;

pub(crate) struct At(pub(crate) SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(At(UNIX_EPOCH + Duration::from_secs(NOW)))
}

pub(crate) fn machines(url: &str) -> Machines {
    let credentials = Credentials::Secret {
        app_id: "app".to_owned(),
        secret: AppSecret::new("hunter2".to_owned()),
    };
    let (management, login) = (Endpoint::new(url), Endpoint::new(url));
    Machines::new(management, login, TENANT, credentials, clock()).unwrap()
}

/// The machine's ID, and those of its set and of what is around it, as the Resource Manager writes them;
/// the graph writes its own columns with the group in lower case.
const GROUP: &str =
    "/subscriptions/5f130ffc-0a3e-4795-b691-4f56a12a5547/resourceGroups/FrontEnd/providers";

/// What Azure answers.
pub(crate) fn answer(asked: &Asked) -> Answer {
    let path = asked.line.split_once(' ').unwrap().1;
    let path = path.split('?').next().unwrap();
    let text = match path {
        "/common/discovery/instance" => instances(),
        path if path.ends_with("/.well-known/openid-configuration") => discovery(path),
        path if path.ends_with("/oauth2/v2.0/token") => {
            for right in [
                "grant_type=client_credentials",
                "client_id=app",
                "client_secret=hunter2",
                // Microsoft's libraries write this API by its former name.
                match asked.body.contains("management.core.windows.net") {
                    true => "scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default",
                    false => "scope=https%3A%2F%2Fmanagement.azure.com%2F.default",
                },
            ] {
                assert!(asked.body.contains(right), "{right}");
            }
            r#"{"token_type":"Bearer","expires_in":3599,"access_token":"at"}"#.to_owned()
        }
        _ if !asked.headers.contains("authorization: bearer at") => return Answer::Status(401),
        "/providers/Microsoft.ResourceGraph/resources" => graph(&asked.body),
        path if path.ends_with("/virtualMachineScaleSets/pool/virtualMachines") => scale_set(),
        path if path == format!("/subscriptions/{SUBSCRIPTION}/resources") => listed(&asked.line),
        path if path.ends_with("/virtualMachines/blog") => machine(GROUP),
        path if path.ends_with("/networkInterfaces/nic") => format!(
            r#"{{"name":"nic","properties":{{{SECURITY_GROUP},
            "ipConfigurations":[{{"properties":{{{SUBNET}}}}}]}}}}"#
        ),
        _ => return Answer::Status(404),
    };
    Answer::Ok(text.into_bytes())
}

const SECURITY_GROUP: &str = r#""networkSecurityGroup":{"id":"/subscriptions/5f130ffc-0a3e-4795-b691-4f56a12a5547/resourceGroups/FrontEnd/providers/Microsoft.Network/networkSecurityGroups/webservers"}"#;
const SUBNET: &str = r#""subnet":{"id":"/subscriptions/5f130ffc-0a3e-4795-b691-4f56a12a5547/resourceGroups/FrontEnd/providers/Microsoft.Network/virtualNetworks/vnet/subnets/default"}"#;

/// Where Entra is, as Microsoft's own libraries ask first.
fn instances() -> String {
    format!(
        r#"{{"tenant_discovery_endpoint":"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration",
        "api-version":"1.1","metadata":[{{"preferred_network":"login.microsoftonline.com",
        "preferred_cache":"login.windows.net","aliases":["login.microsoftonline.com"]}}]}}"#
    )
}

/// Of a tenant, in the first version or the second.
fn discovery(path: &str) -> String {
    let host = "https://login.microsoftonline.com";
    let issuer = match path.contains("/v2.0/") {
        true => format!("{host}/{TENANT}/v2.0"),
        false => format!("https://sts.windows.net/{TENANT}/"),
    };
    format!(
        r#"{{"issuer":"{issuer}","jwks_uri":"{host}/common/discovery/keys",
        "authorization_endpoint":"{host}/{TENANT}/oauth2/v2.0/authorize",
        "token_endpoint":"{host}/{TENANT}/oauth2/v2.0/token"}}"#
    )
}

fn graph(question: &str) -> String {
    let is_about = |text: &str| question.contains(text);
    let in_lower_case = GROUP.to_lowercase().replace("microsoft.", "Microsoft.");
    let in_lower_case = in_lower_case.replace("resourcegroups", "resourceGroups");
    let data = match question {
        _ if is_about("virtualmachinescalesets") => format!(
            r#"{{"id":"{in_lower_case}/Microsoft.Compute/virtualMachineScaleSets/pool","name":"pool",
            "location":"eastus","resourceGroup":"frontend","subscriptionId":"{SUBSCRIPTION}"}}"#
        ),
        _ if is_about("networkinterfaces") => r#"{"name":"nic","resourceGroup":"frontend",
            "subnets":[{"vnet":"vnet","name":"default"}],
            "securityGroup":{"resourceGroup":"FrontEnd","name":"webservers"}}"#
            .to_owned(),
        _ if is_about(VM) || is_about(SHARED_PRINCIPAL) || is_about(PRINCIPAL) => {
            machine(&in_lower_case)
        }
        _ => String::new(),
    };
    let count = usize::from(!data.is_empty());
    format!(r#"{{"totalRecords":{count},"count":{count},"data":[{data}]}}"#)
}

/// The machine with all that may be asked of it; its ID is below `base`.
fn machine(base: &str) -> String {
    let profile = format!(
        r#""networkProfile":{{"networkInterfaces":[{{"id":"{GROUP}/Microsoft.Network/networkInterfaces/nic"}}]}}"#
    );
    let in_graph = format!(r#""vmId":"{VM}","resourceGroup":"frontend","#);
    let in_graph = if base == GROUP { "" } else { &in_graph };
    format!(
        r#"{{"id":"{base}/Microsoft.Compute/virtualMachines/blog","name":"blog","location":"eastus",{in_graph}
        "tags":{{"environment":"production","secret":"x"}},"properties":{{"vmId":"{VM}",{profile}}}}}"#
    )
}

/// Machines by an identity of their own.
fn listed(line: &str) -> String {
    let machine = format!(r#"{{"id":"{GROUP}/Microsoft.Compute/virtualMachines/blog"}}"#);
    let is_it = line.contains(PRINCIPAL) && line.contains("principalId");
    let machine = if is_it { &machine } else { "" };
    format!(r#"{{"value":[{machine}]}}"#)
}

fn scale_set() -> String {
    let set = format!("{GROUP}/Microsoft.Compute/virtualMachineScaleSets/pool/virtualMachines/0");
    format!(
        r#"{{"value":[{{"id":"{set}","name":"pool_0","location":"eastus","properties":{{"vmId":"{SCALE_SET_VM}",
        "networkProfile":{{"networkInterfaces":[{{"id":"{set}/networkInterfaces/nic"}}]}},
        "networkProfileConfiguration":{{"networkInterfaceConfigurations":[{{"name":"nic","properties":{{{SECURITY_GROUP},
        "ipConfigurations":[{{"name":"one","properties":{{{SUBNET}}}}}]}}}}]}}}}}}]}}"#
    )
}
