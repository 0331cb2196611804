//! The cluster whose objects declare entries, as configured.

use crate::config::KubernetesSettings;
use crate::kubernetes::{Cluster, LeaseSettings};
use signet_kubernetes::{IgnoredNamespaces, Settings, Template};
use signet_spiffe::TrustDomain;

fn template(text: &str) -> Template {
    Template::parse(text).expect("checked with the configuration")
}

pub(super) fn cluster(
    settings: &KubernetesSettings,
    trust_domain: &TrustDomain,
    server_id: &str,
) -> Cluster {
    let ignored = settings.ignored.iter().map(String::as_str);
    let lease = settings.lease.clone();
    Cluster {
        reach: settings.reach.clone(),
        settings: Settings {
            trust_domain: trust_domain.clone(),
            cluster_name: settings.cluster_name.clone(),
            cluster_domain: settings.cluster_domain.clone(),
            ignored: IgnoredNamespaces::parse(ignored).expect("checked with the configuration"),
            class_name: settings.class_name.clone(),
            watch_classless: settings.watch_classless,
            parent_id: template(&settings.parent_id_template),
            default_id: settings.default_spiffe_id_template.as_deref().map(template),
        },
        lease: lease.map(|(namespace, name)| LeaseSettings {
            namespace,
            name,
            holder: server_id.to_owned(),
        }),
    }
}
