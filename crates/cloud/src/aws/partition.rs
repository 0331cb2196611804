//! Partitions of AWS, and where their services are.

use std::str::FromStr;

/// A set of regions that share accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partition {
    /// `aws`.
    #[default]
    Standard,
    /// `aws-cn`.
    China,
    /// `aws-us-gov`.
    UsGov,
}

/// The name is no partition's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be \"aws\", \"aws-cn\" or \"aws-us-gov\"")]
pub struct UnknownPartition;

impl FromStr for Partition {
    type Err = UnknownPartition;

    fn from_str(name: &str) -> Result<Self, UnknownPartition> {
        [Self::Standard, Self::China, Self::UsGov]
            .into_iter()
            .find(|partition| partition.name() == name)
            .ok_or(UnknownPartition)
    }
}

impl Partition {
    /// As it stands in ARNs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
        }
    }

    /// The ARN of a role.
    #[must_use]
    pub fn role_arn(self, account: &str, role: &str) -> String {
        format!("arn:{}:iam::{account}:role/{role}", self.name())
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::China => "amazonaws.com.cn",
            Self::Standard | Self::UsGov => "amazonaws.com",
        }
    }
}

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Iam,
    Sts,
    Organizations,
    Eks,
    AutoScaling,
}

impl Service {
    /// In signatures, hosts and errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Organizations => "organizations",
            Self::Eks => "eks",
            Self::AutoScaling => "autoscaling",
        }
    }

    /// The variable that names another place for it.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Ec2 => "AWS_ENDPOINT_URL_EC2",
            Self::Iam => "AWS_ENDPOINT_URL_IAM",
            Self::Sts => "AWS_ENDPOINT_URL_STS",
            Self::Organizations => "AWS_ENDPOINT_URL_ORGANIZATIONS",
            Self::Eks => "AWS_ENDPOINT_URL_EKS",
            Self::AutoScaling => "AWS_ENDPOINT_URL_AUTO_SCALING",
        }
    }

    /// Host and the region that signatures name. IAM and Organizations are in one region of a
    /// partition, whichever is asked for.
    pub(crate) fn place(self, partition: Partition, region: &str) -> (String, String) {
        let one = match (self, partition) {
            (Self::Iam, Partition::Standard) => Some(("iam", "us-east-1")),
            (Self::Iam, Partition::China) => Some(("iam.cn-north-1", "cn-north-1")),
            (Self::Iam, Partition::UsGov) => Some(("iam.us-gov", "us-gov-west-1")),
            (Self::Organizations, Partition::Standard) => {
                Some(("organizations.us-east-1", "us-east-1"))
            }
            (Self::Organizations, Partition::China) => {
                Some(("organizations.cn-northwest-1", "cn-northwest-1"))
            }
            (Self::Organizations, Partition::UsGov) => {
                Some(("organizations.us-gov-west-1", "us-gov-west-1"))
            }
            _ => None,
        };
        let suffix = partition.suffix();
        match one {
            Some((host, region)) => (format!("{host}.{suffix}"), region.to_owned()),
            None => (
                format!("{}.{region}.{suffix}", self.name()),
                region.to_owned(),
            ),
        }
    }
}

/// Whether a text has the form of a region's name, so that it can stand in a host name.
pub(crate) fn is_region(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_where_their_partition_has_them() {
        let host = |service: Service, partition, region| service.place(partition, region).0;
        assert_eq!(
            host(Service::Ec2, Partition::Standard, "eu-west-1"),
            "ec2.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            host(Service::Ec2, Partition::China, "cn-north-1"),
            "ec2.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(
            Service::Iam.place(Partition::Standard, "eu-west-1"),
            ("iam.amazonaws.com".to_owned(), "us-east-1".to_owned())
        );
    }

    #[test]
    fn a_partition_has_one_of_three_names() {
        assert_eq!("aws-cn".parse(), Ok(Partition::China));
        assert_eq!("aws-eu".parse::<Partition>(), Err(UnknownPartition));
        assert_eq!(
            Partition::UsGov.role_arn("1", "r"),
            "arn:aws-us-gov:iam::1:role/r"
        );
    }
}
