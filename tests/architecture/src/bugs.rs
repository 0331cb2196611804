//! The security bugs that SPIRE has mended, by the release that did, and what keeps each out of here.

/// A bug, and the tests that fail if we have it: file and function.
pub(crate) const BUGS: &[(&str, &[(&str, &str)])] = &[
    (
        "0.7.1: the node API skipped path validation",
        &[
            (
                "crates/tls/tests/handshakes/clients.rs",
                "a_certificate_of_an_unknown_authority_is_refused",
            ),
            (
                "crates/tls/tests/handshakes/clients.rs",
                "an_expired_certificate_is_refused",
            ),
            (
                "crates/tls/tests/handshakes/clients.rs",
                "a_certificate_of_another_trust_domain_is_refused_although_its_bundle_is_known",
            ),
        ],
    ),
    (
        "0.8.0 and 1.11.2: a process ID that was used again",
        &[
            (
                "crates/workload-attestor/src/peer.rs",
                "a_reused_process_id_is_noticed_by_its_start_time",
            ),
            (
                "crates/workload-attestor/tests/processes.rs",
                "the_next_process_with_the_same_number_is_not_the_peer",
            ),
            (
                "crates/workload-attestor/tests/processes.rs",
                "executing_another_program_after_connecting_is_noticed",
            ),
        ],
    ),
    (
        "0.12.0 and 1.14.3: tokens and selectors in the log",
        &[(
            "server/tests/api/input.rs",
            "no_log_line_holds_a_token_a_selector_or_a_request",
        )],
    ),
    (
        "0.12.1, CVE-2021-27098: a request that names the SPIFFE ID it wants",
        &[(
            "server/tests/api/svids.rs",
            "an_svid_says_what_its_entry_says_and_nothing_that_was_asked_for",
        )],
    ),
    (
        "0.12.1, CVE-2021-27099: a tag that leaves its segment of the agent's ID",
        &[
            (
                "crates/node-attestor/src/agent_path.rs",
                "a_value_never_makes_another_segment_or_leaves_one_out",
            ),
            (
                "crates/node-attestor/src/agent_path.rs",
                "values_that_only_together_are_a_dot_segment_are_refused",
            ),
        ],
    ),
    (
        "0.12.1: a connection whose descriptors stay open",
        &[(
            "crates/workload-attestor/tests/descriptors.rs",
            "a_connection_costs_two_descriptors_and_gives_them_back_ten_thousand_times",
        )],
    ),
    (
        "1.0.3, CVE-2021-44716: headers that fill the memory",
        &[(
            "server/tests/api/input.rs",
            "headers_of_more_than_16_kib_are_refused_and_the_next_call_is_served",
        )],
    ),
    (
        "1.4.3: TLS below 1.2",
        &[(
            "crates/tls/tests/handshakes/protocol.rs",
            "a_client_of_tls_1_1_is_refused",
        )],
    ),
    (
        "1.9.3: memory for as many items as a client names",
        &[(
            "server/src/api/page.rs",
            "no_room_is_made_for_the_size_that_a_client_names",
        )],
    ),
    (
        "1.12.3: a JWT-SVID without an end",
        &[
            (
                "crates/spiffe/tests/jwt_svid.rs",
                "j_04_a_token_without_exp_is_refused",
            ),
            (
                "crates/spiffe/tests/jwt_svid.rs",
                "j_02_the_algorithm_is_refused_before_the_rest_is_looked_at",
            ),
        ],
    ),
    (
        "1.13.1: text of any length from an agent",
        &[
            (
                "server/tests/api/agents.rs",
                "an_agents_version_is_kept_up_to_its_limit",
            ),
            (
                "server/tests/api/proofs.rs",
                "an_answer_longer_than_the_attestor_reads_is_not_handed_to_it",
            ),
        ],
    ),
    (
        "1.14.2: a server that fetches what a peer names",
        &[
            (
                "server/tests/api/proofs.rs",
                "an_issuer_at_a_private_address_is_not_asked_unless_that_is_allowed",
            ),
            (
                "crates/oidc/tests/published.rs",
                "a_private_address_is_not_asked_unless_the_operator_allows_it",
            ),
        ],
    ),
    (
        "1.14.2: attestation that costs the server dear",
        &[
            (
                "crates/node-attestor/tests/x509pop/chains.rs",
                "payloads_over_the_limits_are_refused_before_anything_is_parsed",
            ),
            (
                "crates/node-attestor/tests/x509pop/chains.rs",
                "an_rsa_key_of_16_kibibits_is_refused_wherever_it_stands",
            ),
            (
                "crates/node-attestor/tests/pkcs7.rs",
                "a_hundred_certificates_are_refused_before_any_is_read",
            ),
        ],
    ),
    (
        "1.14.3: a resumed session that outlives its authority",
        &[
            (
                "crates/tls/tests/handshakes/protocol.rs",
                "nothing_is_resumed_although_the_client_would_like_to",
            ),
            (
                "crates/tls/tests/handshakes/clients.rs",
                "an_open_connection_is_judged_anew_when_the_trust_changes",
            ),
        ],
    ),
    (
        "1.14.3: a copy that takes one flag for another",
        &[(
            "crates/model/src/entry.rs",
            "a_copy_keeps_each_flag_in_its_place",
        )],
    ),
    (
        "1.14.6: one document verified, another used",
        &[
            (
                "crates/node-attestor/tests/aws_iid.rs",
                "spire_1_14_6_a_document_beside_the_signed_one_is_refused",
            ),
            (
                "crates/node-attestor/tests/azure_imds.rs",
                "a_document_that_differs_from_what_was_signed_is_refused",
            ),
        ],
    ),
    (
        "1.14.6: a join token that lets in two",
        &[(
            "server/tests/api/attestation.rs",
            "of_a_thousand_nodes_with_one_token_exactly_one_is_attested",
        )],
    ),
    (
        "1.15.1: a signature by another certificate of the bag",
        &[
            (
                "crates/node-attestor/tests/azure_imds.rs",
                "a_signature_by_another_certificate_of_the_bag_is_refused",
            ),
            (
                "crates/node-attestor/tests/aws_iid.rs",
                "a_signature_by_another_certificate_of_the_bag_is_refused",
            ),
        ],
    ),
    (
        "1.15.2: an entry that outlives the agent it came with",
        &[(
            "server/tests/api/attestation.rs",
            "an_evicted_agent_takes_its_alias_with_it_and_leaves_other_entries",
        )],
    ),
];
