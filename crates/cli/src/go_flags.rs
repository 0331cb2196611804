//! Rewrites flags in SPIRE's spelling into ours, before clap sees them.
//!
//! The rule: one or two dashes, and only the letters and digits count, whatever their case. So
//! `-spiffeID x`, `--spiffeID=x` and `--spiffe-id x` are one flag. Where SPIRE's letters differ from
//! ours, the flag carries an alias; that is the whole list of exceptions. Like Go's flag package, a
//! flag that takes a value takes the next argument, dash or not, and a boolean takes one only after
//! `=`.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

/// Rewrites the arguments that follow the program's name. What names no flag of the command in
/// question stays as it is, so that clap can complain about it.
pub fn normalize(root: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut path = vec![root];
    let mut output = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            output.push(argument);
            output.extend(arguments);
            break;
        }
        let Some(given) = Given::parse(&argument) else {
            descend(&mut path, &argument);
            output.push(argument);
            continue;
        };
        let Some(flag) = find(&path, &given.name) else {
            output.push(given.unknown());
            continue;
        };
        let value = match given.value {
            None if takes_separate_value(flag) => arguments.next(),
            value => value.map(OsString::from),
        };
        output.push(join(flag, value));
    }
    output
}

/// A flag as it was written, without its dashes.
struct Given {
    name: String,
    value: Option<String>,
    single_letter: bool,
}

impl Given {
    /// `None` for what is no flag: words, a lone dash, and text that is not Unicode.
    fn parse(argument: &OsStr) -> Option<Self> {
        let text = argument.to_str()?;
        let short = text.strip_prefix('-')?;
        let bare = short.strip_prefix('-').unwrap_or(short);
        if bare.is_empty() {
            return None;
        }
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (bare.to_owned(), None),
        };
        let single_letter = bare.len() == short.len() && name.len() == 1;
        Some(Self {
            name,
            value,
            single_letter,
        })
    }

    /// In a form whose error message names the flag as it was meant.
    fn unknown(self) -> OsString {
        let dashes = if self.single_letter { "-" } else { "--" };
        let value = self.value.map(|value| format!("={value}"));
        format!("{dashes}{}{}", self.name, value.unwrap_or_default()).into()
    }
}

/// Follows a subcommand's name to where its flags are.
fn descend(path: &mut Vec<&Command>, word: &OsStr) {
    let here = path.last().expect("the root is always there");
    if let Some(next) = here.find_subcommand(word) {
        path.push(next);
    }
}

/// The flag of that name, of the innermost command that has it.
fn find<'a>(path: &[&'a Command], name: &str) -> Option<&'a Arg> {
    let wanted = letters(name);
    path.iter()
        .rev()
        .flat_map(|command| command.get_arguments())
        .find(|flag| {
            let aliases = flag.get_all_aliases().unwrap_or_default();
            let mut names = flag.get_long().into_iter().chain(aliases);
            names.any(|known| letters(known) == wanted)
        })
}

fn letters(name: &str) -> String {
    name.chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn takes_separate_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append) && !flag.is_require_equals_set()
}

fn join(flag: &Arg, value: Option<OsString>) -> OsString {
    let mut joined = OsString::from("--");
    joined.push(flag.get_long().expect("it was found by its long name"));
    if let Some(value) = value {
        joined.push("=");
        joined.push(value);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let switch = |name: &'static str| {
            Arg::new(name)
                .long(name)
                .num_args(0..=1)
                .require_equals(true)
        };
        let value = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Set);
        let create = Command::new("create")
            .arg(value("spiffe-id"))
            .arg(value("x509-svid-ttl"))
            .arg(value("hint"))
            .arg(value("output").alias("format"))
            .arg(switch("store-svid"))
            .arg(switch("admin"));
        let entry = Command::new("entry").subcommand(create);
        let mut root = Command::new("test").subcommand(entry);
        root.build();
        root
    }

    fn rewritten(line: &[&str]) -> Vec<String> {
        let arguments = ["entry", "create"].iter().chain(line).map(OsString::from);
        let output = normalize(&command(), arguments);
        let words = output.into_iter().skip(2);
        words.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn spires_spellings_and_ours_are_one_flag() {
        for spelling in ["-spiffeID", "--spiffeID", "-spiffe-id", "--spiffe-id"] {
            assert_eq!(rewritten(&[spelling, "x"]), ["--spiffe-id=x"], "{spelling}");
            let joined = format!("{spelling}=x");
            assert_eq!(rewritten(&[&joined]), ["--spiffe-id=x"], "{spelling}");
        }
        assert_eq!(
            rewritten(&["-x509SVIDTTL", "60", "-storeSVID"]),
            ["--x509-svid-ttl=60", "--store-svid"]
        );
    }

    #[test]
    fn a_boolean_takes_a_value_only_after_an_equals_sign() {
        assert_eq!(
            rewritten(&["-admin=false", "-spiffeID", "x"]),
            ["--admin=false", "--spiffe-id=x"]
        );
        assert_eq!(rewritten(&["-admin", "false"]), ["--admin", "false"]);
    }

    #[test]
    fn a_value_may_look_like_a_flag() {
        assert_eq!(rewritten(&["-hint", "-admin"]), ["--hint=-admin"]);
        assert_eq!(rewritten(&["-hint", "--"]), ["--hint=--"]);
    }

    #[test]
    fn a_value_keeps_further_equals_signs_and_may_be_empty() {
        assert_eq!(rewritten(&["-hint=a=b"]), ["--hint=a=b"]);
        assert_eq!(rewritten(&["-hint", ""]), ["--hint="]);
        assert_eq!(rewritten(&["-hint="]), ["--hint="]);
    }

    #[test]
    fn an_alias_becomes_the_flag_it_stands_for() {
        assert_eq!(rewritten(&["-format", "json"]), ["--output=json"]);
    }

    #[test]
    fn unknown_flags_keep_their_letters() {
        assert_eq!(rewritten(&["-spifeID", "x"]), ["--spifeID", "x"]);
        assert_eq!(rewritten(&["-q"]), ["-q"]);
    }

    #[test]
    fn help_is_found_in_both_spellings() {
        assert_eq!(rewritten(&["-help"]), ["--help"]);
        assert_eq!(rewritten(&["-h"]), ["-h"]);
    }

    #[test]
    fn nothing_changes_after_two_dashes() {
        assert_eq!(rewritten(&["--", "-spiffeID"]), ["--", "-spiffeID"]);
    }

    #[test]
    fn a_missing_value_is_left_for_clap_to_report() {
        assert_eq!(rewritten(&["-spiffeID"]), ["--spiffe-id"]);
    }

    #[test]
    fn flags_of_another_command_are_unknown() {
        let arguments = ["entry", "-spiffeID"].map(OsString::from);
        assert_eq!(normalize(&command(), arguments)[1], "--spiffeID");
    }
}
