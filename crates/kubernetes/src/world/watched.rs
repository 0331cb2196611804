//! Namespaces, nodes, pods and services as they were seen, found by what they hang on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::Labels;
use crate::objects::{EndpointSlice, Kind, Namespace, Node, Pod};
use crate::rule::Subject;
use crate::settings::Settings;
use crate::whereabouts::Whereabouts;

#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) whereabouts: Arc<Whereabouts>,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    nodes: HashMap<Arc<str>, Node>,
    pods: HashMap<Arc<str>, Pod>,
    slices: HashMap<Arc<str>, EndpointSlice>,
    in_namespace: Groups,
    on_node: Groups,
    in_slice: Groups,
}

/// UIDs of pods, or keys of slices, by what they hang on.
type Groups = HashMap<Arc<str>, HashSet<Arc<str>>>;

impl Watched {
    pub(super) fn new(whereabouts: Arc<Whereabouts>) -> Self {
        Self {
            whereabouts,
            ..Self::default()
        }
    }

    /// Whether something changed that matters; so for all that are put.
    pub(super) fn put_namespace(&mut self, namespace: Namespace) -> bool {
        let known = self
            .namespaces
            .insert(namespace.name.clone(), namespace.clone());
        known.as_ref() != Some(&namespace)
    }

    pub(super) fn drop_namespace(&mut self, name: &Arc<str>) {
        self.namespaces.remove(name);
    }

    pub(super) fn put_node(&mut self, node: Node) -> bool {
        let known = self.nodes.insert(node.name.clone(), node.clone());
        known.as_ref() != Some(&node)
    }

    pub(super) fn drop_node(&mut self, name: &Arc<str>) {
        self.whereabouts.node(name, None);
        self.nodes.remove(name);
    }

    pub(super) fn put_pod(&mut self, pod: Pod) -> bool {
        let known = self.pods.get(&pod.uid);
        if known == Some(&pod) {
            return false;
        }
        let before = known.map(|known| (known.namespace.clone(), known.node_name.clone()));
        if let Some((namespace, node)) = before {
            leave(&mut self.in_namespace, &namespace, &pod.uid);
            leave(&mut self.on_node, &node, &pod.uid);
        }
        self.whereabouts.pod(&pod.uid, Some(&pod.node_name));
        join(&mut self.in_namespace, &pod.namespace, &pod.uid);
        join(&mut self.on_node, &pod.node_name, &pod.uid);
        self.pods.insert(pod.uid.clone(), pod);
        true
    }

    pub(super) fn drop_pod(&mut self, uid: &Arc<str>) {
        self.whereabouts.pod(uid, None);
        if let Some(pod) = self.pods.remove(uid) {
            leave(&mut self.in_namespace, &pod.namespace, uid);
            leave(&mut self.on_node, &pod.node_name, uid);
        }
    }

    /// The pods that it concerned or concerns.
    pub(super) fn put_slice(&mut self, slice: EndpointSlice) -> BTreeSet<Arc<str>> {
        if self.slices.get(&slice.key) == Some(&slice) {
            return BTreeSet::new();
        }
        let mut concerned = self.drop_slice(&slice.key);
        concerned.extend(slice.pods.iter().cloned());
        for pod in &slice.pods {
            join(&mut self.in_slice, pod, &slice.key);
        }
        self.slices.insert(slice.key.clone(), slice);
        concerned
    }

    /// The pods that it concerned.
    pub(super) fn drop_slice(&mut self, key: &Arc<str>) -> BTreeSet<Arc<str>> {
        let slice = self.slices.remove(key);
        let pods = slice.map(|slice| slice.pods).unwrap_or_default();
        for pod in &pods {
            leave(&mut self.in_slice, pod, key);
        }
        pods
    }

    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    pub(super) fn pod(&self, uid: &Arc<str>) -> Option<&Pod> {
        self.pods.get(uid)
    }

    pub(super) fn pods_in(&self, namespace: &Arc<str>) -> Vec<Arc<str>> {
        of(&self.in_namespace, namespace)
    }

    pub(super) fn pods_on(&self, node: &Arc<str>) -> Vec<Arc<str>> {
        of(&self.on_node, node)
    }

    /// Keys of objects that are no resources of ours.
    pub(super) fn keys(&self, kind: Kind) -> Vec<Arc<str>> {
        match kind {
            Kind::Namespaces => self.namespaces.keys().cloned().collect(),
            Kind::Nodes => self.nodes.keys().cloned().collect(),
            Kind::Pods => self.pods.keys().cloned().collect(),
            Kind::EndpointSlices => self.slices.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// A pod in a namespace that was seen.
    pub(super) fn subject<'a>(&'a self, settings: &Settings, pod: &'a Pod) -> Option<Subject<'a>> {
        let namespace = self.namespaces.get(&pod.namespace)?;
        let node = self.nodes.get(&pod.node_name);
        let body: Json = serde_json::from_str(&pod.seen).unwrap_or(Json::Null);
        let labels = Option::<Labels>::deserialize(&body["metadata"]["labels"]);
        Some(Subject {
            uid: &pod.uid,
            namespace_labels: &namespace.labels,
            labels: labels.ok().flatten().unwrap_or_default(),
            pod: body,
            node: node.map_or(&Json::Null, |node| &node.seen),
            parent_id: node.map(|node| settings.parent_id(node)),
            services: self.services(&pod.uid),
        })
    }

    fn services(&self, uid: &Arc<str>) -> Vec<(&str, &str)> {
        let keys = self.in_slice.get(uid).into_iter().flatten();
        let slices = keys.filter_map(|key| self.slices.get(key));
        let named = slices.filter(|slice| !slice.service.is_empty());
        named
            .map(|slice| (&*slice.service, &*slice.namespace))
            .collect()
    }
}

fn join(groups: &mut Groups, group: &Arc<str>, member: &Arc<str>) {
    groups
        .entry(group.clone())
        .or_default()
        .insert(member.clone());
}

fn leave(groups: &mut Groups, group: &Arc<str>, member: &Arc<str>) {
    if let Some(members) = groups.get_mut(group) {
        members.remove(member);
        if members.is_empty() {
            groups.remove(group);
        }
    }
}

fn of(groups: &Groups, group: &Arc<str>) -> Vec<Arc<str>> {
    groups.get(group).into_iter().flatten().cloned().collect()
}
