//! `NodeAttestor "combined"`: the attestors whose proofs are sent together.

use signet_config::sections::Plugin;
use signet_config::{Key, Unknown};
use signet_node_attestor::combined::MAX_PROOFS;

use super::{NodeAttestorSettings, read_one};

const KEYS: [Key; 1] = [Key::implemented("attestors")];

/// The attestors in the order of the list; each other block must be in it. `None` where a problem was
/// found.
pub(super) fn read(combined: &Plugin<'_>, all: &[&Plugin<'_>]) -> Option<NodeAttestorSettings> {
    let data = &combined.data;
    data.check(&[&KEYS], Unknown::Refused);
    let names = data.strings("attestors");
    for other in all.iter().filter(|other| other.name != "combined") {
        if !names.contains(&other.name) {
            other
                .block
                .problem_here("is not in attestors of the NodeAttestor \"combined\"");
        }
    }
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            data.problem("attestors", format!("names {name:?} twice"));
        }
    }
    if !(2..=MAX_PROOFS).contains(&names.len()) {
        data.problem(
            "attestors",
            format!("must name 2 to {MAX_PROOFS} attestors"),
        );
        return None;
    }
    let settings: Vec<_> = names.iter().map(|name| one(name, combined, all)).collect();
    let settings = settings.into_iter().collect::<Option<_>>()?;
    Some(NodeAttestorSettings::Combined(settings))
}

fn one(name: &str, combined: &Plugin<'_>, all: &[&Plugin<'_>]) -> Option<NodeAttestorSettings> {
    let block = all.iter().find(|plugin| plugin.name == name);
    match (name, block) {
        ("join_token", None) => Some(NodeAttestorSettings::JoinToken),
        ("combined", _) | (_, None) => {
            let message = format!("names {name:?}, which has no NodeAttestor block of its own");
            combined.data.problem("attestors", message);
            None
        }
        (_, Some(plugin)) => read_one(plugin),
    }
}
