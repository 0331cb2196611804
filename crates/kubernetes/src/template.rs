//! Go's `text/template`, as far as whoever declares identities for pods needs it: fields, variables,
//! pipelines, `if`, `else`, `with`, `range`, `break`, `continue`, comments, trim markers, and Go's own
//! functions. What is not here (`define`, `template`, `block`, `js`, `call`, methods) is refused by name
//! when the template is read, as is what Go itself refuses then.
//!
//! Two things are stricter than in Go, since what Go does there is a misprint in somebody's SPIFFE ID:
//! `printf` refuses arguments that do not fit its verbs, and structures are not printed.
//!
//! ```text
//! text ──lex──▶ tokens ──parse──▶ Template ──eval(data: schema + JSON)──▶ text
//! ```

mod eval;
mod format;
mod functions;
mod lex;
mod parse;
mod schema;
#[cfg(test)]
mod tests;
mod value;

use parse::Node;
pub use schema::Data;
pub(crate) use schema::{kept_meta, kept_node_spec, kept_pod_spec};

/// The longest template: a SPIFFE ID has 2048 bytes at most, a selector 16 KiB.
pub const MAX_TEMPLATE: usize = 32 << 10;
/// The longest text that one template makes: the longest selector.
pub const MAX_OUTPUT: usize = 16 << 10;

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
}

/// Why a template gives nothing. The text names what is wrong and what may be there instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl TemplateError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what cannot be read, or is not done here.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            let length = text.len();
            return Err(TemplateError::new(format!(
                "the template has {length} bytes; the limit is {MAX_TEMPLATE}"
            )));
        }
        let nodes = parse::parse(&lex::lex(text)?)?;
        Ok(Self { nodes })
    }

    /// What it says of `data`.
    ///
    /// # Errors
    /// [`TemplateError`] if it asks for what is not there.
    pub fn render(&self, data: &Data<'_>) -> Result<String, TemplateError> {
        eval::render(&self.nodes, data)
    }
}
