//! JSON (RFC 8259) with positions. A parser of ours, because the error of a configuration must
//! name line and key also long after parsing. A member that is `null` is as if it were not there.

#[cfg(test)]
mod tests;

use crate::cursor::Cursor;
use crate::{Member, Node, Problem, Value};

/// Parses a file in JSON, whose top must be an object. The error holds the first fault of syntax.
pub fn parse_json(text: &str) -> Result<Value, Vec<Problem>> {
    let mut parser = Parser {
        cursor: Cursor::new(text),
    };
    parser.file().map_err(|problem| vec![problem])
}

struct Parser<'a> {
    cursor: Cursor<'a>,
}

impl Parser<'_> {
    fn file(&mut self) -> Result<Value, Problem> {
        self.blank();
        let at = self.cursor.position();
        if self.cursor.peek() != Some('{') {
            return Err(self.cursor.expected("\"{\" at the start"));
        }
        let top = Value::new(self.object(1)?, at);
        self.blank();
        match self.cursor.peek() {
            None => Ok(top),
            Some(_) => Err(self.cursor.expected("the end of the file")),
        }
    }

    /// A value, or nothing for `null`.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, Problem> {
        self.blank();
        let at = self.cursor.position();
        let node = match self.cursor.peek() {
            Some('{') => self.object(depth + 1)?,
            Some('[') => self.array(depth + 1)?,
            Some('"') => Node::Text(self.text()?),
            Some(first) if first.is_ascii_digit() || first == '-' => self.number()?,
            _ if self.cursor.eat("true") => Node::Bool(true),
            _ if self.cursor.eat("false") => Node::Bool(false),
            _ if self.cursor.eat("null") => return Ok(None),
            _ => return Err(self.cursor.expected("a value")),
        };
        Ok(Some(Value::new(node, at)))
    }

    fn object(&mut self, depth: usize) -> Result<Node, Problem> {
        let mut members = Vec::new();
        self.sequence(depth, '}', |parser| {
            let at = parser.cursor.position();
            let key = parser.text()?;
            parser.blank();
            if !parser.cursor.eat(":") {
                return Err(parser.cursor.expected("\":\" after the key"));
            }
            let value = parser.value(depth)?;
            members.extend(value.map(|value| Member { key, at, value }));
            Ok(())
        })?;
        Ok(Node::Map(members))
    }

    fn array(&mut self, depth: usize) -> Result<Node, Problem> {
        let mut items = Vec::new();
        self.sequence(depth, ']', |parser| {
            items.extend(parser.value(depth)?);
            Ok(())
        })?;
        Ok(Node::List(items))
    }

    /// Items between commas up to the closing character.
    fn sequence(
        &mut self,
        depth: usize,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.cursor.check_depth(depth)?;
        self.cursor.next();
        self.blank();
        if self.cursor.peek() == Some(close) {
            self.cursor.next();
            return Ok(());
        }
        loop {
            self.blank();
            item(self)?;
            self.blank();
            match self.cursor.peek() {
                Some(',') => self.cursor.next(),
                Some(found) if found == close => {
                    self.cursor.next();
                    return Ok(());
                }
                _ => return Err(self.cursor.expected(&format!("\",\" or \"{close}\""))),
            };
        }
    }

    fn text(&mut self) -> Result<String, Problem> {
        if self.cursor.peek() != Some('"') {
            return Err(self.cursor.expected("a text in quotes"));
        }
        let unclosed = self.cursor.problem("this text is not closed on its line");
        self.cursor.next();
        let mut text = String::new();
        loop {
            match self.cursor.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) if c >= ' ' => text.push(c),
                _ => return Err(unclosed),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let unknown = self.cursor.problem("an escape that JSON does not know");
        let resolved = match self.cursor.next() {
            Some('b') => Some('\x08'),
            Some('f') => Some('\x0c'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some(same @ ('"' | '\\' | '/')) => Some(same),
            Some('u') => self.unicode(),
            _ => None,
        };
        resolved.ok_or(unknown)
    }

    /// Four digits, or a surrogate pair of two escapes.
    fn unicode(&mut self) -> Option<char> {
        let first = self.cursor.take_hex(4)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let second = self.cursor.eat("\\u").then(|| self.cursor.take_hex(4))??;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)
    }

    fn number(&mut self) -> Result<Node, Problem> {
        let problem = self.cursor.problem("not a number of JSON");
        let text = self
            .cursor
            .take_while(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if is_number(text) {
            Ok(Node::Number(text.to_owned()))
        } else {
            Err(problem)
        }
    }

    fn blank(&mut self) {
        self.cursor
            .take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }
}

/// RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_digits)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
