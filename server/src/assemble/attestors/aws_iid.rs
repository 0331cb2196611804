//! The `aws_iid` attestor as configured.

use std::path::Path;
use std::sync::Arc;

use super::super::StartError;
use super::super::data_dir::at;
use crate::config::AwsIidSettings;
use crate::running::Parts;
use signet_cloud::aws::Aws;
use signet_node_attestor::aws_iid::{AwsIidConfig, AwsIidServer, LiveCloud, RegionCertificates};

pub(super) fn open(settings: &AwsIidSettings, parts: &Parts) -> Result<AwsIidServer, StartError> {
    let aws = Aws::new(settings.aws.clone(), parts.clock.clone()).map_err(unusable)?;
    let cloud = LiveCloud::new(aws, settings.assume_role.clone());
    let mut regions = RegionCertificates::built_in();
    if let Some(path) = &settings.region_certificates_path {
        regions = regions.and(read_regions(path)?);
    }
    let config = AwsIidConfig {
        regions,
        agent_path_template: settings.agent_path_template.clone(),
        skip_block_device: settings.skip_block_device,
        disable_instance_profile_selectors: settings.disable_instance_profile_selectors,
        local_accounts: settings.local_accounts.clone(),
        accounts: settings.accounts.clone(),
        clusters: settings.clusters.clone(),
    };
    let trust_domain = parts.trust_domain.clone();
    AwsIidServer::new(trust_domain, config, Arc::new(cloud)).map_err(unusable)
}

fn read_regions(path: &Path) -> Result<RegionCertificates, StartError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(at("node attestor aws_iid: region_certificates_path", path))?;
    let more = RegionCertificates::parse(&text).map_err(unusable)?;
    tracing::warn!(
        path = %path.display(),
        certificates = more.count(),
        "node attestor aws_iid: documents signed by the certificates of this file are believed too"
    );
    Ok(more)
}

fn unusable(source: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Attestor {
        attestor: "aws_iid",
        source: source.into(),
    }
}
