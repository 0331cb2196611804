//! What resources are told of themselves: their `status`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::claim::Outcome;
use super::{Group, Held, Source, Static, World};
use crate::federated::Federated;
use crate::objects::{Kind, Resource};
use crate::resource::{FederatedSpec, SpiffeIdSpec, StaticSpec};
use crate::rule::{Rule, identity, origin, pod_uid, static_entry};

/// The longest message in a status: an operator reads it in a table.
const MAX_MESSAGE: usize = 1024;
/// What is added where a resource was refused before this server began, so that only its entries tell
/// what it declared.
pub(super) const STAYS: &str =
    "; the entries of an earlier generation stay, and no further pod gets one";

/// Said of each trust domain: bundles are not fetched here yet.
const NOT_FOLLOWED: &str =
    "the bundle is the one in trustDomainBundle; bundleEndpointURL is not followed";
const NOT_FETCHED: &str = "bundleEndpointURL is not followed: give the bundle in trustDomainBundle, or set it \
     with \"bundle set\", and again when it changes";

/// `status.stats` of a `ClusterSPIFFEID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpiffeIdStats {
    /// Namespaces that it selects.
    pub namespaces_selected: u64,
    /// Those of them that the operator has ignored.
    pub namespaces_ignored: u64,
    /// Pods that it selects, in the others.
    pub pods_selected: u64,
    /// Pods that its templates do not go with.
    pub pod_entry_render_failures: u64,
    /// Entries that an older resource declares too.
    pub entries_masked: u64,
    /// Entries that are to be there because of it.
    pub entries_to_set: u64,
    /// Those of them that the server did not take.
    pub entry_failures: u64,
}

/// `status` of a `ClusterStaticEntry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StaticState {
    /// Whether it can be understood.
    pub rendered: bool,
    /// Whether an older resource declares the same.
    pub masked: bool,
    /// Whether the entry is there.
    pub set: bool,
}

/// What a resource is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which resource.
    pub source: Source,
    /// Its name.
    pub name: Arc<str>,
    /// The form of it that was looked at.
    pub generation: i64,
    /// The part of `status` that has numbers or flags.
    pub figures: Json,
    /// What is wrong; `None` if all is well.
    pub problem: Option<String>,
    /// What is to be known although nothing is wrong.
    pub note: Option<&'static str>,
    /// Whether the problem is the resource itself, whose present form is not used at all.
    pub is_refused: bool,
    /// `status` as it was read.
    pub status: Json,
}

/// What became of a resource's pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    silent: i64,
    failures: i64,
    masked: i64,
    to_set: i64,
    /// One of the failures.
    pub(super) sample: Option<String>,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: Outcome, number: i64) {
        let field = match outcome {
            Outcome::Wins { .. } => &mut self.to_set,
            Outcome::Masked => &mut self.masked,
            Outcome::Failed => &mut self.failures,
            Outcome::Silent => &mut self.silent,
        };
        *field += number;
        if self.failures == 0 {
            self.sample = None;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        [self.silent, self.failures, self.masked, self.to_set] == [0; 4]
    }
}

impl World {
    /// The resources whose status may have changed since the last call.
    pub fn reports(&mut self) -> Vec<Report> {
        let unreported = std::mem::take(&mut self.unreported);
        let reports = unreported.into_iter().filter_map(|(kind, uid)| match kind {
            Kind::SpiffeIds => self.rules.get(&uid).map(|held| self.of_rule(held)),
            Kind::StaticEntries => self.statics.get(&uid).map(|held| self.of_static(held)),
            _ => self.federated.get(&uid).map(|held| self.of_federated(held)),
        });
        reports.collect()
    }

    /// Makes the next reports speak of all resources.
    pub fn report_all(&mut self) {
        let rules = self.rules.keys().map(|uid| (Kind::SpiffeIds, uid.clone()));
        self.unreported.extend(rules);
        let statics = self
            .statics
            .keys()
            .map(|uid| (Kind::StaticEntries, uid.clone()));
        self.unreported.extend(statics);
        self.unreport_federated();
    }

    /// What became of a `ClusterSPIFFEID`.
    #[must_use]
    pub fn stats(&self, uid: &str) -> Option<SpiffeIdStats> {
        let held = self.rules.get(uid)?;
        let tally = self.tallies.get(uid).cloned().unwrap_or_default();
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let mut stats = SpiffeIdStats {
            pods_selected: count(tally.silent + tally.failures + tally.masked + tally.to_set),
            pod_entry_render_failures: count(tally.failures),
            entries_masked: count(tally.masked),
            entries_to_set: count(tally.to_set),
            entry_failures: self.failures_of(&held.source).count() as u64,
            ..SpiffeIdStats::default()
        };
        if let Some(rule) = held.what() {
            for namespace in self.watched.namespaces() {
                if rule.selects_namespace(&namespace.labels) {
                    stats.namespaces_selected += 1;
                    let ignored = self.settings.ignored.contains(&namespace.name);
                    stats.namespaces_ignored += u64::from(ignored);
                }
            }
        }
        Some(stats)
    }

    /// What became of a `ClusterStaticEntry`.
    #[must_use]
    pub fn static_state(&self, uid: &str) -> Option<StaticState> {
        let held = self.statics.get(uid)?;
        let group = held.what().map(|one| &one.group);
        let group = group.or_else(|| self.kept.group_of(uid));
        let claims = group.and_then(|group| self.groups.get(group));
        let mut claims = claims.into_iter().flatten();
        let own = claims.find(|claim| claim.source == held.source);
        let outcome = own.map(|claim| claim.outcome);
        let failed = self.failures_of(&held.source).next().is_some();
        Some(StaticState {
            rendered: held.refusal.is_none(),
            masked: outcome == Some(Outcome::Masked),
            set: matches!(outcome, Some(Outcome::Wins { .. })) && !failed,
        })
    }

    fn failures_of<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a String> {
        let failed = self.failed.values();
        failed
            .filter(move |(by, _)| by == source)
            .map(|(_, failure)| failure)
    }

    fn of_rule(&self, held: &Held<Rule>) -> Report {
        let stats = self.stats(&held.source.uid).unwrap_or_default();
        let sample = self
            .tallies
            .get(&held.source.uid)
            .and_then(|tally| tally.sample.clone());
        let failure = self.failures_of(&held.source).next().cloned();
        self.report(held, json!({"stats": stats}), sample.or(failure))
    }

    fn of_static(&self, held: &Held<Static>) -> Report {
        let state = self.static_state(&held.source.uid).unwrap_or_default();
        let failure = self.failures_of(&held.source).next().cloned();
        let masked = state
            .masked
            .then(|| "an older resource declares the same entry".to_owned());
        self.report(held, json!(state), failure.or(masked))
    }

    fn of_federated(&self, held: &Held<Federated>) -> Report {
        let problem = held.what().and_then(|own| {
            let mut by_age = self.federated_by_age();
            let first = by_age.find(|(_, other)| other.trust_domain == own.trust_domain);
            let masked = first.is_some_and(|(source, _)| *source != *held.source);
            let unset = own.bundle.is_none().then(|| NOT_FETCHED.to_owned());
            let masked =
                masked.then(|| "an older resource declares the same trust domain".to_owned());
            masked.or(unset)
        });
        Report {
            note: held.what().map(|_| NOT_FOLLOWED),
            ..self.report(held, json!({}), problem)
        }
    }

    fn report<T>(&self, held: &Held<T>, figures: Json, problem: Option<String>) -> Report {
        let refusal = held.refusal.as_deref().map(cut);
        let stays = match &held.form {
            Some((generation, _)) => format!("; what generation {generation} declares stays"),
            None if self.kept.group_of(&held.source.uid).is_some() => STAYS.to_owned(),
            None => String::new(),
        };
        let refusal = refusal.map(|refusal| format!("{refusal}{stays}"));
        let problem = problem.map(|problem| cut(&problem).to_owned());
        Report {
            source: Source::clone(&held.source),
            name: held.name.clone(),
            generation: held.generation,
            figures,
            is_refused: refusal.is_some(),
            problem: refusal.or(problem),
            note: None,
            status: held.status.clone(),
        }
    }

    pub(super) fn put_rule(&mut self, resource: Resource<SpiffeIdSpec>) {
        let uid = resource.uid.clone();
        let ours = |spec: &SpiffeIdSpec| self.settings.is_ours(&spec.class_name);
        if !resource.spec.as_ref().map_or(true, ours) {
            return self.gone(Kind::SpiffeIds, &uid);
        }
        let known = self.rules.remove(&uid);
        let generation = known.as_ref().map(|known| known.generation);
        let mut held = held(Kind::SpiffeIds, &resource, known, Rule::read);
        held.is_fallback = resource.spec.as_ref().is_ok_and(|spec| spec.fallback);
        let is_understood = held.refusal.is_none();
        self.rules.insert(uid.clone(), held);
        // A change of its status is none of what it declares.
        if generation == Some(resource.generation) {
            return;
        }
        if is_understood {
            self.let_go(&uid);
            self.mark_pods();
        }
        self.unreported.insert((Kind::SpiffeIds, uid));
    }

    pub(super) fn put_static(&mut self, resource: Resource<StaticSpec>) {
        let uid = resource.uid.clone();
        let ours = |spec: &StaticSpec| self.settings.is_ours(&spec.class_name);
        if !resource.spec.as_ref().map_or(true, ours) {
            return self.gone(Kind::StaticEntries, &uid);
        }
        let known = self.statics.get_mut(&uid);
        if let Some(known) = known
            && known.generation == resource.generation
        {
            known.status = resource.status;
            return;
        }
        let known = self.statics.remove(&uid);
        if let Some(known) = &known {
            self.leave_group(known);
        }
        let settings = &self.settings;
        let held = held(Kind::StaticEntries, &resource, known, |spec| {
            let origin = origin(&resource.created, &resource.uid);
            let entry = static_entry(spec, settings, &origin)?;
            let group = group(&entry);
            Ok(Static { entry, group })
        });
        if held.refusal.is_none() {
            self.let_go(&uid);
        }
        if let Some(found) = held.what() {
            let group = found.group.clone();
            let all = self.statics_of.entry(group.clone()).or_default();
            all.insert(uid.clone());
            self.marked.insert(group);
        }
        self.statics.insert(uid.clone(), held);
        self.unreported.insert((Kind::StaticEntries, uid));
    }

    pub(super) fn leave_group(&mut self, held: &Held<Static>) {
        let Some(found) = held.what() else {
            return;
        };
        if let Some(all) = self.statics_of.get_mut(&found.group) {
            all.remove(&held.source.uid);
            if all.is_empty() {
                self.statics_of.remove(&found.group);
            }
        }
        self.marked.insert(found.group.clone());
    }

    pub(super) fn put_federated(&mut self, resource: Resource<FederatedSpec>) {
        let uid = resource.uid.clone();
        let ours = |spec: &FederatedSpec| self.settings.is_ours(&spec.class_name);
        if !resource.spec.as_ref().map_or(true, ours) {
            return self.gone(Kind::FederatedTrustDomains, &uid);
        }
        let settings = &self.settings;
        let known = self.federated.remove(&uid);
        let generation = known.as_ref().map(|known| known.generation);
        let held = held(Kind::FederatedTrustDomains, &resource, known, |spec| {
            Federated::read(spec, settings)
        });
        self.federated.insert(uid, held);
        if generation != Some(resource.generation) {
            self.unreport_federated();
        }
    }

    /// Each may have masked another.
    pub(super) fn unreport_federated(&mut self) {
        let all = self.federated.keys().cloned();
        self.unreported
            .extend(all.map(|uid| (Kind::FederatedTrustDomains, uid)));
    }

    pub(super) fn federated_by_age(&self) -> impl Iterator<Item = (&Source, &Federated)> {
        let all = self.federated.values();
        let all = all.filter_map(|held| Some((&*held.source, held.what()?)));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(source, _)| *source);
        all.into_iter()
    }
}

/// The resource as it is now. If that cannot be understood, what was `known` before holds.
fn held<S, T>(
    kind: Kind,
    resource: &Resource<S>,
    known: Option<Held<T>>,
    read: impl FnOnce(&S) -> Result<T, String>,
) -> Held<T> {
    let what = match &resource.spec {
        Ok(spec) => read(spec),
        Err(error) => Err(error.clone()),
    };
    let (refusal, form) = match what {
        Ok(what) => (None, Some((resource.generation, what))),
        Err(refusal) => (Some(refusal), known.and_then(|known| known.form)),
    };
    Held {
        source: Arc::new(Source {
            created: resource.created.clone(),
            uid: resource.uid.clone(),
            kind,
        }),
        name: resource.name.clone(),
        generation: resource.generation,
        status: resource.status.clone(),
        refusal,
        form,
        is_fallback: false,
    }
}

/// A static entry that selects one pod competes with what is declared for the pod.
pub(super) fn group(entry: &signet_model::Entry) -> Group {
    let mut pods = entry.selectors.iter().filter_map(pod_uid);
    match (pods.next(), pods.next()) {
        (Some(uid), None) => Group::Pod(uid.into()),
        _ => Group::Static(identity(
            &entry.spiffe_id,
            &entry.parent_id,
            &entry.selectors,
        )),
    }
}

/// Cut to a length that a status can have.
fn cut(text: &str) -> &str {
    let fits = (0..=MAX_MESSAGE.min(text.len())).rev();
    let end = fits.into_iter().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
