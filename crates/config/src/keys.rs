//! Key tables: every key a section may hold, and what becomes of it.

/// What becomes of a key that stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It works.
    Implemented,
    /// Known from SPIRE and not here yet; ignoring it would not be safe, so it is an error. The note
    /// says what to do. A value that switches nothing on (`false`, empty) passes.
    Refused(&'static str),
    /// Known from SPIRE and without effect here; the program starts with a warning. The note says
    /// why nothing is lost.
    Ignored(&'static str),
}

/// One row of a key table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key as documented; files may write it in any case.
    pub name: &'static str,
    /// What becomes of it.
    pub class: Class,
}

impl Key {
    /// A key that works.
    pub const fn implemented(name: &'static str) -> Self {
        Self {
            name,
            class: Class::Implemented,
        }
    }

    /// A known key that is an error for now, with what to do.
    pub const fn refused(name: &'static str, note: &'static str) -> Self {
        Self {
            name,
            class: Class::Refused(note),
        }
    }

    /// A known key that has no effect, with why that is harmless.
    pub const fn ignored(name: &'static str, note: &'static str) -> Self {
        Self {
            name,
            class: Class::Ignored(note),
        }
    }
}

/// What becomes of keys outside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// An error, with the nearest known key.
    Refused,
    /// A warning: SPIRE is silent in this section, so files that work there must start here.
    Warned,
}
