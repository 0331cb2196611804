//! `printf`: Go's verbs for texts, numbers and booleans, with flags, width and precision. Go prints what
//! does not fit into the text, as `%!d(string=x)`; here it is an error.

use super::TemplateError;
use super::functions::{as_argument, push};
use super::value::Value;

/// The widest field.
const MAX_WIDTH: usize = 1024;

pub(super) fn printf(arguments: &[Value<'_>]) -> Result<String, TemplateError> {
    let Value::Text(format) = &arguments[0] else {
        return Err(TemplateError::new(
            "the first argument of printf must be a text",
        ));
    };
    let mut values = arguments[1..].iter();
    let mut text = String::new();
    let mut rest = &**format;
    while let Some((before, after)) = rest.split_once('%') {
        push(&mut text, before)?;
        let (verb, after) = Verb::read(after)?;
        if verb.letter == '%' {
            text.push('%');
        } else {
            let value = values.next();
            let value = value.ok_or_else(|| {
                TemplateError::new(format!("printf: %{} has no argument", verb.letter))
            })?;
            push(&mut text, &verb.format(value)?)?;
        }
        rest = after;
    }
    push(&mut text, rest)?;
    match values.next() {
        None => Ok(text),
        Some(_) => Err(TemplateError::new("printf has more arguments than verbs")),
    }
}

#[derive(Default)]
struct Verb {
    letter: char,
    minus: bool,
    plus: bool,
    sharp: bool,
    zero: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

impl Verb {
    fn read(text: &str) -> Result<(Self, &str), TemplateError> {
        let mut verb = Self::default();
        let flags = text.trim_start_matches(['-', '+', '#', '0', ' ']);
        for flag in text[..text.len() - flags.len()].chars() {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                '0' => verb.zero = true,
                _ => verb.space = true,
            }
        }
        let (width, rest) = number(flags)?;
        verb.width = width.unwrap_or(0);
        let (precision, rest) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (precision, rest) = number(rest)?;
                (Some(precision.unwrap_or(0)), rest)
            }
            None => (None, rest),
        };
        verb.precision = precision;
        let mut letters = rest.chars();
        verb.letter = letters
            .next()
            .ok_or_else(|| TemplateError::new("printf: \"%\" ends the text"))?;
        Ok((verb, letters.as_str()))
    }

    fn format(&self, value: &Value<'_>) -> Result<String, TemplateError> {
        let body = match (self.letter, value) {
            ('v', Value::Float(_)) if self.precision.is_some() => return Err(self.misfit(value)),
            ('v', Value::Text(text)) if !self.sharp && !self.plus => self.cut(text),
            ('s', Value::Text(text)) => self.cut(text),
            ('v', Value::Integer(number)) => {
                return Ok(self.integer(*number, &number.unsigned_abs().to_string()));
            }
            ('v' | 't', Value::Bool(_)) | ('v', Value::Float(_)) if !self.sharp => {
                value.print()?.into_owned()
            }
            ('v', Value::Map(_) | Value::List(..) | Value::Nil | Value::Missing)
                if self.is_plain() =>
            {
                as_argument(value)?.into_owned()
            }
            ('q', Value::Text(text)) if !self.sharp && !self.plus => quoted(&self.cut(text)),
            ('x', Value::Text(text)) if self.is_plain() => {
                text.bytes().map(|byte| format!("{byte:02x}")).collect()
            }
            ('X', Value::Text(text)) if self.is_plain() => {
                text.bytes().map(|byte| format!("{byte:02X}")).collect()
            }
            ('d', Value::Integer(number)) => {
                return Ok(self.integer(*number, &number.unsigned_abs().to_string()));
            }
            ('x', Value::Integer(number)) if !self.sharp => {
                return Ok(self.integer(*number, &format!("{:x}", number.unsigned_abs())));
            }
            ('X', Value::Integer(number)) if !self.sharp => {
                return Ok(self.integer(*number, &format!("{:X}", number.unsigned_abs())));
            }
            ('o', Value::Integer(number)) if !self.sharp => {
                return Ok(self.integer(*number, &format!("{:o}", number.unsigned_abs())));
            }
            ('b', Value::Integer(number)) if !self.sharp => {
                return Ok(self.integer(*number, &format!("{:b}", number.unsigned_abs())));
            }
            ('c', Value::Integer(number)) => {
                let c = u32::try_from(*number).ok().and_then(char::from_u32);
                c.ok_or_else(|| self.misfit(value))?.to_string()
            }
            ('f', Value::Float(number)) if self.is_unsigned() => {
                format!("{number:.*}", self.precision.unwrap_or(6))
            }
            _ => return Err(self.misfit(value)),
        };
        Ok(self.padded(body, matches!(value, Value::Float(_))))
    }

    fn is_plain(&self) -> bool {
        self.is_unsigned() && self.precision.is_none()
    }

    fn is_unsigned(&self) -> bool {
        !self.sharp && !self.plus && !self.space
    }

    fn misfit(&self, value: &Value<'_>) -> TemplateError {
        TemplateError::new(format!(
            "printf: %{} with these flags does not go with {}",
            self.letter,
            value.kind()
        ))
    }

    fn cut(&self, text: &str) -> String {
        text.chars()
            .take(self.precision.unwrap_or(usize::MAX))
            .collect()
    }

    fn integer(&self, number: i64, digits: &str) -> String {
        let sign = match (number < 0, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let least = match self.precision {
            Some(0) if number == 0 => return " ".repeat(self.width),
            Some(precision) => precision,
            None if self.zero && !self.minus => self.width.saturating_sub(sign.len()),
            None => 0,
        };
        self.padded(format!("{sign}{digits:0>least$}"), false)
    }

    fn padded(&self, body: String, is_number: bool) -> String {
        let width = self.width;
        let length = body.chars().count();
        if length >= width {
            return body;
        }
        let padding = width - length;
        match (
            self.minus,
            self.zero && (is_number || self.letter != 'd'),
            self.precision,
        ) {
            (true, ..) => format!("{body}{}", " ".repeat(padding)),
            (false, true, _) if !matches!(self.letter, 'x' | 'X' | 'o' | 'b') => {
                match body.strip_prefix('-').filter(|_| is_number) {
                    Some(digits) => format!("-{}{digits}", "0".repeat(padding)),
                    None => format!("{}{body}", "0".repeat(padding)),
                }
            }
            _ => format!("{}{body}", " ".repeat(padding)),
        }
    }
}

fn number(text: &str) -> Result<(Option<usize>, &str), TemplateError> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - rest.len()];
    if digits.is_empty() {
        return match rest.starts_with(['*', '[']) {
            true => Err(TemplateError::new(
                "printf: widths and positions from arguments are not done here",
            )),
            false => Ok((None, rest)),
        };
    }
    let number = digits.parse().ok().filter(|number| *number <= MAX_WIDTH);
    match number {
        Some(number) => Ok((Some(number), rest)),
        None => Err(TemplateError::new(format!(
            "printf: the widest field is {MAX_WIDTH}"
        ))),
    }
}

/// As Go quotes a text of printable characters; others as escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            ' '..='~' => quoted.push(c),
            c if c.is_control() && u32::from(c) < 0x80 => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(c)))
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
