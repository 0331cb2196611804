//! `aws_iid`, the agent's half.

use signet_cloud::aws::metadata::DEFAULT_ENDPOINT;
use signet_config::{Key, Section, Unknown};

const KEYS: [Key; 1] = [Key::implemented("ec2_metadata_endpoint")];

/// The `aws_iid` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsIidSettings {
    /// `ec2_metadata_endpoint`, an `http` URL.
    pub endpoint: String,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>) -> Option<AwsIidSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let endpoint = data.string("ec2_metadata_endpoint");
    let endpoint = endpoint.filter(|url| !url.is_empty());
    let endpoint = endpoint.unwrap_or(DEFAULT_ENDPOINT).to_owned();
    if !endpoint.starts_with("http://") {
        data.problem("ec2_metadata_endpoint", "must begin with http://");
        return None;
    }
    Some(AwsIidSettings { endpoint })
}
