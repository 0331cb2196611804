//! FetchJWTSVID: a token for each identity of the caller, or for the one it names.

use super::call::{Call, Caller};
use super::convert::has_its_hint;
use crate::jwt::JwtError;
use crate::upstream::CallError;
use futures::future::try_join_all;
use signet_model::Entry;
use signet_proto::workload::{Jwtsvid, JwtsvidRequest, JwtsvidResponse};
use signet_spiffe::SpiffeId;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// Audiences are names of services: 64 of them, 8 KiB together, are more than anybody needs, and
/// each distinct list takes a place in the cache.
const MAX_AUDIENCES: usize = 64;
const MAX_AUDIENCE_BYTES: usize = 8 << 10;

impl Call {
    /// Checks what can be checked without knowing the caller, then fetches.
    pub(super) async fn fetch_jwt_svid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        let (_, extensions, asked) = request.into_parts();
        let audience = audience(asked.audience)?;
        let wanted = requested_id(&asked.spiffe_id)?;
        let caller = self.caller(&extensions).await?;
        let entries = self.entitled(&caller, wanted.as_ref()).await?;
        let tokens = entries.iter().map(|entry| self.jwt.get(entry, &audience));
        let tokens = try_join_all(tokens)
            .await
            .map_err(|error| could_not(&error))?;
        caller.still_same()?;
        let svids = entries.iter().zip(tokens).map(|(entry, token)| Jwtsvid {
            spiffe_id: entry.spiffe_id.to_string(),
            svid: token.to_string(),
            hint: entry.hint.clone(),
        });
        Ok(Response::new(JwtsvidResponse {
            svids: svids.collect(),
        }))
    }

    async fn entitled(
        &self,
        caller: &Caller,
        wanted: Option<&SpiffeId>,
    ) -> Result<Vec<Arc<Entry>>, Status> {
        let mut entries = self.matching(caller, wanted);
        if entries.is_empty() {
            self.be_sure().await;
            entries = self.matching(caller, wanted);
        }
        if entries.is_empty() {
            return Err(caller.deny());
        }
        Ok(entries)
    }

    fn matching(&self, caller: &Caller, wanted: Option<&SpiffeId>) -> Vec<Arc<Entry>> {
        let now = self.clock.now();
        let selectors = &caller.identified.selectors;
        let all: Vec<_> = self.holdings.read(|cache| {
            let held = cache.matching(selectors, now);
            held.into_iter().map(|held| held.entry.clone()).collect()
        });
        let among: Vec<_> = all.iter().map(Arc::as_ref).collect();
        let unique = all.iter().filter(|entry| has_its_hint(entry, &among));
        let asked = unique.filter(|entry| wanted.is_none_or(|id| entry.spiffe_id == *id));
        asked.cloned().collect()
    }
}

/// The audiences that are not empty; there must be one.
fn audience(asked: Vec<String>) -> Result<Vec<String>, Status> {
    let audience: Vec<_> = asked.into_iter().filter(|one| !one.is_empty()).collect();
    if audience.is_empty() {
        return Err(Status::invalid_argument("audience must be specified"));
    }
    let bytes: usize = audience.iter().map(String::len).sum();
    if audience.len() > MAX_AUDIENCES || bytes > MAX_AUDIENCE_BYTES {
        return Err(Status::invalid_argument("the audience is too long"));
    }
    Ok(audience)
}

fn requested_id(text: &str) -> Result<Option<SpiffeId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = SpiffeId::parse(text);
    let invalid = |e| Status::invalid_argument(format!("invalid requested SPIFFE ID: {e}"));
    parsed.map(Some).map_err(invalid)
}

/// A refusal of the arguments is the caller's matter; anything else may pass.
fn could_not(error: &JwtError) -> Status {
    tracing::warn!(%error, "could not fetch a JWT-SVID");
    let code = match error {
        JwtError::Call(CallError::Final {
            code: Code::InvalidArgument,
            ..
        }) => Code::InvalidArgument,
        _ => Code::Unavailable,
    };
    Status::new(code, format!("could not fetch JWT-SVID: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn empty_audiences_are_dropped_and_none_left_is_refused() {
        assert_eq!(audience(list(&["a", "", "b"])).expect("some"), ["a", "b"]);
        for none in [list(&[]), list(&[""])] {
            let refused = audience(none).expect_err("no audience");
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert_eq!(refused.message(), "audience must be specified");
        }
    }

    #[test]
    fn too_many_or_too_long_audiences_are_refused() {
        assert!(audience(vec!["a".to_owned(); MAX_AUDIENCES + 1]).is_err());
        assert!(audience(vec!["a".repeat(MAX_AUDIENCE_BYTES + 1)]).is_err());
    }

    #[test]
    fn a_malformed_id_is_refused_with_spires_words() {
        let refused = requested_id("not an id").expect_err("malformed");
        assert!(
            refused
                .message()
                .starts_with("invalid requested SPIFFE ID: ")
        );
        assert_eq!(requested_id("").expect("none asked"), None);
    }
}
