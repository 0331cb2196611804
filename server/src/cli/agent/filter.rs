//! The flags that choose agents, shared by `list` and `count`.

use clap::Args;
use signet_cli::value;
use signet_proto::spire::server::agent::v1::{count_agents_request, list_agents_request};
use signet_proto::spire::types::Selector;

use crate::cli::matching::{Match, selectors};

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Filter {
    /// Agents with these selectors; may be given several times
    #[arg(long, value_name = "SELECTOR", value_parser = value::selector)]
    selector: Vec<Selector>,
    /// How the selectors given compare with an agent's
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value_t,
        ignore_case = true
    )]
    match_selectors_on: Match,
    /// Agents that attested in this way, as join_token
    #[arg(long, value_name = "TYPE")]
    attestation_type: Option<String>,
    /// Agents that are banned, or that are not
    #[arg(long, value_name = "BOOL", value_parser = value::boolean)]
    banned: Option<bool>,
    /// Agents that can attest again by themselves, or that cannot
    #[arg(long, value_name = "BOOL", value_parser = value::boolean)]
    can_reattest: Option<bool>,
    /// Agents whose SVID ends before this time, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = value::expires_before)]
    expires_before: Option<String>,
}

impl Filter {
    pub(super) fn for_list(self) -> list_agents_request::Filter {
        list_agents_request::Filter {
            by_attestation_type: self.attestation_type.unwrap_or_default(),
            by_selector_match: selectors(self.selector, self.match_selectors_on),
            by_banned: self.banned,
            by_can_reattest: self.can_reattest,
            by_expires_before: self.expires_before.unwrap_or_default(),
        }
    }

    pub(super) fn for_count(self) -> count_agents_request::Filter {
        let list = self.for_list();
        count_agents_request::Filter {
            by_attestation_type: list.by_attestation_type,
            by_selector_match: list.by_selector_match,
            by_banned: list.by_banned,
            by_can_reattest: list.by_can_reattest,
            by_expires_before: list.by_expires_before,
        }
    }
}
