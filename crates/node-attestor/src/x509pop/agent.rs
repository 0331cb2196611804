//! The agent's half: shows the certificate and signs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use signet_crypto::{PrivateKey, Random, SecretString, SignError, SignatureAlgorithm, jose};
use signet_spiffe::{Certificate, pem};

use super::KIND;
use super::payload::{Challenge, NONCE_LEN, Nonce, Payload, Response};
use crate::{AgentAttestor, AgentError, BoxError, Finding};

/// The longest file read: a chain of certificates has a few KiB.
const MAX_FILE: u64 = 1 << 20;

/// Where key and certificates are. They are read at each attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509PopFiles {
    /// `private_key_path`: PKCS#8, PKCS#1 or SEC1 in PEM, not encrypted.
    pub private_key: PathBuf,
    /// `certificate_path`: the leaf in PEM, which others may follow.
    pub certificate: PathBuf,
    /// `intermediates_path`: more certificates in PEM.
    pub intermediates: Option<PathBuf>,
}

/// Attests with a certificate and its key.
pub struct X509PopAgent {
    files: X509PopFiles,
    random: Arc<dyn Random>,
    /// The key of the chain that was shown last.
    key: Mutex<Option<Arc<PrivateKey>>>,
}

impl X509PopAgent {
    /// With these files.
    pub fn new(files: X509PopFiles, random: Arc<dyn Random>) -> Self {
        Self {
            files,
            random,
            key: Mutex::new(None),
        }
    }

    /// Leaf, what follows it in its file, and the intermediates.
    fn read_chain(&self) -> Result<Vec<Vec<u8>>, AgentError> {
        let mut chain = read_certificates(&self.files.certificate)?;
        if let Some(path) = &self.files.intermediates {
            chain.extend(read_certificates(path)?);
        }
        Ok(chain)
    }

    fn read_key(&self, leaf: &[u8]) -> Result<PrivateKey, AgentError> {
        let path = &self.files.private_key;
        let text = SecretString::new(read(path)?);
        let key = PrivateKey::from_pem(text.expose())
            .map_err(|error| content(path, "a private key", error))?;
        let leaf = Certificate::parse(leaf)
            .map_err(|error| content(&self.files.certificate, "a usable certificate", error))?;
        if leaf.public_key == *key.public_key() {
            return Ok(key);
        }
        Err(AgentError::KeyMismatch {
            key: path.clone(),
            certificate: self.files.certificate.clone(),
        })
    }
}

#[async_trait]
impl AgentAttestor for X509PopAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        let certificates = self.read_chain()?;
        let key = self.read_key(&certificates[0])?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(Payload { certificates }.encode())
    }

    async fn respond(&self, challenge: &[u8]) -> Result<Vec<u8>, AgentError> {
        let challenge = Challenge::parse(challenge)
            .map_err(|error| AgentError::Challenge(Some(error.into())))?;
        let key = self
            .key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let key = key.ok_or(AgentError::Challenge(None))?;
        let mut nonce = Nonce([0; NONCE_LEN]);
        self.random.fill(&mut nonce.0);
        Ok(answer(&key, &challenge, nonce)?.encode())
    }

    async fn findings(&self, _: &[u8], now: SystemTime) -> Result<Vec<Finding>, AgentError> {
        let chain = self.read_chain()?;
        let path = &self.files.certificate;
        let leaf = Certificate::parse(&chain[0])
            .map_err(|error| content(path, "a usable certificate", error))?;
        let above = chain.len() - 1;
        Ok(vec![
            validity(&leaf, now),
            Finding::holds("the private key belongs to it"),
            Finding::holds(format!("with {above} certificates above it")),
        ])
    }
}

fn validity(leaf: &Certificate, now: SystemTime) -> Finding {
    match leaf.not_after.duration_since(now) {
        _ if leaf.not_before > now => Finding::fails("the certificate is not valid yet"),
        Err(_) => Finding::fails("the certificate has expired"),
        Ok(left) => Finding::holds(format!(
            "the certificate is good for {} s more",
            left.as_secs()
        )),
    }
}

/// The signature that the challenge asks for, if the key can make it.
fn answer(key: &PrivateKey, challenge: &Challenge, nonce: Nonce) -> Result<Response, AgentError> {
    let sign = |error: SignError| AgentError::Sign(error.into());
    let message = challenge.nonce().with(&nonce);
    match (challenge, key.public_key().curve()) {
        (Challenge::Rsa(_), None) => {
            let signature = key.sign(SignatureAlgorithm::RsaPssSha256, &message);
            let signature = signature.map_err(sign)?;
            Ok(Response::Rsa { nonce, signature })
        }
        (Challenge::Ecdsa(_), Some(curve)) => {
            let der = key.sign_ecdsa_sha256(&message).map_err(sign)?;
            let fixed = jose::ecdsa_der_to_fixed(curve, &der)
                .map_err(|error| AgentError::Sign(error.into()))?;
            let (r, s) = fixed.split_at(curve.coordinate_len());
            let (r, s) = (shortest(r), shortest(s));
            Ok(Response::Ecdsa { nonce, r, s })
        }
        _ => Err(AgentError::Challenge(None)),
    }
}

/// Without leading zeros, as Go writes numbers.
fn shortest(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}

/// The certificates of a file, in DER. At least one.
fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, AgentError> {
    const WHAT: &str = "a certificate in PEM";
    let found = pem::parse_pem_certs(&read(path)?).map_err(|error| content(path, WHAT, error))?;
    if found.is_empty() {
        return Err(AgentError::Content {
            path: path.to_path_buf(),
            what: WHAT,
            source: None,
        });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, AgentError> {
    read_text(path).map_err(|source| AgentError::File {
        path: path.to_path_buf(),
        source,
    })
}

/// Into memory of the file's size, so that no copy of a key stays behind where a buffer grew.
fn read_text(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let size = file.metadata()?.len().min(MAX_FILE);
    let mut text = String::with_capacity(usize::try_from(size).map_or(0, |size| size + 1));
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn content(path: &Path, what: &'static str, source: impl Into<BoxError>) -> AgentError {
    AgentError::Content {
        path: path.to_path_buf(),
        what,
        source: Some(source.into()),
    }
}
