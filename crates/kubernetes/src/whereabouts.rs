//! Which pod runs on which node, for whoever is about to sign: kept by the watch of pods, so that no
//! question leaves this process.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use signet_model::{Entry, SelectorSet};
use signet_spiffe::SpiffeId;

use crate::rule::pod_uid;

/// Pods and their nodes, as far as they were seen.
#[derive(Debug, Default)]
pub struct Whereabouts(RwLock<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The cluster they are in, and what the ids of its entries begin with.
    cluster: String,
    id_prefix: String,
    /// The pods' nodes by name.
    pods: HashMap<Arc<str>, Arc<str>>,
    /// The nodes by name.
    nodes: HashMap<Arc<str>, SeenNode>,
    /// How many nodes each agent is said to be on.
    agents: HashMap<SpiffeId, usize>,
    /// Whether both were read whole since this process began.
    is_complete: bool,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenNode {
    pub(crate) uid: Arc<str>,
    /// The agent on it, by the operator's template.
    pub(crate) agent: Option<SpiffeId>,
}

/// What is known of the node that asks, by its attestation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskingNode<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its UID.
    pub uid: Option<&'a str>,
}

/// Whether a pod runs where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    Here,
    /// On another node.
    Elsewhere,
    /// Nowhere, as far as is known: it is gone, or too new.
    Nowhere,
    /// The agent did not attest as a node of the cluster, nor is it the one agent that the operator's
    /// template names for a node.
    Unplaced,
    /// Nobody can say: pods were not listed yet, or this is no entry for a pod of the cluster.
    Unknown,
}

impl Whereabouts {
    /// Whether the pod that an entry was declared for runs on the node of this agent, which attested with
    /// these selectors. Nothing is known of entries that were not declared in the cluster.
    ///
    /// An agent that `k8s_psat` placed is where that says. Any other one must have the SPIFFE ID that the
    /// operator's template makes for the pod's node, and for no other: as one that attests by its cloud
    /// and is named by the node's `providerID`. An alias for many agents says nothing of where each is.
    #[must_use]
    pub fn of_entry(&self, entry: &Entry, agent: &SpiffeId, attested: &SelectorSet) -> Place {
        let seen = self.read();
        if !seen.is_complete || !entry.id.as_str().starts_with(&seen.id_prefix) {
            return Place::Unknown;
        }
        let Some(pod) = entry.selectors.iter().find_map(pod_uid) else {
            return Place::Unknown;
        };
        match fact(attested, "cluster:") {
            Some(cluster) if cluster != seen.cluster => Place::Elsewhere,
            Some(_) => seen.place(pod, asking(attested)),
            None => seen.place_by_name(pod, agent),
        }
    }

    /// Whether this pod runs on the node that asks.
    #[must_use]
    pub fn of(&self, pod_uid: &str, asking: AskingNode<'_>) -> Place {
        let seen = self.read();
        match seen.is_complete {
            true => seen.place(pod_uid, asking),
            false => Place::Unknown,
        }
    }

    /// Whether everything was read once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.read().is_complete
    }

    pub(crate) fn pod(&self, uid: &Arc<str>, node: Option<&Arc<str>>) {
        let mut seen = self.write();
        match node.filter(|node| !node.is_empty()) {
            Some(node) => seen.pods.insert(uid.clone(), node.clone()),
            None => seen.pods.remove(uid),
        };
    }

    pub(crate) fn node(&self, name: &Arc<str>, node: Option<SeenNode>) {
        let mut seen = self.write();
        let agent = node.as_ref().and_then(|node| node.agent.clone());
        let before = match node {
            Some(node) => seen.nodes.insert(name.clone(), node),
            None => seen.nodes.remove(name),
        };
        if let Some(agent) = agent {
            *seen.agents.entry(agent).or_default() += 1;
        }
        if let Some(agent) = before.and_then(|node| node.agent)
            && let Some(count) = seen.agents.get_mut(&agent)
        {
            *count -= 1;
            if *count == 0 {
                seen.agents.remove(&agent);
            }
        }
    }

    pub(crate) fn begin(&self, cluster: &str, id_prefix: String) {
        let mut seen = self.write();
        cluster.clone_into(&mut seen.cluster);
        seen.id_prefix = id_prefix;
    }

    pub(crate) fn complete(&self) {
        self.write().is_complete = true;
    }

    fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Seen> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn place(&self, pod_uid: &str, asking: AskingNode<'_>) -> Place {
        let Some(node) = self.pods.get(pod_uid) else {
            return Place::Nowhere;
        };
        let uid = self.nodes.get(node).map(|node| &node.uid);
        let here = match (asking.uid, uid, asking.name) {
            (Some(asking), Some(uid), _) => asking == &**uid,
            (_, _, Some(asking)) => asking == &**node,
            _ => return Place::Unplaced,
        };
        if here { Place::Here } else { Place::Elsewhere }
    }

    fn place_by_name(&self, pod_uid: &str, agent: &SpiffeId) -> Place {
        let Some(node) = self.pods.get(pod_uid) else {
            return Place::Nowhere;
        };
        if self.agents.get(agent) != Some(&1) {
            return Place::Unplaced;
        }
        let there = self.nodes.get(node).and_then(|node| node.agent.as_ref());
        if there == Some(agent) {
            Place::Here
        } else {
            Place::Elsewhere
        }
    }
}

fn asking(attested: &SelectorSet) -> AskingNode<'_> {
    AskingNode {
        name: fact(attested, "agent_node_name:"),
        uid: fact(attested, "agent_node_uid:"),
    }
}

/// What `k8s_psat` found out about an agent.
fn fact<'a>(agent: &'a SelectorSet, name: &str) -> Option<&'a str> {
    let found = agent
        .iter()
        .filter(|selector| selector.kind() == "k8s_psat");
    let mut found = found.filter_map(|selector| selector.value().strip_prefix(name));
    found.next()
}
