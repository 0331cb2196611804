//! Reads typed settings out of a block. Every getter records what is wrong and answers `None`, so
//! that one run names all problems.

mod getters;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::{Class, Findings, Key, Member, Position, Problem, Unknown, Value, nearest};

/// A block of the file, or several of the same name read as one. Keys are compared without regard
/// to case; of a key given twice the last counts.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    path: String,
    at: Position,
    present: bool,
    members: Vec<&'a Member>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn root(top: &'a Value, findings: &'a Findings) -> Self {
        let blocks = top.as_blocks().unwrap_or_default();
        Self::of(String::new(), Position::NOWHERE, blocks, findings)
    }

    fn of(path: String, at: Position, blocks: Vec<&'a [Member]>, findings: &'a Findings) -> Self {
        let members = blocks.into_iter().flatten().collect();
        Self {
            path,
            at,
            present: true,
            members,
            findings,
        }
    }

    /// Whether the block stands in the file, be it empty.
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// Whether the key is given with a value that says something (see [`Value::is_off`]).
    pub fn is_set(&self, key: &str) -> bool {
        self.find(key).is_some_and(|member| !member.value.is_off())
    }

    /// Whether the key is given, be it empty.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// All keys in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().map(|member| member.key.as_str())
    }

    /// Puts values from the command line over those of the file.
    pub fn overlay(&mut self, flags: &'a [Member]) {
        self.members.extend(flags);
    }

    /// Checks each key against the tables: refuses or warns as its class says, names keys that are
    /// in none of them with the nearest one that is, and warns of a setting given twice.
    pub fn check(&self, tables: &[&[Key]], unknown: Unknown) {
        let table = || tables.iter().copied().flatten();
        for member in &self.members {
            match table().find(|key| key.name.eq_ignore_ascii_case(&member.key)) {
                Some(key) => self.check_class(key, member),
                None => self.report_unknown(member, table(), unknown),
            }
        }
        self.check_repeated();
    }

    fn check_class(&self, key: &Key, member: &Member) {
        match key.class {
            Class::Refused(note) if !member.value.is_off() => {
                let message = format!("not supported yet: {note}");
                self.findings.problem(self.about(member, message));
            }
            Class::Ignored(note) if !member.value.is_off() => {
                self.findings
                    .warning(self.about(member, format!("has no effect: {note}")));
            }
            _ => {}
        }
    }

    fn report_unknown<'k>(
        &self,
        member: &Member,
        table: impl Iterator<Item = &'k Key>,
        unknown: Unknown,
    ) {
        let mut problem = self.about(member, "unknown key".to_owned());
        let known = table.map(|key| key.name);
        problem.suggestion = nearest(&member.key, known).map(str::to_owned);
        match unknown {
            Unknown::Refused => self.findings.problem(problem),
            Unknown::Warned => {
                problem.message = "unknown key, it has no effect".to_owned();
                self.findings.warning(problem);
            }
        }
    }

    /// Blocks may repeat: they add up. A flag over a file's value is no repetition.
    fn check_repeated(&self) {
        let mut first_lines = BTreeMap::new();
        let scalars = self
            .members
            .iter()
            .filter(|member| member.value.as_blocks().is_none());
        for member in scalars.filter(|member| member.at != Position::COMMAND_LINE) {
            match first_lines.entry(member.key.to_ascii_lowercase()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(member.at.line);
                }
                Entry::Occupied(first) => {
                    let message = format!("given twice: this one counts, not line {}", first.get());
                    self.findings.warning(self.about(member, message));
                }
            }
        }
    }

    /// The block under a key. All blocks of that name are read as one; a section that is not
    /// [present](Self::is_present) if there is none.
    pub fn block(&self, key: &str) -> Section<'a> {
        let path = self.path_of(key);
        let found: Vec<_> = self.all(key).collect();
        let Some(first) = found.first() else {
            let (at, findings) = (self.at, self.findings);
            return Section {
                path,
                at,
                present: false,
                members: Vec::new(),
                findings,
            };
        };
        let blocks = found
            .iter()
            .flat_map(|member| self.blocks_of(member))
            .collect();
        Self::of(path, first.at, blocks, self.findings)
    }

    /// Each block under a key by itself, as in `Statsd = [{…}, {…}]`.
    pub fn blocks(&self, key: &str) -> Vec<Section<'a>> {
        let path = self.path_of(key);
        let each = |block| Self::of(path.clone(), self.at, vec![block], self.findings);
        let found = self.all(key).flat_map(|member| self.blocks_of(member));
        found.map(each).collect()
    }

    /// Blocks with a label: `NodeAttestor "join_token" { }`, or in JSON
    /// `"NodeAttestor": [{"join_token": {}}]`. In the order of the file, repeated labels included.
    pub fn labelled(&self, key: &str) -> Vec<(&'a str, Section<'a>)> {
        self.block(key)
            .members
            .into_iter()
            .map(|label| self.labelled_one(key, label))
            .collect()
    }

    fn labelled_one(&self, key: &str, label: &'a Member) -> (&'a str, Section<'a>) {
        let path = format!("{} {:?}", self.path_of(key), label.key);
        let blocks = self.blocks_at(label, &path);
        (&label.key, Self::of(path, label.at, blocks, self.findings))
    }

    fn blocks_of(&self, member: &'a Member) -> Vec<&'a [Member]> {
        self.blocks_at(member, &self.path_of(&member.key))
    }

    fn blocks_at(&self, member: &'a Member, path: &str) -> Vec<&'a [Member]> {
        member.value.as_blocks().unwrap_or_else(|| {
            let message = format!("needs a block in braces, not {}", member.value.kind());
            let problem = Problem {
                key_path: path.to_owned(),
                ..Problem::at(member.at, message)
            };
            self.findings.problem(problem);
            Vec::new()
        })
    }

    fn all(&self, key: &str) -> impl Iterator<Item = &'a Member> {
        self.members
            .iter()
            .copied()
            .filter(move |member| member.key.eq_ignore_ascii_case(key))
    }

    fn find(&self, key: &str) -> Option<&'a Member> {
        self.all(key).last()
    }

    /// Records a problem with a key, at its place or at that of the block if it is not there.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        self.findings.problem(self.finding(key, message.into()));
    }

    /// Records a warning about a key.
    pub fn warn(&self, key: &str, message: impl Into<String>) {
        self.findings.warning(self.finding(key, message.into()));
    }

    /// Records a problem with the block as a whole.
    pub fn problem_here(&self, message: impl Into<String>) {
        self.findings.problem(self.here(message.into()));
    }

    /// Records a warning about the block as a whole.
    pub fn warn_here(&self, message: impl Into<String>) {
        self.findings.warning(self.here(message.into()));
    }

    /// Records a problem with the block that names the word it probably meant.
    pub fn problem_here_near<'k>(
        &self,
        message: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let suggestion = nearest(word, known).map(str::to_owned);
        self.findings.problem(Problem {
            suggestion,
            ..self.here(message.into())
        });
    }

    fn here(&self, message: String) -> Problem {
        Problem {
            key_path: self.path.clone(),
            ..Problem::at(self.at, message)
        }
    }

    fn finding(&self, key: &str, message: String) -> Problem {
        match self.find(key) {
            Some(member) => self.about(member, message),
            None => Problem {
                key_path: self.path_of(key),
                ..self.here(message)
            },
        }
    }

    fn about(&self, member: &Member, message: String) -> Problem {
        let key_path = self.path_of(&member.key);
        Problem {
            key_path,
            ..Problem::at(member.at, message)
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}
