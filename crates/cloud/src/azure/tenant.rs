//! Which tenant a domain belongs to.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::rest::{Api, named};
use crate::{CloudError, Endpoint};

const WHAT: &str = "the discovery document of a tenant";

/// Finds tenants, and remembers them: a domain does not change its tenant.
#[derive(Debug)]
pub struct Tenants {
    api: Api,
    known: Mutex<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl Tenants {
    /// Asks nothing yet. Only domains that an operator configured may be asked for: each is kept.
    ///
    /// # Errors
    /// [`CloudError`] if a client cannot be set up.
    pub fn new(login: Endpoint) -> Result<Self, CloudError> {
        Ok(Self {
            api: Api::new(login)?,
            known: Mutex::default(),
        })
    }

    /// The tenant's ID. A name that is an ID already is taken as it is.
    ///
    /// # Errors
    /// [`CloudError`] says what could not be had.
    pub async fn id(&self, domain: &str) -> Result<String, CloudError> {
        if is_uuid(domain) {
            return Ok(domain.to_ascii_lowercase());
        }
        let mut known = self.known.lock().await;
        if let Some(id) = known.get(domain) {
            return Ok(id.clone());
        }
        let id = self.ask(domain).await?;
        known.insert(domain.to_owned(), id.clone());
        Ok(id)
    }

    async fn ask(&self, domain: &str) -> Result<String, CloudError> {
        let domain = named("the tenant's domain", domain)?;
        let path = format!("/{domain}/.well-known/openid-configuration");
        let found: Discovery = self
            .api
            .json(WHAT, self.api.get(&path), Bytes::new())
            .await?;
        // https://sts.windows.net/<tenant>/ or https://login.microsoftonline.com/<tenant>/v2.0
        let mut segments = found.issuer.split('/').skip(3);
        let id = segments.next().filter(|id| is_uuid(id));
        id.map(str::to_ascii_lowercase)
            .ok_or_else(|| CloudError::Form {
                what: WHAT,
                host: self.api.host(),
            })
    }
}

/// Five groups of hexadecimal digits (RFC 9562 section 4).
pub(super) fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_form_is_a_uuid() {
        assert!(is_uuid("5f130ffc-0a3e-4795-b691-4f56a12a5547"));
        assert!(is_uuid("9E85E111-1103-48FC-A933-9533FE47DE05"));
        for bad in [
            "",
            "5f130ffc0a3e4795b6914f56a12a5547",
            "{5f130ffc-0a3e-4795-b691-4f56a12a5547}",
            "5f130ffc-0a3e-4795-b691-4f56a12a554'",
            "5f130ffc-0a3e-4795-b691-4f56a12a5547-",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}
