//! JSON of a peer, whose errors repeat nothing of it.

use serde::Deserialize;

/// Where JSON went wrong. Does not repeat what the peer sent, as the library's own text would.
#[derive(Debug, thiserror::Error)]
#[error("{category:?} error at line {line}, column {column}")]
pub struct JsonError {
    category: serde_json::error::Category,
    line: usize,
    column: usize,
}

/// Reads a value, whose length was checked.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, JsonError> {
    serde_json::from_slice(bytes).map_err(|error| JsonError {
        category: error.classify(),
        line: error.line(),
        column: error.column(),
    })
}
