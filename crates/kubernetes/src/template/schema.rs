//! What a template is about: Kubernetes' objects as JSON, under the names and types that they have in
//! Go. The types matter: a field that is not in the JSON is empty if the type has it, and a mistake in
//! the template if not.
//!
//! Fields are those of `ObjectMeta` (meta/v1), `PodSpec` and `NodeSpec` (core/v1) and of what stands in
//! them, as far as it can be of use in an identity. The rest, most of an object, is not even kept, so
//! that a change in it is none; `resourceVersion` is left out since every change would be one.

use serde_json::Value as Json;

/// What is known of one pod and its node.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// `.TrustDomain`, a name.
    pub trust_domain: &'a str,
    /// `.ClusterName`
    pub cluster_name: &'a str,
    /// `.ClusterDomain`
    pub cluster_domain: &'a str,
    /// `.PodMeta`; none for a template that is about the node alone.
    pub pod_meta: Option<&'a Json>,
    /// `.PodSpec`
    pub pod_spec: Option<&'a Json>,
    /// `.NodeMeta`
    pub node_meta: &'a Json,
    /// `.NodeSpec`
    pub node_spec: &'a Json,
}

/// The type of a value in JSON.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Integer,
    Bool,
    /// From texts to texts.
    Map,
    List(&'static Kind),
    Struct(&'static Struct),
    /// What may be absent in Go too.
    Pointer(&'static Kind),
}

/// A structure of Go.
#[derive(Debug)]
pub(super) struct Struct {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, &'static str, Kind)],
}

impl Struct {
    /// The name in JSON and the type of a field.
    pub(super) fn field(&self, name: &str) -> Option<(&'static str, &'static Kind)> {
        let found = self.fields.iter().find(|(known, ..)| *known == name);
        found.map(|(_, json, kind)| (*json, kind))
    }
}

/// What templates can see of an object's metadata.
pub(crate) fn kept_meta(metadata: &Json) -> Json {
    let mut kept = kept(metadata, &Kind::Struct(&OBJECT_META));
    // kubectl keeps the whole object there once more.
    if let Some(annotations) = kept.get_mut("annotations").and_then(Json::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    kept
}

/// What templates can see of a pod's `spec`.
pub(crate) fn kept_pod_spec(spec: &Json) -> Json {
    kept(spec, &Kind::Struct(&POD_SPEC))
}

/// What templates can see of a node's `spec`.
pub(crate) fn kept_node_spec(spec: &Json) -> Json {
    kept(spec, &Kind::Struct(&NODE_SPEC))
}

fn kept(json: &Json, kind: &Kind) -> Json {
    match (kind, json) {
        (Kind::Pointer(of), json) => kept(json, of),
        (Kind::List(of), Json::Array(list)) => list.iter().map(|item| kept(item, of)).collect(),
        (Kind::Struct(of), Json::Object(object)) => {
            let fields = of.fields.iter().filter_map(|(_, key, kind)| {
                let value = object.get(*key).filter(|value| !value.is_null())?;
                Some(((*key).to_owned(), kept(value, kind)))
            });
            Json::Object(fields.collect())
        }
        (_, json) => json.clone(),
    }
}

use Kind::{Bool, Integer, Map, Text};

const TEXTS: Kind = Kind::List(&Text);

pub(super) static OBJECT_META: Struct = Struct {
    name: "ObjectMeta",
    fields: &[
        ("Name", "name", Text),
        ("GenerateName", "generateName", Text),
        ("Namespace", "namespace", Text),
        ("UID", "uid", Text),
        ("Labels", "labels", Map),
        ("Annotations", "annotations", Map),
        (
            "OwnerReferences",
            "ownerReferences",
            Kind::List(&Kind::Struct(&OWNER)),
        ),
        ("Finalizers", "finalizers", TEXTS),
    ],
};

static OWNER: Struct = Struct {
    name: "OwnerReference",
    fields: &[
        ("APIVersion", "apiVersion", Text),
        ("Kind", "kind", Text),
        ("Name", "name", Text),
        ("UID", "uid", Text),
        ("Controller", "controller", Kind::Pointer(&Bool)),
        (
            "BlockOwnerDeletion",
            "blockOwnerDeletion",
            Kind::Pointer(&Bool),
        ),
    ],
};

pub(super) static POD_SPEC: Struct = Struct {
    name: "PodSpec",
    fields: &[
        ("Volumes", "volumes", Kind::List(&Kind::Struct(&NAMED))),
        (
            "InitContainers",
            "initContainers",
            Kind::List(&Kind::Struct(&CONTAINER)),
        ),
        (
            "Containers",
            "containers",
            Kind::List(&Kind::Struct(&CONTAINER)),
        ),
        (
            "EphemeralContainers",
            "ephemeralContainers",
            Kind::List(&Kind::Struct(&CONTAINER)),
        ),
        ("RestartPolicy", "restartPolicy", Text),
        (
            "TerminationGracePeriodSeconds",
            "terminationGracePeriodSeconds",
            Kind::Pointer(&Integer),
        ),
        (
            "ActiveDeadlineSeconds",
            "activeDeadlineSeconds",
            Kind::Pointer(&Integer),
        ),
        ("DNSPolicy", "dnsPolicy", Text),
        ("NodeSelector", "nodeSelector", Map),
        ("ServiceAccountName", "serviceAccountName", Text),
        ("DeprecatedServiceAccount", "serviceAccount", Text),
        (
            "AutomountServiceAccountToken",
            "automountServiceAccountToken",
            Kind::Pointer(&Bool),
        ),
        ("NodeName", "nodeName", Text),
        ("HostNetwork", "hostNetwork", Bool),
        ("HostPID", "hostPID", Bool),
        ("HostIPC", "hostIPC", Bool),
        (
            "ShareProcessNamespace",
            "shareProcessNamespace",
            Kind::Pointer(&Bool),
        ),
        (
            "SecurityContext",
            "securityContext",
            Kind::Pointer(&Kind::Struct(&SECURITY)),
        ),
        (
            "ImagePullSecrets",
            "imagePullSecrets",
            Kind::List(&Kind::Struct(&NAMED)),
        ),
        ("Hostname", "hostname", Text),
        ("Subdomain", "subdomain", Text),
        ("SchedulerName", "schedulerName", Text),
        (
            "Tolerations",
            "tolerations",
            Kind::List(&Kind::Struct(&TOLERATION)),
        ),
        ("PriorityClassName", "priorityClassName", Text),
        ("Priority", "priority", Kind::Pointer(&Integer)),
        ("RuntimeClassName", "runtimeClassName", Kind::Pointer(&Text)),
        (
            "EnableServiceLinks",
            "enableServiceLinks",
            Kind::Pointer(&Bool),
        ),
        ("PreemptionPolicy", "preemptionPolicy", Kind::Pointer(&Text)),
        (
            "SetHostnameAsFQDN",
            "setHostnameAsFQDN",
            Kind::Pointer(&Bool),
        ),
        ("OS", "os", Kind::Pointer(&Kind::Struct(&NAMED))),
        ("HostUsers", "hostUsers", Kind::Pointer(&Bool)),
    ],
};

/// A volume, a reference to a secret or an operating system, as far as its name.
static NAMED: Struct = Struct {
    name: "object with a name",
    fields: &[("Name", "name", Text)],
};

static CONTAINER: Struct = Struct {
    name: "Container",
    fields: &[
        ("Name", "name", Text),
        ("Image", "image", Text),
        ("Command", "command", TEXTS),
        ("Args", "args", TEXTS),
        ("WorkingDir", "workingDir", Text),
        ("Ports", "ports", Kind::List(&Kind::Struct(&PORT))),
        ("Env", "env", Kind::List(&Kind::Struct(&VARIABLE))),
        ("ImagePullPolicy", "imagePullPolicy", Text),
        (
            "SecurityContext",
            "securityContext",
            Kind::Pointer(&Kind::Struct(&SECURITY)),
        ),
        ("TargetContainerName", "targetContainerName", Text),
    ],
};

static PORT: Struct = Struct {
    name: "ContainerPort",
    fields: &[
        ("Name", "name", Text),
        ("HostPort", "hostPort", Integer),
        ("ContainerPort", "containerPort", Integer),
        ("Protocol", "protocol", Text),
        ("HostIP", "hostIP", Text),
    ],
};

static VARIABLE: Struct = Struct {
    name: "EnvVar",
    fields: &[("Name", "name", Text), ("Value", "value", Text)],
};

static SECURITY: Struct = Struct {
    name: "SecurityContext",
    fields: &[
        ("RunAsUser", "runAsUser", Kind::Pointer(&Integer)),
        ("RunAsGroup", "runAsGroup", Kind::Pointer(&Integer)),
        ("RunAsNonRoot", "runAsNonRoot", Kind::Pointer(&Bool)),
        ("FSGroup", "fsGroup", Kind::Pointer(&Integer)),
        ("Privileged", "privileged", Kind::Pointer(&Bool)),
        (
            "ReadOnlyRootFilesystem",
            "readOnlyRootFilesystem",
            Kind::Pointer(&Bool),
        ),
        (
            "AllowPrivilegeEscalation",
            "allowPrivilegeEscalation",
            Kind::Pointer(&Bool),
        ),
    ],
};

static TOLERATION: Struct = Struct {
    name: "Toleration",
    fields: &[
        ("Key", "key", Text),
        ("Operator", "operator", Text),
        ("Value", "value", Text),
        ("Effect", "effect", Text),
        (
            "TolerationSeconds",
            "tolerationSeconds",
            Kind::Pointer(&Integer),
        ),
    ],
};

pub(super) static NODE_SPEC: Struct = Struct {
    name: "NodeSpec",
    fields: &[
        ("PodCIDR", "podCIDR", Text),
        ("PodCIDRs", "podCIDRs", TEXTS),
        ("ProviderID", "providerID", Text),
        ("Unschedulable", "unschedulable", Bool),
        ("Taints", "taints", Kind::List(&Kind::Struct(&TAINT))),
    ],
};

static TAINT: Struct = Struct {
    name: "Taint",
    fields: &[
        ("Key", "key", Text),
        ("Value", "value", Text),
        ("Effect", "effect", Text),
    ],
};
