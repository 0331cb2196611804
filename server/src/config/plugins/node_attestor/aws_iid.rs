//! `aws_iid`, the server's half.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use signet_cloud::aws::{AwsSettings, Environment, Partition, StaticKeys};
use signet_config::{Key, Lookup, Section, Unknown};
use signet_crypto::SharedSecret;
use signet_node_attestor::AgentPathTemplate;
use signet_node_attestor::aws_iid::{AccountList, VARIABLES};

const KEYS: [Key; 11] = [
    Key::implemented("access_key_id"),
    Key::implemented("secret_access_key"),
    Key::implemented("skip_block_device"),
    Key::implemented("disable_instance_profile_selectors"),
    Key::implemented("assume_role"),
    Key::implemented("partition"),
    Key::implemented("agent_path_template"),
    Key::implemented("account_ids_for_local_validation"),
    Key::implemented("verify_organization"),
    Key::implemented("validate_eks_cluster_membership"),
    Key::implemented("region_certificates_path"),
];

const ORGANIZATION_KEYS: [Key; 5] = [
    Key::implemented("management_account_id"),
    Key::implemented("management_account_region"),
    Key::implemented("assume_org_role"),
    Key::implemented("org_account_map_ttl"),
    Key::implemented("account_list_file"),
];

const EKS_KEYS: [Key; 1] = [Key::implemented("eks_cluster_names")];

/// The organization is asked for in one region of its partition, whichever is named.
const DEFAULT_REGION: &str = "us-east-1";
const DEFAULT_ACCOUNTS_TTL: Duration = Duration::from_secs(180);
const MIN_ACCOUNTS_TTL: Duration = Duration::from_secs(60);

/// The `aws_iid` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsIidSettings {
    /// `partition`, `access_key_id` with `secret_access_key`, and the environment.
    pub aws: AwsSettings,
    /// `assume_role`.
    pub assume_role: Option<String>,
    /// `skip_block_device`.
    pub skip_block_device: bool,
    /// `disable_instance_profile_selectors`.
    pub disable_instance_profile_selectors: bool,
    /// `agent_path_template`; the attestor has a default.
    pub agent_path_template: Option<String>,
    /// `account_ids_for_local_validation`.
    pub local_accounts: BTreeSet<String>,
    /// `verify_organization`.
    pub accounts: Option<AccountList>,
    /// `eks_cluster_names` of `validate_eks_cluster_membership`.
    pub clusters: Vec<String>,
    /// `region_certificates_path`, ours.
    pub region_certificates_path: Option<PathBuf>,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<AwsIidSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let template = data.parsed("agent_path_template", |text| {
        AgentPathTemplate::parse(text, VARIABLES).map(|_| text.to_owned())
    });
    let partition = data.parsed("partition", str::parse::<Partition>);
    let (keys, accounts, clusters) = (keys(data), accounts(data), clusters(data));
    let local_accounts = data.strings("account_ids_for_local_validation");
    Some(AwsIidSettings {
        aws: AwsSettings {
            partition: partition.unwrap_or_default(),
            keys: keys?,
            environment: Environment::read(environment),
        },
        assume_role: filled(data, "assume_role"),
        skip_block_device: data.bool("skip_block_device").unwrap_or(false),
        disable_instance_profile_selectors: data
            .bool("disable_instance_profile_selectors")
            .unwrap_or(false),
        agent_path_template: template,
        local_accounts: local_accounts.into_iter().map(str::to_owned).collect(),
        accounts: accounts?,
        clusters: clusters?,
        region_certificates_path: data.path("region_certificates_path"),
    })
}

fn filled(data: &Section<'_>, key: &str) -> Option<String> {
    let text = data.string(key)?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn keys(data: &Section<'_>) -> Option<Option<StaticKeys>> {
    match (
        filled(data, "access_key_id"),
        filled(data, "secret_access_key"),
    ) {
        (None, None) => Some(None),
        (Some(access_key_id), Some(secret)) => Some(Some(StaticKeys {
            access_key_id,
            secret_access_key: SharedSecret::new(secret),
            session_token: None,
        })),
        (Some(_), None) => {
            data.problem("access_key_id", "needs secret_access_key beside it");
            None
        }
        (None, Some(_)) => {
            data.problem("secret_access_key", "needs access_key_id beside it");
            None
        }
    }
}

fn accounts(data: &Section<'_>) -> Option<Option<AccountList>> {
    let block = data.block("verify_organization");
    if !block.is_present() {
        return Some(None);
    }
    block.check(&[&ORGANIZATION_KEYS], Unknown::Warned);
    let of_the_api = ORGANIZATION_KEYS.iter().map(|key| key.name);
    let of_the_api = of_the_api.filter(|name| *name != "account_list_file");
    if let Some(path) = block.path("account_list_file") {
        for key in of_the_api.filter(|key| block.is_set(key)) {
            block.problem(key, "has no place beside account_list_file");
        }
        return Some(Some(AccountList::File(path)));
    }
    let ttl = block.duration("org_account_map_ttl");
    let ttl = ttl.unwrap_or(DEFAULT_ACCOUNTS_TTL);
    if ttl < MIN_ACCOUNTS_TTL {
        block.problem("org_account_map_ttl", "must be at least 1m");
        return None;
    }
    let management_account_id = block.required_string("management_account_id");
    let role = block.required_string("assume_org_role");
    Some(Some(AccountList::Organization {
        management_account_id: management_account_id?.to_owned(),
        role: role?.to_owned(),
        region: filled(&block, "management_account_region")
            .unwrap_or_else(|| DEFAULT_REGION.to_owned()),
        ttl,
    }))
}

fn clusters(data: &Section<'_>) -> Option<Vec<String>> {
    let block = data.block("validate_eks_cluster_membership");
    if !block.is_present() {
        return Some(Vec::new());
    }
    block.check(&[&EKS_KEYS], Unknown::Warned);
    let names = block.strings("eks_cluster_names");
    if names.is_empty() {
        block.problem(
            "eks_cluster_names",
            "is required: any instance would do without",
        );
        return None;
    }
    Some(names.into_iter().map(str::to_owned).collect())
}
