//! The `oidc` attestor: a token that an OpenID Connect issuer signed for the node.
//!
//! It is for CI runners (GitHub, GitLab, Buildkite and others hand each job such a token) and for
//! platforms that have no attestor of their own. SPIRE has no such attestor.
//!
//! **What it proves.** A configured issuer signed the token, for our audience and now, and its claims
//! meet the operator's conditions. It does not prove possession of anything: whoever holds the token
//! can use it. So a token is short-lived, and one with an ID (`jti`) counts once
//! ([`Attested::once`](crate::Attested::once)).
//!
//! **On the wire.** The payload is the token itself; no challenge follows.
//!
//! **Agent ID.** `/spire/agent/oidc/<host of the issuer>/<32 hex of the subject's hash>` unless
//! `agent_path_template` says otherwise. Jobs that run at the same time need different IDs, since an
//! agent that attests again takes the place of the one before: use `{{ .TokenHash }}`, or a claim that
//! each job has for itself.
//!
//! | variable | value |
//! |---|---|
//! | `PluginName` | `oidc` |
//! | `TrustDomain` | name of the trust domain |
//! | `IssuerHost` | host of the issuer's URL |
//! | `SubjectHash` | 32 hex digits of SHA-256 over issuer and `sub` |
//! | `TokenHash` | 32 hex digits of SHA-256 over issuer and `jti` |
//! | `Claims.<name>` | a claim that is text, a number or a truth value, if it can be a path segment |
//!
//! | selector | value |
//! |---|---|
//! | `oidc:iss:<URL>` | the issuer |
//! | `oidc:claim:<name>:<value>` | for each claim of `selector_claims`; one for each item of a list |
//!
//! **Configuration of the server.** An `issuer "<URL>"` block for each issuer:
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `audiences` | one of them must be in `aud` | required |
//! | `claim "<name>"` | a block with `equals`, `prefix` or `glob`, each a list; one item must fit. All blocks must be met, and there must be one: anybody can get a token of a public issuer | required |
//! | `agent_path_template` | see above | see above |
//! | `selector_claims` | claims that become selectors | none |
//! | `single_use` | a token with `jti` counts once | `true` |
//! | `can_reattest` | the agent shows a new token instead of renewing its SVID | `false` |
//! | `leeway` | how far the issuer's clock may be from ours, 5 minutes at most | `"30s"` |
//! | `jwks_url` | where the keys are, instead of discovery | |
//! | `ca_bundle_path` | who vouches for the issuer's servers (PEM) | the machine's authorities |
//! | `allow_private_addresses` | the issuer or its keys may be at a private, local or reserved address | `false` |
//!
//! The name of a claim that begins with `/` is a JSON pointer (RFC 6901) to one inside others, such as
//! `/kubernetes.io/namespace`. In a glob `*` is any text without `/` and `**` any text. A prefix should
//! end where a name ends: `repo:acme/`, not `repo:acme`.
//!
//! **Configuration of the agent.** One of `token_path` (a file, read at each attestation),
//! `token_env` (name of the variable that holds the token), `request_url_env` with
//! `request_token_env` and `audience` (GitHub's way: the names of the variables that say where to ask
//! for a token, and with what). `ca_bundle_path` for the last.
//!
//! **Limits.** Tokens of 16 KiB; see `signet-oidc` for the rest. The issuer's keys are asked for once in
//! ten seconds at most, whatever tokens come.

mod agent;
mod condition;
mod facts;
mod server;

pub use agent::{Environment, OidcAgent, RequestNames, TokenSource};
pub use condition::{ClaimName, Condition, ConditionError, Pattern};
pub use server::{
    DEFAULT_TEMPLATE, EvidenceError, IssuerConfig, MAX_LEEWAY, OidcServer, VARIABLES,
};

/// The attestor's name on the wire.
pub const KIND: &str = "oidc";
