//! From a file to sections and back to one answer: settings with warnings, or every problem.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::expand::expand_env;
use crate::sections::inline_plugin_files;
use crate::{
    ConfigError, Findings, Lookup, Position, Problem, Section, Value, Warning, parse_hcl,
    parse_json,
};

/// A configuration file larger than this is a mistake: a Kubernetes ConfigMap holds 1 MiB at most.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Parses a text in either form: JSON if its first character is `{`, else HCL.
pub fn parse(text: &str) -> Result<Value, Vec<Problem>> {
    let start = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_ascii_whitespace());
    if start.starts_with('{') {
        parse_json(text)
    } else {
        parse_hcl(text)
    }
}

/// A parsed file together with what its readers find.
#[derive(Debug)]
pub struct Document {
    name: String,
    top: Value,
    findings: Findings,
}

impl Document {
    /// Reads and parses a file; with a lookup, variables are substituted first.
    pub fn read(path: &Path, variables: Option<Lookup<'_>>) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = read_text(path).map_err(|error| {
            let message = format!("cannot be read: {error}");
            ConfigError {
                problems: vec![Problem {
                    file: name.clone(),
                    message,
                    ..Problem::default()
                }],
            }
        })?;
        Self::parse(&name, &text, variables)
    }

    /// As [`read`](Self::read), from a text that has a name. Files that plugins name are read.
    pub fn parse(
        name: &str,
        text: &str,
        variables: Option<Lookup<'_>>,
    ) -> Result<Self, ConfigError> {
        let findings = Findings::default();
        let expanded = variables.map(|lookup| expand_env(text, lookup));
        let text = expanded.as_ref().map_or(text, |expanded| &expanded.text);
        for (line, variable) in expanded.iter().flat_map(|expanded| &expanded.missing) {
            let message = format!("the variable {variable:?} is not set; it stands for empty text");
            findings.warning(Problem::at(
                Position {
                    line: *line,
                    column: 0,
                },
                message,
            ));
        }
        match parse(text) {
            Ok(mut top) => {
                inline_plugin_files(&mut top, &findings);
                Ok(Self {
                    name: name.to_owned(),
                    top,
                    findings,
                })
            }
            Err(problems) => {
                problems
                    .into_iter()
                    .for_each(|problem| findings.problem(problem));
                Err(ConfigError {
                    problems: findings.into_sorted(name).0,
                })
            }
        }
    }

    /// The file as a section.
    pub fn root(&self) -> Section<'_> {
        Section::root(&self.top, &self.findings)
    }

    #[cfg(test)]
    pub(crate) fn into_findings(self) -> (Vec<Problem>, Vec<Warning>) {
        self.findings.into_sorted(&self.name)
    }

    /// The answer. `settings` may be `None` only if a reader recorded why.
    pub fn finish<T>(self, settings: Option<T>) -> Result<(T, Vec<Warning>), ConfigError> {
        let (problems, warnings) = self.findings.into_sorted(&self.name);
        match settings {
            Some(settings) if problems.is_empty() => Ok((settings, warnings)),
            _ => Err(ConfigError { problems }),
        }
    }
}

pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MAX_FILE_BYTES} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_seen_from_the_first_character() {
        for text in ["\u{feff} \n{\"a\": 1}", "a = 1", "\u{feff}a = 1"] {
            assert!(parse(text) == parse("a = 1"), "{text}");
        }
    }

    #[test]
    fn variables_are_substituted_before_parsing_and_unset_ones_warned_of() {
        let lookup = |name: &str| (name == "PORT").then(|| "8081".to_owned());
        let text = "a = ${PORT}\nb = \"x$NONE\"";
        let document = Document::parse("s.conf", text, Some(&lookup)).expect("the text parses");
        assert_eq!(document.root().port("a"), Some(8081));
        assert_eq!(document.root().string("b"), Some("x"));
        let (_, warnings) = document.finish(Some(())).expect("nothing is wrong");
        let expected = "s.conf:2: the variable \"NONE\" is not set; it stands for empty text";
        assert_eq!(warnings[0].to_string(), expected);
    }

    #[test]
    fn without_a_lookup_nothing_is_substituted() {
        let document = Document::parse("s.conf", "a = \"$HOME\"", None).expect("the text parses");
        assert_eq!(document.root().string("a"), Some("$HOME"));
    }

    #[test]
    fn a_fault_of_syntax_names_the_file() {
        let error = Document::parse("s.conf", "a = [", None).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "s.conf:1:6: expected a value, but the file ends"
        );
    }

    #[test]
    fn a_file_that_is_missing_too_large_or_no_text_is_a_problem_with_its_name() {
        let directory = std::env::temp_dir().join(format!("signet-config-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("s.conf");
        let fault = || {
            Document::read(&path, None)
                .expect_err("refused")
                .to_string()
        };
        assert!(fault().contains("s.conf: cannot be read: "), "{}", fault());
        std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).expect("written");
        assert!(
            fault().ends_with("it has more than 1048576 bytes"),
            "{}",
            fault()
        );
        std::fs::write(&path, [0xff, 0xfe]).expect("written");
        assert!(fault().ends_with("it is not UTF-8 text"), "{}", fault());
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
