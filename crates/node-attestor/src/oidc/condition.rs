//! What an operator asks of a token's claims.

use serde_json::{Map, Value};

/// Longest name of a claim and longest pattern. With [`MAX_VALUE`] they bound the work of a match.
const MAX_TEXT: usize = 512;
/// Longest value that is looked at: real ones are names, paths and URLs.
pub(super) const MAX_VALUE: usize = 2048;
/// Items of a list that are looked at.
pub(super) const MAX_ITEMS: usize = 64;

/// Names a claim: by itself, or inside others by a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName(String);

/// How a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this.
    Equals(String),
    /// It begins so.
    Prefix(String),
    /// It is of this form: `*` is any text without `/`, `**` any text.
    Glob(String),
}

/// One claim, of which one value must fit one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    claim: ClaimName,
    patterns: Vec<Pattern>,
}

/// Why a condition is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Nothing, or too much.
    #[error("needs 1 to {MAX_TEXT} bytes")]
    Length,
    /// Any value would do.
    #[error("needs equals, prefix or glob with at least one text")]
    Empty,
}

impl ClaimName {
    /// A name of an operator's.
    ///
    /// # Errors
    /// [`ConditionError::Length`]
    pub fn new(name: &str) -> Result<Self, ConditionError> {
        checked(name).map(Self)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The values as texts: one, or those of a list. Objects and too long ones are none.
    pub(super) fn values(&self, claims: &Map<String, Value>) -> Vec<String> {
        match self.find(claims) {
            Some(Value::Array(items)) => items.iter().take(MAX_ITEMS).filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let Some(pointer) = self.0.strip_prefix('/') else {
            return claims.get(&self.0);
        };
        let mut tokens = pointer.split('/');
        let unescaped = |token: &str| token.replace("~1", "/").replace("~0", "~");
        let first = claims.get(&unescaped(tokens.next()?))?;
        tokens.try_fold(first, |value, token| value.get(unescaped(token)))
    }
}

impl Pattern {
    /// # Errors
    /// [`ConditionError::Length`]
    pub fn equals(text: &str) -> Result<Self, ConditionError> {
        checked(text).map(Self::Equals)
    }

    /// # Errors
    /// [`ConditionError::Length`]
    pub fn prefix(text: &str) -> Result<Self, ConditionError> {
        checked(text).map(Self::Prefix)
    }

    /// # Errors
    /// [`ConditionError::Length`]
    pub fn glob(text: &str) -> Result<Self, ConditionError> {
        checked(text).map(Self::Glob)
    }

    fn admits(&self, value: &str) -> bool {
        match self {
            Self::Equals(text) => text == value,
            Self::Prefix(text) => value.starts_with(text.as_str()),
            Self::Glob(glob) => glob_admits(glob.as_bytes(), value.as_bytes()),
        }
    }
}

impl Condition {
    /// # Errors
    /// [`ConditionError::Empty`] without patterns.
    pub fn new(claim: ClaimName, patterns: Vec<Pattern>) -> Result<Self, ConditionError> {
        match patterns.is_empty() {
            true => Err(ConditionError::Empty),
            false => Ok(Self { claim, patterns }),
        }
    }

    /// The claim.
    pub fn claim(&self) -> &ClaimName {
        &self.claim
    }

    /// Whether the claims meet it.
    pub(super) fn is_met(&self, claims: &Map<String, Value>) -> bool {
        let admits = |value: &String| self.patterns.iter().any(|pattern| pattern.admits(value));
        self.claim.values(claims).iter().any(admits)
    }
}

fn checked(text: &str) -> Result<String, ConditionError> {
    match text.len() {
        1..=MAX_TEXT => Ok(text.to_owned()),
        _ => Err(ConditionError::Length),
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= MAX_VALUE => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// Follows all ways through the pattern at once, so that the work is the product of the lengths
/// whatever the pattern.
fn glob_admits(glob: &[u8], value: &[u8]) -> bool {
    let steps = glob_steps(glob);
    let mut at = vec![false; steps.len() + 1];
    at[0] = true;
    pass_stars(&steps, &mut at);
    for byte in value {
        let mut next = vec![false; at.len()];
        for (place, step) in steps.iter().enumerate().filter(|(place, _)| at[*place]) {
            match step {
                Step::Byte(wanted) => next[place + 1] |= wanted == byte,
                Step::Name => next[place] |= *byte != b'/',
                Step::Any => next[place] = true,
            }
        }
        pass_stars(&steps, &mut next);
        at = next;
    }
    at[steps.len()]
}

enum Step {
    Byte(u8),
    Name,
    Any,
}

fn glob_steps(mut glob: &[u8]) -> Vec<Step> {
    let mut steps = Vec::with_capacity(glob.len());
    while let Some(first) = glob.first() {
        let (step, length) = match (first, glob.get(1)) {
            (b'*', Some(b'*')) => (Step::Any, 2),
            (b'*', _) => (Step::Name, 1),
            (byte, _) => (Step::Byte(*byte), 1),
        };
        steps.push(step);
        glob = &glob[length..];
    }
    steps
}

/// A star may stand for nothing.
fn pass_stars(steps: &[Step], at: &mut [bool]) {
    for (place, step) in steps.iter().enumerate() {
        if at[place] && !matches!(step, Step::Byte(_)) {
            at[place + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn met(claim: &str, pattern: Pattern, claims: Value) -> bool {
        let claim = ClaimName::new(claim).unwrap();
        let condition = Condition::new(claim, vec![pattern]).unwrap();
        condition.is_met(claims.as_object().unwrap())
    }

    #[test]
    fn a_value_is_equal_begins_so_or_is_of_the_form() {
        for (pattern, good, bad) in [
            (
                Pattern::equals("a/b"),
                vec!["a/b"],
                vec!["a/b ", "A/b", "a/bc", ""],
            ),
            (
                Pattern::prefix("a/"),
                vec!["a/", "a/b/c"],
                vec!["a", "b/a/"],
            ),
            (
                Pattern::glob("acme/*"),
                vec!["acme/x", "acme/"],
                vec!["acme/x/y", "acme", "xacme/x"],
            ),
            (
                Pattern::glob("refs/**"),
                vec!["refs/a/b", "refs/"],
                vec!["ref", "x/refs/a"],
            ),
            (
                Pattern::glob("*/app"),
                vec!["a/app"],
                vec!["a/b/app", "a/apps"],
            ),
            (
                Pattern::glob("v*.*"),
                vec!["v1.2", "v1.2.3", "v."],
                vec!["v12", "w1.2"],
            ),
            (Pattern::glob("**"), vec!["", "a/b"], vec![]),
        ] {
            let pattern = pattern.unwrap();
            for value in good {
                assert!(
                    met("c", pattern.clone(), json!({"c": value})),
                    "{pattern:?} {value}"
                );
            }
            for value in bad {
                assert!(
                    !met("c", pattern.clone(), json!({"c": value})),
                    "{pattern:?} {value}"
                );
            }
        }
    }

    #[test]
    fn numbers_truth_values_lists_and_inner_claims_have_values_too() {
        let equals = |text| Pattern::equals(text).unwrap();
        assert!(met("n", equals("7"), json!({"n": 7})));
        assert!(met("b", equals("true"), json!({"b": true})));
        assert!(met("g", equals("y"), json!({"g": ["x", "y"]})));
        assert!(met(
            "/k8s.io/ns",
            equals("x"),
            json!({"k8s.io": {"ns": "x"}})
        ));
        assert!(met("/a~1b", equals("x"), json!({"a/b": "x"})));
    }

    #[test]
    fn what_is_missing_null_an_object_or_huge_has_no_value() {
        let any = || Pattern::glob("**").unwrap();
        for claims in [
            json!({}),
            json!({"c": null}),
            json!({"c": {"d": "x"}}),
            json!({"c": []}),
            json!({"c": [["x"]]}),
            json!({"C": "x"}),
            json!({"c": "x".repeat(MAX_VALUE + 1)}),
        ] {
            assert!(!met("c", any(), claims.clone()), "{claims}");
        }
        assert!(!met("/c/d", any(), json!({"c": "x"})));
        assert!(!met("/", any(), json!({"c": "x"})));
    }

    #[test]
    fn a_condition_that_asks_nothing_is_none() {
        let claim = ClaimName::new("c").unwrap();
        assert_eq!(
            Condition::new(claim, Vec::new()),
            Err(ConditionError::Empty)
        );
        assert_eq!(Pattern::prefix(""), Err(ConditionError::Length));
        assert_eq!(ClaimName::new(""), Err(ConditionError::Length));
        assert_eq!(Pattern::glob(&"*".repeat(513)), Err(ConditionError::Length));
    }

    proptest! {
        #[test]
        fn a_glob_agrees_with_trying_every_way(glob in "[ab/*]{0,8}", value in "[ab/]{0,8}") {
            prop_assert_eq!(
                glob_admits(glob.as_bytes(), value.as_bytes()),
                every_way(glob.as_bytes(), value.as_bytes())
            );
        }
    }

    fn every_way(glob: &[u8], value: &[u8]) -> bool {
        match glob {
            [] => value.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=value.len()).any(|n| every_way(rest, &value[n..])),
            [b'*', rest @ ..] => {
                let end = value.iter().position(|byte| *byte == b'/');
                (0..=end.unwrap_or(value.len())).any(|n| every_way(rest, &value[n..]))
            }
            [byte, rest @ ..] => value.first() == Some(byte) && every_way(rest, &value[1..]),
        }
    }
}
