//! A `ClusterSPIFFEID` that was understood, and the entry that it declares for one pod; and the one of
//! a `ClusterStaticEntry`.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value as Json;
use signet_crypto::{hex, sha256};
use signet_model::{Entry, EntryId, Selector, SelectorSet, Stewardship};
use signet_spiffe::{SpiffeId, TrustDomain};

use crate::labels::LabelSelector;
use crate::objects::Node;
use crate::resource::{SpiffeIdSpec, StaticSpec};
use crate::settings::Settings;
use crate::template::{Data, Template};

/// The kind of the selector by which a pod gets its own entries only.
const POD_UID: &str = "pod-uid:";

/// An entry's meaning: SPIFFE ID, parent and selectors, hashed. No two entries share it.
pub(crate) type Identity = [u8; 16];

/// A `ClusterSPIFFEID` that was understood.
#[derive(Debug)]
pub(crate) struct Rule {
    spiffe_id: Template,
    dns_names: Vec<Template>,
    selectors: Vec<Template>,
    namespaces: LabelSelector,
    pods: LabelSelector,
    common: Common,
    pub(crate) with_services: bool,
    pub(crate) is_fallback: bool,
}

/// What all entries of a resource share.
#[derive(Debug, Default)]
struct Common {
    x509_svid_ttl: Option<Duration>,
    jwt_svid_ttl: Option<Duration>,
    federates_with: BTreeSet<TrustDomain>,
    admin: bool,
    downstream: bool,
    hint: String,
}

/// One pod with its node, for all rules.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) uid: &'a str,
    pub(crate) namespace_labels: &'a crate::Labels,
    pub(crate) labels: crate::Labels,
    pub(crate) pod: Json,
    pub(crate) node: &'a Json,
    /// Whom entries are for; `None` if the node was not seen.
    pub(crate) parent_id: Option<Result<SpiffeId, String>>,
    /// Services that the pod stands behind, as name and namespace.
    pub(crate) services: Vec<(&'a str, &'a str)>,
}

impl Rule {
    /// Understands a specification.
    pub(crate) fn read(spec: &SpiffeIdSpec) -> Result<Self, String> {
        let template = |field: &str, text: &str| {
            Template::parse(text).map_err(|error| format!("{field}: {error}"))
        };
        let templates = |field: &str, texts: &Option<Vec<String>>| {
            let texts = texts.iter().flatten().enumerate();
            let read = texts.map(|(at, text)| template(&format!("{field}[{at}]"), text));
            read.collect::<Result<Vec<_>, String>>()
        };
        let selector = |field: &str, selector: &Option<LabelSelector>| {
            let selector = selector.clone().unwrap_or_default();
            let checked = selector
                .check()
                .map_err(|error| format!("{field}: {error}"));
            checked.map(|()| selector)
        };
        Ok(Self {
            spiffe_id: template("spiffeIDTemplate", &spec.spiffe_id_template)?,
            dns_names: templates("dnsNameTemplates", &spec.dns_name_templates)?,
            selectors: templates(
                "workloadSelectorTemplates",
                &spec.workload_selector_templates,
            )?,
            namespaces: selector("namespaceSelector", &spec.namespace_selector)?,
            pods: selector("podSelector", &spec.pod_selector)?,
            common: Common {
                x509_svid_ttl: ttl("ttl", spec.ttl.as_deref())?,
                jwt_svid_ttl: ttl("jwtTtl", spec.jwt_ttl.as_deref())?,
                federates_with: trust_domains(&spec.federates_with)?,
                admin: spec.admin,
                downstream: spec.downstream,
                hint: spec.hint.clone(),
            },
            with_services: spec.auto_populate_dns_names,
            is_fallback: spec.fallback,
        })
    }

    /// For every pod that no other rule has an entry for.
    pub(crate) fn of_the_rest(spiffe_id: Template) -> Self {
        Self {
            spiffe_id,
            dns_names: Vec::new(),
            selectors: Vec::new(),
            namespaces: LabelSelector::default(),
            pods: LabelSelector::default(),
            common: Common::default(),
            with_services: false,
            is_fallback: true,
        }
    }

    pub(crate) fn selects_namespace(&self, labels: &crate::Labels) -> bool {
        self.namespaces.selects(labels)
    }

    pub(crate) fn selects(&self, subject: &Subject<'_>) -> bool {
        self.selects_namespace(subject.namespace_labels) && self.pods.selects(&subject.labels)
    }

    /// The entry for one pod.
    pub(crate) fn entry(
        &self,
        settings: &Settings,
        origin: &str,
        subject: &Subject<'_>,
    ) -> Result<Entry, String> {
        let data = Data {
            pod_meta: Some(&subject.pod["metadata"]),
            pod_spec: Some(&subject.pod["spec"]),
            ..about_node(settings, subject.node)
        };
        let parent_id = match &subject.parent_id {
            Some(Ok(parent_id)) => parent_id.clone(),
            Some(Err(error)) => return Err(format!("parent ID: {error}")),
            None => return Err("its node is not known yet".to_owned()),
        };
        let spiffe_id = id(&self.spiffe_id, &data);
        let spiffe_id = spiffe_id.map_err(|error| format!("spiffeIDTemplate: {error}"))?;
        let mut selectors = SelectorSet::new();
        let own = Selector::new("k8s", &format!("{POD_UID}{}", subject.uid));
        selectors.insert(own.map_err(|error| error.to_string())?);
        for (at, template) in self.selectors.iter().enumerate() {
            let selector = selector(template, &data, subject.uid);
            let selector =
                selector.map_err(|error| format!("workloadSelectorTemplates[{at}]: {error}"));
            selectors.insert(selector?);
        }
        let entry = self
            .common
            .entry(settings, origin, spiffe_id, parent_id, selectors)?;
        let dns_names = self.dns_names(settings, &data, subject)?;
        check(Entry { dns_names, ..entry }, settings)
    }

    fn dns_names(
        &self,
        settings: &Settings,
        data: &Data<'_>,
        subject: &Subject<'_>,
    ) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for (at, template) in self.dns_names.iter().enumerate() {
            let name = template.render(data);
            names.push(name.map_err(|error| format!("dnsNameTemplates[{at}]: {error}"))?);
        }
        if self.with_services {
            names.extend(service_names(&subject.services, &settings.cluster_domain));
        }
        Ok(names)
    }
}

impl Settings {
    /// Whom the entries of a node's pods are for.
    pub(crate) fn parent_id(&self, node: &Node) -> Result<SpiffeId, String> {
        id(&self.parent_id, &about_node(self, &node.seen))
    }
}

fn about_node<'a>(settings: &'a Settings, node: &'a Json) -> Data<'a> {
    Data {
        trust_domain: settings.trust_domain.name(),
        cluster_name: &settings.cluster_name,
        cluster_domain: &settings.cluster_domain,
        pod_meta: None,
        pod_spec: None,
        node_meta: &node["metadata"],
        node_spec: &node["spec"],
    }
}

fn id(template: &Template, data: &Data<'_>) -> Result<SpiffeId, String> {
    let text = template.render(data).map_err(|error| error.to_string())?;
    SpiffeId::parse(&text).map_err(|error| format!("{text:?} is no SPIFFE ID: {error}"))
}

/// No rule can put another pod's identity into a pod's entry.
fn selector(template: &Template, data: &Data<'_>, uid: &str) -> Result<Selector, String> {
    let text = template.render(data).map_err(|error| error.to_string())?;
    let selector = Selector::parse(&text).map_err(|error| error.to_string())?;
    match pod_uid(&selector) {
        Some(other) if other != uid => Err("it selects another pod".to_owned()),
        _ => Ok(selector),
    }
}

/// The pod that a selector names.
pub(crate) fn pod_uid(selector: &Selector) -> Option<&str> {
    match selector.kind() {
        "k8s" => selector.value().strip_prefix(POD_UID),
        _ => None,
    }
}

fn service_names(services: &[(&str, &str)], cluster_domain: &str) -> BTreeSet<String> {
    let names = services.iter().flat_map(|(service, namespace)| {
        let full = format!("{service}.{namespace}.svc.{cluster_domain}");
        let short = [
            (*service).to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
        ];
        short
            .into_iter()
            .chain((!cluster_domain.is_empty()).then_some(full))
    });
    names.collect()
}

/// The entry of a `ClusterStaticEntry`.
pub(crate) fn static_entry(
    spec: &StaticSpec,
    settings: &Settings,
    origin: &str,
) -> Result<Entry, String> {
    let id = |field: &str, text: &str| {
        SpiffeId::parse(text).map_err(|error| format!("{field}: {text:?} is no SPIFFE ID: {error}"))
    };
    let selectors = spec.selectors.iter().enumerate().map(|(at, text)| {
        Selector::parse(text).map_err(|error| format!("selectors[{at}]: {error}"))
    });
    let common = Common {
        x509_svid_ttl: ttl("x509SVIDTTL", spec.x509_svid_ttl.as_deref())?,
        jwt_svid_ttl: ttl("jwtSVIDTTL", spec.jwt_svid_ttl.as_deref())?,
        federates_with: trust_domains(&spec.federates_with)?,
        admin: spec.admin,
        downstream: spec.downstream,
        hint: spec.hint.clone(),
    };
    let entry = common.entry(
        settings,
        origin,
        id("spiffeID", &spec.spiffe_id)?,
        id("parentID", &spec.parent_id)?,
        selectors.collect::<Result<_, _>>()?,
    )?;
    let entry = Entry {
        dns_names: spec.dns_names.clone().unwrap_or_default(),
        store_svid: spec.store_svid,
        ..entry
    };
    check(entry, settings)
}

impl Common {
    fn entry(
        &self,
        settings: &Settings,
        origin: &str,
        spiffe_id: SpiffeId,
        parent_id: SpiffeId,
        selectors: SelectorSet,
    ) -> Result<Entry, String> {
        let identity = identity(&spiffe_id, &parent_id, &selectors);
        let id = format!("{}{origin}.{}", settings.id_prefix(), hex(&identity));
        Ok(Entry {
            id: EntryId::parse(&id).map_err(|error| error.to_string())?,
            spiffe_id,
            parent_id,
            selectors,
            x509_svid_ttl: self.x509_svid_ttl,
            jwt_svid_ttl: self.jwt_svid_ttl,
            federates_with: self.federates_with.clone(),
            admin: self.admin,
            downstream: self.downstream,
            store_svid: false,
            expires_at: None,
            dns_names: Vec::new(),
            hint: self.hint.clone(),
            revision_number: 0,
            created_at: UNIX_EPOCH,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
            disabled: false,
            stewardship: Stewardship::default(),
        })
    }
}

fn check(entry: Entry, settings: &Settings) -> Result<Entry, String> {
    signet_model::entry::check(entry, &settings.trust_domain).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        format!("{error}{}", source.unwrap_or_default())
    })
}

/// The part of an entry's id that names the resource which declares it: its age, so that the oldest
/// comes first, and the beginning of its UID, which is random.
pub(crate) fn origin(created: &str, uid: &str) -> String {
    let fits = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let uid: String = uid.chars().filter(fits).take(8).collect();
    format!("{created}.{uid}")
}

pub(crate) fn identity(
    spiffe_id: &SpiffeId,
    parent_id: &SpiffeId,
    selectors: &SelectorSet,
) -> Identity {
    let mut text = format!("{spiffe_id}\n{parent_id}\n");
    for selector in selectors.iter() {
        // Lengths keep two selectors apart from one that holds a line break.
        let selector = selector.expose();
        text.push_str(&format!("{}:{selector}\n", selector.len()));
    }
    let hash = sha256(text.as_bytes());
    *hash.first_chunk().expect("a hash has 32 bytes")
}

/// A resource with `0s` asks for the server's default, as one without.
fn ttl(field: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    let ttl = text
        .filter(|text| !text.is_empty())
        .map(signet_config::parse_duration);
    let ttl = ttl
        .transpose()
        .map_err(|error| format!("{field} {error}"))?;
    Ok(ttl
        .map(|ttl| Duration::from_secs(ttl.as_secs()))
        .filter(|ttl| !ttl.is_zero()))
}

fn trust_domains(names: &Option<Vec<String>>) -> Result<BTreeSet<TrustDomain>, String> {
    let names = names.iter().flatten();
    let read = names.map(|name| {
        TrustDomain::from_name_or_id(name)
            .map_err(|error| format!("federatesWith: {name:?} is no trust domain: {error}"))
    });
    read.collect()
}
