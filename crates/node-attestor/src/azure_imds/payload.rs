//! What `azure_imds` sends, and the signed document inside.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use signet_crypto::jose::{self, JsonError};
use signet_crypto::{Random, Verified};

/// What the agent begins with: there must be something, and it says nothing.
pub const PAYLOAD: &[u8] = b"non_empty_payload";

/// The longest beginning: SPIRE's agents send what ours do.
pub const MAX_PAYLOAD_LEN: usize = 1 << 10;

/// The longest answer: a document with its certificate takes 4 KiB, with a chain 12 KiB.
pub const MAX_RESPONSE_LEN: usize = 64 << 10;

/// Characters of a nonce.
pub const NONCE_LEN: usize = 32;

/// The longest name of a domain (RFC 1035 section 2.3.4).
const MAX_DOMAIN_LEN: usize = 253;

/// The longest name of a scale set.
const MAX_SCALE_SET_LEN: usize = 64;

/// The longest document: those seen have 300 bytes.
const MAX_DOCUMENT_LEN: usize = 16 << 10;

/// Letters and digits, used once.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// The agent's answer. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The signed document, in DER.
    pub signed: Vec<u8>,
    /// The domain of the tenant that the agent says it is in.
    pub domain: String,
    /// The scale set that the agent says it is in.
    pub scale_set: Option<String>,
}

/// What Azure signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The machine's ID, in lower case.
    pub vm_id: String,
    /// Its subscription's ID, in lower case.
    pub subscription_id: String,
    /// What the document was asked for with.
    pub nonce: String,
}

/// Why bytes are no message. The texts hold nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// Nothing at all.
    #[error("empty")]
    Empty,
    /// Too long to be looked at.
    #[error("{len} bytes are more than the limit of {limit}")]
    TooLong {
        /// Bytes found.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Not the JSON it should be.
    #[error("not JSON of the expected form")]
    Json(#[source] Option<JsonError>),
    /// A member is missing, empty, too long or of another type.
    #[error("the member `{0}` is missing or malformed")]
    Member(&'static str),
    /// A document in another encoding.
    #[error("the document is not in the encoding pkcs7")]
    Encoding,
}

#[derive(Serialize, Deserialize)]
struct WireResponse {
    document: WireDocument,
    metadata: WireMetadata,
}

/// As the metadata service answers, too.
#[derive(Serialize, Deserialize)]
pub(super) struct WireDocument {
    pub(super) encoding: String,
    pub(super) signature: String,
}

#[derive(Serialize, Deserialize)]
struct WireMetadata {
    #[serde(rename = "agentDomain")]
    agent_domain: String,
    #[serde(rename = "vmssName")]
    vmss_name: Option<String>,
}

impl Nonce {
    /// A new one.
    pub fn new(random: &dyn Random) -> Self {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        /// Above it some letters would be likelier than others.
        const FAIR: u8 = 248;
        let mut text = String::with_capacity(NONCE_LEN);
        while text.len() < NONCE_LEN {
            let mut bytes = [0; 2 * NONCE_LEN];
            random.fill(&mut bytes);
            let fair = bytes.iter().filter(|byte| **byte < FAIR);
            let letters = fair.map(|byte| char::from(LETTERS[usize::from(byte % 62)]));
            text.extend(letters.take(NONCE_LEN - text.len()));
        }
        Self(text)
    }

    /// Reads a challenge.
    ///
    /// # Errors
    /// [`FormError::Member`] if it is not 32 letters and digits.
    pub fn parse(challenge: &[u8]) -> Result<Self, FormError> {
        let plain = challenge.iter().all(u8::is_ascii_alphanumeric);
        match std::str::from_utf8(challenge) {
            Ok(text) if plain && text.len() == NONCE_LEN => Ok(Self(text.to_owned())),
            _ => Err(FormError::Member("nonce")),
        }
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce")
    }
}

/// Checks what an agent begins with.
///
/// # Errors
/// [`FormError`] if it is empty or too long.
pub fn check_payload(payload: &[u8]) -> Result<(), FormError> {
    match payload.len() {
        0 => Err(FormError::Empty),
        len if len > MAX_PAYLOAD_LEN => Err(FormError::TooLong {
            len,
            limit: MAX_PAYLOAD_LEN,
        }),
        _ => Ok(()),
    }
}

impl Response {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`FormError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > MAX_RESPONSE_LEN {
            return Err(FormError::TooLong {
                len: bytes.len(),
                limit: MAX_RESPONSE_LEN,
            });
        }
        let wire: WireResponse =
            serde_json::from_slice(bytes).map_err(|_| FormError::Json(None))?;
        let WireMetadata {
            agent_domain: domain,
            vmss_name,
        } = wire.metadata;
        let scale_set = vmss_name.filter(|name| !name.is_empty());
        if !(1..=MAX_DOMAIN_LEN).contains(&domain.len()) {
            return Err(FormError::Member("metadata.agentDomain"));
        }
        if scale_set
            .as_ref()
            .is_some_and(|name| name.len() > MAX_SCALE_SET_LEN)
        {
            return Err(FormError::Member("metadata.vmssName"));
        }
        Ok(Self {
            signed: wire.document.der()?,
            domain,
            scale_set,
        })
    }

    /// The JSON.
    pub fn encode(&self) -> Vec<u8> {
        let wire = WireResponse {
            document: WireDocument {
                encoding: "pkcs7".to_owned(),
                signature: BASE64_STANDARD.encode(&self.signed),
            },
            metadata: WireMetadata {
                agent_domain: self.domain.clone(),
                vmss_name: self.scale_set.clone(),
            },
        };
        serde_json::to_vec(&wire).expect("texts can be written")
    }
}

impl WireDocument {
    pub(super) fn der(&self) -> Result<Vec<u8>, FormError> {
        if self.encoding != "pkcs7" {
            return Err(FormError::Encoding);
        }
        let der = BASE64_STANDARD.decode(&self.signature).ok();
        der.filter(|der| !der.is_empty())
            .ok_or(FormError::Member("document.signature"))
    }
}

impl Document {
    /// Reads a document, once its signature held.
    ///
    /// # Errors
    /// [`FormError`] says what is wrong with it.
    pub fn of(signed: Verified<Vec<u8>>) -> Result<Verified<Self>, FormError> {
        signed.parse(|bytes| Self::read(&bytes))
    }

    fn read(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > MAX_DOCUMENT_LEN {
            return Err(FormError::TooLong {
                len: bytes.len(),
                limit: MAX_DOCUMENT_LEN,
            });
        }
        let members = match jose::parse_unique(bytes) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(FormError::Json(None)),
            Err(error) => return Err(FormError::Json(Some(error))),
        };
        let nonce = members.get("nonce").and_then(Value::as_str);
        Ok(Self {
            vm_id: uuid(&members, "vmId")?,
            subscription_id: uuid(&members, "subscriptionId")?,
            nonce: nonce.ok_or(FormError::Member("nonce"))?.to_owned(),
        })
    }
}

fn uuid(members: &Map<String, Value>, name: &'static str) -> Result<String, FormError> {
    let text = members.get(name).and_then(Value::as_str);
    text.and_then(crate::azure_msi::payload::uuid)
        .ok_or(FormError::Member(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_crypto::SystemRandom;

    /// The document in Azure's documentation of the attested endpoint.
    const DOCUMENTED: &str = r#"{"licenseType":"","nonce":"20220419-072721","plan":{"name":"","product":"","publisher":""},"sku":"20_04-lts-gen2","subscriptionId":"5f130ffc-0a3e-4795-b691-4f56a12a5547","timeStamp":{"createdOn":"04/19/22 01:27:21 -0000","expiresOn":"04/19/22 07:27:21 -0000"},"vmId":"BD8e7443-24a0-41f3-b949-8baf4fd1c573"}"#;

    fn response(
        domain: &str,
        scale_set: &str,
        encoding: &str,
        signature: &str,
    ) -> Result<Response, FormError> {
        let text = format!(
            r#"{{"document":{{"encoding":{encoding},"signature":{signature}}},"metadata":{{"agentDomain":{domain},"vmssName":{scale_set}}}}}"#
        );
        Response::parse(text.as_bytes())
    }

    #[test]
    fn the_bytes_on_the_wire_are_as_documented() {
        let response = Response {
            signed: vec![1, 2],
            domain: "example.com".to_owned(),
            scale_set: None,
        };
        let text = r#"{"document":{"encoding":"pkcs7","signature":"AQI="},"metadata":{"agentDomain":"example.com","vmssName":null}}"#;
        assert_eq!(response.encode(), text.as_bytes());
        assert_eq!(Response::parse(text.as_bytes()).unwrap(), response);
    }

    #[test]
    fn a_document_names_machine_and_subscription_in_lower_case() {
        let document = Document::read(DOCUMENTED.as_bytes()).unwrap();
        assert_eq!(document.vm_id, "bd8e7443-24a0-41f3-b949-8baf4fd1c573");
        assert_eq!(document.nonce, "20220419-072721");
    }

    #[test]
    fn ids_that_are_no_uuids_are_refused() {
        for bad in [
            "",
            "..",
            "a/b",
            "%2f",
            "bd8e744324a041f3b9498baf4fd1c573",
            "x' or 'a' == 'a",
        ] {
            let text = DOCUMENTED.replace("BD8e7443-24a0-41f3-b949-8baf4fd1c573", bad);
            assert!(
                matches!(
                    Document::read(text.as_bytes()),
                    Err(FormError::Member("vmId"))
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_document_with_a_member_twice_is_refused() {
        let text =
            DOCUMENTED.replacen('{', r#"{"vmId":"00000000-0000-0000-0000-000000000000","#, 1);
        assert!(matches!(
            Document::read(text.as_bytes()),
            Err(FormError::Json(Some(_)))
        ));
    }

    #[test]
    fn answers_with_empty_huge_or_odd_members_are_refused() {
        assert!(response("\"d\"", "\"\"", "\"pkcs7\"", "\"AQI=\"").is_ok());
        let long = format!("\"{}\"", "x".repeat(254));
        for domain in ["\"\"", &long] {
            assert!(matches!(
                response(domain, "null", "\"pkcs7\"", "\"AQI=\""),
                Err(FormError::Member("metadata.agentDomain"))
            ));
        }
        assert!(matches!(
            response("\"d\"", &long, "\"pkcs7\"", "\"AQI=\""),
            Err(FormError::Member("metadata.vmssName"))
        ));
        assert!(matches!(
            response("\"d\"", "null", "\"xml\"", "\"AQI=\""),
            Err(FormError::Encoding)
        ));
        for signature in ["\"\"", "\"!\"", "\"AQI\""] {
            assert!(matches!(
                response("\"d\"", "null", "\"pkcs7\"", signature),
                Err(FormError::Member("document.signature"))
            ));
        }
        assert!(matches!(
            response("null", "null", "\"pkcs7\"", "\"AQI=\""),
            Err(FormError::Json(None))
        ));
        assert!(matches!(
            Response::parse(&vec![b'{'; 10 << 20]),
            Err(FormError::TooLong { .. })
        ));
    }

    #[test]
    fn a_beginning_is_neither_empty_nor_long() {
        assert!(check_payload(PAYLOAD).is_ok());
        assert!(matches!(check_payload(b""), Err(FormError::Empty)));
        assert!(matches!(
            check_payload(&vec![b'x'; 10 << 20]),
            Err(FormError::TooLong { .. })
        ));
    }

    #[test]
    fn nonces_are_32_letters_and_digits_and_differ() {
        let random = SystemRandom::new();
        let (one, other) = (Nonce::new(&random), Nonce::new(&random));
        assert_ne!(one, other);
        assert_eq!(Nonce::parse(one.as_str().as_bytes()).unwrap(), one);
        for bad in [
            "",
            "short",
            "with blanks and & other characters",
            &"x".repeat(33),
        ] {
            assert!(Nonce::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
