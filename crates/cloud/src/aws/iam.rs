//! Identity and Access Management: the roles of an instance profile.

use super::client::{Aws, Call, Identity, Kind};
use super::partition::Service;
use super::{AwsError, xml};

const VERSION: &str = "2010-05-08";
const ACTION: &str = "GetInstanceProfile";

impl Aws {
    /// The ARNs of the roles in an instance profile.
    ///
    /// # Errors
    /// [`AwsError`] says which step failed.
    pub async fn instance_profile_roles(
        &self,
        who: &Identity,
        region: &str,
        profile: &str,
    ) -> Result<Vec<String>, AwsError> {
        let call = Call {
            service: Service::Iam,
            action: ACTION,
            region,
            kind: Kind::Query(VERSION, &[("InstanceProfileName", profile)]),
        };
        let answer = self.call(who, &call).await?;
        let roles = xml::read(&answer, |root| {
            let profile = xml::at(root, &["GetInstanceProfileResult", "InstanceProfile"])?;
            let roles = xml::items(profile, &["Roles"]);
            Some(roles.filter_map(|role| xml::text(role, &["Arn"])).collect())
        });
        roles.ok_or(AwsError::Malformed {
            service: Service::Iam.name(),
            action: ACTION,
        })
    }
}
