//! The name of an entry.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest entry id, as in SPIRE.
pub const MAX_BYTES: usize = 255;

/// Why a text is no entry id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryIdError {
    /// The id is empty.
    #[error("entry ID is empty")]
    Empty,
    /// The id is too long.
    #[error("entry ID has {length} bytes; the limit is {MAX_BYTES}")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
    /// A character outside `[A-Za-z0-9._-]`.
    #[error("entry ID contains {character:?}; allowed are letters, digits, '.', '_' and '-'")]
    BadCharacter {
        /// The first such character.
        character: char,
    },
}

/// The name of an entry: at most 255 of `[A-Za-z0-9._-]`. New ones are UUIDv7, so that their order
/// is the order of creation. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Arc<str>);

impl EntryId {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, EntryIdError> {
        if text.is_empty() {
            return Err(EntryIdError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(EntryIdError::TooLong { length: text.len() });
        }
        match text.chars().find(|c| !is_allowed(*c)) {
            Some(character) => Err(EntryIdError::BadCharacter { character }),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_dot_underscore_and_hyphen_are_taken() {
        for text in ["a", "A-z_0.9", "0197f1c2-0000-7000-8000-000000000001", ".."] {
            assert_eq!(EntryId::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn other_characters_are_refused() {
        for (text, character) in [("a/b", '/'), ("a b", ' '), ("ä", 'ä'), ("a\0", '\0')] {
            assert_eq!(
                EntryId::parse(text),
                Err(EntryIdError::BadCharacter { character })
            );
        }
    }

    #[test]
    fn the_length_is_from_1_to_255() {
        assert_eq!(EntryId::parse(""), Err(EntryIdError::Empty));
        assert!(EntryId::parse(&"a".repeat(255)).is_ok());
        assert_eq!(
            EntryId::parse(&"a".repeat(256)),
            Err(EntryIdError::TooLong { length: 256 })
        );
    }
}
