//! What holds for the index whatever happened: it equals one built from zero, it authorizes what a
//! plain search over all entries finds, and whoever follows it from difference to difference knows
//! at each moment what is authorized.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use signet_spiffe::{SpiffeId, TrustDomain};

use super::Index;
use crate::change::{Affected, Change};
use crate::entry::{Entry, EntryId};
use crate::fixtures::{agent, agent_id, at, entry, id, serial, td};
use crate::single_use::{EvidenceId, SingleUse, UsedEvidence};
use crate::token::{JoinToken, Taken, TokenId};
use crate::{Agent, Selector, SelectorSet};

/// All times lie below, so that ends are met often.
const LAST_SECOND: u64 = 8;

/// Something that happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    Later(u64),
}

fn agent_ids() -> impl Strategy<Value = SpiffeId> {
    (0..4u8).prop_map(|n| agent_id(&n.to_string()))
}

fn workload_ids() -> impl Strategy<Value = SpiffeId> {
    (0..4u8).prop_map(|n| id(&format!("/w{n}")))
}

fn any_ids() -> impl Strategy<Value = SpiffeId> {
    let foreign = SpiffeId::parse("spiffe://other.org/w0").unwrap();
    prop_oneof![
        4 => agent_ids(),
        4 => workload_ids(),
        4 => Just(id("/spire/server")),
        1 => Just(id("")),
        1 => Just(foreign),
    ]
}

fn selectors() -> impl Strategy<Value = SelectorSet> {
    let selector = (0..4u8).prop_map(|n| Selector::new("node", &n.to_string()).unwrap());
    btree_set(selector, 0..4).prop_map(|set| set.into_iter().collect())
}

fn times() -> impl Strategy<Value = SystemTime> {
    (0..=LAST_SECOND).prop_map(at)
}

fn entries() -> impl Strategy<Value = Entry> {
    let spiffe_ids = prop_oneof![9 => workload_ids().boxed(), 1 => any_ids().boxed()];
    let names = (0..10u8).prop_map(|n| n.to_string());
    (
        names,
        any_ids(),
        spiffe_ids,
        selectors(),
        option::weighted(0.3, times()),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        0..3i64,
    )
        .prop_map(
            |(name, parent_id, spiffe_id, selectors, expires_at, disabled, federates, revision)| {
                let federated = federates.then(|| TrustDomain::parse("other.org").unwrap());
                Entry {
                    selectors,
                    expires_at,
                    disabled,
                    revision_number: revision,
                    federates_with: federated.into_iter().collect(),
                    ..entry(&name, parent_id, spiffe_id)
                }
            },
        )
}

fn agents() -> impl Strategy<Value = Agent> {
    let ends = prop_oneof![times(), Just(at(10_000))];
    let pending = option::weighted(0.2, ends.clone());
    (
        agent_ids(),
        selectors(),
        ends,
        pending,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(id, selectors, expires_at, pending, banned)| {
            let known = Agent {
                id,
                selectors,
                expires_at,
                pending: pending.map(|end| (serial(2), end)),
                ..agent("any", &[])
            };
            if banned { known.banned() } else { known }
        })
}

fn tokens() -> impl Strategy<Value = JoinToken> {
    (0..3u8, times()).prop_map(|(n, expires_at)| JoinToken {
        id: TokenId::from_hash([n; 32]),
        expires_at,
        taken: None,
        alias: None,
    })
}

fn used() -> impl Strategy<Value = UsedEvidence> {
    (0..3u8, agent_ids()).prop_map(|(n, agent_id)| UsedEvidence {
        what: SingleUse {
            id: EvidenceId::from_hash([n; 32]),
            until: at(1),
        },
        taken: Taken {
            key_hash: [n; 32],
            agent_id,
        },
    })
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => entries().prop_map(|entry| Change::PutEntry(Arc::new(entry))),
        3 => (0..10u8).prop_map(|n| Change::DeleteEntry(EntryId::parse(&n.to_string()).unwrap())),
        4 => agents().prop_map(|agent| Change::PutAgent(Arc::new(agent))),
        1 => agent_ids().prop_map(Change::DeleteAgent),
        1 => tokens().prop_map(|token| Change::PutToken(Arc::new(token))),
        1 => (0..3u8).prop_map(|n| Change::DeleteToken(TokenId::from_hash([n; 32]))),
        1 => used().prop_map(|used| Change::PutUsed(Arc::new(used))),
        1 => (0..3u8).prop_map(|n| Change::DeleteUsed(EvidenceId::from_hash([n; 32]))),
    ]
}

/// Up to sixty changes around four agents, four identities and ten entries.
pub(crate) fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    vec(changes(), 0..60)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => changes().prop_map(Step::Change),
        1 => (1..3u64).prop_map(Step::Later),
    ];
    vec(step, 0..60)
}

/// The facts an index should hold, and nothing clever.
#[derive(Default)]
struct Facts {
    entries: BTreeMap<EntryId, Arc<Entry>>,
    agents: BTreeMap<SpiffeId, Arc<Agent>>,
    tokens: BTreeMap<TokenId, Arc<JoinToken>>,
    used: BTreeMap<EvidenceId, Arc<UsedEvidence>>,
}

impl Facts {
    fn take(&mut self, change: &Change) {
        match change.clone() {
            Change::PutEntry(entry) => drop(self.entries.insert(entry.id.clone(), entry)),
            Change::DeleteEntry(id) => drop(self.entries.remove(&id)),
            Change::PutAgent(agent) => drop(self.agents.insert(agent.id.clone(), agent)),
            Change::DeleteAgent(id) => drop(self.agents.remove(&id)),
            Change::PutToken(token) => drop(self.tokens.insert(token.id, token)),
            Change::DeleteToken(id) => drop(self.tokens.remove(&id)),
            Change::PutUsed(used) => drop(self.used.insert(used.what.id, used)),
            Change::DeleteUsed(id) => drop(self.used.remove(&id)),
            Change::PutBundle(_) | Change::DeleteBundle(_) => {}
        }
    }

    fn index(&self) -> Index {
        let entries = self.entries.values().cloned().map(Change::PutEntry);
        let agents = self.agents.values().cloned().map(Change::PutAgent);
        let tokens = self.tokens.values().cloned().map(Change::PutToken);
        let used = self.used.values().cloned().map(Change::PutUsed);
        let mut index = Index::new(td());
        // Backwards, for another order than that of the ids.
        let all: Vec<_> = entries.chain(agents).chain(tokens).chain(used).collect();
        for change in all.iter().rev() {
            index.apply(change);
        }
        index
    }

    /// Adds parents and entries until nothing is new.
    fn authorized(&self, agent: &SpiffeId, now: SystemTime) -> Vec<Arc<Entry>> {
        let Some(agent) = self.agents.get(agent).filter(|a| a.is_active(now)) else {
            return Vec::new();
        };
        let may_grant = |entry: &&Arc<Entry>| {
            entry.is_effective(now)
                && entry.spiffe_id.trust_domain() == &td()
                && !entry.spiffe_id.path().is_empty()
                && !entry.spiffe_id.is_reserved()
                && !entry.selectors.is_empty()
        };
        let effective: Vec<_> = self.entries.values().filter(may_grant).collect();
        let (aliases, plain): (Vec<&Arc<Entry>>, Vec<_>) = effective
            .into_iter()
            .partition(|entry| entry.parent_id == id("/spire/server"));
        let mut parents = BTreeSet::from([agent.id.clone()]);
        for alias in aliases {
            if alias.selectors.is_subset(&agent.selectors) {
                parents.insert(alias.spiffe_id.clone());
            }
        }
        loop {
            let below = plain.iter().filter(|e| parents.contains(&e.parent_id));
            let ids: Vec<_> = below.clone().map(|e| e.spiffe_id.clone()).collect();
            let before = parents.len();
            parents.extend(ids);
            if parents.len() == before {
                break;
            }
        }
        let found = plain.iter().filter(|e| parents.contains(&e.parent_id));
        found.map(|entry| Arc::clone(entry)).collect()
    }
}

/// What each agent was last told.
type Told = BTreeMap<SpiffeId, Vec<Arc<Entry>>>;

fn tell(told: &mut Told, affected: &Affected, index: &Index, now: SystemTime) {
    for agent in &affected.agents {
        told.insert(agent.clone(), index.authorized(agent, now));
    }
}

fn all_agents() -> impl Iterator<Item = SpiffeId> {
    (0..4).map(|n| agent_id(&n.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_changes_the_index_equals_one_built_from_zero(changes in any_changes()) {
        let mut index = Index::new(td());
        let mut facts = Facts::default();
        for change in &changes {
            index.apply(change);
            facts.take(change);
        }
        prop_assert_eq!(index, facts.index());
    }

    #[test]
    fn the_index_authorizes_what_a_plain_search_finds(
        changes in any_changes(),
        now in times(),
    ) {
        let mut index = Index::new(td());
        let mut facts = Facts::default();
        for change in &changes {
            index.apply(change);
            facts.take(change);
        }
        for agent in all_agents() {
            let authorized = index.authorized(&agent, now);
            prop_assert_eq!(&authorized, &facts.authorized(&agent, now));
            for entry in facts.entries.values() {
                let one = index.authorizes(&agent, &entry.id, now);
                prop_assert_eq!(one.is_some(), authorized.contains(entry));
                if !entry.is_node_alias() {
                    let serving = index.agents_serving(entry, now);
                    prop_assert_eq!(serving.contains(&agent), authorized.contains(entry));
                }
            }
        }
    }

    #[test]
    fn the_differences_add_up_to_what_is_authorized(steps in steps()) {
        let mut index = Index::new(td());
        let mut told = Told::new();
        let mut now = at(0);
        for step in &steps {
            let affected = match step {
                Step::Change(change) => index.apply(change),
                Step::Later(seconds) => {
                    let since = now;
                    now += std::time::Duration::from_secs(*seconds);
                    index.lapsed(since, now)
                }
            };
            tell(&mut told, &affected, &index, now);
            for agent in all_agents() {
                let known = told.get(&agent).cloned().unwrap_or_default();
                prop_assert_eq!(known, index.authorized(&agent, now));
            }
        }
    }

    #[test]
    fn nothing_ends_before_the_next_expiry(changes in any_changes(), now in times()) {
        let mut index = Index::new(td());
        for change in &changes {
            index.apply(change);
        }
        let next = index.next_expiry(now).unwrap_or(at(20_000));
        let just_before = next - std::time::Duration::from_nanos(1);
        for agent in all_agents() {
            prop_assert_eq!(
                index.authorized(&agent, now),
                index.authorized(&agent, just_before)
            );
        }
    }

    #[test]
    fn a_copy_of_an_entry_equals_the_original(entry in entries()) {
        prop_assert_eq!(entry.clone(), entry);
    }
}
