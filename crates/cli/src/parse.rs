//! From the arguments to a command, or to the text and exit code of a usage error.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, Command, Parser};

use crate::go_flags;

/// The exit code of an unknown or missing command, as SPIRE's programs have it.
const UNKNOWN_COMMAND: u8 = 127;

/// The program has nothing to do but to say this and to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The exit code.
    pub code: u8,
    /// What to say: to stdout if the code is 0, else to stderr.
    pub text: String,
}

/// Parses the arguments, the program's name first, in SPIRE's spelling or ours.
///
/// # Errors
/// [`Stop`] for help and version (0), a group without subcommand (1), an unknown or missing command
/// (127) and every other mistake (1).
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, Stop> {
    let mut command = with_switches(C::command());
    command.build();
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let normalized = go_flags::normalize(&command, arguments);

    let stop = |error: clap::Error| Stop {
        code: exit_code(&command, &normalized, error.kind()),
        text: error.render().to_string(),
    };
    let line = std::iter::once(program).chain(normalized.iter().cloned());
    let matches = command.clone().try_get_matches_from(line).map_err(stop)?;
    C::from_arg_matches(&matches).map_err(stop)
}

/// A boolean, marked by taking its value after `=` only, is true when it has none.
fn with_switches(command: Command) -> Command {
    let switch = |flag: Arg| match flag.is_require_equals_set() {
        true => flag.num_args(0..=1).default_missing_value("true"),
        false => flag,
    };
    command.mut_args(switch).mut_subcommands(with_switches)
}

fn exit_code(root: &Command, arguments: &[OsString], kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if !names_a_command(root, arguments) =>
        {
            UNKNOWN_COMMAND
        }
        _ => 1,
    }
}

fn names_a_command(root: &Command, arguments: &[OsString]) -> bool {
    let first = arguments.first();
    first.is_some_and(|word| root.find_subcommand(word).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[derive(Debug, Parser)]
    #[command(name = "test", version = "1.2.3")]
    enum Line {
        #[command(subcommand)]
        Token(Token),
    }

    #[derive(Debug, clap::Subcommand)]
    enum Token {
        Generate {
            #[arg(long)]
            spiffe_id: String,
            #[arg(long, require_equals = true, value_parser = value::boolean)]
            admin: Option<bool>,
        },
    }

    fn parsed(line: &[&str]) -> Result<Line, Stop> {
        parse(["test"].iter().chain(line).map(OsString::from))
    }

    fn code(line: &[&str]) -> u8 {
        parsed(line).expect_err("it is a mistake").code
    }

    #[test]
    fn a_command_comes_out() {
        let line = parsed(&["token", "generate", "-spiffeID", "x"]).unwrap();
        let Line::Token(Token::Generate { spiffe_id, admin }) = line;
        assert_eq!((&*spiffe_id, admin), ("x", None));
    }

    #[test]
    fn a_boolean_is_true_without_a_value() {
        for (flag, expected) in [("-admin", true), ("-admin=0", false), ("--admin=T", true)] {
            let line = parsed(&["token", "generate", flag, "-spiffeID", "x"]).unwrap();
            let Line::Token(Token::Generate { admin, .. }) = line;
            assert_eq!(admin, Some(expected), "{flag}");
        }
        assert_eq!(
            code(&["token", "generate", "-admin=maybe", "-spiffeID", "x"]),
            1
        );
    }

    #[test]
    fn help_and_version_are_no_mistakes() {
        assert_eq!(code(&["-h"]), 0);
        assert_eq!(code(&["token", "generate", "-help"]), 0);
        assert_eq!(code(&["-version"]), 0);
    }

    #[test]
    fn an_unknown_or_missing_command_is_127() {
        assert_eq!(code(&[]), 127);
        assert_eq!(code(&["tokens"]), 127);
    }

    #[test]
    fn a_group_without_its_command_is_1() {
        assert_eq!(code(&["token"]), 1);
        assert_eq!(code(&["token", "make"]), 1);
    }

    #[test]
    fn a_wrong_or_missing_flag_is_1() {
        assert_eq!(code(&["token", "generate", "-spifeID", "x"]), 1);
        assert_eq!(code(&["token", "generate"]), 1);
    }

    #[test]
    fn a_wrong_flag_is_answered_with_the_right_one() {
        let stop = parsed(&["token", "generate", "-spifeID", "x"]).unwrap_err();
        assert!(stop.text.contains("--spiffe-id"), "{}", stop.text);
    }
}
