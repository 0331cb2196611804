//! Security Token Service: credentials of roles.

use bytes::Bytes;
use signet_crypto::SharedSecret;

use super::client::{Aws, Call, Kind};
use super::credentials::Credentials;
use super::partition::{Partition, Service};
use super::{AwsError, xml};

const VERSION: &str = "2011-06-15";
/// Names this server in the logs of the accounts.
const SESSION: &str = "signet-server";

/// The credentials of a role that `own` may assume.
pub(crate) async fn assume_role(
    aws: &Aws,
    own: &Credentials,
    arn: &str,
) -> Result<Credentials, AwsError> {
    let parameters = [("RoleArn", arn), ("RoleSessionName", SESSION)];
    let action = "AssumeRole";
    let region = region(aws);
    let answer = aws
        .call_with(Some(own), &call(action, region, &parameters))
        .await?;
    read(&answer, action, "AssumeRoleResult")
}

/// The credentials of a role that this process may take by a token of its platform.
pub(crate) async fn assume_role_with_web_identity(
    aws: &Aws,
    arn: &str,
    token: &SharedSecret,
) -> Result<Credentials, AwsError> {
    let session = aws.settings.environment.get("AWS_ROLE_SESSION_NAME");
    let parameters = [
        ("RoleArn", arn),
        ("RoleSessionName", session.unwrap_or(SESSION)),
        ("WebIdentityToken", token.expose()),
    ];
    let action = "AssumeRoleWithWebIdentity";
    let region = region(aws);
    let answer = aws
        .call_with(None, &call(action, region, &parameters))
        .await?;
    read(&answer, action, "AssumeRoleWithWebIdentityResult")
}

fn call<'a>(
    action: &'static str,
    region: &'a str,
    parameters: &'a [(&'a str, &'a str)],
) -> Call<'a> {
    Call {
        service: Service::Sts,
        action,
        region,
        kind: Kind::Query(VERSION, parameters),
    }
}

/// The region of this server, or the one that each partition has had from the start.
fn region(aws: &Aws) -> &str {
    let configured = aws.settings.environment.get("AWS_REGION");
    configured.unwrap_or(match aws.settings.partition {
        Partition::Standard => "us-east-1",
        Partition::China => "cn-north-1",
        Partition::UsGov => "us-gov-west-1",
    })
}

fn read(answer: &Bytes, action: &'static str, result: &str) -> Result<Credentials, AwsError> {
    let found = xml::read(answer, |root| {
        let found = xml::at(root, &[result, "Credentials"])?;
        Credentials::temporary(
            xml::text(found, &["AccessKeyId"])?,
            xml::text(found, &["SecretAccessKey"])?,
            xml::text(found, &["SessionToken"])?,
            &xml::text(found, &["Expiration"])?,
        )
    });
    found.ok_or(AwsError::Malformed {
        service: Service::Sts.name(),
        action,
    })
}
