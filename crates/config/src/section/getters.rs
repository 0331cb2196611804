//! The typed getters. Empty text counts as not given, as in SPIRE; numbers may stand in quotes,
//! booleans and lists may not.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Section;
use crate::{Node, Value, number, parse_duration};

/// `sun_path` of unix(7) has 108 bytes, one of them the closing zero.
const MAX_SOCKET_PATH_BYTES: usize = 107;

impl<'a> Section<'a> {
    /// A text. A bare number is taken as its digits.
    pub fn string(&self, key: &str) -> Option<&'a str> {
        let text = match &self.find(key)?.value.node {
            Node::Text(text) | Node::Number(text) => text.as_str(),
            _ => return self.wrong_kind(key, "a text in quotes"),
        };
        (!text.is_empty()).then_some(text)
    }

    /// A file or directory.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.string(key).map(PathBuf::from)
    }

    /// The file of a Unix socket, short enough for one.
    pub fn socket_path(&self, key: &str) -> Option<PathBuf> {
        self.parsed(key, |text| match text.len() {
            0..=MAX_SOCKET_PATH_BYTES => Ok(PathBuf::from(text)),
            _ => Err(format!(
                "is longer than a socket's path may be: {MAX_SOCKET_PATH_BYTES} bytes"
            )),
        })
    }

    /// A text that must be given and not be empty.
    pub fn required_string(&self, key: &str) -> Option<&'a str> {
        let found = self.string(key);
        if found.is_none() && self.find(key).is_none_or(|member| member.value.is_off()) {
            self.problem(key, "is required");
        }
        found
    }

    /// A text that `parse` understands. Its error is shown, the text is not: the caller's error
    /// decides what of it may be seen.
    pub fn parsed<T, E: Display>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.string(key)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, error.to_string());
                None
            }
        }
    }

    /// One of a few words, compared without regard to case.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.string(key)?;
        let found = choices
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word));
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(key, format!("{word:?} is none of: {}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// A whole number within a range, bare or in quotes.
    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = match &self.find(key)?.value.node {
            Node::Text(text) | Node::Number(text) => text,
            _ => return self.wrong_kind(key, "a whole number"),
        };
        if text.is_empty() {
            return None;
        }
        let found = number::integer(text).filter(|number| range.contains(number));
        if found.is_none() {
            let (from, to) = range.into_inner();
            self.problem(
                key,
                format!("{text:?} is no whole number from {from} to {to}"),
            );
        }
        found
    }

    /// A whole number that counts something, from zero up.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.integer(key, 0..=i64::MAX).map(i64::unsigned_abs)
    }

    /// A TCP port; 0 lets the system choose.
    pub fn port(&self, key: &str) -> Option<u16> {
        self.integer(key, 0..=65535)
            .map(|port| u16::try_from(port).expect("checked against 65535"))
    }

    /// `true` or `false`, without quotes.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.find(key)?.value.node {
            Node::Bool(on) => Some(on),
            Node::Text(_) => self.wrong_kind(key, "true or false without quotes"),
            _ => self.wrong_kind(key, "true or false"),
        }
    }

    /// A duration in Go's notation, never negative.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.parsed(key, |text| {
            parse_duration(text).map_err(|error| format!("the duration {text:?} {error}"))
        })
    }

    /// A duration longer than zero; zero counts as not given, as in SPIRE.
    pub fn ttl(&self, key: &str) -> Option<Duration> {
        self.duration(key).filter(|duration| !duration.is_zero())
    }

    /// A list of texts; empty if not given.
    pub fn strings(&self, key: &str) -> Vec<&'a str> {
        let Some(member) = self.find(key) else {
            return Vec::new();
        };
        let Node::List(items) = &member.value.node else {
            return self
                .wrong_kind::<&str>(key, "a list in brackets")
                .into_iter()
                .collect();
        };
        items
            .iter()
            .filter_map(|item| self.list_text(key, item))
            .collect()
    }

    /// A list of texts that `parse` understands; each that it does not is a problem.
    pub fn parsed_list<T, E: Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let each = |text| match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, error.to_string());
                None
            }
        };
        self.strings(key).into_iter().filter_map(each).collect()
    }

    fn list_text(&self, key: &str, item: &'a Value) -> Option<&'a str> {
        match &item.node {
            Node::Text(text) | Node::Number(text) => Some(text),
            _ => {
                self.problem(key, format!("holds {} where a text is needed", item.kind()));
                None
            }
        }
    }

    fn wrong_kind<T>(&self, key: &str, wanted: &str) -> Option<T> {
        let found = self
            .find(key)
            .map_or("nothing", |member| member.value.kind());
        self.problem(key, format!("needs {wanted}, not {found}"));
        None
    }
}
