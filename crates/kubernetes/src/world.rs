//! What was watched, and what it declares: kept current by one object's change at a time.
//!
//! Entries are worked out in groups that cannot touch each other: a pod with all that is declared for
//! it, or a static entry with its likes. A change marks the groups that it can matter to, and
//! [`World::settle`] works those out again, some at a time, saying what became of entries. Of an entry
//! only a fingerprint is kept.
//!
//! ```text
//! put / gone / listed ──▶ marked groups ──settle──▶ Change::Set, Change::Unset
//!                                         └───────▶ tallies ──reports──▶ status of resources
//! ```

mod claim;
mod configured;
mod kept;
mod marked;
mod report;
#[cfg(test)]
mod tests;
mod watched;

pub use report::{Report, SpiffeIdStats, StaticState};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;
use signet_model::{Entry, EntryId};
use signet_spiffe::TrustDomain;

use crate::federated::Federated;
use crate::objects::{Kind, Object};
use crate::rule::{Identity, Rule};
use crate::settings::Settings;
use crate::whereabouts::{SeenNode, Whereabouts};
use claim::Claim;
use kept::AllKept;
use marked::Marked;
use report::Tally;
use watched::Watched;

/// What is to become of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is to be there, and to say this. Revision and time of creation are the server's.
    Set {
        /// The entry.
        entry: Box<Entry>,
        /// The resource that declares it.
        by: Source,
    },
    /// It is to be gone.
    Unset(EntryId),
}

/// A resource, as what is declared by it refers to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// When it was created; see [`crate::Resource::created`].
    pub created: Arc<str>,
    /// Its UID.
    pub uid: Arc<str>,
    /// Which kind of resource.
    pub kind: Kind,
}

/// What can be worked out by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Group {
    /// A pod, by its UID, with the static entries that select it.
    Pod(Arc<str>),
    /// Static entries of one identity.
    Static(Identity),
}

/// A resource, understood or not.
#[derive(Debug)]
struct Held<T> {
    source: Arc<Source>,
    name: Arc<str>,
    generation: i64,
    status: Json,
    /// Why this form of it cannot be understood.
    refusal: Option<String>,
    /// The last form that was understood, with its generation: it holds until there is another.
    form: Option<(i64, T)>,
    /// Whether it says of itself that it only speaks where no other does.
    is_fallback: bool,
}

impl<T> Held<T> {
    fn what(&self) -> Option<&T> {
        self.form.as_ref().map(|(_, what)| what)
    }

    /// Whether it is refused, and nobody knows what it declared before.
    fn is_lost(&self) -> bool {
        self.refusal.is_some() && self.form.is_none()
    }
}

/// A static entry with its group.
#[derive(Debug)]
struct Static {
    entry: Entry,
    group: Group,
}

/// The state of one cluster.
#[derive(Debug)]
pub struct World {
    settings: Settings,
    watched: Watched,
    rules: BTreeMap<Arc<str>, Held<Rule>>,
    statics: BTreeMap<Arc<str>, Held<Static>>,
    federated: BTreeMap<Arc<str>, Held<Federated>>,
    statics_of: HashMap<Group, BTreeSet<Arc<str>>>,
    /// Entries of resources whose good form is not known any more.
    kept: AllKept,
    groups: HashMap<Group, Vec<Claim>>,
    marked: Marked,
    listed: BTreeSet<Kind>,
    tallies: HashMap<Arc<str>, Tally>,
    /// Resources whose status may differ from what was reported.
    unreported: BTreeSet<(Kind, Arc<str>)>,
    /// Entries that the server did not take, with the reason.
    failed: BTreeMap<EntryId, (Source, String)>,
}

impl World {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::new_with(settings, Arc::default())
    }

    /// As [`World::new`]; where pods run is told in `whereabouts`.
    #[must_use]
    pub fn new_with(mut settings: Settings, whereabouts: Arc<Whereabouts>) -> Self {
        let configured = settings.default_id.take().map(configured::rule);
        whereabouts.begin(&settings.cluster_name, settings.id_prefix());
        Self {
            settings,
            watched: Watched::new(whereabouts),
            rules: configured.into_iter().collect(),
            statics: BTreeMap::new(),
            federated: BTreeMap::new(),
            statics_of: HashMap::new(),
            kept: AllKept::default(),
            groups: HashMap::new(),
            marked: Marked::default(),
            listed: BTreeSet::new(),
            tallies: HashMap::new(),
            unreported: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// An object is there, or changed.
    pub fn put(&mut self, object: Object) {
        match object {
            Object::Namespace(namespace) => {
                let name = namespace.name.clone();
                if self.watched.put_namespace(namespace) {
                    self.mark_namespace(&name);
                }
            }
            Object::Node(node) => {
                let (name, uid) = (node.name.clone(), node.uid.clone());
                let agent = self.settings.parent_id(&node).ok();
                if self.watched.put_node(node) {
                    let node = SeenNode { uid, agent };
                    self.watched.whereabouts.node(&name, Some(node));
                    self.mark_node(&name);
                }
            }
            Object::Pod(pod) if pod.is_over => self.gone(Kind::Pods, &pod.uid),
            Object::Pod(pod) => {
                let uid = pod.uid.clone();
                if self.watched.put_pod(pod) {
                    self.marked.insert(Group::Pod(uid));
                }
            }
            Object::EndpointSlice(slice) => {
                let concerned = self.watched.put_slice(slice);
                self.mark_served(concerned);
            }
            Object::SpiffeId(resource) => self.put_rule(resource),
            Object::StaticEntry(resource) => self.put_static(resource),
            Object::FederatedTrustDomain(resource) => self.put_federated(resource),
        }
    }

    /// An object is gone.
    pub fn gone(&mut self, kind: Kind, key: &Arc<str>) {
        match kind {
            Kind::Namespaces => {
                self.watched.drop_namespace(key);
                self.mark_namespace(key);
            }
            Kind::Nodes => {
                self.watched.drop_node(key);
                self.mark_node(key);
            }
            Kind::Pods => {
                self.watched.drop_pod(key);
                let group = Group::Pod(key.clone());
                self.kept.pod_ended(&group);
                self.marked.insert(group);
            }
            Kind::EndpointSlices => {
                let concerned = self.watched.drop_slice(key);
                self.mark_served(concerned);
            }
            Kind::SpiffeIds => {
                if self.rules.remove(key).is_some() {
                    self.let_go(key);
                    self.mark_pods();
                }
            }
            Kind::StaticEntries => {
                if let Some(held) = self.statics.remove(key) {
                    self.leave_group(&held);
                }
                self.let_go(key);
            }
            Kind::FederatedTrustDomains => {
                self.federated.remove(key);
                self.unreport_federated();
            }
        }
        self.unreported.remove(&(kind, key.clone()));
    }

    /// All objects of a kind were [`put`](Self::put) anew; those that are not among `seen` are gone.
    pub fn listed(&mut self, kind: Kind, seen: &HashSet<Arc<str>>) {
        for key in self.keys(kind) {
            if !seen.contains(&key) {
                self.gone(kind, &key);
            }
        }
        self.listed.insert(kind);
        if self.is_complete() {
            self.watched.whereabouts.complete();
        }
    }

    /// Whether all kinds were listed once. Before, nothing is declared, since too little would be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// Whether nothing is left to work out.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_complete() && self.marked.is_empty()
    }

    /// Works out groups that were marked, this many at most, until there are `enough` changes: first what
    /// is about a few pods, then what is about many.
    pub fn settle(&mut self, most: usize, enough: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.is_complete() {
            return changes;
        }
        for _ in 0..most {
            if changes.len() >= enough {
                break;
            }
            let Some(group) = self.marked.pop() else {
                break;
            };
            self.work_out(group, &mut changes);
        }
        changes
    }

    /// Compares what the server has with what is declared: what is missing or differs will be set
    /// again, and what nobody declares is returned, to be removed. Only for a settled world.
    pub fn audit<'a>(&mut self, owned: impl IntoIterator<Item = &'a Entry>) -> Vec<EntryId> {
        let prefix = self.settings.id_prefix();
        let mut wanted: HashMap<EntryId, (u64, &Group)> = HashMap::new();
        for (group, claims) in &self.groups {
            for (id, fingerprint) in claims.iter().filter_map(|claim| claim.wins(&prefix)) {
                wanted.insert(id, (fingerprint, group));
            }
        }
        let mut orphans = Vec::new();
        let mut marked = BTreeSet::new();
        for entry in owned {
            match wanted.remove(&entry.id) {
                None => orphans.push(entry.id.clone()),
                Some((fingerprint, group)) if claim::fingerprint(entry) != fingerprint => {
                    marked.insert(group.clone());
                }
                Some(_) => {}
            }
        }
        marked.extend(wanted.into_values().map(|(_, group)| group.clone()));
        self.forget(&marked);
        self.marked.extend(marked);
        orphans
    }

    /// What became of an entry that was to be set: `None` if it is there.
    pub fn outcome(&mut self, by: &Source, id: &EntryId, failure: Option<String>) {
        let changed = match failure {
            Some(failure) => {
                let known = self
                    .failed
                    .insert(id.clone(), (by.clone(), failure.clone()));
                known.is_none_or(|known| known.1 != failure)
            }
            None => self.failed.remove(id).is_some(),
        };
        // The first success of a static entry shows in its status.
        if changed || by.kind == Kind::StaticEntries {
            self.unreported.insert((by.kind, by.uid.clone()));
        }
    }

    /// Whether the server did not take some of the entries.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Tries again what the server did not take.
    pub fn retry(&mut self) {
        if !self.has_failures() {
            return;
        }
        let prefix = self.settings.id_prefix();
        let failed = |claim: &Claim| {
            let id = claim.wins(&prefix);
            id.is_some_and(|(id, _)| self.failed.contains_key(&id))
        };
        let groups = self.groups.iter();
        let failed = groups.filter(|(_, claims)| claims.iter().any(failed));
        let failed: BTreeSet<_> = failed.map(|(group, _)| group.clone()).collect();
        self.forget(&failed);
        self.marked.extend(failed);
    }

    /// The trust domains whose bundles the cluster declares.
    pub fn federated(&self) -> BTreeMap<TrustDomain, &Federated> {
        let mut found = BTreeMap::new();
        for (_, federated) in self.federated_by_age() {
            found
                .entry(federated.trust_domain.clone())
                .or_insert(federated);
        }
        found
    }

    /// Whether that is all: false while a resource is refused, and its good form known to nobody.
    #[must_use]
    pub fn knows_federated(&self) -> bool {
        !self.federated.values().any(Held::is_lost)
    }

    /// Who says where pods run.
    #[must_use]
    pub fn whereabouts(&self) -> Arc<Whereabouts> {
        self.watched.whereabouts.clone()
    }

    /// What the operator chose.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes the next look at these groups say everything once more.
    fn forget(&mut self, groups: &BTreeSet<Group>) {
        for group in groups {
            for claim in self.groups.get_mut(group).into_iter().flatten() {
                claim.forget();
            }
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Arc<str>> {
        match kind {
            Kind::SpiffeIds => {
                let all = self.rules.keys();
                let objects = all.filter(|uid| !configured::is_configuration(uid));
                objects.cloned().collect()
            }
            Kind::StaticEntries => self.statics.keys().cloned().collect(),
            Kind::FederatedTrustDomains => self.federated.keys().cloned().collect(),
            _ => self.watched.keys(kind),
        }
    }

    fn mark_namespace(&mut self, name: &Arc<str>) {
        self.mark_all(self.watched.pods_in(name));
        self.unreported
            .extend(self.rules.keys().map(|uid| (Kind::SpiffeIds, uid.clone())));
    }

    fn mark_node(&mut self, name: &Arc<str>) {
        self.mark_all(self.watched.pods_on(name));
    }

    /// Services matter only where a rule asks for their names.
    fn mark_served(&mut self, pods: BTreeSet<Arc<str>>) {
        let asked = |held: &Held<Rule>| held.what().is_some_and(|rule| rule.with_services);
        if self.rules.values().any(asked) {
            let known = pods
                .into_iter()
                .filter(|uid| self.watched.pod(uid).is_some());
            self.marked.extend(known.map(Group::Pod));
        }
    }

    fn mark_pods(&mut self) {
        self.mark_all(self.watched.keys(Kind::Pods));
    }

    fn mark_all(&mut self, pods: Vec<Arc<str>>) {
        self.marked.extend(pods.into_iter().map(Group::Pod));
    }
}
