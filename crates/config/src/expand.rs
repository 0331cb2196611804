//! `-expandEnv`: `$NAME` and `${NAME}` in the text of a file become the value of a variable.

/// How a variable is looked up; `None` means it is not set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text after substitution.
#[derive(Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The new text.
    pub text: String,
    /// Names that were asked for but are not set, with the line that asks; they became empty text.
    pub missing: Vec<(u32, String)>,
}

/// Replaces every `$NAME` and `${NAME}` (letters, digits, `_`, not starting with a digit). Any other
/// `$` stays. Comments and heredocs are not special: the text is expanded before it is parsed.
pub fn expand_env(text: &str, lookup: Lookup<'_>) -> Expanded {
    let mut expanded = Expanded {
        text: String::with_capacity(text.len()),
        missing: Vec::new(),
    };
    let mut rest = text;
    let mut line = 1;
    while let Some(dollar) = rest.find('$') {
        let (before, from_dollar) = rest.split_at(dollar);
        expanded.text.push_str(before);
        line += newlines(before);
        rest = match reference(from_dollar) {
            Some((name, after)) => {
                expanded.substitute(name, line, lookup);
                after
            }
            None => {
                expanded.text.push('$');
                &from_dollar[1..]
            }
        };
    }
    expanded.text.push_str(rest);
    expanded
}

impl Expanded {
    fn substitute(&mut self, name: &str, line: u32, lookup: Lookup<'_>) {
        match lookup(name) {
            Some(value) => self.text.push_str(&value),
            None => self.missing.push((line, name.to_owned())),
        }
    }
}

/// The name a text starting with `$` refers to, and what follows the reference.
fn reference(text: &str) -> Option<(&str, &str)> {
    if let Some(braced) = text.strip_prefix("${") {
        let (name, after) = braced.split_once('}')?;
        return (name_length(name) == name.len() && !name.is_empty()).then_some((name, after));
    }
    let bare = &text[1..];
    let length = name_length(bare);
    (length > 0).then(|| bare.split_at(length))
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Expanded {
        expand_env(text, &|name| {
            (name == "TD").then(|| "example.org".to_owned())
        })
    }

    #[test]
    fn both_spellings_are_replaced() {
        let text = "a = \"$TD\"\nb = \"x-${TD}-y\"";
        let expanded = expand(text);
        assert_eq!(
            expanded.text,
            "a = \"example.org\"\nb = \"x-example.org-y\""
        );
        assert!(expanded.missing.is_empty());
    }

    #[test]
    fn an_unset_variable_becomes_empty_and_is_named_with_its_line() {
        let expanded = expand("a\nb $NOPE c ${ALSO_NOT}");
        assert_eq!(expanded.text, "a\nb  c ");
        let missing = vec![(2, "NOPE".to_owned()), (2, "ALSO_NOT".to_owned())];
        assert_eq!(expanded.missing, missing);
    }

    #[test]
    fn a_dollar_that_names_nothing_stays() {
        for text in ["$", "$$", "$1", "${", "${}", "${a b}", "100$ ", "${TD"] {
            assert_eq!(expand(text).text, text);
        }
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let expanded = expand_env("$A", &|_| Some("$A".to_owned()));
        assert_eq!(expanded.text, "$A");
    }
}
