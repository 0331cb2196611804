//! The rule that stands in the server's configuration and in no object: [`Settings::default_id`].
//!
//! [`Settings::default_id`]: crate::Settings::default_id

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Held, Source};
use crate::objects::Kind;
use crate::rule::Rule;
use crate::template::Template;

/// In the place of a UID; no object has this one.
const UID: &str = "configuration";
/// Later than any resource: what these declare comes first.
const CREATED: &str = "99999999999999";
/// It never changes while the server runs.
const GENERATION: i64 = 1;

impl Source {
    /// Whether this is the server's configuration, which has no status that could be written.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        is_configuration(&self.uid)
    }
}

pub(super) fn is_configuration(uid: &str) -> bool {
    uid == UID
}

pub(super) fn rule(spiffe_id: Template) -> (Arc<str>, Held<Rule>) {
    let source = Source {
        created: CREATED.into(),
        uid: UID.into(),
        kind: Kind::SpiffeIds,
    };
    let held = Held {
        name: source.uid.clone(),
        generation: GENERATION,
        status: Json::Null,
        refusal: None,
        form: Some((GENERATION, Rule::of_the_rest(spiffe_id))),
        is_fallback: true,
        source: Arc::new(source),
    };
    (UID.into(), held)
}
