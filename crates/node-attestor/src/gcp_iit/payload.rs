//! What a token says of its instance, read from verified claims only.

use serde_json::{Map, Value};
use signet_crypto::Verified;
use signet_oidc::Claims;

/// Longest value of a claim: names have 63 bytes, service accounts about 100.
const MAX_VALUE: usize = 256;

/// The instance, as Google's token names it (`google.compute_engine`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceFacts {
    /// The project's ID.
    pub project_id: String,
    /// The project's number.
    pub project_number: String,
    /// The zone.
    pub zone: String,
    /// The instance's number.
    pub instance_id: String,
    /// The instance's name.
    pub instance_name: String,
    /// When it was made, in seconds since 1970.
    pub created: Option<String>,
    /// The service account's address, if Google has verified it.
    pub service_account: Option<String>,
}

/// Why claims name no instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// It is a token of a service account, or of the standard format.
    #[error("the token names no instance; it must be one of the metadata service with format=full")]
    NoInstance,
    /// A claim is missing, empty, too long or of another type.
    #[error("the claim `google.compute_engine.{0}` is missing or malformed")]
    Claim(&'static str),
}

impl InstanceFacts {
    /// What the claims say.
    ///
    /// # Errors
    /// [`FactsError`] names the claim.
    pub fn of(claims: Verified<Claims>) -> Result<Verified<Self>, FactsError> {
        claims.parse(|claims| Self::read(&claims.all))
    }

    fn read(claims: &Map<String, Value>) -> Result<Self, FactsError> {
        let google = claims.get("google").and_then(Value::as_object);
        let engine = google.and_then(|google| google.get("compute_engine"));
        let engine = engine
            .and_then(Value::as_object)
            .ok_or(FactsError::NoInstance)?;
        let claim = |name| text(engine, name).ok_or(FactsError::Claim(name));
        Ok(Self {
            project_id: claim("project_id")?,
            project_number: claim("project_number")?,
            zone: claim("zone")?,
            instance_id: claim("instance_id")?,
            instance_name: claim("instance_name")?,
            created: text(engine, "instance_creation_timestamp"),
            service_account: service_account(claims),
        })
    }
}

fn service_account(claims: &Map<String, Value>) -> Option<String> {
    let is_verified = claims.get("email_verified") == Some(&Value::Bool(true));
    text(claims, "email").filter(|_| is_verified)
}

/// A text or a whole number.
fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match claims.get(name)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64()?.to_string(),
        _ => return None,
    };
    (1..=MAX_VALUE).contains(&text.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload that Google's documentation shows for an instance (Compute Engine, "Verifying the
    /// identity of instances"), with the numbers it has there.
    const DOCUMENTED: &str = r#"{
        "iss": "https://accounts.google.com", "iat": 1496953245, "exp": 1496956845,
        "aud": "https://www.example.com", "sub": "107517467455664443765",
        "azp": "107517467455664443765",
        "google": { "compute_engine": {
            "project_id": "my-project", "project_number": 739419398126, "zone": "us-west1-a",
            "instance_id": "152986662232938449", "instance_name": "example",
            "instance_creation_timestamp": 1496952205, "instance_confidentiality": 1,
            "license_id": [ "1000204" ] } } }"#;

    fn read(text: &str) -> Result<InstanceFacts, FactsError> {
        let claims: Value = serde_json::from_str(text).unwrap();
        InstanceFacts::read(claims.as_object().unwrap())
    }

    #[test]
    fn the_documented_token_names_its_instance() {
        let facts = read(DOCUMENTED).unwrap();
        assert_eq!(facts.project_number, "739419398126");
        assert_eq!(facts.instance_id, "152986662232938449");
        assert_eq!(facts.created.as_deref(), Some("1496952205"));
        assert_eq!(facts.service_account, None);
    }

    #[test]
    fn a_service_account_counts_only_with_a_verified_address() {
        for (verified, expected) in [("true", Some("a@b")), ("false", None), ("\"true\"", None)] {
            let members = format!(r#"{{"email":"a@b","email_verified":{verified},"#);
            let facts = read(&DOCUMENTED.replacen('{', &members, 1)).unwrap();
            assert_eq!(facts.service_account.as_deref(), expected);
        }
    }

    #[test]
    fn a_token_without_an_instance_is_refused() {
        for text in [
            "{}",
            r#"{"google":{}}"#,
            r#"{"google":{"compute_engine":[]}}"#,
        ] {
            assert!(matches!(read(text), Err(FactsError::NoInstance)), "{text}");
        }
    }

    #[test]
    fn empty_missing_huge_and_odd_claims_are_refused_by_name() {
        let long = format!("\"{}\"", "x".repeat(10 << 20));
        for value in ["\"\"", "null", "[]", "{}", "true", "-1", "1.5", &long] {
            let text = DOCUMENTED.replace("\"us-west1-a\"", value);
            assert!(matches!(read(&text), Err(FactsError::Claim("zone"))));
        }
    }
}
