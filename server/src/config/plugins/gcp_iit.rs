//! `NodeAttestor "gcp_iit"`, the server's half.

use std::collections::BTreeSet;
use std::path::PathBuf;

use signet_cloud::{Endpoint, gcp};
use signet_config::{Key, Lookup, Section, Unknown};
use signet_http::Roots;
use signet_node_attestor::gcp_iit::{DEFAULT_MAX_METADATA_VALUE_SIZE, KEYS_URL, VARIABLES};

use super::endpoints::Endpoints;
use super::node_attestor::agent_path_template;

const KEYS: [Key; 8] = [
    Key::implemented("projectid_allow_list"),
    Key::implemented("use_instance_metadata"),
    Key::implemented("service_account_file"),
    Key::implemented("allowed_label_keys"),
    Key::implemented("allowed_metadata_keys"),
    Key::implemented("max_metadata_value_size"),
    Key::implemented("agent_path_template"),
    Key::implemented("experimental"),
];

const EXPERIMENTAL: [Key; 4] = [
    Key::implemented("keys_url"),
    Key::implemented("compute_url"),
    Key::implemented("metadata_url"),
    Key::implemented("ca_path"),
];

/// More is refused: the value becomes a selector, which has a limit of its own.
const MAX_METADATA_VALUE_SIZE: i64 = 8192;

/// The `gcp_iit` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpIitSettings {
    /// `projectid_allow_list`, never empty.
    pub projects: BTreeSet<String>,
    /// With `use_instance_metadata`.
    pub metadata: Option<GcpMetadata>,
    /// `agent_path_template`; the attestor has a default.
    pub agent_path_template: Option<String>,
    /// Where Google's keys are.
    pub keys: Endpoint,
}

/// What is asked of Compute Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpMetadata {
    /// As whom.
    pub credentials: GcpCredentials,
    /// `allowed_label_keys`.
    pub label_keys: BTreeSet<String>,
    /// `allowed_metadata_keys`.
    pub metadata_keys: BTreeSet<String>,
    /// `max_metadata_value_size`, in bytes.
    pub max_metadata_value_size: usize,
    /// Where its API is.
    pub compute: Endpoint,
}

/// As whom Google's APIs are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcpCredentials {
    /// A service account with its key in a file.
    File {
        /// The file.
        path: PathBuf,
        /// Who vouches for the token endpoint that it names.
        roots: Roots,
    },
    /// The instance that the server runs on.
    Metadata(Endpoint),
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<GcpIitSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let experimental = data.block("experimental");
    experimental.check(&[&EXPERIMENTAL], Unknown::Warned);
    let endpoints = Endpoints::of(&experimental);
    let projects = set(data, "projectid_allow_list");
    if projects.is_empty() {
        data.problem(
            "projectid_allow_list",
            "is required: no other project may attest",
        );
        return None;
    }
    let size = data.integer("max_metadata_value_size", 0..=MAX_METADATA_VALUE_SIZE);
    let size = size.filter(|size| *size > 0);
    let size = size.map_or(DEFAULT_MAX_METADATA_VALUE_SIZE, |size| {
        usize::try_from(size).expect("from 1 to a small constant")
    });
    let metadata = GcpMetadata {
        credentials: credentials(data, environment, &endpoints),
        label_keys: set(data, "allowed_label_keys"),
        metadata_keys: set(data, "allowed_metadata_keys"),
        max_metadata_value_size: size,
        compute: endpoints.server("compute_url", gcp::COMPUTE_URL),
    };
    let wants_metadata = data.bool("use_instance_metadata").unwrap_or(false);
    Some(GcpIitSettings {
        projects,
        metadata: wants_metadata.then_some(metadata),
        agent_path_template: agent_path_template(data, VARIABLES),
        keys: endpoints.document("keys_url", KEYS_URL),
    })
}

/// As Google's own libraries look for them, the command-line tool's file aside.
fn credentials(
    data: &Section<'_>,
    environment: Lookup<'_>,
    endpoints: &Endpoints<'_, '_>,
) -> GcpCredentials {
    let variable = || environment("GOOGLE_APPLICATION_CREDENTIALS").filter(|path| !path.is_empty());
    let file = data
        .path("service_account_file")
        .or_else(|| variable().map(PathBuf::from));
    match file {
        Some(path) => GcpCredentials::File {
            path,
            roots: endpoints.roots(),
        },
        None => GcpCredentials::Metadata(endpoints.metadata("metadata_url", gcp::METADATA_URL)),
    }
}

pub(super) fn set(data: &Section<'_>, key: &str) -> BTreeSet<String> {
    let texts = data.strings(key).into_iter();
    texts
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}
