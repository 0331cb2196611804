//! `NodeAttestor "combined"`: the attestors that all must agree.

use signet_config::sections::Plugin;
use signet_config::{Key, Unknown};
use signet_node_attestor::combined::MAX_PROOFS;

const KEYS: [Key; 1] = [Key::implemented("attestors")];

/// The names in order. `others` are the attestors that are configured, join tokens aside. `None`
/// where a problem was found.
pub(super) fn read(plugin: &Plugin<'_>, others: &[&'static str]) -> Option<Vec<&'static str>> {
    let data = &plugin.data;
    data.check(&[&KEYS], Unknown::Refused);
    let names = data.strings("attestors");
    let mut kinds = Vec::with_capacity(names.len());
    for name in &names {
        let mut known = others.iter().chain(&["join_token"]);
        match known.find(|known| *known == name) {
            Some(known) if !kinds.contains(known) => kinds.push(*known),
            Some(_) => data.problem("attestors", format!("names {name:?} twice")),
            None => {
                let message = format!("names {name:?}, which has no NodeAttestor block of its own");
                data.problem("attestors", message);
            }
        }
    }
    if !(2..=MAX_PROOFS).contains(&names.len()) {
        data.problem(
            "attestors",
            format!("must name 2 to {MAX_PROOFS} attestors"),
        );
    }
    ((2..=MAX_PROOFS).contains(&kinds.len()) && kinds.len() == names.len()).then_some(kinds)
}
