//! Go's functions.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use super::value::Value;
use super::{MAX_OUTPUT, TemplateError, format};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Html,
    UrlQuery,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

use Function as F;

const NAMES: [(&str, Function); 17] = [
    ("and", F::And),
    ("or", F::Or),
    ("not", F::Not),
    ("len", F::Len),
    ("index", F::Index),
    ("slice", F::Slice),
    ("print", F::Print),
    ("printf", F::Printf),
    ("println", F::Println),
    ("html", F::Html),
    ("urlquery", F::UrlQuery),
    ("eq", F::Eq),
    ("ne", F::Ne),
    ("lt", F::Lt),
    ("le", F::Le),
    ("gt", F::Gt),
    ("ge", F::Ge),
];

impl Function {
    pub(super) fn named(name: &str) -> Result<Self, TemplateError> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, function)| *function).ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
            let known = known.join(", ");
            TemplateError::new(format!("there is no function {name:?}; there are {known}"))
        })
    }

    fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(_, function)| *function == self);
        found.expect("each has a name").0
    }
}

pub(super) fn too_few(function: Function) -> TemplateError {
    TemplateError::new(format!("{} has too few arguments", function.name()))
}

pub(super) fn call<'a>(
    function: Function,
    arguments: Vec<Value<'a>>,
) -> Result<Value<'a>, TemplateError> {
    let bounds = match function {
        F::Not | F::Len => 1..=1,
        F::Ne | F::Lt | F::Le | F::Gt | F::Ge => 2..=2,
        F::Eq => 2..=usize::MAX,
        F::Index | F::Slice | F::Printf | F::And | F::Or => 1..=usize::MAX,
        F::Print | F::Println | F::Html | F::UrlQuery => 0..=usize::MAX,
    };
    if arguments.len() < *bounds.start() {
        return Err(too_few(function));
    }
    if arguments.len() > *bounds.end() {
        return Err(TemplateError::new(format!(
            "{} has too many arguments",
            function.name()
        )));
    }
    match function {
        // With arguments they are done where they can be left unasked; here there is the piped one.
        F::And | F::Or => Ok(arguments.into_iter().next_back().expect("counted")),
        F::Not => Ok(Value::Bool(!arguments[0].is_true())),
        F::Len => length(&arguments[0]),
        F::Index => arguments[1..]
            .iter()
            .try_fold(arguments[0].clone(), |value, at| index(&value, at)),
        F::Slice => slice(&arguments),
        F::Print => print(&arguments).map(owned),
        F::Println => println(&arguments).map(owned),
        F::Printf => format::printf(&arguments).map(owned),
        F::Html => print(&arguments).map(|text| owned(html(&text))),
        F::UrlQuery => print(&arguments).map(|text| owned(url_query(&text))),
        F::Eq => {
            let mut any = false;
            for other in &arguments[1..] {
                any |= equal(&arguments[0], other)?;
            }
            Ok(Value::Bool(any))
        }
        F::Ne => Ok(Value::Bool(!equal(&arguments[0], &arguments[1])?)),
        F::Lt => ordered(&arguments, Ordering::is_lt),
        F::Le => ordered(&arguments, Ordering::is_le),
        F::Gt => ordered(&arguments, Ordering::is_gt),
        F::Ge => ordered(&arguments, Ordering::is_ge),
    }
}

fn owned<'a>(text: String) -> Value<'a> {
    Value::Text(Cow::Owned(text))
}

fn integer<'a>(length: usize) -> Value<'a> {
    Value::Integer(i64::try_from(length).unwrap_or(i64::MAX))
}

fn length<'a>(value: &Value<'a>) -> Result<Value<'a>, TemplateError> {
    match value {
        Value::Text(text) => Ok(integer(text.len())),
        Value::List(list, _) => Ok(integer(list.len())),
        Value::Map(map) => Ok(integer(map.map_or(0, serde_json::Map::len))),
        other => Err(TemplateError::new(format!(
            "{} has no length",
            other.kind()
        ))),
    }
}

/// What a map has not is empty here, unlike for a field.
fn index<'a>(value: &Value<'a>, at: &Value<'a>) -> Result<Value<'a>, TemplateError> {
    match (value, at) {
        (Value::Map(map), Value::Text(key)) => {
            let found = map.and_then(|map| map.get(&**key)).and_then(Json::as_str);
            Ok(Value::text(found.unwrap_or_default()))
        }
        (Value::List(list, of), Value::Integer(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| list.get(at));
            let found = found.ok_or_else(|| {
                TemplateError::new(format!(
                    "index {at} is outside of the list of {}",
                    list.len()
                ))
            })?;
            Ok(Value::of(Some(found), of))
        }
        (Value::Text(text), Value::Integer(at)) => {
            let found = usize::try_from(*at)
                .ok()
                .and_then(|at| text.as_bytes().get(at));
            let found = found.ok_or_else(|| {
                TemplateError::new(format!(
                    "index {at} is outside of the text of {} bytes",
                    text.len()
                ))
            })?;
            Ok(Value::Integer(i64::from(*found)))
        }
        (value, at) => Err(TemplateError::new(format!(
            "{} is not indexed by {}",
            value.kind(),
            at.kind()
        ))),
    }
}

fn slice<'a>(arguments: &[Value<'a>]) -> Result<Value<'a>, TemplateError> {
    let length = match &arguments[0] {
        Value::Text(text) => text.len(),
        Value::List(list, _) => list.len(),
        other => {
            return Err(TemplateError::new(format!(
                "slice cannot cut {}",
                other.kind()
            )));
        }
    };
    let bound = |at: usize, otherwise: usize| match arguments.get(at) {
        None => Ok(otherwise),
        Some(Value::Integer(bound)) => usize::try_from(*bound)
            .ok()
            .filter(|bound| *bound <= length)
            .ok_or_else(|| {
                TemplateError::new(format!(
                    "slice at {bound} is outside of the {length} there are"
                ))
            }),
        Some(other) => Err(TemplateError::new(format!(
            "slice takes integers, not {}",
            other.kind()
        ))),
    };
    if arguments.len() > 3 {
        return Err(TemplateError::new("slice takes two bounds at most"));
    }
    let (from, to) = (bound(1, 0)?, bound(2, length)?);
    if from > to {
        return Err(TemplateError::new(format!(
            "slice from {from} to {to} is none"
        )));
    }
    match &arguments[0] {
        Value::Text(text) => match text.get(from..to) {
            Some(part) => Ok(owned(part.to_owned())),
            None => Err(TemplateError::new("slice would cut a character in two")),
        },
        Value::List(list, of) => Ok(Value::List(&list[from..to], of)),
        _ => unreachable!("checked with the length"),
    }
}

/// A space stands between two that are no texts.
pub(super) fn print(arguments: &[Value<'_>]) -> Result<String, TemplateError> {
    let mut printed = String::new();
    let mut after_text = true;
    for argument in arguments {
        let is_text = matches!(argument, Value::Text(_));
        if !after_text && !is_text {
            printed.push(' ');
        }
        push(&mut printed, &as_argument(argument)?)?;
        after_text = is_text;
    }
    Ok(printed)
}

fn println(arguments: &[Value<'_>]) -> Result<String, TemplateError> {
    let mut printed = String::new();
    for (at, argument) in arguments.iter().enumerate() {
        if at > 0 {
            printed.push(' ');
        }
        push(&mut printed, &as_argument(argument)?)?;
    }
    printed.push('\n');
    Ok(printed)
}

/// What a map has not becomes nil on the way into a function.
pub(super) fn as_argument<'a>(argument: &Value<'a>) -> Result<Cow<'a, str>, TemplateError> {
    match argument {
        Value::Missing => Ok(Cow::Borrowed("<nil>")),
        other => other.print(),
    }
}

pub(super) fn push(text: &mut String, more: &str) -> Result<(), TemplateError> {
    if text.len() + more.len() > MAX_OUTPUT {
        return Err(TemplateError::new(format!(
            "a text becomes longer than {MAX_OUTPUT} bytes"
        )));
    }
    text.push_str(more);
    Ok(())
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn url_query(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// What is not there equals only what is not there either.
fn equal(one: &Value<'_>, other: &Value<'_>) -> Result<bool, TemplateError> {
    let absent = |value: &Value<'_>| matches!(value, Value::Missing | Value::Nil);
    match (one, other) {
        (one, other) if absent(one) || absent(other) => Ok(absent(one) && absent(other)),
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        (Value::Integer(one), Value::Integer(other)) => Ok(one == other),
        (Value::Float(one), Value::Float(other)) => Ok(one == other),
        (Value::Text(one), Value::Text(other)) => Ok(one == other),
        (one, other) => Err(incomparable(one, other)),
    }
}

fn ordered<'a>(
    arguments: &[Value<'a>],
    holds: fn(Ordering) -> bool,
) -> Result<Value<'a>, TemplateError> {
    let order = match (&arguments[0], &arguments[1]) {
        (Value::Integer(one), Value::Integer(other)) => Some(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (one, other) => return Err(incomparable(one, other)),
    };
    Ok(Value::Bool(order.is_some_and(holds)))
}

fn incomparable(one: &Value<'_>, other: &Value<'_>) -> TemplateError {
    TemplateError::new(format!(
        "{} and {} cannot be compared",
        one.kind(),
        other.kind()
    ))
}
