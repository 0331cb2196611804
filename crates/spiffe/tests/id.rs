//! Checklist ID-*: what a SPIFFE ID is and is not (SPIFFE-ID).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use proptest::prelude::*;
use signet_spiffe::{
    IdError, MAX_ID_LEN, MAX_TRUST_DOMAIN_LEN, SpiffeId, TrustDomain, TrustDomainError,
};

fn refusal(text: &str) -> IdError {
    SpiffeId::parse(text).unwrap_err()
}

fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

#[test]
fn id_01_an_id_is_scheme_trust_domain_and_path() {
    let id = SpiffeId::parse("spiffe://example.org/ns/a/sa/b").unwrap();
    assert_eq!(id.trust_domain().name(), "example.org");
    assert_eq!(id.path(), "/ns/a/sa/b");
    assert_eq!(id.to_string(), "spiffe://example.org/ns/a/sa/b");
}

#[test]
fn id_01_another_scheme_or_none_is_refused() {
    for bad in [
        "example.org/a",
        "http://example.org/a",
        "spiffe:example.org",
        "spiffe:/example.org",
        "spiffe//example.org",
        "//example.org",
        " spiffe://example.org/a",
        "spiffes://example.org/a",
    ] {
        assert_eq!(refusal(bad), IdError::WrongScheme, "{bad}");
    }
    assert_eq!(refusal(""), IdError::Empty);
}

#[test]
fn id_01_a_query_or_fragment_is_refused() {
    for bad in ["spiffe://example.org/a?q=1", "spiffe://example.org/a#f"] {
        assert_eq!(refusal(bad), IdError::BadCharacter, "{bad}");
    }
    for bad in ["spiffe://example.org?q", "spiffe://example.org#f"] {
        let expected = IdError::TrustDomain(TrustDomainError::BadCharacter);
        assert_eq!(refusal(bad), expected, "{bad}");
    }
}

#[test]
fn id_02_an_empty_trust_domain_is_refused() {
    for bad in ["spiffe://", "spiffe:///a"] {
        assert_eq!(refusal(bad), IdError::TrustDomain(TrustDomainError::Empty));
    }
    assert_eq!(TrustDomain::parse(""), Err(TrustDomainError::Empty));
}

#[test]
fn id_02_userinfo_or_port_is_refused() {
    for bad in [
        "spiffe://user@example.org/a",
        "spiffe://user:password@example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://example.org:/a",
    ] {
        let expected = IdError::TrustDomain(TrustDomainError::BadCharacter);
        assert_eq!(refusal(bad), expected, "{bad}");
    }
}

#[test]
fn id_03_trust_domain_accepts_only_lowercase_letters_digits_dot_dash_underscore() {
    for code in 0..=u8::MAX {
        let character = char::from(code);
        let allowed = matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
        let name = format!("a{character}b");
        let id = format!("spiffe://{name}/w");
        assert_eq!(TrustDomain::parse(&name).is_ok(), allowed, "{character:?}");
        // A slash only ends the trust domain.
        let expected = allowed || character == '/';
        assert_eq!(SpiffeId::parse(&id).is_ok(), expected, "{character:?}");
    }
}

#[test]
fn id_03_names_that_look_like_addresses_or_broken_host_names_are_ordinary() {
    for good in [
        "1.2.3.4",
        "256.0.0.1",
        "1",
        ".",
        "..",
        "-a",
        "a-",
        "_",
        "a..b",
        "localhost",
    ] {
        let id = SpiffeId::parse(&format!("spiffe://{good}/w")).unwrap();
        assert_eq!(id.trust_domain().name(), good);
    }
}

#[test]
fn id_03_ipv6_addresses_and_percent_encoding_are_refused() {
    for bad in [
        "[::1]",
        "::1",
        "ex%61mple.org",
        "%",
        "exämple.org",
        "example.org ",
    ] {
        let error = TrustDomain::parse(bad).unwrap_err();
        assert_eq!(error, TrustDomainError::BadCharacter, "{bad}");
    }
}

#[test]
fn id_04_path_segments_accept_only_letters_digits_dot_dash_underscore() {
    for code in 0..=u8::MAX {
        let character = char::from(code);
        let allowed =
            character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | '/');
        let parsed = SpiffeId::parse(&format!("spiffe://td/a{character}b"));
        assert_eq!(parsed.is_ok(), allowed, "{character:?}");
    }
}

#[test]
fn id_04_empty_and_dot_segments_and_trailing_slashes_are_refused() {
    for (bad, why) in [
        ("spiffe://td/", IdError::TrailingSlash),
        ("spiffe://td//", IdError::TrailingSlash),
        ("spiffe://td/a/", IdError::TrailingSlash),
        ("spiffe://td//a", IdError::EmptySegment),
        ("spiffe://td/a//b", IdError::EmptySegment),
        ("spiffe://td/.", IdError::DotSegment),
        ("spiffe://td/..", IdError::DotSegment),
        ("spiffe://td/./a", IdError::DotSegment),
        ("spiffe://td/a/../b", IdError::DotSegment),
        ("spiffe://td/%61", IdError::BadCharacter),
        ("spiffe://td/a/%2e%2e/b", IdError::BadCharacter),
        ("spiffe://td/a\\b", IdError::BadCharacter),
        ("spiffe://td/a\n", IdError::BadCharacter),
        ("spiffe://td/ä", IdError::BadCharacter),
    ] {
        assert_eq!(refusal(bad), why, "{bad}");
    }
}

#[test]
fn id_04_segments_of_only_dots_are_ordinary_from_three_on() {
    assert!(SpiffeId::parse("spiffe://td/.../.a/a./-/_").is_ok());
}

#[test]
fn id_04_a_segment_taken_from_elsewhere_cannot_bring_a_slash_or_a_dot_segment() {
    let id = SpiffeId::from_segments(&td(), &["spire", "agent", "x"]).unwrap();
    assert_eq!(id.path(), "/spire/agent/x");
    for (bad, why) in [
        ("a/b", IdError::BadCharacter),
        ("../admin", IdError::BadCharacter),
        ("..", IdError::DotSegment),
        ("", IdError::EmptySegment),
        ("%2f", IdError::BadCharacter),
    ] {
        let made = SpiffeId::from_segments(&td(), &["spire", "agent", bad]);
        assert_eq!(made, Err(why), "{bad}");
    }
}

#[test]
fn id_05_an_id_of_2048_bytes_is_accepted_and_a_longer_one_refused() {
    let longest = format!("spiffe://td/{}", "a".repeat(MAX_ID_LEN - 12));
    assert_eq!(longest.len(), 2048);
    assert_eq!(SpiffeId::parse(&longest).unwrap().as_str(), longest);
    let longer = format!("{longest}a");
    assert_eq!(refusal(&longer), IdError::TooLong { len: 2049 });
    let td = TrustDomain::parse("td").unwrap();
    let made = SpiffeId::new(&td, &longer["spiffe://td".len()..]);
    assert_eq!(made, Err(IdError::TooLong { len: 2049 }));
}

#[test]
fn id_05_a_trust_domain_of_255_bytes_is_accepted_and_a_longer_one_refused() {
    let longest = "a".repeat(MAX_TRUST_DOMAIN_LEN);
    assert_eq!(TrustDomain::parse(&longest).unwrap().name().len(), 255);
    let error = TrustDomain::parse(&format!("{longest}a")).unwrap_err();
    assert_eq!(error, TrustDomainError::TooLong { len: 256 });
    assert!(SpiffeId::parse(&format!("spiffe://{longest}/a")).is_ok());
    assert!(SpiffeId::parse(&format!("spiffe://{longest}a/a")).is_err());
}

#[test]
fn id_06_upper_case_in_scheme_or_trust_domain_is_refused_not_lowered() {
    assert_eq!(refusal("SPIFFE://example.org/a"), IdError::WrongScheme);
    assert_eq!(refusal("Spiffe://example.org/a"), IdError::WrongScheme);
    let expected = IdError::TrustDomain(TrustDomainError::BadCharacter);
    assert_eq!(refusal("spiffe://Example.org/a"), expected);
    let error = TrustDomain::parse("EXAMPLE.ORG").unwrap_err();
    assert_eq!(error, TrustDomainError::BadCharacter);
}

#[test]
fn id_06_the_path_is_case_sensitive() {
    let lower = SpiffeId::parse("spiffe://td/a").unwrap();
    let upper = SpiffeId::parse("spiffe://td/A").unwrap();
    assert_ne!(lower, upper);
}

#[test]
fn id_07_an_id_without_a_path_names_the_trust_domain() {
    let id = SpiffeId::parse("spiffe://example.org").unwrap();
    assert_eq!(id.path(), "");
    assert_eq!(id, td().id());
    assert_eq!(td().id_string(), "spiffe://example.org");
    assert_eq!(SpiffeId::new(&td(), "").unwrap(), id);
}

#[test]
fn id_07_a_trust_domain_is_given_by_name_or_by_its_id_but_not_with_a_path() {
    for good in ["example.org", "spiffe://example.org"] {
        assert_eq!(TrustDomain::from_name_or_id(good), Ok(td()));
    }
    for bad in ["spiffe://example.org/", "spiffe://example.org/a"] {
        let error = TrustDomain::from_name_or_id(bad).unwrap_err();
        assert_eq!(error, TrustDomainError::HasPath);
    }
    let error = TrustDomain::from_name_or_id("https://example.org").unwrap_err();
    assert_eq!(error, TrustDomainError::BadCharacter);
    assert_eq!(
        TrustDomain::from_name_or_id("spiffe://"),
        Err(TrustDomainError::Empty)
    );
}

#[test]
fn id_08_reserved_paths_agents_and_the_server_are_told_apart() {
    let classes = |path: &str| {
        let id = SpiffeId::new(&td(), path).unwrap();
        (id.is_reserved(), id.is_agent(), id.is_server())
    };
    assert_eq!(classes("/spire/server"), (true, false, true));
    assert_eq!(classes("/spire/agent/x509pop/ab"), (true, true, false));
    assert_eq!(classes("/spire"), (true, false, false));
    assert_eq!(classes("/spire/agent"), (true, false, false));
    assert_eq!(classes("/spire/server/x"), (true, false, false));
    for ordinary in [
        "",
        "/spired",
        "/spirex/agent/a",
        "/Spire/agent/a",
        "/a/spire/agent/b",
    ] {
        assert_eq!(classes(ordinary), (false, false, false), "{ordinary}");
    }
}

#[test]
fn id_a_path_given_apart_is_checked_as_in_a_whole_id() {
    for (bad, why) in [
        ("a", IdError::NoLeadingSlash),
        ("/", IdError::TrailingSlash),
        ("/a/..", IdError::DotSegment),
        ("@evil", IdError::NoLeadingSlash),
    ] {
        assert_eq!(SpiffeId::new(&td(), bad), Err(why), "{bad}");
    }
}

proptest! {
    #[test]
    fn id_what_is_accepted_comes_out_as_it_went_in(
        name in "[a-z0-9._-]{1,40}",
        segments in prop::collection::vec("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,9}", 0..6),
    ) {
        let segments = segments.iter().map(String::as_str).collect::<Vec<_>>();
        let td = TrustDomain::parse(&name).unwrap();
        let made = SpiffeId::from_segments(&td, &segments).unwrap();
        let parsed = SpiffeId::parse(&made.to_string()).unwrap();
        prop_assert_eq!(&parsed, &made);
        prop_assert_eq!(parsed.trust_domain(), &td);
        prop_assert_eq!(SpiffeId::new(&td, parsed.path()).unwrap(), made);
    }

    #[test]
    fn id_whatever_text_is_accepted_is_already_canonical(text in "\\PC{0,40}|spiffe://[ -~]{0,30}") {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
