//! Organizations: which accounts belong together.

use serde::Deserialize;
use serde_json::json;

use super::AwsError;
use super::client::{Aws, Call, Identity, Kind};
use super::partition::Service;

const ACTION: &str = "ListAccounts";
/// Pages of 20 accounts: the largest organizations have some ten thousand.
const MAX_PAGES: usize = 1000;

/// An account of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// `ACTIVE` and so on.
    pub status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    accounts: Vec<Account>,
    next_token: Option<String>,
}

impl Aws {
    /// All accounts of the organization that `who` may list.
    ///
    /// # Errors
    /// [`AwsError`] says which step failed.
    pub async fn list_accounts(
        &self,
        who: &Identity,
        region: &str,
    ) -> Result<Vec<Account>, AwsError> {
        let service = Service::Organizations;
        let (mut accounts, mut token) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let body = match &token {
                None => json!({}),
                Some(token) => json!({ "NextToken": token }),
            };
            let call = Call {
                service,
                action: ACTION,
                region,
                kind: Kind::Json("AWSOrganizationsV20161128", body.to_string()),
            };
            let page = self.call(who, &call).await?;
            let page: Page = serde_json::from_slice(&page).map_err(|_| AwsError::Malformed {
                service: service.name(),
                action: ACTION,
            })?;
            accounts.extend(page.accounts);
            token = page.next_token;
            if token.is_none() {
                return Ok(accounts);
            }
        }
        Err(AwsError::TooManyPages {
            service: service.name(),
            action: ACTION,
            limit: MAX_PAGES,
        })
    }
}
