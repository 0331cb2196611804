//! `NodeAttestor "oidc"`: where the token is.

use signet_config::{Key, Section, Unknown};
use signet_http::Roots;
use signet_node_attestor::oidc::{RequestNames, TokenSource};

const KEYS: [Key; 6] = [
    Key::implemented("token_path"),
    Key::implemented("token_env"),
    Key::implemented("request_url_env"),
    Key::implemented("request_token_env"),
    Key::implemented("audience"),
    Key::implemented("ca_bundle_path"),
];

const OF_REQUEST: [&str; 3] = ["request_token_env", "audience", "ca_bundle_path"];

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>) -> Option<TokenSource> {
    data.check(&[&KEYS], Unknown::Refused);
    let ways = ["token_path", "token_env", "request_url_env"];
    let given: Vec<_> = ways.into_iter().filter(|key| data.is_set(key)).collect();
    let [way] = given[..] else {
        let key = given.get(1).copied().unwrap_or("token_path");
        data.problem(
            key,
            "exactly one of token_path, token_env and request_url_env must be given",
        );
        return None;
    };
    if way == "request_url_env" {
        return request(data).map(TokenSource::Request);
    }
    for key in OF_REQUEST.into_iter().filter(|key| data.is_set(key)) {
        data.warn(key, "has no effect without request_url_env");
    }
    match way {
        "token_path" => data.path(way).map(TokenSource::File),
        _ => data
            .string(way)
            .map(str::to_owned)
            .map(TokenSource::Variable),
    }
}

fn request(data: &Section<'_>) -> Option<RequestNames> {
    let url = data.string("request_url_env");
    let token = data.required_string("request_token_env");
    let audience = data.required_string("audience");
    Some(RequestNames {
        url: url?.to_owned(),
        token: token?.to_owned(),
        audience: audience?.to_owned(),
        roots: data
            .path("ca_bundle_path")
            .map_or(Roots::System, Roots::File),
    })
}
