//! How a set given in flags is compared with a stored one.

use clap::ValueEnum;
use signet_proto::spire::types::{Selector, SelectorMatch, federates_with_match, selector_match};

/// How a set in the flags compares with a stored one.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Match {
    /// They are the same
    Exact,
    /// They have one in common
    Any,
    /// The stored one has all of those given
    #[default]
    Superset,
    /// The stored one has none but those given
    Subset,
}

impl From<Match> for selector_match::MatchBehavior {
    fn from(how: Match) -> Self {
        match how {
            Match::Exact => Self::MatchExact,
            Match::Any => Self::MatchAny,
            Match::Superset => Self::MatchSuperset,
            Match::Subset => Self::MatchSubset,
        }
    }
}

impl From<Match> for federates_with_match::MatchBehavior {
    fn from(how: Match) -> Self {
        match how {
            Match::Exact => Self::MatchExact,
            Match::Any => Self::MatchAny,
            Match::Superset => Self::MatchSuperset,
            Match::Subset => Self::MatchSubset,
        }
    }
}

/// `None` when no selector was given: an empty match is refused by the server.
pub(super) fn selectors(selectors: Vec<Selector>, how: Match) -> Option<SelectorMatch> {
    (!selectors.is_empty()).then(|| SelectorMatch {
        selectors,
        r#match: selector_match::MatchBehavior::from(how) as i32,
    })
}
