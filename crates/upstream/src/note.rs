//! Telling the log about an upstream that fails again and again: once, and its end.

use std::error::Error;

use crate::UpstreamError;

/// Notes the outcome of one look at an upstream; answers whether it is failing now.
pub(crate) fn note(outcome: Result<(), UpstreamError>, failing: bool, kind: &str) -> bool {
    match outcome {
        Ok(()) if failing => tracing::info!(kind, "the upstream authority answers again"),
        Ok(()) => {}
        Err(error) if !failing => {
            let error = chain(&error);
            tracing::warn!(
                kind,
                error,
                "the upstream authority's bundle could not be renewed; the last one stays"
            );
            return true;
        }
        Err(_) => return true,
    }
    false
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
