//! Azure's login, Resource Graph and Resource Manager, with one machine, as far as they are asked.

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

/// What Azure answers; `None` to what it does not know.
pub(crate) fn answer(asked: &Asked) -> Answer {
    let base = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/frontend/providers");
    let path = asked.line.split_once(' ').unwrap().1;
    let path = path.split('?').next().unwrap();
    let text = match path {
        path if path.ends_with("/.well-known/openid-configuration") => {
            format!(r#"{{"issuer":"https://sts.windows.net/{TENANT}/"}}"#)
        }
        path if path.ends_with("/oauth2/v2.0/token") => {
            let right = "grant_type=client_credentials&client_id=app\
                         &scope=https%3A%2F%2Fmanagement.azure.com%2F.default&client_secret=hunter2";
            assert_eq!(asked.body, right);
            r#"{"token_type":"Bearer","expires_in":3599,"access_token":"at"}"#.to_owned()
        }
        _ if !asked.headers.contains("authorization: bearer at") => return Answer::Status(401),
        "/providers/Microsoft.ResourceGraph/resources" => graph(&base, &asked.body),
        path if path.ends_with("/virtualMachineScaleSets/pool/virtualMachines") => scale_set(&base),
        path if path.contains("/networkInterfaces/") => format!(
            r#"{{"name":"nic","properties":{{"networkSecurityGroup":{{"id":"{base}/Microsoft.Network/networkSecurityGroups/webservers"}},
            "ipConfigurations":[{{"properties":{{"subnet":{{"id":"{base}/Microsoft.Network/virtualNetworks/vnet/subnets/default"}}}}}}]}}}}"#
        ),
        _ => return Answer::Status(404),
    };
    Answer::Ok(text.into_bytes())
}

fn graph(base: &str, question: &str) -> String {
    let is_about = |text: &str| question.contains(text);
    let machine = format!(
        r#"{{"id":"{base}/Microsoft.Compute/virtualMachines/blog","name":"blog","location":"eastus",
        "tags":{{"environment":"production","secret":"x"}},
        "properties":{{"vmId":"{VM}","networkProfile":{{"networkInterfaces":[{{"id":"{base}/Microsoft.Network/networkInterfaces/nic"}}]}}}}}}"#
    );
    let data = match question {
        _ if is_about("virtualmachinescalesets") => {
            format!(r#"{{"id":"{base}/Microsoft.Compute/virtualMachineScaleSets/pool"}}"#)
        }
        _ if is_about(VM) || is_about(PRINCIPAL) => machine,
        _ => String::new(),
    };
    format!(r#"{{"totalRecords":1,"count":1,"data":[{data}]}}"#)
}

fn scale_set(base: &str) -> String {
    let set = format!("{base}/Microsoft.Compute/virtualMachineScaleSets/pool/virtualMachines/0");
    format!(
        r#"{{"value":[{{"id":"{set}","name":"pool_0","location":"eastus","properties":{{"vmId":"{SCALE_SET_VM}",
        "networkProfile":{{"networkInterfaces":[{{"id":"{set}/networkInterfaces/nic"}}]}}}}}}]}}"#
    )
}
