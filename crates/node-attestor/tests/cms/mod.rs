//! Signed messages of CMS, well made or with one thing wrong, signed with a key of this test.

#![allow(dead_code, reason = "each test program uses its part")]

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SerialNumber, date_time_ymd,
};
use signet_crypto::{PrivateKey, PublicKey, SignatureAlgorithm, sha256};
use signet_spiffe::Certificate;

/// Made by OpenSSL, as a build with ring alone makes no RSA keys.
const RSA_2048: &str = include_str!("../../../crypto/tests/fixtures/rsa-2048-pkcs1.pem");
const RSA_3072: &str = include_str!("../../../crypto/tests/fixtures/rsa-3072-pkcs8.pem");

const SIGNED_DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const CONTENT_TYPE: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const SHA_256: &[u8] = &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

/// A certificate with its key.
pub(crate) struct Signer {
    pub(crate) key: PrivateKey,
    pub(crate) der: Vec<u8>,
}

impl Signer {
    /// With a key of 2048 bits.
    pub(crate) fn trusted() -> Self {
        Self::new(RSA_2048, "trusted", 1)
    }

    /// With another key and name.
    pub(crate) fn other() -> Self {
        Self::new(RSA_3072, "other", 2)
    }

    /// With the name and serial number of [`trusted`](Self::trusted), but another key.
    pub(crate) fn impostor() -> Self {
        Self::new(RSA_3072, "trusted", 1)
    }

    fn new(key: &str, name: &str, serial: u64) -> Self {
        let key = PrivateKey::from_pem(key).unwrap();
        let der = certificate(&Rsa(key.public_key().key_bytes().to_vec()), name, serial);
        Self { key, der }
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::parse(&self.der).unwrap()
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(SignatureAlgorithm::RsaPkcs1Sha256, message);
        signature.unwrap()
    }
}

/// An RSA public key, an `RSAPublicKey` in DER.
struct Rsa(Vec<u8>);

impl rcgen::PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

fn certificate(key: &Rsa, name: &str, serial: u64) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2126, 1, 1);
    let mut issuer = params.clone();
    issuer.serial_number = Some(SerialNumber::from(7));
    let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    params.signed_by(key, &issuer).unwrap().der().to_vec()
}

/// A certificate whose RSA key has 16,384 bits.
pub(crate) fn huge_certificate() -> Vec<u8> {
    let modulus = element(2, &[&[0], &[0xff; 2048]]);
    let key = element(0x30, &[&modulus, &element(2, &[&[1, 0, 1]])]);
    certificate(&Rsa(key), "trusted", 1)
}

/// What a message is made of.
pub(crate) struct Message<'a> {
    pub(crate) content: &'a [u8],
    /// What the signature is made over in place of the content.
    pub(crate) signed: &'a [u8],
    /// Whom the message names.
    pub(crate) named: &'a Signer,
    /// Who signs it.
    pub(crate) signed_by: &'a Signer,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) attributes: Attributes,
}

/// Which signed attributes there are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Attributes {
    Good,
    None,
    NoDigest,
    TwoDigests,
    NoContentType,
    OtherContentType,
}

impl<'a> Message<'a> {
    /// As a cloud makes it.
    pub(crate) fn good(content: &'a [u8], signer: &'a Signer) -> Self {
        Self {
            content,
            signed: content,
            named: signer,
            signed_by: signer,
            certificates: vec![],
            attributes: Attributes::Good,
        }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let sha_256 = element(0x30, &[SHA_256]);
        let content = element(0xa0, &[&element(4, &[self.content])]);
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let certificates = match certificates.as_slice() {
            [] => vec![],
            some => element(0xa0, some),
        };
        let signed = element(
            0x30,
            &[
                &[2, 1, 1],
                &element(0x31, &[&sha_256]),
                &element(0x30, &[DATA, &content]),
                &certificates,
                &element(0x31, &[&self.signer_info()]),
            ],
        );
        element(0x30, &[SIGNED_DATA, &element(0xa0, &[&signed])])
    }

    fn signer_info(&self) -> Vec<u8> {
        let named = self.named.certificate();
        let id = element(
            0x30,
            &[named.issuer_der(), &element(2, &[named.serial.as_bytes()])],
        );
        let attributes = self.attributes();
        let (placed, signature) = match self.attributes {
            Attributes::None => (vec![], self.signed_by.sign(self.signed)),
            _ => {
                let signature = self.signed_by.sign(&element(0x31, &[&attributes]));
                (element(0xa0, &[&attributes]), signature)
            }
        };
        element(
            0x30,
            &[
                &[2, 1, 1],
                &id,
                &element(0x30, &[SHA_256]),
                &placed,
                &element(0x30, &[RSA]),
                &element(4, &[&signature]),
            ],
        )
    }

    fn attributes(&self) -> Vec<u8> {
        let attribute = |oid: &[u8], value: &[u8]| element(0x30, &[oid, &element(0x31, &[value])]);
        let kind = attribute(CONTENT_TYPE, DATA);
        let digest = attribute(MESSAGE_DIGEST, &element(4, &[&sha256(self.signed)]));
        match self.attributes {
            Attributes::None => vec![],
            Attributes::Good => [kind, digest].concat(),
            Attributes::NoDigest => kind,
            Attributes::TwoDigests => [kind, digest.clone(), digest].concat(),
            Attributes::NoContentType => digest,
            Attributes::OtherContentType => [attribute(CONTENT_TYPE, SIGNED_DATA), digest].concat(),
        }
    }
}

/// One element of DER.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..0x80 => out.push(u8::try_from(short).unwrap()),
        long => {
            out.push(0x83);
            out.extend_from_slice(&u32::try_from(long).unwrap().to_be_bytes()[1..]);
        }
    }
    out.extend(content);
    out
}
