//! What the operator of a node is told of a token that it would show.

use std::time::SystemTime;

use signet_oidc::{Claims, Token};

use crate::Finding;

/// Names and dates only: of most claims the operator sees that they are there. `further` adds what
/// matters to one attestor. Nobody has verified any of it.
pub(crate) fn findings(
    token: &str,
    now: SystemTime,
    further: impl FnOnce(&Claims) -> Vec<Finding>,
) -> Vec<Finding> {
    match Token::parse(token).map(|token| token.unverified()) {
        Ok(Ok(claims)) => {
            let mut found = about(&claims, now);
            found.extend(further(&claims));
            found
        }
        Ok(Err(error)) => vec![Finding::fails(format!("the token: {error}"))],
        Err(error) => vec![Finding::fails(error.to_string())],
    }
}

fn about(claims: &Claims, now: SystemTime) -> Vec<Finding> {
    let left = claims.expires_at.duration_since(now);
    let expiry = match left {
        Ok(left) => Finding::holds(format!("it is good for {} s more", left.as_secs())),
        Err(_) => Finding::fails("it has expired"),
    };
    let names: Vec<_> = claims.all.keys().map(String::as_str).collect();
    vec![
        Finding::holds(format!("a token of the issuer {:?}", claims.issuer)),
        Finding::holds(format!("for the audience {:?}", claims.audience)),
        expiry,
        Finding::holds(format!("with the claims {}", names.join(", "))),
    ]
}
