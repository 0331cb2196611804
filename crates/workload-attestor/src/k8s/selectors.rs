//! From a pod and one of its containers to selectors.

use std::collections::{BTreeMap, BTreeSet};

use super::pods::{Container, ContainerKind, Pod};
use crate::AttestError;
use signet_model::{Selector, SelectorError};

/// Everything that is known of a workload in a pod.
pub(super) struct Workload<'a> {
    pub(super) pod: &'a Pod,
    /// Its container, if selectors for it are wanted.
    pub(super) container: Option<&'a Container>,
    /// The labels of its namespace, if selectors for them are wanted.
    pub(super) namespace_labels: &'a BTreeMap<String, String>,
}

impl Workload<'_> {
    pub(super) fn selectors(&self) -> Result<Vec<Selector>, AttestError> {
        let mut found = Found::default();
        self.of_pod(&mut found);
        self.of_images(&mut found);
        if let Some(container) = self.container {
            found.add("container-name", &container.name);
            found.add("container-image", &container.image);
            found.add("container-image", &container.image_id);
        }
        found.selectors()
    }

    fn of_pod(&self, found: &mut Found) {
        let pod = self.pod;
        found.add("ns", &pod.namespace);
        found.add("sa", &pod.service_account);
        found.add("node-name", &pod.node_name);
        found.add("pod-uid", &pod.uid);
        found.add("pod-name", &pod.name);
        for (key, value) in &pod.labels {
            found.add("pod-label", &format!("{key}:{value}"));
        }
        for (key, value) in self.namespace_labels {
            found.add("ns-label", &format!("{key}:{value}"));
        }
        for owner in &pod.owners {
            found.add("pod-owner", &format!("{}:{}", owner.kind, owner.name));
            found.add("pod-owner-uid", &format!("{}:{}", owner.kind, owner.uid));
        }
    }

    fn of_images(&self, found: &mut Found) {
        let kinds = [
            (ContainerKind::Plain, "pod-image", "pod-image-count"),
            (
                ContainerKind::Init,
                "pod-init-image",
                "pod-init-image-count",
            ),
        ];
        for (kind, image, count) in kinds {
            let all = self.pod.containers.iter();
            let all: Vec<_> = all.filter(|container| container.kind == kind).collect();
            for container in &all {
                found.add(image, &container.image);
                found.add(image, &container.image_id);
            }
            found.add(count, &all.len().to_string());
        }
    }
}

#[derive(Default)]
struct Found(BTreeSet<String>);

impl Found {
    fn add(&mut self, what: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(format!("{what}:{value}"));
        }
    }

    fn selectors(self) -> Result<Vec<Selector>, AttestError> {
        let made: Result<_, SelectorError> = self
            .0
            .iter()
            .map(|value| Selector::new(super::KIND, value))
            .collect();
        made.map_err(super::failed)
    }
}
