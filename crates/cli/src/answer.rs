//! What a command says when it is done, and the only place that says it.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;

use crate::{Failure, Stop};

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Pretty,
    /// For programs: the answer's protobuf JSON, snake_case, with zero values.
    Json,
}

/// What a command found or did, in both forms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// For people, on stdout.
    pub text: String,
    /// For programs, on stdout. `None` when the command knows one form only.
    pub json: Option<Value>,
    /// What went wrong or deserves a warning, on stderr in both forms.
    pub problems: String,
    /// Whether any part failed: the exit code is 1 then, in both forms.
    pub failed: bool,
}

impl Answer {
    /// An answer in both forms, without problems.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json: Some(json),
            ..Self::default()
        }
    }

    /// An answer that is the same in both forms.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// What goes to stdout.
    pub fn stdout(&self, format: OutputFormat) -> String {
        match (&self.json, format) {
            (Some(json), OutputFormat::Json) => format!("{json}\n"),
            _ => self.text.clone(),
        }
    }
}

/// Prints what a command came to, and gives the exit code.
pub fn conclude(result: Result<Answer, Failure>, format: OutputFormat) -> ExitCode {
    match result {
        Ok(answer) => {
            to_stdout(&answer.stdout(format));
            to_stderr(&answer.problems);
            ExitCode::from(u8::from(answer.failed))
        }
        Err(failure) => {
            to_stderr(&format!("Error: {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Prints help or a usage error, and gives the exit code.
pub fn stop(stop: &Stop) -> ExitCode {
    if stop.code == 0 {
        to_stdout(&stop.text);
    } else {
        to_stderr(&stop.text);
    }
    ExitCode::from(stop.code)
}

/// Says something before the command is done, as a stream of updates does.
#[allow(
    clippy::print_stdout,
    reason = "the command lines print here and nowhere else"
)]
pub fn to_stdout(text: &str) {
    print!("{text}");
}

/// Says something beside the answer.
#[allow(
    clippy::print_stderr,
    reason = "the command lines print here and nowhere else"
)]
pub fn to_stderr(text: &str) {
    eprint!("{text}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_goes_out_alone() {
        let answer = Answer::new("2 agents\n", json!({"count": 2}));
        assert_eq!(answer.stdout(OutputFormat::Pretty), "2 agents\n");
        assert_eq!(answer.stdout(OutputFormat::Json), "{\"count\":2}\n");
    }

    #[test]
    fn an_answer_without_json_is_text_in_both_forms() {
        let answer = Answer::text("Server is healthy.\n");
        assert_eq!(answer.stdout(OutputFormat::Json), "Server is healthy.\n");
    }
}
