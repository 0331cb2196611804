//! The flags that choose entries, shared by `show` and `count`.

use clap::Args;
use signet_cli::value;
use signet_proto::spire::server::entry::v1::{count_entries_request, list_entries_request};
use signet_proto::spire::types::{FederatesWithMatch, Selector, Spiffeid, federates_with_match};

use crate::cli::matching::{Match, selectors};

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Filter {
    /// Entries of this parent
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    parent_id: Option<Spiffeid>,
    /// Entries of this identity
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    spiffe_id: Option<Spiffeid>,
    /// Entries with these selectors; may be given several times
    #[arg(long, value_name = "SELECTOR", value_parser = value::selector)]
    selector: Vec<Selector>,
    /// Entries that federate with these trust domains; may be given several times
    #[arg(long, value_name = "TRUST_DOMAIN", value_parser = value::trust_domain)]
    federates_with: Vec<String>,
    /// Only entries of downstream servers
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    downstream: Option<bool>,
    /// Entries with this hint
    #[arg(long, value_name = "TEXT")]
    hint: Option<String>,
    /// How the selectors given compare with an entry's
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value_t,
        ignore_case = true
    )]
    match_selectors_on: Match,
    /// How the trust domains given compare with an entry's
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value_t,
        ignore_case = true
    )]
    match_federates_with_on: Match,
}

impl Filter {
    pub(super) fn for_list(self) -> list_entries_request::Filter {
        let how = federates_with_match::MatchBehavior::from(self.match_federates_with_on);
        list_entries_request::Filter {
            by_spiffe_id: self.spiffe_id,
            by_parent_id: self.parent_id,
            by_selectors: selectors(self.selector, self.match_selectors_on),
            by_federates_with: (!self.federates_with.is_empty()).then_some(FederatesWithMatch {
                trust_domains: self.federates_with,
                r#match: how as i32,
            }),
            by_hint: self.hint,
            by_downstream: self.downstream.filter(|only| *only),
        }
    }

    pub(super) fn for_count(self) -> count_entries_request::Filter {
        let list = self.for_list();
        count_entries_request::Filter {
            by_spiffe_id: list.by_spiffe_id,
            by_parent_id: list.by_parent_id,
            by_selectors: list.by_selectors,
            by_federates_with: list.by_federates_with,
            by_hint: list.by_hint,
            by_downstream: list.by_downstream,
        }
    }
}
