//! Text to tokens: what stands outside of `{{ }}`, and what inside.

use super::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Copied as it is.
    Text(String),
    /// Between `{{` and `}}`.
    Action(Vec<Token>),
}

/// A word of an action, and whether white space stands before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// `.name`
    Field(String),
    /// `.` alone
    Dot,
    /// `$name`, or `$` with an empty name
    Variable(String),
    /// A keyword, a function, `true`, `false`, `nil`
    Name(String),
    Text(String),
    Integer(i64),
    Float(f64),
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
    Pipe,
    Open,
    Close,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const LEFT_COMMENT: &str = "/*";
const RIGHT_COMMENT: &str = "*/";

pub(super) fn lex(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let (before, action) = match rest.split_once(LEFT) {
            Some((before, action)) => (before, Some(action)),
            None => (rest, None),
        };
        let before = if trim {
            before.trim_start_matches(is_space)
        } else {
            before
        };
        let Some(action) = action else {
            push_text(&mut pieces, before);
            return Ok(pieces);
        };
        let (action, trims_before) = match action.strip_prefix('-') {
            Some(inner) if inner.starts_with(is_space) => (inner, true),
            _ => (action, false),
        };
        let before = if trims_before {
            before.trim_end_matches(is_space)
        } else {
            before
        };
        push_text(&mut pieces, before);
        (rest, trim) = match action
            .trim_start_matches(is_space)
            .strip_prefix(LEFT_COMMENT)
        {
            Some(comment) => after_comment(comment)?,
            None => {
                let mut words = Words { rest: action };
                let (tokens, trim) = words.all()?;
                pieces.push(Piece::Action(tokens));
                (words.rest, trim)
            }
        };
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn after_comment(comment: &str) -> Result<(&str, bool), TemplateError> {
    let (_, rest) = comment
        .split_once(RIGHT_COMMENT)
        .ok_or_else(|| TemplateError::new("a comment is not closed: \"*/}}\" is missing"))?;
    let end = rest.trim_start_matches(is_space);
    let trim = end.len() < rest.len();
    let end = match end.strip_prefix('-') {
        Some(end) if trim => Some((end.strip_prefix(RIGHT), true)),
        _ => Some((rest.strip_prefix(RIGHT), false)),
    };
    match end {
        Some((Some(rest), trim)) => Ok((rest, trim)),
        _ => Err(TemplateError::new(
            "a comment must be all of its action: \"}}\" is missing after \"*/\"",
        )),
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    /// The words until `}}`, and whether that trims what follows.
    fn all(&mut self) -> Result<(Vec<Token>, bool), TemplateError> {
        let mut tokens = Vec::new();
        loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_start_matches(is_space);
            let spaced = self.rest.len() < before;
            if spaced
                && let Some(after) = self.rest.strip_prefix('-')
                && let Some(after) = after.strip_prefix(RIGHT)
            {
                self.rest = after;
                return Ok((tokens, true));
            }
            if let Some(after) = self.rest.strip_prefix(RIGHT) {
                self.rest = after;
                return Ok((tokens, false));
            }
            let word = self.word()?;
            tokens.push(Token { word, spaced });
        }
    }

    fn word(&mut self) -> Result<Word, TemplateError> {
        let first = self.rest.chars().next();
        let first = first
            .ok_or_else(|| TemplateError::new("an action is not closed: \"}}\" is missing"))?;
        if let Some(after) = self.rest.strip_prefix(":=") {
            self.rest = after;
            return Ok(Word::Declare);
        }
        let single = match first {
            '=' => Some(Word::Assign),
            ',' => Some(Word::Comma),
            '|' => Some(Word::Pipe),
            '(' => Some(Word::Open),
            ')' => Some(Word::Close),
            _ => None,
        };
        if let Some(word) = single {
            self.rest = &self.rest[1..];
            return Ok(word);
        }
        match first {
            '.' if !self.digit_at(1) => {
                self.rest = &self.rest[1..];
                let name = self.name();
                Ok(match name.is_empty() {
                    true => Word::Dot,
                    false => Word::Field(name),
                })
            }
            '$' => {
                self.rest = &self.rest[1..];
                Ok(Word::Variable(self.name()))
            }
            '"' => self.quoted(),
            '`' => self.raw(),
            '\'' => self.character(),
            '+' | '-' | '.' | '0'..='9' => self.number(),
            _ if first.is_alphabetic() || first == '_' => Ok(Word::Name(self.name())),
            _ => Err(TemplateError::new(format!(
                "{first:?} is not expected in an action"
            ))),
        }
    }

    fn digit_at(&self, index: usize) -> bool {
        self.rest
            .as_bytes()
            .get(index)
            .is_some_and(u8::is_ascii_digit)
    }

    fn name(&mut self) -> String {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name.to_owned()
    }

    fn raw(&mut self) -> Result<Word, TemplateError> {
        let (text, rest) = self.rest[1..]
            .split_once('`')
            .ok_or_else(|| TemplateError::new("a raw string is not closed: \"`\" is missing"))?;
        self.rest = rest;
        Ok(Word::Text(text.replace('\r', "")))
    }

    fn quoted(&mut self) -> Result<Word, TemplateError> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let (c, after) = next(rest)?;
            rest = after;
            match c {
                '"' => break,
                '\n' => return Err(TemplateError::new("a string ends with its line: write \\n")),
                '\\' => {
                    let (c, after) = escape(rest, '"')?;
                    text.push(c);
                    rest = after;
                }
                c => text.push(c),
            }
        }
        self.rest = rest;
        Ok(Word::Text(text))
    }

    fn character(&mut self) -> Result<Word, TemplateError> {
        let (c, rest) = next(&self.rest[1..])?;
        let (c, rest) = match c {
            '\\' => escape(rest, '\'')?,
            c => (c, rest),
        };
        self.rest = rest
            .strip_prefix('\'')
            .filter(|_| c != '\n')
            .ok_or_else(|| TemplateError::new("a character constant holds one character"))?;
        Ok(Word::Integer(i64::from(u32::from(c))))
    }

    fn number(&mut self) -> Result<Word, TemplateError> {
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        while let Some(byte) = bytes.get(end) {
            let sign = matches!(byte, b'+' | b'-')
                && (end == 0 || (matches!(bytes[end - 1], b'e' | b'E') && !is_hex(self.rest)));
            if !(sign || byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')) {
                break;
            }
            end += 1;
        }
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        number(text)
            .ok_or_else(|| TemplateError::new(format!("{text:?} is no number that is read here")))
    }
}

fn is_hex(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    text.starts_with("0x") || text.starts_with("0X")
}

fn number(text: &str) -> Option<Word> {
    let bytes = text.as_bytes();
    let mut parts = bytes.split(|byte| *byte == b'_');
    if bytes.contains(&b'_')
        && parts.any(|part| !part.last().is_some_and(u8::is_ascii_alphanumeric))
    {
        return None;
    }
    let text = &text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', rest @ ..] if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit) => {
            (8, &lower[1..])
        }
        _ => (10, &*lower),
    };
    let sign = if negative { "-" } else { "" };
    if !body.starts_with(['+', '-'])
        && let Ok(integer) = i64::from_str_radix(&format!("{sign}{body}"), radix)
    {
        return Some(Word::Integer(integer));
    }
    let plain = radix == 10
        && body
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'))
        && body.contains(['.', 'e']);
    let float: f64 = plain.then(|| format!("{sign}{body}").parse().ok())??;
    // As in Go, a whole number in this form is an integer where one is wanted; here it stays a float.
    float.is_finite().then_some(Word::Float(float))
}

fn next(text: &str) -> Result<(char, &str), TemplateError> {
    let mut chars = text.chars();
    let c = chars.next();
    let c = c.ok_or_else(|| TemplateError::new("a string is not closed"))?;
    Ok((c, chars.as_str()))
}

/// The character after a backslash, as in Go.
fn escape(text: &str, quote: char) -> Result<(char, &str), TemplateError> {
    let (c, rest) = next(text)?;
    let count = match c {
        'a' => return Ok(('\x07', rest)),
        'b' => return Ok(('\x08', rest)),
        'f' => return Ok(('\x0c', rest)),
        'n' => return Ok(('\n', rest)),
        'r' => return Ok(('\r', rest)),
        't' => return Ok(('\t', rest)),
        'v' => return Ok(('\x0b', rest)),
        '\\' => return Ok(('\\', rest)),
        c if c == quote => return Ok((c, rest)),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            return Err(TemplateError::new(format!(
                "\\{c} is no escape that is read here"
            )));
        }
    };
    let digits = rest.get(..count);
    let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    // Above 127 `\x` would name a byte, not a character.
    let value = value.filter(|value| c != 'x' || *value < 0x80);
    let value = value.and_then(char::from_u32);
    let value = value.ok_or_else(|| {
        TemplateError::new(format!(
            "\\{c} needs {count} hexadecimal digits of a character"
        ))
    })?;
    Ok((value, &rest[count..]))
}
