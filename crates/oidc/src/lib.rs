//! Tokens of OpenID Connect issuers: discovery, keys, verification.
