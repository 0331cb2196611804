//! Selectors: what an attestor found out, and what an entry asks for.
//!
//! A value may hold what its owner thinks secret (an environment variable, a label), so nothing
//! here prints one by accident: [`Selector::expose`] is the only way to the text.

use std::collections::BTreeSet;
use std::collections::btree_set;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest selector type. Types are names of attestors; 255 is also what SPIRE's tables hold.
pub const MAX_KIND_BYTES: usize = 255;

/// The longest selector value. The longest honest ones are paths (4096 bytes on Linux) with a
/// prefix, and environment variables of containers.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// There is no `:` between type and value.
    #[error("selector must have the form type:value")]
    NoColon,
    /// The type is empty.
    #[error("selector type is empty")]
    EmptyKind,
    /// The type holds a `:`, which would move the border between type and value.
    #[error("selector type contains ':'")]
    ColonInKind,
    /// The type is too long.
    #[error("selector type has {length} bytes; the limit is {MAX_KIND_BYTES}")]
    KindTooLong {
        /// Bytes given.
        length: usize,
    },
    /// The value is empty.
    #[error("selector value is empty")]
    EmptyValue,
    /// The value is too long.
    #[error("selector value has {length} bytes; the limit is {MAX_VALUE_BYTES}")]
    ValueTooLong {
        /// Bytes given.
        length: usize,
    },
}

/// One fact about a node or a workload: a type (the attestor's name) and a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    kind: Arc<str>,
    value: Arc<str>,
}

impl Selector {
    /// A selector of its two parts.
    pub fn new(kind: &str, value: &str) -> Result<Self, SelectorError> {
        match (kind, value) {
            ("", _) => return Err(SelectorError::EmptyKind),
            (_, "") => return Err(SelectorError::EmptyValue),
            _ => {}
        }
        if kind.len() > MAX_KIND_BYTES {
            return Err(SelectorError::KindTooLong { length: kind.len() });
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(SelectorError::ValueTooLong {
                length: value.len(),
            });
        }
        if kind.contains(':') {
            return Err(SelectorError::ColonInKind);
        }
        Ok(Self {
            kind: kind.into(),
            value: value.into(),
        })
    }

    /// Reads `type:value`. The first `:` is the border; the value may hold more of them.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let (kind, value) = text.split_once(':').ok_or(SelectorError::NoColon)?;
        Self::new(kind, value)
    }

    /// The type: the name of the attestor that speaks of it.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The value. Not for logs.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// `type:value`, for an operator's eyes and for the wire. Not for logs.
    pub fn expose(&self) -> String {
        format!("{}:{}", self.kind, self.value)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({}:[{} bytes])", self.kind, self.value.len())
    }
}

/// A set of selectors, in order of type and value.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectorSet(BTreeSet<Selector>);

impl SelectorSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; false if it was there.
    pub fn insert(&mut self, selector: Selector) -> bool {
        self.0.insert(selector)
    }

    /// Whether this selector is in the set.
    pub fn contains(&self, selector: &Selector) -> bool {
        self.0.contains(selector)
    }

    /// Whether all of these are among the others. The empty set is a subset of everything: whoever
    /// grants by this test must ask for at least one selector first.
    pub fn is_subset(&self, of: &Self) -> bool {
        self.0.is_subset(&of.0)
    }

    /// Whether at least one is in both.
    pub fn intersects(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Those of this set that the others lack.
    pub fn missing_from(&self, others: &Self) -> Self {
        Self(self.0.difference(&others.0).cloned().collect())
    }

    /// The number of selectors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first in order.
    pub fn first(&self) -> Option<&Selector> {
        self.0.first()
    }

    /// All, in order.
    pub fn iter(&self) -> btree_set::Iter<'_, Selector> {
        self.0.iter()
    }

    /// Whether all have the same type. True for the empty set.
    pub fn has_one_kind(&self) -> bool {
        let mut kinds = self.0.iter().map(Selector::kind);
        let first = kinds.next();
        kinds.all(|kind| Some(kind) == first)
    }
}

impl fmt::Debug for SelectorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

impl FromIterator<Selector> for SelectorSet {
    fn from_iter<I: IntoIterator<Item = Selector>>(selectors: I) -> Self {
        Self(selectors.into_iter().collect())
    }
}

impl Extend<Selector> for SelectorSet {
    fn extend<I: IntoIterator<Item = Selector>>(&mut self, selectors: I) {
        self.0.extend(selectors);
    }
}

impl IntoIterator for SelectorSet {
    type Item = Selector;
    type IntoIter = btree_set::IntoIter<Selector>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a SelectorSet {
    type Item = &'a Selector;
    type IntoIter = btree_set::Iter<'a, Selector>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Writes the selectors as `type:value` texts, or nothing.
pub(crate) fn optional_exposed<S: Serializer>(
    set: &Option<SelectorSet>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match set {
        Some(set) => exposed(set, to),
        None => to.serialize_none(),
    }
}

/// Writes the selectors as `type:value` texts, for an answer to an operator.
pub(crate) fn exposed<S: Serializer>(set: &SelectorSet, to: S) -> Result<S::Ok, S::Error> {
    set.iter()
        .map(Selector::expose)
        .collect::<Vec<_>>()
        .serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> SelectorSet {
        texts.iter().map(|t| Selector::parse(t).unwrap()).collect()
    }

    #[test]
    fn the_first_colon_parts_type_and_value() {
        let selector = Selector::parse("docker:label:app:web").unwrap();
        assert_eq!(selector.kind(), "docker");
        assert_eq!(selector.value(), "label:app:web");
        assert_eq!(selector.expose(), "docker:label:app:web");
    }

    #[test]
    fn a_selector_without_one_of_its_parts_is_refused() {
        assert_eq!(Selector::parse("unix"), Err(SelectorError::NoColon));
        assert_eq!(Selector::parse(":uid:1"), Err(SelectorError::EmptyKind));
        assert_eq!(Selector::parse("unix:"), Err(SelectorError::EmptyValue));
        assert_eq!(Selector::new("", ""), Err(SelectorError::EmptyKind));
    }

    #[test]
    fn a_colon_in_the_type_is_refused() {
        assert_eq!(
            Selector::new("unix:uid", "1"),
            Err(SelectorError::ColonInKind)
        );
    }

    #[test]
    fn lengths_are_accepted_up_to_the_limit_and_refused_above() {
        assert!(Selector::new(&"k".repeat(MAX_KIND_BYTES), "v").is_ok());
        assert!(Selector::new("k", &"v".repeat(MAX_VALUE_BYTES)).is_ok());
        assert_eq!(
            Selector::new(&"k".repeat(MAX_KIND_BYTES + 1), "v"),
            Err(SelectorError::KindTooLong {
                length: MAX_KIND_BYTES + 1
            })
        );
        assert_eq!(
            Selector::new("k", &"v".repeat(MAX_VALUE_BYTES + 1)),
            Err(SelectorError::ValueTooLong {
                length: MAX_VALUE_BYTES + 1
            })
        );
    }

    #[test]
    fn debug_hides_the_value() {
        let shown = format!("{:?}", set(&["env:PASSWORD=hunter2"]));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("env"), "{shown}");
    }

    #[test]
    fn a_selector_given_twice_is_once_in_the_set() {
        assert_eq!(set(&["a:1", "a:1", "b:2"]).len(), 2);
    }

    #[test]
    fn missing_selectors_are_those_the_other_set_lacks() {
        let wanted = set(&["a:1", "b:2", "c:3"]);
        let found = set(&["b:2", "d:4"]);
        assert!(!wanted.is_subset(&found));
        assert_eq!(wanted.missing_from(&found), set(&["a:1", "c:3"]));
        assert!(wanted.intersects(&found));
        assert!(!set(&["x:1"]).intersects(&found));
    }

    #[test]
    fn one_kind_is_told_from_two() {
        assert!(set(&["a:1", "a:2"]).has_one_kind());
        assert!(!set(&["a:1", "b:2"]).has_one_kind());
    }
}
