//! The `server` block, save `federation` and `experimental`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use signet_ca::rotation::longest_svid_life;
use signet_config::sections::{LOG_KEYS, PROFILING_KEYS};
use signet_config::{Key, Section, Unknown, format_duration};
use signet_crypto::KeyType;
use signet_spiffe::{SpiffeId, TrustDomain};

use super::{
    AgentPruning, AuthoritySettings, CaSubject, RateLimits, SvidSettings, jwt_alternative,
};

pub(super) const KEYS: [Key; 26] = [
    Key::implemented("trust_domain"),
    Key::implemented("bind_address"),
    Key::implemented("bind_port"),
    Key::implemented("socket_path"),
    Key::implemented("data_dir"),
    Key::implemented("admin_ids"),
    Key::implemented("agent_ttl"),
    Key::implemented("ca_ttl"),
    Key::implemented("ca_key_type"),
    Key::implemented("jwt_key_type"),
    Key::implemented("jwt_alternative"),
    Key::implemented("ca_subject"),
    Key::implemented("default_x509_svid_ttl"),
    Key::implemented("default_jwt_svid_ttl"),
    Key::implemented("disable_jwt_svids"),
    Key::implemented("jwt_issuer"),
    Key::implemented("audit_log_enabled"),
    Key::implemented("prune_attested_nodes_expired_for"),
    Key::implemented("prune_attested_nodes_batch_size"),
    Key::implemented("prune_tofu_nodes"),
    Key::implemented("ratelimit"),
    Key::implemented("federation"),
    Key::implemented("kubernetes"),
    Key::implemented("experimental"),
    Key::ignored(
        "max_attested_node_info_staleness",
        "agents are looked up in memory, which is never stale",
    ),
    Key::refused(
        "proxy_protocol_trusted_cidrs",
        "let the load balancer pass connections on without the PROXY protocol, and remove it",
    ),
];

pub(super) const CA_SUBJECT_KEYS: [Key; 3] = [
    Key::implemented("country"),
    Key::implemented("organization"),
    Key::implemented("common_name"),
];

pub(super) const RATE_LIMIT_KEYS: [Key; 2] =
    [Key::implemented("attestation"), Key::implemented("signing")];

pub(super) const KEY_TYPES: [(&str, KeyType); 4] = [
    ("ec-p256", KeyType::EcP256),
    ("ec-p384", KeyType::EcP384),
    ("rsa-2048", KeyType::Rsa2048),
    ("rsa-4096", KeyType::Rsa4096),
];

const DEFAULT_PORT: u16 = 8081;
const DEFAULT_CA_TTL: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_X509_TTL: Duration = Duration::from_secs(60 * 60);
const DEFAULT_JWT_TTL: Duration = Duration::from_secs(5 * 60);
const DEFAULT_PRUNE_BATCH: usize = 1000;

pub(super) fn check(block: &Section<'_>) {
    block.check(&[&KEYS, &LOG_KEYS, &PROFILING_KEYS], Unknown::Refused);
}

pub(super) fn trust_domain(block: &Section<'_>) -> Option<TrustDomain> {
    block.required_string("trust_domain")?;
    block.parsed("trust_domain", TrustDomain::from_name_or_id)
}

pub(super) fn bind(block: &Section<'_>) -> SocketAddr {
    let address = block.parsed("bind_address", |text| {
        text.parse::<IpAddr>()
            .map_err(|_| format!("{text:?} is no IP address"))
    });
    let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    SocketAddr::new(address, block.port("bind_port").unwrap_or(DEFAULT_PORT))
}

pub(super) fn admin_ids(block: &Section<'_>) -> BTreeSet<SpiffeId> {
    let parse = |text: &str| {
        SpiffeId::parse(text).map_err(|error| format!("{text:?} is no SPIFFE ID: {error}"))
    };
    block.parsed_list("admin_ids", parse).into_iter().collect()
}

pub(super) fn authority(block: &Section<'_>) -> AuthoritySettings {
    let ca_key_type = block
        .choice("ca_key_type", &KEY_TYPES)
        .unwrap_or(KeyType::EcP256);
    AuthoritySettings {
        ttl: block.ttl("ca_ttl").unwrap_or(DEFAULT_CA_TTL),
        ca_key_type,
        jwt_key_type: block
            .choice("jwt_key_type", &KEY_TYPES)
            .unwrap_or(ca_key_type),
        jwt_alternative: jwt_alternative::read(block),
        subject: ca_subject(block),
    }
}

fn ca_subject(block: &Section<'_>) -> CaSubject {
    let subject = block.block("ca_subject");
    subject.check(&[&CA_SUBJECT_KEYS], Unknown::Refused);
    let list = |key| {
        subject
            .strings(key)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (country, organization) = (list("country"), list("organization"));
    let common_name = subject.string("common_name").map(str::to_owned);
    if country.is_empty() && organization.is_empty() && common_name.is_none() {
        return CaSubject::default();
    }
    CaSubject {
        country,
        organization,
        common_name,
    }
}

impl Default for CaSubject {
    fn default() -> Self {
        let (country, organization) = (vec!["US".to_owned()], vec!["SPIFFE".to_owned()]);
        Self {
            country,
            organization,
            common_name: None,
        }
    }
}

pub(super) fn svids(block: &Section<'_>, ca_ttl: Duration) -> SvidSettings {
    let x509_ttl = block
        .ttl("default_x509_svid_ttl")
        .unwrap_or(DEFAULT_X509_TTL);
    let settings = SvidSettings {
        x509_ttl,
        jwt_ttl: block.ttl("default_jwt_svid_ttl").unwrap_or(DEFAULT_JWT_TTL),
        agent_ttl: block.ttl("agent_ttl").unwrap_or(x509_ttl),
        jwt_enabled: !block.bool("disable_jwt_svids").unwrap_or(false),
        jwt_issuer: block.string("jwt_issuer").map(str::to_owned),
    };
    warn_of_cut_ttls(block, &settings, ca_ttl);
    settings
}

/// An SVID does not outlive its authority, and each authority signs until its activation threshold.
fn warn_of_cut_ttls(block: &Section<'_>, svids: &SvidSettings, ca_ttl: Duration) {
    let sure = longest_svid_life(ca_ttl);
    let ttls = [
        ("default_x509_svid_ttl", svids.x509_ttl),
        ("default_jwt_svid_ttl", svids.jwt_ttl),
        ("agent_ttl", svids.agent_ttl),
    ];
    for (key, ttl) in ttls {
        let follows = key == "agent_ttl" && ttl == svids.x509_ttl && !block.is_set(key);
        if ttl > sure && !follows {
            let (ttl, sure) = (format_duration(ttl), format_duration(sure));
            let wanted = format_duration(wanted_ca_ttl(svids));
            block.warn(key, format!(
                "{ttl} will often be cut short: with this ca_ttl an SVID is sure of {sure} only; \
                 lower it, or raise ca_ttl to {wanted}",
            ));
        }
    }
}

/// The `ca_ttl` under which none of the lifetimes is cut; nothing helps over what any is sure of.
fn wanted_ca_ttl(svids: &SvidSettings) -> Duration {
    let longest = svids.x509_ttl.max(svids.jwt_ttl).max(svids.agent_ttl);
    longest.min(longest_svid_life(Duration::MAX)) * 6
}

pub(super) fn rate_limits(block: &Section<'_>) -> RateLimits {
    let limits = block.block("ratelimit");
    limits.check(&[&RATE_LIMIT_KEYS], Unknown::Refused);
    RateLimits {
        attestation: limits.bool("attestation").unwrap_or(true),
        signing: limits.bool("signing").unwrap_or(true),
    }
}

pub(super) fn agent_pruning(block: &Section<'_>) -> Option<AgentPruning> {
    let batch_size = block.integer("prune_attested_nodes_batch_size", 0..=i64::from(u32::MAX));
    let batch_size = batch_size
        .filter(|size| *size > 0)
        .and_then(|size| usize::try_from(size).ok());
    let tofu = block.bool("prune_tofu_nodes").unwrap_or(false);
    let expired_for = block.ttl("prune_attested_nodes_expired_for")?;
    Some(AgentPruning {
        expired_for,
        batch_size: batch_size.unwrap_or(DEFAULT_PRUNE_BATCH),
        tofu,
    })
}
