//! A hundred thousand entries: a change concerns those it concerns, and no more.
//!
//! A thousand agents in a hundred racks. Each agent has 80 entries of its own, each rack a node
//! alias, 199 entries below it and one below the first of these.

use std::collections::BTreeSet;
use std::sync::Arc;

use signet_spiffe::SpiffeId;

use super::Index;
use crate::change::Change;
use crate::entry::{Entry, EntryId};
use crate::fixtures::{agent, agent_id, alias, at, entry, id, put_agent, put_entry, td};

const RACKS: usize = 100;
const AGENTS_PER_RACK: usize = 10;
const OWN_ENTRIES: usize = 80;
const RACK_ENTRIES: usize = 199;

fn agent_name(rack: usize, number: usize) -> String {
    format!("{rack}-{number}")
}

fn rack_id(rack: usize) -> SpiffeId {
    id(&format!("/rack/{rack}"))
}

fn agents_of_rack(rack: usize) -> BTreeSet<SpiffeId> {
    let numbers = 0..AGENTS_PER_RACK;
    numbers.map(|n| agent_id(&agent_name(rack, n))).collect()
}

fn rack(index: &mut Index, rack: usize) {
    let selector = format!("node:rack:{rack}");
    for number in 0..AGENTS_PER_RACK {
        let name = agent_name(rack, number);
        index.apply(&put_agent(agent(&name, &[&selector, "node:zone:x"])));
        for own in 0..OWN_ENTRIES {
            let spiffe_id = id(&format!("/own/{own}"));
            let entry = entry(&format!("{name}-{own}"), agent_id(&name), spiffe_id);
            index.apply(&put_entry(entry));
        }
    }
    let alias = alias(&format!("alias-{rack}"), rack_id(rack), &[&selector]);
    index.apply(&put_entry(alias));
    for number in 0..RACK_ENTRIES {
        let spiffe_id = id(&format!("/rack/{rack}/{number}"));
        let entry = entry(&format!("rack-{rack}-{number}"), rack_id(rack), spiffe_id);
        index.apply(&put_entry(entry));
    }
    let deep = entry(
        &format!("deep-{rack}"),
        id(&format!("/rack/{rack}/0")),
        id(&format!("/deep/{rack}")),
    );
    index.apply(&put_entry(deep));
}

fn edited(index: &Index, name: &str) -> Change {
    let entry = index.entry(&EntryId::parse(name).unwrap()).unwrap();
    Change::PutEntry(Arc::new(Entry {
        hint: "edited".to_owned(),
        revision_number: entry.revision_number + 1,
        ..entry.as_ref().clone()
    }))
}

#[test]
fn a_change_among_a_hundred_thousand_entries_concerns_only_its_agents() {
    let mut index = Index::new(td());
    (0..RACKS).for_each(|number| rack(&mut index, number));
    assert_eq!(index.entry_count(), 100_100);

    let one = agent_name(42, 7);
    let affected = index.apply(&edited(&index, &format!("{one}-3")));
    assert_eq!(affected.agents, [agent_id(&one)].into());

    for name in ["rack-42-100", "deep-42", "alias-42"] {
        let affected = index.apply(&edited(&index, name));
        assert_eq!(affected.agents, agents_of_rack(42), "{name}");
    }

    let affected = index.apply(&Change::DeleteAgent(agent_id(&one)));
    assert_eq!(affected.agents, [agent_id(&one)].into());

    let delete = Change::DeleteEntry(EntryId::parse("deep-7").unwrap());
    assert_eq!(index.apply(&delete).agents, agents_of_rack(7));

    let everywhere = put_entry(alias("zone", id("/zone"), &["node:zone:x"]));
    let affected = index.apply(&everywhere);
    assert_eq!(affected.agents.len(), RACKS * AGENTS_PER_RACK - 1);

    let served = index.authorized(&agent_id(&agent_name(3, 3)), at(100));
    assert_eq!(served.len(), OWN_ENTRIES + RACK_ENTRIES + 1);
}
