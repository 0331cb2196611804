//! HCL version 1, as SPIRE's files use it: one-line blocks, commas or newlines between attributes,
//! quoted keys, labelled and repeated blocks, heredocs, three kinds of comment.
//!
//! ```text
//! members = { member [ "," ] }
//! member  = key "=" value | key { key } "{" members "}"
//! value   = true | false | number | text | heredoc | "[" [ value { "," value } [ "," ] ] "]" | "{" members "}"
//! ```
//!
//! Interpolation is not done: `${…}` in a text stays as written, as in SPIRE.

mod text;

#[cfg(test)]
mod tests;

use crate::cursor::Cursor;
use crate::number::is_number;
use crate::{Member, Node, Position, Problem, Value};

/// Parses a file in HCL 1. The result is a map; the error holds the first fault of syntax.
pub fn parse_hcl(text: &str) -> Result<Value, Vec<Problem>> {
    let mut parser = Parser {
        cursor: Cursor::new(text),
    };
    let members = parser
        .members(Ends::WithFile, 1)
        .map_err(|problem| vec![problem])?;
    Ok(Value::new(Node::Map(members), Position::START))
}

struct Parser<'a> {
    cursor: Cursor<'a>,
}

/// What ends a run of members.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    WithFile,
    WithBrace,
}

impl Parser<'_> {
    fn members(&mut self, ends: Ends, depth: usize) -> Result<Vec<Member>, Problem> {
        self.cursor.check_depth(depth)?;
        let mut members = Vec::new();
        loop {
            self.blank()?;
            match (self.cursor.peek(), ends) {
                (None, Ends::WithFile) => return Ok(members),
                (Some('}'), Ends::WithBrace) => {
                    self.cursor.next();
                    return Ok(members);
                }
                _ => members.push(self.member(ends, depth)?),
            }
            self.blank()?;
            self.cursor.eat(",");
        }
    }

    fn member(&mut self, ends: Ends, depth: usize) -> Result<Member, Problem> {
        let (key, at) = self.key(match ends {
            Ends::WithFile => "a key",
            Ends::WithBrace => "a key or \"}\"",
        })?;
        let value = self.after_key(depth)?;
        Ok(Member { key, at, value })
    }

    /// What follows a key: `= value`, a block, or a label and what follows that.
    fn after_key(&mut self, depth: usize) -> Result<Value, Problem> {
        self.blank()?;
        if self.cursor.eat("=") {
            self.blank()?;
            return self.value(depth);
        }
        self.block(depth)
    }

    fn block(&mut self, depth: usize) -> Result<Value, Problem> {
        self.blank()?;
        let at = self.cursor.position();
        if self.cursor.eat("{") {
            return Ok(Value::new(
                Node::Map(self.members(Ends::WithBrace, depth + 1)?),
                at,
            ));
        }
        self.cursor.check_depth(depth + 1)?;
        let (key, at) = self.key("\"=\" or \"{\" after the key")?;
        let value = self.block(depth + 1)?;
        Ok(Value::new(Node::Map(vec![Member { key, at, value }]), at))
    }

    fn key(&mut self, expected: &str) -> Result<(String, Position), Problem> {
        let at = self.cursor.position();
        match self.cursor.peek() {
            Some('"') => Ok((self.text()?, at)),
            Some(first) if first.is_alphabetic() || first == '_' => {
                Ok((self.cursor.take_while(is_word).to_owned(), at))
            }
            _ => Err(self.cursor.expected(expected)),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        let at = self.cursor.position();
        let node = match self.cursor.peek() {
            Some('"') => Node::Text(self.text()?),
            Some('<') if self.cursor.starts_with("<<") => Node::Text(self.heredoc()?),
            Some('[') => Node::List(self.list(depth + 1)?),
            Some('{') => {
                self.cursor.next();
                Node::Map(self.members(Ends::WithBrace, depth + 1)?)
            }
            Some(first) if first.is_ascii_digit() || first == '-' || first == '.' => {
                self.number()?
            }
            Some(first) if first.is_alphabetic() || first == '_' => self.word()?,
            _ => return Err(self.cursor.expected("a value")),
        };
        Ok(Value::new(node, at))
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Problem> {
        self.cursor.check_depth(depth)?;
        self.cursor.next();
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.cursor.eat("]") {
                return Ok(items);
            }
            items.push(self.value(depth)?);
            self.blank()?;
            if !self.cursor.eat(",") && self.cursor.peek() != Some(']') {
                return Err(self.cursor.expected("\",\" or \"]\" in the list"));
            }
        }
    }

    fn number(&mut self) -> Result<Node, Problem> {
        let problem = self.cursor.problem("not a number that HCL knows");
        let text = self
            .cursor
            .take_while(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if is_number(text) {
            Ok(Node::Number(text.to_owned()))
        } else {
            Err(problem)
        }
    }

    fn word(&mut self) -> Result<Node, Problem> {
        let problem = self
            .cursor
            .problem("a bare word; a text needs quotes around it");
        match self.cursor.take_while(is_word) {
            "true" => Ok(Node::Bool(true)),
            "false" => Ok(Node::Bool(false)),
            _ => Err(problem),
        }
    }

    /// Skips white space and comments.
    fn blank(&mut self) -> Result<(), Problem> {
        loop {
            self.cursor.take_while(|c| c.is_ascii_whitespace());
            if self.cursor.starts_with("#") || self.cursor.starts_with("//") {
                self.cursor.take_line();
            } else if self.cursor.starts_with("/*") {
                self.long_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn long_comment(&mut self) -> Result<(), Problem> {
        let problem = self
            .cursor
            .problem("this comment is never closed by \"*/\"");
        self.cursor.eat("/*");
        while !self.cursor.eat("*/") {
            if self.cursor.next().is_none() {
                return Err(problem);
            }
        }
        Ok(())
    }
}

/// Characters of a bare key after its first.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
