//! For which audiences the alternative JWT key signs.

use std::fmt;
use std::str::FromStr;

/// The text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It would match an audience that nobody has.
    #[error("an audience pattern may not be empty")]
    Empty,
}

/// Patterns of audiences. `*` stands for any text, also an empty one, and also over a `/`; all else
/// is literal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audiences(Vec<Pattern>);

impl Audiences {
    /// Audiences that match one of these.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// Whether a token for these is for nobody else: **each** audience matches one of the patterns.
    /// A token that is also for somebody who is not named here is signed with the usual key, which
    /// every verifier of SPIFFE must take. An empty text is no audience; without any, nothing matches.
    pub fn match_all(&self, audience: &[String]) -> bool {
        let mut named = audience.iter().filter(|one| !one.is_empty()).peekable();
        named.peek().is_some() && named.all(|one| self.0.iter().any(|p| p.matches(one)))
    }
}

/// One pattern: the literal texts between its stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        Ok(Self(text.split('*').map(str::to_owned).collect()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("*"))
    }
}

impl Pattern {
    /// Takes the literals in their order, each as early as it can be: the time is linear in the text.
    fn matches(&self, text: &str) -> bool {
        let (first, rest) = self.0.split_first().expect("a split has a part");
        let Some((last, between)) = rest.split_last() else {
            return text == first;
        };
        let Some(mut text) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for literal in between {
            match text.split_once(literal.as_str()) {
                Some((_, after)) => text = after,
                None => return false,
            }
        }
        text.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(text)
    }

    #[test]
    fn a_pattern_without_a_star_is_the_audience_itself() {
        assert!(matches("https://a.example", "https://a.example"));
        assert!(!matches("https://a.example", "https://a.example/"));
        assert!(!matches("https://a.example", "https://A.example"));
        assert!(!matches("a?c", "abc"));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches(
            "https://legacy.example/*",
            "https://legacy.example/a/b"
        ));
        assert!(matches(
            "https://legacy.example/*",
            "https://legacy.example/"
        ));
        assert!(!matches(
            "https://legacy.example/*",
            "https://legacy.example"
        ));
        assert!(matches("*", "anything"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*b*c", "a-c-b"));
        assert!(matches("**.example", "x.example"));
    }

    #[test]
    fn no_part_of_the_text_is_used_twice() {
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("ab*ba", "abba"));
        assert!(!matches("a*a*a", "aa"));
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(PatternError::Empty));
    }

    #[test]
    fn all_audiences_must_match_and_there_must_be_one() {
        let audiences = Audiences::new(["legacy*", "old"].map(|text| text.parse().unwrap()));
        let all = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            audiences.match_all(&names)
        };
        assert!(all(&["legacy-1"]) && all(&["legacy-1", "old"]) && all(&["old", ""]));
        assert!(!all(&["legacy-1", "new"]) && !all(&["new"]));
        assert!(!all(&[]) && !all(&[""]));
        assert!(!Audiences::default().match_all(&["any".to_owned()]));
    }
}
