//! What the operator chose for a cluster.

use regex::bytes::{Regex, RegexBuilder};
use signet_spiffe::TrustDomain;

use crate::template::{Template, TemplateError};

/// The agents of a cluster as `k8s_psat` names them.
pub const DEFAULT_PARENT_ID_TEMPLATE: &str =
    "spiffe://{{ .TrustDomain }}/spire/agent/k8s_psat/{{ .ClusterName }}/{{ .NodeMeta.UID }}";

/// Namespaces without identities, if the operator names none.
pub const DEFAULT_IGNORED: [&str; 3] = ["kube-system", "kube-public", "spire-system"];

/// What the operator chose.
#[derive(Debug)]
pub struct Settings {
    /// Of all identities.
    pub trust_domain: TrustDomain,
    /// `.ClusterName`; part of the ids of entries.
    pub cluster_name: String,
    /// `.ClusterDomain`; empty if it is not known.
    pub cluster_domain: String,
    /// Namespaces whose pods get nothing.
    pub ignored: IgnoredNamespaces,
    /// Resources with this `className` are ours.
    pub class_name: String,
    /// Those without one too.
    pub watch_classless: bool,
    /// The agents' SPIFFE ID, or that of an entry for them.
    pub parent_id: Template,
    /// The SPIFFE ID of pods for which no `ClusterSPIFFEID` has an entry; nothing for them without one.
    pub default_id: Option<Template>,
}

impl Settings {
    /// Whether resources of this class are ours.
    pub(crate) fn is_ours(&self, class_name: &str) -> bool {
        (class_name.is_empty() && self.watch_classless) || class_name == self.class_name
    }

    /// What the ids of all entries begin with that are declared in the cluster.
    #[must_use]
    pub fn id_prefix(&self) -> String {
        format!("k8s.{}.", self.cluster_name)
    }

    /// The agents' SPIFFE ID as `k8s_psat` makes it.
    ///
    /// # Panics
    /// Never: the text is known to be good.
    #[must_use]
    pub fn default_parent_id() -> Template {
        Template::parse(DEFAULT_PARENT_ID_TEMPLATE).expect("a good template")
    }

    /// Reads a template for the field [`parent_id`](field@Settings::parent_id).
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parent_id_template(text: &str) -> Result<Template, TemplateError> {
        Template::parse(text)
    }
}

/// Regular expressions for names of namespaces; one that matches anywhere in the name counts.
#[derive(Debug, Default)]
pub struct IgnoredNamespaces(Vec<Regex>);

impl IgnoredNamespaces {
    /// Reads the expressions. They are those of Go: only ASCII counts as letter, digit or space.
    ///
    /// # Errors
    /// The expression that cannot be read, with the reason.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |text: &str| {
            let built = RegexBuilder::new(text).unicode(false).build();
            built.map_err(|error| format!("{text:?} is no regular expression: {error}"))
        };
        let all: Result<_, _> = texts.into_iter().map(read).collect();
        Ok(Self(all?))
    }

    pub(crate) fn contains(&self, namespace: &str) -> bool {
        self.0.iter().any(|one| one.is_match(namespace.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_ignores_what_it_matches() {
        let ignored = IgnoredNamespaces::parse(["kube-system", "^test-\\d+$"]).unwrap();
        for name in ["kube-system", "my-kube-system-2", "test-7"] {
            assert!(ignored.contains(name), "{name}");
        }
        for name in ["kube", "test-x", "test-7b"] {
            assert!(!ignored.contains(name), "{name}");
        }
        assert!(!IgnoredNamespaces::default().contains("kube-system"));
    }

    #[test]
    fn what_is_no_expression_is_named() {
        let refused = IgnoredNamespaces::parse(["fine", "a("]).unwrap_err();
        assert!(
            refused.starts_with("\"a(\" is no regular expression"),
            "{refused}"
        );
    }
}
