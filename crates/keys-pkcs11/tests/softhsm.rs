//! The key manager on a token of SoftHSM. Each test has a token, and a process, of its own.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod token;

use std::sync::Arc;

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use signet_crypto::{KeyType, SignatureAlgorithm};
use signet_keys::testing::contract;
use signet_keys::{KeyError, KeyManager, Signer};
use signet_keys_pkcs11::{Pin, Pkcs11Error, TokenName};
use token::{PIN, TestToken, on_a_token};

#[test]
fn token_keys_keep_the_contract() {
    on_a_token("token_keys_keep_the_contract", async |token| {
        let made = std::sync::atomic::AtomicU32::new(0);
        contract::check(async || {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            token.keys(&format!("server-{number}")).await
        })
        .await;
    });
}

#[test]
fn every_key_type_signs_with_every_algorithm_it_has() {
    on_a_token(
        "every_key_type_signs_with_every_algorithm_it_has",
        async |token| {
            let keys = token.keys("server").await;
            for key_type in KeyType::ALL {
                let signer = keys.generate("id", key_type).await.unwrap();
                assert_eq!(signer.public_key().key_type(), Some(key_type));
                assert!(signer.local().is_none());
                for algorithm in algorithms(key_type) {
                    let signature = signer.sign(*algorithm, b"message").await.unwrap();
                    let public = signer.public_key();
                    public.verify(*algorithm, b"message", &signature).unwrap();
                }
            }
        },
    );
}

fn algorithms(key_type: KeyType) -> &'static [SignatureAlgorithm] {
    use SignatureAlgorithm as A;
    match key_type {
        KeyType::EcP256 => &[A::EcdsaP256Sha256],
        KeyType::EcP384 => &[A::EcdsaP384Sha384],
        KeyType::Rsa2048 | KeyType::Rsa4096 => &[
            A::RsaPkcs1Sha256,
            A::RsaPkcs1Sha384,
            A::RsaPkcs1Sha512,
            A::RsaPssSha256,
            A::RsaPssSha384,
            A::RsaPssSha512,
        ],
    }
}

#[test]
fn keys_are_found_again_and_those_of_another_server_are_not() {
    on_a_token(
        "keys_are_found_again_and_those_of_another_server_are_not",
        async |token| {
            let before = token.keys("one").await;
            for (id, key_type) in [
                ("x509-CA-A", KeyType::EcP384),
                ("JWT-Signer-A", KeyType::Rsa2048),
            ] {
                before.generate(id, key_type).await.unwrap();
            }
            let after = token.keys("one").await;
            assert_eq!(after.list().await.unwrap(), before.list().await.unwrap());
            let signer = after.get("x509-CA-A").await.unwrap().unwrap();
            assert_signs(&*signer).await;
            let other = token.keys("two").await;
            assert!(other.list().await.unwrap().is_empty());
            assert!(other.get("x509-CA-A").await.unwrap().is_none());
            other.generate("x509-CA-A", KeyType::EcP256).await.unwrap();
            assert_signs(&*signer).await;
        },
    );
}

async fn assert_signs(signer: &dyn Signer) {
    let algorithm = signer.public_key().default_algorithm();
    let signature = signer.sign(algorithm, b"message").await.unwrap();
    let verified = signer
        .public_key()
        .verify(algorithm, b"message", &signature);
    verified.unwrap();
}

#[test]
fn a_private_key_does_not_leave_the_token() {
    on_a_token("a_private_key_does_not_leave_the_token", async |token| {
        let keys = token.keys("server").await;
        for (id, key_type) in [("ec", KeyType::EcP256), ("rsa", KeyType::Rsa2048)] {
            keys.generate(id, key_type).await.unwrap();
        }
        let session = token.session();
        let private = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]);
        let private = private.unwrap();
        assert_eq!(private.len(), 2);
        for key in private {
            let wanted = [
                AttributeType::Token,
                AttributeType::Private,
                AttributeType::Sensitive,
                AttributeType::AlwaysSensitive,
                AttributeType::Extractable,
                AttributeType::NeverExtractable,
            ];
            let read = session.get_attributes(key, &wanted).unwrap();
            let expected = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::AlwaysSensitive(true),
                Attribute::Extractable(false),
                Attribute::NeverExtractable(true),
            ];
            assert_eq!(read, expected);
            let secret = [AttributeType::Value, AttributeType::PrivateExponent];
            assert!(session.get_attributes(key, &secret).unwrap().is_empty());
        }
    });
}

#[test]
fn a_replaced_key_is_removed_and_its_signer_fails() {
    on_a_token(
        "a_replaced_key_is_removed_and_its_signer_fails",
        async |token| {
            let keys = token.keys("server").await;
            let old = keys.generate("id", KeyType::EcP256).await.unwrap();
            assert_signs(&*old).await;
            let new = keys.generate("id", KeyType::EcP256).await.unwrap();
            let error = old
                .sign(SignatureAlgorithm::EcdsaP256Sha256, b"m")
                .await
                .unwrap_err();
            assert!(matches!(error, KeyError::Refused { .. }), "{error:?}");
            assert_signs(&*new).await;
            assert_eq!(token.session().find_objects(&[]).unwrap().len(), 2);
        },
    );
}

#[test]
fn after_a_crash_between_making_and_removing_the_newest_whole_key_counts() {
    let name = "after_a_crash_between_making_and_removing_the_newest_whole_key_counts";
    on_a_token(name, async |token| {
        let keys = token.keys("server").await;
        keys.generate("id", KeyType::EcP256).await.unwrap();
        // The new pair was made, the old one not yet removed.
        let newer = token.make_pair("server/id", 7);
        let found = token.keys("server").await.get("id").await.unwrap().unwrap();
        assert_eq!(token.point_of(newer.0), found.public_key().key_bytes());
        assert_signs(&*found).await;
        // A pair of which only a half was made does not count.
        let half = token.make_pair("server/id", 9);
        token.session().destroy_object(half.1).unwrap();
        let still = token.keys("server").await.get("id").await.unwrap().unwrap();
        assert_eq!(still.public_key(), found.public_key());
        // The next key tidies up, and is newer than the half.
        let next = token
            .keys("server")
            .await
            .generate("id", KeyType::EcP256)
            .await
            .unwrap();
        assert_eq!(token.session().find_objects(&[]).unwrap().len(), 2);
        let last = token.keys("server").await.get("id").await.unwrap().unwrap();
        assert_eq!(last.public_key(), next.public_key());
    });
}

#[test]
fn objects_of_others_are_neither_used_nor_removed() {
    on_a_token(
        "objects_of_others_are_neither_used_nor_removed",
        async |token| {
            let keys = token.keys("server").await;
            let foreign = token.make_pair_with_id("server/id", &[0xab]);
            assert!(keys.get("id").await.unwrap().is_none());
            assert!(keys.list().await.unwrap().is_empty());
            keys.generate("id", KeyType::EcP256).await.unwrap();
            keys.generate("id", KeyType::EcP256).await.unwrap();
            assert_eq!(token.session().find_objects(&[]).unwrap().len(), 4);
            assert_eq!(token.point_of(foreign.0).len(), 65);
        },
    );
}

#[test]
fn many_signatures_at_once_all_verify() {
    on_a_token("many_signatures_at_once_all_verify", async |token| {
        let keys = token.keys("server").await;
        let ec = keys.generate("ec", KeyType::EcP256).await.unwrap();
        let rsa = keys.generate("rsa", KeyType::Rsa2048).await.unwrap();
        let signing = (0..300_u32).map(|number| {
            let signer: &Arc<dyn Signer> = if number % 2 == 0 { &ec } else { &rsa };
            let algorithm = signer.public_key().default_algorithm();
            async move {
                let message = number.to_be_bytes();
                let signature = signer.sign(algorithm, &message).await.unwrap();
                let verified = signer.public_key().verify(algorithm, &message, &signature);
                verified.unwrap();
            }
        });
        futures::future::join_all(signing).await;
    });
}

#[test]
fn keys_made_at_once_under_one_id_leave_one() {
    on_a_token("keys_made_at_once_under_one_id_leave_one", async |token| {
        let keys = token.keys("server").await;
        let making = (0..10).map(|_| keys.generate("id", KeyType::EcP256));
        for made in futures::future::join_all(making).await {
            made.unwrap();
        }
        assert_eq!(token.session().find_objects(&[]).unwrap().len(), 2);
        assert_signs(&*keys.get("id").await.unwrap().unwrap()).await;
    });
}

#[test]
fn a_wrong_pin_is_refused_by_name() {
    on_a_token("a_wrong_pin_is_refused_by_name", async |token| {
        let mut settings = token.settings("server");
        settings.pin = token::given("wrong-pin");
        let error = token::refused(settings).await;
        assert!(matches!(error, Pkcs11Error::PinRefused { .. }), "{error:?}");
        assert!(!error.is_transient());
        assert!(!format!("{error:?}").contains("wrong-pin"));
    });
}

#[test]
fn a_pin_that_was_changed_is_not_tried_twice_after_the_connection_broke() {
    let name = "a_pin_that_was_changed_is_not_tried_twice_after_the_connection_broke";
    on_a_token(name, async |token| {
        let keys = token.keys("server").await;
        let signer = keys.generate("id", KeyType::EcP256).await.unwrap();
        token.change_pin("87651234");
        token.break_connections();
        let sign = async || {
            let error = signer
                .sign(SignatureAlgorithm::EcdsaP256Sha256, b"m")
                .await
                .unwrap_err();
            assert!(!error.is_transient(), "{error:?}");
            std::error::Error::source(&error).unwrap().to_string()
        };
        assert!(
            sign()
                .await
                .starts_with("the token refused the PIN; it is not tried again")
        );
        for _ in 0..3 {
            assert!(
                sign()
                    .await
                    .starts_with("the token refused the PIN earlier")
            );
        }
    });
}

#[test]
fn a_broken_connection_is_made_anew() {
    on_a_token("a_broken_connection_is_made_anew", async |token| {
        let keys = token.keys("server").await;
        let signer = keys.generate("id", KeyType::EcP256).await.unwrap();
        for _ in 0..3 {
            assert_signs(&*signer).await;
            token.break_connections();
            assert_signs(&*signer).await;
            token.break_connections();
            assert!(keys.get("id").await.unwrap().is_some());
            token.break_connections();
            keys.generate("other", KeyType::EcP256).await.unwrap();
        }
    });
}

#[test]
fn a_token_that_is_away_hides_no_key_and_is_used_again_when_it_is_back() {
    let name = "a_token_that_is_away_hides_no_key_and_is_used_again_when_it_is_back";
    on_a_token(name, async |token| {
        let keys = token.keys("server").await;
        let signer = keys.generate("id", KeyType::EcP256).await.unwrap();
        let back = token.take_away();
        for _ in 0..2 {
            // None of them may say that there is no such key: a server would give up its authority.
            let unreachable = [
                keys.get("id").await.err().unwrap(),
                keys.list().await.unwrap_err(),
                signer
                    .sign(SignatureAlgorithm::EcdsaP256Sha256, b"m")
                    .await
                    .unwrap_err(),
                keys.generate("other", KeyType::EcP256).await.err().unwrap(),
            ];
            for error in unreachable {
                assert!(error.is_transient(), "{error:?}");
            }
        }
        back();
        assert_signs(&*signer).await;
        assert!(keys.get("id").await.unwrap().is_some());
        assert!(keys.get("other").await.unwrap().is_none());
        keys.generate("other", KeyType::EcP256).await.unwrap();
    });
}

#[test]
fn what_is_missing_is_named() {
    on_a_token("what_is_missing_is_named", async |token| {
        let mut settings = token.settings("server");
        settings.token = TokenName::Label("other".into());
        let error = token::refused(settings).await.to_string();
        assert!(
            error.contains("label \"other\"") && error.contains("\"signet\" in slot"),
            "{error}"
        );

        let mut settings = token.settings("server");
        settings.token = TokenName::Slot(4711);
        let error = token::refused(settings).await.to_string();
        assert!(error.contains("slot id 4711"), "{error}");

        let mut settings = token.settings("server");
        settings.module_path = "/none/module.so".into();
        let error = token::refused(settings).await.to_string();
        assert!(error.contains("/none/module.so"), "{error}");

        let mut settings = token.settings("server");
        settings.pin = Pin::File("/none/pin".into());
        let error = token::refused(settings).await.to_string();
        assert!(error.contains("/none/pin"), "{error}");
    });
}

#[test]
fn of_two_tokens_with_one_label_the_slot_says_which() {
    on_a_token(
        "of_two_tokens_with_one_label_the_slot_says_which",
        async |token| {
            TestToken::init("signet", PIN);
            token.break_connections();
            let error = token::refused(token.settings("server")).await;
            let Pkcs11Error::SeveralTokens { slots, .. } = &error else {
                panic!("{error:?}");
            };
            let mut settings = token.settings("server");
            let slot = slots.split(", ").next().unwrap().parse().unwrap();
            settings.token = TokenName::Slot(slot);
            let keys = signet_keys_pkcs11::Pkcs11Keys::open(settings)
                .await
                .unwrap();
            keys.generate("id", KeyType::EcP256).await.unwrap();
        },
    );
}
