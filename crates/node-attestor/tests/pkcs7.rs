//! Signed messages that OpenSSL made, and forgeries.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod cms;

use cms::{Attributes, Message, Signer, huge_certificate};
use signet_crypto::VerifyError;
use signet_node_attestor::pkcs7::{MAX_MESSAGE_LEN, Pkcs7Error, SignedMessage};
use signet_spiffe::{Certificate, pem};

const DOCUMENT: &[u8] =
    b"{\n  \"accountId\" : \"123456789012\",\n  \"region\" : \"us-west-2\"\n}\n";

fn certificate(text: &str) -> Certificate {
    Certificate::parse(&pem::parse_pem_certs(text).unwrap()[0]).unwrap()
}

fn openssls_signer() -> Certificate {
    certificate(include_str!("fixtures/pkcs7/signer.pem"))
}

fn verify(message: &[u8], trusted: &Certificate) -> Result<Vec<u8>, Pkcs7Error> {
    let verified = SignedMessage::parse(message)?.verified_by(trusted)?;
    Ok(verified.into_inner())
}

#[test]
fn messages_of_openssl_give_their_document() {
    for message in [
        include_bytes!("fixtures/pkcs7/definite.der").as_slice(),
        include_bytes!("fixtures/pkcs7/indefinite.ber"),
        include_bytes!("fixtures/pkcs7/no-attributes.der"),
        include_bytes!("fixtures/pkcs7/key-id.der"),
    ] {
        assert_eq!(verify(message, &openssls_signer()).unwrap(), DOCUMENT);
    }
}

#[test]
fn the_signer_in_the_bag_is_the_one_that_the_message_names() {
    let message = include_bytes!("fixtures/pkcs7/definite.der");
    let signer = SignedMessage::parse(message).unwrap().signer().unwrap();
    assert_eq!(signer, openssls_signer());
    let message = include_bytes!("fixtures/pkcs7/indefinite.ber");
    let absent = SignedMessage::parse(message).unwrap().signer();
    assert_eq!(absent, Err(Pkcs7Error::NoSignerCertificate { count: 0 }));
}

#[test]
fn what_is_not_rsa_with_sha2_by_one_signer_inside_the_message_is_refused() {
    let other = Pkcs7Error::Algorithm;
    for (message, error) in [
        (
            include_bytes!("fixtures/pkcs7/sha1.der").as_slice(),
            other("digest algorithm"),
        ),
        (
            include_bytes!("fixtures/pkcs7/pss.der"),
            other("signature algorithm"),
        ),
        (
            include_bytes!("fixtures/pkcs7/two-signers.der"),
            Pkcs7Error::Signers { count: 2 },
        ),
        (
            include_bytes!("fixtures/pkcs7/detached.der"),
            Pkcs7Error::Malformed("EncapsulatedContentInfo"),
        ),
    ] {
        assert_eq!(verify(message, &openssls_signer()), Err(error));
    }
}

#[test]
fn a_message_is_good_as_the_clouds_make_it() {
    let trusted = Signer::trusted();
    let message = Message::good(DOCUMENT, &trusted);
    assert_eq!(
        verify(&message.der(), &trusted.certificate()).unwrap(),
        DOCUMENT
    );
    let message = Message {
        attributes: Attributes::None,
        ..message
    };
    assert_eq!(
        verify(&message.der(), &trusted.certificate()).unwrap(),
        DOCUMENT
    );
}

#[test]
fn a_signature_by_another_certificate_of_the_bag_is_refused() {
    let (trusted, other) = (Signer::trusted(), Signer::other());
    let bag = vec![trusted.der.clone(), other.der.clone()];
    let message = Message {
        named: &other,
        signed_by: &other,
        certificates: bag,
        ..Message::good(DOCUMENT, &trusted)
    };
    let error = verify(&message.der(), &trusted.certificate());
    assert_eq!(error, Err(Pkcs7Error::OtherSigner));
    let message = Message {
        named: &trusted,
        ..message
    };
    let error = verify(&message.der(), &trusted.certificate());
    assert_eq!(error, Err(Pkcs7Error::Signature(VerifyError::BadSignature)));
}

#[test]
fn an_impostor_with_the_trusted_name_and_serial_number_is_refused() {
    let (trusted, impostor) = (Signer::trusted(), Signer::impostor());
    let message = Message {
        signed_by: &impostor,
        certificates: vec![impostor.der.clone()],
        ..Message::good(DOCUMENT, &trusted)
    };
    let error = verify(&message.der(), &trusted.certificate());
    assert_eq!(error, Err(Pkcs7Error::Signature(VerifyError::BadSignature)));
}

#[test]
fn two_certificates_of_the_signers_name_are_refused() {
    let (trusted, impostor) = (Signer::trusted(), Signer::impostor());
    let message = Message {
        certificates: vec![trusted.der.clone(), impostor.der.clone()],
        ..Message::good(DOCUMENT, &trusted)
    };
    let der = message.der();
    let error = SignedMessage::parse(&der).unwrap().signer();
    assert_eq!(error, Err(Pkcs7Error::NoSignerCertificate { count: 2 }));
}

#[test]
fn a_document_that_differs_from_the_signed_one_is_refused() {
    let trusted = Signer::trusted();
    for (attributes, error) in [
        (Attributes::Good, Pkcs7Error::OtherContent),
        (
            Attributes::None,
            Pkcs7Error::Signature(VerifyError::BadSignature),
        ),
    ] {
        let message = Message {
            content: b"{\"accountId\":\"1\"}",
            attributes,
            ..Message::good(DOCUMENT, &trusted)
        };
        assert_eq!(verify(&message.der(), &trusted.certificate()), Err(error));
    }
}

#[test]
fn signed_attributes_must_hold_the_content_type_and_the_digest_once_each() {
    let trusted = Signer::trusted();
    for (attributes, name) in [
        (Attributes::NoDigest, "messageDigest"),
        (Attributes::TwoDigests, "messageDigest"),
        (Attributes::NoContentType, "contentType"),
        (Attributes::OtherContentType, "contentType"),
    ] {
        let message = Message {
            attributes,
            ..Message::good(DOCUMENT, &trusted)
        };
        let error = verify(&message.der(), &trusted.certificate());
        assert_eq!(error, Err(Pkcs7Error::Attribute(name)));
    }
}

#[test]
fn a_hundred_certificates_are_refused_before_any_is_read() {
    let trusted = Signer::trusted();
    let message = Message {
        certificates: vec![vec![0x30, 0]; 100],
        ..Message::good(DOCUMENT, &trusted)
    };
    let error = SignedMessage::parse(&message.der()).map(|_| ());
    assert_eq!(error, Err(Pkcs7Error::TooManyCertificates));
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let error = SignedMessage::parse(&[0x30; 10 << 20]).map(|_| ());
    let len = 10 << 20;
    assert_eq!(error, Err(Pkcs7Error::TooLong { len }));
    assert!(len > MAX_MESSAGE_LEN);
}

#[test]
fn a_signer_with_a_key_of_16384_bits_is_none() {
    let trusted = Signer::trusted();
    let message = Message {
        certificates: vec![huge_certificate()],
        ..Message::good(DOCUMENT, &trusted)
    };
    let der = message.der();
    let error = SignedMessage::parse(&der).unwrap().signer();
    assert_eq!(error, Err(Pkcs7Error::NoSignerCertificate { count: 0 }));
}

#[test]
fn bytes_behind_the_message_and_every_cut_of_it_are_refused() {
    let trusted = Signer::trusted();
    let whole = Message::good(DOCUMENT, &trusted).der();
    let with_more = [whole.as_slice(), &[0]].concat();
    assert!(SignedMessage::parse(&with_more).is_err());
    let openssls = include_bytes!("fixtures/pkcs7/indefinite.ber").as_slice();
    for message in [whole.as_slice(), openssls] {
        for len in 0..message.len() {
            assert!(SignedMessage::parse(&message[..len]).is_err(), "{len}");
        }
    }
}

#[test]
fn no_changed_bit_of_a_message_gives_another_document() {
    let message = include_bytes!("fixtures/pkcs7/indefinite.ber");
    let trusted = openssls_signer();
    for place in 0..message.len() {
        let mut changed = *message;
        changed[place] ^= 1;
        if let Ok(document) = verify(&changed, &trusted) {
            assert_eq!(document, DOCUMENT, "byte {place}");
        }
    }
}
