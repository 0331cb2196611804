//! What is wrong with a configuration: where, which key, what, and what to write instead.

use std::cell::RefCell;
use std::fmt;

use crate::Position;

/// More problems than this are counted, not listed: nobody reads the rest.
const MAX_LISTED: usize = 100;

/// Stands in place of a file for what a flag gave.
const COMMAND_LINE: &str = "command line";

/// One thing an operator should mend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The file as named by the operator; empty while the text has no file.
    pub file: String,
    /// Line from 1; 0 for the command line or for the file as a whole.
    pub line: u32,
    /// Column in characters from 1; 0 as for `line`.
    pub column: u32,
    /// The key from the top, such as `server.ca_subject.country`; empty for faults of syntax.
    pub key_path: String,
    /// What is wrong. Never the text of a value that may be a secret.
    pub message: String,
    /// The nearest known key.
    pub suggestion: Option<String>,
}

/// A [`Problem`] that does not stop the program.
pub type Warning = Problem;

impl Problem {
    /// A problem at a place of a text that has no name yet.
    pub(crate) fn at(at: Position, message: impl Into<String>) -> Self {
        let message = message.into();
        let file = if at == Position::COMMAND_LINE {
            COMMAND_LINE
        } else {
            ""
        }
        .to_owned();
        Self {
            file,
            line: at.line,
            column: at.column,
            message,
            ..Self::default()
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if self.key_path.is_empty() && self.line > 0 && self.column > 0 {
            write!(f, "{}:", self.column)?;
        }
        if !self.key_path.is_empty() {
            write!(f, " {}:", self.key_path)?;
        }
        write!(f, " {}", self.message)?;
        match &self.suggestion {
            Some(key) => write!(f, "; did you mean {key:?}?"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used: every problem it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(problems))]
pub struct ConfigError {
    /// All problems, in the order of the file.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    let mut text: Vec<_> = problems
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect();
    if problems.len() > MAX_LISTED {
        text.push(format!("and {} more", problems.len() - MAX_LISTED));
    }
    text.join("\n")
}

/// Where readers put what they find. Shared by all sections of one document.
#[derive(Debug, Default)]
pub struct Findings {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Findings {
    /// Records what must be mended before the program can start.
    pub fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Records what the operator should know although the program starts.
    pub fn warning(&self, warning: Warning) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Problems and warnings, each in the order of the file, under the file's name.
    pub(crate) fn into_sorted(self, file: &str) -> (Vec<Problem>, Vec<Warning>) {
        (sorted(self.problems, file), sorted(self.warnings, file))
    }
}

fn sorted(found: RefCell<Vec<Problem>>, file: &str) -> Vec<Problem> {
    let mut found = found.into_inner();
    found.sort_by_key(|problem| (problem.line, problem.column));
    for problem in &mut found {
        if problem.file.is_empty() {
            problem.file = file.to_owned();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_file_line_key_fault_and_remedy() {
        let problem = Problem {
            file: "server.conf".into(),
            line: 12,
            column: 3,
            key_path: "server.bind_prot".into(),
            message: "unknown key".into(),
            suggestion: Some("bind_port".into()),
        };
        let text = r#"server.conf:12: server.bind_prot: unknown key; did you mean "bind_port"?"#;
        assert_eq!(problem.to_string(), text);
    }

    #[test]
    fn a_fault_of_syntax_names_line_and_column() {
        let mut problem = Problem::at(Position { line: 2, column: 7 }, "a text is not closed");
        problem.file = "agent.conf".into();
        assert_eq!(problem.to_string(), "agent.conf:2:7: a text is not closed");
    }

    #[test]
    fn a_bad_flag_is_told_from_a_bad_line() {
        let problem = Problem::at(Position::COMMAND_LINE, "bad");
        assert_eq!(problem.to_string(), "command line: bad");
    }

    #[test]
    fn an_error_lists_every_problem_but_not_thousands() {
        let problem = Problem::at(Position::START, "bad");
        let error = ConfigError {
            problems: vec![problem; 150],
        };
        assert_eq!(error.to_string().lines().count(), 101);
        assert!(error.to_string().ends_with("and 50 more"));
    }
}
