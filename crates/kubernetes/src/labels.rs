//! Label selectors (meta/v1 `LabelSelector`): which namespaces and pods a resource is about.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// As it stands in a resource. All of it must hold; an empty one holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    match_labels: Option<Labels>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: Option<Vec<String>>,
}

/// Why a selector selects nothing that can be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorFault {
    /// An operator of another age.
    #[error("operator {0:?} is none of In, NotIn, Exists and DoesNotExist")]
    Operator(String),
    /// Values are missing, or there are some where none have a meaning.
    #[error("operator {operator} for key {key:?} needs {need}")]
    Values {
        /// Which.
        operator: String,
        /// Of which label.
        key: String,
        /// What is right.
        need: &'static str,
    },
}

impl LabelSelector {
    /// Whether it can be understood.
    ///
    /// # Errors
    /// [`SelectorFault`].
    pub fn check(&self) -> Result<(), SelectorFault> {
        for requirement in self.match_expressions.iter().flatten() {
            let given = requirement.values.iter().flatten().next().is_some();
            let need = match (&*requirement.operator, given) {
                ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => continue,
                ("In" | "NotIn", false) => "values",
                ("Exists" | "DoesNotExist", true) => "no values",
                (other, _) => return Err(SelectorFault::Operator(other.to_owned())),
            };
            return Err(SelectorFault::Values {
                operator: requirement.operator.clone(),
                key: requirement.key.clone(),
                need,
            });
        }
        Ok(())
    }

    /// Whether it selects an object with these labels.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        let mut equal = self.match_labels.iter().flatten();
        equal.all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .flatten()
                .all(|one| one.holds(labels))
    }
}

impl Requirement {
    /// `NotIn` holds for an object without the label, as in Kubernetes.
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let among = |value: &String| self.values.iter().flatten().any(|one| one == value);
        match &*self.operator {
            "In" => value.is_some_and(among),
            "NotIn" => !value.is_some_and(among),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: &str) -> LabelSelector {
        serde_json::from_str(json).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn an_empty_selector_selects_everything() {
        for json in ["{}", r#"{"matchLabels":null,"matchExpressions":[]}"#] {
            assert!(selector(json).selects(&labels(&[])));
            assert!(selector(json).selects(&labels(&[("a", "b")])));
        }
    }

    #[test]
    fn every_requirement_must_hold() {
        let both = selector(
            r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"Exists"}]}"#,
        );
        assert!(both.selects(&labels(&[("app", "web"), ("tier", "")])));
        assert!(!both.selects(&labels(&[("app", "web")])));
        assert!(!both.selects(&labels(&[("tier", "x"), ("app", "db")])));
    }

    #[test]
    fn the_operators_are_those_of_kubernetes() {
        let cases = [
            (
                r#"{"key":"a","operator":"In","values":["x","y"]}"#,
                [false, true, false],
            ),
            (
                r#"{"key":"a","operator":"NotIn","values":["x","y"]}"#,
                [true, false, true],
            ),
            (r#"{"key":"a","operator":"Exists"}"#, [false, true, true]),
            (
                r#"{"key":"a","operator":"DoesNotExist"}"#,
                [true, false, false],
            ),
        ];
        for (json, expected) in cases {
            let selector = selector(&format!(r#"{{"matchExpressions":[{json}]}}"#));
            assert_eq!(selector.check(), Ok(()));
            let objects = [labels(&[]), labels(&[("a", "x")]), labels(&[("a", "z")])];
            assert_eq!(
                objects.map(|one| selector.selects(&one)),
                expected,
                "{json}"
            );
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for json in [
            r#"{"key":"a","operator":"Like","values":["x"]}"#,
            r#"{"key":"a","operator":"In"}"#,
            r#"{"key":"a","operator":"NotIn","values":[]}"#,
            r#"{"key":"a","operator":"Exists","values":["x"]}"#,
        ] {
            let selector = selector(&format!(r#"{{"matchExpressions":[{json}]}}"#));
            assert!(selector.check().is_err(), "{json}");
            assert!(
                !LabelSelector::selects(&selector, &labels(&[]))
                    || json.contains("NotIn")
                    || json.contains("Exists")
            );
        }
    }
}
