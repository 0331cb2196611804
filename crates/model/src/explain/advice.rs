//! What to do next, as a sentence or as a command to copy.

use std::fmt;

use serde::Serialize;
use signet_spiffe::SpiffeId;

use crate::selector::{Selector, SelectorSet};

/// A sentence or a command. It may hold selectors, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Advice(String);

impl Advice {
    /// The text, for an operator's eyes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The command that creates the entry in question; what is not known is a placeholder.
    pub(super) fn create(
        spiffe_id: Option<&SpiffeId>,
        parent_id: Option<&SpiffeId>,
        selectors: Option<&SelectorSet>,
    ) -> Self {
        let spiffe_id = spiffe_id.map_or_else(|| placeholder("SPIFFE_ID"), word);
        let parent_id = parent_id.map_or_else(|| placeholder("AGENT_ID"), word);
        let selectors = match selectors {
            Some(selectors) => selector_flags(selectors),
            None => format!(" --selector {}", placeholder("SELECTOR")),
        };
        Self(format!(
            "to create an entry: signet-server entry create --spiffe-id {spiffe_id} \
             --parent-id {parent_id}{selectors}"
        ))
    }

    /// The command that asks the server, which knows more than one agent does.
    pub(super) fn ask_server(agent_id: &SpiffeId, selectors: &SelectorSet) -> Self {
        Self(format!(
            "to look over all entries of the server: signet-server why --agent {}{}",
            word(agent_id),
            selector_flags(selectors)
        ))
    }
}

impl fmt::Debug for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Advice([{} bytes])", self.0.len())
    }
}

/// Something the operator fills in.
pub(super) fn placeholder(name: &str) -> String {
    format!("<{name}>")
}

/// Selectors for reading: `a:1, b:2`.
pub(super) fn selector_list(selectors: &SelectorSet) -> String {
    let texts: Vec<_> = selectors.iter().map(|s| printable(&s.expose())).collect();
    texts.join(", ")
}

fn selector_flags(selectors: &SelectorSet) -> String {
    let flags = selectors.iter().map(Selector::expose);
    flags.map(|s| format!(" --selector {}", word(&s))).collect()
}

/// The text as one word of a shell command.
fn word(text: &impl ToString) -> String {
    let text = printable(&text.to_string());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/@%+=,".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The text without characters that would move a terminal's cursor: a workload chooses its path.
pub(super) fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent_id, id, set};

    #[test]
    fn a_command_names_what_is_known_and_leaves_the_rest_open() {
        let advice = Advice::create(Some(&id("/web")), None, Some(&set(&["unix:uid:1000"])));
        assert_eq!(
            advice.expose(),
            "to create an entry: signet-server entry create --spiffe-id spiffe://example.org/web \
             --parent-id <AGENT_ID> --selector unix:uid:1000"
        );
    }

    #[test]
    fn selectors_are_quoted_for_the_shell() {
        let odd = set(&["unix:path:/opt/my app", "unix:path:/tmp/$(id)'x"]);
        let advice = Advice::ask_server(&agent_id("a"), &odd);
        let flags = r"--selector 'unix:path:/opt/my app' --selector 'unix:path:/tmp/$(id)'\''x'";
        assert!(advice.expose().ends_with(flags), "{}", advice.expose());
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let odd = set(&["unix:path:/tmp/\u{1b}[2Jx\n"]);
        assert!(!selector_list(&odd).contains(['\u{1b}', '\n']));
        assert!(!selector_flags(&odd).contains(['\u{1b}', '\n']));
    }

    #[test]
    fn debug_hides_the_command() {
        let advice = Advice::create(None, None, Some(&set(&["env:PASSWORD=hunter2"])));
        assert!(!format!("{advice:?}").contains("hunter2"));
    }
}
