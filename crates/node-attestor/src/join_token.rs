//! The `join_token` attestor: a secret that an operator hands to one node.
//!
//! **What it proves.** That the agent holds a token the server made. The token is good for one
//! node; that it is taken only once is the server's commit, which writes the agent and marks the
//! token in one step ([`Attested::token`](crate::Attested::token)).
//!
//! **Agent ID.** `/spire/agent/join_token/<token>`. No selectors. The agent cannot attest again: it
//! renews its SVID, or needs another token.
//!
//! **Configuration.** None on the server. The agent gets the token on its command line or in its
//! configuration (`join_token`).
//!
//! **Limits.** Whoever reads the token before the node uses it can be that node. The ID contains the
//! token, so it is no secret any more once used. As it becomes a path segment, a token is made of
//! letters, digits, `.`, `-` and `_` only ([`token_is_valid`]).

mod agent;
mod server;

use signet_model::TokenId;

use crate::agent_path::is_segment;

pub use agent::JoinTokenAgent;
pub use server::{JoinTokenServer, TokenState, Tokens};

/// The attestor's name on the wire.
pub const KIND: &str = "join_token";

/// The longest token. SPIRE's tables hold as much; ours are UUIDs of 36 bytes.
pub const MAX_TOKEN_LEN: usize = 255;

/// Whether this can be a token: not too long, and fit to be a segment of the agent's ID.
pub fn token_is_valid(token: &str) -> bool {
    token.len() <= MAX_TOKEN_LEN && is_segment(token)
}

/// The hash under which a token is kept.
pub fn token_id(token: &str) -> TokenId {
    TokenId::from_hash(signet_crypto::sha256(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_can_be_a_path_segment() {
        for good in [
            "5a0ad4a3-5f7b-4f0a-8b8e-6d1a0b9d3b1f",
            "a",
            "A.b_c-1",
            &"x".repeat(255),
        ] {
            assert!(token_is_valid(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a%2f",
            "ä",
            "a\n",
            &"x".repeat(256),
        ] {
            assert!(!token_is_valid(bad), "{bad}");
        }
    }
}
