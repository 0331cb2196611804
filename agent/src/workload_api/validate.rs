//! ValidateJWTSVID: verifies a token for a local process with the bundles that it may use.

use super::call::Call;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Value as Json};
use signet_model::SelectorSet;
use signet_proto::workload::{ValidateJwtsvidRequest, ValidateJwtsvidResponse};
use signet_spiffe::jwt_svid::{self, JwtSvid};
use signet_spiffe::{Bundle, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How far clocks may differ; what go-jose, and so SPIRE, allows.
const LEEWAY: Duration = Duration::from_secs(60);
/// Of a token of another trust domain, only these are shown unless the operator allows more.
const FOREIGN_CLAIMS: [&str; 3] = ["sub", "aud", "exp"];

impl Call {
    /// Any process that can be attested may ask; it need not have an identity.
    pub(super) async fn validate_jwt_svid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let (_, extensions, asked) = request.into_parts();
        if asked.audience.is_empty() {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        if asked.svid.is_empty() {
            return Err(Status::invalid_argument("svid must be specified"));
        }
        let caller = self.caller(&extensions).await?;
        let bundles = self.usable_bundles(&caller.identified.selectors);
        let bundle_of = |name: &TrustDomain| bundles.get(name).map(Arc::as_ref);
        let now = self.clock.now();
        let verified = jwt_svid::verify(&asked.svid, bundle_of, &[&asked.audience], now, LEEWAY);
        let svid = verified.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(self.show(svid)))
    }

    /// The own bundle and those that the caller's entries federate with.
    fn usable_bundles(&self, selectors: &SelectorSet) -> BTreeMap<TrustDomain, Arc<Bundle>> {
        let now = self.clock.now();
        self.holdings.read(|cache| {
            let held = cache.matching(selectors, now);
            let names = held.iter().flat_map(|held| &held.entry.federates_with);
            let federated = names.filter_map(|name| cache.bundle(name));
            let all = federated.chain(cache.own_bundle());
            all.map(|bundle| (bundle.trust_domain.clone(), bundle.clone()))
                .collect()
        })
    }

    fn show(&self, svid: JwtSvid) -> ValidateJwtsvidResponse {
        let own = self.holdings.own_bundle();
        let own = own
            .borrow()
            .as_ref()
            .map(|bundle| bundle.trust_domain.clone());
        let foreign = Some(svid.id.trust_domain()) != own.as_ref();
        let allowed = foreign.then_some(&self.options.allowed_foreign_jwt_claims);
        ValidateJwtsvidResponse {
            spiffe_id: svid.id.to_string(),
            claims: Some(shown(svid.claims, allowed)),
        }
    }
}

/// The claims to show; `allowed` limits those of a foreign token.
fn shown(claims: Map<String, Json>, allowed: Option<&BTreeSet<String>>) -> Struct {
    let kept = claims.into_iter().filter(|(name, _)| {
        allowed.is_none_or(|more| FOREIGN_CLAIMS.contains(&name.as_str()) || more.contains(name))
    });
    let fields = kept.map(|(name, value)| {
        let value = if name == "aud" { as_list(value) } else { value };
        (name, proto_value(value))
    });
    Struct {
        fields: fields.collect(),
    }
}

/// A single audience may stand as text (RFC 7519, section 4.1.3); clients get a list always.
fn as_list(audience: Json) -> Json {
    match audience {
        one @ Json::String(_) => Json::Array(vec![one]),
        other => other,
    }
}

fn proto_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue {
            values: items.into_iter().map(proto_value).collect(),
        }),
        Json::Object(map) => Kind::StructValue(Struct {
            fields: map
                .into_iter()
                .map(|(name, value)| (name, proto_value(value)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(claims: &Struct) -> Vec<&str> {
        claims.fields.keys().map(String::as_str).collect()
    }

    fn claims() -> Map<String, Json> {
        let all = json!({"sub": "a", "aud": "one", "exp": 1, "secret": {"a": [true]}, "role": "x"});
        all.as_object().expect("an object").clone()
    }

    #[test]
    fn a_single_audience_becomes_a_list() {
        let shown = shown(claims(), None);
        let Some(Kind::ListValue(list)) = &shown.fields["aud"].kind else {
            panic!("no list");
        };
        assert_eq!(list.values.len(), 1);
        assert_eq!(names(&shown), ["aud", "exp", "role", "secret", "sub"]);
    }

    #[test]
    fn of_a_foreign_token_only_the_standard_and_the_allowed_claims_are_shown() {
        let none = BTreeSet::new();
        assert_eq!(names(&shown(claims(), Some(&none))), ["aud", "exp", "sub"]);
        let role = BTreeSet::from(["role".to_owned()]);
        assert_eq!(
            names(&shown(claims(), Some(&role))),
            ["aud", "exp", "role", "sub"]
        );
    }
}
