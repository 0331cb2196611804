//! Which accounts may have nodes: those of an organization, or of a file.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_cloud::aws::AwsError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cloud::Cloud;
use crate::json::{self, JsonError};

/// An account that is not in the list has it read anew, but not more often than this: it may have
/// joined just now, and strangers must not have us ask AWS all the time.
const MIN_AGE: Duration = Duration::from_secs(60);
/// Longest file: some fifty thousand accounts.
const MAX_FILE: u64 = 1 << 20;

/// Where the list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountList {
    /// The active accounts of an organization.
    Organization {
        /// The account that manages it.
        management_account_id: String,
        /// The role there that may list them.
        role: String,
        /// The region to ask in.
        region: String,
        /// How long a list is good.
        ttl: Duration,
    },
    /// A file with a JSON array of account IDs.
    File(PathBuf),
}

/// Why it is not known whether an account is in the list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrganizationError {
    /// AWS does not say.
    #[error("the accounts of the organization cannot be listed")]
    Aws(#[source] AwsError),
    /// The file cannot be read.
    #[error("cannot read account_list_file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no list.
    #[error("account_list_file {} is not a JSON array of account IDs", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: JsonError,
    },
}

/// The list as it was last read.
pub(super) struct Accounts {
    list: AccountList,
    known: Mutex<Option<Known>>,
}

struct Known {
    ids: BTreeSet<String>,
    since: Instant,
}

impl Accounts {
    pub(super) fn new(list: AccountList) -> Self {
        Self {
            list,
            known: Mutex::new(None),
        }
    }

    /// Whether an account is in the list. One reads it, the others wait.
    pub(super) async fn hold(
        &self,
        account: &str,
        cloud: &dyn Cloud,
    ) -> Result<bool, OrganizationError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref() {
            let holds = known.ids.contains(account);
            let good_for = if holds { self.ttl() } else { MIN_AGE };
            if known.since.elapsed() < good_for {
                return Ok(holds);
            }
        }
        let ids = self.read(cloud).await?;
        let holds = ids.contains(account);
        let since = Instant::now();
        *known = Some(Known { ids, since });
        Ok(holds)
    }

    fn ttl(&self) -> Duration {
        match &self.list {
            AccountList::Organization { ttl, .. } => *ttl,
            AccountList::File(_) => MIN_AGE,
        }
    }

    async fn read(&self, cloud: &dyn Cloud) -> Result<BTreeSet<String>, OrganizationError> {
        match &self.list {
            AccountList::File(path) => file(path),
            AccountList::Organization {
                management_account_id,
                role,
                region,
                ..
            } => {
                let accounts = cloud.accounts(management_account_id, role, region).await;
                let accounts = accounts.map_err(OrganizationError::Aws)?;
                let active = accounts.into_iter().filter(|one| one.status == "ACTIVE");
                Ok(active.map(|account| account.id).collect())
            }
        }
    }
}

fn file(path: &Path) -> Result<BTreeSet<String>, OrganizationError> {
    let read = || {
        let mut bytes = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(std::fs::File::open(path)?, MAX_FILE),
            &mut bytes,
        )?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| OrganizationError::File {
        path: path.to_owned(),
        source,
    })?;
    json::read(&bytes).map_err(|source| OrganizationError::Content {
        path: path.to_owned(),
        source,
    })
}
