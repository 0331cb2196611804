//! Elastic Compute Cloud: what an instance is.

use std::time::SystemTime;

use roxmltree::Node;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{Aws, Call, Identity, Kind};
use super::partition::Service;
use super::{AwsError, xml};

const VERSION: &str = "2016-11-15";
const ACTION: &str = "DescribeInstances";

/// An instance as EC2 describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its ID.
    pub id: String,
    /// The account that owns it.
    pub owner: String,
    /// `running` and so on.
    pub state: String,
    /// Key and value of each tag.
    pub tags: Vec<(String, String)>,
    /// ID and name of each security group.
    pub security_groups: Vec<(String, String)>,
    /// The ARN of its instance profile.
    pub instance_profile: Option<String>,
    /// The kind of its root device; `ebs` for a volume.
    pub root_device_type: String,
    /// When the volume under the name of its root device was attached.
    pub root_volume_attached: Option<SystemTime>,
    /// When the network interface with the device index 0 was attached.
    pub first_interface_attached: Option<SystemTime>,
}

impl Aws {
    /// The instance of this ID, `None` if there is none.
    ///
    /// # Errors
    /// [`AwsError`] says which step failed.
    pub async fn describe_instance(
        &self,
        who: &Identity,
        region: &str,
        id: &str,
    ) -> Result<Option<Instance>, AwsError> {
        let call = Call {
            service: Service::Ec2,
            action: ACTION,
            region,
            kind: Kind::Query(VERSION, &[("InstanceId.1", id)]),
        };
        let answer = match self.call(who, &call).await {
            Err(AwsError::Refused { code, .. }) if code == "InvalidInstanceID.NotFound" => {
                return Ok(None);
            }
            answer => answer?,
        };
        let found = xml::read(&answer, |root| {
            let reservations = xml::at(root, &["reservationSet"])?;
            let mut found = xml::items(reservations, &[])
                .flat_map(|reservation| {
                    let owner = xml::text(reservation, &["ownerId"]).unwrap_or_default();
                    xml::items(reservation, &["instancesSet"])
                        .map(move |instance| read(instance, owner.clone()))
                })
                .filter(|instance| instance.id == id);
            Some(found.next())
        });
        found.ok_or(AwsError::Malformed {
            service: Service::Ec2.name(),
            action: ACTION,
        })
    }
}

fn read(instance: Node<'_, '_>, owner: String) -> Instance {
    let text = |path: &[&str]| xml::text(instance, path).unwrap_or_default();
    let pairs = |list: &str, first: &str, second: &str| {
        let pair = |item| Some((xml::text(item, &[first])?, xml::text(item, &[second])?));
        xml::items(instance, &[list]).filter_map(pair).collect()
    };
    let root_device = text(&["rootDeviceName"]);
    Instance {
        id: text(&["instanceId"]),
        owner,
        state: text(&["instanceState", "name"]),
        tags: pairs("tagSet", "key", "value"),
        security_groups: pairs("groupSet", "groupId", "groupName"),
        instance_profile: xml::text(instance, &["iamInstanceProfile", "arn"]),
        root_device_type: text(&["rootDeviceType"]),
        root_volume_attached: xml::items(instance, &["blockDeviceMapping"])
            .find(|device| xml::text(*device, &["deviceName"]).as_ref() == Some(&root_device))
            .and_then(|device| moment(device, &["ebs", "attachTime"])),
        first_interface_attached: xml::items(instance, &["networkInterfaceSet"])
            .find(|one| xml::text(*one, &["attachment", "deviceIndex"]).as_deref() == Some("0"))
            .and_then(|one| moment(one, &["attachment", "attachTime"])),
    }
}

fn moment(node: Node<'_, '_>, path: &[&str]) -> Option<SystemTime> {
    let moment = OffsetDateTime::parse(&xml::text(node, path)?, &Rfc3339);
    moment.ok().map(SystemTime::from)
}
