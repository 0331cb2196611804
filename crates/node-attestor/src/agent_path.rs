//! The path of an agent's ID, made by an operator's template from what an attestor verified.
//!
//! SPIRE takes any Go template. Here are its plain parts: text, and `{{ .Variable }}`. Whatever a
//! variable holds was chosen by somebody else, so it can never add, end or leave out a segment
//! (compare CVE-2021-27099): a value is letters, digits, `.`, `-` and `_`, or there is no ID.

use std::fmt;

use signet_spiffe::{IdError, SpiffeId, TrustDomain};

/// Agents' IDs begin with it.
const PREFIX: &str = "/spire/agent";

/// A template, whose variables are known to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPathTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// What a variable holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Part of one segment.
    Segment(String),
    /// Segments with slashes between, from an ID that was parsed.
    Path(String),
}

/// Why a template is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("agent path template: \"{{{{\" without \"}}}}\"")]
    Open,
    /// More than the name of a variable stands between the braces.
    #[error("agent path template: {action:?} is not supported; only \"{{{{ .Variable }}}}\" is")]
    Action {
        /// What stands there.
        action: String,
    },
    /// There is no such variable.
    #[error("agent path template: no variable {name:?}; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// It does not begin with a slash.
    #[error("agent path template: must begin with \"/\"")]
    NoSlash,
    /// Its fixed parts do not make a path.
    #[error("agent path template: makes no SPIFFE ID path")]
    Path(#[source] IdError),
}

/// Why a template gives no ID for this agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// This agent has no such value.
    #[error("the agent has no {name}, which the agent path template asks for")]
    Missing {
        /// The variable.
        name: String,
    },
    /// The value cannot be (part of) a path segment.
    #[error("the agent's {name} cannot be part of a SPIFFE ID")]
    Unfit {
        /// The variable.
        name: String,
    },
    /// All together is no path.
    #[error("the agent path template makes no SPIFFE ID of the agent's values")]
    Id(#[source] IdError),
}

impl AgentPathTemplate {
    /// Reads a template. `known` are the names of variables; one that ends in `.*` stands for all
    /// names with that beginning.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::NoSlash);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, action)) = rest.split_once("{{") {
            let (action, after) = action.split_once("}}").ok_or(TemplateError::Open)?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Variable(variable(action, known)?));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self { parts };
        template.check_fixed_parts()?;
        Ok(template)
    }

    /// The operator's template, or the attestor's own.
    pub(crate) fn given(
        text: Option<&str>,
        default: &str,
        known: &[&str],
    ) -> Result<Self, TemplateError> {
        Self::parse(text.unwrap_or(default), known)
    }

    /// The ID of an agent with these values.
    pub fn render(
        &self,
        trust_domain: &TrustDomain,
        values: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<SpiffeId, RenderError> {
        let mut path = PREFIX.to_owned();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Variable(name) => path.push_str(&checked(name, values(name))?),
            }
        }
        SpiffeId::new(trust_domain, &path).map_err(RenderError::Id)
    }

    /// With a good value for each variable the result must be an ID.
    fn check_fixed_parts(&self) -> Result<(), TemplateError> {
        let anywhere = TrustDomain::parse("example.org").expect("a valid name");
        let good = |_: &str| Some(Value::Segment("x".to_owned()));
        match self.render(&anywhere, &good) {
            Err(RenderError::Id(error)) => Err(TemplateError::Path(error)),
            _ => Ok(()),
        }
    }
}

fn variable(action: &str, known: &[&str]) -> Result<String, TemplateError> {
    let name = action.trim().strip_prefix('.').filter(|name| {
        let is_part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        !name.is_empty() && name.chars().all(is_part_of_name)
    });
    let name = name.ok_or_else(|| TemplateError::Action {
        action: action.trim().to_owned(),
    })?;
    let exists = known.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.len() > beginning.len() && name.starts_with(beginning),
        None => *known == name,
    });
    exists
        .then(|| name.to_owned())
        .ok_or_else(|| TemplateError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        })
}

fn checked(name: &str, value: Option<Value>) -> Result<String, RenderError> {
    let unfit = || RenderError::Unfit {
        name: name.to_owned(),
    };
    match value {
        None => Err(RenderError::Missing {
            name: name.to_owned(),
        }),
        Some(Value::Segment(text)) => is_segment(&text).then_some(text).ok_or_else(unfit),
        Some(Value::Path(text)) => {
            let fits = text.split('/').all(is_segment);
            fits.then_some(text).ok_or_else(unfit)
        }
    }
}

/// Whether this can be a whole segment of a path (SPIFFE-ID section 2.2).
pub fn is_segment(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(text, "" | "." | "..") && text.bytes().all(is_allowed)
}

impl fmt::Debug for Value {
    /// The length only: it may be as secret as a selector's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(text) => write!(f, "Segment([{} bytes])", text.len()),
            Self::Path(text) => write!(f, "Path([{} bytes])", text.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["PluginName", "Tag", "San.*"];

    fn render(template: &str, tag: &str) -> Result<String, RenderError> {
        let template = AgentPathTemplate::parse(template, KNOWN).unwrap();
        let domain = TrustDomain::parse("example.org").unwrap();
        let values = |name: &str| match name {
            "PluginName" => Some(Value::Segment("x509pop".to_owned())),
            "Tag" => Some(Value::Segment(tag.to_owned())),
            "San.path" => Some(Value::Path(tag.to_owned())),
            _ => None,
        };
        let id = template.render(&domain, &values)?;
        Ok(id.path().to_owned())
    }

    #[test]
    fn variables_are_replaced_with_and_without_blanks() {
        let path = render("/{{ .PluginName }}/a-{{.Tag}}", "b").unwrap();
        assert_eq!(path, "/spire/agent/x509pop/a-b");
    }

    #[test]
    fn a_value_never_makes_another_segment_or_leaves_one_out() {
        for tag in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "../server",
            "a%2fb",
            "a b",
            "ä",
            "a\0",
            "a?b",
            "a#b",
        ] {
            let refused = render("/{{ .PluginName }}/{{ .Tag }}", tag);
            assert!(matches!(refused, Err(RenderError::Unfit { .. })), "{tag:?}");
        }
    }

    #[test]
    fn values_that_only_together_are_a_dot_segment_are_refused() {
        assert!(matches!(
            render("/{{ .Tag }}{{ .Tag }}", "."),
            Err(RenderError::Unfit { .. })
        ));
        assert!(matches!(
            render("/a/.{{ .San.path }}", "./b"),
            Err(RenderError::Unfit { .. })
        ));
    }

    #[test]
    fn a_path_value_keeps_its_slashes_and_no_odd_ones() {
        assert_eq!(
            render("/x/{{ .San.path }}", "a/b").unwrap(),
            "/spire/agent/x/a/b"
        );
        for path in ["/a", "a/", "a//b", "a/../b", ""] {
            assert!(render("/x/{{ .San.path }}", path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_value_that_the_agent_lacks_is_named() {
        let refused = render("/{{ .San.zone }}", "x");
        assert!(matches!(refused, Err(RenderError::Missing { name }) if name == "San.zone"));
    }

    #[test]
    fn a_path_over_the_limit_of_an_id_is_refused() {
        assert!(matches!(
            render("/{{ .Tag }}", &"x".repeat(3000)),
            Err(RenderError::Id(_))
        ));
    }

    #[test]
    fn templates_that_cannot_work_are_refused_when_they_are_read() {
        let parse = |text| AgentPathTemplate::parse(text, KNOWN).unwrap_err();
        assert_eq!(parse("{{ .Tag }}"), TemplateError::NoSlash);
        assert_eq!(parse("/{{ .Tag"), TemplateError::Open);
        assert!(matches!(
            parse("/{{ .Tag | lower }}"),
            TemplateError::Action { .. }
        ));
        assert!(matches!(
            parse("/{{ if .Tag }}"),
            TemplateError::Action { .. }
        ));
        assert!(matches!(parse("/{{ . }}"), TemplateError::Action { .. }));
        assert!(matches!(
            parse("/{{ .Other }}"),
            TemplateError::Unknown { .. }
        ));
        assert!(matches!(
            parse("/{{ .San. }}"),
            TemplateError::Unknown { .. }
        ));
        for text in ["/", "/a/", "/a//{{ .Tag }}", "/a/../{{ .Tag }}", "/ä"] {
            assert!(matches!(parse(text), TemplateError::Path(_)), "{text}");
        }
    }
}
