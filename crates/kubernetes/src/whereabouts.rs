//! Which pod runs on which node, for whoever is about to sign: kept by the watch of pods, so that no
//! question leaves this process.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use signet_model::{Entry, SelectorSet};

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
    /// The nodes' UIDs by name.
    nodes: HashMap<Arc<str>, Arc<str>>,
    /// Whether both were read whole since this process began.
    is_complete: bool,
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
    /// Nobody can say: pods were not listed yet, or the node did not attest as one of the cluster.
    Unknown,
}

impl Whereabouts {
    /// Whether the pod that an entry was declared for runs on the node of the agent with these
    /// selectors. Nothing is known of entries that were not declared in the cluster.
    #[must_use]
    pub fn of_entry(&self, entry: &Entry, agent: &SelectorSet) -> Place {
        {
            let seen = self.read();
            if !seen.is_complete || !entry.id.as_str().starts_with(&seen.id_prefix) {
                return Place::Unknown;
            }
            let cluster = fact(agent, "cluster:");
            if cluster.is_some_and(|cluster| cluster != seen.cluster) {
                return Place::Elsewhere;
            }
        }
        let asking = AskingNode {
            name: fact(agent, "agent_node_name:"),
            uid: fact(agent, "agent_node_uid:"),
        };
        match entry.selectors.iter().find_map(pod_uid) {
            Some(uid) => self.of(uid, asking),
            None => Place::Unknown,
        }
    }

    /// Whether this pod runs on the node that asks.
    #[must_use]
    pub fn of(&self, pod_uid: &str, asking: AskingNode<'_>) -> Place {
        let seen = self.read();
        if !seen.is_complete {
            return Place::Unknown;
        }
        let Some(node) = seen.pods.get(pod_uid) else {
            return Place::Nowhere;
        };
        let uid = seen.nodes.get(node);
        let here = match (asking.uid, uid, asking.name) {
            (Some(asking), Some(uid), _) => asking == &**uid,
            (_, _, Some(asking)) => asking == &**node,
            _ => return Place::Unknown,
        };
        if here { Place::Here } else { Place::Elsewhere }
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

    pub(crate) fn node(&self, name: &Arc<str>, uid: Option<&Arc<str>>) {
        let mut seen = self.write();
        match uid {
            Some(uid) => seen.nodes.insert(name.clone(), uid.clone()),
            None => seen.nodes.remove(name),
        };
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

/// What `k8s_psat` found out about an agent.
fn fact<'a>(agent: &'a SelectorSet, name: &str) -> Option<&'a str> {
    let found = agent
        .iter()
        .filter(|selector| selector.kind() == "k8s_psat");
    let mut found = found.filter_map(|selector| selector.value().strip_prefix(name));
    found.next()
}
