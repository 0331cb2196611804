//! Checklist: which chains are X.509-SVIDs, and of whom (X509-SVID).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod pki;

use pki::{ID, KEY_USAGE, SAN, Signer, bundle_of, ca, dns, extension, leaf, now, san_of, td, uri};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose as Purpose,
    GeneralSubtree, IsCa, KeyUsagePurpose as Usage, NameConstraints, date_time_ymd,
};
use signet_spiffe::certificate::{
    CertificateError, MAX_ALT_NAMES, MAX_CERTIFICATE_LEN, split_concatenated,
};
use signet_spiffe::path::{MAX_CHAIN_LEN, PathError, SignerDefect};
use signet_spiffe::x509_svid::{LeafDefect, X509SvidError, parse, verify};
use signet_spiffe::{
    AuthorityError, Bundle, Certificate, IdError, Serial, SpiffeId, TrustDomain, X509Authority,
};

/// Both ways of looking at a leaf, alone and under its bundle, must find the same defect.
fn leaf_defect(params: CertificateParams) -> LeafDefect {
    let root = Signer::root();
    let chain = [root.issue(params)];
    let alone = parse(&chain).unwrap_err();
    let verified = verify(&chain, &root.bundle(), now()).unwrap_err();
    assert_eq!(alone, verified);
    match alone {
        X509SvidError::Leaf(defect) => defect,
        other => panic!("not the leaf's defect: {other:?}"),
    }
}

fn accepted(params: CertificateParams) {
    let root = Signer::root();
    let svid = verify(&[root.issue(params)], &root.bundle(), now()).unwrap();
    assert_eq!(svid.id.as_str(), ID);
}

fn signer_defect(params: CertificateParams) -> SignerDefect {
    let root = Signer::root();
    let signer = root.signer(params);
    let chain = [signer.issue(leaf(ID)), signer.der()];
    match verify(&chain, &root.bundle(), now()).unwrap_err() {
        X509SvidError::Path(PathError::Signer { index: 1, source }) => source,
        other => panic!("not the signer's defect: {other:?}"),
    }
}

fn path_error(chain: &[Vec<u8>], bundle: &Bundle) -> webpki::Error {
    match verify(chain, bundle, now()).unwrap_err() {
        X509SvidError::Path(PathError::NotVerified(error)) => error,
        other => panic!("not the path's defect: {other:?}"),
    }
}

fn root_defect(params: CertificateParams) -> AuthorityError {
    X509Authority::from_der(&Signer::root_of(params).der()).unwrap_err()
}

#[test]
fn a_good_chain_verifies_and_says_what_it_holds() {
    let root = Signer::root();
    let chain = [root.issue(leaf(ID))];
    let svid = verify(&chain, &root.bundle(), now()).unwrap();
    assert_eq!(svid.id, SpiffeId::parse(ID).unwrap());
    assert_eq!(svid.chain.len(), 1);
    assert_eq!(svid.chain[0].as_ref(), &chain[0][..]);
    assert_eq!(svid.serial, Serial::from_bytes(&[1, 2, 3]));
    assert!(svid.not_before < now() && now() < svid.not_after);
    assert_eq!(parse(&chain).unwrap(), svid);
}

#[test]
fn id_10_the_id_and_the_key_are_the_ones_inside_the_signed_part() {
    let root = Signer::root();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(ca("root"), rcgen::KeyPair::generate().unwrap());
    let der = leaf(ID).signed_by(&key, &issuer).unwrap().der().to_vec();
    let svid = parse(std::slice::from_ref(&der)).unwrap();
    assert_eq!(
        svid.public_key.spki_der(),
        rcgen::PublicKeyData::subject_public_key_info(&key)
    );
    // Changing the ID afterwards breaks the signature.
    let mut changed = root.issue(leaf(ID));
    let at = changed
        .windows(8)
        .position(|part| part == b"workload")
        .unwrap();
    let uri_at = changed[at + 8..]
        .windows(8)
        .position(|part| part == b"workload")
        .unwrap();
    changed[at + 8 + uri_at] = b'W';
    assert_eq!(parse(&[&changed]).unwrap().id.path(), "/Workload");
    let error = path_error(&[changed], &root.bundle());
    assert_eq!(error, webpki::Error::InvalidSignatureForPublicKey);
}

#[test]
fn x_01_a_leaf_without_a_uri_name_is_refused() {
    let mut params = leaf(ID);
    params.subject_alt_names = vec![dns("example.org")];
    assert_eq!(leaf_defect(params), LeafDefect::UriCount { count: 0 });
    let mut params = leaf(ID);
    params.subject_alt_names.clear();
    assert_eq!(leaf_defect(params), LeafDefect::UriCount { count: 0 });
}

#[test]
fn x_01_a_leaf_with_two_uri_names_is_refused_even_if_they_are_equal() {
    for second in ["spiffe://example.org/other", "https://example.org", ID] {
        let mut params = leaf(ID);
        params.subject_alt_names.push(uri(second));
        assert_eq!(leaf_defect(params), LeafDefect::UriCount { count: 2 });
    }
}

#[test]
fn x_01_names_of_other_kinds_are_allowed_beside_the_uri() {
    let mut params = leaf(ID);
    params.subject_alt_names.insert(0, dns("a.example.org"));
    params.subject_alt_names.push(dns("b.example.org"));
    params
        .subject_alt_names
        .push(rcgen::SanType::IpAddress([10, 0, 0, 1].into()));
    let root = Signer::root();
    let der = root.issue(params);
    let names = Certificate::parse(&der).unwrap().alt_names.unwrap();
    assert_eq!(names.dns_names, ["a.example.org", "b.example.org"]);
    assert_eq!(names.others, 1);
    assert!(verify(&[der], &root.bundle(), now()).is_ok());
}

#[test]
fn x_02_a_leaf_whose_id_has_no_path_is_refused() {
    let defect = leaf_defect(leaf("spiffe://example.org"));
    assert_eq!(defect, LeafDefect::NoPath);
    let defect = leaf_defect(leaf("spiffe://example.org/"));
    assert_eq!(defect, LeafDefect::Id(IdError::TrailingSlash));
}

#[test]
fn x_02_an_empty_subject_needs_critical_names() {
    let mut critical = leaf(ID);
    critical.distinguished_name = DistinguishedName::new();
    accepted(critical.clone());
    let mut not_critical = critical;
    not_critical.subject_alt_names.clear();
    not_critical.custom_extensions = vec![extension(&SAN, &san_of(ID), false)];
    assert_eq!(leaf_defect(not_critical), LeafDefect::NamesNotCritical);
}

#[test]
fn x_02_with_a_subject_the_names_may_be_critical_or_not() {
    for critical in [false, true] {
        let mut params = leaf(ID);
        params.subject_alt_names.clear();
        params.custom_extensions = vec![extension(&SAN, &san_of(ID), critical)];
        accepted(params);
    }
}

#[test]
fn x_03_a_leaf_that_is_an_authority_is_refused() {
    let mut params = leaf(ID);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(leaf_defect(params), LeafDefect::IsCa);
}

#[test]
fn x_03_a_leaf_may_leave_basic_constraints_out() {
    let mut params = leaf(ID);
    params.is_ca = IsCa::NoCa;
    accepted(params);
}

#[test]
fn x_03_a_signer_that_is_no_authority_is_refused() {
    for no_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut params = ca("intermediate");
        params.is_ca = no_ca;
        assert_eq!(signer_defect(params), SignerDefect::NotCa);
        let mut params = ca("root");
        params.is_ca = no_ca;
        assert_eq!(
            root_defect(params),
            AuthorityError::NotASigner(SignerDefect::NotCa)
        );
    }
}

#[test]
fn x_03_a_path_length_constraint_is_allowed_and_kept() {
    let mut params = ca("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let root = Signer::root_of(params);
    assert!(verify(&[root.issue(leaf(ID))], &root.bundle(), now()).is_ok());
    let below = root.signer(ca("intermediate"));
    let chain = [below.issue(leaf(ID)), below.der()];
    let error = path_error(&chain, &root.bundle());
    assert_eq!(error, webpki::Error::PathLenConstraintViolated);
}

#[test]
fn x_04_a_leaf_without_key_usage_is_refused() {
    let mut params = leaf(ID);
    params.key_usages.clear();
    assert_eq!(leaf_defect(params), LeafDefect::KeyUsageMissing);
}

#[test]
fn x_04_a_leaf_whose_key_usage_is_not_critical_is_refused() {
    let mut params = leaf(ID);
    params.key_usages.clear();
    let digital_signature = [3, 2, 7, 0x80];
    params.custom_extensions = vec![extension(&KEY_USAGE, &digital_signature, false)];
    assert_eq!(leaf_defect(params.clone()), LeafDefect::KeyUsageMissing);
    params.custom_extensions = vec![extension(&KEY_USAGE, &digital_signature, true)];
    accepted(params);
}

#[test]
fn x_04_a_leaf_without_digital_signature_is_refused() {
    let mut params = leaf(ID);
    params.key_usages = vec![Usage::KeyEncipherment, Usage::KeyAgreement];
    assert_eq!(leaf_defect(params), LeafDefect::CannotSign);
}

#[test]
fn x_04_a_leaf_that_may_sign_certificates_or_lists_is_refused() {
    for forbidden in [Usage::KeyCertSign, Usage::CrlSign] {
        let mut params = leaf(ID);
        params.key_usages.push(forbidden);
        assert_eq!(leaf_defect(params), LeafDefect::MaySignCertificates);
    }
}

#[test]
fn x_04_a_leaf_may_encipher_and_agree_on_keys() {
    let mut params = leaf(ID);
    params.key_usages.push(Usage::KeyEncipherment);
    params.key_usages.push(Usage::KeyAgreement);
    let der = Signer::root().issue(params.clone());
    let usage = Certificate::parse(&der).unwrap().key_usage.unwrap();
    assert!(usage.critical && usage.only_leaf_bits() && !usage.only_signer_bits());
    assert!(usage.digital_signature() && usage.key_encipherment() && usage.key_agreement());
    accepted(params);
}

#[test]
fn x_04_a_signer_that_may_not_sign_certificates_is_refused() {
    let defect = SignerDefect::MayNotSignCertificates;
    let mut params = ca("signer");
    params.key_usages = vec![Usage::DigitalSignature, Usage::CrlSign];
    assert_eq!(signer_defect(params.clone()), defect);
    assert_eq!(
        root_defect(params),
        AuthorityError::NotASigner(defect.clone())
    );
    let mut params = ca("signer");
    params.key_usages.clear();
    assert_eq!(signer_defect(params), defect);
}

#[test]
fn x_04_a_signer_may_leave_crl_sign_out() {
    let mut params = ca("intermediate");
    params.key_usages = vec![Usage::KeyCertSign];
    let root = Signer::root();
    let signer = root.signer(params);
    let chain = [signer.issue(leaf(ID)), signer.der()];
    assert!(verify(&chain, &root.bundle(), now()).is_ok());
}

#[test]
fn x_04_a_root_of_an_older_pki_without_key_usage_is_accepted() {
    let mut params = ca("root");
    params.key_usages.clear();
    let root = Signer::root_of(params);
    assert!(verify(&[root.issue(leaf(ID))], &root.bundle(), now()).is_ok());
}

#[test]
fn x_05_a_leaf_may_leave_extended_key_usage_out_or_have_more() {
    let mut params = leaf(ID);
    params.extended_key_usages.clear();
    accepted(params);
    let mut params = leaf(ID);
    params.extended_key_usages.push(Purpose::CodeSigning);
    accepted(params);
}

#[test]
fn x_05_a_leaf_with_only_one_of_server_and_client_auth_is_refused() {
    for purposes in [
        vec![Purpose::ServerAuth],
        vec![Purpose::ClientAuth],
        vec![Purpose::CodeSigning],
        vec![Purpose::Any],
    ] {
        let mut params = leaf(ID);
        params.extended_key_usages = purposes;
        assert_eq!(leaf_defect(params), LeafDefect::ExtendedKeyUsage);
    }
}

#[test]
fn x_05_extended_key_usage_of_a_signer_does_not_matter() {
    let mut params = ca("intermediate");
    params.extended_key_usages = vec![Purpose::ServerAuth];
    let root = Signer::root();
    let signer = root.signer(params);
    let chain = [signer.issue(leaf(ID)), signer.der()];
    assert!(verify(&chain, &root.bundle(), now()).is_ok());
}

#[test]
fn x_06_a_signer_whose_id_has_a_path_is_refused() {
    let mut params = ca("signer");
    params.subject_alt_names = vec![uri("spiffe://example.org/workload")];
    assert_eq!(signer_defect(params.clone()), SignerDefect::HasPath);
    let error = AuthorityError::NotASigner(SignerDefect::HasPath);
    assert_eq!(root_defect(params), error);
}

#[test]
fn x_06_a_signer_with_a_broken_or_second_uri_is_refused() {
    let mut params = ca("signer");
    params.subject_alt_names = vec![uri("SPIFFE://example.org")];
    assert_eq!(
        signer_defect(params),
        SignerDefect::Id(IdError::WrongScheme)
    );
    let mut params = ca("signer");
    params.subject_alt_names.push(uri("https://example.org"));
    assert_eq!(signer_defect(params), SignerDefect::UriCount { count: 2 });
}

#[test]
fn x_06_a_signer_needs_no_id() {
    for names in [vec![], vec![uri("https://ca.example.org")], vec![dns("ca")]] {
        let mut params = ca("intermediate");
        params.subject_alt_names = names;
        let root = Signer::root();
        let signer = root.signer(params);
        let chain = [signer.issue(leaf(ID)), signer.der()];
        assert!(verify(&chain, &root.bundle(), now()).is_ok());
    }
}

#[test]
fn x_06_id_09_a_signer_cannot_authenticate_itself() {
    let root = Signer::root();
    let error = verify(&[root.der()], &root.bundle(), now()).unwrap_err();
    assert_eq!(error, X509SvidError::Leaf(LeafDefect::NoPath));
    // Nor with an ID that would do for a leaf.
    let mut params = ca("intermediate");
    params.subject_alt_names = vec![uri(ID)];
    let chain = [root.signer(params).der()];
    let error = verify(&chain, &root.bundle(), now()).unwrap_err();
    assert_eq!(error, X509SvidError::Leaf(LeafDefect::IsCa));
}

#[test]
fn id_09_the_id_of_a_signing_authority_has_no_path() {
    let authority = Signer::root().authority();
    let [uri] = authority.certificate().uris() else {
        panic!("one URI");
    };
    assert_eq!(SpiffeId::parse(uri).unwrap(), td().id());
}

#[test]
fn x_07_a_signer_with_uri_name_constraints_is_refused_since_they_are_not_evaluated() {
    let mut params = ca("intermediate");
    // rcgen writes no URI subtree; this is permitted [0] { base URI "example.org" }.
    let content = [
        &[0x30, 17, 0xa0, 15, 0x30, 13, 0x86, 11][..],
        b"example.org",
    ]
    .concat();
    params.custom_extensions = vec![extension(&[2, 5, 29, 30], &content, true)];
    let root = Signer::root();
    let signer = root.signer(params);
    let chain = [signer.issue(leaf(ID)), signer.der()];
    let error = path_error(&chain, &root.bundle());
    assert_eq!(error, webpki::Error::NameConstraintViolation);
}

#[test]
fn x_07_dns_name_constraints_of_a_signer_bind_the_leaf() {
    let mut params = ca("intermediate");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
        excluded_subtrees: vec![],
    });
    let root = Signer::root();
    let signer = root.signer(params);
    let verified = |name: &str| {
        let mut params = leaf(ID);
        params.subject_alt_names.push(dns(name));
        let chain = [signer.issue(params), signer.der()];
        verify(&chain, &root.bundle(), now())
    };
    assert!(verified("a.example.org").is_ok());
    let error = verified("example.com").unwrap_err();
    assert_eq!(
        error,
        X509SvidError::Path(PathError::NotVerified(
            webpki::Error::NameConstraintViolation
        ))
    );
}

#[test]
fn x_08_a_chain_over_intermediates_verifies_in_any_order_and_with_its_root() {
    let root = Signer::root();
    let upper = root.signer(ca("upper"));
    let lower = upper.signer(ca("lower"));
    let leaf = lower.issue(leaf(ID));
    for chain in [
        vec![leaf.clone(), lower.der(), upper.der()],
        vec![leaf.clone(), upper.der(), lower.der()],
        vec![leaf.clone(), lower.der(), upper.der(), root.der()],
    ] {
        assert!(verify(&chain, &root.bundle(), now()).is_ok());
    }
    let error = path_error(&[leaf, lower.der()], &root.bundle());
    assert_eq!(error, webpki::Error::UnknownIssuer);
}

#[test]
fn x_08_an_intermediate_in_the_bundle_is_a_root_of_its_own() {
    let middle = Signer::root().signer(ca("intermediate"));
    assert!(verify(&[middle.issue(leaf(ID))], &middle.bundle(), now()).is_ok());
}

#[test]
fn x_08_a_chain_under_another_root_is_refused_even_with_the_same_names() {
    let (ours, theirs) = (Signer::root(), Signer::root());
    let error = path_error(&[theirs.issue(leaf(ID))], &ours.bundle());
    assert_eq!(error, webpki::Error::InvalidSignatureForPublicKey);
    // The peer may send its root along; that does not make it one of ours.
    let error = path_error(&[theirs.issue(leaf(ID)), theirs.der()], &ours.bundle());
    assert_eq!(error, webpki::Error::InvalidSignatureForPublicKey);
    let other_name = Signer::root_of(ca("another root"));
    let error = path_error(&[other_name.issue(leaf(ID))], &ours.bundle());
    assert_eq!(error, webpki::Error::UnknownIssuer);
}

#[test]
fn x_08_only_the_bundle_of_the_ids_own_trust_domain_counts() {
    let root = Signer::root();
    let chain = [root.issue(leaf("spiffe://other.example/workload"))];
    let error = verify(&chain, &root.bundle(), now()).unwrap_err();
    let expected = X509SvidError::WrongTrustDomain {
        found: TrustDomain::parse("other.example").unwrap(),
        bundle: td(),
    };
    assert_eq!(error, expected);
}

#[test]
fn x_08_an_id_of_another_scheme_or_spelling_is_refused() {
    for (name, why) in [
        ("https://example.org/workload", IdError::WrongScheme),
        ("SPIFFE://example.org/workload", IdError::WrongScheme),
        ("spiffe://example.org/a/../b", IdError::DotSegment),
        ("spiffe://example.org/w%6frkload", IdError::BadCharacter),
    ] {
        assert_eq!(leaf_defect(leaf(name)), LeafDefect::Id(why));
    }
}

#[test]
fn x_08_a_leaf_outside_its_validity_is_refused() {
    let root = Signer::root();
    let mut expired = leaf(ID);
    expired.not_after = date_time_ymd(2026, 5, 31);
    let error = path_error(&[root.issue(expired)], &root.bundle());
    assert!(matches!(error, webpki::Error::CertExpired { .. }));
    let mut future = leaf(ID);
    future.not_before = date_time_ymd(2026, 6, 2);
    let error = path_error(&[root.issue(future)], &root.bundle());
    assert!(matches!(error, webpki::Error::CertNotValidYet { .. }));
}

#[test]
fn x_08_a_leaf_is_valid_to_the_second_of_its_end() {
    let root = Signer::root();
    let chain = [root.issue(leaf(ID))];
    let end = parse(&chain).unwrap().not_after;
    let second = std::time::Duration::from_secs(1);
    assert!(verify(&chain, &root.bundle(), end).is_ok());
    assert!(verify(&chain, &root.bundle(), end + second).is_err());
}

#[test]
fn x_08_an_expired_intermediate_is_refused() {
    let root = Signer::root();
    let mut params = ca("intermediate");
    params.not_after = date_time_ymd(2026, 5, 31);
    let signer = root.signer(params);
    let error = path_error(&[signer.issue(leaf(ID)), signer.der()], &root.bundle());
    assert!(matches!(error, webpki::Error::CertExpired { .. }));
}

#[test]
fn x_08_a_root_outside_its_validity_does_not_count() {
    let mut expired = ca("root");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let mut future = ca("root");
    future.not_before = date_time_ymd(2026, 6, 2);
    for params in [expired, future] {
        let root = Signer::root_of(params);
        let error = verify(&[root.issue(leaf(ID))], &root.bundle(), now()).unwrap_err();
        assert_eq!(error, X509SvidError::Path(PathError::NoAuthority));
        // Another root that is valid does not help the leaf under the first.
        let bundle = bundle_of(&[&root, &Signer::root()]);
        assert!(verify(&[root.issue(leaf(ID))], &bundle, now()).is_err());
    }
}

#[test]
fn x_08_b_01_an_empty_bundle_makes_every_svid_invalid() {
    let root = Signer::root();
    let chain = [root.issue(leaf(ID))];
    let error = verify(&chain, &Bundle::empty(td()), now()).unwrap_err();
    assert_eq!(error, X509SvidError::Path(PathError::NoAuthority));
}

#[test]
fn x_08_a_chain_verifies_until_its_root_leaves_the_bundle() {
    let (old, new) = (Signer::root(), Signer::root());
    let chain = [old.issue(leaf(ID))];
    assert!(verify(&chain, &bundle_of(&[&new, &old]), now()).is_ok());
    let mut tainted = bundle_of(&[&new, &old]);
    tainted.x509_authorities[1].tainted = true;
    assert!(verify(&chain, &tainted, now()).is_ok());
    assert!(verify(&chain, &bundle_of(&[&new]), now()).is_err());
}

#[test]
fn x_08_an_unknown_critical_extension_is_refused_and_a_harmless_one_not() {
    for (critical, good) in [(true, false), (false, true)] {
        let mut params = leaf(ID);
        params.custom_extensions =
            vec![extension(&[1, 3, 6, 1, 4, 1, 99999, 1], &[5, 0], critical)];
        let root = Signer::root();
        let verified = verify(&[root.issue(params)], &root.bundle(), now());
        assert_eq!(verified.is_ok(), good);
    }
}

#[test]
fn x_08_a_leaf_signed_by_a_leaf_is_refused() {
    let root = Signer::root();
    let workload = root.signer(leaf("spiffe://example.org/other"));
    let chain = [workload.issue(leaf(ID)), workload.der()];
    let error = verify(&chain, &root.bundle(), now()).unwrap_err();
    let source = SignerDefect::NotCa;
    assert_eq!(
        error,
        X509SvidError::Path(PathError::Signer { index: 1, source })
    );
}

#[test]
fn x_08_a_changed_signature_is_refused() {
    let root = Signer::root();
    let mut der = root.issue(leaf(ID));
    *der.last_mut().unwrap() ^= 1;
    let error = path_error(&[der], &root.bundle());
    assert_eq!(error, webpki::Error::InvalidSignatureForPublicKey);
}

#[test]
fn a_chain_without_certificates_or_with_too_many_is_refused_before_parsing() {
    let none: [&[u8]; 0] = [];
    assert_eq!(parse(&none), Err(X509SvidError::Path(PathError::Empty)));
    let junk = vec![vec![0xff]; MAX_CHAIN_LEN + 1];
    let len = MAX_CHAIN_LEN + 1;
    assert_eq!(
        parse(&junk),
        Err(X509SvidError::Path(PathError::TooLong { len }))
    );
}

#[test]
fn a_path_of_seven_intermediates_is_refused_and_one_of_six_not() {
    let root = Signer::root();
    let verified = |depth: usize| {
        let mut signers = vec![root.signer(ca("1"))];
        for level in 2..=depth {
            let next = signers.last().unwrap().signer(ca(&level.to_string()));
            signers.push(next);
        }
        let mut chain = vec![signers.last().unwrap().issue(leaf(ID))];
        chain.extend(signers.iter().map(Signer::der));
        verify(&chain, &root.bundle(), now())
    };
    assert!(verified(6).is_ok());
    let error = verified(7).unwrap_err();
    assert!(matches!(
        error,
        X509SvidError::Path(PathError::NotVerified(_))
    ));
}

#[test]
fn two_signers_of_one_name_are_accepted_and_three_refused() {
    let (root, other) = (Signer::root(), Signer::root_of(ca("other root")));
    let right = root.signer(ca("cross"));
    let mut chain = vec![
        right.issue(leaf(ID)),
        other.signer(ca("cross")).der(),
        right.der(),
    ];
    assert!(verify(&chain, &root.bundle(), now()).is_ok());
    chain.push(other.signer(ca("cross")).der());
    let error = verify(&chain, &root.bundle(), now()).unwrap_err();
    assert_eq!(error, X509SvidError::Path(PathError::SameSubject));
}

#[test]
fn a_maze_of_signers_that_lead_nowhere_is_left_soon() {
    // Two of each name, each of which could be signed by both of the next.
    let root = Signer::root();
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut signers = Vec::new();
    for (name, above) in names.iter().zip(names.iter().cycle().skip(1)) {
        let issuer = Signer::root_of(ca(above));
        signers.extend([issuer.signer(ca(name)), issuer.signer(ca(name))]);
    }
    let mut chain = vec![signers[0].issue(leaf(ID))];
    chain.extend(signers.iter().map(Signer::der));
    assert_eq!(chain.len(), MAX_CHAIN_LEN - 1);
    assert!(matches!(
        verify(&chain, &root.bundle(), now()),
        Err(X509SvidError::Path(PathError::NotVerified(_)))
    ));
}

fn certificate_error(der: &[u8]) -> CertificateError {
    match parse(&[der]).unwrap_err() {
        X509SvidError::Path(PathError::Certificate { index: 0, source }) => source,
        other => panic!("not the certificate's defect: {other:?}"),
    }
}

#[test]
fn a_certificate_over_the_size_limit_is_refused_before_parsing() {
    let der = vec![0x30; MAX_CERTIFICATE_LEN + 1];
    let len = der.len();
    assert_eq!(certificate_error(&der), CertificateError::TooLong { len });
}

#[test]
fn a_certificate_with_too_many_names_is_refused() {
    let mut params = leaf(ID);
    params
        .subject_alt_names
        .extend((0..MAX_ALT_NAMES).map(|index| dns(&format!("n{index}"))));
    let count = MAX_ALT_NAMES + 1;
    let der = Signer::root().issue(params);
    assert_eq!(
        certificate_error(&der),
        CertificateError::TooManyNames { count }
    );
}

#[test]
fn every_truncation_of_a_certificate_is_refused_and_so_is_a_tail() {
    let mut der = Signer::root().issue(leaf(ID));
    for len in 0..der.len() {
        assert!(parse(&[&der[..len]]).is_err());
    }
    der.push(0);
    assert_eq!(
        certificate_error(&der),
        CertificateError::Trailing { len: 1 }
    );
}

#[test]
fn a_certificate_with_an_extension_twice_is_refused() {
    let mut params = leaf(ID);
    let other = san_of("spiffe://example.org/admin");
    params.custom_extensions = vec![extension(&SAN, &other, false)];
    let der = Signer::root().issue(params);
    let oid = "2.5.29.17".to_owned();
    assert_eq!(
        certificate_error(&der),
        CertificateError::DuplicateExtension { oid }
    );
}

#[test]
fn a_certificate_with_a_malformed_extension_is_refused() {
    let mut params = leaf(ID);
    params.key_usages.clear();
    params.custom_extensions = vec![extension(&KEY_USAGE, &[3, 9, 0], true)];
    let der = Signer::root().issue(params);
    let oid = "2.5.29.15".to_owned();
    assert_eq!(
        certificate_error(&der),
        CertificateError::BadExtension { oid }
    );
}

#[test]
fn a_uri_name_that_is_no_text_is_refused() {
    let mut params = leaf(ID);
    params.subject_alt_names.clear();
    params.custom_extensions = vec![extension(&SAN, &[0x30, 4, 0x86, 2, 0xff, 0xfe], false)];
    let der = Signer::root().issue(params);
    let oid = "2.5.29.17".to_owned();
    assert_eq!(
        certificate_error(&der),
        CertificateError::BadExtension { oid }
    );
}

#[test]
fn a_negative_serial_number_is_refused() {
    let mut der = Signer::root().issue(leaf(ID));
    let at = der
        .windows(5)
        .position(|part| part == [2, 3, 1, 2, 3])
        .unwrap();
    der[at + 2] = 0x81;
    assert_eq!(certificate_error(&der), CertificateError::BadSerial);
}

#[test]
fn fixtures_named_for_their_defect_are_refused() {
    let of = |text: &str| signet_spiffe::pem::parse_pem_certs(text).unwrap().remove(0);
    let version_1 = of(include_str!("fixtures/certificate-of-version-1.pem"));
    assert_eq!(certificate_error(&version_1), CertificateError::NotVersion3);
    for weak in [
        include_str!("fixtures/leaf-with-rsa-1024-key.pem"),
        include_str!("fixtures/leaf-with-ed25519-key.pem"),
        include_str!("fixtures/leaf-with-explicit-curve-parameters.pem"),
    ] {
        let error = certificate_error(&of(weak));
        assert!(matches!(error, CertificateError::Key(_)), "{error:?}");
    }
}

#[test]
fn a_leaf_signed_with_sha1_is_refused() {
    let of = |text: &str| signet_spiffe::pem::parse_pem_certs(text).unwrap();
    let root = of(include_str!("fixtures/rsa-root.pem")).remove(0);
    let mut bundle = Bundle::empty(td());
    bundle.x509_authorities = vec![X509Authority::from_der(&root).unwrap()];
    let good = of(include_str!("fixtures/leaf-under-rsa-root.pem"));
    let then = parse(&good).unwrap().not_before + std::time::Duration::from_secs(3600);
    assert_eq!(verify(&good, &bundle, then).unwrap().id.as_str(), ID);
    let sha1 = of(include_str!("fixtures/leaf-signed-with-sha1.pem"));
    assert!(matches!(
        verify(&sha1, &bundle, then),
        Err(X509SvidError::Path(PathError::NotVerified(_)))
    ));
}

#[test]
fn certificates_that_follow_each_other_are_split_up_to_a_limit() {
    let root = Signer::root();
    let parts = [root.issue(leaf(ID)), root.der()];
    let joined = parts.concat();
    assert_eq!(split_concatenated(&joined, 2).unwrap(), parts);
    assert_eq!(split_concatenated(&[], 2).unwrap(), [[0_u8; 0]; 0]);
    let error = split_concatenated(&joined, 1).unwrap_err();
    assert_eq!(error, CertificateError::TooMany { limit: 1 });
    let error = split_concatenated(&joined[..joined.len() - 1], 2).unwrap_err();
    assert_eq!(error, CertificateError::Malformed);
}
