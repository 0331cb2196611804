//! Why a command could not do its work: the step, its subject, and what to do about it.

use std::io;
use std::path::PathBuf;

use tonic::{Code, Status};

/// What a command ends with when it has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody answers at the socket.
    #[error("cannot reach {program} at {path}: {remedy}", path = path.display(), remedy = connect_remedy(program, source))]
    Connect {
        /// Who should answer there.
        program: &'static str,
        /// The Unix socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program at the other end refused or failed.
    #[error("could not {step}: {}", describe(status))]
    Call {
        /// The step, as `create the entry`.
        step: String,
        /// Its answer.
        status: Box<Status>,
    },
    /// A flag, or a combination of flags, makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read or written.
    #[error("could not {step} {path}: {source}", path = path.display())]
    File {
        /// The step, as `write the key to`.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file, or an answer, does not hold what it should.
    #[error("{subject} cannot be used: {reason}")]
    Content {
        /// The file or the answer.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer within the time given.
    #[error("no answer within {seconds} s while trying to {step}; give it longer with --timeout")]
    Timeout {
        /// The step, as `fetch the SVIDs`.
        step: &'static str,
        /// How long it was waited.
        seconds: f64,
    },
}

impl Failure {
    /// For `map_err` on a call: names the step.
    pub fn call(step: impl Into<String>) -> impl FnOnce(Status) -> Self {
        let step = step.into();
        move |status| Self::Call {
            step,
            status: Box::new(status),
        }
    }

    /// The answer lacks what every answer has.
    pub fn incomplete(what: &str) -> Self {
        Self::Content {
            subject: "the answer".into(),
            reason: format!("it has no {what}"),
        }
    }
}

fn connect_remedy(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "there is no such socket. Is {program} running? Start it with `{program} run`, or name \
             its socket with --socket-path"
        ),
        io::ErrorKind::ConnectionRefused => {
            format!("the socket is there, but nobody listens. Start {program} with `{program} run`")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not use the socket. Run it as the user of {program}, or as root")
        }
        _ => error.to_string(),
    }
}

/// The code as SPIRE's users know it, and the message.
fn describe(status: &Status) -> String {
    let remedy = match status.code() {
        Code::Unimplemented => " (the program at the other end does not offer this)",
        _ => "",
    };
    format!("{:?}: {}{remedy}", status.code(), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(kind: io::ErrorKind) -> String {
        Failure::Connect {
            program: "signet-server",
            path: "/run/x.sock".into(),
            source: kind.into(),
        }
        .to_string()
    }

    #[test]
    fn a_missing_socket_asks_whether_the_program_runs() {
        let text = unreachable(io::ErrorKind::NotFound);
        assert!(text.starts_with("cannot reach signet-server at /run/x.sock: "));
        assert!(text.contains("signet-server run"));
        assert!(text.contains("--socket-path"));
    }

    #[test]
    fn a_forbidden_socket_names_the_user() {
        assert!(unreachable(io::ErrorKind::PermissionDenied).contains("root"));
    }

    #[test]
    fn a_refused_call_names_step_code_and_message() {
        let failure = Failure::call("show the agent")(Status::not_found("agent not found"));
        assert_eq!(
            failure.to_string(),
            "could not show the agent: NotFound: agent not found"
        );
    }
}
