//! SPIFFE verifiers, certificate resolver, bounded acceptor and connector.
