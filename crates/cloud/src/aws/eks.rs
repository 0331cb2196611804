//! Elastic Kubernetes Service, and the Auto Scaling groups that its node groups are made of.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Aws, Call, Identity, Kind};
use super::partition::Service;
use super::sign::encode;
use super::{AwsError, xml};

const AUTO_SCALING_VERSION: &str = "2011-01-01";
/// Pages of 100 node groups: a cluster has 30 unless AWS raised its quota.
const MAX_PAGES: usize = 20;
/// Groups that are asked for in one call, as AWS limits it.
const GROUPS_A_CALL: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeGroups {
    nodegroups: Vec<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Described {
    nodegroup: NodeGroup,
}

#[derive(Deserialize)]
struct NodeGroup {
    resources: Option<Resources>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    #[serde(default)]
    auto_scaling_groups: Vec<AutoScalingGroup>,
}

#[derive(Deserialize)]
struct AutoScalingGroup {
    name: String,
}

impl Aws {
    /// Whether an instance is in a managed node group of this cluster.
    ///
    /// # Errors
    /// [`AwsError`] says which step failed.
    pub async fn is_in_cluster(
        &self,
        who: &Identity,
        region: &str,
        cluster: &str,
        instance: &str,
    ) -> Result<bool, AwsError> {
        let mut groups = BTreeSet::new();
        for name in self.node_groups(who, region, cluster).await? {
            let path = format!(
                "/clusters/{}/node-groups/{}",
                encode(cluster),
                encode(&name)
            );
            let described: Described = self.eks(who, region, "DescribeNodegroup", path).await?;
            let resources = described.nodegroup.resources;
            let found = resources.map(|found| found.auto_scaling_groups);
            groups.extend(
                found
                    .unwrap_or_default()
                    .into_iter()
                    .map(|group| group.name),
            );
        }
        let groups: Vec<_> = groups.into_iter().collect();
        for some in groups.chunks(GROUPS_A_CALL) {
            if self.groups_hold(who, region, some, instance).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn node_groups(
        &self,
        who: &Identity,
        region: &str,
        cluster: &str,
    ) -> Result<Vec<String>, AwsError> {
        const ACTION: &str = "ListNodegroups";
        let (mut names, mut query) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let path = format!("/clusters/{}/node-groups{query}", encode(cluster));
            let page: NodeGroups = self.eks(who, region, ACTION, path).await?;
            names.extend(page.nodegroups);
            match page.next_token {
                Some(token) => query = format!("?nextToken={}", encode(&token)),
                None => return Ok(names),
            }
        }
        Err(AwsError::TooManyPages {
            service: Service::Eks.name(),
            action: ACTION,
            limit: MAX_PAGES,
        })
    }

    async fn eks<T: DeserializeOwned>(
        &self,
        who: &Identity,
        region: &str,
        action: &'static str,
        path: String,
    ) -> Result<T, AwsError> {
        let service = Service::Eks;
        let call = Call {
            service,
            action,
            region,
            kind: Kind::Rest(path),
        };
        let answer = self.call(who, &call).await?;
        serde_json::from_slice(&answer).map_err(|_| AwsError::Malformed {
            service: service.name(),
            action,
        })
    }

    async fn groups_hold(
        &self,
        who: &Identity,
        region: &str,
        groups: &[String],
        instance: &str,
    ) -> Result<bool, AwsError> {
        let (service, action) = (Service::AutoScaling, "DescribeAutoScalingGroups");
        let names: Vec<_> = (1..=groups.len())
            .map(|number| format!("AutoScalingGroupNames.member.{number}"))
            .collect();
        let named = names.iter().map(String::as_str);
        let parameters: Vec<_> = named.zip(groups.iter().map(String::as_str)).collect();
        let call = Call {
            service,
            action,
            region,
            kind: Kind::Query(AUTO_SCALING_VERSION, &parameters),
        };
        let answer = self.call(who, &call).await?;
        let holds = xml::read(&answer, |root| {
            let groups = xml::at(
                root,
                &["DescribeAutoScalingGroupsResult", "AutoScalingGroups"],
            )?;
            let mut instances =
                xml::items(groups, &[]).flat_map(|group| xml::items(group, &["Instances"]));
            Some(instances.any(|one| xml::text(one, &["InstanceId"]).as_deref() == Some(instance)))
        });
        holds.ok_or(AwsError::Malformed {
            service: service.name(),
            action,
        })
    }
}
