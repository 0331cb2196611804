//! Walks over a text one character at a time and knows line and column; both parsers stand on it.

use crate::{Position, Problem};

/// Blocks, lists and labels may nest this deep; SPIRE's deepest setting is at eight. It bounds the
/// recursion of parser, reader and drop.
pub(crate) const MAX_DEPTH: usize = 32;

pub(crate) struct Cursor<'a> {
    rest: &'a str,
    at: Position,
}

impl<'a> Cursor<'a> {
    /// At the start of the text; a byte order mark is skipped.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            at: Position::START,
        }
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn starts_with(&self, text: &str) -> bool {
        self.rest.starts_with(text)
    }

    pub(crate) fn position(&self) -> Position {
        self.at
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        if next == '\n' {
            self.at = Position {
                line: self.at.line + 1,
                column: 1,
            };
        } else {
            self.at.column += 1;
        }
        Some(next)
    }

    /// Consumes `text` if it comes next.
    pub(crate) fn eat(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            text.chars().for_each(|_| {
                self.next();
            });
        }
        found
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let start = self.rest;
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
        &start[..start.len() - self.rest.len()]
    }

    /// The rest of the line without its end, which is consumed too.
    pub(crate) fn take_line(&mut self) -> Option<&'a str> {
        self.peek()?;
        let line = self.take_while(|c| c != '\n');
        self.next();
        Some(line)
    }

    /// `count` hexadecimal digits as a number.
    pub(crate) fn take_hex(&mut self, count: usize) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            value = value << 4 | self.peek()?.to_digit(16)?;
            self.next();
        }
        Some(value)
    }

    /// A problem at the current place.
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.at, message)
    }

    /// A problem that something else was expected here. It names at most one character of the text.
    pub(crate) fn expected(&self, what: &str) -> Problem {
        match self.peek() {
            None => self.problem(format!("expected {what}, but the file ends")),
            Some(found) => self.problem(format!("expected {what}, found {found:?}")),
        }
    }

    /// Refuses to go deeper than [`MAX_DEPTH`].
    pub(crate) fn check_depth(&self, depth: usize) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err(self.problem(format!("nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }
}
