//! The raw value both file formats end in: what was written, and where.

use std::fmt;

/// A place in a configuration file; lines and columns count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1; 0 for what stands in no file.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The start of a file.
    pub const START: Self = Self { line: 1, column: 1 };
    /// The file as a whole.
    pub const NOWHERE: Self = Self { line: 0, column: 0 };
    /// Not in a file: given by a flag.
    pub const COMMAND_LINE: Self = Self { line: 0, column: 1 };
}

/// What was written.
#[derive(Clone, PartialEq)]
pub enum Node {
    /// `true` or `false`.
    Bool(bool),
    /// A number as its text, so that no precision is lost and a text setting may be a number.
    Number(String),
    /// A quoted text or heredoc.
    Text(String),
    /// `[ … ]`.
    List(Vec<Value>),
    /// `{ … }` or a block, in the order written; a repeated key is there as often as it was written.
    Map(Vec<Member>),
}

impl Member {
    /// What flags give: the keys that have a value, which is no empty text.
    pub fn from_flags<'k>(flags: impl IntoIterator<Item = (&'k str, Option<Value>)>) -> Vec<Self> {
        let at = Position::COMMAND_LINE;
        let given = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let given = given.filter(|(_, value)| value.node != Node::Text(String::new()));
        given
            .map(|(key, value)| Self {
                key: key.to_owned(),
                at,
                value,
            })
            .collect()
    }
}

/// One `key = value` of a map. A labelled block `a "b" { }` is a map inside a map. Equality ignores
/// the position.
#[derive(Clone)]
pub struct Member {
    /// The key as written.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// Its value.
    pub value: Value,
}

/// A node and where it stands. Equality ignores the position.
#[derive(Clone)]
pub struct Value {
    /// What was written.
    pub node: Node,
    /// Where it starts.
    pub at: Position,
}

impl Value {
    /// A value at a place.
    pub fn new(node: Node, at: Position) -> Self {
        Self { node, at }
    }

    /// A text given by a flag.
    pub fn flag_text(text: impl Into<String>) -> Self {
        Self::new(Node::Text(text.into()), Position::COMMAND_LINE)
    }

    /// A switch given by a flag.
    pub fn flag_bool(on: bool) -> Self {
        Self::new(Node::Bool(on), Position::COMMAND_LINE)
    }

    /// Whether the value says no more than an absent key would: `false`, `0`, empty text, list or
    /// map. Generated files are full of these.
    pub fn is_off(&self) -> bool {
        match &self.node {
            Node::Bool(on) => !on,
            Node::Number(text) => matches!(text.as_str(), "0" | "-0" | "0.0"),
            Node::Text(text) => text.is_empty(),
            Node::List(items) => items.iter().all(Self::is_off),
            Node::Map(members) => members.is_empty(),
        }
    }

    /// What kind of value this is, in an operator's words.
    pub fn kind(&self) -> &'static str {
        match &self.node {
            Node::Bool(_) => "true or false",
            Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Map(_) => "a block",
        }
    }

    /// The maps this value stands for when a block is wanted: itself, or the maps of a list, since
    /// JSON files write lists around blocks. `None` if anything in it is no map.
    pub(crate) fn as_blocks(&self) -> Option<Vec<&[Member]>> {
        match &self.node {
            Node::Map(members) => Some(vec![members]),
            Node::List(items) => {
                let inner: Option<Vec<_>> = items.iter().map(Self::as_blocks).collect();
                Some(inner?.into_iter().flatten().collect())
            }
            _ => None,
        }
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

/// Shows the shape only: a configuration may hold tokens and passwords.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Bool(on) => write!(f, "{on}"),
            Node::Number(_) => f.write_str("[number]"),
            Node::Text(text) => write!(f, "[text of {} bytes]", text.len()),
            Node::List(items) => f.debug_list().entries(items).finish(),
            Node::Map(members) => f
                .debug_map()
                .entries(members.iter().map(|m| (&m.key, &m.value)))
                .finish(),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Value::new(self.clone(), Position::NOWHERE), f)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_text() {
        let value = Value::flag_text("hunter2");
        assert_eq!(format!("{value:?}"), "[text of 7 bytes]");
        assert_eq!(format!("{:?}", value.node), "[text of 7 bytes]");
    }

    #[test]
    fn equality_ignores_positions() {
        let here = Value::new(Node::Bool(true), Position { line: 3, column: 4 });
        assert_eq!(here, Value::flag_bool(true));
        assert_ne!(here, Value::flag_bool(false));
    }

    #[test]
    fn off_values_are_those_that_say_nothing() {
        let list = |items| Value::new(Node::List(items), Position::START);
        assert!(Value::flag_text("").is_off());
        assert!(list(vec![]).is_off());
        assert!(list(vec![Value::new(Node::Map(vec![]), Position::START)]).is_off());
        assert!(!Value::flag_text("0").is_off());
        assert!(!list(vec![Value::flag_bool(true)]).is_off());
    }
}
