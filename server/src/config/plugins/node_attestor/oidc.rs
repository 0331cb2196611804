//! `NodeAttestor "oidc"`: the issuers whose tokens are accepted.

use std::time::Duration;

use signet_config::{Key, Section, Unknown};
use signet_http::{Addresses, Roots};
use signet_node_attestor::AgentPathTemplate;
use signet_node_attestor::oidc::{
    ClaimName, Condition, DEFAULT_TEMPLATE, MAX_LEEWAY, Pattern, VARIABLES,
};
use signet_oidc::IssuerUrl;

const KEYS: [Key; 1] = [Key::implemented("issuer")];

const ISSUER_KEYS: [Key; 10] = [
    Key::implemented("audiences"),
    Key::implemented("claim"),
    Key::implemented("agent_path_template"),
    Key::implemented("selector_claims"),
    Key::implemented("single_use"),
    Key::implemented("can_reattest"),
    Key::implemented("leeway"),
    Key::implemented("jwks_url"),
    Key::implemented("ca_bundle_path"),
    Key::implemented("allow_private_addresses"),
];

const CLAIM_KEYS: [Key; 3] = [
    Key::implemented("equals"),
    Key::implemented("prefix"),
    Key::implemented("glob"),
];

/// How far an issuer's clock may be from ours unless the operator says more.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// One issuer of the `oidc` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIssuerSettings {
    /// The label of the block.
    pub issuer: IssuerUrl,
    /// `audiences`, at least one.
    pub audiences: Vec<String>,
    /// The `claim` blocks, at least one.
    pub conditions: Vec<Condition>,
    /// `agent_path_template`.
    pub agent_path_template: AgentPathTemplate,
    /// `selector_claims`.
    pub selector_claims: Vec<ClaimName>,
    /// `single_use`.
    pub single_use: bool,
    /// `can_reattest`.
    pub can_reattest: bool,
    /// `leeway`.
    pub leeway: Duration,
    /// `jwks_url`; discovery if `None`.
    pub jwks_url: Option<IssuerUrl>,
    /// `ca_bundle_path`.
    pub roots: Roots,
    /// `allow_private_addresses`.
    pub addresses: Addresses,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>) -> Option<Vec<OidcIssuerSettings>> {
    data.check(&[&KEYS], Unknown::Refused);
    let blocks = data.labelled("issuer");
    if blocks.is_empty() {
        data.problem("issuer", "is required: issuer \"https://…\" { … }");
        return None;
    }
    let issuers: Vec<_> = blocks
        .iter()
        .map(|(url, block)| issuer(url, block))
        .collect();
    for (place, (url, block)) in blocks.iter().enumerate() {
        if blocks[..place].iter().any(|(other, _)| other == url) {
            block.problem_here("is configured twice; remove one");
        }
    }
    issuers.into_iter().collect()
}

fn issuer(url: &str, block: &Section<'_>) -> Option<OidcIssuerSettings> {
    block.check(&[&ISSUER_KEYS], Unknown::Refused);
    let issuer = IssuerUrl::parse(url).map_err(|error| block.problem_here(error.to_string()));
    let audiences: Vec<_> = block
        .strings("audiences")
        .into_iter()
        .map(str::to_owned)
        .collect();
    if audiences.iter().all(String::is_empty) {
        block.problem("audiences", "is required: for whom tokens must be meant");
    }
    let conditions = conditions(block);
    let template = block
        .string("agent_path_template")
        .unwrap_or(DEFAULT_TEMPLATE);
    let template = AgentPathTemplate::parse(template, VARIABLES)
        .map_err(|error| block.problem("agent_path_template", error.to_string()));
    let leeway = block.duration("leeway").unwrap_or(DEFAULT_LEEWAY);
    if leeway > MAX_LEEWAY {
        block.problem("leeway", "is longer than 5m");
    }
    Some(OidcIssuerSettings {
        issuer: issuer.ok()?,
        audiences,
        conditions: conditions?,
        agent_path_template: template.ok()?,
        selector_claims: block.parsed_list("selector_claims", ClaimName::new),
        single_use: block.bool("single_use").unwrap_or(true),
        can_reattest: block.bool("can_reattest").unwrap_or(false),
        leeway,
        jwks_url: block.parsed("jwks_url", IssuerUrl::parse),
        roots: block
            .path("ca_bundle_path")
            .map_or(Roots::System, Roots::File),
        addresses: match block.bool("allow_private_addresses") {
            Some(true) => Addresses::Any,
            _ => Addresses::Public,
        },
    })
}

fn conditions(block: &Section<'_>) -> Option<Vec<Condition>> {
    let blocks = block.labelled("claim");
    if blocks.is_empty() {
        block.problem(
            "claim",
            "is required: without a condition every token of the issuer would do",
        );
        return None;
    }
    let read: Vec<_> = blocks
        .iter()
        .map(|(name, block)| condition(name, block))
        .collect();
    read.into_iter().collect()
}

fn condition(name: &str, block: &Section<'_>) -> Option<Condition> {
    block.check(&[&CLAIM_KEYS], Unknown::Refused);
    let mut patterns = block.parsed_list("equals", Pattern::equals);
    patterns.extend(block.parsed_list("prefix", Pattern::prefix));
    patterns.extend(block.parsed_list("glob", Pattern::glob));
    let condition = ClaimName::new(name).and_then(|name| Condition::new(name, patterns));
    condition
        .map_err(|error| block.problem_here(error.to_string()))
        .ok()
}
